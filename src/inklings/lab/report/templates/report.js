// Draws the figures: one embedded chart each, drawn anew when a control or the colour scheme changes.
"use strict";
(() => {
  const { specs, datasets, themes } = JSON.parse(document.getElementById("report-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const chosen = {};
  const views = {};
  const drawing = {};
  let focus = null;

  for (const control of document.querySelectorAll("[data-control]")) {
    chosen[control.dataset.control] = control.querySelector("[data-option]").dataset.option;
  }

  const names = (value, found = new Set()) => {
    if (Array.isArray(value)) value.forEach((item) => names(item, found));
    else if (value && typeof value === "object") {
      if (value.data && value.data.name) found.add(value.data.name);
      Object.values(value).forEach((item) => names(item, found));
    }
    return found;
  };

  const drawNow = async (figure) => {
    const name = figure.dataset.figure;
    const key = [...figure.querySelectorAll("[data-control]")].map((control) => chosen[control.dataset.control]).join(" ");
    const spec = structuredClone(specs[name][key]);
    // what the chart is called where it cannot be seen: without it Vega says "Vega visualization"
    spec.description = figure.querySelector("h3").textContent;
    spec.datasets = Object.fromEntries([...names(spec)].map((data) => [data, datasets[data]]));
    const options = {
      mode: "vega-lite", actions: false, renderer: "svg", config: themes[dark.matches ? "dark" : "light"],
      tooltip: { theme: dark.matches ? "dark" : "light" },
    };
    views[name]?.finalize();
    views[name] = await vegaEmbed(figure.querySelector(".chart"), spec, options);
    views[name].view.signal("focus", focus).run();
  };

  // one drawing of a figure after the other: the last one shows what was chosen last
  const draw = (figure) => (drawing[figure.dataset.figure] = (drawing[figure.dataset.figure] ?? Promise.resolve()).then(() => drawNow(figure)));

  const drawAll = () => Promise.all([...document.querySelectorAll("[data-figure]")].map(draw));

  for (const button of document.querySelectorAll("[data-option]")) {
    button.addEventListener("click", () => {
      const control = button.closest("[data-control]").dataset.control;
      chosen[control] = button.dataset.option;
      for (const group of document.querySelectorAll(`[data-control="${control}"]`)) {
        for (const other of group.querySelectorAll("[data-option]")) {
          other.setAttribute("aria-pressed", String(other.dataset.option === chosen[control]));
        }
        draw(group.closest("[data-figure]"));
      }
    });
  }

  for (const button of document.querySelectorAll("[data-arm]")) {
    button.addEventListener("click", () => {
      focus = focus === button.dataset.arm ? null : button.dataset.arm;
      for (const other of document.querySelectorAll("[data-arm]")) {
        other.setAttribute("aria-pressed", String(other.dataset.arm === focus));
      }
      for (const { view } of Object.values(views)) view.signal("focus", focus).run();
    });
  }

  dark.addEventListener("change", drawAll);
  drawAll();
})();
