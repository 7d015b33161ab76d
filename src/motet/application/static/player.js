// The recording itself: a skeleton that can be turned, or the signals around the cursor.
import { numbers } from "./api.js";
import { $, Surface, attempt, clamp, style } from "./common.js";
import { events, seconds, seek, state } from "./state.js";

const CHUNK = 20; // seconds that are fetched at once
const SIGNAL = 8; // seconds of signals that are shown around the cursor
const chunks = new Map();
let surface, camera = { yaw: 0, pitch: 0.12, zoom: 1 }, ghost = null, last = 0, fitted = -1, size = 1;

const body = () => state.archive.kind !== "sensor";

function chunk(clip, number) {
  const key = `${clip}:${number}`;
  if (!chunks.has(key)) {
    if (chunks.size > 40) chunks.delete(chunks.keys().next().value);
    const query = { clip, start: number * CHUNK, end: Math.min((number + 1) * CHUNK, seconds(clip)), points: 1600 };
    chunks.set(key, null);
    attempt(async () => {
      const part = await numbers(body() ? "/api/motion" : "/api/signal", query);
      chunks.set(key, part);
      surface.later();
    })().then(() => { if (chunks.get(key) === null) chunks.delete(key); });
  }
  return chunks.get(key);
}

function frameAt(clip, time) {
  const part = chunk(clip, Math.floor(Math.min(time, seconds(clip) - 1e-6) / CHUNK));
  if (!part) return null;
  const [count, persons, joints, dims] = part.shape;
  const at = clamp((time - part.start) * part.fps, 0, count - 1), low = Math.floor(at), high = Math.min(low + 1, count - 1), mix = at - low;
  const length = persons * joints * dims, values = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    const a = part.values[low * length + i], b = part.values[high * length + i];
    values[i] = Number.isNaN(b) ? a : Number.isNaN(a) ? NaN : a + (b - a) * mix;
  }
  return { values, persons, joints, dims, part };
}

function project(frame, width, height) {
  const { values, persons, joints, dims, part } = frame, middle = [...part.middle];
  if (fitted !== state.clip) {
    fitted = state.clip;
    camera = { yaw: dims === 3 ? part.yaw : 0, pitch: dims === 3 ? 0.12 : 0, zoom: 1 };
    size = part.size;
  }
  if ($("follow").checked) {
    const sums = new Array(dims).fill(0);
    let seen = 0;
    for (let j = 0; j < persons * joints; j++) if (!Number.isNaN(values[j * dims])) { seen++; for (let d = 0; d < dims; d++) sums[d] += values[j * dims + d]; }
    if (seen) for (const d of dims === 3 ? [0, 2] : [0]) middle[d] = sums[d] / seen;
  }
  const scale = Math.min(width, height) * 0.8 * camera.zoom / size, c = Math.cos(camera.yaw), s = Math.sin(camera.yaw), cp = Math.cos(camera.pitch), sp = Math.sin(camera.pitch);
  return (index) => {
    const x = values[index * dims] - middle[0], y = values[index * dims + 1] - middle[1], z = dims === 3 ? values[index * dims + 2] - middle[2] : 0;
    if (Number.isNaN(x)) return null;
    const turned = x * c + z * s, depth = -x * s + z * c;
    return [width / 2 + turned * scale, height / 2 - (y * cp - depth * sp) * scale, y * sp + depth * cp];
  };
}

function skeleton(context, width, height, frame, at, faded) {
  const { persons, joints } = frame, { bones, side, head } = state.archive;
  context.lineCap = "round";
  for (let person = 0; person < persons; person++) {
    const points = Array.from({ length: joints }, (_, joint) => at(person * joints + joint));
    const paint = (joint) => faded ? style("--ghost") : person ? style("--other") : style(["--middle", "--left", "--right"][side[joint]]);
    context.globalAlpha = faded ? 0.45 : 1;
    const order = bones.map(([a, b]) => [a, b, (points[a]?.[2] ?? 0) + (points[b]?.[2] ?? 0)]).sort((x, y) => x[2] - y[2]);
    context.lineWidth = clamp(height / 90, 2, 6);
    for (const [a, b] of order) {
      if (!points[a] || !points[b]) continue;
      context.strokeStyle = paint(side[b] ? b : a);
      context.beginPath(); context.moveTo(points[a][0], points[a][1]); context.lineTo(points[b][0], points[b][1]); context.stroke();
    }
    points.forEach((point, joint) => {
      if (!point) return;
      context.fillStyle = paint(joint);
      context.beginPath(); context.arc(point[0], point[1], joint === head ? clamp(height / 34, 4, 14) : clamp(height / 120, 2, 4), 0, 7); context.fill();
    });
  }
  context.globalAlpha = 1;
}

function floor(context, width, height) {
  context.strokeStyle = style("--line");
  context.lineWidth = 1;
  context.beginPath(); context.ellipse(width / 2, height * 0.9, Math.min(width, height) * 0.36, Math.min(width, height) * 0.05, 0, 0, 7); context.stroke();
}

