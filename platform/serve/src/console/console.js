// The console: asks the HTTP API once a second and draws what it says. Text is only ever set as text.

const POLL_MS = 1000;
const ROWS = 20;
const PULSE_EPOCHS = 60;
const SVG = "http://www.w3.org/2000/svg";

const at = (id) => document.getElementById(id);
const views = new Map(); // name -> {about, order, descending, rows by key, drawn manifest, elements}
let query = null; // the last /v1/queries/{id}
let speeds = []; // [time, rows read] of the last polls

class Problem extends Error {}

async function ask(path, options) {
  const response = await fetch(path, options);
  const body = await response.json();
  if (!response.ok) throw new Problem(`${body.title}: ${body.detail}`);
  return body;
}

// ---- values -------------------------------------------------------------------------------------------------------

const isNumber = (type) => /^(long|int|short|byte|double|float|decimal|u?int\d+)/.test(type);
const isWindow = (type) => /^struct<start: timestamp, end: timestamp>/.test(type);
const isTime = (type) => isWindow(type) || type === "timestamp" || type === "date";
const whole = new Intl.NumberFormat("en-US");

function digits(text) {
  const [, sign, int, rest] = /^(-?)(\d+)(.*)$/.exec(text) ?? [];
  return int === undefined ? text : sign + int.replace(/\B(?=(\d{3})+$)/g, "\u202f") + rest;
}

const instant = (text) => (text ?? "–").replace("T", " ").replace("Z", "").replace(/(\.\d{3})\d+$/, "$1").replace(/\.0+$/, "");

function shown(value, type) {
  if (value === null || value === undefined) return "null";
  if (isWindow(type)) {
    const [start, end] = [instant(value.start), instant(value.end)];
    return start.slice(0, 10) === end.slice(0, 10) ? `${start} – ${end.slice(11)}` : `${start} – ${end}`;
  }
  if (type === "timestamp") return instant(value);
  if (isNumber(type)) {
    const text = String(value);
    if (type === "double" || type === "float") {
      return Number.isInteger(value) || text.includes("e") ? digits(text) : digits(String(Number(value.toPrecision(9))));
    }
    return digits(text);
  }
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

const counted = (count, thing) => `${count} ${thing}${count === 1 ? "" : "s"}`;

function ago(text) {
  if (!text) return "–";
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(text)) / 1000));
  if (seconds < 120) return `${seconds} s ago`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

// ---- drawing ------------------------------------------------------------------------------------------------------

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function shape(name, attributes, title) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (title !== undefined) {
    const note = document.createElementNS(SVG, "title");
    note.textContent = title;
    made.append(note);
  }
  return made;
}

function say(id, text) {
  const spot = at(id);
  if (spot.textContent !== text) spot.textContent = text;
}

function bars(svg, points) {
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const top = Math.max(0, ...points.map((p) => p.value));
  const bottom = Math.min(0, ...points.map((p) => p.value));
  const scale = (height - 4) / (top - bottom || 1);
  const zero = 2 + top * scale;
  const step = width / Math.max(points.length, 1);
  svg.replaceChildren(...points.map((point, place) => {
    const tall = Math.max(Math.abs(point.value) * scale, 1);
    const y = point.value >= 0 ? zero - tall : zero;
    return shape("rect", { class: "bar", x: place * step + step * 0.1, y, width: step * 0.8, height: tall, rx: 1.5 }, point.title);
  }));
}

function line(svg, points) {
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const values = points.map((p) => p.value);
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const x = (place) => (place * width) / Math.max(points.length - 1, 1);
  const y = (value) => 3 + ((high - value) * (height - 6)) / (high - low || 1);
  const path = points.map((p, place) => `${place ? "L" : "M"}${x(place).toFixed(1)} ${y(p.value).toFixed(1)}`).join("");
  const last = points.at(-1);
  svg.replaceChildren(
    shape("path", { class: "area", d: `${path}L${width} ${y(0)}L0 ${y(0)}Z` }),
    shape("path", { class: "line", d: path }, last ? last.title : ""),
  );
}

