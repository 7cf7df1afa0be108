// The page: what is chosen in the form decides what is asked; the address always says what is chosen.

import { askJson, listenForKey } from "./api.js";
import { drawBranches } from "./branches.js";
import { describe } from "./columns.js";
import { announce, byId, make } from "./elements.js";
import { showMemory } from "./memory.js";
import { hide, startPopover } from "./popover.js";
import { showRuns } from "./runs.js";
import { score } from "./score.js";
import { INITIAL, LIMITS, LONGEST, readBranches, readHash, toHash, writeBranches } from "./settings.js";
import { drawLegend, tokenOf } from "./tokens.js";
import { stopWriting, write } from "./write.js";

const VIEWS = ["write", "score", "memory", "runs"];
const LARGEST_SEED = 2 ** 31;

/** @type {import("./settings.js").Settings} */
let settings = { ...INITIAL };
/** @type {any[]} */
let cards = [];
let writing = 0;

const cardOf = (/** @type {string} */ name) => cards.find((card) => card.name === name);

/** Change settings; form and address follow. @param {Partial<import("./settings.js").Settings>} changes */
function change(changes) {
  settings = { ...settings, ...changes };
  history.replaceState(null, "", toHash(settings));
  fillForm();
}

/** Bring what cannot be to what can: a model that is not here, a view that it does not have. */
function settle() {
  if (cardOf(settings.model) === undefined) settings.model = cards[0].name;
  if (settings.with !== "" && cardOf(settings.with) === undefined) settings.with = "";
  const card = cardOf(settings.model);
  settings.branches = knownBranches(settings.branches, settings.model);
  settings.branches_with = knownBranches(settings.branches_with, settings.with);
  if (!VIEWS.includes(settings.view) || (settings.view === "score" && !card.predicts) || (settings.view === "memory" && !card.remembers)) settings.view = "write";
}

/** The factors of branches that a model has. @param {string} text @param {string} name */
function knownBranches(text, name) {
  const factors = Object.entries(readBranches(text)).filter(([branch]) => cardOf(name)?.branches.includes(branch));
  return writeBranches(Object.fromEntries(factors));
}

function fillForm() {
  const card = cardOf(settings.model);
  for (const input of document.querySelectorAll("#settings [name], #work [name]")) {
    const field = /** @type {HTMLInputElement} */ (input);
    const value = String(settings[/** @type {keyof typeof settings} */ (field.name)]);
    if (document.activeElement !== field || field.type === "range" || field.tagName === "SELECT") field.value = value;
  }
  for (const output of document.querySelectorAll(".slider > output[for]")) {
    output.textContent = byId(/** @type {HTMLOutputElement} */ (output).htmlFor.value).value;
  }
  byId("model-note").textContent = describe(card);
  drawBranches(byId("branches"), settings, cards, change);
  for (const part of document.querySelectorAll("[data-for]")) {
    /** @type {HTMLElement} */ (part).hidden = (/** @type {HTMLElement} */ (part).dataset.for === "predicts") !== card.predicts;
  }
  for (const part of document.querySelectorAll("[data-in]")) {
    /** @type {HTMLElement} */ (part).hidden = !(/** @type {HTMLElement} */ (part).dataset.in ?? "").split(" ").includes(settings.view);
  }
  for (const view of VIEWS) byId(`view-${view}`).hidden = view !== settings.view;
  for (const button of document.querySelectorAll("[data-view]")) {
    const view = /** @type {HTMLElement} */ (button).dataset.view;
    button.toggleAttribute("aria-current", false);
    if (view === settings.view) button.setAttribute("aria-current", "page");
    if (view === "memory") /** @type {HTMLElement} */ (button).hidden = !card.remembers;
    if (view === "score") /** @type {HTMLElement} */ (button).hidden = !card.predicts;
  }
  const remembers = card.remembers || cardOf(settings.with)?.remembers === true;
  for (const line of document.querySelectorAll(".of-memory")) /** @type {HTMLElement} */ (line).hidden = !remembers;
  byId("settings").hidden = settings.view === "runs";
  document.title = `${settings.view === "runs" ? "Runs" : settings.model} · Inklings`;
}

/** A model in a list of models. @param {string} name */
const named = (name) => (cardOf(name).progress ? `${name} (${cardOf(name).progress})` : name);

function fillChoices() {
  const names = cards.map((card) => card.name);
  byId("model").replaceChildren(...names.map((name) => make("option", { value: name }, named(name))));
  byId("with").replaceChildren(make("option", { value: "" }, "nothing"), ...cards.filter((card) => card.predicts).map((card) => make("option", { value: card.name }, named(card.name))));
}

/** What the view shows that is not there yet. */
function openView() {
  hide();
  if (settings.view === "runs") showRuns(cards);
  if (settings.view === "memory") showMemory(cardOf(settings.model));
}

