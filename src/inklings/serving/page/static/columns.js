// The columns of a view: one for each model that is asked, with its name, its figures, and room for what it says.

import { byId, decimal, make, short } from "./elements.js";
import { readBranches } from "./settings.js";

/**
 * A model in a view.
 * @typedef {{card: any, branches: string, which: "model"|"with"}} Asked
 */

/**
 * Who is asked: the model, and the one that it is compared with.
 * @param {import("./settings.js").Settings} settings @param {any[]} cards @returns {Asked[]}
 */
export function askedOf(settings, cards) {
  const asked = [{ card: cards.find((card) => card.name === settings.model), branches: settings.branches, which: /** @type {const} */ ("model") }];
  const other = cards.find((card) => card.name === settings.with);
  return other === undefined ? asked : [...asked, { card: other, branches: settings.branches_with, which: /** @type {const} */ ("with") }];
}

/**
 * A column; `stats` and `body` are for the view to fill.
 * @param {Asked} asked
 * @returns {{article: HTMLElement, stats: HTMLElement, body: HTMLElement}}
 */
export function makeColumn({ card, branches }) {
  const factors = Object.entries(readBranches(branches));
  const said = factors.map(([name, factor]) => (factor === 0 ? `without ${name}` : `${name} × ${factor}`)).join(", ");
  const stats = make("dl", { class: "stats" });
  const body = make("div", { class: "texts" });
  const article = make(
    "article",
    { class: "column", "aria-label": said ? `${card.name}, ${said}` : card.name, "aria-busy": "true" },
    make("header", {}, make("h2", {}, card.name, said ? make("span", { class: "altered" }, ` ${said}`) : null), make("p", { class: "note" }, describe(card))),
    stats,
    body,
  );
  return { article, stats, body };
}

/** `gpt, 152k parameters`, and how far its training is if it is not done. @param {any} card */
export const describe = (card) => [card.architecture, `${short(card.parameters)} parameters`, card.progress].filter(Boolean).join(", ");

/** Figures with their names. @param {HTMLElement} stats @param {[string, string][]} figures */
export function setStats(stats, figures) {
  stats.replaceChildren(...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** An error in its place. @param {HTMLElement} body @param {unknown} error */
export function showError(body, error) {
  body.append(make("p", { class: "notice", role: "alert" }, error instanceof Error ? error.message : String(error)));
}

/** Show the columns of a view. @param {string} id @param {HTMLElement[]} articles */
export function setColumns(id, articles) {
  const place = byId(id);
  place.replaceChildren(...articles);
  place.classList.toggle("two", articles.length > 1);
}

/** What branches do to texts, in words. @param {any[]} altered as `/v1/score` gives them @param {any[]} whole those of the whole model */
export function branchEffect(altered, whole) {
  const inBytes = whole.every((row) => row.bits_per_byte !== null);
  const total = (/** @type {any[]} */ rows, /** @type {(row: any) => number} */ of) => rows.reduce((sum, row) => sum + of(row), 0);
  const cost = (/** @type {any[]} */ rows) => total(rows, (row) => row.nats) / Math.LN2 / total(rows, (row) => (inBytes ? row.bytes : row.tokens.length));
  const change = cost(altered) - cost(whole);
  const unit = inBytes ? "bits per byte" : "bits per token";
  const sign = change > 0 ? "+" : "";
  return `This text costs ${decimal(cost(altered))} ${unit} with these branches and ${decimal(cost(whole))} with the whole model: ${sign}${decimal(change)}.`;
}
