// All recordings, filtered; only the rows in sight exist.
import { $, clock, colour, make } from "./common.js";
import { events, intervalsOf, open, rater, state } from "./state.js";

const ROW = 46;
let listed = [], offered = null;
export const shown = () => listed;

function options(select, all, rows) {
  const before = select.value;
  select.replaceChildren(make("option", { value: "" }, all), ...rows.map(([value, words]) => make("option", { value }, words)));
  select.value = rows.some(([value]) => String(value) === before) ? before : "";
  select.hidden = rows.length < 2;
}

// Classes that a recording has by itself or as a label along time, of any rater.
function labelled() {
  const { labels, class_names: given } = state.archive, used = new Set(labels.map((label) => given[label]));
  for (const one of state.intervals.values()) used.add(one.label);
  const names = [...new Set([...given, ...state.classes])].filter((name) => used.has(name));
  if (names.join("\n") === offered) return; // most edits change nothing here
  offered = names.join("\n");
  options($("by-label"), "Any label", names.map((name) => [name, name]));
}

function filter() {
  const { names, labels, people, class_names: given } = state.archive, words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const label = $("by-label").value, person = $("by-person").value, done = $("by-done").value, own = rater();
  listed = names.map((_, clip) => clip).filter((clip) => {
    if (words.some((word) => !names[clip].toLowerCase().includes(word))) return false;
    if (label !== "" && given[labels[clip]] !== label && !intervalsOf(clip).some((one) => one.label === label)) return false;
    if (person !== "" && people[clip] !== Number(person)) return false;
    if (done === "") return true;
    return intervalsOf(clip).some((one) => one.rater === own) === (done === "1");
  });
  $("count").textContent = listed.length === names.length ? `${names.length.toLocaleString("en")} recordings` : `${listed.length.toLocaleString("en")} of ${names.length.toLocaleString("en")} recordings`;
  rows();
  events.emit("filter");
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
  const list = $("list"), first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5), last = Math.min(listed.length, first + Math.ceil(list.clientHeight / ROW) + 10);
  $("rows").style.height = `${listed.length * ROW}px`;
  $("rows").replaceChildren(...listed.slice(first, last).map((clip, number) => row(clip, first + number)));
  if (state.clip >= 0) list.setAttribute("aria-activedescendant", `clip-${state.clip}`);
}

export function step(by) {
  const at = listed.indexOf(state.clip), next = listed[Math.min(Math.max(at + by, 0), listed.length - 1)];
  if (next !== undefined) open(next);
}

function reveal() {
  const list = $("list"), top = listed.indexOf(state.clip) * ROW;
  if (top < list.scrollTop || top > list.scrollTop + list.clientHeight - ROW) list.scrollTop = top - list.clientHeight / 3;
  rows();
}

export function setUp() {
  options($("by-person"), "Anybody", state.archive.person_names.map((name, number) => [number, name]));
  $("by-done").replaceChildren(make("option", { value: "" }, "Labelled or not"), make("option", { value: "1" }, "Labelled by me"), make("option", { value: "0" }, "Not yet labelled by me"));
  for (const id of ["search", "by-label", "by-person", "by-done", "rater"]) $(id).addEventListener("input", filter);
  $("list").addEventListener("scroll", rows);
  new ResizeObserver(rows).observe($("list"));
  $("list").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -1e9, End: 1e9 }[event.key];
    if (by) { event.preventDefault(); event.stopPropagation(); step(by); }
  });
  events.on("clip", reveal);
  events.on("labels", () => { labelled(); if ($("by-done").value + $("by-label").value === "") rows(); else filter(); });
  labelled();
  filter();
}
