// The page of a cohort: one list of studies, seen as a table, as a mosaic and on a strip plot a measure. Only what is in
// sight is in the document, so that ten thousand studies are as quick as ten.
"use strict";

const { columns, measures, rows, pages } = window.cohort;
const control = (id) => document.getElementById(id);
const RATINGS = ["", "good", "doubtful", "bad"];
const [STUDY, STATUS, STANDS_OUT, REASON] = [0, 1, 2, 3];
const NOTED = ["problems", "undecided", "atypical", "unanswered", "unread"].map((name) => columns.indexOf(name));
const ROW = 36, PAPER = 500;
const TILE = { width: 180, height: 220 };
const STORE = `polyscan ratings of ${location.pathname}`;

let order = rows.map((_, k) => k); // rows of what is shown, in its order
let marked = -1;
let sorted = { column: -1, down: false };
let ratings = newest(window.cohort.ratings, stored());

function stored() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch { // kept out by the browser's settings
    return {};
  }
}

// Of each study the rating that was given last; what is there is never older than what a file brings.
function newest(...many) {
  const found = {};
  for (const [study, each] of many.flatMap(Object.entries)) {
    if (!found[study] || found[study].time < each.time) found[study] = each;
  }
  return found;
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const told = (value) => (value === null || value === undefined ? ""
  : typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));
const pageOf = (k) => `${PAGES}/${encodeURIComponent(rows[k][STUDY])}`;

// ---- which studies are shown, and in what order

function isShown(k) {
  const row = rows[k];
  const words = control("find").value.trim().toLowerCase();
  if (words && !row.some((value) => typeof value === "string" && value.toLowerCase().includes(words))) return false;
  switch (control("show").value) {
    case "failed": return row[STATUS] === "failed";
    case "outlying": return row[STANDS_OUT] !== "";
    case "noted": return Boolean(row[REASON] || NOTED.some((column) => row[column]));
    case "unrated": return !ratings[row[STUDY]]?.rating;
    case "rated": return Boolean(ratings[row[STUDY]]?.rating);
    default: return true;
  }
}

