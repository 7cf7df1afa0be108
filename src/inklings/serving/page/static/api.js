// Asking the server: the key, errors in words, and answers that come piece by piece.

import { byId } from "./elements.js";

const KEY = "inklings-key";

/** An answer that is none; its message is for people. */
export class ApiError extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Keep the key for this tab. @param {string} key */
const keepKey = (key) => sessionStorage.setItem(KEY, key);

/** Ask for the key where one is wanted, and go on with what is given. @param {() => void} goOn */
export function listenForKey(goOn) {
  document.addEventListener("key-wanted", (event) => {
    byId("key-form").hidden = false;
    byId("trouble").hidden = true;
    if (/** @type {CustomEvent} */ (event).detail) byId("key").setAttribute("aria-invalid", "true");
    byId("key").focus();
  });
  byId("key-form").addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    keepKey(byId("key").value);
    byId("key").value = "";
    goOn();
  });
}

/** Whether a key is in use. */
export const hasKey = () => sessionStorage.getItem(KEY) !== null;

/**
 * One request; announces a missing or wrong key to the page by the event `key-wanted`.
 * @param {string} path
 * @param {{body?: object, signal?: AbortSignal}} [options] with a body it is a POST
 * @returns {Promise<Response>}
 */
export async function ask(path, { body, signal } = {}) {
  const key = sessionStorage.getItem(KEY);
  /** @type {Record<string, string>} */
  const headers = key === null ? {} : { Authorization: `Bearer ${key}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body === undefined ? "GET" : "POST", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new ApiError("The server cannot be reached. Is it still running?", 0);
  }
  if (response.ok) return response;
  if (response.status === 401) document.dispatchEvent(new CustomEvent("key-wanted", { detail: key !== null }));
  let message = `The server answered ${response.status}.`;
  try {
    const content = await response.json();
    message = content.error?.message ?? message;
  } catch {
    // not JSON: the status is all there is to say
  }
  throw new ApiError(message, response.status);
}

/** The JSON of an answer. @param {string} path @param {{body?: object, signal?: AbortSignal}} [options] @returns {Promise<any>} */
export const askJson = async (path, options) => (await ask(path, options)).json();

/**
 * The events of a streamed answer, as they come.
 * @param {string} path @param {object} body @param {AbortSignal} signal
 * @returns {AsyncGenerator<any>}
 */
export async function* stream(path, body, signal) {
  const response = await ask(path, { body, signal });
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new ApiError("The answer was cut off.", 0);
    const events = (waiting + value).split(/\r?\n\r?\n/);
    waiting = /** @type {string} */ (events.pop());
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      if (data === "") continue;
      const content = JSON.parse(data);
      if (content.error) throw new ApiError(content.error.message, 0);
      yield content;
    }
  }
}
