// The sockets, as the report wrote them (report/timeline.rs), laid out for drawing.

const TRANSPORTS = ["tcp", "mptcp", "sctp"];
const ROLES = ["never used", "listener", "server", "client"];
const HOWS = ["?", "fin", "reset", "timeout", "refused", "unreachable", "failed", "aborted", "unaccepted", "closed"];
const BYS = ["", "local", "peer", "kernel"];
const STEPS = ["bind", "listen", "connect", "syn_received", "established", "accept", "close"];

// Places in a socket's array. Times are nanoseconds; -1 is not known.
const [ID, ROLE, TRANSPORT, LOCAL, PEER, NAME, PID, CONTAINER, FIRST, LASTS, END, HOW, BY, FLAGS, PATH] = Array(15).keys();
const [FIN, RECEIVED, SENT, HANDSHAKE, QUEUED, CONNECT, RTT, RETRANSMITS, LISTENER, NETNS, FD, OTHER_END, ERROR, ACCEPTED, BACKLOG, DROPPED, OMITTED] =
  Array.from(Array(17).keys(), (at) => at + 15);

/** One of the numbers from `FIN` on: those that are not known at a row's end are left out. */
const detail = (socket, place) => (place < socket.length ? socket[place] : -1);

const IS_COMPLETE = 1;
const IS_OLDER = 2;
const HAS_FAILED = 4;
const HAS_ENDED = 8;

// What a stretch of a life is. The order is that of the legend.
const KINDS = ["bound", "listening", "connecting", "handshake", "in accept queue", "established", "closing"];
const [BOUND, LISTENING, CONNECTING, SHAKING, WAITING, ESTABLISHED, CLOSING] = KINDS.keys();

/** Calls `add(kind, from, to)` for each stretch of a life, times since the page's base. */
function stretches(socket, add) {
  const first = socket[FIRST];
  const server = socket[ROLE] === 2;
  let kind = -1;
  let since = first;
  let fin = detail(socket, FIN) < 0 ? Infinity : first + detail(socket, FIN);
  const until = (time) => {
    if (kind >= 0 && time >= since) {
      if (kind === ESTABLISHED && fin < time) {
        add(ESTABLISHED, since, Math.max(fin, since));
        add(CLOSING, Math.max(fin, since), time);
      } else {
        add(kind, since, time);
      }
    }
    since = time;
  };
  if (socket[FLAGS] & IS_OLDER) kind = socket[ROLE] === 1 ? LISTENING : socket[ROLE] ? ESTABLISHED : BOUND;
  for (const [step, at, , error] of socket[PATH]) {
    const time = first + at;
    if (error && step !== 2) continue;
    until(time);
    switch (step) {
      case 0:
        kind = BOUND;
        break;
      case 1:
        kind = LISTENING;
        break;
      case 2:
        if (!error) kind = CONNECTING;
        break;
      case 3:
        if (server && detail(socket, HANDSHAKE) > 0) add(SHAKING, time - detail(socket, HANDSHAKE), time);
        kind = SHAKING;
        break;
      case 4:
        kind = server ? WAITING : ESTABLISHED;
        break;
      case 5:
        // A listener's are those that failed.
        if (server) kind = ESTABLISHED;
        break;
      default:
        kind = -1;
    }
  }
  until(first + socket[LASTS]);
}

function load(text) {
  const page = JSON.parse(text);
  const sockets = page.sockets;
  const count = sockets.length;
  const model = {
    sockets,
    count,
    names: page.names,
    errors: page.errors,
    rates: page.rates,
    zone: page.zone,
    baseMs: page.base_ms,
    offsetMs: page.offset_s * 1000,
    start: new Float64Array(count),
    end: new Float64Array(count),
    role: new Uint8Array(count),
    how: new Uint8Array(count),
    by: new Uint8Array(count),
    flags: new Uint8Array(count),
    // The stretches of the socket at `row` are those from `of[row]` up to `of[row + 1]`.
    of: new Uint32Array(count + 1),
    byId: new Map(),
  };
  let room = count * 4 + 16;
  let kinds = new Uint8Array(room);
  let froms = new Float64Array(room);
  let tos = new Float64Array(room);
  let used = 0;
  let low = page.span[0];
  let high = page.span[1];
  const add = (kind, from, to) => {
    if (used === room) {
      room *= 2;
      const grow = (old, made) => (made.set(old), made);
      kinds = grow(kinds, new Uint8Array(room));
      froms = grow(froms, new Float64Array(room));
      tos = grow(tos, new Float64Array(room));
    }
    kinds[used] = kind;
    froms[used] = from;
    tos[used] = to;
    used += 1;
  };
  sockets.sort((a, b) => a[FIRST] - b[FIRST]);
  for (let row = 0; row < count; row += 1) {
    const socket = sockets[row];
    model.of[row] = used;
    stretches(socket, add);
    model.start[row] = used > model.of[row] ? Math.min(socket[FIRST], froms[model.of[row]]) : socket[FIRST];
    model.end[row] = socket[FIRST] + socket[LASTS];
    model.role[row] = socket[ROLE];
    model.how[row] = socket[HOW];
    model.by[row] = socket[BY];
    model.flags[row] = socket[FLAGS];
    model.byId.set(socket[ID], row);
  }
  model.of[count] = used;
  Object.assign(model, { kinds, froms, tos });
  if (!(high > low)) high = low + 1e6;
  // A little air at both ends.
  const air = (high - low) * 0.01;
  model.low = low - air;
  model.high = high + air;
  model.days = high - low > 86400e9;
  return model;
}

const model = load(document.getElementById("data").textContent);
