// What the reader does: search, order, zoom, move, choose.

const LEAST_SPAN = 1000;

function clampWindow(from, to) {
  const all = model.high - model.low;
  let span = Math.min(all, Math.max(LEAST_SPAN, to - from));
  let start = Math.min(Math.max(from, model.low), model.high - span);
  return [start, start + span];
}

function setWindow(from, to) {
  [view.from, view.to] = clampWindow(from, to);
  chooseRows();
}

function zoom(factor, around) {
  const at = around === undefined ? (view.from + view.to) / 2 : around;
  setWindow(at - (at - view.from) * factor, at + (view.to - at) * factor);
}

function move(share) {
  const by = (view.to - view.from) * share;
  setWindow(view.from + by, view.to + by);
}

// Which rows are shown: those that match, in the chosen order, and of these the ones within the window.

let found = null;
let haystack = null;
let ordered = Uint32Array.from({ length: model.count }, (_, row) => row);

function search() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const role = Number($("role").value);
  const failed = $("failed").checked;
  if (!words.length && !role && !failed) {
    found = null;
  } else {
    if (words.length && !haystack) haystack = Array.from({ length: model.count }, (_, row) => searchable(row));
    found = new Uint8Array(model.count);
    for (let row = 0; row < model.count; row += 1) {
      found[row] =
        (!role || model.role[row] === role) &&
        (!failed || model.flags[row] & HAS_FAILED) &&
        words.every((word) => haystack[row].includes(word));
    }
  }
  chooseRows();
}

function order() {
  const by = $("order").value;
  const rows = Array.from({ length: model.count }, (_, row) => row);
  const text = { process: owner, peer: (row) => model.sockets[row][PEER] || "" }[by];
  if (by === "duration") {
    rows.sort((a, b) => model.end[b] - model.start[b] - (model.end[a] - model.start[a]) || a - b);
  } else if (text) {
    const keys = rows.map(text);
    rows.sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : a - b));
  }
  ordered = Uint32Array.from(rows);
  chooseRows();
}

function chooseRows() {
  const dim = $("dim").checked && found;
  const { from, to } = view;
  const rows = new Uint32Array(model.count);
  let count = 0;
  let matching = 0;
  for (const row of ordered) {
    if (model.end[row] < from || model.start[row] > to) continue;
    const matches = !found || found[row];
    matching += matches ? 1 : 0;
    if (matches || dim) rows[count++] = row;
  }
  view.rows = rows.subarray(0, count);
  view.dimmed = dim ? found.map((is) => (is ? 0 : 1)) : null;
  const total = found ? found.reduce((sum, is) => sum + (is ? 1 : 0), 0) : model.count;
  const part = view.from > model.low || view.to < model.high;
  const said = grouped(total) + (found ? " of " + grouped(model.count) : "") + (total === 1 && !found ? " socket" : " sockets");
  $("status").textContent =
    said + (found ? " match" : "") + (part ? "; " + grouped(matching) + " in these " + lasted(view.to - view.from) : "");
  layout();
}

function layout() {
  const width = scroller.clientWidth;
  const room = width > 560;
  const most = Math.max(240, Math.min(560, Math.round(window.innerHeight * 0.55)));
  const count = Math.max(1, view.rows.length);
  const fit = most / count;
  view.rowHeight = view.tall ? TALL : Math.min(TALL, fit >= 4 ? Math.floor(fit) : fit);
  view.height = Math.max(120, Math.min(most, Math.ceil(count * view.rowHeight)));
  view.width = width;
  view.gutter = room && view.rowHeight >= LABELS_FROM ? Math.min(300, Math.round(width * 0.28)) : 0;
  scroller.style.height = view.height + "px";
  // The canvas stays in sight; the space below makes the rest of the height.
  $("space").style.height = Math.max(0, Math.ceil(count * view.rowHeight) - view.height) + "px";
  draw();
}

// Choosing a socket.

