// What an address says, as the server writes it.
const search = (said) => {
  const query = said.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
  return query ? `?${query}` : "";
};

// Links to views are followed here: the address changes, the page stays, and so does the place it is scrolled to. What
// a link does not set stays as it has been chosen, which may be so new that the link does not have it yet.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.view");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  const [to, now] = [new URLSearchParams(link.search), new URLSearchParams(location.search)];
  for (const name of link.dataset.sets.split(" ")) {
    to.has(name) ? now.set(name, to.get(name)) : now.delete(name);
  }
  history.pushState({}, "", `/${search(now)}`);
  dispatchEvent(new PopStateEvent("popstate"));
});

// A page that gets no answers any more looks just like one that has nothing new: it has to say so.
(() => {
  const PATIENCE = 150_000; // two and a half refreshes, in milliseconds
  let answered = Date.now();
  let last = null;
  const given = {}; // chart -> its view and the stretch of time that it was to show
  window.dash_clientside = window.dash_clientside || {};
  window.dash_clientside.rfsync = {
    lost: (_, answer) => {
      if (answer && answer !== last) {
        last = answer;
        answered = Date.now();
      }
      return Date.now() - answered < PATIENCE
        ? ""
        : `No answer since ${new Date(answered).toLocaleTimeString()}: is rfsync dashboard still running?`;
    },
    // The address and the controls say the same. What they say is judged by the server, and only there.
    choose: (address, ...values) => {
      const { callback_context: context, no_update: same } = window.dash_clientside;
      const said = new URLSearchParams(address || "");
      const names = ["target", "from", "to", "tz", "name"];
      const always = { target: "", tz: "UTC" };
      const changed = context.triggered.map((one) => one.prop_id);
      if (!changed.length || changed.includes("url.search")) {
        return [same, ...names.map((name) => said.get(name) || (always[name] ?? null))];
      }
      // Nobody can choose no project: Dash takes away one that it has not got among its options, or not yet.
      values[0] ??= said.get("target");
      let [target, from, to, zone, name] = values.map((value) => value || "");
      [from, to] = [from || to, to || from].sort();
      if (target !== (said.get("target") || "") || name !== (said.get("name") || "")) {
        said.delete("page");
      }
      [target, from, to, zone === "UTC" ? "" : zone, name].forEach((value, n) =>
        value ? said.set(names[n], value) : said.delete(names[n]),
      );
      return [search(said), target, from || null, to || null, zone || "UTC", name];
    },
    // A chart that is there is changed and not made anew, and stays where somebody has zoomed to.
    show: (chart) => {
      const { no_update: same, set_props: set } = window.dash_clientside;
      const { id, figure } = chart.props;
      const { uirevision: view, xaxis } = figure.layout;
      const drawn = document.querySelector(`#${id} .js-plotly-plot`);
      const before = given[id];
      given[id] = { view, range: xaxis?.range };
      if (!drawn) {
        return chart;
      }
      const now = drawn.layout.xaxis?.range;
      if (before.view === view && before.range && now && String(now) !== String(before.range)) {
        xaxis.range = now;
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