function table(target, columns, rows, options = {}) {
  const head = element("tr");
  for (const column of columns) {
    const cell = element("th", { className: isNumber(column.type) ? "num" : "", title: column.type });
    cell.dataset.column = column.name;
    if (options.sort) {
      cell.append(element("button", { type: "button", textContent: column.name, onclick: () => options.sort(column) }));
      if (options.order === column.name) cell.setAttribute("aria-sort", options.descending ? "descending" : "ascending");
    } else {
      cell.textContent = column.name;
    }
    head.append(cell);
  }
  const body = rows.map((row) => {
    const key = options.key?.(row);
    const before = options.before?.get(key);
    const line = element("tr");
    if (key !== undefined) line.dataset.key = key;
    for (const column of columns) {
      const value = row[column.name];
      const cell = element("td", { textContent: shown(value, column.type), className: isNumber(column.type) ? "num" : "" });
      if (value === null) cell.classList.add("null");
      cell.title = cell.textContent;
      const changed = before === undefined || JSON.stringify(before[column.name]) !== JSON.stringify(value);
      if (options.before && changed) cell.classList.add("flash");
      line.append(cell);
    }
    return line;
  });
  const parts = [element("thead", {}, head), element("tbody", {}, ...body)];
  // Keyboard focus on a header survives the redrawing of its table.
  const focused = target.contains(document.activeElement) ? document.activeElement.closest("th")?.dataset.column : undefined;
  target.replaceChildren(...parts);
  if (focused !== undefined) target.querySelector(`th[data-column="${CSS.escape(focused)}"] button`)?.focus();
}

// ---- layers -------------------------------------------------------------------------------------------------------

function drawLayers(now) {
  const { speed, base } = now.layers;
  document.title = `${now.name} · Braid`;
  document.body.dataset.state = now.status.state;
  say("deployment", now.name);
  say("layout", now.layout);
  at("status").dataset.state = now.status.state;
  say("status", now.status.state);
  trouble(now.status.reason ? `The query failed: ${now.status.reason}` : "");
  say("as-of", now.committedAt ? instant(now.committedAt) : "nothing committed yet");
  say("manifest", `manifest ${now.manifest}`);
  const horizon = base?.horizon ?? 0;
  for (const id of ["horizon", "horizon-again"]) say(id, whole.format(horizon));
  for (const id of ["epoch", "speed-epoch"]) say(id, whole.format(speed.nextEpoch));
  // Deltas stay visible beside a base that is a thousand times longer.
  at("channel-base").style.flexGrow = String(Math.sqrt(horizon));
  at("channel-speed").style.flexGrow = String(Math.sqrt(speed.deltaEpochs));
  say("generation", base ? whole.format(base.generation) : "none yet");
  say("base-by", base ? (base.by === "fold" ? "folded" : "recomputed") : "");
  say("published", ago(base?.publishedAt));
  say("lag", whole.format(speed.deltaEpochs));
  say("watermark", instant(now.watermark).slice(0, 19)); // to the second: it moves once an epoch
  const took = now.lastProgress?.durationMs?.triggerExecution;
  say("epoch-duration", took === undefined ? "–" : `${whole.format(took)} ms`);
  const read = Object.values(now.counts.rows).reduce((a, b) => a + b, 0);
  const bad = Object.values(now.counts.bad).reduce((a, b) => a + b, 0);
  say("rows-read", digits(String(read)));
  say("dead-letters", digits(String(bad)));
  at("dead-letters").classList.toggle("some", bad > 0);
  speeds = [...speeds, [performance.now(), read]].slice(-6);
  const [[t0, r0], [t1, r1]] = [speeds[0], speeds.at(-1)];
  say("rows-per-second", t1 > t0 ? digits(String(Math.round(((r1 - r0) * 1000) / (t1 - t0)))) : "0");
  const rows = Object.entries(now.sources).map(([name, source]) => ({
    source: name, rows: source.rows, bad: source.bad,
    "greatest event time": instant(source.eventTimeMax), watermark: instant(source.watermark),
    "next offsets": offsets(source.offsets),
  }));
  const text = (name) => ({ name, type: "string" });
  table(at("sources"), [text("source"), { name: "rows", type: "long" }, { name: "bad", type: "long" },
    text("greatest event time"), text("watermark"), text("next offsets")], rows);
}

