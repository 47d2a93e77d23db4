// A dialogue as a chat. Whatever comes from the corpus becomes text, an attribute or an address of this server; nothing
// of it is ever read as markup.

import { mediaAddress } from "./api.js";

/** @typedef {import("./api.js").Asset} Asset */
/** @typedef {import("./api.js").Dialogue} Dialogue */
/** @typedef {import("./api.js").Part} Part */
/** @typedef {import("./api.js").Reading} Reading */
/** @typedef {import("./api.js").Verdict} Verdict */

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node|string)} children
 * @returns {HTMLElement}
 */
export function build(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Words of the corpus, kept from turning the direction of what stands around them.
 * @param {unknown} text */
function words(text) {
  return build("bdi", {}, String(text ?? ""));
}

/** @param {Dialogue} dialogue @returns {Node[]} */
export function showDialogue(dialogue) {
  const about = build("div", { class: "about" });
  if (dialogue.scenario) about.append(build("p", { class: "scenario", dir: "auto" }, String(dialogue.scenario)));
  about.append(build("p", { class: "facts" }, ...headerFacts(dialogue)));
  const turns = build("ol", { class: "turns" });
  dialogue.turns.forEach((turn, index) => turns.append(showTurn(dialogue, turn, index)));
  return [
    build("h2", { dir: "auto" }, String(dialogue.topic ?? dialogue.id)),
    about,
    ...showReadings(dialogue.readings, "the dialogue"),
    turns,
  ];
}

/** @param {Dialogue} dialogue @returns {(Node|string)[]} */
function headerFacts(dialogue) {
  const shape = dialogue.gives ? `${dialogue.gives.join(", ")} → ${(dialogue.answers ?? []).join(", ")}` : "";
  const said = [dialogue.meta_topic, dialogue.cell, shape, dialogue.language, dialogue.id].filter(Boolean);
  return said.flatMap((fact, index) => (index ? [" · ", words(fact)] : [words(fact)]));
}

/**
 * @param {Dialogue} dialogue
 * @param {{role: string, parts: Part[]}} turn
 * @param {number} index
 */
function showTurn(dialogue, turn, index) {
  const side = turn.role === "user" ? "user" : "assistant";
  const made = build("li", { class: `turn ${side}` });
  made.append(build("h3", {}, words(turn.role)));
  for (const part of turn.parts) made.append(showPart(dialogue, part, index));
  return made;
}

/** @param {Dialogue} dialogue @param {Part} part @param {number} index */
function showPart(dialogue, part, index) {
  if (part.kind === "text") return build("p", { class: "words", dir: "auto" }, part.text ?? "");
  const name = `${part.kind} of turn ${index + 1}`;
  const made = build("figure", { class: `medium ${part.kind}` });
  if (part.kind === "speech") made.append(build("p", { class: "words", dir: "auto" }, part.text ?? ""));
  made.append(showMedium(dialogue, part, name));
  const caption = build("figcaption");
  if (part.kind !== "speech") caption.append(build("p", { class: "description", dir: "auto" }, part.text ?? ""));
  if (part.edits) caption.append(build("p", { class: "facts" }, `changes ${part.edits}`));
  if (part.spoken && part.spoken !== part.text) {
    caption.append(build("p", { class: "facts" }, "spoken: ", words(part.spoken)));
  }
  if (part.asset) caption.append(build("p", { class: "facts" }, words(assetFacts(part.asset).join(" · "))));
  caption.append(...showReadings(part.readings, name));
  made.append(caption);
  return made;
}

/** @param {Dialogue} dialogue @param {Part} part @param {string} name */
function showMedium(dialogue, part, name) {
  if (!part.asset) return build("p", { class: "missing" }, `The ${name} is not in the corpus.`);
  const src = mediaAddress(dialogue.id, part.asset);
  const made =
    part.asset.about === "image"
      ? build("img", { src, alt: String(part.text ?? ""), ...pictureSize(part.asset) })
      : build("audio", { src, controls: "", preload: "metadata", "aria-label": name });
  made.addEventListener("error", () => {
    made.replaceWith(build("p", { class: "missing" }, `The ${name} cannot be shown here.`));
  });
  return made;
}

/** Reserves the place, so that nothing jumps when the picture comes.
 * @param {Asset} asset
 * @returns {Record<string, string>} */
function pictureSize(asset) {
  return asset.width && asset.height ? { width: String(asset.width), height: String(asset.height) } : {};
}

/** @param {Asset} asset @returns {string[]} */
function assetFacts(asset) {
  const said = [];
  if (asset.width && asset.height) said.push(`${asset.width} × ${asset.height}`);
  if (asset.duration) said.push(`${asset.duration.toFixed(1)} s`);
  if (asset.sample_rate) said.push(`${asset.sample_rate / 1000} kHz`);
  if (asset.voice) said.push(`voice ${asset.voice}${asset.rate && asset.rate !== 1 ? ` at rate ${asset.rate}` : ""}`);
  if (asset.emotion) said.push(asset.emotion);
  if (asset.renderer) said.push(asset.renderer);
  if (asset.attempt) said.push(`attempt ${asset.attempt}`);
  if (asset.is_draft) said.push("draft");
  return said;
}

/** @param {Reading[]} readings @param {string} name @returns {Node[]} */
function showReadings(readings, name) {
  const findings = readings.filter((reading) => !reading.passes);
  const others = readings.filter((reading) => reading.passes);
  const made = [];
  if (findings.length) {
    made.push(build("ul", { class: "findings", "aria-label": `Findings about ${name}` }, ...findings.map(showReading)));
  }
  if (others.length) {
    const summary = build("summary", {}, `${others.length} ${others.length === 1 ? "reading" : "readings"}`);
    made.push(build("details", { class: "readings" }, summary, build("ul", {}, ...others.map(showReading))));
  }
  return made;
}

/** @param {Reading} reading */
function showReading(reading) {
  const made = build("li", reading.summary ? { title: reading.summary } : {});
  if (!reading.passes) made.append(build("strong", {}, "Finding: "));
  if (reading.measure) made.append(words(reading.measure), " ");
  if (typeof reading.value === "number") made.append(`${short(reading.value)} ${reading.unit ?? ""}`.trim());
  if (typeof reading.limit === "number" && typeof reading.value === "number") {
    const sign = reading.better === "higher" ? "at least" : "at most";
    made.append(build("span", { class: "quiet" }, ` (${sign} ${short(reading.limit)})`));
  }
  if (reading.detail) made.append(reading.measure ? ": " : "", words(reading.detail));
  return made;
}

/** @param {number} value */
function short(value) {
  return String(Number(value.toPrecision(3)));
}

/**
 * @param {Dialogue} dialogue
 * @param {Map<string, string>} reasons Texts by code.
 * @returns {Node[]} What has been said of a dialogue: one's own word, and then those of others.
 */
export function showGiven(dialogue, reasons) {
  if (!dialogue.mine) return [];
  const made = [sayVerdict("You", dialogue.mine, reasons)];
  if (dialogue.mine.seen && dialogue.mine.seen !== dialogue.seen) {
    made.push(build("p", { class: "changed" }, "It has changed since you judged it."));
  }
  for (const [name, verdict] of Object.entries(dialogue.others)) made.push(sayVerdict(name, verdict, reasons));
  return made;
}

/** @param {string} name @param {Verdict} verdict @param {Map<string, string>} reasons */
function sayVerdict(name, verdict, reasons) {
  const said = verdict.decision === "accept" ? "accepted" : "rejected";
  const made = build("p", { class: `verdict ${said}` }, build("strong", {}, words(name), ` ${said}`));
  const why = verdict.reasons.map((code) => reasons.get(code) ?? code).join(", ");
  if (why) made.append(`: ${why}`);
  if (verdict.note) made.append(build("q", { dir: "auto" }, verdict.note));
  return made;
}
