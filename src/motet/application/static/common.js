// Small things that every module of the page needs.
import { COLOURS, GREY } from "./colours.js";

export const $ = (id) => document.getElementById(id);

// Text only ever enters the page as text: names come from files and people.
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

export function clock(seconds, digits = 2) {
  const s = Math.max(0, seconds), h = Math.floor(s / 3600), m = Math.floor((s % 3600) / 60);
  const rest = (s % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${rest}` : `${m}:${rest}`;
}

export const colour = (number) => number < 0 ? GREY : COLOURS[number] ?? `hsl(${(number * 137.508) % 360} 52% 48%)`;

// Colours and fonts of the page; computing them for every joint of every frame costs more than drawing.
const styles = new Map();
export function style(name) {
  if (!styles.has(name)) styles.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return styles.get(name);
}
export function theme(name) {
  document.documentElement.dataset.theme = name;
  styles.clear();
}

// A canvas as sharp as the screen; draws are gathered into one per frame.
export class Surface {
  constructor(canvas, draw) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.waiting = false;
    this.draw = draw;
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }
  resize() {
    const box = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    this.width = box.width; this.height = box.height;
    this.canvas.width = Math.max(1, Math.round(box.width * ratio));
    this.canvas.height = Math.max(1, Math.round(box.height * ratio));
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.later();
  }
  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      if (this.width > 0) this.draw(this.context, this.width, this.height);
    });
  }
}

let hide = 0;
export function say(text, lasting = false) {
  $("message").textContent = text;
  clearTimeout(hide);
  if (!lasting) hide = setTimeout(() => { $("message").textContent = ""; }, 6000);
}

// Runs what a person asked for; a failure is said, never swallowed.
export const attempt = (action) => async (...given) => {
  try { return await action(...given); } catch (error) { say(error.message); return undefined; }
};

export class Events {
  constructor() { this.listeners = {}; }
  on(name, listener) { (this.listeners[name] ??= []).push(listener); }
  emit(name, ...given) { for (const listener of this.listeners[name] ?? []) listener(...given); }
}
