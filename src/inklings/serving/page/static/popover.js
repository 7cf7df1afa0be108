// What a token's popover says: its probability, what else could have stood there, and what was remembered.

import { decimal, inline, isMark, make, percent, visible } from "./elements.js";
import { plainToken } from "./joining.js";
import { tokenOf } from "./tokens.js";

const GAP = 6; // pixels between a token and its popover
const EDGE = 8; // and between the popover and the edge of the window
const LOWEST = 96; // pixels of height below which a popover could not be read
const LINGER = 180; // milliseconds for the pointer to get from a token into its popover

/** @type {HTMLElement} */
const popover = make("div", { id: "popover", role: "dialog", "aria-label": "Token", hidden: true, tabindex: "-1" });
/** @type {HTMLElement|null} */
let shownFor = null;
let pinned = false;
let leaving = 0;

/** Show popovers for the tokens of this page. */
export function startPopover() {
  document.body.append(popover);
  document.addEventListener("pointerover", (event) => {
    if (pinned || event.pointerType === "touch") return;
    const span = tokenAt(event.target);
    clearTimeout(leaving);
    if (span !== null) show(span);
    else if (!popover.contains(/** @type {Node} */ (event.target)) && shownFor !== null && document.activeElement !== shownFor) leaving = window.setTimeout(hide, LINGER);
  });
  document.addEventListener("focusin", (event) => {
    const span = tokenAt(event.target);
    if (span !== null) {
      pinned = false;
      show(span);
    } else if (!popover.contains(/** @type {Node} */ (event.target))) hide();
  });
  document.addEventListener("click", (event) => {
    const span = tokenAt(event.target);
    if (span !== null) {
      pinned = true;
      show(span);
    } else if (!popover.contains(/** @type {Node} */ (event.target)) && document.activeElement !== shownFor) hide();
  });
  document.addEventListener("keydown", (event) => {
    if (shownFor === null) return;
    const onToken = document.activeElement === shownFor;
    if (event.key === "Escape") {
      const token = shownFor;
      const inside = popover.contains(document.activeElement);
      hide();
      if (inside) {
        token.focus();
        hide();
      }
    } else if (onToken && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      pinned = true;
      /** @type {HTMLElement} */ (popover.querySelector("button") ?? popover).focus();
    }
  });
  window.addEventListener("resize", hide);
}

/** Take the popover away. */
export function hide() {
  clearTimeout(leaving);
  shownFor?.removeAttribute("aria-describedby");
  shownFor?.classList.remove("looked-at");
  shownFor = null;
  pinned = false;
  popover.hidden = true;
}

/** @param {EventTarget|null} target @returns {HTMLElement|null} */
const tokenAt = (target) => (target instanceof HTMLElement && target.matches(".token") ? target : null);

/** @param {HTMLElement} span */
function show(span) {
  if (span === shownFor && !popover.hidden) return;
  const wasPinned = pinned;
  hide();
  pinned = wasPinned;
  const token = tokenOf(span);
  if (token === undefined) return;
  shownFor = span;
  popover.replaceChildren(...contents(span, token));
  popover.hidden = false;
  span.setAttribute("aria-describedby", "popover");
  span.classList.add("looked-at");
  place(span);
}

/**
 * Below the last line of the token where there is room, else above its first, else on the roomier side and only as high as that:
 * never over the token, and never beyond the sides.
 * @param {HTMLElement} span
 */
function place(span) {
  popover.style.removeProperty("max-height");
  const whole = span.getBoundingClientRect();
  const lines = span.getClientRects();
  const from = (lines[lines.length - 1] ?? whole).left;
  const { width, height } = popover.getBoundingClientRect();
  const above = whole.top - GAP - EDGE;
  const below = window.innerHeight - whole.bottom - GAP - EDGE;
  const under = height <= below || (height > above && below >= above);
  const shown = Math.max(LOWEST, Math.min(height, under ? below : above));
  if (shown < height) popover.style.setProperty("max-height", `${shown}px`);
  const left = Math.max(EDGE, Math.min(from, document.documentElement.clientWidth - width - EDGE));
  popover.style.setProperty("left", `${left + window.scrollX}px`);
  popover.style.setProperty("top", `${(under ? whole.bottom + GAP : whole.top - shown - GAP) + window.scrollY}px`);
}

/** @param {HTMLElement} span @param {import("./tokens.js").Token} token */
function contents(span, token) {
  const probability = Math.exp(token.logprob);
  const goesOn = span.closest("[data-goes-on]") !== null;
  return [
    make(
      "p",
      { class: "popover-head" },
      make("b", { class: "mono" }, visible(token.text)),
      make("span", {}, percent(probability)),
      make("span", { class: "quiet" }, `${decimal(-token.logprob / Math.LN2)} bits`),
    ),
    token.pieces.length > 1 ? make("p", { class: "note" }, `${token.pieces.length} tokens: ${token.pieces.map((piece) => visible(piece.token)).join(" ")}`) : null,
    token.alternatives.length ? alternatives(span, token, goesOn) : null,
    token.entries.length ? entries(token.entries) : null,
  ].filter((part) => part !== null);
}

/** @param {HTMLElement} span @param {import("./tokens.js").Token} token @param {boolean} goesOn */
function alternatives(span, token, goesOn) {
  const own = token.pieces[token.pieces.length - 1].token;
  return make(
    "ul",
    { class: "alternatives" },
    ...token.alternatives.map(({ text, logprob }) => {
      const plain = plainToken(text);
      const share = Math.exp(logprob);
      const row = [
        isMark(text) ? make("i", {}, "the end") : make("span", { class: "mono" }, visible(plain)),
        make("span", { class: "bar" }, make("i", { style: { width: `${Math.max(1, 100 * share)}%` } })),
        make("span", { class: "number" }, percent(share)),
      ];
      const mine = plain === own;
      const choose = () => {
        span.dispatchEvent(new CustomEvent("go-on-with", { bubbles: true, detail: text }));
        hide();
      };
      return make(
        "li",
        { class: mine ? "own" : null },
        goesOn && !mine && !isMark(text) && !text.startsWith("bytes:\\x")
          ? make("button", { type: "button", title: "Go on from here with this", "aria-label": `Go on from here with ${visible(plain)}, ${percent(share)}`, on: { click: choose } }, ...row)
          : make("span", { class: "row" }, ...row),
      );
    }),
  );
}

/** @param {any[]} found */
function entries(found) {
  return make(
    "div",
    { class: "entries" },
    make("h4", {}, "Remembered"),
    make(
      "ul",
      {},
      ...found.map((entry) =>
        make(
          "li",
          {},
          make("p", { class: "entry-text mono" }, make("span", {}, inline(entry.before)), make("mark", {}, visible(entry.value)), make("span", {}, inline(entry.after))),
          make(
            "p",
            { class: "note" },
            make("b", {}, percent(entry.weight)),
            ` of the prediction · ${entry.document ?? "this text"}, place ${entry.position} · age ${entry.age}` +
              (entry.distance === null ? "" : ` · distance ${entry.distance.toPrecision(3)}`),
          ),
        ),
      ),
    ),
  );
}
