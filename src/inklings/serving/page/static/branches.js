// Sliders for the branches of a model: 1 leaves a branch as it is, 0 knocks it out.

import { byId, make } from "./elements.js";
import { readBranches, writeBranches } from "./settings.js";

/** For whom the sliders stand. @type {string} */
let drawnFor = "";

/**
 * A group of sliders for each model that is asked and has branches.
 * @param {HTMLElement} place @param {import("./settings.js").Settings} settings @param {any[]} cards
 * @param {(changes: Partial<import("./settings.js").Settings>) => void} change
 */
export function drawBranches(place, settings, cards, change) {
  const groups = /** @type {const} */ ([["model", "branches"], ["with", "branches_with"]])
    .map(([which, field]) => ({ card: cards.find((card) => card.name === settings[which]), field, second: which === "with" }))
    .filter(({ card }) => card?.branches.length);
  const wanted = JSON.stringify(groups.map(({ card, field }) => [card.name, field]));
  if (wanted !== drawnFor) {
    drawnFor = wanted;
    place.replaceChildren(...groups.map(({ card, field, second }) => group(card, field, second, settings, change)));
  }
  for (const { card, field } of groups) {
    const factors = readBranches(settings[field]);
    for (const name of card.branches) {
      const slider = byId(`${field}-${name}`);
      slider.value = String(factors[name] ?? 1);
      slider.previousElementSibling.textContent = said(factors[name] ?? 1);
    }
  }
}

/** @param {number} factor */
const said = (factor) => (factor === 0 ? "out" : factor === 1 ? "whole" : `× ${factor}`);

/** @param {any} card @param {"branches"|"branches_with"} field @param {boolean} second @param {any} settings @param {(changes: object) => void} change */
function group(card, field, second, settings, change) {
  const read = () => {
    const factors = card.branches.map((/** @type {string} */ name) => [name, Number(byId(`${field}-${name}`).value)]);
    change({ [field]: writeBranches(Object.fromEntries(factors)) });
  };
  return make(
    "fieldset",
    {},
    make("legend", {}, `Branches of ${card.name}${second ? ", compared" : ""}`),
    ...card.branches.map((/** @type {string} */ name) =>
      make(
        "div",
        { class: "field slider" },
        make("label", { for: `${field}-${name}` }, name),
        make("output", { for: `${field}-${name}` }),
        make("input", { id: `${field}-${name}`, type: "range", min: "0", max: "1", step: "0.05", on: { input: read } }),
      ),
    ),
  );
}
