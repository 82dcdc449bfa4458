// The dashboard. Every address is relative to the page, so it works under any prefix.
// What servers and people named reaches the page as text only, never as markup.

const POLL_MS = 2000;
const POLL_DOWNLOADING_MS = 1000;
const POLL_SLOWEST_MS = 30000;
const PAGE_ROWS = 40;
const RECENT_MS = 10 * 60 * 1000;
const TOAST_MS = 6000;
const HISTORY_MS = 30000;
const HOUR_MS = 3600000;
const TREND = { width: 240, height: 36, edge: 3 };

const LIVE = new Set(["queued", "downloading", "verifying", "running"]);
const STATES = {
  active: ["good", "Ready"],
  not_loaded: ["idle", "Not in memory; it loads with the next message"],
  loading: ["busy", "Loading"],
  downloading: ["busy", "Downloading"],
  not_installed: ["warn", "Not installed"],
  offline: ["bad", "Ollama does not answer"],
};
const JOB_WORDS = {
  queued: "Waiting for its turn",
  downloading: "Downloading",
  verifying: "Verifying",
  installed: "Installed",
  running: "Measuring",
  ok: "Measured",
  partial: "Measured in part",
  failed: "Failed",
  cancelled: "Cancelled",
};
const TASKS = { general: "General", coding: "Coding", analysis: "Analysis", creative: "Creative", fast: "Fast" };

const $ = (id) => document.getElementById(id);
// The name space of the picture that is on the page: the script itself names no address.
const SVG = document.querySelector("svg").namespaceURI;
const known = { status: null, models: null, downloads: null, benchmarks: null, tasks: null, history: null };
const ui = { tab: "installed", query: "", rows: PAGE_ROWS, failures: 0, busy: new Set(), skew_ms: 0, timer: 0, history: {} };

// Making elements

function make(tag, options = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setTone(element, tone) {
  if (element.dataset.tone !== tone) element.dataset.tone = tone;
}

// Keeps the elements of what stays, so that focus, open menus and moving bars survive an update.
function reconcile(list, items, keyOf, create, update) {
  const old = new Map([...list.children].map((element) => [element.dataset.key, element]));
  let place = list.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let element = old.get(key);
    if (element) old.delete(key);
    else {
      element = create(item);
      element.dataset.key = key;
    }
    update(element, item);
    if (element === place) place = place.nextElementSibling;
    else list.insertBefore(element, place);
  }
  for (const element of old.values()) element.remove();
}

// Words and figures

const unknown = (value) => value === null || value === undefined;

