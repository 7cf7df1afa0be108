// What is set: one flat record, kept in the form and in the part of the address behind `#`, so that a view can be shared.

/**
 * @typedef {{view: string, model: string, with: string, prompt: string, text: string, temperature: number, top_p: number,
 *   max_tokens: number, n: number, seed: number, style_seed: string, top_k: number, min_p: number, presence_penalty: number,
 *   frequency_penalty: number, repetition_penalty: number, stop: string, branches: string, branches_with: string, go: string}} Settings
 */

/** @type {Settings} */
export const INITIAL = {
  view: "write", model: "", with: "", prompt: "", text: "", temperature: 0.8, top_p: 1, max_tokens: 200, n: 1, seed: 0, style_seed: "",
  top_k: 0, min_p: 0, presence_penalty: 0, frequency_penalty: 0, repetition_penalty: 1, stop: "", branches: "", branches_with: "", go: "",
};
const ALWAYS = ["model", "seed"];

/** Least and greatest of each number: what the form takes, and what an address can set. @type {Record<string, [number, number]>} */
export const LIMITS = {
  temperature: [0, 2], top_p: [0.05, 1], max_tokens: [1, 16384], n: [1, 16], seed: [0, Number.MAX_SAFE_INTEGER], style_seed: [0, 2 ** 31 - 1],
  top_k: [0, 2 ** 31 - 1], min_p: [0, 1], presence_penalty: [-2, 2], frequency_penalty: [-2, 2], repetition_penalty: [0.1, 100],
};
const WHOLE = ["max_tokens", "n", "seed", "style_seed", "top_k"];
/** Most characters of each text; names and the like have few. @type {Record<string, number>} */
export const LONGEST = { prompt: 100_000, text: 100_000, stop: 256 };
const LONGEST_NAME = 4096;

/**
 * The settings of an address, within what the form takes; what is not in it, or is no number where one belongs, is as at first.
 * @param {string} hash @returns {{settings: Settings, changed: string[]}} and which were brought within the limits
 */
export function readHash(hash) {
  const found = new URLSearchParams(hash.replace(/^#/, ""));
  /** @type {any} */
  const settings = { ...INITIAL };
  /** @type {string[]} */
  const changed = [];
  for (const [name, first] of Object.entries(INITIAL)) {
    const text = found.get(name);
    if (text === null || text === "") continue;
    const value = name in LIMITS ? within(name, text) : text.slice(0, LONGEST[name] ?? LONGEST_NAME);
    settings[name] = value === null ? first : typeof first === "string" ? String(value) : value;
    if (value === null || (name in LIMITS ? value !== Number(text) : value !== text)) changed.push(name);
  }
  return { settings, changed };
}

/** A number brought within its limits; null if the text is none. @param {string} name @param {string} text @returns {number|null} */
function within(name, text) {
  const number = Number(text);
  if (!Number.isFinite(number) || text.trim() === "") return null;
  const [least, most] = LIMITS[name];
  return Math.min(most, Math.max(least, WHOLE.includes(name) ? Math.round(number) : number));
}

/** The part of the address that `readHash` reads the same settings from. @param {Settings} settings */
export function toHash(settings) {
  const parts = new URLSearchParams();
  for (const [name, value] of Object.entries(settings)) {
    if (ALWAYS.includes(name) || value !== INITIAL[/** @type {keyof Settings} */ (name)]) parts.set(name, String(value));
  }
  return `#${parts}`;
}

/** `conv:0.5,attn:0` as a record; factors that no slider has are left out. @param {string} text @returns {Record<string, number>} */
export function readBranches(text) {
  const pairs = text.split(",").filter(Boolean).map((part) => /** @type {[string, number]} */ ([part.slice(0, part.lastIndexOf(":")), Number(part.slice(part.lastIndexOf(":") + 1))]));
  return Object.fromEntries(pairs.filter(([, factor]) => factor >= 0 && factor < 1));
}

/** The other way round; whole branches are left out. @param {Record<string, number>} factors */
export const writeBranches = (factors) => Object.entries(factors).filter(([, factor]) => factor !== 1).map(([name, factor]) => `${name}:${factor}`).join(",");

/**
 * The body of a request for texts.
 * @param {Settings} settings @param {any} card of the model @param {string} prompt @param {string} branches as in the settings
 */
export function completionBody(settings, card, prompt, branches) {
  /** @type {Record<string, any>} */
  const body = { model: card.name, prompt, max_tokens: settings.max_tokens, n: settings.n, seed: settings.seed, stream: true };
  if (!card.predicts) {
    if (settings.style_seed !== "") body.style_seed = Number(settings.style_seed);
    body.max_tokens = Math.min(settings.max_tokens, card.context_length);
    return body;
  }
  Object.assign(body, { temperature: settings.temperature, top_p: settings.top_p, logprobs: 5 });
  for (const name of /** @type {(keyof Settings)[]} */ (["top_k", "min_p", "presence_penalty", "frequency_penalty", "repetition_penalty"])) {
    if (settings[name] !== INITIAL[name]) body[name] = settings[name];
  }
  if (settings.stop !== "") body.stop = [settings.stop.replaceAll("\\n", "\n")];
  if (card.remembers) body.entries = 5;
  const factors = readBranches(branches);
  if (card.branches.length && Object.keys(factors).length) body.branches = factors;
  return body;
}
