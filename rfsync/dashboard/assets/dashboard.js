// What an address says, as the server writes it.
const search = (said) => {
  const query = said.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return query ? `?${query}` : "";
};

// Where a link to a view leads: what it does not set stays as it has been chosen, which the link may not know.
const destination = (link) => {
  const [to, now] = [new URLSearchParams(link.search), new URLSearchParams(location.search)];
  for (const name of link.dataset.sets.split(" ")) {
    to.has(name) ? now.set(name, to.get(name)) : now.delete(name);
  }
  return search(now);
};

// Such links are followed here: the address changes, the page stays, and so does the place it is scrolled to.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.view");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  history.pushState({}, "", `/${destination(link)}`);
  dispatchEvent(new PopStateEvent("popstate"));
});

// And by the browser, in a window of their own, or copied.
for (const before of ["mousedown", "focusin"]) {
  document.addEventListener(before, ({ target }) => {
    const link = target.closest("a.view");
    if (link) {
      link.setAttribute("href", `/${destination(link)}`);
    }
  });
}

// On its way before the first chart wants it. No link in the page does that everywhere: some browsers know none that
// waits for all else, and others let none of these past the page's policy. If it fails, it will for the chart too.
fetch("/_dash-component-suites/plotly/package_data/plotly.min.js", { priority: "low" }).catch(() => {});

(() => {
  const PATIENCE = 150_000; // two and a half refreshes, in milliseconds
  const TABLE = ["sort", "name", "page", "project", "batch"]; // of an address, what no chart shows
  const CONTROLS = [
    ["target", "target", ""], // control, its part of the address, and what it has without
    ["first", "from", null],
    ["last", "to", null],
    ["zone", "tz", "UTC"],
    ["name", "name", null],
  ];
  // What there is to choose from. Dash takes away what it does not find there: a project that is gone, and whatever
  // stands in the address as long as none are known.
  const offered = (targets, said) => {
    const chosen = said.get("target") || "";
    const known = targets.some(({ value }) => value === chosen);
    return known ? targets : [...targets, { label: chosen.replace(/\p{C}/gu, "\ufffd"), value: chosen }];
  };
  let answered = Date.now();
  let last = null;
  let begun = false;
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.rfsync = {
    // What the server is asked for: the address, and of that what the charts show.
    ask: (_, ...before) => {
      const said = new URLSearchParams(location.search);
      const address = search(said);
      TABLE.forEach((name) => said.delete(name));
      return [address, search(said)].map((now, n) => (now === before[n] ? window.dash_clientside.no_update : now));
    },
    // A page that gets no answers any more looks just like one that has nothing new: it has to say so.
    lost: (_, answer) => {
      if (answer && answer !== last) {
        last = answer;
        answered = Date.now();
      }
      return Date.now() - answered < PATIENCE
        ? ""
        : `No answer since ${new Date(answered).toLocaleTimeString()}: is rfsync dashboard still running?`;
    },
    offer: (targets) => offered(targets, new URLSearchParams(location.search)),
    // The address and the controls say the same. What they say is judged by the server, and only there.
    choose: (_, ...values) => {
      const { callback_context: context, no_update: same } = window.dash_clientside;
      // At first all of them have, to what they are made with.
      const changed = begun ? context.triggered.map((one) => one.prop_id) : [];
      begun = true;
      const targets = values.pop();
      const said = new URLSearchParams(location.search);
      const before = search(said);
      CONTROLS.forEach(([control, name, none], n) => {
        const value = values[n] === none ? "" : values[n] || "";
        if (!changed.includes(`${control}.value`) || value === (said.get(name) || "")) {
          return;
        }
        value ? said.set(name, value) : said.delete(name);
        if (name === "from" || name === "to") {
          // A day by itself is all of the time, and none of the two is none at all.
          const days = value ? [said.get("from") || value, said.get("to") || value].sort() : [];
          ["from", "to"].forEach((end, m) => (value ? said.set(end, days[m]) : said.delete(end)));
        } else if (name !== "tz") {
          said.delete("page");
        }
      });
      const after = search(said);
      const shown = CONTROLS.map(([, name, none]) => said.get(name) || none);
      return [after === before ? same : after, offered(targets, said), ...shown];
    },
    // A chart that is there is changed and not made anew, and stays where somebody has zoomed to.
    show: (chart) => {
      const { no_update: same, set_props: set } = window.dash_clientside;
      const { id, figure } = chart.props;
      const drawn = document.querySelector(`#${id} .js-plotly-plot`)?.layout;
      if (!drawn) {
        return chart;
      }
      // A stretch of time is chosen by nobody but who looks at it. Dash keeps that from plotly.js, which would keep it.
      if (drawn.uirevision === figure.layout.uirevision && drawn.xaxis.type === "date" && !drawn.xaxis.autorange) {
        Object.assign(figure.layout.xaxis, { range: drawn.xaxis.range, autorange: false });
      }
      set(id, { figure });
      return same;
    },
  };
})();

// The time zones to choose from.
addEventListener("DOMContentLoaded", () => {
  const list = document.createElement("datalist");
  list.id = "zones";
  for (const zone of ["UTC", ...Intl.supportedValuesOf("timeZone")]) {
    list.append(new Option(zone));
  }
  document.body.append(list);
});