function offsets(all) {
  const entries = Object.entries(all);
  const first = entries.slice(0, 4).map(([partition, offset]) => `${partition}: ${offset}`).join(", ");
  return entries.length > 4 ? `${first}, … (${entries.length} partitions)` : first;
}

function drawPulse(recent) {
  bars(at("pulse"), recent.slice(-PULSE_EPOCHS).map((epoch) => ({
    value: epoch.numInputRows,
    title: `epoch ${epoch.batchId}: ${whole.format(epoch.numInputRows)} rows, ${epoch.durationMs?.triggerExecution ?? "?"} ms`,
  })));
}

function trouble(text) {
  at("trouble").hidden = text === "";
  say("trouble", text);
}

// ---- views --------------------------------------------------------------------------------------------------------

function addView(about) {
  const card = at("view").content.firstElementChild.cloneNode(true);
  card.dataset.view = about.name;
  card.querySelector("h3").textContent = about.name;
  card.querySelector(".kind").textContent = about.kind;
  const time = about.columns.find((c) => about.keys.includes(c.name) && isTime(c.type));
  const numbers = about.columns.filter((c) => !about.keys.includes(c.name) && isNumber(c.type));
  const number = numbers.find((c) => c.type.startsWith("decimal")) ?? numbers[0];
  const view = { about, card, time, number, order: null, descending: true, before: null, drawn: "" };
  if (about.kind === "keyed") view.order = (time ?? number)?.name ?? null;
  at("views").append(card);
  views.set(about.name, view);
}

function orderOf(view) {
  if (view.order === null) return view.about.kind === "keyed" ? "" : "position.desc";
  const type = view.about.columns.find((c) => c.name === view.order).type;
  const main = `${view.order}${isWindow(type) ? ".start" : ""}.${view.descending ? "desc" : "asc"}`;
  const second = view.time?.name === view.order && view.number ? `,${view.number.name}.desc` : "";
  return main + second;
}

async function drawView(view, manifest) {
  const order = orderOf(view);
  const wanted = `${manifest} ${order}`;
  if (view.drawn === wanted) return;
  const base = `/v1/views/${encodeURIComponent(view.about.name)}/scan`;
  const parameters = new URLSearchParams({ limit: ROWS, ...(order && { order }) });
  const page = await ask(`${base}?${parameters}`);
  const sameOrder = view.drawn.endsWith(` ${order}`);
  view.drawn = wanted;
  const keyed = view.about.kind === "keyed"; // without keys: one row for all
  const keys = keyed ? view.about.keys : view.about.columns.map((c) => c.name);
  const key = (row) => JSON.stringify(keys.map((name) => row[name]));
  table(view.card.querySelector("[data-role=rows]"), view.about.columns, page.rows, {
    key, before: sameOrder ? view.before : null, order: view.order, descending: view.descending,
    sort: (column) => {
      view.descending = view.order === column.name ? !view.descending : isNumber(column.type) || isTime(column.type);
      view.order = column.name;
      drawView(view, manifest).catch(() => {});
    },
  });
  view.before = new Map(page.rows.map((row) => [key(row), row]));
  const status = view.card.querySelector(".final");
  status.dataset.status = status.textContent = page.provenance.status;
  view.card.querySelector(".csv").href = `${base}?format=csv&limit=10000`;
  view.card.querySelector(".more").textContent = page.next ? `first ${ROWS} rows; there are more` : counted(page.rows.length, "row");
  plot(view, page.rows);
}

