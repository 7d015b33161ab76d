// All recordings, filtered; only the rows in sight exist.
import { $, clock, colour, make } from "./common.js";
import { events, intervalsOf, open, rater, state } from "./state.js";

const ROW = 46;
let shown = [];

function options(select, all, names) {
  select.replaceChildren(make("option", { value: "" }, all), ...names.map((name, number) => make("option", { value: number }, name)));
  select.hidden = names.length < 2;
}

function filter() {
  const { names, labels, people } = state.archive, words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const label = $("by-label").value, person = $("by-person").value, done = $("by-done").value, own = rater();
  shown = names.map((_, clip) => clip).filter((clip) => {
    if (words.some((word) => !names[clip].toLowerCase().includes(word))) return false;
    if (label !== "" && labels[clip] !== Number(label)) return false;
    if (person !== "" && people[clip] !== Number(person)) return false;
    if (done === "") return true;
    return intervalsOf(clip).some((one) => one.rater === own) === (done === "1");
  });
  $("count").textContent = shown.length === names.length ? `${names.length.toLocaleString("en")} recordings` : `${shown.length.toLocaleString("en")} of ${names.length.toLocaleString("en")} recordings`;
  rows();
}

function row(clip, position) {
  const { archive } = state, given = archive.labels[clip], own = intervalsOf(clip);
  const marks = [...new Set(own.map((one) => one.label))].slice(0, 8).map((label) => { const dot = make("span", { class: "dot" }); dot.style.background = colour(state.classes.indexOf(label)); dot.title = label; return dot; });
  const words = [clock(archive.seconds[clip], archive.seconds[clip] < 60 ? 1 : 0), archive.person_names[archive.people[clip]], archive.class_names[given]].filter(Boolean).join(" · ");
  const node = make("div", { class: "clip", role: "option", id: `clip-${clip}`, "aria-selected": String(clip === state.clip), onclick: () => open(clip) }, make("b", {}, archive.names[clip]), make("small", {}, make("span", {}, words), ...marks));
  node.style.top = `${position * ROW}px`;
  return node;
}

function rows() {
  const list = $("list"), first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5), last = Math.min(shown.length, first + Math.ceil(list.clientHeight / ROW) + 10);
  $("rows").style.height = `${shown.length * ROW}px`;
  $("rows").replaceChildren(...shown.slice(first, last).map((clip, number) => row(clip, first + number)));
  if (state.clip >= 0) list.setAttribute("aria-activedescendant", `clip-${state.clip}`);
}

export function step(by) {
  const at = shown.indexOf(state.clip), next = shown[Math.min(Math.max(at + by, 0), shown.length - 1)];
  if (next !== undefined) open(next);
}

function reveal() {
  const list = $("list"), top = shown.indexOf(state.clip) * ROW;
  if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - ROW) list.scrollTop = top - list.clientHeight / 3;
  rows();
}

export function setUp() {
  options($("by-label"), "Any label", state.archive.class_names);
  options($("by-person"), "Anybody", state.archive.person_names);
  $("by-done").replaceChildren(make("option", { value: "" }, "Labelled or not"), make("option", { value: "1" }, "Labelled by me"), make("option", { value: "0" }, "Not yet labelled by me"));
  for (const id of ["search", "by-label", "by-person", "by-done", "rater"]) $(id).addEventListener("input", filter);
  $("list").addEventListener("scroll", rows);
  new ResizeObserver(rows).observe($("list"));
  $("list").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
    if (by) { event.preventDefault(); event.stopPropagation(); step(by); }
  });
  events.on("clip", reveal);
  events.on("labels", () => ($("by-done").value === "" ? rows() : filter()));
  filter();
}
