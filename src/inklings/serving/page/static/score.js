// Scoring: where a model is surprised by a text.

import { askJson } from "./api.js";
import { askedOf, branchEffect, makeColumn, setColumns, setStats, showError } from "./columns.js";
import { announce, count, decimal, make, visible } from "./elements.js";
import { Joiner, bytesOf } from "./joining.js";
import { readBranches } from "./settings.js";
import { appendTokens, focusToken, tokenPlace, tokenSpan } from "./tokens.js";

const LISTED = 8;
const CONTEXT = 24; // characters before a surprising token that the list shows

/** @type {AbortController|null} */
let running = null;

/** Have the chosen models score the text. @param {import("./settings.js").Settings} settings @param {any[]} cards */
export async function score(settings, cards) {
  running?.abort();
  const controller = new AbortController();
  running = controller;
  const asked = askedOf(settings, cards);
  const columns = asked.map(makeColumn);
  setColumns("scored", columns.map((column) => column.article));
  await Promise.all(asked.map((one, number) => scoreOne(one, columns[number], settings.text, controller.signal)));
}

/** @param {import("./columns.js").Asked} asked @param {ReturnType<typeof makeColumn>} column @param {string} text @param {AbortSignal} signal */
async function scoreOne({ card, branches }, column, text, signal) {
  const factors = readBranches(branches);
  const altered = card.branches.length > 0 && Object.keys(factors).length > 0;
  const body = { model: card.name, input: text, alternatives: 5, ...(card.remembers ? { entries: 5 } : {}) };
  try {
    const answers = await Promise.all([
      askJson("/v1/score", { body: altered ? { ...body, branches: factors } : body, signal }),
      altered ? askJson("/v1/score", { body: { model: card.name, input: text }, signal }) : null,
    ]);
    show(card, column, answers[0].data[0]);
    if (answers[1] !== null) column.body.append(make("p", { class: "effect" }, branchEffect(answers[0].data, answers[1].data)));
  } catch (error) {
    if (!signal.aborted) showError(column.body, error);
  }
  column.article.setAttribute("aria-busy", "false");
}

/** @param {any} card @param {ReturnType<typeof makeColumn>} column @param {any} scored */
function show(card, column, scored) {
  const bits = scored.bits_per_byte ?? (scored.nats === null ? null : scored.nats / Math.LN2 / Math.max(1, scored.tokens.length));
  const unit = scored.bits_per_byte === null ? "bits per token" : "bits per byte";
  const cost = bits === null ? "–" : decimal(bits);
  setStats(column.stats, [[unit, cost], ["tokens", count(scored.tokens.length)]]);
  const place = tokenPlace(`Tokens of the text, scored by ${card.name}`);
  const shown = joined(scored.tokens);
  const spans = shown.map(tokenSpan);
  appendTokens(place, spans);
  column.body.append(make("div", { class: "text" }, place));
  if (shown.length) column.body.append(surprises(shown, spans));
  announce(`${card.name} has scored the text: ${cost} ${unit}.`);
}

/** @param {any[]} tokens @returns {import("./tokens.js").Token[]} */
function joined(tokens) {
  const joiner = new Joiner();
  const text = joinedText(tokens);
  return joiner.take({
    text,
    entries: tokens.map((token) => token.entries ?? []),
    logprobs: {
      tokens: tokens.map((token) => token.text),
      token_logprobs: tokens.map((token) => token.logprob),
      top_logprobs: tokens.map((token) => Object.fromEntries(token.alternatives.map((/** @type {any} */ other) => [other.text, other.logprob]))),
    },
  });
}

/** The text that tokens make; the same joining that shows them says where their characters end. @param {any[]} tokens */
function joinedText(tokens) {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return tokens.map((token) => decoder.decode(bytesOf(token.text), { stream: true })).join("") + decoder.decode();
}

/** @param {import("./tokens.js").Token[]} shown @param {HTMLElement[]} spans */
function surprises(shown, spans) {
  const order = shown.map((token, at) => ({ token, at })).sort((a, b) => a.token.logprob - b.token.logprob).slice(0, LISTED);
  return make(
    "section",
    { class: "surprises" },
    make("h3", {}, "Most surprising"),
    make(
      "ol",
      {},
      ...order.map(({ token, at }) => {
        const before = shown.slice(Math.max(0, at - CONTEXT), at).map((other) => other.text).join("").slice(-CONTEXT).replaceAll("\n", " ");
        const row = [
          make("span", { class: "mono quiet context" }, before),
          make("b", { class: "mono" }, visible(token.text)),
          make("span", { class: "number" }, `${decimal(-token.logprob / Math.LN2, 1)} bits`),
        ];
        return make("li", {}, make("button", { type: "button", on: { click: () => focusToken(spans[at]) } }, ...row));
      }),
    ),
  );
}
