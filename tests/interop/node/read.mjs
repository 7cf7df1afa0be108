// What llama.cpp makes of a GGUF file: node read.mjs FILE QUESTIONS.json ANSWERS.json
// QUESTIONS: {rows: [[token]], greedy: [{prompt: [token], count}], lines: [text]}
// ANSWERS: {bos, eos, addsBos, context, logProbabilities: [[[number]]], greedy: [[token]], tokens: [[token]],
// pieces: [text], texts: [text]}, where pieces are of one token after the other
import { readFileSync, writeFileSync } from "node:fs";
import { getLlama, LlamaLogLevel } from "node-llama-cpp";

const [file, questions, answers] = process.argv.slice(2);
const { rows = [], greedy = [], lines = [] } = JSON.parse(readFileSync(questions, "utf8"));
// the prebuilt binary alone: nothing is built or fetched
const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: file });
const longest = Math.max(1, ...rows.map((row) => row.length), ...greedy.map((one) => one.prompt.length + one.count));
const context = await model.createContext({
    contextSize: longest + 8,
    threads: 1,
    flashAttention: false,
    experimentalKvCacheKeyType: "F32",
    experimentalKvCacheValueType: "F32",
});
const sequence = context.getSequence();

const logProbabilities = [];
for (const row of rows) {
    await sequence.clearHistory();
    const asked = row.map((token) => [token, { generateNext: { probabilities: true } }]);
    const found = await sequence.controlledEvaluate(asked);
    logProbabilities.push(
        found.map(({ next }) => {
            const line = new Array(next.probabilities.size);
            for (const [token, probability] of next.probabilities) line[token] = Math.log(probability);
            return line;
        }),
    );
}

const written = [];
for (const { prompt, count } of greedy) {
    await sequence.clearHistory();
    const tokens = [];
    // a text goes on across the end of a document
    for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
        if (tokens.push(token) === count) break;
    }
    written.push(tokens);
}

const tokens = lines.map((line) => model.tokenize(line, false));
writeFileSync(
    answers,
    JSON.stringify({
        bos: model.tokens.bos,
        eos: model.tokens.eos,
        addsBos: model.tokens.shouldPrependBosToken,
        context: model.trainContextSize,
        logProbabilities,
        greedy: written,
        tokens,
        pieces: tokens.map((line) => line.map((token) => model.detokenize([token], true)).join("")),
        texts: tokens.map((line) => model.detokenize(line, true)),
    }),
);
await llama.dispose();
