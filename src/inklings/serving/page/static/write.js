// Writing: texts stream in, side by side where two models are compared.

import { askJson, stream } from "./api.js";
import { askedOf, branchEffect, makeColumn, setColumns, setStats, showError } from "./columns.js";
import { announce, count, make } from "./elements.js";
import { Joiner, withoutEnd } from "./joining.js";
import { completionBody, readBranches } from "./settings.js";
import { appendTokens, tokenPlace, tokenSpan } from "./tokens.js";

const ENDINGS = { stop: "ended by the model", length: "token limit reached" };
const encoder = new TextEncoder();

/** @type {AbortController|null} */
let running = null;

/** Stop what is being written; what is there stays. */
export function stopWriting() {
  running?.abort();
}

/**
 * Have the chosen models write.
 * @param {import("./settings.js").Settings} settings @param {any[]} cards
 * @param {{goOn: (prompt: string) => void, edit: (prompt: string) => void}} actions what the buttons below a text do
 */
export async function write(settings, cards, actions) {
  stopWriting();
  const controller = new AbortController();
  running = controller;
  const asked = askedOf(settings, cards);
  const columns = asked.map((one) => new Column(one, settings, actions));
  setColumns("written", columns.map((column) => column.parts.article));
  await Promise.all(columns.map((column) => column.run(controller.signal)));
  if (running === controller) running = null;
}

/** One model's texts. */
class Column {
  /** @param {import("./columns.js").Asked} asked @param {import("./settings.js").Settings} settings @param {{goOn: (prompt: string) => void, edit: (prompt: string) => void}} actions */
  constructor(asked, settings, actions) {
    this.asked = asked;
    this.settings = settings;
    this.prompt = asked.card.predicts ? settings.prompt : "";
    this.parts = makeColumn(asked);
    this.parts.body.classList.toggle("many", settings.n > 1);
    this.actionsOfText = asked.card.predicts ? actions : null;
    /** @type {Map<number, Text>} */
    this.texts = new Map();
    this.tokens = 0;
    this.bytes = 0;
    this.began = 0;
    this.seconds = 0;
    this.showStats();
  }

  /** @param {AbortSignal} signal */
  async run(signal) {
    try {
      const body = completionBody(this.settings, this.asked.card, this.prompt, this.asked.branches);
      // some texts can come to their end before others begin: each has its place from the start
      for (let index = 0; index < this.settings.n; index += 1) this.text(index);
      for await (const event of stream("/v1/completions", body, signal)) {
        for (const choice of event.choices) this.take(withoutEnd(choice));
        this.showStats();
      }
      this.finish();
      await this.showEffect(signal);
    } catch (error) {
      if (signal.aborted) this.finish("stopped");
      else showError(this.parts.body, error);
    }
    this.parts.article.setAttribute("aria-busy", "false");
  }

  /** @param {number} index @returns {Text} */
  text(index) {
    let text = this.texts.get(index);
    if (text === undefined) {
      text = new Text(this.prompt, this.settings.n > 1 ? `${this.asked.card.name}, text ${index + 1}` : this.asked.card.name);
      this.texts.set(index, text);
      this.parts.body.append(text.element);
    }
    return text;
  }

  /** @param {any} choice */
  take(choice) {
    if (this.began === 0) this.began = performance.now();
    this.seconds = (performance.now() - this.began) / 1000;
    const text = this.text(choice.index);
    this.tokens += choice.logprobs?.token_logprobs.length ?? 0;
    this.bytes += encoder.encode(choice.text).length;
    text.take(choice);
    if (choice.finish_reason) text.end(this.ending(choice.finish_reason), this.actionsOfText);
  }

  /** @param {"stop"|"length"} reason */
  ending(reason) {
    return reason === "stop" && this.settings.stop !== "" ? "ended, by the model or where it was to stop" : ENDINGS[reason];
  }

  showStats() {
    const first = this.texts.size ? [...this.texts.values()][0] : null;
    /** @type {[string, string][]} */
    const figures = [];
    if (this.asked.card.predicts) {
      figures.push(["tokens", count(this.tokens)]);
      // the first token ends the wait for the prompt; the rate is that of the others
      figures.push(["tokens/s", this.seconds > 0.05 && this.tokens > 1 ? count(Math.round((this.tokens - 1) / this.seconds)) : "–"]);
    } else if (first !== null) {
      figures.push(["texts", count(this.texts.size)], ["bytes", count(this.bytes)]);
    }
    setStats(this.parts.stats, figures);
  }

  /** @param {string} [how] */
  finish(how) {
    for (const text of this.texts.values()) if (!text.ended) text.end(how ?? "ended", this.actionsOfText);
    const texts = [...this.texts.values()].map((text) => text.written).join("\n");
    announce(`${this.asked.card.name} ${how ?? "has finished"}, ${count(this.tokens)} tokens: ${texts}`);
  }

  /** Where branches were changed: what that does to the text, against the whole model. @param {AbortSignal} signal */
  async showEffect(signal) {
    const { card, branches } = this.asked;
    const factors = readBranches(branches);
    const texts = [...this.texts.values()].map((text) => this.prompt + text.written).filter((text) => text !== "");
    if (!Object.keys(factors).length || !card.branches.length || !texts.length) return;
    const body = { model: card.name, input: texts };
    const [altered, whole] = await Promise.all([askJson("/v1/score", { body: { ...body, branches: factors }, signal }), askJson("/v1/score", { body, signal })]);
    this.parts.body.append(make("p", { class: "effect" }, branchEffect(altered.data, whole.data)));
  }
}

/** One text as it grows. */
class Text {
  /** @param {string} prompt @param {string} label */
  constructor(prompt, label) {
    this.prompt = prompt;
    this.joiner = new Joiner();
    this.written = "";
    this.ended = false;
    this.place = tokenPlace(`Tokens of ${label}`);
    this.place.dataset.goesOn = "yes";
    this.place.dataset.prompt = prompt;
    if (prompt) this.place.append(make("span", { class: "given" }, prompt));
    this.element = make("div", { class: "text" }, this.place);
  }

  /** @param {any} choice */
  take(choice) {
    this.written += choice.text;
    const tokens = this.joiner.take(choice);
    appendTokens(this.place, tokens.map(tokenSpan));
    if (!choice.logprobs) this.place.append(this.joiner.rest());
  }

  /** @param {string} how @param {{goOn: (prompt: string) => void, edit: (prompt: string) => void}|null} actions */
  end(how, actions) {
    this.ended = true;
    const rest = this.joiner.rest();
    if (rest) this.place.append(rest);
    const whole = this.prompt + this.written;
    if (actions === null) return; // a text out of noise is whole as it is
    const buttons = [
      make("button", { type: "button", on: { click: () => actions.goOn(whole) } }, "Continue"),
      make("button", { type: "button", on: { click: () => actions.edit(whole) } }, "Edit"),
    ];
    this.element.append(make("p", { class: "ending" }, make("span", {}, how), ...buttons));
  }
}
