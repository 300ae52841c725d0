// Links to views are followed here: the address changes, the page stays, and so does the place it is scrolled to.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a.view");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  history.pushState({}, "", link.href);
  dispatchEvent(new PopStateEvent("popstate"));
});

// A page that gets no answers any more looks just like one that has nothing new: it has to say so.
(() => {
  const PATIENCE = 150_000; // two and a half refreshes, in milliseconds
  let answered = Date.now();
  let last = null;
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
    choose: (search, ...values) => {
      const { callback_context: context, no_update: same } = window.dash_clientside;
      const said = new URLSearchParams(search || "");
      const names = ["target", "from", "to", "tz", "name"];
      const changed = context.triggered.map((one) => one.prop_id);
      if (!changed.length || changed.includes("url.search")) {
        return [same, ...names.map((name) => said.get(name) || (name === "tz" ? "UTC" : null))];
      }
      let [target, from, to, zone, name] = values.map((value) => value || "");
      [from, to] = [from || to, to || from].sort();
      if (target !== (said.get("target") || "") || name !== (said.get("name") || "")) {
        said.delete("page");
      }
      [target, from, to, zone === "UTC" ? "" : zone, name].forEach((value, n) =>
        value ? said.set(names[n], value) : said.delete(names[n]),
      );
      const query = said.toString().replaceAll("%2F", "/").replaceAll("%3A", ":");
      return [query ? `?${query}` : "", target || null, from || null, to || null, zone || "UTC", name];
    },
    // The charts whose time axis somebody has moved, and which are to stay there when new data comes.
    zoomed: (...inputs) => {
      const before = inputs.pop() || [];
      const [{ prop_id: what, value: moved }] = window.dash_clientside.callback_context.triggered;
      const chart = what.split(".")[0];
      if (chart === "overview-of") {
        return []; // another view
      }
      const others = before.filter((name) => name !== chart);
      return moved && "xaxis.range[0]" in moved ? [...others, chart] : others;
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
