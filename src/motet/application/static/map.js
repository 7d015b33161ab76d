// Every moment as a dot; near ones are similar. Zoom, colour, and a lasso that names many at once.
import { get } from "./api.js";
import { $, Surface, attempt, clamp, clock, colour, make } from "./common.js";
import { ask, classButton } from "./labels.js";
import { edit, events, intervalsOf, numberIn, open, rater, state } from "./state.js";

let surface, data = null, camera = { x: 0, y: 0, zoom: 1 }, polygon = null, picked = [], lasso = false, wait = 0;
const RADIUS = 9;
const LEVELS = [[0.95, "95 % and more", "#1d3f66"], [0.8, "80 – 95 %", "#2f7fb0"], [0.6, "60 – 80 %", "#7cb8a4"], [0.4, "40 – 60 %", "#e0a93b"], [0, "less than 40 %", "#d55e00"]]; // certainty

let x, y, marked; // of every moment: where it lies, and whether the lasso holds it
const scale = () => Math.min(surface.width, surface.height) / 2.15 * camera.zoom;
const place = (i) => [surface.width / 2 + (x[i] - camera.x) * scale(), surface.height / 2 - (y[i] - camera.y) * scale()];

function groupOf() {
  const by = $("colour").value, middle = (i) => (data.start[i] + data.end[i]) / 2, { archive } = state;
  if (by === "person") return { names: archive.person_names, of: (i) => archive.people[data.clip[i]] };
  if (by === "given") return { names: archive.class_names, of: (i) => archive.labels[data.clip[i]] };
  if (by === "mine" || by.startsWith("rater:")) {
    const own = by === "mine" ? rater() : by.slice(6);
    return { names: state.classes, of: (i) => state.classes.indexOf(intervalsOf(data.clip[i]).find((one) => one.rater === own && one.start <= middle(i) && middle(i) < one.end)?.label) };
  }
  const [kind, name] = by.split(/:(.*)/s), track = state.others.find((one) => one.name === name);
  if (!track) return { names: [], of: () => -1 };
  const sure = kind === "certainty", byClip = new Map();
  for (const [clip, start, end, label, certainty] of track.intervals) {
    if (!byClip.has(clip)) byClip.set(clip, []);
    byClip.get(clip).push([start, end, !sure ? track.classes.indexOf(label) : certainty == null ? -1 : LEVELS.findIndex(([least]) => certainty >= least)]);
  }
  const of = (i) => (byClip.get(data.clip[i]) ?? []).find(([start, end]) => start <= middle(i) && middle(i) < end)?.[2] ?? -1;
  const tint = (n) => sure ? LEVELS[n]?.[2] ?? colour(n) : colour(numberIn(track, track.classes[n]));
  return { names: sure ? LEVELS.map(([, words]) => words) : track.classes, of, tint };
}

const paints = new Map();
// Opacity and colour of a group as bytes of an image: 0xbbggrr, and what one dot adds to 255.
function paint(tint, dim) {
  if (!paints.has(tint)) {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = tint;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = context.getImageData(0, 0, 1, 1).data;
    paints.set(tint, [(b << 16) | (g << 8) | r, dim ? 100 : 215]);
  }
  return paints.get(tint);
}

let groups = null;
function grouped() {
  const { of, tint = colour } = groupOf(), numbers = Int32Array.from(data.x, (_, i) => of(i));
  const used = new Map([...new Set(numbers)].map((number) => [number, paint(tint(number), number < 0)]));
  return { numbers, used, order: Int32Array.from(numbers.keys()).sort((a, b) => (numbers[a] >= 0) - (numbers[b] >= 0)) }; // what has no group lies below
}

