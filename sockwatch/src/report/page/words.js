// How the page says things: as sockwatch's text does.

function digits(value, unit) {
  const places = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return value.toFixed(places) + " " + unit;
}

/** Nanoseconds. */
function lasted(ns) {
  if (ns < 0) return "?";
  if (ns === 0) return "0 ms";
  if (ns < 500) return "<0.001 ms";
  if (ns < 99500) return (ns / 1e6).toFixed(3) + " ms";
  if (ns < 9.995e8) return digits(ns / 1e6, "ms");
  if (ns < 5.995e10) return digits(ns / 1e9, "s");
  const s = Math.round(ns / 1e9);
  const two = (n) => String(Math.floor(n)).padStart(2, "0");
  if (s < 3600) return Math.floor(s / 60) + " min " + two(s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + two((s / 60) % 60) + " min";
  return Math.floor(s / 86400) + " d " + two((s / 3600) % 24) + " h";
}

/** Bytes. */
function size(bytes) {
  if (bytes < 0) return "?";
  if (bytes < 1000) return bytes + " B";
  let unit = 0;
  while (bytes >= 999.5 && unit < 6) {
    bytes /= 1000;
    unit += 1;
  }
  return digits(bytes, ["B", "kB", "MB", "GB", "TB", "PB", "EB"][unit]);
}

function grouped(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Nanoseconds since the base as date and time of day, with as many digits as a step of this many nanoseconds needs. */
function moment(ns, step) {
  const ms = model.baseMs + ns / 1e6 + model.offsetMs;
  const whole = Math.floor(ms);
  const date = new Date(whole);
  if (Number.isNaN(date.getTime())) return { date: "?", time: "?" };
  const text = date.toISOString();
  const day = text.slice(0, text.indexOf("T"));
  let time = text.slice(text.indexOf("T") + 1, -1);
  if (step >= 6e10) time = time.slice(0, 5);
  else if (step >= 1e9) time = time.slice(0, 8);
  else if (step < 1e6) time += String(Math.floor((ms - whole) * 1000)).padStart(3, "0");
  return { date: day, time };
}

/** The date too where the recording lasts longer than a day. */
function when(ns, step) {
  const { date, time } = moment(ns, step);
  return model.days ? date.slice(5) + " " + time : time;
}

function how(row) {
  const verdict = HOWS[model.how[row]];
  if (!(model.flags[row] & HAS_ENDED)) return "open";
  const by = BYS[model.by[row]];
  return verdict === "fin" || verdict === "reset" ? (by ? verdict + " by " + by : verdict) : verdict;
}

function owner(row) {
  const socket = model.sockets[row];
  const name = socket[NAME] < 0 ? "?" : model.names[socket[NAME]];
  return socket[PID] < 0 ? name : name + " " + socket[PID];
}

/** What a search looks through. */
function searchable(row) {
  const socket = model.sockets[row];
  const parts = [
    socket[ID],
    ROLES[model.role[row]],
    socket[LOCAL] || "",
    socket[PEER] || "",
    owner(row),
    socket[CONTAINER] < 0 ? "" : model.names[socket[CONTAINER]],
    how(row),
    model.flags[row] & HAS_FAILED ? "failed" : "",
    model.flags[row] & IS_COMPLETE ? "" : "incomplete",
  ];
  for (const [, , , error] of socket[PATH]) if (error) parts.push(model.errors[error] || "E" + error);
  const error = detail(socket, ERROR);
  if (error > 0) parts.push(model.errors[error] || "E" + error);
  return parts.join(" ").toLowerCase();
}
