// Puts the page together: panels, keys, exports.
import { get, save } from "./api.js";
import { $, attempt, make, say, theme } from "./common.js";
import * as find from "./find.js";
import * as labels from "./labels.js";
import * as library from "./library.js";
import * as map from "./map.js";
import * as player from "./player.js";
import { events, open, redo, refresh, refreshOthers, seconds, seek, select, show, state, undo } from "./state.js";
import * as timeline from "./timeline.js";

const KEYS = [
  ["Space", "play or pause"], ["← →", "a frame; with Shift extend the selection; with Ctrl a second"], ["[ ]", "selection starts or ends here"],
  ["1 … 9", "name the selection (or the label under the cursor)"], ["N", "new class"], ["Delete", "remove the selected label"], ["S", "split the label at the cursor"],
  ["M", "merge the selected label with the next"], [", .", "previous or next label"], ["↑ ↓", "previous or next recording"], ["L", "more like this"],
  ["+ − 0", "zoom in, out, whole recording"], ["Ctrl+Z, Ctrl+Shift+Z", "undo, redo"], ["Esc", "select nothing"],
];

const tabs = ["labels", "similar", "map", "teach"];
function tab(name) {
  for (const one of tabs) {
    $(one).hidden = one !== name;
    $(`tab-${one}`).setAttribute("aria-selected", String(one === name));
    $(`tab-${one}`).tabIndex = one === name ? 0 : -1;
  }
  if (name === "map") map.shown();
  if (name === "teach") find.shown();
}

function place(name) {
  for (const section of document.querySelectorAll("main > section")) section.classList.toggle("here", section.id === name);
  for (const button of document.querySelectorAll("#places button")) button.setAttribute("aria-current", String(button.dataset.place === name));
}

function stepTime(event, direction) {
  const by = direction * (event.ctrlKey || event.metaKey ? 1 : 1 / state.archive.fps), before = state.time;
  player.play(false);
  seek(before + by);
  if (!event.shiftKey) return;
  const chosen = state.selection && !state.selection.id ? state.selection : { start: before, end: before };
  const fixed = Math.abs(chosen.start - before) < Math.abs(chosen.end - before) ? chosen.end : chosen.start;
  select({ start: Math.min(fixed, state.time), end: Math.max(fixed, state.time) });
}

function key(event) {
  if (event.target.matches("input:not([type=checkbox]), select, textarea") || document.querySelector("dialog[open]")) return;
  const control = event.ctrlKey || event.metaKey, pressed = event.key;
  const actions = {
    " ": () => player.play(), ArrowLeft: () => stepTime(event, -1), ArrowRight: () => stepTime(event, 1), ArrowUp: () => library.step(-1), ArrowDown: () => library.step(1),
    "[": () => labels.edge("start"), "]": () => labels.edge("end"), Delete: labels.remove, Backspace: labels.remove, s: labels.split, m: labels.merge, n: labels.addClass,
    ",": () => labels.neighbour(-1), ".": () => labels.neighbour(1), l: find.more, "+": () => timeline.zoom(0.5), "=": () => timeline.zoom(0.5), "-": () => timeline.zoom(2),
    0: () => show(0, seconds()), "?": () => $("keys").showModal(), Escape: () => select(null),
  };
  let action = actions[pressed] ?? actions[pressed.toLowerCase()];
  if (control) action = { z: event.shiftKey ? redo : undo, y: redo, arrowleft: actions.ArrowLeft, arrowright: actions.ArrowRight }[pressed.toLowerCase()];
  else if (/^[1-9]$/.test(pressed) && state.classes[pressed - 1]) action = () => labels.name(state.classes[pressed - 1]);
  if (pressed === " " && event.target.matches("button, input, [role=tab]")) return;
  if (!action) return;
  event.preventDefault();
  action();
}

function light(dark) {
  theme(dark ? "dark" : "light");
  for (const name of ["time", "labels"]) events.emit(name);
}

function exports(formats) {
  $("formats").replaceChildren(...formats.map(([value, words]) => make("button", { type: "button", onclick: attempt(async () => { $("export").close(); say(value === "model" ? "Fitting the classifier takes minutes; labelling can go on meanwhile." : "Preparing…", true); await save("/api/export", { format: value, clip: state.clip }); say("Saved."); }) }, words)));
}

function remember(id, fallback) {
  let kept = null;
  try { kept = localStorage.getItem(`motet-${id}`); } catch { /* private windows keep nothing */ }
  $(id).value = kept ?? fallback;
  $(id).addEventListener("change", () => { try { localStorage.setItem(`motet-${id}`, $(id).value); } catch { /* as above */ } });
}

async function begin() {
  state.archive = await get("/api/library");
  const { archive } = state;
  document.title = `${archive.name} · motet`;
  $("title").textContent = archive.name;
  $("facts").textContent = archive.facts;
  remember("rater", archive.rater);
  for (const part of [player, timeline, library, labels, map, find]) part.setUp();
  exports(archive.formats);
  tabs.forEach((name, number) => {
    $(`tab-${name}`).addEventListener("click", () => tab(name));
    $(`tab-${name}`).addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (by) { event.stopPropagation(); const next = tabs[(number + by + tabs.length) % tabs.length]; tab(next); $(`tab-${next}`).focus(); }
    });
  });
  $("tab-labels").tabIndex = 0;
  document.querySelectorAll("#places button").forEach((button) => button.addEventListener("click", () => place(button.dataset.place)));
  place("stage");
  $("key-list").replaceChildren(...KEYS.flatMap(([keys, words]) => [make("dt", {}, make("kbd", {}, keys)), make("dd", {}, words)]));
  $("help").addEventListener("click", () => $("keys").showModal());
  $("take").addEventListener("click", () => $("export").showModal());
  $("undo").addEventListener("click", undo);
  $("redo").addEventListener("click", redo);
  $("theme").addEventListener("click", () => light(document.documentElement.dataset.theme !== "dark"));
  addEventListener("keydown", key);
  events.on("clip", () => {
    const { names, people, person_names: persons, labels: given, class_names: classes } = state.archive;
    $("name").textContent = names[state.clip];
    $("about").textContent = [persons[people[state.clip]], classes[given[state.clip]]].filter(Boolean).join(" · ");
  });
  open(0);
  light(matchMedia("(prefers-color-scheme: dark)").matches);
  await Promise.all([refresh(true), refreshOthers()]);
  // another page of the same application may edit too
  setInterval(() => { if (!document.hidden) refresh().catch(() => {}); }, 4000);
  document.body.dataset.ready = "yes";
}

attempt(begin)();
