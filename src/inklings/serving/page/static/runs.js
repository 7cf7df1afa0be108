// The runs behind the models: facts, learning curves, live while they train; audit and verdict.

import { ask, askJson, hasKey } from "./api.js";
import { drawChart } from "./chart.js";
import { describe, showError } from "./columns.js";
import { byId, count, decimal, make, short } from "./elements.js";

const POLL = 3000; // milliseconds between two looks at a run that trains
const STATES = { training: "training", done: "done", stopped: "stopped before its budget was spent" };

let polling = 0;

/** Draw the view, and keep it up to date while it is looked at. @param {any[]} cards */
export async function showRuns(cards) {
  const place = byId("view-runs");
  const articles = cards.map((card) => make("article", { class: "run", "aria-label": card.name }));
  const together = make("section", { class: "together" });
  place.replaceChildren(together, ...articles);
  /** @type {Map<string, any>} */
  const found = new Map();
  /** @type {Map<string, string>} */
  const drawn = new Map();
  const look = async (/** @type {any[]} */ which) => {
    await Promise.all(
      which.map(async (card) => {
        const article = articles[cards.indexOf(card)];
        try {
          const run = await askJson(`/v1/runs/${encodeURIComponent(card.name)}`);
          found.set(card.name, run);
          const content = JSON.stringify(run);
          if (drawn.get(card.name) !== content) article.replaceChildren(...runParts(run, cards.indexOf(card)));
          drawn.set(card.name, content);
        } catch (error) {
          article.replaceChildren(make("h2", {}, card.name));
          showError(article, error);
        }
      }),
    );
  };
  await look(cards);
  together.replaceChildren(...compareCurves(cards, found));
  clearTimeout(polling);
  const again = async () => {
    if (byId("view-runs").hidden || !place.contains(together)) return;
    const training = cards.filter((card) => found.get(card.name)?.facts.state === "training");
    if (!training.length) return;
    if (document.visibilityState === "visible") {
      await look(training);
      together.replaceChildren(...compareCurves(cards, found));
    }
    polling = window.setTimeout(again, POLL);
  };
  polling = window.setTimeout(again, POLL);
}

/**
 * What a run's losses are multiplied by to be shown in bits, and what they are bits of. What a byte costs in training is told by the
 * bytes of a token in the held-out text.
 * @param {any} facts @returns {{factor: number, unit: string}}
 */
export function inBits(facts) {
  const known = facts.validation.find((/** @type {any} */ point) => point.bits_per_byte !== null && point.loss > 0);
  if (known !== undefined) return { factor: known.bits_per_byte / known.loss, unit: "bits per byte" };
  if (facts.unit.startsWith("nats")) return { factor: 1 / Math.LN2, unit: facts.unit.replace("nats", "bits") };
  return { factor: 1, unit: facts.unit };
}

/** One chart for all runs whose bits per byte are known. @param {any[]} cards @param {Map<string, any>} found */
function compareCurves(cards, found) {
  const lines = cards.map((card, colour) => ({
    name: card.name,
    colour: colour % 8,
    dots: true,
    points: (found.get(card.name)?.facts.validation ?? []).filter((/** @type {any} */ point) => point.bits_per_byte !== null).map((/** @type {any} */ point) => ({ x: point.tokens, y: point.bits_per_byte })),
  }));
  const drawn = lines.filter((line) => line.points.length > 0);
  if (drawn.length < 2) return [];
  const best = drawn.map((line) => `${line.name} ${decimal(Math.min(...line.points.map((point) => point.y)))}`).join(", ");
  const missing = cards.filter((card) => found.has(card.name) && !drawn.some((line) => line.name === card.name)).map((card) => card.name);
  const texts = new Set(drawn.map((line) => found.get(line.name).facts.text));
  return [
    make("h2", {}, "All runs"),
    texts.size > 1 ? make("p", { class: "note" }, "These runs learn from different texts: their curves tell how each goes, not which is better.") : null,
    missing.length ? make("p", { class: "note" }, `Without bits per byte, and so not in this chart: ${missing.join(", ")}.`) : null,
    drawChart(drawn, { x: "tokens", y: "Validation loss, bits per byte", label: `Validation loss of all runs in bits per byte, the best of each: ${best}` }),
  ].filter((part) => part !== null);
}

