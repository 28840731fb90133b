"use strict";
// Draws the picture in #picture. Times are microseconds; x is time, y is a lane.
(() => {
  const picture = JSON.parse(document.getElementById("picture").textContent);
  const $ = (id) => document.getElementById(id);
  const LABEL = 110, TOP = 46, LANE = 74, RIGHT = 16;
  const KINDS = [
    ["message", "messages"], ["accepted", "accepted writes"], ["refused", "refused writes"],
    ["event", "events"], ["deed", "effects"], ["call", "calls"], ["answer", "answers"],
    ["lost", "never carried out"], ["broken", "broken"],
  ];
  const COLOR = {
    message: "message", accepted: "accepted", refused: "refused", event: "event", deed: "deed",
    call: "call", answer: "call", lost: "faint", broken: "bad",
  };
  const shown = new Set(KINDS.map(([kind]) => kind));
  let sliceOnly = false, selected = null, transform = d3.zoomIdentity, width = 800, height = 400;
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
  let palette = {};

  const seconds = (micros) => `${(micros / 1e6).toFixed(micros % 1000 ? 6 : 3)} s`;
  const laneName = (lane) => picture.lanes[lane]?.name ?? "?";
  const mid = (lane) => TOP + lane * LANE + LANE / 2;
  const isShown = (item) => shown.has(item.kind) && (!sliceOnly || item.in_slice);
  const base = () => d3.scaleLinear([0, Math.max(picture.end, 1)], [LABEL, width - RIGHT]);
  const scale = () => transform.rescaleX(base());

  // ---- words around the diagram
  $("name").textContent = `${picture.name || "a run"} (${picture.engine} engine)`;
  const wrong = picture.violation;
  $("verdict").className = wrong ? "bad" : "good";
  $("verdict").textContent = wrong
    ? `${wrong.oracle} is violated at ${seconds(wrong.at)}: ${wrong.what}`
    : "No invariant is violated.";
  $("story").textContent = picture.story;
  $("schedule").textContent = picture.schedule;
  if (picture.left_out) {
    $("story").textContent += `\n${picture.left_out} items were left out of this picture.`;
  }
  const counts = d3.rollup(picture.items, (items) => items.length, (item) => item.kind);
  for (const [kind, name] of KINDS) {
    if (!counts.get(kind)) continue;
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox"; box.checked = true; box.id = `show-${kind}`;
    box.addEventListener("change", () => { box.checked ? shown.add(kind) : shown.delete(kind); draw(); });
    label.append(box, ` ${name} (${counts.get(kind)})`);
    label.style.color = `var(--${COLOR[kind]})`;
    $("filters").append(label);
  }
  const slice = picture.items.map((item, id) => id).filter((id) => picture.items[id].in_slice);
  if (slice.length) {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox"; box.id = "show-slice";
    box.addEventListener("change", () => { sliceOnly = box.checked; draw(); });
    label.append(box, ` only what led to it (${slice.length})`);
    $("filters").append(label);
  } else {
    $("cause-title").textContent = wrong ? "Nothing is known to have led to it" : "Nothing is wrong";
  }
  const link = (id) => {
    const item = picture.items[id], button = document.createElement("button");
    const to = item.to === undefined ? "" : ` → ${laneName(item.to)}`;
    const time = document.createElement("span");
    time.className = "time"; time.textContent = `${seconds(item.at)} `;
    button.append(time, `${laneName(item.lane)}${to}: ${item.text}`);
    button.addEventListener("click", () => select(id));
    return button;
  };
  for (const id of slice) {
    const row = document.createElement("li");
    row.append(link(id));
    $("cause").append(row);
  }

  // ---- drawing
  const canvas = document.querySelector("canvas"), pen = canvas.getContext("2d");
  const span = (x, from, to) => [Math.max(x(from), LABEL), Math.min(x(to), width - RIGHT)];
  function bar(x, from, to, y, tall, fill) {
    const [a, b] = span(x, from, to);
    if (b < LABEL || a > width - RIGHT) return;
    pen.fillStyle = fill;
    pen.fillRect(a, y, Math.max(b - a, 1), tall);
  }
  function text(words, x, y, fill, align = "left", font = "12px system-ui, sans-serif") {
    pen.fillStyle = fill; pen.textAlign = align; pen.font = font;
    pen.fillText(words, x, y);
  }
  function drawLane(x, lane, index) {
    const y = mid(index);
    pen.strokeStyle = palette.rule;
    pen.beginPath(); pen.moveTo(LABEL, y); pen.lineTo(width - RIGHT, y); pen.stroke();
    for (const life of lane.lives) {
      bar(x, life.from, life.to, y - 16, 32, palette.life);
      if (life.ended) {
        const at = x(life.to);
        if (at >= LABEL && at <= width - RIGHT) text("✕", at, y + 4, palette.bad, "center", "bold 14px sans-serif");
      }
    }
    for (const [from, to] of lane.pauses) bar(x, from, to, y - 16, 32, palette.pause);
    for (const tenure of picture.tenures.filter((one) => one.lane === index)) {
      bar(x, tenure.from, tenure.to, y + 17, 5, palette.office);
      const [a, b] = span(x, tenure.from, tenure.to);
      if (b - a > 54) text(`epoch ${tenure.epoch}`, a + 3, y + 33, palette.faint, "left", "11px system-ui, sans-serif");
    }
    lane.thoughts.forEach((thought, at) => {
      const next = lane.thoughts[at + 1]?.at ?? picture.end;
      const [a, b] = span(x, thought.at, next);
      if (b - a < 60 || !thought.status) return;
      const age = thought.age === null ? "" : ` · ${thought.age === 0 ? "oldest" : `age ${thought.age}`}`;
      const room = Math.floor((b - a) / 6.2);
      text(`${thought.status}${age}${thought.ready ? "" : " · not ready"}`.slice(0, room), a + 3, y - 20, thought.ready ? palette.faint : palette.bad, "left", "11px system-ui, sans-serif");
    });
  }
  function drawFaults(x) {
    for (const fault of picture.faults) {
      const fill = /cut|flap|swizzle/.test(fault.kind) ? palette.cut : palette.fault;
      const to = Math.max(fault.to, fault.from + picture.end / 600);
      const lanes = fault.lanes.length ? fault.lanes : picture.lanes.map((_, lane) => lane);
      for (const lane of lanes) bar(x, fault.from, to, TOP + lane * LANE, LANE, fill);
      const [a, b] = span(x, fault.from, to);
      if (b - a > 40) text(fault.what.slice(0, Math.floor((b - a) / 6.2)), a + 2, TOP - 6, palette.faint, "left", "11px system-ui, sans-serif");
    }
  }
  function drawItem(x, item, id) {
    const ink = item.in_slice ? palette.slice : palette[COLOR[item.kind]];
    const big = id === selected ? 2.2 : item.in_slice ? 1.4 : 1;
    const y = mid(item.lane);
    if (item.kind === "message") {
      const until = item.until ?? item.at + (picture.end / 400), to = mid(item.to ?? item.lane);
      const [x1, x2] = [x(item.at), x(until)];
      if (x2 < LABEL || x1 > width - RIGHT) return;
      pen.strokeStyle = ink; pen.lineWidth = 0.6 * big;
      pen.setLineDash(item.until === undefined ? [3, 3] : []);
      const y2 = item.until === undefined ? (y + to) / 2 : to;
      pen.beginPath(); pen.moveTo(x1, y); pen.lineTo(x2, y2); pen.stroke();
      pen.setLineDash([]);
      if (item.until !== undefined) { pen.fillStyle = ink; pen.beginPath(); pen.arc(x2, y2, 1.6 * big, 0, 7); pen.fill(); }
      return;
    }
    const at = x(item.at);
    if (at < LABEL || at > width - RIGHT) return;
    const size = 3.4 * big;
    pen.fillStyle = ink; pen.strokeStyle = ink; pen.lineWidth = 1.6;
    pen.beginPath();
    if (item.kind === "accepted") pen.arc(at, y, size, 0, 7);
    else if (item.kind === "refused") { pen.moveTo(at - size, y - size); pen.lineTo(at + size, y + size); pen.moveTo(at + size, y - size); pen.lineTo(at - size, y + size); pen.stroke(); return; }
    else if (item.kind === "deed") pen.rect(at - size, y - size, size * 2, size * 2);
    else if (item.kind === "event") { pen.moveTo(at, y - size * 1.3); pen.lineTo(at + size, y + size); pen.lineTo(at - size, y + size); }
    else { pen.moveTo(at, y - size * 1.3); pen.lineTo(at + size, y); pen.lineTo(at, y + size * 1.3); pen.lineTo(at - size, y); pen.closePath(); if (item.kind === "answer") { pen.stroke(); return; } }
    pen.fill();
  }
  function drawAxis(x) {
    pen.fillStyle = palette.paper; pen.fillRect(0, 0, width, TOP - 20);
    for (const tick of x.ticks(Math.max(3, width / 110))) {
      const at = x(tick);
      if (at < LABEL || at > width - RIGHT) continue;
      text(`${+(tick / 1e6).toPrecision(9)} s`, at, 14, palette.faint, "center");
      pen.strokeStyle = palette.rule; pen.lineWidth = 0.5;
      pen.beginPath(); pen.moveTo(at, 20); pen.lineTo(at, height); pen.stroke();
    }
    for (const [at, name] of picture.phases) {
      const px = x(at);
      if (px < LABEL || px > width - RIGHT) continue;
      pen.strokeStyle = palette.faint; pen.setLineDash([2, 4]);
      pen.beginPath(); pen.moveTo(px, 20); pen.lineTo(px, height); pen.stroke(); pen.setLineDash([]);
      text(name, px + 3, 28, palette.faint, "left", "italic 11px system-ui, sans-serif");
    }
  }
  function draw() {
    for (const name of ["paper", "ink", "faint", "rule", "life", "office", "pause", "cut", "fault", "bad", "accepted", "refused", "message", "event", "deed", "call", "slice"]) palette[name] = color(name);
    const x = scale();
    pen.clearRect(0, 0, width, height);
    drawFaults(x);
    drawAxis(x);
    picture.lanes.forEach((lane, index) => drawLane(x, lane, index));
    pen.lineWidth = 1;
    // Marks over arrows, the slice over both.
    for (const layer of [(i) => i.kind === "message" && !i.in_slice, (i) => i.kind !== "message" && !i.in_slice, (i) => i.in_slice]) {
      picture.items.forEach((item, id) => { if (layer(item) && isShown(item)) drawItem(x, item, id); });
    }
    if (selected !== null) drawItem(x, picture.items[selected], selected);
    if (wrong) {
      const at = x(wrong.at);
      if (at >= LABEL && at <= width - RIGHT) {
        pen.strokeStyle = palette.bad; pen.lineWidth = 2;
        pen.beginPath(); pen.moveTo(at, 20); pen.lineTo(at, height); pen.stroke();
        text(wrong.oracle, Math.min(at + 4, width - 130), height - 6, palette.bad, "left", "bold 12px system-ui, sans-serif");
      }
    }
    pen.fillStyle = palette.paper; pen.fillRect(0, 0, LABEL, height);
    picture.lanes.forEach((lane, index) => {
      text(lane.name.slice(0, 16), LABEL - 8, mid(index) + 1, palette.ink, "right", "bold 13px system-ui, sans-serif");
      text(lane.role, LABEL - 8, mid(index) + 15, palette.faint, "right", "11px system-ui, sans-serif");
    });
  }

  // ---- choosing
  function nearest(px, py) {
    const x = scale();
    let best = null, distance = 12;
    picture.items.forEach((item, id) => {
      if (!isShown(item)) return;
      let d = Math.hypot(x(item.at) - px, mid(item.lane) - py);
      if (item.kind === "message" && item.until !== undefined && item.to !== undefined) {
        const [x1, y1, x2, y2] = [x(item.at), mid(item.lane), x(item.until), mid(item.to)];
        const t = Math.max(0, Math.min(1, ((px - x1) * (x2 - x1) + (py - y1) * (y2 - y1)) / ((x2 - x1) ** 2 + (y2 - y1) ** 2 || 1)));
        d = Math.hypot(x1 + t * (x2 - x1) - px, y1 + t * (y2 - y1) - py) + 3;
      }
      if (d < distance) { distance = d; best = id; }
    });
    return best;
  }
  function select(id) {
    selected = id;
    const box = $("selected");
    box.replaceChildren();
    const title = document.createElement("h2");
    box.append(title);
    if (id === null) { title.textContent = "Nothing selected"; draw(); return; }
    const item = picture.items[id];
    title.textContent = item.text;
    const where = document.createElement("p");
    const to = item.to === undefined ? "" : ` → ${laneName(item.to)}, ${item.until === undefined ? "never arrived" : `arrived at ${seconds(item.until)}`}`;
    where.textContent = `${item.kind} · ${seconds(item.at)} · ${laneName(item.lane)}${to}`;
    box.append(where);
    const thought = picture.lanes[item.lane]?.thoughts.findLast((one) => one.at <= item.at);
    if (thought) {
      const line = document.createElement("p");
      line.className = "time";
      const holder = thought.holder === null ? "nobody" : laneName(thought.holder);
      const silent = thought.unreachable.length ? `; unreachable: ${thought.unreachable.map(laneName).join(", ")}` : "";
      line.textContent = `It then thought: epoch ${thought.epoch} held by ${holder}, generation ${thought.generation}${silent}.`;
      box.append(line);
    }
    if (item.detail) {
      const detail = document.createElement("pre");
      detail.textContent = item.detail;
      box.append(detail);
    }
    if (item.causes.length) {
      const from = document.createElement("p");
      from.append("It came from: ");
      item.causes.forEach((cause) => from.append(document.createElement("br"), link(cause)));
      box.append(from);
    }
    const at = scale()(item.at);
    if (at < LABEL || at > width - RIGHT) center(item.at); else draw();
  }
  function step(direction, sameLane) {
    const order = picture.items.map((_, id) => id).filter((id) => isShown(picture.items[id]) && picture.items[id].kind !== "message"
      && (!sameLane || selected === null || picture.items[id].lane === picture.items[selected].lane));
    if (!order.length) return;
    const place = selected === null ? (direction > 0 ? -1 : order.length) : order.indexOf(selected);
    const fallback = order.findIndex((id) => selected !== null && id > selected);
    const from = place === -1 && selected !== null ? (direction > 0 ? fallback - 1 : fallback) : place;
    select(order[Math.max(0, Math.min(order.length - 1, from + direction))]);
  }

  // ---- moving
  const zoom = d3.zoom().scaleExtent([1, 20000]).on("zoom", (event) => { transform = event.transform; draw(); });
  const stage = d3.select(canvas).call(zoom).on("dblclick.zoom", null);
  const extent = () => zoom.extent([[LABEL, 0], [width - RIGHT, height]]).translateExtent([[LABEL, 0], [width - RIGHT, height]]);
  const by = (factor) => stage.call(zoom.scaleBy, factor, selected === null ? [width / 2, 0] : [Math.max(LABEL, Math.min(width - RIGHT, scale()(picture.items[selected].at))), 0]);
  const center = (micros, zoomTo = transform.k) => {
    const x = base()(micros);
    stage.call(zoom.transform, d3.zoomIdentity.translate(width / 2 - x * zoomTo, 0).scale(zoomTo));
  };
  const whole = () => stage.call(zoom.transform, d3.zoomIdentity);
  const toWrong = () => { if (wrong) { center(wrong.at, Math.max(transform.k, 8)); if (slice.length) select(slice[slice.length - 1]); } };
  const toggle = (id) => { const box = $(id); if (box) { box.checked = !box.checked; box.dispatchEvent(new Event("change")); } };
  const press = {
    ArrowLeft: (e) => step(-1, e.shiftKey), ArrowRight: (e) => step(1, e.shiftKey),
    "+": () => by(1.5), "=": () => by(1.5), "-": () => by(1 / 1.5), "0": whole, v: toWrong,
    s: () => toggle("show-slice"), m: () => toggle("show-message"), Escape: () => select(null),
    Enter: () => { const cause = selected === null ? undefined : picture.items[selected].causes[0]; if (cause !== undefined) select(cause); },
    "?": () => $("keys").showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
    if (event.key === "Enter" && event.target instanceof HTMLButtonElement) return;
    const act = press[event.key];
    if (act) { event.preventDefault(); act(event); }
  });
  $("earlier").onclick = () => step(-1); $("later").onclick = () => step(1);
  $("closer").onclick = () => by(1.5); $("wider").onclick = () => by(1 / 1.5);
  $("all").onclick = whole; $("wrong").onclick = toWrong; $("wrong").hidden = !wrong;
  $("help").onclick = () => $("keys").showModal();
  canvas.addEventListener("click", (event) => select(nearest(event.offsetX, event.offsetY)));
  canvas.addEventListener("mousemove", (event) => {
    const id = nearest(event.offsetX, event.offsetY), tip = $("tip");
    tip.hidden = id === null;
    if (id === null) return;
    const item = picture.items[id];
    tip.textContent = `${seconds(item.at)} ${laneName(item.lane)}: ${item.text}`;
    tip.style.left = `${Math.min(event.offsetX + 12, width - 240)}px`;
    tip.style.top = `${event.offsetY + 14}px`;
  });
  canvas.addEventListener("mouseleave", () => { $("tip").hidden = true; });

  function resize() {
    const room = $("diagram").getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
    width = Math.max(room.width, 320); height = Math.max(TOP + picture.lanes.length * LANE + 20, room.height - 4);
    canvas.width = width * ratio; canvas.height = height * ratio;
    canvas.style.width = `${width}px`; canvas.style.height = `${height}px`;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    extent();
    draw();
  }
  new ResizeObserver(resize).observe($("diagram"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  resize();
  if (wrong) toWrong();
  // For tests: what is seen now.
  window.doyen = {
    picture, select, shown: () => picture.items.filter(isShown).length,
    view: () => scale().domain().map(Math.round), selected: () => selected,
  };
})();
