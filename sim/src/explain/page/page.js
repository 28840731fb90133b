"use strict";
// Draws the picture in #picture. Times are microseconds; x is time, y is a lane.
(() => {
  const picture = JSON.parse(document.getElementById("picture").textContent);
  const $ = (id) => document.getElementById(id);
  const LABEL = 156, LANE = 84, RIGHT = 16, ROW = 17, ROWS_MAX = 5;
  // Faults lie in rows of their own above the lanes, so that their words never overlap.
  const faultRows = [];
  const rowOf = picture.faults.map((fault) => {
    const long = Math.max(fault.to, fault.from + picture.end / 5);
    let row = faultRows.findIndex((until) => until <= fault.from);
    if (row < 0) row = faultRows.length < ROWS_MAX ? faultRows.push(0) - 1 : ROWS_MAX - 1;
    faultRows[row] = Math.max(faultRows[row], long);
    return row;
  });
  const TOP = 40 + faultRows.length * ROW;
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
  // What goes round all the time hides the rest: it is drawn on demand.
  const ROUTINE = new Set(["gossip", "driver-beat", "driver-heard", "driver-seen"]);
  const messages = d3.rollup(picture.items.filter((item) => item.kind === "message"), (all) => all.length, (item) => item.text);
  const carried = new Set([...messages.keys()].filter((kind) => !ROUTINE.has(kind)));
  let sliceOnly = false, selected = null, transform = d3.zoomIdentity, width = 800, height = 400;
  // A variable is only resolved (light or dark) where it is used; the canvas needs the result.
  const probe = document.body.appendChild(document.createElement("i"));
  probe.hidden = true;
  const color = (name) => { probe.style.color = `var(--${name})`; return getComputedStyle(probe).color; };
  const laneColor = (lane) => d3.schemeTableau10[lane % 10];
  let palette = {};

  const seconds = (micros) => `${(micros / 1e6).toFixed(micros % 1000 ? 6 : 3)} s`;
  const laneName = (lane) => picture.lanes[lane]?.name ?? "?";
  const mid = (lane) => TOP + lane * LANE + 62;
  const isShown = (item) => sliceOnly ? item.in_slice
    : shown.has(item.kind) && (item.kind !== "message" || carried.has(item.text) || item.in_slice);
  // An item as a sentence.
  const sentence = (item) => {
    const who = laneName(item.lane);
    if (item.kind === "message") {
      const how = item.until === undefined ? "; it never arrives" : "";
      return `${who} sends ${item.text} to ${item.to === undefined ? "a stranger" : laneName(item.to)}${how}`;
    }
    if (item.kind === "call") return `a client asks ${who} ${item.text}`;
    if (item.kind === "answer") return `${who} answers: ${item.text}`;
    return `${who} ${item.text}`;
  };
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
  for (const [kind, count] of [...messages].sort()) {
    const label = document.createElement("label"), box = document.createElement("input");
    box.type = "checkbox"; box.checked = carried.has(kind); box.id = `show-message-${kind}`;
    box.addEventListener("change", () => { box.checked ? carried.add(kind) : carried.delete(kind); draw(); });
    label.append(box, ` ${kind} (${count})`);
    $("messages").append(label);
  }
  const LEGEND = [["up", "up"], ["joining", "joining"], ["leaving", "leaving"], ["down", "left out"], ["pause", "stands still"], ["cut", "cut off"], ["fault", "another fault"], ["accepted", "● write"], ["refused", "✕ refused write"], ["event", "▲ event"], ["deed", "■ effect"], ["call", "◆ call, ◇ answer"], ["slice", "led to the violation"]];
  for (const [name, words] of LEGEND) {
    const entry = document.createElement("span"), chip = document.createElement("i");
    chip.style.background = `var(--${name})`; entry.append(chip, words); $("legend").append(entry);
  }
  const belief = document.createElement("span");
  belief.textContent = "Bar in a server's colour: it holds the office. Thin line under a life: whom that process takes for the holder.";
  $("legend").append(belief);
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
    const time = document.createElement("span");
    time.className = "time"; time.textContent = `${seconds(item.at)} `;
    button.append(time, sentence(item));
    button.addEventListener("click", () => select(id));
    return button;
  };
  // The story of the violation: what was done wrong by order, what came of it, what is wrong.
  const rows = slice.map((id) => ({ at: picture.items[id].at, id }));
  if (wrong) for (const fault of picture.faults) if (fault.from <= wrong.at) rows.push({ at: fault.from, fault });
  rows.sort((one, other) => one.at - other.at);
  for (const { id, fault, at } of rows) {
    const row = document.createElement("li");
    if (fault) { row.className = "fault"; row.textContent = `${seconds(at)} ${fault.what}`; } else { row.dataset.item = id; row.append(link(id)); }
    $("cause").append(row);
  }
  if (wrong) {
    const row = document.createElement("li");
    row.className = "wrong"; row.textContent = `${seconds(wrong.at)} ${wrong.oracle} is violated: ${wrong.what}`;
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
  const small = "11px system-ui, sans-serif";
  function fit(words, room) {
    pen.font = small;
    if (pen.measureText(words).width <= room) return words;
    let end = Math.max(0, Math.floor(room / 6) - 1);
    while (end > 0 && pen.measureText(`${words.slice(0, end)}…`).width > room) end -= 1;
    return end > 2 ? `${words.slice(0, end)}…` : "";
  }
  const STATUS = { Joining: "joining", WeaklyUp: "joining", Up: "up", Leaving: "leaving", Exiting: "leaving", Down: "down" };
  function drawLane(x, lane, index) {
    const top = TOP + index * LANE, y = mid(index), bar_y = top + 22;
    pen.strokeStyle = palette.rule; pen.lineWidth = 1;
    pen.beginPath(); pen.moveTo(0, top + LANE - 0.5); pen.lineTo(width - RIGHT, top + LANE - 0.5); pen.stroke();
    for (const life of lane.lives) {
      bar(x, life.from, life.to, bar_y, 18, palette.life);
      const [a, b] = span(x, life.from, life.to);
      if (b > a) { pen.strokeStyle = palette.faint; pen.lineWidth = 1; pen.beginPath(); pen.moveTo(a, y); pen.lineTo(b, y); pen.stroke(); }
    }
    // Equal thoughts in a row are one piece, for words that stay readable.
    const alive = (at) => lane.lives.findLast((life) => life.from <= at);
    const pieces = [];
    lane.thoughts.forEach((thought, at) => {
      const life = alive(thought.at), next = Math.min(lane.thoughts[at + 1]?.at ?? picture.end, life?.to ?? picture.end);
      const age = thought.age === null ? "" : thought.age === 0 ? " · oldest" : ` · age ${thought.age}`;
      const words = `${thought.status || "knows no roster"}${age}${thought.ready ? "" : " · takes no calls"}`;
      const last = pieces[pieces.length - 1];
      if (last && last.words === words && last.holder === thought.holder && last.to === thought.at) last.to = next;
      else pieces.push({ words, status: thought.status, holder: thought.holder, ready: thought.ready, from: thought.at, to: next });
    });
    for (const piece of pieces) {
      bar(x, piece.from, piece.to, bar_y, 18, palette[STATUS[piece.status]] ?? palette.life);
      if (piece.holder !== null) bar(x, piece.from, piece.to, bar_y + 18, 4, laneColor(piece.holder));
      const [a, b] = span(x, piece.from, piece.to);
      text(fit(piece.words, b - a - 8), a + 4, bar_y + 13, palette.ink, "left", small);
    }
    for (const [from, to] of lane.pauses) {
      const [a, b] = span(x, from, to);
      if (b <= a) continue;
      pen.fillStyle = palette.pause; pen.globalAlpha = 0.85; pen.fillRect(a, bar_y, b - a, 18); pen.globalAlpha = 1;
      text(fit("stands still", b - a - 8), a + 4, bar_y + 13, palette.paper, "left", small);
    }
    for (const tenure of picture.tenures.filter((one) => one.lane === index)) {
      bar(x, tenure.from, tenure.to, top + 4, 15, laneColor(index));
      const [a, b] = span(x, tenure.from, tenure.to);
      text(fit(`holds the office · epoch ${tenure.epoch}`, b - a - 8), a + 4, top + 15, "#111", "left", `bold ${small}`);
    }
    lane.lives.forEach((life, one) => {
      const at = x(life.to);
      if (!life.ended || at < LABEL || at > width - RIGHT) return;
      text("✖", at, bar_y + 15, palette.bad, "center", "bold 17px sans-serif");
      const later = lane.lives[one + 1] ? x(lane.lives[one + 1].from) : width - RIGHT;
      const words = fit(life.ended, Math.min(260, later - at - 12));
      text(words, at + 8, bar_y + 13, palette.bad, "left", small);
    });
  }
  const faultColor = (fault, solid) => /cut|flap|swizzle/.test(fault.kind) ? (solid ? palette.bad : palette.cut) : solid ? palette.deed : palette.fault;
  function drawFaults(x) {
    picture.faults.forEach((fault) => {
      const to = Math.max(fault.to, fault.from + picture.end / 600);
      const lanes = fault.lanes.length ? fault.lanes : picture.lanes.map((_, lane) => lane);
      for (const lane of lanes) bar(x, fault.from, to, TOP + lane * LANE, LANE - 1, faultColor(fault, false));
    });
  }
  function drawFaultWords(x) {
    picture.faults.forEach((fault, index) => {
      const y = 36 + rowOf[index] * ROW, to = Math.max(fault.to, fault.from + picture.end / 600);
      const [a, b] = span(x, fault.from, to);
      if (b < LABEL || a > width - RIGHT || b < a) return;
      pen.fillStyle = faultColor(fault, true); pen.fillRect(a, y, Math.max(3, b - a), 3);
      const next = picture.faults.reduce((least, other, at) => rowOf[at] === rowOf[index] && other.from > fault.from ? Math.min(least, x(other.from)) : least, width - RIGHT);
      text(fit(fault.what, next - a - 6), a + 2, y + 14, palette.ink, "left", small);
    });
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
    pen.fillStyle = palette.paper; pen.fillRect(0, 0, width, TOP - 2);
    for (const tick of x.ticks(Math.max(3, width / 110))) {
      const at = x(tick);
      if (at < LABEL || at > width - RIGHT) continue;
      text(`${+(tick / 1e6).toPrecision(9)} s`, at, 12, palette.faint, at < LABEL + 20 ? "left" : "center");
      pen.strokeStyle = palette.rule; pen.lineWidth = 0.5;
      pen.beginPath(); pen.moveTo(at, 20); pen.lineTo(at, height); pen.stroke();
    }
    for (const [at, name] of picture.phases) {
      const px = x(at);
      if (px < LABEL || px > width - RIGHT) continue;
      pen.strokeStyle = palette.faint; pen.setLineDash([2, 4]);
      pen.beginPath(); pen.moveTo(px, 20); pen.lineTo(px, height); pen.stroke(); pen.setLineDash([]);
      text(name, px + 3, 28, palette.ink, "left", "italic 11px system-ui, sans-serif");
    }
  }
  function draw() {
    for (const name of ["up", "joining", "leaving", "down", "paper", "ink", "faint", "rule", "life", "office", "pause", "cut", "fault", "bad", "accepted", "refused", "message", "event", "deed", "call", "slice"]) palette[name] = color(name);
    const x = scale();
    pen.clearRect(0, 0, width, height);
    drawFaults(x);
    drawAxis(x);
    drawFaultWords(x);
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
        const words = `✖ ${wrong.oracle}`, left = at > width - 190;
        pen.font = "bold 12px system-ui, sans-serif";
        const wide = pen.measureText(words).width + 10, flag = left ? at - wide : at;
        pen.fillStyle = palette.bad; pen.fillRect(flag, 16, wide, 17);
        text(words, flag + 5, 29, palette.paper, "left", "bold 12px system-ui, sans-serif");
      }
    }
    pen.fillStyle = palette.paper; pen.fillRect(0, 0, LABEL, height);
    picture.lanes.forEach((lane, index) => {
      const top = TOP + index * LANE;
      if (lane.role === "server") { pen.fillStyle = laneColor(index); pen.fillRect(8, top + 24, 6, 30); }
      text(fit(lane.name, LABEL - 30) || lane.name, 20, top + 37, palette.ink, "left", "bold 13px system-ui, sans-serif");
      text(lane.role, 20, top + 52, palette.faint, "left", small);
      text("events", LABEL - 6, top + 66, palette.faint, "right", "10px system-ui, sans-serif");
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
    for (const row of document.querySelectorAll("#cause li")) {
      const current = id !== null && row.dataset.item === String(id);
      current ? row.setAttribute("aria-current", "true") : row.removeAttribute("aria-current");
    }
    const box = $("selected");
    box.replaceChildren();
    const title = document.createElement("h2");
    box.append(title);
    if (id === null) { title.textContent = "Nothing selected"; draw(); return; }
    const item = picture.items[id];
    title.textContent = sentence(item);
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
  const toWrong = () => { if (!wrong) return; if (slice.length) select(slice[slice.length - 1]); center(wrong.at, Math.max(transform.k, 8)); };
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
    tip.textContent = `${seconds(item.at)} ${sentence(item)}`;
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
  if (wrong && slice.length) select(slice[slice.length - 1]);
  // For tests: what is seen now.
  window.doyen = {
    picture, select, shown: () => picture.items.filter(isShown).length,
    view: () => scale().domain().map(Math.round), selected: () => selected,
  };
})();
