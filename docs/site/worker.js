// A page that is opened from a folder may start no worker in some browsers. There the code of the
// search runs in a hidden frame instead, behind the same three functions.
if (location.protocol === "file:") {
  // as between workers: a copy, and never within the call that sends it
  const later = (data, take) => {
    const copy = structuredClone(data);
    setTimeout(() => take(copy));
  };
  window.Worker = class {
    constructor(url) {
      this.onmessage = this.onerror = null;
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.title = "Search";
      document.body.append(this.frame);
      const inside = this.frame.contentWindow;
      inside.postMessage = (data) => later(data, (copy) => this.onmessage?.({ data: copy }));
      const code = this.frame.contentDocument.createElement("script");
      this.loaded = new Promise((done) => code.addEventListener("load", done));
      code.addEventListener("error", (event) => this.onerror?.(event));
      code.src = url;
      this.frame.contentDocument.body.append(code);
    }

    postMessage(data) {
      later(data, (copy) =>
        this.loaded.then(() => this.frame.contentWindow?.onmessage({ data: copy })),
      );
    }

    terminate() {
      this.frame.remove();
    }
  };
}
