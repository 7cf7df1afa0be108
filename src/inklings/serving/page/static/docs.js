// The description of the API as a page: every route, its fields, what it answers, and an example that can be pasted.

import { askJson, listenForKey } from "./api.js";
import { byId, make } from "./elements.js";
import { command, typeOf } from "./docs_words.js";

/** @typedef {{components: {schemas: Record<string, any>}, paths: Record<string, Record<string, any>>, info: any, security?: any}} Description */

const ANCHOR = /[^a-z0-9]+/g;

/** @param {string} method @param {string} path */
const idOf = (method, path) => `${method}${path}`.toLowerCase().replace(ANCHOR, "-");

/** Text with `code` in it. @param {string} text @returns {(Node|string)[]} */
const inCode = (text) => text.split("`").map((part, at) => (at % 2 ? make("code", {}, part) : part));

/** Paragraphs and fenced blocks of code. @param {string|undefined} text */
function prose(text) {
  if (!text) return null;
  const parts = text.split(/^```.*$/m);
  const blocks = parts.flatMap((part, at) => (at % 2 ? [make("pre", {}, part.trim())] : part.split(/\n\s*\n/).map((one) => one.trim()).filter(Boolean).map((one) => make("p", {}, ...inCode(one)))));
  return make("div", { class: "prose" }, ...blocks);
}

/** @param {string} title @param {[string, boolean, any, string][]} rows name, whether it is needed, schema, description */
function fields(title, rows) {
  if (!rows.length) return null;
  const row = ([name, needed, schema, said]) => make("tr", {}, make("td", {}, make("code", {}, name), needed ? " needed" : ""), make("td", {}, ...typeOf(schema)), make("td", {}, ...inCode(said ?? "")));
  return make(
    "div",
    {},
    make("h4", {}, title),
    make("div", { class: "fields" }, make("table", {}, make("thead", {}, make("tr", {}, ...["Field", "What it is", "What it does"].map((name) => make("th", { scope: "col" }, name)))), make("tbody", {}, ...rows.map(row)))),
  );
}

/** @param {any} schema @returns {[string, boolean, any, string][]} */
const rowsOf = (schema) => Object.entries(schema.properties ?? {}).map(([name, one]) => [name, (schema.required ?? []).includes(name), one, one.description]);

/** @param {Description} description @param {string} method @param {string} path @param {any} operation @param {string} model */
function route(description, method, path, operation, model) {
  const body = operation.requestBody?.content["application/json"].schema;
  const given = body && description.components.schemas[body.$ref.split("/").pop()];
  const parameters = (operation.parameters ?? []).map((/** @type {any} */ one) => [one.name, one.required, one.schema, one.description]);
  const answers = Object.entries(operation.responses).map(([status, one]) => {
    const schema = one.content?.["application/json"]?.schema;
    return make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, ...(schema ? typeOf(schema) : [Object.keys(one.content ?? {}).join(", ")])), make("td", {}, ...inCode(one.description)));
  });
  return make(
    "article",
    { class: "route", id: idOf(method, path) },
    make("h3", {}, make("code", {}, `${method.toUpperCase()} ${path}`)),
    make("p", {}, `${operation.summary}.`),
    prose(operation.description),
    fields("In the address", parameters),
    given ? fields("In the body", rowsOf(given)) : null,
    make("h4", {}, "Example"),
    make("pre", { class: "example" }, command(description, method, path, operation, { model, origin: location.origin })),
    make("details", {}, make("summary", {}, "Answers"), make("div", { class: "fields" }, make("table", {}, make("tbody", {}, ...answers)))),
  );
}

/** @param {Description} description @param {string} model */
function draw(description, model) {
  const all = Object.entries(description.paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, operation]) => ({ path, method, operation })));
  const groups = [...new Set(all.map(({ operation }) => operation.tags[0]))];
  const forms = Object.entries(description.components.schemas).map(([name, schema]) =>
    make("article", { class: "form", id: `form-${name}` }, make("h3", {}, make("code", {}, name)), prose(schema.description), fields("Fields", rowsOf(schema))),
  );
  byId("work").replaceChildren(
    make("section", {}, make("h2", {}, "What this server answers"), prose(description.info.description)),
    make("nav", { "aria-label": "Routes" }, make("ul", { class: "contents" }, ...all.map(({ method, path, operation }) => make("li", {}, make("a", { href: `#${idOf(method, path)}` }, make("code", {}, `${method.toUpperCase()} ${path}`)), ` ${operation.summary}`)))),
    ...groups.map((group) => make("section", {}, make("h2", {}, group[0].toUpperCase() + group.slice(1)), ...all.filter(({ operation }) => operation.tags[0] === group).map(({ method, path, operation }) => route(description, method, path, operation, model)))),
    make("section", {}, make("h2", {}, "Forms of what is sent and answered"), ...forms),
  );
}

async function open() {
  try {
    const [description, models] = [await askJson("/openapi.json"), await askJson("/v1/models")];
    draw(description, models.data[0].id);
  } catch (error) {
    byId("trouble").hidden = !byId("key-form").hidden;
    byId("trouble").textContent = /** @type {Error} */ (error).message;
    return;
  }
  byId("key-form").hidden = true;
  byId("trouble").hidden = true;
  document.body.dataset.ready = "yes";
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

listenForKey(open);
open();
