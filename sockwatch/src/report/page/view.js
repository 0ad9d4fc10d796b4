// Draws: the overview of rates, the axis, and the rows. What is seen is `view`; everything else follows from it.

const TALL = 18;
const LABELS_FROM = 11;
const FONT = "11px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace";

const $ = (id) => document.getElementById(id);
const overview = $("overview");
const axis = $("axis");
const bars = $("bars");
const scroller = $("rows");

const view = {
  from: model.low,
  to: model.high,
  // Rows that are shown, in order, and whether each is dimmed.
  rows: new Uint32Array(0),
  dimmed: null,
  rowHeight: TALL,
  tall: false,
  chosen: -1,
  hovered: -1,
  gutter: 0,
  width: 0,
  height: 0,
};

let colors = {};

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const get = (name) => style.getPropertyValue(name).trim();
  colors = {
    kinds: KINDS.map((_, kind) => get("--kind-" + kind)),
    text: get("--text"),
    quiet: get("--quiet"),
    line: get("--line"),
    panel: get("--panel"),
    bad: get("--bad"),
    accent: get("--accent"),
    opened: get("--opened"),
    closed: get("--closed"),
    row: get("--row"),
  };
  colors.rgb = [...colors.kinds, colors.bad].map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
}

/** Makes a canvas as sharp as the screen; returns what to draw with, in CSS pixels. */
function prepare(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = width + "px";
    canvas.style.height = height + "px";
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.textBaseline = "middle";
  return context;
}

/** Steps that a person would choose for an axis. */
function ticks(from, to, room) {
  const most = Math.max(2, Math.floor(room / 90));
  const raw = (to - from) / most;
  let step = 1;
  while (step * 10 <= raw && step < 1e9) step *= 10;
  for (const factor of [1, 2, 5, 10]) {
    if (step * factor >= raw) {
      step *= factor;
      break;
    }
  }
  if (raw > 1e9) {
    const seconds = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
    const fits = seconds.find((s) => s * 1e9 >= raw);
    step = fits ? fits * 1e9 : Math.ceil(raw / 86400e9) * 86400e9;
  }
  // Steps are counted from midnight.
  const origin = (((model.baseMs + model.offsetMs) % 86400e3) + 86400e3) % 86400e3;
  const shift = origin * 1e6;
  const list = [];
  for (let at = Math.ceil((from + shift) / step); at * step - shift <= to && list.length < 64; at += 1) {
    list.push(at * step - shift);
  }
  return { step, list };
}

function drawOverview() {
  const width = overview.parentElement.clientWidth;
  const height = 76;
  const context = prepare(overview, width, height);
  const span = model.high - model.low;
  const x = (time) => ((time - model.low) / span) * width;
  const floor = height - 16;
  const rates = model.rates;
  const most = rates ? Math.max(1, ...rates.opened, ...rates.closed, ...rates.failed) : 0;
  if (rates) {
    const bar = (counts, color, left, share) => {
      context.fillStyle = color;
      counts.forEach((count, at) => {
        if (!count) return;
        const from = x(rates.since + at * rates.interval_ns);
        const wide = Math.max(1, (rates.interval_ns / span) * width);
        const high = Math.max(1.5, (count / most) * (floor - 4));
        context.fillRect(from + wide * left, floor - high, Math.max(0.75, wide * share - (wide > 4 ? 0.5 : 0)), high);
      });
    };
    bar(rates.opened, colors.opened, 0, 0.5);
    bar(rates.closed, colors.closed, 0.5, 0.5);
    bar(rates.failed, colors.bad, 0.25, 0.5);
  }
  context.strokeStyle = colors.line;
  context.beginPath();
  context.moveTo(0, floor + 0.5);
  context.lineTo(width, floor + 0.5);
  context.stroke();
  context.fillStyle = colors.quiet;
  const { step, list } = ticks(model.low, model.high, width);
  let last = -Infinity;
  for (const time of list) {
    const label = when(time, step);
    const wide = context.measureText(label).width;
    const at = x(time);
    if (at - wide / 2 < last + 8 || at - wide / 2 < 0 || at + wide / 2 > width) continue;
    context.fillText(label, at - wide / 2, height - 7);
    context.fillRect(at, floor, 1, 3);
    last = at + wide / 2;
  }
  if (view.from > model.low || view.to < model.high) {
    const [a, b] = [x(view.from), Math.max(x(view.to), x(view.from) + 2)];
    context.fillStyle = colors.panel;
    context.globalAlpha = 0.6;
    context.fillRect(0, 0, a, floor);
    context.fillRect(b, 0, width - b, floor);
    context.globalAlpha = 1;
    context.strokeStyle = colors.accent;
    context.lineWidth = 1.5;
    context.strokeRect(a, 1, b - a, floor - 1);
    context.lineWidth = 1;
  }
  context.fillStyle = colors.quiet;
  if (rates) context.fillText("most in " + lasted(rates.interval_ns) + ": " + grouped(most), 4, 8);
}