function plot(view, rows) {
  const svg = view.card.querySelector("[data-role=plot]");
  const note = view.card.querySelector(".plot-note");
  const { keys, columns } = view.about;
  const number = columns.find((c) => c.name === view.order && isNumber(c.type)) ?? view.number;
  const drawn = number !== undefined && rows.length > 1;
  svg.toggleAttribute("hidden", !drawn);
  note.textContent = drawn ? number.name : "";
  if (!drawn) return;
  const label = (row) => keys.map((name) => shown(row[name], columns.find((c) => c.name === name).type)).join(", ");
  const points = rows.map((row) => ({
    value: Number(row[number.name] ?? 0),
    title: `${label(row)}: ${shown(row[number.name], number.type)}`.replace(/^: /, ""),
  }));
  svg.setAttribute("aria-label", `${number.name} of the rows below`);
  const alongTime = keys.length === 1 && view.time && view.order === view.time.name && points.length > 2;
  if (alongTime) line(svg, view.descending ? points.reverse() : points);
  else bars(svg, points);
}

async function drawViews(manifest) {
  const { views: all } = await ask("/v1/views");
  const listed = all.filter((view) => view.kind !== "ledger" || hasLetters(view.name));
  if (listed.length && views.size === 0) at("views").replaceChildren();
  for (const about of listed) if (!views.has(about.name)) addView(about);
  await Promise.all([...views.values()].map((view) => drawView(view, manifest).catch((error) => {
    view.drawn = "";
    view.card.querySelector(".more").textContent = error.message;
  })));
  const first = all.find((view) => view.kind !== "ledger");
  if (first && at("sql").value === "" && document.activeElement !== at("sql")) {
    at("sql").value = `SELECT * FROM ${first.name} LIMIT 10`;
  }
}

const hasLetters = (name) => name === "dead_letters" && at("dead-letters").classList.contains("some");

// ---- questions ----------------------------------------------------------------------------------------------------

async function run(sql) {
  at("sql-error").hidden = true;
  say("sql-note", "running …");
  const began = performance.now();
  try {
    const answer = await ask("/v1/sql", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ sql }) });
    table(at("sql-result"), answer.columns, answer.rows);
    const took = Math.round(performance.now() - began);
    say("sql-note", `${counted(answer.rows.length, "row")} in ${took} ms, manifest ${answer.provenance.manifest}${answer.truncated ? ", cut at the limit" : ""}`);
  } catch (error) {
    at("sql-result").replaceChildren();
    say("sql-note", "");
    at("sql-error").hidden = false;
    say("sql-error", error.message);
  }
}

at("sql-form").addEventListener("submit", (event) => {
  event.preventDefault();
  run(at("sql").value);
});
at("sql").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) at("sql-form").requestSubmit();
});
at("dead-letters").addEventListener("click", () => {
  at("sql").value = "SELECT source, \"partition\", \"offset\", reason, record FROM dead_letters LIMIT 100";
  at("sql-form").requestSubmit();
  at("sql").scrollIntoView({ block: "nearest" });
});

// ---- theme and loop -----------------------------------------------------------------------------------------------

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const kept = localStorage.getItem("braid-theme");
if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
at("theme").addEventListener("click", () => {
  const theme = dark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  localStorage.setItem("braid-theme", theme);
});

async function tick() {
  query ??= (await ask("/v1/queries")).queries[0];
  const path = `/v1/queries/${encodeURIComponent(query.id)}`;
  const [now, { recentProgress }] = await Promise.all([ask(path), ask(`${path}/progress?limit=${PULSE_EPOCHS}`)]);
  drawLayers(now);
  drawPulse(recentProgress);
  await drawViews(now.manifest);
}

async function loop() {
  for (;;) {
    if (!document.hidden) {
      try {
        await tick();
      } catch (error) {
        query = null;
        document.body.dataset.state = "";
        at("status").dataset.state = "away";
        say("status", error instanceof Problem ? "trouble" : "not reachable");
        trouble(error instanceof Problem ? error.message : "The server does not answer; trying again.");
      }
    }
    await new Promise((wake) => setTimeout(wake, POLL_MS));
  }
}

loop();
