// The smallest server around llama.cpp: node llama_cpp_server.mjs FILE SEQUENCES THREADS NODE_FOLDER
// It takes what serving_client.py sends and streams one event a token, as OpenAI's API does. The rows of all requests are
// one batch, by node-llama-cpp. It prints {"url": ...} when it listens. GET /decode?rows=64&steps=100 makes bare passes.
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [file, sequences, threads, folder] = process.argv.slice(2);
const where = createRequire(join(folder, "package.json")).resolve("node-llama-cpp");
const { getLlama, LlamaLogLevel } = await import(pathToFileURL(where));
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: Number(threads) });
const model = await llama.loadModel({ modelPath: file });
const context = await model.createContext({
    sequences: Number(sequences),
    contextSize: model.trainContextSize,
    threads: Number(threads),
});
const free = Array.from({ length: Number(sequences) }, () => context.getSequence());

async function answer(body, response) {
    const sequence = free.pop();
    response.writeHead(200, { "content-type": "text/event-stream", connection: "close" });
    let count = 0;
    const prompt = [model.tokens.bos, ...model.tokenize(body.prompt, false)];
    const settings = { temperature: body.temperature, seed: body.seed, yieldEogToken: true };
    for await (const token of sequence.evaluate(prompt, settings)) {
        response.write(`data: ${JSON.stringify({ choices: [{ text: model.detokenize([token]) }] })}\n\n`);
        if (++count === body.max_tokens) break;
    }
    await sequence.clearHistory();
    free.push(sequence);
    response.end(`data: {"usage":{"completion_tokens":${count}}}\n\ndata: [DONE]\n\n`);
}

// what llama.cpp itself takes: a pass of one token a row, nothing sampled, nothing sent
async function decode(rows, steps) {
    const bare = context._ctx;
    const tokens = Uint32Array.of(model.tokens.bos), wanted = Uint32Array.of(0);
    for (let step = 0; step < steps; step++) {
        bare.initBatch(rows);
        for (let row = 0; row < rows; row++) bare.addToBatch(row, step, tokens, wanted);
        await bare.decodeBatch();
    }
    for (let row = 0; row < rows; row++) bare.disposeSequence(row);
}

const server = createServer(async (request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname === "/decode") {
        await decode(Number(url.searchParams.get("rows")), Number(url.searchParams.get("steps")));
        response.end();
        return;
    }
    let body = "";
    for await (const part of request) body += part;
    await answer(JSON.parse(body), response);
});
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ url: `http://127.0.0.1:${server.address().port}` })));
