// The review page: which dialogue is shown, and what the reviewer says of it.

import { ask, mediaAddress, tell } from "./api.js";
import { playOrPause, silence, watchPlayers } from "./player.js";
import { build, showDialogue, showGiven } from "./view.js";

/** @typedef {import("./api.js").Corpus} Corpus */
/** @typedef {import("./api.js").Dialogue} Dialogue */
/** @typedef {{reasons: Set<string>, note: string}} Draft */

const QUERY = ["order", "measure", "state", "meta_topic", "cell", "voice", "findings", "id"];

/**
 * @type {{
 *   reasonTexts: Map<string, string>, ids: string[], asked: number, at: number, shown: Dialogue|null,
 *   drafts: Map<string, Draft>
 * }}
 */
const state = { reasonTexts: new Map(), ids: [], asked: 0, at: 0, shown: null, drafts: new Map() };

/** @type {{id: string, answer: Promise<Dialogue>}|null} */
let ahead = null;
let isSaving = false;

/** @template {HTMLElement} T @param {string} id @returns {T} */
const find = (id) => /** @type {T} */ (document.getElementById(id));
const place = find("dialogue");
const note = /** @type {HTMLTextAreaElement} */ (find("note"));
const form = /** @type {HTMLFormElement} */ (find("query"));

/** @param {string} text */
const say = (text) => (find("status").textContent = text);

/** @param {unknown} problem */
function complain(problem) {
  const shown = find("problem");
  shown.textContent = problem instanceof Error ? problem.message : "";
  shown.hidden = !shown.textContent;
}

// The room that header and filters leave to the desk beside the dialogue.
const above = new ResizeObserver(() => {
  const top = /** @type {HTMLElement} */ (find("desk").parentElement).offsetTop;
  document.documentElement.style.setProperty("--above", `${top}px`);
});
for (const part of [find("filters"), /** @type {HTMLElement} */ (document.querySelector("header"))]) above.observe(part);

// Filters ------------------------------------------------------------------------------------------------------------

/** @param {Corpus} corpus */
function fillFilters(corpus) {
  const order = field("order");
  order.append(build("option", { value: "mixed" }, "mixed"), build("option", { value: "corpus" }, "as in the corpus"));
  for (const measure of corpus.measures) {
    const option = build("option", { value: `worst ${measure.name}`, title: measure.summary }, `worst ${measure.name}`);
    order.append(option);
  }
  fillChoices("meta_topic", corpus.meta_topics);
  fillChoices("cell", corpus.cells);
  fillChoices("voice", corpus.voices);
  find("findings-text").textContent = `With findings (${corpus.num_findings})`;
  const given = new URLSearchParams(location.search);
  for (const [name, value] of given) {
    if (name === "findings") /** @type {HTMLInputElement} */ (form.elements.namedItem(name)).checked = value === "true";
    else if (name === "order") order.value = [value, given.get("measure")].filter(Boolean).join(" ");
    else if (QUERY.includes(name) && name !== "measure") field(name).value = value;
  }
}

/** @param {string} name @returns {HTMLSelectElement} */
const field = (name) => /** @type {HTMLSelectElement} */ (form.elements.namedItem(name));

/** @param {string} name @param {Object<string, number>} counts */
function fillChoices(name, counts) {
  const select = field(name);
  select.append(build("option", { value: "" }, "any"));
  for (const [value, count] of Object.entries(counts)) select.append(build("option", { value }, `${value} (${count})`));
  /** @type {HTMLElement} */ (select.parentElement).hidden = !Object.keys(counts).length;
}

/** @returns {URLSearchParams} What the filters ask for; what they leave as it is does not appear. */
function readQuery() {
  const query = new URLSearchParams();
  for (const [name, value] of new FormData(form)) {
    const text = String(value).trim();
    if (name === "order" && text.startsWith("worst ")) {
      query.set("order", "worst");
      query.set("measure", text.slice("worst ".length));
    } else if (text && text !== "all" && !(name === "order" && text === "mixed")) query.set(name, text);
  }
  return query;
}

/** @param {number} count */
const sayFitting = (count) => (count === 1 ? "1 dialogue fits" : `${count} dialogues fit`);

async function choose() {
  const query = readQuery();
  const wanted = state.shown?.id ?? decodeURIComponent(location.hash.slice(1));
  const asked = (state.asked += 1);
  const { ids } = await ask("/api/selection", query);
  // The filters may have changed again meanwhile.
  if (asked !== state.asked) return;
  state.ids = ids;
  find("filters-text").textContent = query.size ? sayFitting(ids.length) : "";
  history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
  ahead = null;
  await show(Math.max(0, ids.indexOf(wanted)));
}

// The dialogue -------------------------------------------------------------------------------------------------------

