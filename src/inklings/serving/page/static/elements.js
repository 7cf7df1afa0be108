// Making elements, and saying figures in the manner of the page.

/**
 * An element. `on` holds listeners, `style` properties that are set from the script (the content policy allows no others),
 * `dataset` data attributes; everything else is an attribute, left out where it is null or false.
 * @param {string} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node|string|null)} children
 * @returns {HTMLElement}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "style") for (const [property, text] of Object.entries(value)) element.style.setProperty(property, text);
    else if (name === "dataset") Object.assign(element.dataset, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The element of an id. @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** `12,886`. @param {number} number */
export const count = (number) => number.toLocaleString("en");

/** `1.2M`, `152k`. @param {number} number */
export function short(number) {
  for (const [size, letter] of /** @type {[number, string][]} */ ([[1e9, "B"], [1e6, "M"], [1e3, "k"]])) {
    if (number >= size) return `${+(number / size).toPrecision(3)}${letter}`;
  }
  return String(number);
}

/** `12.3%`, with more digits for small ones. @param {number} share */
export function percent(share) {
  const value = 100 * share;
  if (value >= 99.95) return "100%";
  return value >= 0.1 ? `${value.toFixed(1)}%` : value >= 0.001 ? `${value.toFixed(3)}%` : "<0.001%";
}

/** A token so that blanks and line ends can be seen. @param {string} text */
export const visible = (text) => text.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replace(/^ +| +$/g, (blanks) => "␣".repeat(blanks.length)) || "∅";

/** Whether a token is a mark of the tokenizer's rather than text. @param {string} text */
export const isMark = (text) => /^<\|[^|]*\|>$/.test(text);

/** Text in a line of other text: without line ends. @param {string} text */
export const inline = (text) => text.replaceAll("\n", "⏎");

/** `0.43`; a minus sign that is one. @param {number} value @param {number} [digits] */
export const decimal = (value, digits = 2) => value.toFixed(digits).replace("-", "−");

/** Tell a screen reader what has just come to its end. @param {string} text */
export function announce(text) {
  byId("announce").textContent = text;
}
