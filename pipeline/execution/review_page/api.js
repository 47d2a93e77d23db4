// Requests to the server that this page came from, and what it answers.

/**
 * @typedef {object} Reading
 * @property {string} measure Empty where the record could not be measured.
 * @property {number|null} [value]
 * @property {string} [unit]
 * @property {number|null} [limit]
 * @property {"higher"|"lower"} [better]
 * @property {string} [summary]
 * @property {string} detail
 * @property {boolean} passes
 *
 * @typedef {object} Asset
 * @property {string} id
 * @property {"image"|"music"|"speech"} about
 * @property {number} [width]
 * @property {number} [height]
 * @property {number} [duration] Seconds.
 * @property {number} [sample_rate] Frames a second.
 * @property {number} [channels]
 * @property {string} [voice]
 * @property {number} [rate]
 * @property {string} [emotion]
 * @property {string} [renderer]
 * @property {boolean} [is_draft]
 * @property {number} [attempt]
 *
 * @typedef {object} Part
 * @property {string} kind
 * @property {string} text
 * @property {string|null} spoken
 * @property {string|null} edits
 * @property {Asset|null} asset
 * @property {Reading[]} readings
 *
 * @typedef {object} Verdict
 * @property {"accept"|"reject"|null} decision
 * @property {string[]} reasons
 * @property {string} note
 * @property {string} seen
 *
 * @typedef {object} Dialogue
 * @property {string} id
 * @property {string|null} topic
 * @property {string|null} meta_topic
 * @property {string|null} language
 * @property {string|null} cell
 * @property {string[]|null} gives
 * @property {string[]|null} answers
 * @property {string|null} scenario
 * @property {{role: string, parts: Part[]}[]} turns
 * @property {Reading[]} readings
 * @property {string} seen
 * @property {Verdict|null} mine
 * @property {Object<string, Verdict>} others
 *
 * @typedef {object} Progress
 * @property {number} total
 * @property {number} judged
 * @property {Object<string, number>} others
 * @property {number} damaged
 *
 * @typedef {object} Corpus
 * @property {string} name
 * @property {string} reviewer
 * @property {Progress} progress
 * @property {{code: string, text: string}[]} reasons
 * @property {Object<string, number>} meta_topics
 * @property {Object<string, number>} cells
 * @property {Object<string, number>} voices
 * @property {number} num_findings
 * @property {{name: string, summary: string}[]} measures
 */

/**
 * @param {string} path
 * @param {Record<string, string>|URLSearchParams} [query]
 * @returns {Promise<any>}
 */
export function ask(path, query = {}) {
  return answer(fetch(`${path}?${new URLSearchParams(query)}`));
}

/**
 * @param {string} path
 * @param {object} body
 * @returns {Promise<any>}
 */
export function tell(path, body) {
  const headers = { "Content-Type": "application/json" };
  return answer(fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

/**
 * @param {string} dialogue
 * @param {Asset} asset
 * @returns {string} The address of its bytes.
 */
export function mediaAddress(dialogue, asset) {
  return `/media?${new URLSearchParams({ about: asset.about, dialogue, id: asset.id })}`;
}

/** @param {Promise<Response>} request */
async function answer(request) {
  let response;
  try {
    response = await request;
  } catch {
    throw new Error("The server does not answer. Is the command still running?");
  }
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body;
}
