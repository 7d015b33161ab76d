// What the page knows: the archive, the labels as the server has them, where the reader is.
import { get, post } from "./api.js";
import { Events, clamp, say } from "./common.js";

export const events = new Events(); // "clip", "time", "selection", "labels", "view", "filter"
export const state = {
  archive: null,
  clip: -1,
  time: 0,
  playing: false,
  view: [0, 1], // seconds that the timeline shows
  selection: null, // {start, end, id?}
  classes: [],
  intervals: new Map(), // id -> {id, clip, start, end, label, rater, certainty}
  others: [], // tracks that are not edited here: {name, classes, intervals: [clip, start, end, label, certainty]}
  revision: 0,
  undo: false,
  redo: false,
};

export const seconds = (clip = state.clip) => state.archive.seconds[clip] ?? 0;
export const rater = () => document.getElementById("rater").value.trim() || "me";
export const classNumber = (label) => state.classes.indexOf(label);
// A class has one colour in all tracks; names of a track that shares none are numbered by themselves.
export function numberIn({ classes }, label) {
  if (!classes.some((name) => classNumber(name) >= 0)) return classes.indexOf(label);
  const number = classNumber(label);
  return number < 0 && classes.includes(label) ? state.classes.length + classes.indexOf(label) : number;
}

let byClip = null;
export function intervalsOf(clip) {
  if (!byClip) {
    byClip = new Map();
    for (const one of state.intervals.values()) {
      if (!byClip.has(one.clip)) byClip.set(one.clip, []);
      byClip.get(one.clip).push(one);
    }
    for (const list of byClip.values()) list.sort((a, b) => a.start - b.start);
  }
  return byClip.get(clip) ?? [];
}

function take(answer) {
  if (answer.reset) state.intervals.clear();
  for (const id of answer.removed) state.intervals.delete(id);
  for (const [id, clip, start, end, label, by, certainty] of answer.added) state.intervals.set(id, { id, clip, start, end, label, rater: by, certainty });
  byClip = null;
  Object.assign(state, { classes: answer.classes, revision: answer.revision, undo: answer.undo, redo: answer.redo });
  if (state.selection?.id && !state.intervals.has(state.selection.id)) select(null);
  else if (state.selection?.id) {
    const one = state.intervals.get(state.selection.id);
    select({ start: one.start, end: one.end, id: one.id });
  }
  events.emit("labels");
}

let queue = Promise.resolve();
// Edits of one page reach the server in the order in which they were made.
const ordered = (action) => { queue = queue.then(action).catch((error) => { say(error.message); return refresh(true).catch(() => {}); }); return queue; };

export const edit = (operations) => ordered(async () => {
  const answer = await post("/api/labels", { operations, rater: rater(), since: state.revision });
  take(answer);
  return answer;
});
export const undo = () => ordered(async () => take(await post("/api/undo", { rater: rater(), since: state.revision })));
export const redo = () => ordered(async () => take(await post("/api/redo", { rater: rater(), since: state.revision })));

export async function refresh(whole = false) {
  take(await get("/api/labels", { since: whole ? -1 : state.revision, rater: rater() }));
}
export async function refreshOthers() {
  state.others = (await get("/api/tracks")).tracks;
  const natural = new Intl.Collator("en", { numeric: true }).compare;
  for (const { classes } of state.others) classes.sort((a, b) => classNumber(a) - classNumber(b) || natural(a, b));
  events.emit("labels");
}

export function select(selection) {
  state.selection = selection;
  events.emit("selection");
}
export function seek(time) {
  state.time = clamp(time, 0, seconds());
  events.emit("time");
}
export function show(start, end) {
  const whole = seconds(), width = clamp(end - start, Math.min(0.2, whole), whole);
  const first = clamp(start, 0, whole - width);
  state.view = [first, first + width];
  events.emit("view");
}
export function open(clip, start = 0, end = null) {
  if (clip !== state.clip) {
    state.clip = clip;
    state.view = [0, seconds()];
    state.selection = null;
    events.emit("clip");
  }
  if (end != null) {
    const margin = Math.max(end - start, 2);
    if (seconds() > 30) show(start - 2 * margin, end + 2 * margin);
  }
  seek(start);
}