/** @param {number} at */
async function show(at) {
  keepDraft();
  silence();
  state.shown = null;
  state.at = at;
  const id = state.ids[at];
  find("position").textContent = id === undefined ? "" : `${at + 1} of ${state.ids.length}`;
  setReady(false);
  if (id === undefined) {
    place.replaceChildren(build("p", { class: "missing" }, "No dialogue fits these filters."));
    find("given").replaceChildren();
    return;
  }
  const dialogue = await read(id);
  // Another one may have been asked for meanwhile.
  if (state.ids[state.at] !== id) return;
  state.shown = dialogue;
  place.replaceChildren(...showDialogue(dialogue));
  place.scrollTop = 0;
  window.scrollTo(0, 0);
  history.replaceState(null, "", `#${encodeURIComponent(id)}`);
  showDraft(dialogue);
  setReady(true);
  lookAhead(state.ids[at + 1]);
}

/** @param {string} id @returns {Promise<Dialogue>} */
async function read(id) {
  const waiting = ahead?.id === id ? ahead.answer : ask("/api/dialogue", { id });
  ahead = null;
  return waiting;
}

/** Reads the next dialogue and its pictures, so that it is there at once. @param {string|undefined} id */
function lookAhead(id) {
  if (id === undefined) return;
  const answer = ask("/api/dialogue", { id });
  ahead = { id, answer };
  answer.then(
    (/** @type {Dialogue} */ dialogue) => {
      for (const part of dialogue.turns.flatMap((turn) => turn.parts)) {
        if (part.asset?.about === "image") new Image().src = mediaAddress(id, part.asset);
      }
    },
    () => (ahead = null),
  );
}

/** @param {number} step */
function move(step) {
  const at = state.at + step;
  if (at >= 0 && at < state.ids.length) return show(at);
  say(step > 0 ? "This is the last dialogue." : "This is the first dialogue.");
  return Promise.resolve();
}

// The verdict --------------------------------------------------------------------------------------------------------

/** Keeps what was chosen and written for a dialogue, where it is not in the verdict. */
function keepDraft() {
  const dialogue = state.shown;
  if (!dialogue) return;
  const draft = readDraft();
  const said = dialogue.mine?.reasons ?? [];
  const isSaid = draft.note.trim() === (dialogue.mine?.note ?? "") && [...draft.reasons].join() === said.join();
  if (isSaid) state.drafts.delete(dialogue.id);
  else state.drafts.set(dialogue.id, draft);
}

/** @returns {Draft} */
function readDraft() {
  const chosen = [...find("reasons").querySelectorAll("button[aria-pressed=true]")];
  return { reasons: new Set(chosen.map((one) => /** @type {HTMLElement} */ (one).dataset.code ?? "")), note: note.value };
}

/** @param {Dialogue} dialogue */
function showDraft(dialogue) {
  const said = dialogue.mine;
  const draft = state.drafts.get(dialogue.id) ?? { reasons: new Set(said?.reasons), note: said?.note ?? "" };
  note.value = draft.note;
  for (const one of find("reasons").querySelectorAll("button")) {
    one.setAttribute("aria-pressed", String(draft.reasons.has(one.dataset.code ?? "")));
  }
  find("given").replaceChildren(...showGiven(dialogue, state.reasonTexts));
  find("undo").hidden = !said;
  for (const decision of ["accept", "reject"]) find(decision).setAttribute("aria-pressed", String(said?.decision === decision));
}

/** @param {boolean} isReady */
function setReady(isReady) {
  for (const id of ["accept", "reject", "undo"]) /** @type {HTMLButtonElement} */ (find(id)).disabled = !isReady;
}

/** @param {"accept"|"reject"|null} decision */
async function judge(decision) {
  const dialogue = state.shown;
  if (!dialogue || isSaving) return;
  const { reasons, note: words } = readDraft();
  const kept = decision ? { reasons: [...reasons], note: words.trim() } : {};
  isSaving = true;
  try {
    const body = { dialogue_id: dialogue.id, decision, seen: dialogue.seen, ...kept };
    const { progress, mine, others } = await tell("/api/verdicts", body);
    complain(null);
    showProgress(progress);
    Object.assign(dialogue, { mine, others });
    state.drafts.delete(dialogue.id);
    showDraft(dialogue);
    sayJudged(dialogue);
  } finally {
    isSaving = false;
  }
  if (decision && state.shown === dialogue && state.at + 1 < state.ids.length) await show(state.at + 1);
}

/** @param {Dialogue} dialogue */
function sayJudged(dialogue) {
  const texts = { accept: "Accepted", reject: "Rejected" };
  if (!dialogue.mine?.decision) return say(`Verdict taken back: ${dialogue.topic ?? dialogue.id}.`);
  const others = Object.entries(dialogue.others).map(
    ([name, verdict]) => `${name} ${verdict.decision === "accept" ? "accepted" : "rejected"} it`,
  );
  const end = state.at + 1 < state.ids.length ? "" : " This was the last one.";
  const said = [texts[dialogue.mine.decision], ": ", dialogue.topic ?? dialogue.id, others.length ? "; " : "", others.join(", ")];
  return say(`${said.join("")}.${end}`);
}

