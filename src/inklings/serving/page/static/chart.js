// Learning curves as SVG: lines over tokens, an axis that counts in round numbers, and a readout under the pointer.

import { decimal, make, short } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 220;
const LEFT = 46;
const RIGHT = 12;
const TOP = 10;
const BOTTOM = 34;

/**
 * A line: its name, its points, and whether it stays behind the others.
 * @typedef {{name: string, points: {x: number, y: number}[], quiet?: boolean, colour: number, dots?: boolean}} Line
 */

/**
 * A chart as wide as its place.
 * @param {Line[]} lines
 * @param {{x: string, y: string, label: string}} words what the axes show, and what the whole shows to those who do not see it
 * @returns {HTMLElement}
 */
export function drawChart(lines, words) {
  const readout = make("p", { class: "readout note" }, words.y);
  const figure = make("figure", { class: "chart" });
  const legend = make("p", { class: "chart-legend" }, ...lines.map((line) => make("span", { class: `line-${line.colour}${line.quiet ? " quiet-line" : ""}` }, line.name)));
  const paint = () => {
    const width = Math.max(240, figure.clientWidth);
    figure.querySelector("svg")?.remove();
    figure.append(drawing(lines, words, width, readout));
  };
  figure.append(legend, readout);
  let last = 0;
  new ResizeObserver(() => {
    if (figure.clientWidth !== last && figure.clientWidth > 0) {
      last = figure.clientWidth;
      paint();
    }
  }).observe(figure);
  return figure;
}

/** Round steps between two values. @param {number} low @param {number} high @param {number} most @returns {number[]} */
export function ticks(low, high, most) {
  const span = high - low || 1;
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.max(1, Math.floor(high / step + 1e-9) - first + 1) }, (_, at) => +((first + at) * step).toPrecision(12));
}

/** @param {Line[]} lines @param {{x: string, y: string, label: string}} words @param {number} width @param {HTMLElement} readout */
function drawing(lines, words, width, readout) {
  const points = lines.flatMap((line) => line.points);
  const xs = points.map((point) => point.x);
  const front = lines.filter((line) => !line.quiet).flatMap((line) => line.points);
  const ys = (front.length ? front : points).map((point) => point.y).sort((a, b) => a - b);
  // the first steps of training would press everything else flat
  const all = points.map((point) => point.y).sort((a, b) => a - b);
  const low = Math.min(ys[0], all[0]);
  const high = Math.max(ys[ys.length - 1], all[Math.floor(0.97 * (all.length - 1))]);
  const pad = 0.06 * (high - low || 1);
  const x = scale(0, Math.max(...xs, 1), LEFT, width - RIGHT);
  const y = scale(low - pad, high + pad, HEIGHT - BOTTOM, TOP);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": words.label, width, height: HEIGHT });
  for (const at of ticks(low - pad, high + pad, 4)) {
    svg.append(draw("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: y(at), y2: y(at) }));
    svg.append(text(LEFT - 8, y(at) + 4, "end", String(+at.toFixed(6))));
  }
  for (const at of ticks(0, Math.max(...xs, 1), width < 420 ? 3 : 5)) svg.append(text(x(at), HEIGHT - BOTTOM + 18, at === 0 ? "start" : "middle", short(at)));
  svg.append(text(width - RIGHT, HEIGHT - 2, "end", words.x));
  const clip = (/** @type {number} */ value) => Math.max(TOP, Math.min(HEIGHT - BOTTOM, value));
  for (const line of [...lines].sort((a, b) => Number(b.quiet ?? false) - Number(a.quiet ?? false))) {
    const path = line.points.map((point, at) => `${at ? "L" : "M"}${x(point.x).toFixed(1)} ${clip(y(point.y)).toFixed(1)}`).join("");
    svg.append(draw("path", { class: `curve line-${line.colour}${line.quiet ? " quiet-line" : ""}`, d: path }));
    if (line.dots && line.points.length <= 40) for (const point of line.points) svg.append(draw("circle", { class: `line-${line.colour}`, cx: x(point.x), cy: clip(y(point.y)), r: 2.6 }));
  }
  watch(svg, lines, x, width, readout, words);
  return svg;
}

/** @param {SVGElement} svg @param {Line[]} lines @param {(value: number) => number} x @param {number} width @param {HTMLElement} readout @param {{x: string, y: string}} words */
function watch(svg, lines, x, width, readout, words) {
  const rule = draw("line", { class: "rule", y1: TOP, y2: HEIGHT - BOTTOM, x1: 0, x2: 0 });
  svg.append(rule);
  svg.addEventListener("pointermove", (event) => {
    const at = ((event.clientX - svg.getBoundingClientRect().left) * width) / svg.getBoundingClientRect().width;
    const points = lines.flatMap((line) => line.points);
    if (!points.length) return;
    const nearest = points.reduce((a, b) => (Math.abs(x(b.x) - at) < Math.abs(x(a.x) - at) ? b : a));
    rule.setAttribute("x1", String(x(nearest.x)));
    rule.setAttribute("x2", String(x(nearest.x)));
    const said = lines.filter((line) => line.points.length).map((line) => {
      const own = line.points.reduce((a, b) => (Math.abs(b.x - nearest.x) < Math.abs(a.x - nearest.x) ? b : a));
      return `${line.name} ${decimal(own.y, 3)}`;
    });
    readout.textContent = `${short(nearest.x)} ${words.x}: ${said.join(", ")}`;
  });
  svg.addEventListener("pointerleave", () => {
    rule.setAttribute("x1", "0");
    readout.textContent = words.y;
  });
}

/** @param {number} from @param {number} to @param {number} begin @param {number} end @returns {(value: number) => number} */
const scale = (from, to, begin, end) => (value) => begin + ((value - from) / (to - from || 1)) * (end - begin);

/** @param {string} tag @param {Record<string, string|number>} attributes @returns {SVGElement} */
function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** @param {number} x @param {number} y @param {string} anchor @param {string} said */
function text(x, y, anchor, said) {
  const element = draw("text", { x, y, "text-anchor": anchor });
  element.textContent = said;
  return element;
}
