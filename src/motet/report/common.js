"use strict";
// What the pages have in common: their numbers, recordings decoded and interpolated, sharp canvases.
const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const data = JSON.parse($("data").textContent), motion = data.motion;
const hash = new URLSearchParams(location.hash.slice(1)); // e.g. #clip=12&colour=cluster&theme=dark, #branch=B1&at=0.5
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches, dark = matchMedia("(prefers-color-scheme: dark)");
const MISSING = -32768, TILT = .2, decoded = new Map();

function clip(i) {
  if (!decoded.has(i)) {
    const bytes = Uint8Array.from(atob(motion.clips[i].m), (c) => c.charCodeAt(0));
    const view = new DataView(bytes.buffer), values = new Int16Array(bytes.length / 2);
    for (let k = 0; k < values.length; k++) values[k] = view.getInt16(2 * k, true);
    decoded.set(i, values);
    if (decoded.size > 512) decoded.delete(decoded.keys().next().value);
  }
  return decoded.get(i);
}
// joints at a share of the clip: (persons · V) entries [x, y, z] or null
function pose(i, share) {
  const info = motion.clips[i], values = clip(i), size = info.p * motion.joints.length, dims = motion.dims;
  const where = share * (info.t - 1), low = Math.floor(where), high = Math.min(low + 1, info.t - 1), part = where - low;
  return Array.from({ length: size }, (_, joint) => {
    const a = (low * size + joint) * dims, b = (high * size + joint) * dims;
    const gone = values[a] === MISSING, next = values[b] === MISSING;
    if (part < .5 ? gone : next) return null;
    const out = [0, 0, 0];
    for (let d = 0; d < dims; d++) {
      const from = gone ? values[b + d] : values[a + d], to = next ? from : values[b + d];
      out[d] = (from + (to - from) * part) * info.s;
    }
    return out;
  });
}
function fit(canvas) {
  const ratio = Math.min(devicePixelRatio || 1, 2), box = canvas.getBoundingClientRect();
  const wide = Math.max(1, Math.round(box.width * ratio)), high = Math.max(1, Math.round(box.height * ratio));
  if (canvas.width !== wide || canvas.height !== high) { canvas.width = wide; canvas.height = high; }
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, box.width, box.height);
  return [g, box.width, box.height];
}
// colours of the present theme, by the names of their variables
function themed() {
  const style = getComputedStyle(root);
  return new Proxy({}, { get: (seen, name) => (seen[name] ??= style.getPropertyValue("--" + name).trim()) });
}