function duration(ms) {
  if (unknown(ms)) return null;
  if (ms < 1000) return [String(Math.round(ms)), "ms"];
  return ms < 60000 ? [(ms / 1000).toFixed(1), "s"] : [(ms / 60000).toFixed(1), "min"];
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

function memory(mib) {
  if (unknown(mib)) return null;
  return mib < 1000 ? [String(mib), "MB"] : [(mib / 1024).toFixed(1), "GB"];
}

function bytes(count) {
  if (unknown(count)) return null;
  const units = ["B", "KB", "MB", "GB", "TB"];
  let index = 0;
  while (count >= 1000 && index < units.length - 1) [count, index] = [count / 1000, index + 1];
  return `${index ? count.toFixed(1) : count} ${units[index]}`;
}

const context = (tokens) => (unknown(tokens) ? null : tokens < 1024 ? `${tokens} context` : `${Math.round(tokens / 1024)}k context`);
const serverNow = () => Date.now() - ui.skew_ms;
const ageOf = (time) => (time ? (serverNow() - Date.parse(time)) / 1000 : null);
const joined = (...parts) => parts.filter(Boolean).join(" · ");
const unbroken = (...parts) => parts.filter(Boolean).map((part) => part.replaceAll(" ", "\u00a0")).join(" · ");
const words = (text) => (text ? text.replaceAll("-", " ").replaceAll("_", " ") : null);

// Talking to the server

class Refusal extends Error {
  constructor(message, code) {
    super(message);
    this.code = code;
  }
}

async function send(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  if (response.status === 304) return { unchanged: true };
  let body;
  try {
    body = await response.json();
  } catch {
    throw new Refusal(`The server answered ${response.status} without words.`, "NO_JSON");
  }
  if (!body.success) throw new Refusal(body.message || body.error || "It was refused.", body.error_code);
  return { body, tag: response.headers.get("ETag") };
}

const tags = {};

async function read(name, path, query = "") {
  const headers = tags[name] ? { "If-None-Match": tags[name] } : {};
  const answer = await send(path + query, { headers });
  if (answer.unchanged) return;
  tags[name] = answer.tag;
  known[name] = answer.body.data;
  ui.skew_ms = Date.now() - Date.parse(answer.body.timestamp);
}

async function act(path, body, method = "POST") {
  const key = path + (body.model_name || "");
  if (ui.busy.has(key)) return null;
  ui.busy.add(key);
  render();
  try {
    const answer = await send(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    return answer.body;
  } catch (error) {
    toast(error instanceof Refusal ? error.message : "The app does not answer. Nothing was changed.", "bad");
    return null;
  } finally {
    ui.busy.delete(key);
    poll();
  }
}

const isBusy = (path, model) => ui.busy.has(path + model);

async function poll() {
  clearTimeout(ui.timer);
  try {
    await read("status", "model-status");
    await read("downloads", "downloads");
    await read("benchmarks", "benchmarks");
    await read("tasks", "task-assignments");
    await readModels();
    await readHistory();
    ui.failures = 0;
    ui.refusal = null;
  } catch (error) {
    ui.failures += 1;
    ui.refusal = error instanceof Refusal ? error.message : null;
  }
  render();
  clearTimeout(ui.timer);
  if (!document.hidden) ui.timer = setTimeout(poll, pause());
}

async function readModels() {
  try {
    await read("models", "available-models");
    ui.listless = null;
  } catch (error) {
    // A server that never answered has no lists; everything else on the page still works.
    if (!(error instanceof Refusal) || !error.code || !error.code.startsWith("OLLAMA_")) throw error;
    ui.listless = error.message;
  }
}

async function readHistory() {
  const model = known.status.current_model;
  const { model: before, at } = ui.history;
  if (model === before && Date.now() - at < (known.history?.pending ? POLL_MS : HISTORY_MS)) return;
  if (model !== before) {
    known.history = null;
    delete tags.history;
  }
  ui.history = { model, at: Date.now() };
  if (model) await read("history", "model-history", `?model_name=${encodeURIComponent(model)}&bucket=hour`);
}

function pause() {
  if (ui.failures) return Math.min(POLL_MS * 2 ** (ui.failures - 1), POLL_SLOWEST_MS);
  return liveDownloads().length ? POLL_DOWNLOADING_MS : POLL_MS;
}

const liveDownloads = () => (known.downloads?.downloads || []).filter((job) => LIVE.has(job.status));

// Drawing

function render() {
  renderServer();
  renderActive();
  renderTrends();
  renderJobs();
  renderTasks();
  renderModels();
}

function renderServer() {
  document.body.toggleAttribute("data-stale", Boolean(ui.failures || (known.status && !known.status.reachable)));
  const dot = $("server").firstElementChild;
  const status = known.status;
  const notice = $("notice");
  if (ui.failures) {
    const wait = span(pause() / 1000);
    setTone(dot, "bad");
    setText($("server-text"), "No connection to the app");
    notice.hidden = false;
    setTone(notice, "bad");
    setText(notice, ui.refusal || `The app behind this page does not answer. Trying again every ${wait}.`);
    return;
  }
  if (!status) return;
  if (status.reachable) {
    setTone(dot, "good");
    setText($("server-text"), status.ollama_version ? `Ollama ${status.ollama_version}` : "Ollama answers");
    notice.hidden = true;
    return;
  }
  const age = ageOf(status.as_of);
  setTone(dot, "bad");
  setText($("server-text"), "Ollama does not answer");
  notice.hidden = false;
  setTone(notice, "warn");
  const copy = age === null ? "It has not been seen yet." : `What you see is the last copy, ${span(age)} old.`;
  setText(notice, `Ollama does not answer. ${copy} Start it with “ollama serve”; this page goes on by itself.`);
}

function renderActive() {
  const status = known.status;
  if (!status) return;
  const capabilities = status.capabilities;
  const [tone, word] = STATES[status.status] || ["idle", words(status.status)];
  setText($("active-name"), status.current_model || "None yet");
  const line = $("active-state");
  if (!line.firstChild) line.append(make("span", { class: "dot" }), make("span"));
  setTone(line.firstChild, status.current_model || tone === "bad" ? tone : "idle");
  setText(line.lastChild, stateWords(status, word));
  setText(
    $("active-facts"),
    joined(words(capabilities.type), capabilities.quantization, context(capabilities.max_context), (capabilities.features || []).filter((name) => name !== "completion").join(", ")),
  );
  const use = status.performance;
  const size = memory(status.resource_usage.memory_mb);
  const share = status.resource_usage.memory_percent;
  const errors = use.error_rate;
  renderFigures([
    ["Speed", unknown(use.tokens_per_second) ? null : [use.tokens_per_second.toFixed(1), "tokens/s"]],
    ["Response", duration(use.avg_latency_ms)],
    ["Memory", size && [size[0], unknown(share) ? size[1] : `${size[1]}, ${Math.round(share)} %`]],
    ["Errors", unknown(errors) ? null : [(errors * 100).toFixed(errors && errors < 0.1 ? 1 : 0), `% of ${use.total_requests}`]],
  ]);
}

function stateWords(status, word) {
  if (!status.current_model && status.status === "not_installed") return "Use one of the models below";
  if (status.requested_model && status.status === "loading") {
    const present = status.current_model && status.current_model !== status.requested_model;
    return `Loading ${status.requested_model}` + (present ? `; ${status.current_model} answers until it is ready` : "");
  }
  if (status.status === "active" && status.uptime_seconds > 0) return `${word}, active for ${span(status.uptime_seconds)}`;
  if (status.last_error && status.status !== "active") return `${word}. ${status.last_error.message}`;
  return word;
}

function renderFigures(figures) {
  reconcile(
    $("figures"),
    figures,
    (figure) => figure[0],
    (figure) => make("div", { class: "figure" }, make("dt", { text: figure[0] }), make("dd", {}, make("span"), make("small"))),
    (element, [, value]) => {
      const cell = element.lastChild;
      cell.toggleAttribute("data-unknown", !value);
      setText(cell.firstChild, value ? value[0] : "–");
      setText(cell.lastChild, value ? value[1] : "");
      cell.title = value ? "" : "Not measured yet";
    },
  );
}

// The last 24 hours: a line where hours follow each other, a dot where one stands alone

function renderTrends() {
  const history = known.history;
  const trends = history
    ? [
        trend("Speed", history, (point) => point.tokens_per_second, (value) => `${value.toFixed(1)} tokens/s`),
        trend("Response", history, (point) => point.avg_latency_ms, (value) => duration(value).join(" ")),
      ].filter((each) => each.values.length > 1)
    : [];
  $("trends").hidden = !trends.length;
  reconcile($("trends"), trends, (each) => each.name, createTrend, updateTrend);
}

function trend(name, history, figureOf, words) {
  const start = Date.parse(history.from);
  const values = history.points
    .map((point) => ({ hour: (Date.parse(point.at) - start) / HOUR_MS, value: figureOf(point) }))
    .filter(({ value }) => !unknown(value));
  return { name, values, words, hours: Math.max(1, (Date.parse(history.to) - start) / HOUR_MS - 1) };
}

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function createTrend(each) {
  const box = { viewBox: `0 0 ${TREND.width} ${TREND.height}`, preserveAspectRatio: "none", role: "img" };
  return make("figure", { class: "trend" }, make("figcaption", {}, make("span", { text: `${each.name}, 24 h` }), make("span")), draw("svg", box));
}

function updateTrend(element, { name, values, words, hours }) {
  const drawn = JSON.stringify([values, hours]);
  if (element.dataset.drawn === drawn) return;
  element.dataset.drawn = drawn;
  const figures = values.map(({ value }) => value);
  const [least, most] = [Math.min(...figures), Math.max(...figures)];
  const range = `${words(least)} to ${words(most)}`;
  const svg = element.lastChild;
  setText(element.firstChild.lastChild, range);
  svg.setAttribute("aria-label", `${name} by the hour over 24 hours: ${range}, last ${words(figures.at(-1))}`);
  const inner = (size) => size - 2 * TREND.edge;
  const x = (hour) => TREND.edge + (hour / hours) * inner(TREND.width);
  const y = (value) => TREND.edge + (most > least ? (most - value) / (most - least) : 0.5) * inner(TREND.height);
  svg.replaceChildren(...runs(values).map((run) => draw("polyline", { points: run.map(({ hour, value }) => `${x(hour).toFixed(1)},${y(value).toFixed(1)}`).join(" ") })));
}

function runs(values) {
  const found = [];
  for (const value of values) {
    const run = found.at(-1);
    if (run && value.hour - run.at(-1).hour <= 1) run.push(value);
    else found.push([value]);
  }
  // A line of no length is drawn as its round end: a dot.
  return found.map((run) => (run.length > 1 ? run : [run[0], run[0]]));
}

// Activity

function recentJobs() {
  const seen = new Set();
  const fresh = (job) => LIVE.has(job.status) || (job.finished_at && ageOf(job.finished_at) * 1000 < RECENT_MS);
  const take = (kind, jobs) =>
    jobs.filter((job) => {
      const key = `${kind} ${job.model_name}`;
      return !seen.has(key) && seen.add(key) && fresh(job);
    }).map((job) => ({ kind, ...job }));
  const jobs = [...take("download", known.downloads?.downloads || []), ...take("benchmark", known.benchmarks?.benchmarks || [])];
  return jobs.sort((a, b) => LIVE.has(b.status) - LIVE.has(a.status)).slice(0, 12);
}

function renderJobs() {
  const jobs = recentJobs();
  $("jobs-empty").hidden = jobs.length > 0;
  reconcile($("jobs"), jobs, (job) => `${job.kind} ${job.model_name}`, createJob, updateJob);
  const first = liveDownloads()[0];
  document.title = first ? `${first.progress} % ${first.model_name}` : "Models";
}

function createJob(job) {
  const name = make("span", { class: "job-name" });
  const bar = make("progress", { max: 100, "aria-label": `${job.kind === "download" ? "Download" : "Measurement"} of ${job.model_name}` });
  const button = make("button", { class: "button", "data-tone": "quiet", type: "button" });
  const element = make(
    "li",
    { class: "job" },
    make("div", { class: "job-head" }, name, make("span", { class: "job-figure" })),
    bar,
    make("div", { class: "job-foot" }, make("span"), button),
  );
  button.addEventListener("click", () => pressJob(element.job));
  return element;
}

function updateJob(element, job) {
  element.job = job;
  const live = LIVE.has(job.status);
  const [head, bar, foot] = element.children;
  element.dataset.tone = job.status === "failed" ? "bad" : "";
  setText(head.firstChild, job.model_name);
  setText(head.lastChild, live ? `${job.progress} %` : JOB_WORDS[job.status] || words(job.status));
  bar.value = job.progress;
  bar.hidden = !live;
  setText(foot.firstChild, live ? jobWords(job) : job.error || doneWords(job));
  const retry = job.kind === "download" && (job.status === "failed" || job.status === "cancelled");
  foot.lastChild.hidden = !live && !retry;
  setText(foot.lastChild, live ? "Cancel" : "Try again");
  foot.lastChild.setAttribute("aria-label", `${live ? "Cancel" : "Try again"}: ${job.model_name}`);
}

function jobWords(job) {
  if (job.kind === "benchmark") {
    const left = unknown(job.estimated_time_seconds) || !job.done_items ? null : `${span(job.estimated_time_seconds)} left`;
    return joined(JOB_WORDS[job.status], job.total_items ? `${job.done_items} of ${job.total_items}` : null, left);
  }
  if (job.status !== "downloading") return JOB_WORDS[job.status];
  const left = unknown(job.estimated_time_seconds) ? null : `${span(job.estimated_time_seconds)} left`;
  const speed = job.speed_bytes_per_s ? `${bytes(job.speed_bytes_per_s)}/s` : null;
  return joined(job.download_size || "Asking the registry", speed, left);
}

function doneWords(job) {
  const age = ageOf(job.finished_at);
  return joined(measuredWords(job), age === null ? null : `${span(age)} ago`);
}

function measuredWords(job) {
  const speed = job.report?.speed?.decode_tokens_per_second?.value;
  return joined(...scoresOf(job.scores).map(({ word, figure }) => unbroken(`${word} ${figure}`)), unknown(speed) ? null : unbroken(`${speed.toFixed(1)} tokens/s`));
}

// How good a model is, by task: what was measured, or what is thought of its kind

function scoresOf(scores) {
  return Object.entries(scores || {}).map(([task, score]) => {
    const word = TASKS[task] || words(task);
    const figure = String(Math.round(score.score));
    const range = score.ci90.map((end) => Math.round(end)).join(" to ");
    const source = score.estimated ? "thought of its kind, not measured here" : `measured with ${score.n} questions`;
    return { task, word, figure, estimated: score.estimated, words: `${word} ${figure} of 100, ${source}; 90 % sure of ${range}` };
  });
}

function renderScores(list, scores) {
  list.hidden = !scores.length;
  reconcile(
    list,
    scores,
    ({ task }) => task,
    ({ word }) => make("li", {}, make("span", { text: word }), " ", make("b")),
    (element, score) => {
      element.toggleAttribute("data-estimated", score.estimated);
      element.title = score.words;
      element.setAttribute("aria-label", score.words);
      setText(element.lastChild, score.estimated ? `~${score.figure}` : score.figure);
    },
  );
}

async function pressJob(job) {
  const live = LIVE.has(job.status);
  if (job.kind === "benchmark") await act("cancel-benchmark", {});
  else if (live) await act("cancel-download", { model_name: job.model_name });
  else await download(job.model_name, { restart: true });
}

// Tasks

function renderTasks() {
  const assignments = known.tasks?.assignments;
  if (!assignments) return;
  const usable = (known.models?.installed || []).filter((model) => model.can_chat !== false).map((model) => model.name);
  reconcile(
    $("tasks"),
    Object.entries(assignments),
    ([task]) => task,
    ([task]) => {
      const select = make("select", { id: `task-${task}` });
      select.addEventListener("change", () => assign(task, select.value));
      return make("div", { class: "task" }, make("label", { for: select.id, text: TASKS[task] || words(task) }), select);
    },
    (element, [task, model]) => updateTask(element.lastChild, model, usable, known.tasks.chosen[task]),
  );
}

function updateTask(select, model, usable, chosen) {
  select.title = chosen?.why || "No installed model can take this";
  if (document.activeElement === select && select.dataset.open) return;
  const names = model && !usable.includes(model) ? [model, ...usable] : usable;
  const wanted = JSON.stringify(names);
  if (select.dataset.names !== wanted) {
    select.dataset.names = wanted;
    const label = (name) => (usable.includes(name) ? name : `${name} (not installed)`);
    select.replaceChildren(make("option", { value: "", text: "By score" }), ...names.map((name) => make("option", { value: name, text: label(name) })));
  }
  setText(select.options[0], chosen && !model ? `${chosen.model}, by score` : "By score");
  if (select.value !== (model || "")) select.value = model || "";
}

async function assign(task, model) {
  const answer = await act("task-assignments", { [task]: model || null }, "PUT");
  if (answer) toast(model ? `${model} takes ${TASKS[task] || task}` : `The scores decide for ${TASKS[task] || task}`);
}

// Models

function renderModels() {
  const installed = known.models?.installed || [];
  const library = known.models?.available || [];
  setText($("count-installed"), known.models ? String(installed.length) : "");
  setText($("count-library"), known.models ? String(library.length) : "");
  const found = matching(ui.tab === "installed" ? inOrder(installed) : library);
  const shown = found.slice(0, ui.rows);
  if (ui.tab === "installed") reconcile($("installed"), shown, (model) => model.name, createInstalled, updateInstalled);
  else reconcile($("library"), shown, (entry) => entry.name, createEntry, updateEntry);
  renderEmpty(found, ui.tab === "installed" ? installed : library);
  $("sentinel").hidden = found.length <= ui.rows;
}

function renderEmpty(found, all) {
  const empty = $(`${ui.tab}-empty`);
  empty.hidden = found.length > 0;
  if (!found.length) setText(empty.firstElementChild, emptyWords(all));
  $("open-library").hidden = Boolean(all.length || !known.models?.available?.length);
}

function matching(models) {
  const wanted = ui.query.toLowerCase().split(/\s+/).filter(Boolean);
  if (!wanted.length) return models;
  const text = (model) => joined(model.name, model.description, model.type, model.size, ...(model.features || [])).toLowerCase();
  return models.filter((model) => wanted.every((word) => text(model).includes(word)));
}

function inOrder(models) {
  const rank = (model) => (model.active ? 0 : model.loaded ? 1 : 2);
  return [...models].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name));
}