function choose(row, reveal) {
  view.chosen = row;
  showDetails(row);
  if (row >= 0 && reveal) {
    if (found && !found[row]) {
      $("search").value = "";
      $("role").value = "";
      $("failed").checked = false;
      found = null;
    }
    if (model.end[row] < view.from || model.start[row] > view.to) {
      const air = Math.max((model.end[row] - model.start[row]) * 2, LEAST_SPAN * 1000);
      [view.from, view.to] = clampWindow(model.start[row] - air, model.end[row] + air);
    }
    chooseRows();
  }
  const at = placeOf(row);
  if (at >= 0) {
    const top = at * view.rowHeight;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + view.rowHeight > scroller.scrollTop + view.height) scroller.scrollTop = top + view.rowHeight - view.height;
  }
  draw();
}

/** The row under the pointer. Where several share a pixel, the one whose life is nearest to that moment. */
function rowAt(event) {
  const box = scroller.getBoundingClientRect();
  const y = event.clientY - box.top + scroller.scrollTop;
  const first = Math.floor(y / view.rowHeight);
  const last = Math.max(first + 1, Math.floor((y + 1) / view.rowHeight));
  const time = xToTime(event.clientX - box.left);
  let best = -1;
  let nearest = Infinity;
  for (let at = Math.max(0, first); at < Math.min(last, view.rows.length); at += 1) {
    const row = view.rows[at];
    const away = Math.max(model.start[row] - time, time - model.end[row], 0);
    if (away < nearest) [best, nearest] = [row, away];
  }
  return best;
}

function step(by) {
  if (!view.rows.length) return;
  const at = view.chosen >= 0 ? placeOf(view.chosen) : -1;
  const from = at >= 0 ? at : by > 0 ? -1 : view.rows.length;
  const next = Math.min(view.rows.length - 1, Math.max(0, from + by));
  choose(view.rows[next], false);
  const socket = model.sockets[view.chosen];
  $("status").textContent = [socket[ID], ROLES[model.role[view.chosen]], owner(view.chosen), how(view.chosen)].join(" · ");
}

scroller.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const act = {
    ArrowLeft: () => move(-0.15),
    ArrowRight: () => move(0.15),
    ArrowUp: () => step(-1),
    ArrowDown: () => step(1),
    PageUp: () => step(-Math.max(1, Math.floor(view.height / view.rowHeight))),
    PageDown: () => step(Math.max(1, Math.floor(view.height / view.rowHeight))),
    Home: () => step(-model.count),
    End: () => step(model.count),
    "+": () => zoom(0.6),
    "=": () => zoom(0.6),
    "-": () => zoom(1 / 0.6),
    "−": () => zoom(1 / 0.6),
    0: () => setWindow(model.low, model.high),
    Escape: () => choose(-1, false),
  }[event.key];
  if (!act) return;
  event.preventDefault();
  showTip(-1);
  act();
});

document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
    event.preventDefault();
    $("search").focus();
  }
});

scroller.addEventListener(
  "wheel",
  (event) => {
    const pixels = event.deltaMode === 1 ? 16 : 1;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      const box = scroller.getBoundingClientRect();
      zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY * pixels * 0.003))), xToTime(event.clientX - box.left));
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      move(((event.deltaX || event.deltaY) * pixels) / view.width);
    }
  },
  { passive: false },
);

let drag = null;

scroller.addEventListener("pointerdown", (event) => {
  // The scroll bar is beyond the content.
  if (event.button !== 0 || event.offsetX > scroller.clientWidth) return;
  drag = { x: event.clientX, y: event.clientY, from: view.from, to: view.to, top: scroller.scrollTop, moved: false };
  scroller.setPointerCapture(event.pointerId);
});