/** @param {any} run @param {number} colour */
function runParts({ card, facts, page, compared, audit_command: command }, colour) {
  const share = facts.steps ? facts.step / facts.steps : 1;
  const progress = facts.state === "done" ? "" : `, ${count(facts.step)} of ${count(facts.steps)} steps`;
  const { factor, unit } = inBits(facts);
  const best = facts.best_loss === null ? "–" : `${decimal(facts.best_loss * factor, 3)} ${unit}`;
  /** @type {[string, string][]} */
  const figures = [
    ["Text", facts.text],
    ["Budget", facts.budget.replace("-", " ")],
    ["State", `${STATES[/** @type {keyof STATES} */ (facts.state)]}${progress}`],
    ["Best loss", best],
    ["Context", card.receptive_field === null ? `${count(card.context_length)} in training, no limit` : `${count(card.receptive_field)} tokens`],
    ["Vocabulary", count(card.vocab_size)],
    ["Trained for", `${count(Math.round(facts.seconds))} s`],
  ];
  return [
    make("header", {}, make("h2", {}, card.name), make("p", { class: "note" }, describe(card))),
    facts.state === "training" ? make("progress", { max: "1", value: String(share), "aria-label": `${card.name}: share of the budget spent` }) : null,
    facts.problem ? make("p", { class: "notice" }, facts.problem) : null,
    make("dl", { class: "facts" }, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    curve(card, facts, colour),
    compared === null ? null : verdict(compared, card),
    audit(facts.findings.length ? facts.findings : (compared?.findings ?? []), command),
    samples(facts),
    page === null ? null : make("p", { class: "note" }, reportLink(page, card, "page")),
  ].filter((part) => part !== null);
}

/** @param {any} card @param {any} facts @param {number} colour */
function curve(card, facts, colour) {
  const { factor, unit } = inBits(facts);
  const of = (/** @type {any[]} */ points) => points.map((point) => ({ x: point.tokens, y: factor * point.loss }));
  const gan = !card.predicts; // its training loss is the critic's, of another unit
  const lines = [
    { name: "validation", colour: colour % 8, dots: true, points: of(facts.validation) },
    ...(gan || !facts.training.length ? [] : [{ name: "training", colour: colour % 8, quiet: true, points: of(facts.training) }]),
  ];
  if (facts.validation.length + facts.training.length < 2) return null;
  const last = facts.validation[facts.validation.length - 1];
  const label = last === undefined ? `Training loss of ${card.name}` : `Loss of ${card.name} over ${short(last.tokens)} tokens; validation from ${decimal(factor * facts.validation[0].loss)} to ${decimal(factor * last.loss)} ${unit}`;
  return drawChart(lines, { x: "tokens", y: `Loss, ${unit}`, label });
}

/** @param {any} compared @param {any} card */
function verdict(compared, card) {
  return make(
    "section",
    { class: "verdict" },
    make("h3", {}, `Compared as ${compared.arm}, one of ${compared.arms.length} arms`),
    ...compared.verdicts.flatMap((/** @type {any} */ one) => [make("p", { class: "headline" }, one.headline), ...one.sentences.map((/** @type {string} */ sentence) => make("p", {}, sentence))]),
    compared.report === null ? make("p", { class: "note" }, "No report was written.") : make("p", {}, reportLink(compared.report, card, "report")),
  );
}

/**
 * A link to the report of the comparison or the page of the run; where a key is needed a link cannot carry it, so the file is fetched
 * and saved.
 * @param {string} address @param {any} card @param {"report" | "page"} kind
 */
function reportLink(address, card, kind) {
  const name = kind === "report" ? "The whole report" : `The page of ${card.name}`;
  if (!hasKey()) return make("a", { href: address, target: "_blank", rel: "noopener" }, name);
  const save = async () => {
    const blob = URL.createObjectURL(await (await ask(address)).blob());
    make("a", { href: blob, download: `${card.name}-${kind}.html` }).click();
    setTimeout(() => URL.revokeObjectURL(blob), 10_000);
  };
  return make("button", { type: "button", on: { click: save } }, `Save ${name[0].toLowerCase()}${name.slice(1)}`);
}

/** @param {any[]} findings @param {string} command */
function audit(findings, command) {
  if (!findings.length) return make("p", { class: "note audit-note" }, "Audit: ", make("code", {}, command));
  const having = (/** @type {string} */ status) => findings.filter((finding) => finding.status === status).length;
  const [failed, warnings] = [having("fail"), having("warning")];
  const warned = warnings ? `, ${count(warnings)} ${warnings === 1 ? "warning" : "warnings"}` : "";
  return make(
    "details",
    { class: "audit", open: failed > 0 },
    make("summary", {}, failed ? `Audit: ${failed} of ${findings.length} checks do not hold${warned}` : `Audit: holds, ${findings.length} checks${warned}`),
    make("ul", {}, ...findings.map((finding) => make("li", { class: finding.status.replace(" ", "-") }, make("b", {}, `${finding.check}: ${finding.status}. `), finding.summary))),
  );
}

/** @param {any} facts */
function samples(facts) {
  if (!facts.samples.length) return null;
  return make(
    "details",
    {},
    make("summary", {}, "What it wrote while it trained"),
    ...facts.samples.map((/** @type {any} */ one) => make("div", {}, make("h4", {}, `Step ${count(one.step)}`), ...one.texts.map((/** @type {string} */ text) => make("p", { class: "sample mono" }, text)))),
  );
}
