(() => {
  const figure = $("figure"), recordings = [...document.querySelectorAll(".recording")], tip = $("tip");
  let css = themed(), current = null, time = 0, playing = false, last = null;

  $("theme").addEventListener("click", () => { root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark"; css = themed(); draw(); });

  // ---------------------------------------------------------------- tips
  document.addEventListener("pointermove", (event) => {
    const text = event.target.dataset && event.target.dataset.tip;
    tip.hidden = !text;
    if (!text) return;
    tip.textContent = text;
    tip.style.left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = event.clientY + 16 + "px";
  });

  // ---------------------------------------------------------------- frames
  function frameAt(info) { return Math.min(info.t - 1, Math.max(0, Math.round(time / info.d * (info.t - 1)))); }

  function body(g, wide, high, i) {
    const info = motion.clips[i], all = clip(i), size = motion.joints.length, dims = motion.dims, frame = frameAt(info);
    const c = Math.cos(info.y + .35), s = Math.sin(info.y + .35), scale = Math.min(wide * .45 / Math.max(info.w, 1e-6), high * .45 / Math.max(info.h, 1e-6));
    const joints = [];
    for (let k = 0; k < info.p * size; k++) {
      const at = (frame * info.p * size + k) * dims;
      if (all[at] === MISSING) { joints.push(null); continue; }
      const x = all[at] * info.s, y = all[at + 1] * info.s, z = dims > 2 ? all[at + 2] * info.s : 0;
      joints.push([wide / 2 + (dims > 2 ? x * c + z * s : x) * scale, high / 2 - y * scale]);
    }
    g.lineCap = "round";
    g.lineWidth = Math.max(2, high / 80);
    for (let person = 0; person < info.p; person++) {
      for (const [child, parent] of motion.bones) {
        const a = joints[person * size + child], b = joints[person * size + parent];
        if (!a || !b) continue;
        g.strokeStyle = css["body" + person % 2 + ["", "l", "r"][motion.side[child]]];
        g.beginPath(); g.moveTo(...a); g.lineTo(...b); g.stroke();
      }
      if (!motion.bones.length || motion.head >= 0) for (let k = 0; k < size; k++) {
        const a = joints[person * size + k];
        if (!a || (motion.bones.length && k !== motion.head)) continue;
        g.fillStyle = css["body" + person % 2];
        g.beginPath(); g.arc(...a, k === motion.head ? high / 28 : 3, 0, 7); g.fill();
      }
    }
  }

  const brief = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
  function signals(g, wide, high, i, seconds = 10) {
    const info = motion.clips[i], all = clip(i), nodes = motion.joints.length, dims = motion.dims, panel = (high - 18) / nodes;
    const span = Math.min(seconds, info.d), from = Math.min(Math.max(0, time - span / 2), info.d - span), rate = (info.t - 1) / info.d;
    g.font = "12px system-ui, sans-serif";
    for (let node = 0; node < nodes; node++) {
      const top = node * panel + 18, bottom = (node + 1) * panel - 6, [low, up] = motion.ranges[node];
      g.fillStyle = css.soft;
      g.textAlign = "left";
      g.fillText(motion.joints[node] + (motion.units[node] ? ` (${motion.units[node]})` : ""), 6, top - 5);
      g.textAlign = "right";
      g.fillText(`${brief(low)} to ${brief(up)}`, wide - 6, top - 5);
      for (let axis = 0; axis < dims; axis++) {
        g.strokeStyle = css["c" + axis % 3];
        g.lineWidth = 1.3;
        g.beginPath();
        for (let f = Math.ceil(from * rate); f <= (from + span) * rate && f < info.t; f++) {
          const value = all[((f * info.p) * nodes + node) * dims + axis] * info.s;
          g.lineTo((f / rate - from) / span * wide, bottom - (Math.min(Math.max(value, low), up) - low) / (up - low) * (bottom - top));
        }
        g.stroke();
      }
    }
    g.fillStyle = css.soft;
    for (let at = Math.ceil(from); at <= from + span; at += Math.max(1, Math.round(span / 5))) {
      const x = (at - from) / span * wide;
      g.textAlign = x < 12 ? "left" : x > wide - 24 ? "right" : "center";
      g.fillText(`${at} s`, x, high - 4);
    }
    const x = (time - from) / span * wide;
    g.strokeStyle = css.ink;
    g.lineWidth = 1.5;
    g.beginPath(); g.moveTo(x, 0); g.lineTo(x, high); g.stroke();
  }

  // ---------------------------------------------------------------- cursor
  function draw() {
    if (!current) return;
    const row = +current.dataset.row, [g, wide, high] = fit(figure), seconds = +current.dataset.seconds;
    (motion.kind === "sensor" ? signals : body)(g, wide, high, row);
    $("where").textContent = `${current.dataset.name} at ${time.toFixed(1)} s`;
    const rows = current.querySelector(".rows"), svg = rows.querySelector("svg");
    const box = svg.getBoundingClientRect();
    current.querySelector(".cursor").style.left = box.left - rows.getBoundingClientRect().left + time / seconds * box.width + "px";
    $("now").replaceChildren(...[...current.querySelectorAll(".line:not(.low)")].map((line) => {
      const item = document.createElement("div"), name = document.createElement("dt"), said = document.createElement("dd");
      const block = [...line.querySelectorAll("rect")].find((r) => +r.dataset.from <= time && time < +r.dataset.to);
      name.textContent = line.querySelector("span").textContent;
      said.textContent = block ? block.dataset.label : "—";
      item.append(name, said);
      return item;
    }));
  }
  function choose(recording, at) {
    if (current) current.classList.remove("current");
    current = recording;
    current.classList.add("current");
    time = Math.min(Math.max(0, at), +recording.dataset.seconds);
    draw();
  }
  for (const recording of recordings) {
    const rows = recording.querySelector(".rows");
    const seek = (event) => {
      const box = rows.querySelector("svg").getBoundingClientRect();
      choose(recording, (event.clientX - box.left) / box.width * recording.dataset.seconds);
    };
    rows.addEventListener("pointerdown", (event) => { seek(event); rows.setPointerCapture(event.pointerId); });
    rows.addEventListener("pointermove", (event) => { if (event.buttons) seek(event); });
    rows.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -.1, ArrowRight: .1, PageUp: -5, PageDown: 5 }[event.key];
      if (step) { event.preventDefault(); choose(recording, (current === recording ? time : 0) + step); }
      if (event.key === " ") { event.preventDefault(); toggle(); }
    });
  }
  function toggle() {
    playing = !playing;
    $("play").textContent = playing ? "Stop" : "Play";
    $("play").setAttribute("aria-pressed", playing);
    last = null;
    if (playing) requestAnimationFrame(tick);
  }
  function tick(now) {
    if (!playing) return;
    if (last !== null) time += (now - last) / 1000;
    last = now;
    if (time > +current.dataset.seconds) time = 0;
    draw();
    requestAnimationFrame(tick);
  }
  $("play").addEventListener("click", toggle);
  addEventListener("resize", draw);
  if (recordings.length) choose(recordings[0], recordings[0].dataset.seconds / 3);
})();
