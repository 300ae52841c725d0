// The query of an address, encoded as the server encodes it.
const toSearch = (parameters) => {
  const query = parameters.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return query ? `?${query}` : "";
};

// The query that a link leads to: parameters that the link does not set keep their current values, which may have
// changed since the link was rendered.
const destination = (link) => {
  const [to, current] = [new URLSearchParams(link.search), new URLSearchParams(location.search)];
  for (const name of link.dataset.sets.split(" ")) {
    to.has(name) ? current.set(name, to.get(name)) : current.delete(name);
  }
  return toSearch(current);
};

// Follows links to views without reloading the page, so the scroll position stays.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.view");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  history.pushState({}, "", `/${destination(link)}`);
  dispatchEvent(new PopStateEvent("popstate"));
});

// Updates a link's address before the browser opens it in a new window or copies it.
for (const before of ["mousedown", "focusin"]) {
  document.addEventListener(before, ({ target }) => {
    const link = target.closest("a.view");
    if (link) {
      link.setAttribute("href", `/${destination(link)}`);
    }
  });
}

// Preloads plotly.js for the first chart. A <link> in the page can't do that in every browser: some have no low
// priority preload, others block it by the page's policy. If this fails, the chart's own request reports the error.
fetch("/_dash-component-suites/plotly/package_data/plotly.min.js", { priority: "low" }).catch(() => {});

(() => {
  const TIMEOUT = 150_000; // two and a half refresh intervals, in milliseconds
  const TABLE = ["sort", "name", "page", "project", "batch"]; // parameters that no chart depends on
  const CONTROLS = [
    ["target", "target", ""], // id of the control, its parameter, its empty value
    ["first", "from", null],
    ["last", "to", null],
    ["zone", "tz", "UTC"],
    ["name", "name", null],
  ];
  // The options of the project selection, including the current target even if it is unknown: Dash would clear a
  // value that is not an option, for example while no targets are loaded yet.
  const withCurrentTarget = (targets, parameters) => {
    const current = parameters.get("target") || "";
    const known = targets.some(({ value }) => value === current);
    return known ? targets : [...targets, { label: current.replace(/\p{C}/gu, "\ufffd"), value: current }];
  };
  let lastResponse = Date.now();
  let lastResponseId = null;
  let initialized = false;
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.rfsync = {
    // Stores the address, and the part of it that charts depend on, which triggers the server's callbacks.
    readAddress: (_, ...previous) => {
      const parameters = new URLSearchParams(location.search);
      const address = toSearch(parameters);
      TABLE.forEach((name) => parameters.delete(name));
      return [address, toSearch(parameters)].map((value, n) =>
        value === previous[n] ? window.dash_clientside.no_update : value,
      );
    },
    // A page that gets no responses any more would look as if nothing had changed.
    lostConnection: (_, responseId) => {
      if (responseId && responseId !== lastResponseId) {
        lastResponseId = responseId;
        lastResponse = Date.now();
      }
      return Date.now() - lastResponse < TIMEOUT
        ? ""
        : `No response since ${new Date(lastResponse).toLocaleTimeString()}: is rfsync dashboard still running?`;
    },
    targetOptions: (targets) => withCurrentTarget(targets, new URLSearchParams(location.search)),
    // Keeps address and controls in step. Values are validated by the server only.
    syncControls: (_, ...values) => {
      const { callback_context: context, no_update: noUpdate } = window.dash_clientside;
      // The first call reports all controls as changed, with their initial values.
      const changed = initialized ? context.triggered.map((one) => one.prop_id) : [];
      initialized = true;
      const targets = values.pop();
      const parameters = new URLSearchParams(location.search);
      const before = toSearch(parameters);
      CONTROLS.forEach(([control, name, empty], n) => {
        const value = values[n] === empty ? "" : values[n] || "";
        if (!changed.includes(`${control}.value`) || value === (parameters.get(name) || "")) {
          return;
        }
        value ? parameters.set(name, value) : parameters.delete(name);
        if (name === "from" || name === "to") {
          // The first day that is entered becomes both ends of the range; clearing one end clears both.
          const days = value ? [parameters.get("from") || value, parameters.get("to") || value].sort() : [];
          ["from", "to"].forEach((end, m) => (value ? parameters.set(end, days[m]) : parameters.delete(end)));
        } else if (name !== "tz") {
          parameters.delete("page");
        }
      });
      const after = toSearch(parameters);
      const shown = CONTROLS.map(([, name, empty]) => parameters.get(name) || empty);
      return [after === before ? noUpdate : after, withCurrentTarget(targets, parameters), ...shown];
    },
    // Updates an existing chart in place, so that its zoom is kept.
    updateChart: (chart) => {
      const { no_update: noUpdate, set_props: setProps } = window.dash_clientside;
      const { id, figure } = chart.props;
      const drawn = document.querySelector(`#${id} .js-plotly-plot`)?.layout;
      if (!drawn) {
        return chart;
      }
      // Only the user sets a fixed range. plotly.js would keep it, but Dash replaces the whole layout.
      if (drawn.uirevision === figure.layout.uirevision && drawn.xaxis.type === "date" && !drawn.xaxis.autorange) {
        Object.assign(figure.layout.xaxis, { range: drawn.xaxis.range, autorange: false });
      }
      setProps(id, { figure });
      return noUpdate;
    },
  };
})();

// The list of time zones.
addEventListener("DOMContentLoaded", () => {
  const list = document.createElement("datalist");
  list.id = "zones";
  for (const zone of ["UTC", ...Intl.supportedValuesOf("timeZone")]) {
    list.append(new Option(zone));
  }
  document.body.append(list);
});
