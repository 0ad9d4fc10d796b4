// The chosen socket, told whole; and the tip beside the pointer.

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** Pairs of what and what there is to say; what does not exist is left out. */
function facts(row) {
  const socket = model.sockets[row];
  const flags = model.flags[row];
  const role = model.role[row];
  const sibling = (number) => socket[ID].replace(/\d+$/, String(number));
  const container = socket[CONTAINER] < 0 ? null : model.names[socket[CONTAINER]];
  const listener = role === 1;
  const connection = role > 1;
  const number = detail(socket, ERROR);
  const error = number > 0 ? model.errors[number] || "E" + number : null;
  const list = [
    ["role", ROLES[role] + " · " + TRANSPORTS[socket[TRANSPORT]]],
    ["process", owner(row)],
    ["container", container && container.slice(0, 12)],
    ["local", socket[LOCAL] || (role ? "?" : "-")],
    ["peer", connection ? socket[PEER] || "?" : null],
    ["end", how(row) + (error ? " (" + error + ")" : "")],
    [flags & HAS_ENDED || socket[END] >= 0 ? "lasted" : "open for", (flags & IS_OLDER || socket[END] < 0 ? "≥" : "") + lasted(socket[LASTS])],
    ["connect", role === 3 ? lasted(detail(socket, CONNECT)) : null],
    ["handshake", role === 2 ? lasted(detail(socket, HANDSHAKE)) : null],
    ["queued", role === 2 ? lasted(detail(socket, QUEUED)) : null],
    ["received", connection ? size(detail(socket, RECEIVED)) : null],
    ["sent", connection ? size(detail(socket, SENT)) : null],
    ["rtt", connection ? (detail(socket, RTT) < 0 ? "?" : lasted(detail(socket, RTT) * 1000)) : null],
    ["retransmits", connection ? (detail(socket, RETRANSMITS) < 0 ? "?" : grouped(detail(socket, RETRANSMITS))) : null],
    ["accepted", listener ? grouped(detail(socket, ACCEPTED)) : null],
    ["backlog", listener ? (detail(socket, BACKLOG) < 0 ? "?" : grouped(detail(socket, BACKLOG))) : null],
    ["dropped", listener ? (detail(socket, DROPPED) < 0 ? "?" : grouped(detail(socket, DROPPED))) : null],
    ["listener", role === 2 ? (detail(socket, LISTENER) < 0 ? "?" : sibling(detail(socket, LISTENER))) : null, detail(socket, LISTENER) >= 0],
    ["other end", detail(socket, OTHER_END) < 0 ? null : sibling(detail(socket, OTHER_END)), true],
    ["descriptor", detail(socket, FD) < 0 ? null : String(detail(socket, FD))],
    ["netns", detail(socket, NETNS) < 0 ? "?" : model.names[detail(socket, NETNS)]],
    ["known", (flags & IS_OLDER ? "older than the recording" : "from its start") + (flags & IS_COMPLETE ? "" : ", with gaps")],
  ];
  return list.filter(([, said]) => said !== null);
}

function showDetails(row) {
  const panel = $("details");
  panel.replaceChildren();
  if (row < 0) {
    panel.append(element("p", "Click a socket, or choose one with ↑ and ↓, to see its whole path.", "note"));
    return;
  }
  const socket = model.sockets[row];
  panel.append(element("h3", socket[ID]));
  const list = element("dl");
  for (const [what, said, link] of facts(row)) {
    const pair = element("div");
    const value = element("dd", undefined, what === "end" && model.flags[row] & HAS_FAILED ? "bad" : "");
    if (link && model.byId.has(said)) {
      const to = element("a", said, "socket");
      to.href = "#" + said;
      value.append(to);
    } else {
      value.textContent = said;
    }
    pair.append(element("dt", what), value);
    list.append(pair);
  }
  panel.append(list, pathTable(socket));
}

function pathTable(socket) {
  const table = element("table");
  const head = element("tr");
  for (const title of ["time", "+", "step", "pid"]) {
    const cell = element("th", title);
    cell.scope = "col";
    head.append(cell);
  }
  const top = element("thead");
  top.append(head);
  const body = element("tbody");
  let before = null;
  const omitted = detail(socket, OMITTED);
  const path = socket[PATH];
  const add = (at, name, pid, error) => {
    const line = element("tr");
    line.append(element("td", when(socket[FIRST] + at, 0)));
    line.append(element("td", before === null ? "" : lasted(Math.max(0, at - before)), "number"));
    const step = element("td", name);
    if (error) step.append(" ", element("span", model.errors[error] || "E" + error, "bad"));
    line.append(step, element("td", pid > 0 ? String(pid) : "", "number"));
    body.append(line);
    before = at;
  };
  const steps = path.map(([step, at, pid, error]) => [at, STEPS[step], pid, error]);
  if (detail(socket, FIN) >= 0) steps.push([detail(socket, FIN), "first FIN", -1, 0]);
  if (socket[END] >= 0) steps.push([socket[END], "destroyed", -1, 0]);
  steps.sort((a, b) => a[0] - b[0]);
  const half = Math.ceil(path.length / 2);
  steps.forEach(([at, name, pid, error], nth) => {
    if (omitted > 0 && nth === half) {
      const line = element("tr");
      const cell = element("td", grouped(omitted) + " steps are not shown", "note");
      cell.colSpan = 4;
      line.append(cell);
      body.append(line);
    }
    add(at, name, pid, error);
  });
  table.append(top, body);
  const caption = element("caption", "Path");
  table.prepend(caption);
  return table;
}

function showTip(row, x, y) {
  const tip = $("tip");
  if (row < 0) {
    tip.hidden = true;
    return;
  }
  const socket = model.sockets[row];
  const ends = [socket[LOCAL], model.role[row] > 1 ? socket[PEER] || "?" : null].filter(Boolean).join(" – ");
  tip.replaceChildren(
    element("b", socket[ID] + " " + ROLES[model.role[row]]),
    element("span", owner(row)),
    element("span", ends || "-"),
    element("span", how(row) + " · " + lasted(socket[LASTS]), model.flags[row] & HAS_FAILED ? "bad" : ""),
  );
  tip.hidden = false;
  const room = document.documentElement.clientWidth;
  tip.style.left = Math.min(x + 14, room - tip.offsetWidth - 8) + "px";
  tip.style.top = y + 16 + window.scrollY + "px";
}