scroller.addEventListener("pointermove", (event) => {
  if (!drag) {
    const row = rowAt(event);
    if (row !== view.hovered) {
      view.hovered = row;
      draw();
    }
    showTip(row, event.clientX, event.clientY);
    return;
  }
  const dx = event.clientX - drag.x;
  const dy = event.clientY - drag.y;
  if (!drag.moved && Math.hypot(dx, dy) < 4) return;
  drag.moved = true;
  showTip(-1);
  const by = (-dx / (view.width - view.gutter)) * (drag.to - drag.from);
  setWindow(drag.from + by, drag.to + by);
  scroller.scrollTop = drag.top - dy;
});

scroller.addEventListener("pointerup", (event) => {
  if (drag && !drag.moved) choose(rowAt(event), false);
  drag = null;
});

scroller.addEventListener("pointercancel", () => (drag = null));

scroller.addEventListener("pointerleave", () => {
  view.hovered = -1;
  showTip(-1);
  draw();
});

scroller.addEventListener("dblclick", (event) => {
  zoom(event.shiftKey ? 3 : 1 / 3, xToTime(event.clientX - scroller.getBoundingClientRect().left));
});

scroller.addEventListener("scroll", draw);

// In the overview a part is chosen by dragging; a click moves the part there.
let choosing = null;

overview.addEventListener("pointerdown", (event) => {
  const box = overview.getBoundingClientRect();
  const time = (x) => model.low + ((x - box.left) / box.width) * (model.high - model.low);
  choosing = { x: event.clientX, time };
  overview.setPointerCapture(event.pointerId);
});

overview.addEventListener("pointermove", (event) => {
  if (!choosing || Math.abs(event.clientX - choosing.x) < 4) return;
  const [a, b] = [choosing.time(choosing.x), choosing.time(event.clientX)];
  setWindow(Math.min(a, b), Math.max(a, b));
});

overview.addEventListener("pointerup", (event) => {
  if (choosing && Math.abs(event.clientX - choosing.x) < 4) {
    const at = choosing.time(event.clientX);
    const half = (view.to - view.from) / 2;
    setWindow(at - half, at + half);
  }
  choosing = null;
});

$("in").addEventListener("click", () => zoom(0.6));
$("out").addEventListener("click", () => zoom(1 / 0.6));
$("left").addEventListener("click", () => move(-0.3));
$("right").addEventListener("click", () => move(0.3));
$("all").addEventListener("click", () => setWindow(model.low, model.high));
$("order").addEventListener("change", order);
$("role").addEventListener("change", search);
$("failed").addEventListener("change", search);
$("dim").addEventListener("change", chooseRows);
$("tall").addEventListener("change", (event) => {
  view.tall = event.target.checked;
  layout();
});

let typing = 0;
$("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(search, model.count > 20000 ? 150 : 30);
});
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === "ArrowDown") {
    event.preventDefault();
    clearTimeout(typing);
    search();
    scroller.focus();
    step(1);
  } else if (event.key === "Escape") {
    event.target.value = "";
    search();
  }
});

// Ids in the tables and the details lead to the socket.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.socket");
  if (!link) return;
  event.preventDefault();
  const row = model.byId.get(link.textContent);
  if (row === undefined) {
    $("status").textContent = link.textContent + " is not among the sockets of the timeline";
  } else {
    choose(row, true);
    if (!$("details").contains(link)) scroller.focus({ preventScroll: true });
  }
  $("timeline").scrollIntoView({ block: "start" });
});

function legend() {
  const list = $("legend");
  list.replaceChildren();
  const add = (color, text) => {
    const item = element("li", text);
    const mark = element("i");
    mark.style.background = color;
    item.prepend(mark);
    list.append(item);
  };
  KINDS.forEach((name, kind) => add(colors.kinds[kind], name));
  add(colors.bad, "failed");
  add(colors.opened, "opened");
  add(colors.closed, "closed");
}

function restyle() {
  readColors();
  legend();
  draw();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
new ResizeObserver(layout).observe(scroller.parentElement);
view.tall = $("tall").checked = model.count <= 100;
restyle();
showDetails(-1);
chooseRows();