const timeToX = (time) => view.gutter + ((time - view.from) / (view.to - view.from)) * (view.width - view.gutter);
const xToTime = (x) => view.from + ((x - view.gutter) / (view.width - view.gutter)) * (view.to - view.from);

function drawAxis(marks) {
  const context = prepare(axis, view.width, 22);
  context.fillStyle = colors.quiet;
  let last = view.gutter;
  for (const time of marks.list) {
    const label = when(time, marks.step);
    const at = timeToX(time);
    const wide = context.measureText(label).width;
    if (at + 4 < last || at + 4 + wide > view.width) continue;
    context.fillText(label, at + 4, 10);
    context.fillRect(Math.round(at), 4, 1, 18);
    last = at + wide + 16;
  }
  if (view.gutter) context.fillText(model.zone, 4, 10);
}

function drawRows() {
  const { width, height, rows, rowHeight, gutter } = view;
  const context = prepare(bars, width, height);
  const marks = ticks(view.from, view.to, width - gutter);
  drawAxis(marks);
  context.fillStyle = colors.line;
  for (const time of marks.list) context.fillRect(Math.round(timeToX(time)), 0, 1, height);
  const scale = (width - gutter) / (view.to - view.from);
  const ratio = window.devicePixelRatio || 1;
  if (rowHeight * ratio < 2) drawDense(context, ratio);
  else drawEach(context, scale);
  for (const row of [view.hovered, view.chosen]) if (row >= 0) outline(context, row);
}

function drawEach(context, scale) {
  const { rows, rowHeight, gutter, width, height, from } = view;
  const top = scroller.scrollTop;
  const first = Math.max(0, Math.floor(top / rowHeight));
  const last = Math.min(rows.length, Math.ceil((top + height) / rowHeight));
  const gap = rowHeight >= 5 ? Math.max(1, Math.round(rowHeight * 0.2)) : 0;
  const high = Math.max(1, rowHeight - gap);
  for (let at = first; at < last; at += 1) {
    const row = rows[at];
    const y = at * rowHeight - top + gap / 2;
    context.globalAlpha = view.dimmed && view.dimmed[row] ? 0.15 : 1;
    if (row === view.chosen || row === view.hovered) {
      context.fillStyle = colors.row;
      context.fillRect(0, at * rowHeight - top, width, rowHeight);
    }
    let right = -1;
    let left = Infinity;
    for (let nth = model.of[row]; nth < model.of[row + 1]; nth += 1) {
      const a = Math.max(gutter, gutter + (model.froms[nth] - from) * scale);
      const b = Math.min(width, gutter + (model.tos[nth] - from) * scale);
      if (b < gutter || a > width) continue;
      context.fillStyle = colors.kinds[model.kinds[nth]];
      context.fillRect(a, y, Math.max(b - a, nth + 1 === model.of[row + 1] ? 2 : 0.5), high);
      right = Math.max(right, b);
      left = Math.min(left, a);
    }
    const a = gutter + (model.start[row] - from) * scale;
    const b = gutter + (model.end[row] - from) * scale;
    if (right < 0 && b >= gutter && a <= width) {
      // Nothing but a call that failed, or a socket that was never used.
      context.fillStyle = colors.quiet;
      context.fillRect(Math.max(a, gutter), y + high * 0.35, Math.max(Math.min(b, width) - Math.max(a, gutter), 2), Math.max(1, high * 0.3));
    }
    if (model.flags[row] & HAS_FAILED) {
      const end = Math.min(width - 3, Math.max(gutter, right >= 0 && right < width ? right : b));
      if (b >= gutter && a <= width) {
        context.fillStyle = colors.bad;
        context.fillRect(end - 1, y - 0.5, 4, high + 1);
      }
    }
    if (gutter && rowHeight >= LABELS_FROM) label(context, row, at * rowHeight - top + rowHeight / 2);
  }
  context.globalAlpha = 1;
}

/** The gutter's text, cut to its width: the font's characters are equally wide. */
function label(context, row, y) {
  const socket = model.sockets[row];
  const other = model.role[row] === 1 ? socket[LOCAL] : socket[PEER] || socket[LOCAL];
  const arrow = model.role[row] === 3 ? " → " : model.role[row] === 2 ? " ← " : " ";
  const text = socket[ID] + " " + owner(row) + arrow + (other || "");
  const room = Math.floor((view.gutter - 10) / 6.65);
  context.fillStyle = colors.text;
  context.fillText(text.length > room ? text.slice(0, room - 1) + "…" : text, 4, y);
}

