// node make_page.mjs FOLDER PAGE: make one HTML file that writes with an exported model.
//
// FOLDER is what `inklings export RUN --to onnx FOLDER` wrote. A page that is opened as a file may
// load nothing beside it, so all that it needs is in it: onnxruntime-web, the model, the code.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { Tokenizer } from "./tokenizer.mjs";

const HERE = dirname(fileURLToPath(import.meta.url));
const RUNTIME = join(HERE, "node_modules", "onnxruntime-web", "dist");

/** Stop with one message. */
function refuse(message) {
  console.error(`make_page: ${message}`);
  process.exit(2);
}

function read(path, otherwise) {
  try {
    return readFileSync(path);
  } catch {
    return refuse(otherwise);
  }
}

const [folder, page] = process.argv.slice(2);
if (page === undefined) refuse("node make_page.mjs FOLDER PAGE, as in exported/mine mine.html");
const exported = (name) =>
  read(join(folder, name), `there is no ${name} in ${folder}. inklings export RUN --to onnx ${folder}`);
const installed = (name) =>
  read(join(RUNTIME, name), `onnxruntime-web is not installed. npm install --prefix ${HERE}`);

const stream = exported("stream.json");
const tokenizer = exported("tokenizer.json");
try {
  new Tokenizer(JSON.parse(tokenizer), JSON.parse(stream).boundary);
} catch (error) {
  refuse(error.message);
}
const files = {
  "onnxruntime": installed("ort.wasm.bundle.min.mjs"),
  "wasm": installed("ort-wasm-simd-threaded.wasm"),
  "tokenizer.mjs": readFileSync(join(HERE, "tokenizer.mjs")),
  "writer.mjs": readFileSync(join(HERE, "writer.mjs")),
  "model.onnx": exported("model.onnx"),
  "stream.json": stream,
  "tokenizer.json": tokenizer,
  "about.json": Buffer.from(JSON.stringify({ title: basename(resolve(folder)) })),
};
const packed = Object.fromEntries(
  Object.entries(files).map(([name, bytes]) => [name, gzipSync(bytes).toString("base64")]),
);
const template = readFileSync(join(HERE, "page.html"), "utf-8");
const unfinished = `${page}.unfinished`;
writeFileSync(unfinished, template.replace("FILES", () => JSON.stringify(packed)));
renameSync(unfinished, page);
console.log(`${page}: open it in a browser, by a double click`);
