// Moments like a chosen one, and the classifier that learns while labels are given.
import { get, post } from "./api.js";
import { $, attempt, clock, colour, make, say } from "./common.js";
import { edit, events, open, rater, refreshOthers, select, state } from "./state.js";
import { classButton, target } from "./labels.js";

const percent = (value) => `${Math.round(100 * value)} %`;

const more = attempt(async () => {
  const at = target();
  if (!at) { say("Select a time on the timeline first."); return; }
  $("more").disabled = true;
  $("similar-how").textContent = "Searching…";
  try {
    const { hits } = await get("/api/similar", { clip: state.clip, start: at.start, end: at.end });
    $("similar-how").textContent = hits.length ? `Most like ${state.archive.names[state.clip]}, ${clock(at.start, 1)} – ${clock(at.end, 1)}; smaller distances are more alike.` : "Nothing else is long enough to compare.";
    $("hits").replaceChildren(...hits.map(({ clip, start, end, distance }) => make("li", {},
      make("button", { class: "go", onclick: () => { open(clip, start, end); select({ start, end }); } }, make("b", {}, state.archive.names[clip]), make("small", {}, `${clock(start, 1)} · ${distance.toFixed(2)}`)))));
  } finally { $("more").disabled = false; }
});

function curve(points) {
  const figure = $("curve");
  figure.hidden = points.length < 2;
  if (figure.hidden) return;
  const most = Math.max(...points.map(([count]) => count)), x = (count) => 30 + 260 * count / most, y = (value) => 110 - 100 * value;
  const ns = "http://www.w3.org/2000/svg", node = (tag, attributes, text) => { const one = document.createElementNS(ns, tag); for (const [k, v] of Object.entries(attributes)) one.setAttribute(k, v); if (text) one.textContent = text; return one; };
  const svg = node("svg", { viewBox: "0 0 300 130", role: "img", "aria-label": `Expected for people without labels: ${points.map(([count, value]) => `${count} labels ${percent(value)}`).join(", ")}` });
  for (const value of [0, 0.5, 1]) svg.append(node("line", { x1: 30, x2: 290, y1: y(value), y2: y(value), stroke: "currentColor", opacity: 0.15 }), node("text", { x: 26, y: y(value) + 4, "text-anchor": "end", "font-size": 9.5, fill: "currentColor", opacity: 0.7 }, percent(value).replace(" ", "")));
  svg.append(node("polyline", { points: points.map(([count, value]) => `${x(count)},${y(value)}`).join(" "), fill: "none", stroke: "#0072b2", "stroke-width": 2 }));
  for (const [count, value] of points) svg.append(node("circle", { cx: x(count), cy: y(value), r: 3, fill: "#0072b2" }));
  svg.append(node("text", { x: 290, y: 126, "text-anchor": "end", "font-size": 10, fill: "currentColor", opacity: 0.7 }, `${most} labels`));
  figure.replaceChildren(svg, make("figcaption", {}, "Expected for people (or recordings) without labels: tried on held-out ones"));
}

function proposal(one) {
  const number = state.classes.indexOf(one.label), dot = make("span", { class: "dot" });
  dot.style.background = colour(number);
  const add = (label) => { item.remove(); edit([{ do: "add", clip: one.clip, start: one.start, end: one.end, label }]); };
  const look = () => { open(one.clip, one.start, one.end); select({ start: one.start, end: one.end }); };
  const known = one.label !== null, facts = [known && percent(one.probability), state.archive.long && clock(one.start, 0)].filter(Boolean).join(" · ");
  const item = make("li", {},
    make("button", { class: "go", onclick: look, title: state.archive.names[one.clip] }, dot, make("b", {}, known ? one.label : state.archive.names[one.clip]), make("small", {}, facts)),
    known ? make("button", { class: "act", "aria-label": `Accept ${one.label}`, onclick: () => add(one.label) }, "✓") : "",
    make("button", { class: "act", "aria-label": known ? "Another class" : "Choose a class", hidden: !state.classes.length, onclick: () => { look(); item.replaceChildren(...state.classes.map((label, k) => classButton(label, k, () => add(label)))); item.style.flexWrap = "wrap"; } }, "✎"),
    make("button", { class: "act", "aria-label": "Skip", onclick: attempt(async () => { item.remove(); await post("/api/skip", { clip: one.clip, start: one.start, end: one.end }); }) }, "✕"));
  return item;
}

let seen = -1, timer = 0;
const teach = attempt(async () => {
  clearTimeout(timer);
  const found = await get("/api/teach", { rater: rater() });
  $("teach-state").textContent = found.state;
  if (found.version !== seen) {
    seen = found.version;
    curve(found.curve);
    $("proposals").replaceChildren(...found.proposals.map(proposal));
    await refreshOthers();
  }
  if (!$("teach").hidden || found.working) timer = setTimeout(teach, found.working ? 700 : 2500);
});

export const shown = teach;

export function setUp() {
  $("more").addEventListener("click", more);
  events.on("labels", () => { clearTimeout(timer); timer = setTimeout(teach, 600); });
}

export { more };