function emptyWords(all) {
  if (all.length) return `Nothing matches “${ui.query.trim()}”.`;
  if (ui.listless) return ui.listless;
  if (!known.models) return "Reading the models…";
  return ui.tab === "installed" ? "No model is installed yet. The library has something for every machine." : "Every family of the library is installed.";
}

function createInstalled(model) {
  const button = (text, tone, press) => make("button", { class: "button", type: "button", "data-tone": tone, text, on: { click: () => press(element.model) } });
  const element = make(
    "li",
    { class: "row" },
    make("div", {}, make("div", { class: "row-name" }, make("span"), make("span", { class: "badge" })), make("div", { class: "row-note" }), make("ul", { class: "scores" })),
    make("div", { class: "row-figures" }, make("div", {}, make("span"), make("small", { text: "tokens/s" })), make("div", {}, make("span"), make("small", { text: "in memory" }))),
    make(
      "div",
      { class: "row-actions" },
      button("Unload", "quiet", (it) => act("unload-model", { model_name: it.name }).then(told)),
      button("Measure", "quiet", (it) => act("benchmark-model", { model_name: it.name }).then(told)),
      button("Delete", "quiet", remove),
      button("Use", "", use),
    ),
  );
  return element;
}

function updateInstalled(element, model) {
  element.model = model;
  const [about, figures, actions] = element.children;
  const [title, note, scores] = about.children;
  const badge = title.lastChild;
  const pending = known.status?.requested_model === model.name && known.status?.status === "loading";
  setText(title.firstChild, model.name);
  const word = model.active ? "Active" : pending ? "Loading" : model.loaded ? "In memory" : model.remote ? "Cloud" : "";
  badge.hidden = !word;
  setText(badge, word);
  setTone(badge, model.active ? "good" : "");
  const special = (model.features || []).filter((name) => name !== "completion").join(", ");
  setText(note, unbroken(words(model.type), model.size, model.quantization, model.disk_size, context(model.max_context), special));
  renderScores(scores, model.can_chat === false ? [] : scoresOf(model.quality));
  const speed = model.performance.tokens_per_second;
  setFigure(figures.firstChild, unknown(speed) ? null : speed.toFixed(1));
  setFigure(figures.lastChild, memory(model.performance.memory_mb)?.join(" "));
  setText(figures.lastChild.lastChild, model.loaded ? "in memory" : "when loaded");
  const [unload, measure, erase, take] = actions.children;
  unload.hidden = !model.loaded;
  measure.hidden = erase.hidden = false;
  measure.disabled = model.can_chat === false || isBusy("benchmark-model", model.name);
  take.disabled = model.active || pending || model.can_chat === false || isBusy("switch-model", model.name);
  setText(take, model.active ? "In use" : "Use");
  measure.title = take.title = model.can_chat === false ? "This model cannot chat" : "";
  for (const each of actions.children) each.setAttribute("aria-label", `${each.textContent}: ${model.name}`);
}

