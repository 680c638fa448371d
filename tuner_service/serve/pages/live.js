// The curves of a study's trials, drawn as the read API tells of them; without a study in the path, the list of all.
"use strict";

const COLOURS = ["#1f6fb2", "#d9822b", "#2a9d6f", "#8a4fbf", "#c23b2e", "#5aa9a3", "#b5568f", "#8c7a1f", "#5b6ee1", "#7f6a5d"];
// Trials that have ended stay as a background, so many of them.
const MOST_ENDED = 40;
const AGAIN_MS = 5000;

const at = (id) => document.getElementById(id);
const shown = (value) => typeof value === "number" ? String(Number(value.toPrecision(5))) : String(value ?? "-");

function element(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

async function ask(path) {
  const answer = await fetch(path, {headers: {Accept: "application/json"}});
  // The session has ended: the server answers this page's own address with the form that leads back here.
  if (answer.status === 401) location.reload();
  if (!answer.ok) throw new Error(answer.status === 404 ? "there is no such study" : "the storage does not answer");
  return answer.json();
}

function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function showState(state) {
  at("state").textContent = state;
  at("state").className = `state ${state}`;
  at("state").hidden = false;
}

// ---- all studies

async function list() {
  at("name").textContent = "Studies";
  try {
    const {studies} = await ask("/v1/studies");
    at("note").textContent = studies.length ? "" : "there is no study yet";
    at("studies").replaceChildren(...studies.reverse().map((study) => {
      const item = element("li");
      const best = study.best === null ? "" : `, best ${study.metrics[0]} ${shown(study.best)}`;
      item.append(element("a", study.name, {href: `/live/${encodeURIComponent(study.name)}`}));
      item.append(element("div", `${study.state}: ${study.settled} of ${study.trials} trials${best}`, {class: "note"}));
      return item;
    }));
    at("studies").hidden = false;
  } catch (error) {
    at("note").textContent = error.message;
  }
  setTimeout(list, AGAIN_MS);
}

// ---- one study

const runs = new Map();    // "trial/run" -> {trial, points: Map(epoch -> metrics)}
const params = new Map();  // trial -> its parameters, as text
let study = null, metric = null, chosen = null, isDrawn = true, isLearning = false;

function follow(name) {
  at("name").textContent = name;
  document.title = `${name}: live`;
  const events = new EventSource(`/v1/studies/${encodeURIComponent(name)}/live`);
  events.addEventListener("open", () => { at("note").textContent = "live"; });
  events.addEventListener("study", (event) => { tell(name, JSON.parse(event.data)); });
  events.addEventListener("epoch", (event) => { hear(name, JSON.parse(event.data)); });
  events.addEventListener("ended", () => { at("note").textContent = "it has ended"; events.close(); });
  events.addEventListener("error", () => {
    at("note").textContent = "the server does not answer, and is asked again";
    if (events.readyState !== EventSource.CLOSED) return;
    // It was refused: the address itself says why.
    ask(`/v1/studies/${encodeURIComponent(name)}`).then(
      () => setTimeout(follow, AGAIN_MS, name),
      (error) => { at("note").textContent = error.message; setTimeout(follow, AGAIN_MS, name); });
  });
}

function tell(name, told) {
  study = told;
  at("study").hidden = false;
  showState(study.state);
  at("progress").max = study.trials;
  at("progress").value = study.settled;
  const left = study.seconds_left ? `, about ${duration(study.seconds_left)} left` : "";
  at("counts").textContent = `${study.settled} of ${study.trials} trials: ${study.complete} complete, ${study.pruned} pruned, `
    + `${study.failed} failed, ${study.running} running${left}`;
  at("best").textContent = study.best === null ? "" : `best ${study.metrics[0]} ${shown(study.best)} in trial ${study.front[0]}`;
  choose();
  for (const trial of study.training) wonder(name, trial);
  forget();
  redraw();
}

// A trial has its parameters once its network is built, which nothing tells: they are there with its first epoch.
function wonder(name, trial) {
  if (trains(trial) && !params.has(trial) && !isLearning) learn(name);
}

async function learn(name) {
  isLearning = true;
  try {
    const {trials} = await ask(`/v1/studies/${encodeURIComponent(name)}/trials?state=RUNNING&limit=1000`);
    for (const one of trials) {
      const words = Object.entries(one.params).map(([key, value]) => `${key} ${shown(value)}`);
      if (words.length) params.set(one.trial, words.join(", "));
    }
    redraw();
  } catch (error) {
    at("note").textContent = error.message;
  }
  setTimeout(() => { isLearning = false; }, AGAIN_MS);
}

function hear(name, epoch) {
  wonder(name, epoch.trial);
  const key = `${epoch.trial}/${epoch.run}`;
  if (!runs.has(key)) runs.set(key, {trial: epoch.trial, points: new Map()});
  runs.get(key).points.set(epoch.epoch, {...runs.get(key).points.get(epoch.epoch), ...epoch.metrics});
  for (const name of Object.keys(epoch.metrics)) offer(name);
  redraw();
}

const offered = () => [...at("metric").options].map((one) => one.value);

function offer(name) {
  if (offered().includes(name)) return;
  const place = offered().findIndex((one) => one > name);
  at("metric").add(element("option", name, {value: name}), place < 0 ? null : place);
  choose();
}

// The objective, once it is heard of, unless somebody has chosen.
function choose() {
  if (!at("metric").dataset.chosen) metric = study?.metrics.find((one) => offered().includes(one)) ?? offered()[0] ?? null;
  at("metric").value = metric;
}

const trains = (trial) => study !== null && study.training.includes(trial);

function forget() {
  const ended = [...runs].filter(([, run]) => !trains(run.trial)).sort(([, one], [, other]) => one.trial - other.trial);
  for (const [key] of ended.slice(0, -MOST_ENDED)) runs.delete(key);
}

function redraw() {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => { isDrawn = true; draw(); table(); });
}

