// From what the API says of tokens to what stands on the screen: several tokens can make one character, and a text can lag behind its
// tokens, because what may begin a stop string is held back.

/** @typedef {import("./tokens.js").Token} Token */

const exactly = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const roughly = new TextDecoder("utf-8", { ignoreBOM: true });
const encoder = new TextEncoder();
const LONGEST = 4; // bytes of a character: so many tokens can make one

/** The bytes of a token as the API writes it: text, or `bytes:` with escapes. @param {string} token @returns {Uint8Array} */
export function bytesOf(token) {
  if (!/^bytes:(\\x[0-9a-f]{2})+$/.test(token)) return encoder.encode(token);
  return Uint8Array.from([...token.matchAll(/\\x([0-9a-f]{2})/g)].map((match) => parseInt(match[1], 16)));
}

/** A token for people. @param {string} token */
export const plainToken = (token) => (token.startsWith("bytes:\\x") ? token.slice(6).replaceAll("\\x", "‹").replace(/‹(..)/g, "‹$1›") : token);

const BOUNDARY = "<|endoftext|>";

/**
 * What an event brought of a text, without the token that ended it: that one adds nothing to the text.
 * @param {any} choice
 */
export function withoutEnd(choice) {
  const { logprobs } = choice;
  if (choice.finish_reason !== "stop" || logprobs?.tokens.at(-1) !== BOUNDARY) return choice;
  const cut = Object.entries(logprobs).map(([name, values]) => [name, values?.slice(0, -1) ?? null]);
  return { ...choice, logprobs: Object.fromEntries(cut), entries: choice.entries?.slice(0, -1) };
}

/** Takes tokens and text as they come, and gives out what can be shown. */
export class Joiner {
  constructor() {
    /** @type {{token: string, logprob: number, alternatives: {text: string, logprob: number}[], entries: any[]}[]} */
    this.waiting = [];
    this.text = "";
  }

  /**
   * What one event of a stream brought of one choice.
   * @param {any} choice
   * @returns {Token[]} what can be shown now
   */
  take(choice) {
    const found = choice.logprobs ?? { tokens: [], token_logprobs: [], top_logprobs: null };
    found.tokens.forEach((/** @type {string} */ token, /** @type {number} */ at) => {
      const likeliest = Object.entries(found.top_logprobs?.[at] ?? {}).map(([text, logprob]) => ({ text, logprob: Number(logprob) }));
      this.waiting.push({
        token,
        logprob: found.token_logprobs[at] ?? 0,
        alternatives: likeliest.sort((a, b) => b.logprob - a.logprob),
        entries: choice.entries?.[at] ?? [],
      });
    });
    this.text += choice.text;
    return this.settle();
  }

  /** Text that no token accounts for: at the end of a text. @returns {string} */
  rest() {
    const rest = this.text;
    this.text = "";
    this.waiting = [];
    return rest;
  }

  /** @returns {Token[]} */
  settle() {
    /** @type {Token[]} */
    const shown = [];
    for (;;) {
      const group = this.group();
      if (group === null || group.text.length > this.text.length) return shown;
      const pieces = this.waiting.splice(0, group.size);
      const last = pieces[pieces.length - 1];
      const text = this.text.slice(0, group.text.length);
      this.text = this.text.slice(group.text.length);
      shown.push({
        text,
        logprob: pieces.reduce((sum, piece) => sum + piece.logprob, 0),
        pieces: pieces.map(({ token, logprob }) => ({ token: plainToken(token), logprob })),
        alternatives: last.alternatives,
        entries: last.entries,
      });
    }
  }

  /** How many of the waiting tokens make whole characters, and which. @returns {{size: number, text: string}|null} */
  group() {
    /** @type {number[]} */
    let bytes = [];
    for (let size = 1; size <= Math.min(LONGEST, this.waiting.length); size += 1) {
      bytes = [...bytes, ...bytesOf(this.waiting[size - 1].token)];
      try {
        return { size, text: exactly.decode(Uint8Array.from(bytes)) };
      } catch {
        // the character goes on in the next token
      }
    }
    if (this.waiting.length < LONGEST) return null;
    // a model can write bytes that are no text: one sign stands for them
    return { size: 1, text: roughly.decode(bytesOf(this.waiting[0].token)) };
  }
}