function setFigure(element, text) {
  element.toggleAttribute("data-known", Boolean(text));
  setText(element.firstChild, text || "");
}

function createEntry(entry) {
  const select = make("select", { "aria-label": `Size of ${entry.name}` });
  const button = make("button", { class: "button", type: "button", "data-tone": "", text: "Download", "aria-label": `Download: ${entry.name}` });
  const element = make(
    "li",
    { class: "row" },
    make("div", {}, make("div", { class: "row-name" }, make("span")), make("div", { class: "row-note" }), make("div", { class: "row-note" })),
    make("div", { class: "row-actions" }, select, button),
  );
  for (const tag of entry.tags || []) {
    const size = bytes(tag.size_bytes) || (tag.size_gb_reported ? `${tag.size_gb_reported} GB` : null);
    select.append(make("option", { value: tag.tag, text: joined(tag.tag, size) }));
  }
  select.hidden = !select.options.length;
  button.addEventListener("click", () => download(select.value ? `${entry.name}:${select.value}` : entry.name));
  return element;
}

function updateEntry(element, entry) {
  const [about, actions] = element.children;
  const [title, description, note] = about.children;
  setText(title.firstChild, entry.name);
  setText(description, entry.description || "");
  description.hidden = !entry.description;
  setText(note, unbroken(words(entry.type), entry.size, context(entry.max_context), (entry.features || []).filter((name) => name !== "completion").join(", "), entry.licence));
  const tag = actions.firstChild.value;
  const name = tag && tag !== "latest" ? `${entry.name}:${tag}` : entry.name;
  const coming = liveDownloads().some((job) => job.model_name === name);
  actions.lastChild.disabled = coming || isBusy("download-model", name);
  setText(actions.lastChild, coming ? "Coming" : "Download");
}