function table() {
  at("shown").textContent = metric ?? "";
  const training = study === null ? [] : [...study.training].sort((one, other) => one - other);
  const rows = training.map((trial) => {
    const mine = [...runs.values()].filter((run) => run.trial === trial).flatMap((run) => [...run.points]);
    const [epoch, metrics] = mine.reduce((last, one) => one[0] > last[0] ? one : last, [0, {}]);
    const row = element("tr");
    const dot = element("span", "", {class: "dot"});
    dot.style.background = colour(trial);
    const cells = ["", trial, `${epoch}/${study.most_epochs}`, shown(metrics[metric]), params.get(trial) ?? ""];
    row.append(...cells.map((text) => element("td", text)));
    row.firstChild.append(dot);
    row.className = trial === chosen ? "chosen" : "";
    row.addEventListener("click", () => { chosen = trial === chosen ? null : trial; redraw(); });
    return row;
  });
  at("trials").tBodies[0].replaceChildren(...rows);
}

// ---- the chart

const colour = (trial) => COLOURS[trial % COLOURS.length];

function svg(tag, attributes, text = "") {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

// About so many round numbers from low to high.
function ticks(low, high, many) {
  const rough = (high - low || 1) / many;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * power).find((one) => one >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) found.push(Number(tick.toPrecision(12)));
  return found;
}

// The range of most values: one that explodes would press all others into a line.
function range(values) {
  const sorted = [...values].sort((one, other) => one - other);
  const edge = sorted.length > 30 ? Math.floor(sorted.length * 0.03) : 0;
  const low = sorted[edge], high = sorted[sorted.length - 1 - edge];
  const room = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
  return [low - room, high + room];
}

function draw() {
  // Epochs come before the study is told of, and shown; while a window changes its size it may have none.
  if (study === null || !at("chart").clientWidth) return;
  const lines = [...runs.values()].map((run) => ({
    trial: run.trial,
    points: [...run.points].filter(([, one]) => Number.isFinite(one[metric])).map(([epoch, one]) => [epoch, one[metric]])
      .sort(([one], [other]) => one - other),
  })).filter((line) => line.points.length);
  const values = lines.flatMap((line) => line.points.map(([, value]) => value));
  if (!values.length) {
    at("chart").replaceChildren(element("p", "no epoch has been heard of yet", {class: "note"}));
    return;
  }
  const width = at("chart").clientWidth, height = Math.max(220, Math.min(420, width * 0.5));
  const [left, right, top, bottom] = [52, width - 10, 10, height - 34];
  const last = Math.max(2, ...lines.map((line) => line.points[line.points.length - 1][0]));
  const [low, high] = range(values);
  const x = (epoch) => left + (epoch - 1) / (last - 1) * (right - left);
  const y = (value) => bottom - (value - low) / (high - low) * (bottom - top);
  const picture = svg("svg", {viewBox: `0 0 ${width} ${height}`, height, role: "img", "aria-label": `${metric} by epoch`});
  const clip = svg("clipPath", {id: "inside"});
  clip.append(svg("rect", {x: left - 4, y: top - 4, width: right - left + 8, height: bottom - top + 8}));
  picture.append(clip);
  for (const tick of ticks(low, high, 5)) {
    picture.append(svg("line", {class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick)}));
    picture.append(svg("text", {x: left - 6, y: y(tick) + 4, "text-anchor": "end"}, shown(tick)));
  }
  for (const tick of ticks(1, last, Math.max(2, Math.min(10, width / 70))).filter(Number.isInteger)) {
    picture.append(svg("text", {x: x(tick), y: bottom + 17, "text-anchor": "middle"}, tick));
  }
  picture.append(svg("text", {x: right, y: height - 2, "text-anchor": "end"}, "epoch"));
  const inside = svg("g", {"clip-path": "url(#inside)"});
  // Those that run lie above those that have ended.
  for (const line of lines.sort((one, other) => trains(one.trial) - trains(other.trial))) {
    const runsNow = trains(line.trial);
    const stroke = runsNow ? colour(line.trial) : "var(--past)";
    const opacity = chosen === null || chosen === line.trial ? 1 : 0.2;
    const drawn = line.points.map(([epoch, value], place) => `${place ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`);
    inside.append(svg("path", {d: drawn.join(""), "stroke-width": runsNow ? 2 : 1, opacity, class: runsNow ? "running" : "ended"}));
    inside.lastChild.style.stroke = stroke;
    if (runsNow) {
      const [epoch, value] = line.points[line.points.length - 1];
      inside.append(svg("circle", {cx: x(epoch), cy: y(value), r: 3.5, fill: stroke, opacity}));
    }
  }
  picture.append(inside);
  at("chart").replaceChildren(picture);
}

const name = decodeURIComponent(location.pathname.replace(/^\/live\/?/, ""));
if (name) {
  at("metric").addEventListener("change", () => {
    metric = at("metric").value;
    at("metric").dataset.chosen = "yes";
    redraw();
  });
  addEventListener("resize", redraw);
  follow(name);
} else {
  list();
}
