// A chat with history and its stream, by OpenAI's client: node chat.mjs BASE_URL KEY. Prints what it understood as JSON.

import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const settings = { model: "gpt", max_completion_tokens: 12, seed: 3 };

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const messages = [{ role: "system", content: "S" }, { role: "user", content: "U" }];
const first = await client.chat.completions.create({ ...settings, messages });
messages.push(first.choices[0].message, { role: "user", content: "V" });
const second = await client.chat.completions.create({ ...settings, messages });

let streamed = "";
let usage = null;
for await (const part of await client.chat.completions.create({ ...settings, messages, stream: true, stream_options: { include_usage: true } })) {
  streamed += part.choices[0]?.delta.content ?? "";
  usage = part.usage ?? usage;
}

let refused = null;
try {
  await client.chat.completions.create({ ...settings, messages, temperature: -1 });
} catch (error) {
  refused = { kind: error.constructor.name, status: error.status, param: error.param };
}

console.log(JSON.stringify({ models, first: first.choices[0].message.content, second: second.choices[0].message.content, streamed, usage, whole: second.usage, refused }));
