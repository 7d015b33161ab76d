// Time from left to right: activity, the labels of this rater (edited by hand), those of others and of models.
import { numbers } from "./api.js";
import { $, Surface, attempt, clamp, clock, colour, style } from "./common.js";
import { classNumber, edit, events, intervalsOf, numberIn, rater, seconds, seek, select, show, state } from "./state.js";

const RULER = 22, LANE = 34, GRIP = 7;
let surface, activity = null, wanted = "";

const x = (time) => (time - state.view[0]) / (state.view[1] - state.view[0]) * surface.width;
const timeAt = (px) => state.view[0] + px / surface.width * (state.view[1] - state.view[0]);

function lanes() {
  const own = rater(), raters = new Set([own, ...intervalsOf(state.clip).map((one) => one.rater)]);
  const list = [...raters].map((name) => ({ name, own: name === own, items: intervalsOf(state.clip).filter((one) => one.rater === name) }));
  for (const track of state.others) {
    const items = track.intervals.filter(([clip]) => clip === state.clip).map(([, start, end, label, certainty]) => ({ start, end, label, certainty, number: numberIn(track, label) }));
    list.push({ name: track.name, own: false, items });
  }
  return list;
}

// Lanes under the own one share the room that is left.
function layout(height) {
  const list = lanes(), other = list.length > 1 ? clamp((height - RULER - 46 - LANE) / (list.length - 1), 9, 22) : 0;
  let top = RULER + clamp(height - RULER - LANE - other * (list.length - 1) - 6, 30, 90);
  return list.map((lane) => {
    const box = { ...lane, top, height: lane.own ? LANE : other };
    top += box.height;
    return box;
  });
}

function ticks(context, width, height) {
  const span = state.view[1] - state.view[0], goal = span / (width / 90);
  const step = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400].find((s) => s >= goal) ?? 28800;
  context.fillStyle = style("--soft"); context.strokeStyle = style("--line");
  context.font = `11.5px ${style("--sans")}`; context.textAlign = "left";
  for (let t = Math.ceil(state.view[0] / step) * step; t <= state.view[1]; t += step) {
    context.beginPath(); context.moveTo(x(t) + 0.5, 0); context.lineTo(x(t) + 0.5, height); context.stroke();
    context.fillText(clock(t, step < 0.1 ? 2 : step < 1 ? 1 : 0), x(t) + 4, 15);
  }
}

function fetchActivity(width) {
  const [start, end] = state.view, key = `${state.clip}:${start.toFixed(2)}:${end.toFixed(2)}:${Math.round(width)}`;
  if (key === wanted) return;
  wanted = key;
  const clip = state.clip;
  setTimeout(attempt(async () => {
    if (key !== wanted || clip < 0) return;
    const found = await numbers("/api/signal", { clip, start, end, points: Math.max(50, Math.round(width)) });
    if (key === wanted) { activity = { ...found, clip }; surface.later(); }
  }), activity?.clip === clip ? 90 : 0);
}

function drawActivity(context, top, bottom) {
  if (activity?.clip !== state.clip) return;
  const [points, channels] = activity.shape, shades = channels > 1 ? ["#0072b2", "#d55e00", "#009e73", "#b5598f", "#c98500", "#3fa0d8"] : [style("--accent")];
  const shown = Math.min(channels, 6);
  for (let c = 0; c < shown; c++) {
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < points; i++) { const k = (i * channels + c) * 2; low = Math.min(low, activity.values[k] || 0); high = Math.max(high, activity.values[k + 1] || 0); }
    if (channels === 1) low = 0;
    const y = (v) => bottom - (v - low) / (high - low || 1) * (bottom - top);
    context.strokeStyle = shades[c % shades.length];
    context.globalAlpha = channels > 1 ? 0.7 : 0.9;
    context.lineWidth = 1.2;
    context.beginPath();
    let drawing = false;
    for (let i = 0; i < points; i++) {
      const k = (i * channels + c) * 2, px = x(activity.start + (i + 0.5) / points * (activity.end - activity.start));
      if (Number.isNaN(activity.values[k])) { drawing = false; continue; }
      if (drawing) context.lineTo(px, y(activity.values[k])); else context.moveTo(px, y(activity.values[k]));
      context.lineTo(px, y(activity.values[k + 1]));
      drawing = true;
    }
    context.stroke();
  }
  context.globalAlpha = 1;
  const units = [...new Set(activity.units.slice(0, shown))].join(", "), words = channels === 1 ? `${activity.names[0]} (${units})` : units, wide = context.measureText(words).width + 8;
  context.fillStyle = style("--stage");
  context.fillRect(surface.width - 2 - wide, top - 2, wide, 16);
  context.fillStyle = style("--soft");
  context.textAlign = "right";
  context.fillText(words, surface.width - 6, top + 10);
}

