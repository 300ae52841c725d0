"use strict";

(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const options = read("chart-options");
  const charts = [...document.querySelectorAll(".chart")];
  // Scrolling with a finger must not zoom a chart.
  const touch = matchMedia("(pointer: coarse)").matches;

  for (const chart of charts) {
    const figure = read(`${chart.id}-figure`);
    if (touch) figure.layout.dragmode = false;
    Plotly.newPlot(chart, figure.data, figure.layout, options);
  }

  // A printed page is narrower than most windows: without resizing, charts would be cut off.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printed");
    for (const chart of charts) Plotly.relayout(chart, { width: chart.clientWidth, autosize: false });
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printed");
    for (const chart of charts) Plotly.relayout(chart, { width: null, autosize: true });
  });
})();
