// Moments like a chosen one, and the classifier that learns while labels are given.
import { get, post } from "./api.js";
import { $, attempt, clock, colour, make, say } from "./common.js";
import { edit, events, open, rater, refreshOthers, select, state } from "./state.js";
import { classButton, target } from "./labels.js";
import { shown } from "./library.js";

const MOST = 200; // moments of a list
const percent = (value) => `${Math.round(100 * value)} %`;

const more = attempt(async () => {
  const at = target();
  if (!at) { say("Select a time on the timeline first."); return; }
  $("more").disabled = true;
  $("similar-how").textContent = "Searching…";
  try {
    const { hits } = await get("/api/similar", { clip: state.clip, start: at.start, end: at.end });
    $("similar-how").textContent = hits.length ? `Most like ${state.archive.names[state.clip]}, ${clock(at.start, 1)} – ${clock(at.end, 1)}; smaller distances are more alike.` : "Nothing else is long enough to compare.";
    list(hits.map(({ clip, start, end, distance }) => [clip, start, end, distance.toFixed(2)]));
    $("track").value = "";
  } finally { $("more").disabled = false; }
});

function list(moments) {
  $("hits").replaceChildren(...moments.map(([clip, start, end, words]) => make("li", {},
    make("button", { class: "go", onclick: () => { open(clip, start, end); select({ start, end }); } }, make("b", {}, state.archive.names[clip]), make("small", {}, [clock(start, 1), words].filter(Boolean).join(" · "))))));
}

const mine = () => ({ name: "my labels", classes: state.classes, intervals: [...state.intervals.values()].filter((one) => one.rater === rater()).map((one) => [one.clip, one.start, one.end, one.label, one.certainty]) });
const sources = () => [mine(), ...state.others].filter((one) => one.intervals.length);

// Moments of a state or class of any track, or its least certain ones, among the recordings that the filters leave.
function ofTrack() {
  const [name, label] = JSON.parse($("track").value || "[]"), track = sources().find((one) => one.name === name);
  if (!track) return;
  const among = new Set(shown()), doubt = ([, , , , certainty]) => certainty ?? 1;
  const found = track.intervals.filter(([clip, , , own, certainty]) => among.has(clip) && (label == null ? certainty != null : own === label)).sort((a, b) => doubt(a) - doubt(b));
  $("similar-how").textContent = `${found.length.toLocaleString("en")} moments in the recordings listed${found.some((one) => one[4] != null) ? ", least certain first" : ""}${found.length > MOST ? `; ${MOST} are shown` : ""}.`;
  list(found.slice(0, MOST).map(([clip, start, end, own, certainty]) => [clip, start, end, [label == null && own, certainty != null && percent(certainty)].filter(Boolean).join(" · ")]));
}

let offered = "";
function tracks() {
  const now = JSON.stringify(sources().map(({ name, classes, intervals }) => [name, classes, intervals.some((one) => one[4] != null)]));
  if (now === offered) return; // most edits change nothing here
  offered = now;
  const before = $("track").value, option = (words, ...value) => make("option", { value: JSON.stringify(value) }, words);
  $("track").replaceChildren(make("option", { value: "" }, "Moments of …"), ...sources().map(({ name, classes, intervals }) => make("optgroup", { label: name },
    ...(intervals.some((one) => one[4] != null) ? [option("least certain", name)] : []), ...classes.map((label) => option(label, name, label)))));
  $("track").hidden = $("track").options.length < 2;
  if ([...$("track").options].some((one) => one.value === before)) $("track").value = before;
}

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

export { teach as shown };

export function setUp() {
  $("more").addEventListener("click", more);
  $("track").addEventListener("change", ofTrack);
  events.on("filter", ofTrack);
  events.on("labels", tracks);
  events.on("labels", () => { clearTimeout(timer); timer = setTimeout(teach, 600); });
}

export { more };