// Every dot as a square of pixels: the same for 50,000 moments as a picture, where a canvas would be asked for each.
function dots(context, width, height) {
  const { width: wide, height: tall } = context.canvas, ratio = wide / width;
  const image = context.createImageData(wide, tall), pixels = new Uint32Array(image.data.buffer);
  const size = clamp(2600 / Math.sqrt(data.x.length) / 16 * Math.sqrt(camera.zoom), 1.5, 7), by = scale();
  for (const i of groups.order) {
    const side = Math.max(1, Math.round((size + 3 * marked[i]) * ratio)), [rgb, adds] = groups.used.get(groups.numbers[i]);
    const left = Math.round((width / 2 + (x[i] - camera.x) * by) * ratio - side / 2), top = Math.round((height / 2 - (y[i] - camera.y) * by) * ratio - side / 2);
    const right = Math.min(left + side, wide), bottom = Math.min(top + side, tall);
    for (let row = Math.max(top, 0); row < bottom; row++) {
      for (let at = row * wide + Math.max(left, 0); at < row * wide + right; at++) {
        const before = pixels[at];
        pixels[at] = rgb | (before << 8 >>> 8 === rgb ? Math.min((before >>> 24) + adds, 255) : adds) << 24; // many on one spot show
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function draw(context, width, height) {
  context.clearRect(0, 0, width, height);
  if (!data?.x) return;
  groups ??= grouped();
  dots(context, width, height);
  const here = data.clip.findIndex((clip, i) => clip === state.clip && data.start[i] <= state.time && state.time <= data.end[i]);
  if (here >= 0) { context.strokeStyle = "#d00"; context.lineWidth = 2; context.beginPath(); context.arc(...place(here), RADIUS, 0, 7); context.stroke(); }
  if (polygon) { context.strokeStyle = "#888"; context.lineWidth = 1.5; context.beginPath(); polygon.forEach(([x, y]) => context.lineTo(x, y)); context.stroke(); }
}

function nearest(px, py) {
  let best = -1, distance = Infinity;
  const cx = camera.x + (px - surface.width / 2) / scale(), cy = camera.y - (py - surface.height / 2) / scale(), most = (14 / scale()) ** 2;
  for (let i = 0; i < x.length; i++) { const d = (x[i] - cx) ** 2 + (y[i] - cy) ** 2; if (d < Math.min(distance, most)) { distance = d; best = i; } }
  return best;
}

function inside([x, y]) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [a, b] = polygon[i], [c, d] = polygon[j];
    if ((b > y) !== (d > y) && x < (c - a) * (y - b) / (d - b) + a) odd = !odd;
  }
  return odd;
}

function mark() {
  marked = new Uint8Array(x.length);
  for (const i of picked) marked[i] = 1;
}

function showPicked() {
  mark();
  $("picked").hidden = !picked.length;
  $("picked-count").textContent = `${picked.length.toLocaleString("en")} moments: name all as`;
  $("picked-classes").replaceChildren(...state.classes.map((label, number) => classButton(label, number, () => namePicked(label))),
    make("button", { class: "class", onclick: async () => { const label = await ask("New class"); if (label) namePicked(label); } }, "+ class"));
  surface.later();
}

function namePicked(label) {
  const operations = [];
  for (const i of picked) { // windows of a recording that overlap are one label; moments are in order of time
    const last = operations.at(-1);
    if (last?.clip === data.clip[i] && data.start[i] <= last.end) last.end = data.end[i];
    else operations.push({ do: "add", clip: data.clip[i], start: data.start[i], end: data.end[i], label });
  }
  picked = [];
  showPicked();
  edit(operations);
}

function legend() {
  groups = null;
  const { names, tint = colour } = data?.x ? groupOf() : { names: [] };
  $("legend").replaceChildren(...names.slice(0, 24).map((name, number) => { const dot = make("span", { class: "dot" }); dot.style.background = tint(number); return make("span", { title: name }, dot, name); }));
  if (names.length > 24) $("legend").append(make("span", {}, `and ${names.length - 24} more`));
  surface?.later();
}

function choices() {
  const kinds = [["mine", "My labels"]];
  const raters = new Set([...state.intervals.values()].map((one) => one.rater)), labelled = raters.delete(rater());
  for (const name of raters) kinds.push([`rater:${name}`, `Labels of ${name}`]);
  if (state.archive.labels.some((label) => label >= 0)) kinds.push(["given", "Labels of the archive"]);
  if (state.archive.person_names.length > 1) kinds.push(["person", "Person"]);
  for (const { name, intervals } of state.others) {
    kinds.push([`track:${name}`, name]);
    if (intervals.some((one) => one[4] != null)) kinds.push([`certainty:${name}`, `${name}: certainty`]);
  }
  const before = $("colour").value;
  $("colour").replaceChildren(...kinds.map(([value, word]) => make("option", { value }, word)));
  if (kinds.some(([value]) => value === before)) $("colour").value = before;
  else if (!labelled && kinds.length > 1) $("colour").value = kinds[1][0];
  legend();
}

const load = attempt(async () => {
  const found = await get("/api/map");
  $("map-state").textContent = found.state;
  if (found.x) {
    data = found;
    x = Float32Array.from(data.x); y = Float32Array.from(data.y);
    mark();
    legend();
  }
  clearTimeout(wait);
  if (!found.final) wait = setTimeout(load, found.x ? 3000 : 800);
});

export function shown() { if (!data?.final) load(); surface.later(); }

export function setUp() {
  surface = new Surface($("plane"), draw);
  events.on("labels", choices);
  events.on("labels", () => { if (picked.length) showPicked(); });
  events.on("time", () => { if (!state.playing) surface.later(); });
  events.on("clip", () => surface.later());
  $("colour").addEventListener("change", legend);
  $("map-all").addEventListener("click", () => { camera = { x: 0, y: 0, zoom: 1 }; surface.later(); });
  $("lasso").addEventListener("click", () => { lasso = !lasso; $("lasso").setAttribute("aria-pressed", String(lasso)); });
  const canvas = $("plane");
  let drag = null;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (lasso) polygon = [[event.offsetX, event.offsetY]];
    else drag = { x: event.offsetX, y: event.offsetY, moved: false };
  });
  canvas.addEventListener("pointermove", (event) => {
    if (polygon) { polygon.push([event.offsetX, event.offsetY]); surface.later(); return; }
    if (!drag) { if (data?.x) { const i = nearest(event.offsetX, event.offsetY); canvas.title = i < 0 ? "" : `${state.archive.names[data.clip[i]]}, ${clock(data.start[i], 1)}`; } return; }
    if (Math.hypot(event.offsetX - drag.x, event.offsetY - drag.y) > 3) drag.moved = true;
    if (!drag.moved) return;
    camera.x -= (event.offsetX - drag.x) / scale(); camera.y += (event.offsetY - drag.y) / scale();
    drag.x = event.offsetX; drag.y = event.offsetY;
    surface.later();
  });
  canvas.addEventListener("pointerup", (event) => {
    if (polygon && data?.x) { picked = data.x.map((_, i) => i).filter((i) => inside(place(i))); polygon = null; showPicked(); }
    else if (drag && !drag.moved && data?.x) { const i = nearest(event.offsetX, event.offsetY); if (i >= 0) open(data.clip[i], data.start[i], data.end[i]); }
    polygon = null; drag = null;
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const before = scale(), factor = Math.exp(-event.deltaY * 0.0015);
    const dx = event.offsetX - surface.width / 2, dy = event.offsetY - surface.height / 2;
    camera.zoom = clamp(camera.zoom * factor, 0.5, 60);
    camera.x += dx / before - dx / scale(); camera.y -= dy / before - dy / scale();
    surface.later();
  }, { passive: false });
  choices();
}
