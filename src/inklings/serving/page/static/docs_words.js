// What the API's description says of a value, in words, and an example of a request to each route.

import { make } from "./elements.js";

const BEYOND_WORDS = 2 ** 31; // limits from here on are those of the number's kind, not of the field

/**
 * A command that can be pasted into a shell.
 * @param {import("./docs.js").Description} description @param {string} method @param {string} path @param {any} operation
 * @param {{model: string, origin: string}} here a model that is served, and the address of the server
 */
export function command(description, method, path, operation, { model, origin }) {
  const address = quoted(origin + path.replaceAll("{model}", encodeURIComponent(model)));
  const open = Array.isArray(operation.security) && operation.security.length === 0;
  const key = description.security && !open ? ' \\\n  -H "Authorization: Bearer $INKLINGS_API_KEY"' : "";
  const schema = operation.requestBody?.content["application/json"].schema;
  if (schema === undefined) return `curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${address}${key}`;
  const body = JSON.stringify(bodyOf(description, schema, model));
  return `curl ${address}${key} \\\n  -H 'Content-Type: application/json' \\\n  -d ${quoted(body)}`;
}

/** What a shell takes as one word. @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Every field that is needed, and those that have an example worth showing. @param {any} description @param {any} schema @param {string} model */
function bodyOf(description, schema, model) {
  const form = formOf(description, schema);
  const shown = Object.entries(form.properties).filter(([name, one]) => (form.required ?? []).includes(name) || isTelling(one.examples?.[0]));
  return Object.fromEntries(shown.map(([name, one]) => [name, name === "model" ? model : valueOf(description, one)]));
}

/** @param {any} description @param {any} schema */
const formOf = (description, schema) => (schema.$ref ? description.components.schemas[schema.$ref.split("/").pop()] : schema);

/** @param {any} example */
const isTelling = (example) => example !== undefined && example !== null && Object.keys(Object(example)).length > 0;

/** A value that a schema allows. @param {any} description @param {any} given @returns {any} */
function valueOf(description, given) {
  const schema = formOf(description, given);
  if (schema.examples?.length) return schema.examples[0];
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return valueOf(description, schema.anyOf[0]);
  if (schema.type === "array") return [valueOf(description, schema.items)];
  if (schema.type === "integer" || schema.type === "number") return schema.minimum ?? 1;
  if (schema.type === "boolean") return true;
  if (schema.type !== "object") return "A";
  return Object.fromEntries((schema.required ?? []).map((/** @type {string} */ name) => [name, valueOf(description, schema.properties[name])]));
}

/** What a value may be; forms with a name are links to it. @param {any} schema @returns {(Node|string)[]} */
export function typeOf(schema) {
  if (schema.$ref) return [linkTo(schema.$ref.split("/").pop())];
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return either.flatMap((/** @type {any} */ one, /** @type {number} */ at) => (at ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (schema.enum) return [schema.enum.map((/** @type {any} */ one) => JSON.stringify(one)).join(" or ")];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items ?? {})];
  if (typeof schema.additionalProperties === "object") return ["object of ", ...typeOf(schema.additionalProperties)];
  return [(schema.type ?? "anything") + limits(schema)];
}

/** @param {string} name */
const linkTo = (name) => make("a", { href: `#form-${name}` }, name);

/** @param {any} schema */
function limits(schema) {
  const within = (/** @type {number|undefined} */ value) => value !== undefined && Math.abs(value) < BEYOND_WORDS;
  const said = [
    within(schema.minimum) ? `from ${schema.minimum}` : null,
    within(schema.exclusiveMinimum) ? `above ${schema.exclusiveMinimum}` : null,
    within(schema.maximum) ? `to ${schema.maximum}` : null,
    within(schema.maxLength) ? `of at most ${schema.maxLength} characters` : null,
  ].filter((part) => part !== null);
  return said.length ? `, ${said.join(" ")}` : "";
}