/** Where rows are denser than pixels, each pixel says what most of the rows in it are doing, and whether one failed. */
function drawDense(context, ratio) {
  const { rows, rowHeight, gutter, width, height, from, to } = view;
  const left = Math.round(gutter * ratio);
  const w = Math.round(width * ratio) - left;
  const h = Math.round(height * ratio);
  if (w <= 0 || h <= 0) return;
  const scale = w / (to - from);
  const perPixel = 1 / (rowHeight * ratio);
  const top = scroller.scrollTop * ratio;
  const image = context.createImageData(w, h);
  const pixels = image.data;
  const kinds = KINDS.length;
  const delta = new Int32Array((kinds + 1) * (w + 1));
  const now = new Int32Array(kinds + 1);
  for (let line = 0; line < h; line += 1) {
    const first = Math.floor((line + top) * perPixel);
    const last = Math.min(rows.length, Math.max(first + 1, Math.floor((line + 1 + top) * perPixel)));
    if (first >= rows.length) break;
    delta.fill(0);
    let bright = false;
    for (let at = first; at < last; at += 1) {
      const row = rows[at];
      if (view.dimmed && view.dimmed[row]) continue;
      bright = true;
      let end = Math.floor((model.end[row] - from) * scale);
      for (let nth = model.of[row]; nth < model.of[row + 1]; nth += 1) {
        const a = Math.floor((model.froms[nth] - from) * scale);
        const b = Math.floor((model.tos[nth] - from) * scale);
        if (b < 0 || a >= w) continue;
        const base = model.kinds[nth] * (w + 1);
        delta[base + Math.max(0, a)] += 1;
        delta[base + Math.min(w, b + 1)] -= 1;
        end = b;
      }
      if (model.flags[row] & HAS_FAILED && end >= 0 && end < w) {
        delta[kinds * (w + 1) + Math.max(0, end - 1)] += 1;
        delta[kinds * (w + 1) + Math.min(w, end + 2)] -= 1;
      }
    }
    if (!bright) continue;
    now.fill(0);
    const share = 1 / Math.max(1, last - first);
    for (let x = 0; x < w; x += 1) {
      let all = 0;
      let most = -1;
      for (let kind = 0; kind <= kinds; kind += 1) {
        now[kind] += delta[kind * (w + 1) + x];
        if (kind < kinds && now[kind] > 0) {
          all += now[kind];
          if (most < 0 || now[kind] > now[most]) most = kind;
        }
      }
      const failed = now[kinds];
      if (most < 0 && !failed) continue;
      // Redder, the more of those that are there failed; one alone can still be seen.
      const red = failed ? Math.max(0.25, Math.min(1, Math.sqrt(failed / Math.max(all, failed)))) : 0;
      const tone = colors.rgb[most < 0 ? kinds : most];
      const bad = colors.rgb[kinds];
      const at = (line * w + x) * 4;
      for (let part = 0; part < 3; part += 1) pixels[at + part] = tone[part] + (bad[part] - tone[part]) * red;
      pixels[at + 3] = 90 + 165 * Math.min(1, Math.max(all * share, red));
    }
  }
  // Through a canvas of its own, so that the lines of the axis stay.
  const buffer = document.createElement("canvas");
  buffer.width = w;
  buffer.height = h;
  buffer.getContext("2d").putImageData(image, 0, 0);
  context.save();
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.drawImage(buffer, left, 0);
  context.restore();
}

function placeOf(row) {
  return view.rows.indexOf(row);
}

function outline(context, row) {
  const at = placeOf(row);
  if (at < 0) return;
  const y = at * view.rowHeight - scroller.scrollTop;
  if (y < -view.rowHeight || y > view.height) return;
  const high = Math.max(view.rowHeight, 3);
  const a = Math.max(view.gutter, timeToX(model.start[row]));
  const b = Math.min(view.width, timeToX(model.end[row]));
  context.strokeStyle = row === view.chosen ? colors.accent : colors.text;
  context.lineWidth = row === view.chosen ? 2 : 1;
  if (b >= view.gutter && a <= view.width) context.strokeRect(a - 1.5, y - 0.5, Math.max(b - a, 4) + 3, high + 1);
  context.lineWidth = 1;
}

let asked = false;

/** Draws at the next frame, once. */
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    drawOverview();
    drawRows();
  });
}
