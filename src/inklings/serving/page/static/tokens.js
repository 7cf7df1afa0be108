// Tokens as they stand in a text: shaded by their probability, reached by pointer and by keyboard.

import { make, percent, visible } from "./elements.js";

/**
 * A token and what the model made of it. `text` is what it shows; `pieces` has more than one member where several tokens make one
 * character. Alternatives and entries are those of the last piece.
 * @typedef {{text: string, logprob: number, pieces: {token: string, logprob: number}[], alternatives: {text: string, logprob: number}[],
 *   entries: any[]}} Token
 */

/** Least probability of each shade, from none to the strongest, and what the legend says of it. */
export const SHADES = /** @type {[number, string][]} */ ([[0.5, "over 50%"], [0.2, "over 20%"], [0.05, "over 5%"], [0.01, "over 1%"], [0, "less"]]);

/** The number of a probability's shade. @param {number} probability */
export const shadeOf = (probability) => SHADES.findIndex(([least]) => probability >= least);

/** The token of each span. @type {WeakMap<Element, Token>} */
const known = new WeakMap();

/** What a span shows. @param {Element} span */
export const tokenOf = (span) => known.get(span);

/** Least share of a prediction that a remembered entry must have for its token to be underlined. */
const REMEMBERED = 0.05;

/** What the shades mean, and the underline that tokens of models with a memory can have. @param {Element} place */
export function drawLegend(place) {
  place.replaceChildren(
    make("span", { class: "legend-title" }, "How probable the model found each token:"),
    ...SHADES.map(([, words], number) => make("span", { class: `swatch shade-${number}` }, words)),
    make("span", { class: "of-memory", hidden: true }, make("span", { class: "remembered" }, "underlined"), `: an entry of the memory gave ${percent(REMEMBERED)} of the prediction or more`),
    make("span", { class: "note" }, "Point at a token, or tap it, for what else could have stood there; with the keyboard, by the arrow keys."),
  );
}

/** A span for a token. @param {Token} token @returns {HTMLElement} */
export function tokenSpan(token) {
  const probability = Math.exp(token.logprob);
  const span = make(
    "span",
    {
      class: `token shade-${shadeOf(probability)}`,
      role: "button",
      tabindex: "-1",
      "aria-haspopup": "dialog",
      "aria-label": `${visible(token.text)}, ${percent(probability)}`,
    },
    token.text,
  );
  if (token.entries.some((entry) => entry.weight >= REMEMBERED)) span.classList.add("remembered");
  known.set(span, token);
  return span;
}

/**
 * A place for tokens in which the arrow keys move, one tab stop in all.
 * @param {string} label
 * @returns {HTMLElement}
 */
export function tokenPlace(label) {
  const place = make("div", { class: "tokens", role: "group", "aria-label": label });
  place.addEventListener("keydown", (event) => {
    const from = /** @type {HTMLElement|null} */ (event.target);
    if (!from?.matches(".token")) return;
    const to = neighbour(place, from, event.key);
    if (to === null) return;
    event.preventDefault();
    focusToken(to);
  });
  place.addEventListener("focusin", (event) => {
    const to = /** @type {HTMLElement} */ (event.target);
    if (!to.matches(".token")) return;
    for (const other of place.querySelectorAll('.token[tabindex="0"]')) other.setAttribute("tabindex", "-1");
    to.setAttribute("tabindex", "0");
  });
  return place;
}

/** Put tokens behind those that are there. @param {HTMLElement} place @param {Node[]} spans */
export function appendTokens(place, spans) {
  const first = place.querySelector(".token") === null;
  place.append(...spans);
  if (first) place.querySelector(".token")?.setAttribute("tabindex", "0");
}

/** Move the keyboard to a token. @param {HTMLElement} span */
export function focusToken(span) {
  span.focus();
  span.scrollIntoView({ block: "nearest" });
}

/** @param {HTMLElement} place @param {HTMLElement} from @param {string} key @returns {HTMLElement|null} */
function neighbour(place, from, key) {
  const all = /** @type {HTMLElement[]} */ ([...place.querySelectorAll(".token")]);
  const at = all.indexOf(from);
  if (key === "ArrowRight") return all[at + 1] ?? null;
  if (key === "ArrowLeft") return all[at - 1] ?? null;
  if (key === "Home") return all[0];
  if (key === "End") return all[all.length - 1];
  if (key !== "ArrowDown" && key !== "ArrowUp") return null;
  // the nearest token of the next line that is in that direction
  const here = from.getBoundingClientRect();
  const rest = key === "ArrowDown" ? all.slice(at + 1) : all.slice(0, at).reverse();
  const line = rest.find((span) => Math.abs(span.getBoundingClientRect().top - here.top) > here.height / 2);
  if (line === undefined) return null;
  const top = line.getBoundingClientRect().top;
  const distance = (/** @type {HTMLElement} */ span) => Math.abs(span.getBoundingClientRect().left - here.left);
  return rest.filter((span) => Math.abs(span.getBoundingClientRect().top - top) <= here.height / 2).reduce((a, b) => (distance(b) < distance(a) ? b : a), line);
}