const actions = {
  /** @param {string} prompt */
  goOn(prompt) {
    change({ prompt });
    start();
  },
  /** @param {string} prompt */
  edit(prompt) {
    change({ prompt });
    byId("prompt").focus();
  },
};

async function start() {
  hide();
  change({ go: "1" });
  writing += 1;
  byId("start").disabled = false;
  byId("stop-writing").disabled = false;
  await write(settings, cards, actions);
  writing -= 1;
  if (writing === 0) byId("stop-writing").disabled = true;
}

/** Do what the view is for. */
function go() {
  if (settings.view === "write") start();
  if (settings.view === "score" && settings.text !== "") {
    change({ go: "1" });
    score(settings, cards);
  }
}

/** @param {Event} event */
function changed(event) {
  const field = /** @type {HTMLInputElement} */ (event.target);
  if (!(field.name in INITIAL)) return;
  const first = INITIAL[/** @type {keyof typeof INITIAL} */ (field.name)];
  if (typeof first === "number" && (field.value === "" || !field.validity.valid)) return;
  const before = settings.model;
  change({ [field.name]: typeof first === "number" ? Number(field.value) : field.value });
  if (field.name === "model") {
    settings.branches = "";
    if (!cardOf(settings.model).predicts) settings.with = "";
    settle();
    change({});
    if (before !== settings.model) openView();
  }
  if (field.name === "with") change({ branches_with: "" });
}

/** Another token was chosen in a place: the text up to there, with it, is what to go on from. @param {Event} event */
function goOnWith(event) {
  const span = /** @type {HTMLElement} */ (event.target);
  const place = /** @type {HTMLElement} */ (span.closest(".tokens"));
  const before = [...place.querySelectorAll(".token")];
  const text = before.slice(0, before.indexOf(span)).map((other) => tokenOf(other).text).join("");
  actions.goOn((place.dataset.prompt ?? "") + text + /** @type {CustomEvent} */ (event).detail);
}

/** @param {Event} event */
async function share(event) {
  const button = /** @type {HTMLElement} */ (event.currentTarget);
  try {
    await navigator.clipboard.writeText(location.href);
    announce("The link is copied.");
    button.textContent = "Copied";
  } catch {
    button.textContent = "It is in the address bar";
  }
  setTimeout(() => (button.textContent = "Copy link"), 2000);
}

/** Read the models and the address, and show what it says. */
async function open() {
  try {
    cards = (await askJson("/v1/runs")).data;
  } catch (error) {
    byId("trouble").hidden = false;
    byId("trouble").textContent = /** @type {Error} */ (error).message;
    return;
  }
  byId("key-form").hidden = true;
  const { settings: found, changed } = readHash(location.hash);
  settings = found;
  const shown = (/** @type {string} */ name) => (name in LIMITS ? `${name} (now ${settings[/** @type {keyof typeof settings} */ (name)] || "free"})` : `${name} (cut)`);
  byId("trouble").hidden = changed.length === 0;
  byId("trouble").textContent = changed.length ? `The address asks for what this page does not do, and was changed: ${changed.map(shown).join(", ")}.` : "";
  fillChoices();
  settle();
  if (settings.go === "" && !cardOf(settings.model).predicts && settings.n === 1) settings.n = 4;
  change({});
  openView();
  if (settings.go !== "") go();
  document.body.dataset.ready = "yes";
}

/** The limits of an address are those of the form. */
function limitForm() {
  for (const [name, [least, most]] of Object.entries(LIMITS)) Object.assign(byId(name), { min: String(least), max: String(most) });
  for (const [name, most] of Object.entries(LONGEST)) byId(name).maxLength = most;
}

function listen() {
  for (const area of [byId("settings"), byId("work")]) area.addEventListener("input", changed);
  byId("settings").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  for (const button of document.querySelectorAll("[data-view]")) {
    button.addEventListener("click", () => {
      change({ view: /** @type {HTMLElement} */ (button).dataset.view });
      openView();
    });
  }
  byId("start").addEventListener("click", start);
  byId("stop-writing").addEventListener("click", stopWriting);
  byId("another").addEventListener("click", () => {
    change({ seed: Math.floor(Math.random() * LARGEST_SEED) });
    start();
  });
  byId("score").addEventListener("click", go);
  for (const button of document.querySelectorAll(".share")) button.addEventListener("click", share);
  for (const place of document.querySelectorAll(".legend")) drawLegend(place);
  document.addEventListener("go-on-with", goOnWith);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      go();
    }
  });
  listenForKey(open);
  window.addEventListener("hashchange", open);
}

// on a narrow screen the settings would stand between the prompt and what comes of it
if (window.matchMedia("(max-width: 860px)").matches) byId("sampling").open = false;
limitForm();
listen();
startPopover();
open();
