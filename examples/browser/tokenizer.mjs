/** Text to tokens and back, for vocabularies of characters and of bytes, from tokenizer.json. */
export class Tokenizer {
  /**
   * @param {object} file what tokenizer.json holds
   * @param {number} boundary the token that opens every text and, written, ends it
   */
  constructor(file, boundary) {
    if (file.model.type !== "BPE" || file.model.merges.length > 0) {
      throw new Error(
        "this page reads vocabularies of characters and of bytes. Train with --tokenizer char,"
        + " char+bytes or byte.",
      );
    }
    this.boundary = boundary;
    this.ids = new Map(Object.entries(file.model.vocab));
    this.ofBytes = file.decoder?.type === "ByteLevel";
    const names = this.ofBytes ? namesOfBytes() : namesOfFallback();
    this.byteIds = names.map((name) => this.ids.get(name));
    this.bytes = new Map();
    const utf8 = new TextEncoder();
    for (const [name, id] of this.ids) this.bytes.set(id, [...utf8.encode(name)]);
    this.byteIds.forEach((id, byte) => { if (id !== undefined) this.bytes.set(id, [byte]); });
    this.bytes.set(boundary, []);
  }

  /** Return the tokens of a text, the boundary in front. */
  encode(text) {
    const tokens = [this.boundary];
    for (const character of text) {
      const whole = this.ofBytes ? undefined : this.ids.get(character);
      const spelled = [...new TextEncoder().encode(character)].map((byte) => this.byteIds[byte]);
      const found = whole === undefined ? spelled : [whole];
      if (found.includes(undefined)) {
        throw new Error(`The vocabulary lacks ${JSON.stringify(character)}.`);
      }
      tokens.push(...found);
    }
    return tokens;
  }

  /** Return a function that gives the text that each token adds; half a character waits. */
  decoder() {
    const utf8 = new TextDecoder();
    return (token) => utf8.decode(new Uint8Array(this.bytes.get(token)), { stream: true });
  }
}

/** The character that byte-level vocabularies write for each byte (GPT-2, 2019). */
function namesOfBytes() {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(printable ? byte : next++);
  });
}

/** What vocabularies of characters that fall back on bytes write for each. */
function namesOfFallback() {
  return Array.from(
    { length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
  );
}
