// Everything on the page that moves. Text from the recordings only ever reaches the page as textContent.
(() => {
  // ---------------------------------------------------------------- theme
  let chosenTheme = hash.get("theme");
  let css = {};
  const redraws = [];
  function setTheme() {
    root.dataset.theme = chosenTheme || (dark.matches ? "dark" : "light");
    css = themed();
    redraws.forEach((redraw) => redraw());
  }
  dark.addEventListener("change", setTheme);
  $("theme").addEventListener("click", () => {
    chosenTheme = root.dataset.theme === "dark" ? "light" : "dark";
    setTheme();
  });
  setTheme();
  addEventListener("beforeprint", () => { root.dataset.theme = "light"; setTimeout(() => redraws.forEach((f) => f())); });
  addEventListener("afterprint", setTheme);

  // ---------------------------------------------------------------- tooltip, curves
  const tip = $("tip");
  function showTip(text, x, y) {
    tip.textContent = text;
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    tip.style.left = Math.max(6, Math.min(x + 14, innerWidth - box.width - 6)) + "px";
    tip.style.top = (y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 16) + "px";
  }
  const hideTip = () => { tip.hidden = true; };
  addEventListener("scroll", hideTip, { passive: true });
  document.querySelectorAll(".confusion").forEach((svg) => {
    svg.addEventListener("pointermove", (event) => {
      const text = event.target.dataset && event.target.dataset.tip;
      if (text) showTip(text, event.clientX, event.clientY); else hideTip();
    });
    svg.addEventListener("pointerleave", hideTip);
  });
  const brief = (value) => String(Number(value.toPrecision(4))).replace("-", "−");
  document.querySelectorAll("svg[data-curve]").forEach((svg) => {
    const set = svg.dataset, chart = data.curves[set.curve], cross = svg.querySelector(".cross"), wide = svg.viewBox.baseVal.width;
    const lines = Object.entries(chart.series).filter(([, points]) => points.length);
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), inner = wide - set.left - set.right;
      const share = ((event.clientX - box.left) / box.width * wide - set.left) / inner;
      const want = +set.x0 + Math.min(Math.max(share, 0), 1) * (set.x1 - set.x0);
      const near = lines.map(([name, points]) => [name, points.reduce((a, b) => (Math.abs(b[0] - want) < Math.abs(a[0] - want) ? b : a))]);
      const x = near[0][1][0];
      cross.setAttribute("transform", `translate(${+set.left + (x - set.x0) / (set.x1 - set.x0) * inner} 0)`);
      cross.setAttribute("visibility", "visible");
      showTip(`${chart.x} ${brief(x)}\n` + near.map(([name, point]) => `${name}  ${brief(point[1])}`).join("\n"), event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", () => { cross.setAttribute("visibility", "hidden"); hideTip(); });
  });

  const points = data.points;
  if (!points || !points.xy.length) return;
  const count = points.xy.length;
  const labelled = points.label.some((label) => label >= 0);

  // ---------------------------------------------------------------- colours and symbols: 8 × 8 × (filled, hollow) = 128 kinds
  const COLOURS = 8, SHAPES = 8;
  const polygon = (sides, turn, inner) => Array.from({ length: inner ? sides * 2 : sides }, (_, i) => {
    const angle = turn + i * 2 * Math.PI / (inner ? sides * 2 : sides), far = inner && i % 2 ? inner : 1;
    return [Math.sin(angle) * far, -Math.cos(angle) * far];
  });
  const cross = [[-.33, -1], [.33, -1], [.33, -.33], [1, -.33], [1, .33], [.33, .33], [.33, 1], [-.33, 1], [-.33, .33], [-1, .33], [-1, -.33], [-.33, -.33]];
  const shapes = [null, polygon(4, Math.PI / 4), polygon(3, 0), polygon(4, 0), cross, polygon(3, Math.PI), polygon(5, 0, .45), polygon(6, 0)];
  const grow = [1, 1.12, 1.22, 1.2, 1.12, 1.22, 1.4, 1.1];
  // 0..7 differ in colour and shape at once, so the first eight classes are told apart twice over
  const kindOf = (group) => ({
    colour: group < 0 ? "grey" : "c" + (group % COLOURS),
    shape: group < 0 ? 0 : (group + Math.floor(group / COLOURS)) % SHAPES,
    hollow: group >= COLOURS * SHAPES && group < 2 * COLOURS * SHAPES,
  });
  function symbol(g, group, x, y, r, colour) {
    const kind = kindOf(group), shape = shapes[kind.shape], size = r * grow[kind.shape];
    g.beginPath();
    if (shape) { shape.forEach(([dx, dy], i) => g[i ? "lineTo" : "moveTo"](x + dx * size, y + dy * size)); g.closePath(); } else g.arc(x, y, r, 0, 7);
    if (kind.hollow) { g.strokeStyle = colour; g.lineWidth = 1.8; g.stroke(); } else { g.fillStyle = colour; g.fill(); }
  }

  // ---------------------------------------------------------------- state
  let colourBy = hash.get("colour") === "cluster" || !labelled ? "cluster" : "label";
  const wanted = new Set(); // groups that the legend filters for; empty = all
  let hovered = null, pinned = null, current = 0, lit = null;
  const groupOf = (i) => points[colourBy][i];
  const groupName = (group, by = colourBy) => (by === "cluster" ? data.clusters[group] : group < 0 ? "no label" : data.classes[group]);
  const shown = (i) => !wanted.size || wanted.has(groupOf(i));

  // ---------------------------------------------------------------- map
  const plane = $("plane");
  let at = [];
  const extent = [0, 1].map((axis) => Math.max(...points.xy.map((xy) => Math.abs(xy[axis])), 1e-9));
  function drawMap() {
    const [g, wide, high] = fit(plane);
    const pad = 20, r = Math.max(2.6, Math.min(6.2, 105 / Math.sqrt(count))) * Math.min(1, wide / 560 + .15);
    const zoom = Math.min((wide / 2 - pad) / extent[0], (high / 2 - pad) / extent[1]);
    at = points.xy.map(([x, y]) => [wide / 2 + x * zoom, high / 2 - y * zoom]);
    const order = [...at.keys()].sort((a, b) => rank(a) - rank(b));
    for (const i of order) {
      const strong = shown(i) && (lit === null || groupOf(i) === lit);
      g.globalAlpha = strong ? .86 : 1;
      symbol(g, groupOf(i), at[i][0], at[i][1], strong && lit !== null ? r * 1.25 : r, strong ? css[kindOf(groupOf(i)).colour] : css.faint);
    }
    g.globalAlpha = 1;
    const [x, y] = at[current];
    g.strokeStyle = css.ink;
    g.lineWidth = 1;
    for (const j of points.near[current]) {
      g.globalAlpha = .6;
      g.beginPath(); g.moveTo(x, y); g.lineTo(at[j][0], at[j][1]); g.stroke();
      g.globalAlpha = 1;
      g.beginPath(); g.arc(at[j][0], at[j][1], r + 2.5, 0, 7); g.stroke();
    }
    g.fillStyle = css.card;
    g.beginPath(); g.arc(x, y, r * 1.7 + 4, 0, 7); g.fill();
    g.lineWidth = pinned === null ? 1.5 : 3;
    g.stroke();
    symbol(g, groupOf(current), x, y, r * 1.5, css[kindOf(groupOf(current)).colour]);
  }
  const rank = (i) => (shown(i) && (lit === null || groupOf(i) === lit) ? 1 : 0);
  redraws.push(drawMap);

  function closest(x, y, reach) {
    let best = null, least = reach * reach;
    at.forEach(([px, py], i) => {
      const far = (px - x) ** 2 + (py - y) ** 2;
      if (far < least && shown(i)) { least = far; best = i; }
    });
    return best;
  }
  function pointAt(event, reach) {
    const box = plane.getBoundingClientRect();
    return closest(event.clientX - box.left, event.clientY - box.top, reach);
  }
  plane.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    hovered = pointAt(event, 14);
    if (hovered === null) return hideTip();
    showTip(describe(hovered), event.clientX, event.clientY);
    if (pinned === null) choose(hovered);
  });
  plane.addEventListener("pointerleave", () => { hovered = null; hideTip(); });
  plane.addEventListener("click", (event) => {
    const i = pointAt(event, event.pointerType === "touch" ? 26 : 14);
    if (i === null || i === pinned) pin(null); else pin(i);
  });
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  plane.addEventListener("keydown", (event) => {
    if (event.key in arrows) {
      const [dx, dy] = arrows[event.key], [x, y] = at[current];
      let best = null, least = Infinity;
      at.forEach(([px, py], i) => {
        const along = (px - x) * dx + (py - y) * dy, aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
        const cost = along + 2.2 * aside;
        if (i !== current && shown(i) && along > .5 && cost < least) { least = cost; best = i; }
      });
      if (best !== null) { if (pinned !== null) pin(best); else choose(best); }
    } else if (event.key === "Enter") pin(pinned === current ? null : current);
    else if (event.key === "Escape") pin(null);
    else if (event.key === " ") toggle();
    else return;
    event.preventDefault();
  });

  const from = (i) => (points.file && points.file[i] && points.file[i] !== points.name[i] ? " · " + points.file[i] : "");
  const describe = (i) => (labelled ? groupName(points.label[i], "label") + "\n" : "") + points.name[i] + from(i);
  function pin(i) {
    pinned = i;
    if (i !== null) { choose(i); history.replaceState(null, "", "#clip=" + i); }
    $("pin").setAttribute("aria-pressed", String(pinned !== null));
    $("pin").textContent = pinned === null ? "pin" : "pinned";
    drawMap();
  }
  $("pin").addEventListener("click", () => pin(pinned === null ? current : null));

  // ---------------------------------------------------------------- legend
  const legend = $("legend");
  function drawLegend() {
    const sizes = new Map();
    for (let i = 0; i < count; i++) sizes.set(groupOf(i), (sizes.get(groupOf(i)) || 0) + 1);
    legend.replaceChildren(...[...sizes.keys()].sort((a, b) => a - b).map((group) => {
      const item = document.createElement("li"), button = document.createElement("button");
      const sample = document.createElement("canvas"), name = document.createElement("span"), size = document.createElement("small");
      sample.width = sample.height = 32;
      sample.style.cssText = "width:16px;height:16px;flex:none;border-radius:0";
      const g = sample.getContext("2d");
      g.scale(2, 2);
      symbol(g, group, 8, 8, 5.2, css[kindOf(group).colour]);
      button.type = "button";
      button.title = groupName(group);
      name.textContent = groupName(group);
      size.textContent = sizes.get(group);
      button.append(sample, name, size);
      button.setAttribute("aria-pressed", String(wanted.has(group)));
      button.addEventListener("click", () => { if (!wanted.delete(group)) wanted.add(group); filtered(); });
      const light = (on) => () => { lit = on ? group : null; drawMap(); };
      button.addEventListener("pointerenter", (event) => { if (event.pointerType !== "touch") light(true)(); });
      button.addEventListener("pointerleave", light(false));
      button.addEventListener("focus", () => { if (button.matches(":focus-visible")) light(true)(); });
      button.addEventListener("blur", light(false));
      item.dataset.group = group;
      item.append(button);
      return item;
    }));
    filtered();
  }
  function filtered() {
    for (const item of legend.children) item.firstChild.setAttribute("aria-pressed", String(wanted.has(+item.dataset.group)));
    legend.classList.toggle("filtered", wanted.size > 0);
    $("all").hidden = !wanted.size;
    const amount = legend.children.length, one = amount === 1;
    const what = colourBy === "cluster" ? `group${one ? "" : "s"} found without labels` : one ? "class" : "classes";
    $("legend-title").textContent = `${amount} ${what}; click to show only some`;
    drawMap();
  }
  $("all").addEventListener("click", () => { wanted.clear(); filtered(); });
  const switches = [...document.querySelectorAll("[data-colour]")];
  function colour(by) {
    colourBy = by;
    wanted.clear();
    lit = null;
    for (const button of switches) {
      button.setAttribute("aria-checked", String(button.dataset.colour === by));
      button.tabIndex = button.dataset.colour === by ? 0 : -1;
    }
    drawLegend();
  }
  for (const button of switches) {
    button.addEventListener("click", () => colour(button.dataset.colour));
    button.addEventListener("keydown", (event) => {
      if (!(event.key in arrows)) return;
      const other = switches.find((one) => one !== button);
      event.preventDefault();
      colour(other.dataset.colour);
      other.focus();
    });
  }
  if (!labelled) document.querySelector(".switch").remove();

  // ---------------------------------------------------------------- search
  const search = $("search"), found = $("found");
  function seek() {
    const text = search.value.trim().toLowerCase();
    const hits = [];
    for (let i = 0; text && i < count && hits.length < 8; i++) if (describe(i).toLowerCase().includes(text)) hits.push(i);
    found.replaceChildren(...hits.map((i) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = describe(i).split("\n").reverse().join(" · ");
      button.addEventListener("click", () => { pin(i); search.value = ""; seek(); });
      item.append(button);
      return item;
    }));
    if (text && !hits.length) { const none = document.createElement("li"); none.textContent = "Nothing of that name is on the map."; found.append(none); }
    found.hidden = !text;
  }
  search.addEventListener("input", seek);
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && found.querySelector("button")) found.querySelector("button").click();
    if (event.key === "ArrowDown" && found.querySelector("button")) { found.querySelector("button").focus(); event.preventDefault(); }
    if (event.key === "Escape") { search.value = ""; seek(); }
  });
  found.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { search.value = ""; seek(); search.focus(); return; }
    const step = { ArrowDown: "nextSibling", ArrowUp: "previousSibling" }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = document.activeElement.parentNode[step];
    (next ? next.firstChild : search).focus();
  });
  document.addEventListener("pointerdown", (event) => { if (!event.target.closest(".tools")) found.hidden = true; });

  // ---------------------------------------------------------------- recordings
  function drawBody(canvas, i, time, yaw) {
    const [g, wide, high] = fit(canvas), info = motion.clips[i], flat = motion.dims === 2;
    const turn = flat ? 0 : yaw + info.y, tilt = flat ? 0 : TILT;
    const c = Math.cos(turn), s = Math.sin(turn), ct = Math.cos(tilt), st = Math.sin(tilt);
    const reach = Math.max(info.w, info.h, 1e-6);
    const scale = Math.min(wide * .43 / Math.max(info.w, reach * .35), high * .42 / Math.max(info.h * ct + (flat ? 0 : info.w * st * .8), reach * .35));
    function project([x, y, z]) {
      const px = x * c + z * s, pz = -x * s + z * c, py = y * ct - pz * st, depth = y * st + pz * ct;
      const near = flat ? 1 : 1 / (1 - depth / (reach * 7));
      return [wide / 2 + px * scale * near, high / 2 - py * scale * near, depth / reach];
    }
    if (motion.kind === "body" && !flat) {
      const ground = -info.h * 1.02, half = Math.max(info.w * .95, reach * .35), steps = 4;
      g.strokeStyle = css.floor;
      g.lineWidth = 1;
      for (let k = 0; k <= steps; k++) {
        const u = -half + 2 * half * k / steps;
        for (const [from, to] of [[[u, ground, -half], [u, ground, half]], [[-half, ground, u], [half, ground, u]]]) {
          const a = project(from), b = project(to);
          g.beginPath(); g.moveTo(a[0], a[1]); g.lineTo(b[0], b[1]); g.stroke();
        }
      }
    }
    const joints = pose(i, Math.min(time / info.d, 1)).map((joint) => joint && project(joint)), size = motion.joints.length;
    const thick = Math.max(1.4, Math.min(wide, high) / 72) * (size > 40 ? .75 : 1);
    const strokes = [];
    for (let person = 0; person < info.p; person++) {
      const name = "body" + (person % 2), tone = (joint) => css[name + ["", "l", "r"][motion.side[joint]]];
      for (const [child, parent] of motion.bones) {
        const a = joints[person * size + child], b = joints[person * size + parent];
        if (a && b) strokes.push({ z: (a[2] + b[2]) / 2, a, b, colour: tone(child) });
      }
      for (let joint = 0; joint < size; joint++) {
        const a = joints[person * size + joint];
        if (a) strokes.push({ z: a[2] + .01, a, colour: tone(joint), head: joint === motion.head });
      }
    }
    strokes.sort((one, two) => one.z - two.z);
    g.lineCap = "round";
    for (const { z, a, b, colour: paint, head } of strokes) {
      const close = flat ? 1 : Math.min(Math.max(.72 + z * .42, .32), 1.15); // far parts fade and thin out
      g.globalAlpha = Math.min(close, 1);
      g.strokeStyle = g.fillStyle = paint;
      g.beginPath();
      if (b) { g.lineWidth = thick * close * 1.15; g.moveTo(a[0], a[1]); g.lineTo(b[0], b[1]); g.stroke(); }
      else { g.arc(a[0], a[1], head ? thick * 2.7 * close : thick * .95 * close, 0, 7); g.fill(); }
    }
    g.globalAlpha = 1;
  }

  const family = getComputedStyle(document.body).fontFamily;
  function drawSensor(canvas, i, time) {
    const [g, wide, high] = fit(canvas), info = motion.clips[i], values = clip(i), dims = motion.dims, nodes = motion.joints.length;
    const large = wide > 240, left = large ? 46 : 8, right = 10, axis = large ? 20 : 0, panel = (high - axis) / nodes;
    g.font = (large ? 12 : 9.5) + "px " + family;
    for (let node = 0; node < nodes; node++) {
      const top = node * panel + (large ? 26 : 15), bottom = (node + 1) * panel - (large ? 14 : 6), [low, up] = motion.ranges[node];
      const y = (value) => bottom - (Math.min(Math.max(value, low), up) - low) / (up - low) * (bottom - top);
      const x = (frame) => left + frame / Math.max(info.t - 1, 1) * (wide - left - right);
      g.fillStyle = css.soft;
      g.textAlign = "left";
      g.fillText(motion.joints[node] + (motion.units[node] ? ` (${motion.units[node]})` : ""), left, top - (large ? 9 : 4));
      if (large) {
        g.textAlign = "right";
        g.fillText(brief(up), left - 6, top + 8);
        g.fillText(brief(low), left - 6, bottom);
        let edge = wide - right;
        for (let channel = dims - 1; channel >= 0; channel--) {
          g.fillStyle = css["c" + channel % COLOURS];
          g.fillText(motion.channels[channel], edge, top - 9);
          edge -= g.measureText(motion.channels[channel]).width + 12;
        }
      }
      g.strokeStyle = css.line;
      g.lineWidth = 1;
      g.strokeRect(left, top, wide - left - right, bottom - top);
      for (let person = 0; person < info.p; person++) for (let channel = 0; channel < dims; channel++) {
        g.strokeStyle = css["c" + channel % COLOURS];
        g.lineWidth = large ? 1.7 : 1.1;
        g.setLineDash(person ? [4, 3] : []);
        g.beginPath();
        for (let frame = 0; frame < info.t; frame++) g[frame ? "lineTo" : "moveTo"](x(frame), y(values[((frame * info.p + person) * nodes + node) * dims + channel] * info.s));
        g.stroke();
      }
      g.setLineDash([]);
      const now = left + Math.min(time / info.d, 1) * (wide - left - right);
      g.strokeStyle = css.ink;
      g.globalAlpha = .7;
      g.lineWidth = 1.5;
      g.beginPath(); g.moveTo(now, top); g.lineTo(now, bottom); g.stroke();
      g.globalAlpha = 1;
    }
    if (large) timeAxis(g, info.d, left, wide - right, high);
  }
  // seconds, or frames where nobody knows how long one lasts
  function timeAxis(g, length, left, right, high) {
    const whole = motion.fps ? length : length * motion.assumed, unit = motion.fps ? "s" : "frames", rough = whole / 6, power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
    g.fillStyle = css.soft;
    for (let at = 0; at <= whole + 1e-9; at += step) {
      const x = left + at / whole * (right - left), last = at + step > whole + 1e-9;
      g.textAlign = at === 0 ? "left" : x > right - 24 ? "right" : "center";
      g.fillText(brief(at) + (last ? " " + unit : ""), x, high - 4);
    }
  }

  // ---------------------------------------------------------------- player
  const big = $("big"), near = $("near"), REST = .35; // seconds of rest before a clip starts again
  let playing = !calm, time = 0, whole = 0, yaw = .35, dragging = null, minis = [], last = null, visible = true;
  const draw = motion && motion.kind === "sensor" ? drawSensor : drawBody;
  if (!motion) { document.querySelector(".player").remove(); document.querySelector(".near").remove(); }

  function choose(i) {
    if (i === current && minis.length) return;
    current = i;
    if (motion) {
      time = whole = calm ? motion.clips[i].d / 2 : 0;
      $("clip-class").textContent = labelled ? groupName(points.label[i], "label") : groupName(points.cluster[i], "cluster");
      $("clip-name").textContent = `${points.name[i]} · ${motion.clips[i].d.toFixed(1)} s${from(i)}`;
      neighbours(i);
      frame();
    }
    drawMap();
  }
  function neighbours(i) {
    let same = 0;
    minis = [];
    near.replaceChildren(...points.near[i].map((j, place) => {
      const button = document.createElement("button"), canvas = document.createElement("canvas");
      const line = (text, kind) => { const span = document.createElement("span"); span.textContent = text; if (kind) span.className = kind; return span; };
      const known = points.label[i] >= 0 && points.label[j] >= 0, match = known && points.label[i] === points.label[j];
      same += match;
      button.type = "button";
      button.title = describe(j);
      if (known) button.className = match ? "same" : "other";
      button.append(canvas);
      if (known) button.append(line(match ? "✓ same class" : "✗ other class", "mark"));
      if (labelled) button.append(line(groupName(points.label[j], "label")));
      button.append(line(points.name[j], "muted"), line("similarity " + points.similar[i][place].toFixed(2), "muted"));
      button.addEventListener("click", () => pin(j));
      minis.push([canvas, j]);
      return button;
    }));
    const of = points.near[i].length;
    $("near-note").textContent = labelled && points.label[i] >= 0 ? `${same} of ${of} belong to the same class` : "";
  }
  function frame() {
    if (!motion) return;
    const length = motion.clips[current].d;
    draw(big, current, Math.min(time, length), yaw);
    for (const [canvas, i] of minis) draw(canvas, i, Math.min(whole % (motion.clips[i].d + REST), motion.clips[i].d), yaw);
    $("seek").value = Math.round(1000 * Math.min(time / length, 1));
  }
  function tick(now) {
    requestAnimationFrame(tick);
    const passed = last === null ? 0 : Math.min((now - last) / 1000, .1);
    last = now;
    if (!playing || !visible || !motion) return;
    time += passed;
    whole += passed; // the neighbours have other lengths, so they run on while the chosen clip starts again
    if (time > motion.clips[current].d + REST) time = 0;
    if (dragging === null) yaw += passed * .35;
    frame();
  }
  function toggle(on = !playing) {
    playing = on;
    $("play").textContent = playing ? "❚❚" : "▶";
  }
  if (motion) {
    $("play").addEventListener("click", () => toggle());
    $("seek").addEventListener("input", () => {
      toggle(false);
      time = whole = $("seek").value / 1000 * motion.clips[current].d;
      frame();
    });
    big.addEventListener("pointerdown", (event) => { dragging = event.clientX; big.setPointerCapture(event.pointerId); });
    big.addEventListener("pointermove", (event) => {
      if (dragging === null) return;
      yaw += (event.clientX - dragging) * .012;
      dragging = event.clientX;
      frame();
    });
    for (const end of ["pointerup", "pointercancel"]) big.addEventListener(end, () => { dragging = null; });
    new IntersectionObserver((entries) => { visible = entries.some((entry) => entry.isIntersecting); }).observe(document.querySelector(".stage"));
    redraws.push(frame);
    toggle(playing);
  }

  // ---------------------------------------------------------------- start
  const asked = Number(hash.get("clip"));
  current = -1;
  const first = hash.has("clip") && Number.isInteger(asked) && asked >= 0 && asked < count ? asked : null;
  current = first ?? 0;
  colour(colourBy);
  if (first !== null) pin(first); else choose(0);
  if (motion && hash.has("at")) { toggle(false); time = whole = Number(hash.get("at")) * motion.clips[current].d || 0; frame(); }
  new ResizeObserver(() => { drawMap(); frame(); }).observe(document.querySelector(".stage"));
  requestAnimationFrame(tick);
})();
