// The clusters of a discovery: one canvas per clip, all of a page played by one clock.
(() => {
  const REST = .35;
  let css = {}, time = 0, playing = !calm, last = null;

  function theme(name) {
    root.dataset.theme = name;
    css = themed();
  }
  theme(hash.get("theme") || (dark.matches ? "dark" : "light"));
  $("theme").addEventListener("click", () => { theme(root.dataset.theme === "dark" ? "light" : "dark"); draw(true); });
  addEventListener("beforeprint", () => { theme("light"); draw(true); });

  // ---------------------------------------------------------------- branches
  const switches = [...document.querySelectorAll(".branches button")];
  function show(name) {
    for (const button of switches) button.setAttribute("aria-pressed", String(button.value === name));
    for (const part of document.querySelectorAll("[data-branch]")) part.hidden = part.dataset.branch !== name;
    draw(true);
  }
  for (const button of switches) button.addEventListener("click", () => show(button.value));

  // ---------------------------------------------------------------- recordings
  function body(canvas, i, share) {
    const [g, wide, high] = fit(canvas), info = motion.clips[i], flat = motion.dims === 2, size = motion.joints.length;
    const turn = flat ? 0 : .35 + info.y, tilt = flat ? 0 : TILT, c = Math.cos(turn), s = Math.sin(turn), ct = Math.cos(tilt), st = Math.sin(tilt);
    const reach = Math.max(info.w, info.h, 1e-6);
    const scale = Math.min(wide * .44 / Math.max(info.w, reach * .35), high * .44 / Math.max(info.h * ct + (flat ? 0 : info.w * st * .8), reach * .35));
    const joints = pose(i, share).map((joint) => {
      if (!joint) return null;
      const [x, y, z] = joint, across = x * c + z * s, ahead = -x * s + z * c;
      return [wide / 2 + across * scale, high / 2 - (y * ct - ahead * st) * scale, (y * st + ahead * ct) / reach];
    });
    const thick = Math.max(1.4, Math.min(wide, high) / 72) * (size > 40 ? .75 : 1);
    g.lineCap = "round";
    for (let person = 0; person < info.p; person++) {
      const tone = (joint) => css["body" + (person % 2) + ["", "l", "r"][motion.side[joint]]];
      for (const [child, parent] of motion.bones) {
        const a = joints[person * size + child], b = joints[person * size + parent];
        if (!a || !b) continue;
        g.globalAlpha = Math.min(Math.max(.78 + (a[2] + b[2]) * .2, .35), 1);
        g.strokeStyle = tone(child);
        g.lineWidth = thick;
        g.beginPath(); g.moveTo(a[0], a[1]); g.lineTo(b[0], b[1]); g.stroke();
      }
      g.globalAlpha = 1;
      for (let joint = 0; joint < size; joint++) {
        const a = joints[person * size + joint];
        if (!a) continue;
        g.fillStyle = tone(joint);
        g.beginPath(); g.arc(a[0], a[1], joint === motion.head ? thick * 2.7 : thick * .9, 0, 7); g.fill();
      }
    }
  }
  function sensor(canvas, i, share) {
    const [g, wide, high] = fit(canvas), info = motion.clips[i], values = clip(i), dims = motion.dims, nodes = motion.joints.length;
    const panel = high / nodes, x = (frame) => 6 + frame / Math.max(info.t - 1, 1) * (wide - 12);
    for (let node = 0; node < nodes; node++) {
      const [low, up] = motion.ranges[node], y = (value) => (node + 1) * panel - 5 - (Math.min(Math.max(value, low), up) - low) / (up - low) * (panel - 10);
      g.fillStyle = css.soft;
      g.font = "9.5px system-ui, sans-serif";
      g.fillText(motion.joints[node] + (motion.units[node] ? ` (${motion.units[node]})` : ""), 6, node * panel + 10);
      for (let channel = 0; channel < dims; channel++) {
        g.strokeStyle = css["c" + channel % 8];
        g.beginPath();
        for (let frame = 0; frame < info.t; frame++) g[frame ? "lineTo" : "moveTo"](x(frame), y(values[(frame * info.p * nodes + node) * dims + channel] * info.s));
        g.stroke();
      }
    }
    g.strokeStyle = css.ink;
    g.beginPath(); g.moveTo(x(share * (info.t - 1)), 0); g.lineTo(x(share * (info.t - 1)), high); g.stroke();
  }

  // ---------------------------------------------------------------- clock
  const paint = motion && motion.kind === "sensor" ? sensor : body, visible = new Set();
  const canvases = [...document.querySelectorAll("canvas[data-clip]")];
  function draw(all) {
    if (!motion) return;
    for (const canvas of all ? canvases : visible) {
      if (!canvas.offsetParent) continue;
      const info = motion.clips[+canvas.dataset.clip];
      paint(canvas, +canvas.dataset.clip, Math.min(time % (info.d + REST) / info.d, 1));
    }
  }
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) visible.add(entry.target); else visible.delete(entry.target);
    draw(false);
  });
  canvases.forEach((canvas) => watch.observe(canvas));
  function toggle(on) {
    playing = on;
    $("play").textContent = playing ? "❚❚ pause" : "▶ play";
  }
  $("play").addEventListener("click", () => toggle(!playing));
  function tick(now) {
    requestAnimationFrame(tick);
    const passed = last === null ? 0 : Math.min((now - last) / 1000, .1);
    last = now;
    if (!playing) return;
    time += passed;
    draw(false);
  }
  time = hash.has("at") ? Number(hash.get("at")) || 0 : calm ? .6 : 0;
  toggle(playing && !hash.has("at"));
  show(hash.get("branch") || switches[0].value);
  addEventListener("resize", () => draw(true));
  requestAnimationFrame(tick);
})();
