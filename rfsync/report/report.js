"use strict";

(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const options = read("chart-options");
  const charts = [...document.querySelectorAll(".chart")];
  // A thumb that scrolls the page must not zoom a chart.
  const touched = matchMedia("(pointer: coarse)").matches;

  for (const chart of charts) {
    const figure = read(`${chart.id}-figure`);
    if (touched) figure.layout.dragmode = false;
    Plotly.newPlot(chart, figure.data, figure.layout, options);
  }

  // A printed page is narrower than most windows, and what is drawn for a window would be cut.
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printed");
    for (const chart of charts) Plotly.relayout(chart, { width: chart.clientWidth, autosize: false });
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printed");
    for (const chart of charts) Plotly.relayout(chart, { width: null, autosize: true });
  });
})();