function compare(a, b) {
  const [x, y] = [rows[a][sorted.column] ?? null, rows[b][sorted.column] ?? null];
  if (x === null || y === null) return (x === null) - (y === null); // what is not known goes last, up or down
  const way = sorted.down ? -1 : 1;
  return way * (typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
}

function choose() {
  order = rows.map((_, k) => k).filter(isShown);
  if (sorted.column >= 0) order.sort(compare);
  control("told").textContent = `${order.length} of ${rows.length} shown, ${Object.values(ratings).filter((r) => r.rating).length} rated`;
  draw();
}

// ---- the table

const table = control("table");
const [head, body] = [table.querySelector("thead tr"), table.querySelector("tbody")];

function drawHead() {
  head.replaceChildren(element("th", { scope: "col" }, "rating"), ...columns.map((name, column) => {
    const way = sorted.column !== column ? "none" : sorted.down ? "descending" : "ascending";
    const button = element("button", { type: "button", onclick: () => sortBy(column) },
      name + { none: "", ascending: " \u25b2", descending: " \u25bc" }[way]);
    return element("th", { scope: "col", "aria-sort": way }, button);
  }));
}

function sortBy(column) {
  sorted = { column, down: sorted.column === column && !sorted.down };
  drawHead();
  choose();
}

function rater(k) {
  const study = rows[k][STUDY];
  const chooser = element("select", { "aria-label": `Rating of ${study}`, onclick: (event) => event.stopPropagation() },
    ...RATINGS.map((rating) => element("option", { value: rating, selected: (ratings[study]?.rating ?? "") === rating }, rating || "\u2013")));
  chooser.addEventListener("change", () => rate(study, chooser.value));
  return chooser;
}

function tableRow(k) {
  const row = rows[k];
  const cells = columns.map((name, column) => {
    if (column === STUDY) {
      const named = pages[k] ? element("a", { href: `${pageOf(k)}.html` }, row[STUDY]) : row[STUDY];
      return element("th", { scope: "row" }, named);
    }
    const text = told(row[column]);
    return element("td", { title: text, class: typeof row[column] === "number" ? "number" : "" }, text);
  });
  const classes = [row[STATUS] === "failed" && "failed", k === marked && "marked"].filter(Boolean).join(" ");
  return element("tr", { class: classes, onclick: () => mark(k) }, element("td", {}, rater(k)), ...cells);
}

const space = (height) => element("tr", { "aria-hidden": true, class: "space" }, element("td", { style: `height:${height}px;padding:0;border:0` }));

let paper = false; // on which all rows are in sight, but no more than the first ones: nobody turns thousands of pages

function rowsInSight(box, height, beyond) {
  if (paper) return [0, PAPER];
  return [Math.max(0, Math.floor(box.scrollTop / height) - beyond), Math.ceil((box.scrollTop + box.clientHeight) / height) + beyond];
}

function drawTable() {
  const [first, end] = rowsInSight(table, ROW, 8);
  const last = Math.min(order.length, end);
  table.firstElementChild.setAttribute("aria-rowcount", order.length + 1);
  body.replaceChildren(space(first * ROW), ...order.slice(first, last).map(tableRow), space(paper ? 0 : (order.length - last) * ROW));
}

// ---- the mosaic

const mosaic = control("mosaic");

function tile(k, left, top) {
  const study = rows[k][STUDY];
  const picture = pages[k]
    ? element("img", { src: `${pageOf(k)}.jpg`, alt: `Axial slice of ${study} with what was predicted`, loading: "lazy" })
    : element("span", { class: "none" }, rows[k][REASON]);
  const attributes = { class: `tile ${k === marked ? "marked" : ""}`, style: `left:${left}px;top:${top}px`, onclick: () => mark(k) };
  if (pages[k]) attributes.href = `${pageOf(k)}.html`;
  return element("a", attributes, picture, element("span", {}, study),
    element("span", { class: "soft" }, ratings[study]?.rating || rows[k][STANDS_OUT]));
}

function drawMosaic() {
  const across = Math.max(1, Math.floor(mosaic.clientWidth / TILE.width));
  const [first, end] = rowsInSight(mosaic, TILE.height, 1).map((row) => row * across);
  const last = Math.min(order.length, end, paper ? PAPER : Infinity);
  const area = mosaic.firstElementChild;
  area.style.height = `${Math.ceil((paper ? last : order.length) / across) * TILE.height}px`;
  area.replaceChildren(...order.slice(first, last).map((k, i) =>
    tile(k, ((first + i) % across) * TILE.width, Math.floor((first + i) / across) * TILE.height)));
}

function draw() {
  const isMosaic = control("as").value === "mosaic";
  [table.hidden, mosaic.hidden] = [isMosaic, !isMosaic];
  (isMosaic ? drawMosaic : drawTable)();
}

// ---- strip plots

const strips = measures.map((name) => {
  const column = columns.indexOf(name);
  const known = rows.flatMap((row, k) => (typeof row[column] === "number" ? [k] : []));
  const values = known.map((k) => rows[k][column]);
  const [low, high] = values.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [Infinity, -Infinity]);
  const middle = [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const canvas = element("canvas", {
    role: "slider", tabindex: 0, "aria-valuemin": low, "aria-valuemax": high,
    "aria-label": `${name}: ${values.length} studies from ${told(low)} to ${told(high)}, median ${told(middle)}; arrow keys go from study to study`,
  });
  const here = element("span");
  control("strips").append(element("figure", {},
    element("figcaption", {}, element("span", {}, name), here), canvas,
    element("figcaption", { "aria-hidden": true }, element("span", {}, told(low)), element("span", {}, told(high)))));
  const strip = { name, column, known, low, high, middle, canvas, here, inSight: false };
  canvas.addEventListener("click", (event) => mark(nearest(strip, event.offsetX, event.offsetY)));
  canvas.addEventListener("keydown", (event) => step(strip, event));
  return strip;
});

// The arrow keys go to the study with the next value, Home and End to the lowest and the highest.
function step(strip, event) {
  strip.sorted ??= [...strip.known].sort((a, b) => rows[a][strip.column] - rows[b][strip.column]);
  const [at, last] = [strip.sorted.indexOf(marked), strip.sorted.length - 1];
  const to = {
    ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at < 0 ? last : at - 1, ArrowDown: at < 0 ? last : at - 1, Home: 0, End: last,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  mark(strip.sorted[Math.min(last, Math.max(0, to))]);
}

// Where a study lies on a strip; its height says nothing, and keeps dots apart.
function place({ column, low, high, canvas }, k) {
  const part = high > low ? (rows[k][column] - low) / (high - low) : 0.5;
  return [6 + part * (canvas.clientWidth - 12), 6 + ((k * 0.61803) % 1) * (canvas.clientHeight - 12)];
}

function nearest(strip, x, y) {
  const far = strip.known.map((k) => {
    const [left, top] = place(strip, k);
    return (left - x) ** 2 + (top - y) ** 2;
  });
  return strip.known[far.reduce((best, d, i) => (d < far[best] ? i : best), 0)];
}

function drawStrip(strip) {
  const { canvas } = strip;
  const value = marked < 0 ? null : rows[marked][strip.column];
  strip.here.textContent = told(value);
  if (typeof value === "number") {
    canvas.setAttribute("aria-valuenow", value);
    canvas.setAttribute("aria-valuetext", `${rows[marked][STUDY]}: ${told(value)}`);
  } else {
    canvas.setAttribute("aria-valuenow", strip.middle);
    canvas.setAttribute("aria-valuetext", marked < 0 ? "no study is marked" : `${rows[marked][STUDY]} has none`);
  }
  if (!strip.inSight) return;
  const colour = getComputedStyle(canvas).getPropertyValue("--accent");
  if (!strip.dots || strip.width !== canvas.clientWidth || strip.colour !== colour) {
    [canvas.width, canvas.height, strip.width, strip.colour] = [canvas.clientWidth, canvas.clientHeight, canvas.clientWidth, colour];
    strip.dots = document.createElement("canvas");
    [strip.dots.width, strip.dots.height] = [canvas.width, canvas.height];
    const context = strip.dots.getContext("2d");
    context.fillStyle = colour;
    context.globalAlpha = Math.max(0.15, Math.min(0.8, 40 / Math.sqrt(strip.known.length + 1) / 4));
    for (const k of strip.known) {
      const [x, y] = place(strip, k);
      context.fillRect(x - 1.5, y - 1.5, 3, 3);
    }
  }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (strip.dots.width && strip.dots.height) context.drawImage(strip.dots, 0, 0);
  if (typeof value !== "number") return;
  const [x, y] = place(strip, marked);
  context.strokeStyle = context.fillStyle = getComputedStyle(canvas).getPropertyValue("--warn");
  context.fillRect(x - 1, 0, 2, canvas.height);
  context.beginPath();
  context.arc(x, y, 5, 0, 7);
  context.fill();
}

function mark(k) {
  marked = k;
  strips.forEach(drawStrip);
  const at = order.indexOf(k);
  if (!table.hidden && at >= 0 && (at * ROW < table.scrollTop || (at + 2) * ROW > table.scrollTop + table.clientHeight)) {
    table.scrollTop = Math.max(0, at * ROW - table.clientHeight / 2);
  }
  draw();
  control("told").textContent = `${rows[k][STUDY]} is marked`;
}

// ---- ratings

function rate(study, rating) {
  ratings[study] = { rating, time: new Date().toISOString() };
  try {
    localStorage.setItem(STORE, JSON.stringify(ratings));
  } catch { /* the file that is saved is what counts */ }
  control("told").textContent = `${study}: ${rating || "no rating"}; save ratings to keep them`;
}

control("save").addEventListener("click", () => {
  const kept = Object.fromEntries(Object.entries(ratings).filter(([, each]) => each.rating));
  const text = JSON.stringify({ polyscan: VERSION, ratings: kept }, null, 2);
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "ratings.json" });
  link.click();
  control("told").textContent = `${Object.keys(kept).length} ratings saved as ratings.json`;
});

