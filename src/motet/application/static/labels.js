// Classes with their keys, the list of labels, and what the keyboard does with them.
import { $, clock, colour, make, say } from "./common.js";
import { edit, events, intervalsOf, open, rater, seconds, seek, select, state } from "./state.js";
import { ownAt } from "./timeline.js";

const own = () => intervalsOf(state.clip).filter((one) => one.rater === rater());

// The selected time, or the whole recording where recordings are short and nothing is selected.
export function target() {
  if (state.selection && state.selection.end - state.selection.start >= 0.02) return state.selection;
  const here = ownAt(state.time);
  if (here) return { id: here.id, start: here.start, end: here.end };
  return state.archive.long ? null : { start: 0, end: seconds() };
}

export async function name(label) {
  const at = target();
  if (!at) { say("Drag on the timeline to select a time first."); return; }
  if (at.id) await edit([{ do: "change", id: at.id, label }]);
  else {
    await edit([{ do: "add", clip: state.clip, start: at.start, end: at.end, label }]);
    const made = own().find((one) => Math.abs(one.start - at.start) < 1e-6);
    if (made && state.selection) select({ id: made.id, start: made.start, end: made.end });
  }
}

export function ask(title, value = "") {
  const dialog = $("rename");
  $("rename-title").textContent = title;
  $("rename-to").value = value;
  dialog.returnValue = "";
  dialog.showModal();
  $("rename-to").select();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "ok" ? $("rename-to").value.trim() : ""), { once: true }));
}

async function addClass() {
  const label = await ask("New class");
  if (!label) return;
  if (!state.classes.includes(label)) await edit([{ do: "class", name: label }]);
  if (state.selection) await name(label);
}

async function renameClass(label) {
  const to = await ask(`Rename ${label}`, label);
  if (to && to !== label) await edit([{ do: "rename", name: label, to }]);
}

export function classButton(label, number, onclick) {
  const dot = make("span", { class: "dot" });
  dot.style.background = colour(number);
  const button = make("button", { class: "class", title: label, onclick }, dot, make("span", {}, label));
  if (number < 9) button.append(make("kbd", {}, String(number + 1)));
  return button;
}

function classes() {
  const buttons = state.classes.map((label, number) => {
    const button = classButton(label, number, () => name(label));
    button.addEventListener("dblclick", () => renameClass(label));
    button.addEventListener("contextmenu", (event) => { event.preventDefault(); renameClass(label); });
    button.title = `${label} (double click to rename)`;
    return button;
  });
  $("classes").replaceChildren(...buttons, make("button", { class: "class", id: "add-class", onclick: addClass, title: "New class (N)" }, "+ class"));
}

function list() {
  const items = own();
  $("labels-empty").hidden = items.length > 0;
  $("intervals").replaceChildren(...items.map((one) => {
    const dot = make("span", { class: "dot" });
    dot.style.background = colour(state.classes.indexOf(one.label));
    const go = make("button", { class: "go", onclick: () => { select({ id: one.id, start: one.start, end: one.end }); seek(one.start); } }, dot, make("b", {}, one.label), make("small", {}, `${clock(one.start, 1)} – ${clock(one.end, 1)}`));
    const remove = make("button", { class: "act", "aria-label": `Remove ${one.label} at ${clock(one.start, 1)}`, onclick: () => edit([{ do: "remove", id: one.id }]) }, "✕");
    return make("li", { class: one.id === state.selection?.id ? "current" : "" }, go, remove);
  }));
}

export function split() {
  const one = ownAt(state.time);
  if (!one || state.time - one.start < 0.02 || one.end - state.time < 0.02) { say("Move the cursor inside one of your labels to split it there."); return; }
  edit([{ do: "change", id: one.id, end: state.time }, { do: "add", clip: state.clip, start: state.time, end: one.end, label: one.label }]);
}

export function merge() {
  const items = own(), at = items.findIndex((one) => one.id === state.selection?.id), one = items[at], next = items[at + 1];
  if (!one || !next) { say("Select a label that has another one after it to merge the two."); return; }
  edit([{ do: "remove", id: next.id }, { do: "change", id: one.id, end: next.end }]);
}

export function remove() {
  if (state.selection?.id) edit([{ do: "remove", id: state.selection.id }]);
  select(null);
}

export function edge(which) {
  const time = state.time, chosen = state.selection;
  const next = which === "start" ? { ...chosen, start: time, end: chosen && chosen.end > time ? chosen.end : Math.min(time + 1, seconds()) } : { ...chosen, start: chosen && chosen.start < time ? chosen.start : Math.max(0, time - 1), end: time };
  select(next);
  if (next.id) edit([{ do: "change", id: next.id, start: next.start, end: next.end }]);
}

export function neighbour(by) {
  const items = own();
  if (!items.length) return;
  const at = items.findIndex((one) => one.id === state.selection?.id);
  const one = items[at < 0 ? (by > 0 ? 0 : items.length - 1) : (at + by + items.length) % items.length];
  select({ id: one.id, start: one.start, end: one.end });
  open(state.clip, one.start);
}

export { addClass };

export function setUp() {
  for (const event of ["clip", "labels", "selection"]) events.on(event, list);
  events.on("labels", classes);
  events.on("labels", () => { $("undo").disabled = !state.undo; $("redo").disabled = !state.redo; });
  $("rater").addEventListener("change", list);
  classes();
}