function drawLane(context, lane) {
  context.fillStyle = style("--wash");
  context.fillRect(0, lane.top, surface.width, lane.height - 2);
  for (const one of lane.items) {
    const a = x(one.start), b = x(one.end);
    if (b < 0 || a > surface.width) continue;
    const number = one.number ?? classNumber(one.label), wide = Math.max(b - a, 1.5);
    context.globalAlpha = lane.own ? 0.92 : 0.35 + 0.5 * (one.certainty ?? 1);
    context.fillStyle = colour(number);
    context.fillRect(a, lane.top, wide, lane.height - 2);
    context.globalAlpha = 1;
    if (wide > 26 && lane.height > 12) {
      context.save();
      context.beginPath(); context.rect(Math.max(a, 0), lane.top, wide - 4, lane.height); context.clip();
      context.fillStyle = "#fff"; context.textAlign = "left"; context.font = `${lane.own ? 600 : 400} ${lane.own ? 12.5 : 11}px ${style("--sans")}`;
      context.fillText(one.label, Math.max(a, 0) + 6, lane.top + lane.height / 2 + 3);
      context.restore();
    }
  }
  context.textAlign = "right"; context.font = `11px ${style("--sans")}`;
  const wide = context.measureText(lane.name).width;
  context.globalAlpha = 0.8; context.fillStyle = style("--card");
  context.fillRect(surface.width - wide - 10, lane.top + lane.height / 2 - 8, wide + 8, 14);
  context.globalAlpha = 1; context.fillStyle = style("--soft");
  context.fillText(lane.name, surface.width - 6, lane.top + lane.height / 2 + 3);
}

function draw(context, width, height) {
  context.clearRect(0, 0, width, height);
  if (state.clip < 0) return;
  fetchActivity(width);
  ticks(context, width, height);
  const boxes = layout(height);
  drawActivity(context, RULER + 2, boxes[0].top - 4);
  boxes.forEach((lane) => drawLane(context, lane));
  const chosen = state.selection;
  if (chosen) {
    const a = x(chosen.start), b = x(chosen.end);
    context.fillStyle = style("--select");
    context.fillRect(a, RULER, b - a, height - RULER);
    context.fillStyle = style("--accent");
    for (const edge of [a, b]) context.fillRect(edge - 1.5, boxes[0].top - 3, 3, LANE + 4);
  }
  context.strokeStyle = style("--warn"); context.lineWidth = 1.5;
  context.beginPath(); context.moveTo(x(state.time), 0); context.lineTo(x(state.time), height); context.stroke();
}

export const ownAt = (time) => intervalsOf(state.clip).find((one) => one.rater === rater() && one.start <= time && time < one.end);

function grabbed(px, py) {
  const own = layout(surface.height)[0], time = timeAt(px);
  if (py < RULER) return { what: "view", from: time };
  const chosen = state.selection, within = GRIP / surface.width * (state.view[1] - state.view[0]);
  if (chosen) {
    if (Math.abs(time - chosen.start) < within) return { what: "start" };
    if (Math.abs(time - chosen.end) < within) return { what: "end" };
  }
  const inside = py >= own.top && py < own.top + own.height ? ownAt(time) : null;
  if (inside) return { what: chosen?.id === inside.id ? "whole" : "pick", one: inside, from: time };
  return { what: "new", from: time };
}