// Doing things

function told(answer) {
  if (answer?.message) toast(answer.message);
}

const use = (model) => act("switch-model", { model_name: model.name }).then(told);

const download = (name, flags = {}) => act("download-model", { model_name: name, ...flags }).then(told);

async function remove(model) {
  const size = model.disk_size ? ` It frees up to ${model.disk_size}.` : "";
  const warning = model.active ? " It is the active model: chat has no model until you use another one." : "";
  const sure = await ask(`Delete ${model.name}?`, `The model is removed from the disk.${size} It can be downloaded again.${warning}`);
  if (sure) told(await act("delete-model", { model_name: model.name, force: model.active }));
}

function ask(title, text) {
  const dialog = $("ask");
  setText($("ask-title"), title);
  setText($("ask-text"), text);
  dialog.returnValue = "";
  dialog.showModal();
  $("ask-no").focus();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

function toast(text, tone = "") {
  const element = make("div", { class: "toast", "data-tone": tone, text });
  $("toasts").append(element);
  while ($("toasts").children.length > 3) $("toasts").firstChild.remove();
  setTimeout(() => element.remove(), TOAST_MS);
}

function openTab(name, focus = false) {
  ui.tab = name;
  ui.rows = PAGE_ROWS;
  for (const other of ["installed", "library"]) {
    const chosen = other === name;
    $(`pane-${other}`).hidden = !chosen;
    $(`tab-${other}`).setAttribute("aria-selected", String(chosen));
    $(`tab-${other}`).tabIndex = chosen ? 0 : -1;
    if (chosen && focus) $(`tab-${other}`).focus();
  }
  renderModels();
}

function listen() {
  for (const name of ["installed", "library"]) {
    $(`tab-${name}`).addEventListener("click", () => openTab(name));
    $(`tab-${name}`).addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight" || event.key === "ArrowLeft") openTab(name === "installed" ? "library" : "installed", true);
    });
  }
  $("open-library").addEventListener("click", () => openTab("library", true));
  $("search").addEventListener("input", () => {
    ui.query = $("search").value;
    ui.rows = PAGE_ROWS;
    renderModels();
  });
  $("by-name").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = $("pull-name").value.trim();
    if (name) download(name).then(() => { $("pull-name").value = ""; });
  });
  $("ask-yes").addEventListener("click", () => $("ask").close("yes"));
  $("ask-no").addEventListener("click", () => $("ask").close());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, select, textarea, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      $("search").focus();
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(ui.timer) : poll()));
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) {
      ui.rows += PAGE_ROWS;
      renderModels();
    }
  }, { rootMargin: "600px" }).observe($("sentinel"));
}

listen();
render();
poll();
