// Every moment as a dot; near ones are similar. Zoom, colour, and a lasso that names many at once.
import { get } from "./api.js";
import { $, Surface, attempt, clamp, clock, colour, make } from "./common.js";
import { classButton } from "./labels.js";
import { edit, events, intervalsOf, open, rater, state } from "./state.js";

let surface, data = null, camera = { x: 0, y: 0, zoom: 1 }, polygon = null, picked = [], lasso = false, wait = 0;
const RADIUS = 9;

const scale = () => Math.min(surface.width, surface.height) / 2.15 * camera.zoom;
const place = (i) => [surface.width / 2 + (data.x[i] - camera.x) * scale(), surface.height / 2 - (data.y[i] - camera.y) * scale()];

function groupOf() {
  const by = $("colour").value, middle = (i) => (data.start[i] + data.end[i]) / 2, { archive } = state;
  if (by === "person") return { names: archive.person_names, of: (i) => archive.people[data.clip[i]] };
  if (by === "given") return { names: archive.class_names, of: (i) => archive.labels[data.clip[i]] };
  if (by === "mine") {
    const own = rater();
    return { names: state.classes, of: (i) => state.classes.indexOf(intervalsOf(data.clip[i]).find((one) => one.rater === own && one.start <= middle(i) && middle(i) < one.end)?.label) };
  }
  const track = state.others.find((one) => `track:${one.name}` === by);
  if (!track) return { names: [], of: () => -1 };
  const byClip = new Map();
  for (const [clip, start, end, label, certainty] of track.intervals) { if (!byClip.has(clip)) byClip.set(clip, []); byClip.get(clip).push([start, end, track.classes.indexOf(label), certainty]); }
  return { names: track.classes, of: (i) => (byClip.get(data.clip[i]) ?? []).find(([start, end]) => start <= middle(i) && middle(i) < end)?.[2] ?? -1 };
}

let groups = null;
function draw(context, width, height) {
  context.clearRect(0, 0, width, height);
  if (!data?.x) return;
  groups ??= (() => { const { names, of } = groupOf(); return { names, numbers: data.x.map((_, i) => of(i)) }; })();
  const side = clamp(2600 / Math.sqrt(data.x.length) / 16 * Math.sqrt(camera.zoom), 1.5, 7), chosen = new Set(picked);
  for (const pass of [-1, 0]) { // what has no group lies below
    for (let i = 0; i < data.x.length; i++) {
      const number = groups.numbers[i];
      if ((number < 0) !== (pass < 0)) continue;
      const [x, y] = place(i);
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) continue;
      context.globalAlpha = number < 0 ? 0.4 : 0.85;
      context.fillStyle = colour(number);
      const s = chosen.has(i) ? side + 3 : side;
      context.fillRect(x - s / 2, y - s / 2, s, s);
    }
  }
  context.globalAlpha = 1;
  const here = data.x.findIndex((_, i) => data.clip[i] === state.clip && data.start[i] <= state.time && state.time <= data.end[i]);
  if (here >= 0) { const [x, y] = place(here); context.strokeStyle = "#d00"; context.lineWidth = 2; context.beginPath(); context.arc(x, y, RADIUS, 0, 7); context.stroke(); }
  if (polygon) { context.strokeStyle = "#888"; context.lineWidth = 1.5; context.beginPath(); polygon.forEach(([x, y]) => context.lineTo(x, y)); context.stroke(); }
}

function nearest(px, py) {
  let best = -1, distance = 14 ** 2;
  for (let i = 0; i < data.x.length; i++) { const [x, y] = place(i), d = (x - px) ** 2 + (y - py) ** 2; if (d < distance) { distance = d; best = i; } }
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

function showPicked() {
  $("picked").hidden = !picked.length;
  $("picked-count").textContent = `${picked.length.toLocaleString("en")} moments: name all as`;
  $("picked-classes").replaceChildren(...state.classes.map((label, number) => classButton(label, number, () => {
    const operations = picked.map((i) => ({ do: "add", clip: data.clip[i], start: data.start[i], end: data.end[i], label }));
    picked = [];
    showPicked();
    edit(operations);
  })));
  surface.later();
}

function legend() {
  groups = null;
  const names = data?.x ? groupOf().names : [];
  $("legend").replaceChildren(...names.slice(0, 24).map((name, number) => { const dot = make("span", { class: "dot" }); dot.style.background = colour(number); return make("span", { title: name }, dot, name); }));
  if (names.length > 24) $("legend").append(make("span", {}, `and ${names.length - 24} more`));
  surface?.later();
}

function choices() {
  const kinds = [["mine", "My labels"]];
  if (state.archive.class_names.length > 1) kinds.push(["given", "Labels of the archive"]);
  if (state.archive.person_names.length > 1) kinds.push(["person", "Person"]);
  for (const track of state.others) kinds.push([`track:${track.name}`, track.name]);
  const before = $("colour").value;
  $("colour").replaceChildren(...kinds.map(([value, word]) => make("option", { value }, word)));
  if (kinds.some(([value]) => value === before)) $("colour").value = before;
  else if (!state.intervals.size && kinds.length > 1) $("colour").value = kinds[1][0];
  legend();
}

const load = attempt(async () => {
  const found = await get("/api/map");
  $("map-state").textContent = found.state;
  if (found.x) {
    data = found;
    legend();
  }
  clearTimeout(wait);
  if (!found.final) wait = setTimeout(load, found.x ? 3000 : 800);
});

export function shown() { if (!data?.final) load(); surface.later(); }

export function setUp() {
  surface = new Surface($("plane"), draw);
  events.on("labels", choices);
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