function signals(context, width, height) {
  const first = clamp(state.time - SIGNAL / 2, 0, Math.max(0, seconds() - SIGNAL)), end = Math.min(first + SIGNAL, seconds());
  const x = (time) => 48 + (time - first) / (end - first || 1) * (width - 60);
  const parts = [];
  for (let n = Math.floor(first / CHUNK); n <= Math.floor((end - 1e-6) / CHUNK); n++) parts.push(chunk(state.clip, n));
  if (parts.some((part) => !part)) return waiting(context, width, height);
  const names = parts[0].names, groups = [];
  names.forEach((name, number) => {
    const group = name.replace(/\s*\S+$/, "") || "";
    let home = groups.find((one) => one.group === group && one.members.length < 6);
    if (!home) groups.push(home = { group, members: [] });
    home.members.push(number);
  });
  const tall = (height - 20) / groups.length;
  context.font = `12px ${style("--sans")}`;
  groups.forEach(({ group, members }, row) => {
    let low = Infinity, high = -Infinity;
    for (const part of parts) for (let i = 0; i < part.shape[0]; i++) for (const m of members) {
      const a = part.values[(i * names.length + m) * 2], b = part.values[(i * names.length + m) * 2 + 1];
      if (a < low) low = a;
      if (b > high) high = b;
    }
    if (!(high > low)) { low -= 1; high = low + 2; }
    const top = row * tall + 14, y = (v) => top + (1 - (v - low) / (high - low)) * (tall - 22);
    context.fillStyle = style("--soft");
    context.textAlign = "left";
    context.fillText(`${group || members.map((m) => names[m]).join(", ")} (${parts[0].units[members[0]]})`, 48, top - 2);
    context.textAlign = "right";
    context.fillText(high.toPrecision(2), 42, y(high) + 8); context.fillText(low.toPrecision(2), 42, y(low));
    members.forEach((m, number) => {
      context.strokeStyle = ["#0072b2", "#d55e00", "#009e73", "#b5598f", "#c98500", "#3fa0d8"][number];
      context.lineWidth = 1.5;
      context.beginPath();
      for (const part of parts) for (let i = 0; i < part.shape[0]; i++) {
        const time = part.start + (i + 0.5) / part.shape[0] * (part.end - part.start), value = part.values[(i * names.length + m) * 2];
        if (time < first || time > end || Number.isNaN(value)) continue;
        context.lineTo(x(time), y((value + part.values[(i * names.length + m) * 2 + 1]) / 2));
      }
      context.stroke();
    });
  });
  context.strokeStyle = style("--ink");
  context.beginPath(); context.moveTo(x(state.time), 0); context.lineTo(x(state.time), height); context.stroke();
}

function waiting(context, width, height) {
  context.fillStyle = style("--soft");
  context.textAlign = "center";
  context.fillText("Loading…", width / 2, height / 2);
}

function draw(context, width, height) {
  context.clearRect(0, 0, width, height);
  if (state.clip < 0) return;
  if (!body()) { signals(context, width, height); return; }
  const frame = frameAt(state.clip, state.time);
  if (!frame) { waiting(context, width, height); return; }
  if (frame.dims === 3) floor(context, width, height);
  const at = project(frame, width, height);
  if (ghost) {
    const other = frameAt(ghost.clip, clamp(ghost.time + state.time - ghost.from, 0, seconds(ghost.clip)));
    if (other) skeleton(context, width, height, other, project(other, width, height), true);
  }
  skeleton(context, width, height, frame, at, false);
}

function tick(now) {
  if (!state.playing) return;
  const step = Math.min((now - last) / 1000, 0.2) * Number($("speed").value);
  last = now;
  const [start, end] = state.selection && state.selection.end - state.selection.start > 0.05 ? [state.selection.start, state.selection.end] : [0, seconds()];
  let next = state.time + step;
  if (next >= end) next = start; // a selection plays again and again
  if ($("turn").checked) camera.yaw += step * 0.5;
  seek(next);
  requestAnimationFrame(tick);
}

export function play(on = !state.playing) {
  if (on === state.playing) return;
  state.playing = on;
  $("play").className = on ? "playing" : "";
  if (on) { last = performance.now(); requestAnimationFrame(tick); }
}

export function setUp() {
  surface = new Surface($("player"), draw);
  for (const name of ["clip", "time"]) events.on(name, () => surface.later());
  events.on("clip", () => { if (!matchMedia("(prefers-reduced-motion: reduce)").matches) play(true); });
  $("play").addEventListener("click", () => play());
  $("follow").addEventListener("change", () => surface.later());
  $("ghost").addEventListener("click", () => {
    ghost = ghost ? null : { clip: state.clip, time: state.selection?.start ?? state.time, from: 0 };
    if (ghost) ghost.from = ghost.time;
    $("ghost").setAttribute("aria-pressed", String(Boolean(ghost)));
    surface.later();
  });
  events.on("clip", () => { if (ghost) ghost.from = 0; });
  for (const node of document.querySelectorAll(".body-only")) node.hidden = !body();
  let drag = null;
  const canvas = $("player");
  canvas.addEventListener("pointerdown", (event) => { drag = [event.clientX, event.clientY]; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    camera.yaw += (event.clientX - drag[0]) * 0.01;
    camera.pitch = clamp(camera.pitch + (event.clientY - drag[1]) * 0.006, -1.2, 1.4);
    drag = [event.clientX, event.clientY];
    surface.later();
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { drag = null; });
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); camera.zoom = clamp(camera.zoom * Math.exp(-event.deltaY * 0.001), 0.2, 8); surface.later(); }, { passive: false });
  canvas.addEventListener("dblclick", () => { fitted = -1; surface.later(); });
  return () => surface.later();
}