control("load").addEventListener("change", async () => {
  try {
    const found = JSON.parse(await control("load").files[0].text());
    if (typeof found.ratings !== "object" || found.ratings === null) throw new Error("no ratings");
    ratings = newest(ratings, found.ratings);
    choose();
  } catch {
    control("told").textContent = "This file holds no ratings; choose one that was saved here.";
  }
});

// ---- begin

let waiting = false;
function scrolled() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; draw(); });
}
table.addEventListener("scroll", scrolled);
mosaic.addEventListener("scroll", scrolled);
new ResizeObserver(() => { strips.forEach(drawStrip); draw(); }).observe(control("strips"));
control("find").addEventListener("input", choose);
for (const id of ["show", "as"]) control(id).addEventListener("change", choose);
const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const strip = strips.find(({ canvas }) => canvas === target);
    strip.inSight = isIntersecting;
    drawStrip(strip);
  }
}, { root: control("strips") });
strips.forEach(({ canvas }) => sight.observe(canvas));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => strips.forEach(drawStrip));
for (const [event, begins] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    paper = begins;
    control("paper").textContent = order.length > PAPER ? `The first ${PAPER} of ${order.length} studies.` : "";
    for (const strip of strips) {
      if (paper) strip.inSight = true;
      drawStrip(strip);
    }
    draw();
  });
}
drawHead();
choose();
requestAnimationFrame(() => requestAnimationFrame(() => {
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}));
