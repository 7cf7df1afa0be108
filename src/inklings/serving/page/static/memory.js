// The long-term memory of a model: what it holds, a search, texts to add, entries to forget.

import { askJson } from "./api.js";
import { showError } from "./columns.js";
import { announce, byId, count, inline, make, short, visible } from "./elements.js";

const FOUND = 10;

/** Draw the view for a model. @param {any} card */
export async function showMemory(card) {
  const place = byId("view-memory");
  const facts = make("div", { class: "memory-facts" });
  const hits = make("div", { class: "hits", "aria-live": "polite" });
  const query = /** @type {HTMLInputElement} */ (make("input", { id: "memory-query", type: "text", spellcheck: "false", autocomplete: "off", required: true }));
  const name = /** @type {HTMLInputElement} */ (make("input", { id: "memory-name", type: "text", maxlength: "200", required: true, autocomplete: "off" }));
  const text = /** @type {HTMLTextAreaElement} */ (make("textarea", { id: "memory-text", rows: "5", required: true, spellcheck: "false" }));
  const added = make("div");

  const search = async () => {
    hits.replaceChildren();
    try {
      const { hits: found } = await askJson(`${path(card)}/search`, { body: { text: query.value, k: FOUND } });
      hits.replaceChildren(found.length ? hitList(found, remove) : make("p", { class: "note" }, "Nothing was found."));
    } catch (error) {
      showError(hits, error);
    }
  };
  /** @param {number} id @param {HTMLElement} row */
  const remove = async (id, row) => {
    try {
      await askJson(`${path(card)}/remove`, { body: { ids: [id] } });
      row.remove();
      announce(`Entry ${id} is forgotten.`);
      await showFacts(card, facts);
    } catch (error) {
      showError(hits, error);
    }
  };
  const add = async () => {
    added.replaceChildren();
    try {
      const done = await askJson(`${path(card)}/documents`, { body: { name: name.value, text: text.value } });
      added.append(make("p", { class: "note", role: "status" }, done.added ? `Added ${count(done.added)} entries.` : "The memory has this text already."));
      text.value = "";
      await showFacts(card, facts);
    } catch (error) {
      showError(added, error);
    }
  };
  /** @param {() => void} action @returns {Record<string, (event: Event) => void>} */
  const submit = (action) => ({ submit: (event) => { event.preventDefault(); action(); } });

  place.replaceChildren(
    make("h2", {}, `What ${card.name} remembers`),
    facts,
    make(
      "div",
      { class: "two-columns" },
      make(
        "div",
        {},
        make("form", { on: submit(search) }, make("div", { class: "field" }, make("label", { for: "memory-query" }, "Search by what stands before the place"), query), make("div", { class: "actions" }, make("button", { type: "submit", class: "primary" }, "Search"))),
        hits,
      ),
      make(
        "form",
        { on: submit(add) },
        make("div", { class: "field" }, make("label", { for: "memory-name" }, "Name of a document to add"), name),
        make("div", { class: "field" }, make("label", { for: "memory-text" }, "Its text"), text),
        make("div", { class: "actions" }, make("button", { type: "submit" }, "Add")),
        added,
      ),
    ),
  );
  await showFacts(card, facts);
}

/** @param {any} card */
const path = (card) => `/v1/memory/${encodeURIComponent(card.name)}`;

/** @param {any} card @param {HTMLElement} place */
async function showFacts(card, place) {
  try {
    const now = (await askJson(`/v1/runs/${encodeURIComponent(card.name)}`)).card;
    if (now.memory === null) {
      place.replaceChildren(make("p", { class: "note" }, "It has no long-term memory yet, and reads its own text alone. Add a document to begin one."));
      return;
    }
    const info = await askJson(path(card));
    const figures = [["Entries", `${count(info.entries)} of at most ${count(info.capacity)}`], ["Documents", count(info.documents.length)], ["On disk", `${short(info.bytes)}B`], ["Searched by", info.backend]];
    if (info.recall !== null) figures.push([`Recall at ${info.recall_at}`, `${(100 * info.recall).toFixed(0)}%`]);
    place.replaceChildren(
      make("dl", { class: "facts" }, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
      make("details", {}, make("summary", {}, "Documents"), make("ul", { class: "documents" }, ...info.documents.map((/** @type {any} */ one) => make("li", {}, make("b", {}, one.name), ` ${count(one.entries)} entries, ${count(one.tokens)} tokens`)))),
    );
  } catch (error) {
    place.replaceChildren();
    showError(place, error);
  }
}

/** @param {any[]} found @param {(id: number, row: HTMLElement) => void} remove */
function hitList(found, remove) {
  return make(
    "ul",
    { class: "hit-list" },
    ...found.map((hit) => {
      const row = make(
        "li",
        {},
        make("p", { class: "entry-text mono" }, make("span", {}, inline(hit.before)), make("mark", {}, visible(hit.value)), make("span", {}, inline(hit.after))),
        make("p", { class: "note" }, `${hit.document}, place ${hit.position} · age ${hit.age}${hit.distance === null ? "" : ` · distance ${hit.distance.toPrecision(3)}`}`),
      );
      row.append(forgetButton(hit.id, row, remove));
      return row;
    }),
  );
}

/**
 * A button that asks before an entry is forgotten, in its own place.
 * @param {number} id @param {HTMLElement} row @param {(id: number, row: HTMLElement) => void} remove
 */
function forgetButton(id, row, remove) {
  const place = make("div", { class: "forget" });
  const keep = () => {
    place.replaceChildren(begin);
    begin.focus();
  };
  const ask = () => {
    const stay = make("button", { type: "button", on: { click: keep } }, "Keep");
    const go = make("button", { type: "button", class: "grave", "aria-label": `Forget entry ${id} for good`, on: { click: () => remove(id, row) } }, "Forget");
    const question = make("div", { role: "group", "aria-label": `Forget entry ${id} for good?`, on: { keydown: (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && keep() } }, make("span", {}, "For good?"), stay, go);
    place.replaceChildren(question);
    stay.focus();
  };
  const begin = make("button", { type: "button", "aria-label": `Forget entry ${id}`, on: { click: ask } }, "Forget");
  place.append(begin);
  return place;
}