function moved(drag, time) {
  const chosen = state.selection, whole = seconds();
  drag.moved = true;
  if (drag.what === "view") { const by = drag.from - time; show(state.view[0] + by, state.view[1] + by); }
  else if (drag.what === "start") select({ ...chosen, start: clamp(time, 0, chosen.end - 0.02) });
  else if (drag.what === "end") select({ ...chosen, end: clamp(time, chosen.start + 0.02, whole) });
  else if (drag.what === "whole") {
    const length = drag.one.end - drag.one.start, start = clamp(drag.one.start + time - drag.from, 0, whole - length);
    select({ id: drag.one.id, start, end: start + length });
  } else if (drag.what === "new") select({ start: clamp(Math.min(drag.from, time), 0, whole), end: clamp(Math.max(drag.from, time), 0, whole) });
}

function released(drag, time) {
  const chosen = state.selection;
  if (!drag.moved) {
    if (drag.what === "pick" || drag.what === "whole") select({ id: drag.one.id, start: drag.one.start, end: drag.one.end });
    else if (drag.what === "new") select(null);
    seek(time);
    return;
  }
  if (drag.what === "new" && chosen && chosen.end - chosen.start < 0.02) select(null);
  if (chosen?.id && ["start", "end", "whole"].includes(drag.what)) edit([{ do: "change", id: chosen.id, start: chosen.start, end: chosen.end }]);
  if (drag.what !== "view" && chosen) seek(chosen.start);
}

export function zoom(factor, around = state.time) {
  const [a, b] = state.view;
  show(around - (around - a) * factor, around + (b - around) * factor);
}

export function setUp() {
  const canvas = $("timeline");
  surface = new Surface(canvas, draw);
  for (const name of ["clip", "time", "selection", "labels", "view"]) events.on(name, () => surface.later());
  events.on("time", () => {
    const [a, b] = state.view;
    if (state.playing && (state.time > b || state.time < a)) show(state.time, state.time + b - a);
    $("clock").value = `${clock(state.time)} / ${clock(seconds())}`;
  });
  $("rater").addEventListener("change", () => surface.later());
  let drag = null;
  const pointers = new Map();
  let pinch = null;
  canvas.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event.offsetX);
    canvas.setPointerCapture(event.pointerId);
    if (pointers.size === 2) {
      const [p, q] = [...pointers.values()];
      pinch = { width: Math.abs(p - q) || 1, view: [...state.view], around: timeAt((p + q) / 2) };
      drag = null;
      return;
    }
    drag = grabbed(event.offsetX, event.offsetY);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (pointers.has(event.pointerId)) pointers.set(event.pointerId, event.offsetX);
    if (pinch && pointers.size === 2) {
      const [p, q] = [...pointers.values()], factor = pinch.width / (Math.abs(p - q) || 1);
      show(pinch.around - (pinch.around - pinch.view[0]) * factor, pinch.around + (pinch.view[1] - pinch.around) * factor);
      return;
    }
    if (drag) { moved(drag, timeAt(event.offsetX)); return; }
    const what = grabbed(event.offsetX, event.offsetY).what;
    canvas.style.cursor = { start: "ew-resize", end: "ew-resize", whole: "move", pick: "pointer", view: "grab" }[what] ?? "crosshair";
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      if (pinch) { if (!pointers.size) pinch = null; return; }
      if (drag && name === "pointerup") released(drag, timeAt(event.offsetX));
      drag = null;
    });
  }
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      const by = (event.deltaX || event.deltaY) / surface.width * (state.view[1] - state.view[0]);
      show(state.view[0] + by, state.view[1] + by);
    } else zoom(Math.exp(event.deltaY * 0.0018), timeAt(event.offsetX));
  }, { passive: false });
  $("zoom-in").addEventListener("click", () => zoom(0.5));
  $("zoom-out").addEventListener("click", () => zoom(2));
  $("zoom-all").addEventListener("click", () => show(0, seconds()));
  return () => surface.later();
}
