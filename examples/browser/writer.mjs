/** An exported model that writes token by token: the graph, and the state that it hands on. */
export class Writer {
  /**
   * @param {object} ort onnxruntime-web
   * @param {object} session of model.onnx
   * @param {object} stream what stream.json holds
   */
  constructor(ort, session, stream) {
    Object.assign(this, { ort, session, stream });
    this.restart();
  }

  /** Forget all that was read: the state before the first token of one text. */
  restart() {
    const arrays = { float32: Float32Array, int64: BigInt64Array };
    this.state = Object.fromEntries(this.stream.state.map(({ name, shape, dtype, fill }) => {
      const size = shape.reduce((product, length) => product * length, 1);
      const numbers = new arrays[dtype](size).fill(dtype === "int64" ? BigInt(fill) : fill);
      return [name, new this.ort.Tensor(dtype, numbers, [1, ...shape])];
    }));
  }

  /** Read tokens; return the logits of the token after the last. */
  async read(tokens) {
    const given = new this.ort.Tensor(
      "int64", BigInt64Array.from(tokens, BigInt), [1, tokens.length],
    );
    const found = await this.session.run({ tokens: given, ...this.state });
    for (const { name, after } of this.stream.state) this.state[name] = found[after];
    return found.logits.data.slice(-this.stream.vocab_size);
  }

  /**
   * Give one token after the other, until the text ends or `most` are written.
   *
   * @param {number[]} tokens what the text begins with, the boundary in front
   * @param {number} temperature 0 takes the most likely token
   * @param {number} most tokens
   */
  async* write(tokens, temperature, most) {
    this.restart();
    let logits = await this.read(tokens);
    for (let written = 0; written < most; written++) {
      const token = draw(logits, temperature);
      if (token === this.stream.boundary) return;
      yield token;
      logits = await this.read([token]);
    }
  }
}

/** Draw a token by its probability at a temperature. */
function draw(logits, temperature) {
  const largest = Math.max(...logits);
  if (temperature === 0) return logits.indexOf(largest);
  const weights = Array.from(logits, (logit) => Math.exp((logit - largest) / temperature));
  let left = Math.random() * weights.reduce((sum, weight) => sum + weight, 0);
  const found = weights.findIndex((weight) => (left -= weight) < 0);
  return found < 0 ? logits.indexOf(largest) : found;
}