/** @param {import("./api.js").Progress} progress */
function showProgress(progress) {
  const others = Object.entries(progress.others).map(([name, count]) => `${name} ${count.toLocaleString("en")}`);
  find("progress-text").textContent =
    `${progress.judged.toLocaleString("en")} of ${progress.total.toLocaleString("en")} judged` +
    (others.length ? ` (${others.join(", ")})` : "") +
    (progress.damaged ? `, ${progress.damaged} damaged lines left out` : "");
  const bar = /** @type {HTMLProgressElement} */ (find("progress"));
  bar.max = Math.max(1, progress.total);
  bar.value = progress.judged;
}

/** @param {Corpus} corpus */
function fillReasons(corpus) {
  corpus.reasons.forEach(({ code, text }, index) => {
    const key = String(index + 1);
    const attributes = { type: "button", "aria-pressed": "false", "aria-keyshortcuts": key, "data-code": code };
    find("reasons").append(build("button", attributes, build("kbd", {}, key), ` ${text}`));
    state.reasonTexts.set(code, text);
  });
}

/** @param {number} index */
function toggleReason(index) {
  const one = find("reasons").querySelectorAll("button")[index];
  if (!one || !state.shown) return;
  const isChosen = one.getAttribute("aria-pressed") !== "true";
  one.setAttribute("aria-pressed", String(isChosen));
  say(`${state.reasonTexts.get(one.dataset.code ?? "")}: ${isChosen ? "chosen" : "dropped"}`);
}

// Keys and buttons ---------------------------------------------------------------------------------------------------

/** @type {Record<string, () => unknown>} */
const actions = {
  a: () => judge("accept"),
  r: () => judge("reject"),
  u: () => state.shown?.mine && judge(null),
  j: () => move(1),
  k: () => move(-1),
  n: () => note.focus(),
  f: () => toggleFilters(),
  "?": () => /** @type {HTMLDialogElement} */ (find("help")).showModal(),
  " ": () => playOrPause(place),
};

function toggleFilters() {
  const filters = /** @type {HTMLDetailsElement} */ (find("filters"));
  filters.open = !filters.open;
  if (filters.open) field("order").focus();
}

/** @param {() => unknown} action */
async function act(action) {
  try {
    await action();
  } catch (problem) {
    complain(problem);
  }
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  const target = /** @type {HTMLElement} */ (event.target);
  if (event.key === "Escape" && target.matches("input, textarea, select")) return place.focus();
  // Nothing is written into a box that is ticked: the keys go on working after it.
  const isWriting = target.matches("input:not([type=checkbox]), textarea, select");
  // The space bar works a button, a box or a player that has the focus, as everywhere.
  const isPressing = event.key === " " && target.matches("button, summary, audio, a, input");
  const isHelping = /** @type {HTMLDialogElement} */ (find("help")).open;
  if (isWriting || isPressing || isHelping || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return undefined;
  const action = /^[1-9]$/.test(event.key) ? () => toggleReason(Number(event.key) - 1) : actions[event.key];
  if (!action) return undefined;
  event.preventDefault();
  return act(action);
}

/** @param {Corpus} corpus */
function wire(corpus) {
  document.title = `Review: ${corpus.name}`;
  find("corpus").textContent = `${corpus.name}, judged by ${corpus.reviewer}`;
  document.addEventListener("keydown", onKey);
  for (const [id, key] of Object.entries({ accept: "a", reject: "r", undo: "u", next: "j", previous: "k", "help-open": "?" })) {
    find(id).addEventListener("click", () => act(/** @type {() => unknown} */ (actions[key])));
  }
  find("reasons").addEventListener("click", (event) => {
    const one = /** @type {HTMLElement} */ (event.target).closest("button");
    if (one) toggleReason([...find("reasons").children].indexOf(one));
  });
  form.addEventListener("change", () => act(choose));
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields are cleared only after this event.
  form.addEventListener("reset", () => setTimeout(() => act(choose)));
  window.addEventListener("beforeunload", (event) => hasUnsaved() && event.preventDefault());
  watchPlayers(place);
}

/** Whether a note would be lost. */
function hasUnsaved() {
  keepDraft();
  return [...state.drafts.values()].some((draft) => draft.note.trim());
}

async function open() {
  // The token has become a cookie: it need not stand in the address, nor in the history.
  const given = new URLSearchParams(location.search);
  given.delete("token");
  history.replaceState(null, "", `${location.pathname}${given.size ? `?${given}` : ""}${location.hash}`);
  const corpus = /** @type {Corpus} */ (await ask("/api/corpus"));
  fillFilters(corpus);
  fillReasons(corpus);
  showProgress(corpus.progress);
  wire(corpus);
  await choose();
}

act(open);
