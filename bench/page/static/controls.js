/* "What if?": the fields, what they say together, the command that says the same, and the link that keeps it. */
const Controls = (() => {
  "use strict";

  const { make, visible } = Dom;
  const MIXES = ["1:1", "3:1", "80/20", "10:1"];
  const FORM = /^\s*(\d{1,9}(?:\.\d{1,9})?)\s*[:/]\s*(\d{1,9}(?:\.\d{1,9})?)\s*$/;
  const NOTHING = { usd_per_hour: null, machine: null, utilisation: null, mix: null, api: null };
  const at = (id) => document.getElementById(id);

  let page = null;
  let state = Object.freeze({ ...NOTHING });
  let mixName = null;
  let tell = null;

  /** `changed(state)` is called after each change. Restores what the link says. */
  function start(whole, fragment, changed) {
    page = whole;
    tell = changed;
    fillChoices();
    at("price").addEventListener("input", price);
    at("price-machine").addEventListener("change", () => set({ machine: at("price-machine").value || null }));
    at("use-range").addEventListener("input", () => {
      at("use").value = at("use-range").value;
      utilisation();
    });
    at("use").addEventListener("input", utilisation);
    at("mix").addEventListener("change", mix);
    at("mix-custom").addEventListener("input", customMix);
    at("api").addEventListener("change", () => set({ api: at("api").value || null }));
    at("what-if").addEventListener("submit", (event) => event.preventDefault());
    at("reset").addEventListener("click", reset);
    at("copy-command").addEventListener("click", async () => page.said((await Dom.copy(command())) ? "Command copied." : "Copying is not allowed here."));
    at("copy-link").addEventListener("click", async () => page.said((await Dom.copy(location.href)) ? "Link copied." : "Copying is not allowed here."));
    restore(fragment);
    describe();
  }

  function fillChoices() {
    const machines = new Map(page.rows.filter((row) => row.priced).map((row) => [row.machine, row.hardware]));
    const names = [...machines.values()];
    const label = (id, name) => Dom.cut(visible(names.filter((one) => one === name).length > 1 ? `${name} (${id})` : name), 80);
    at("price-machine").append(...[...machines].map(([id, name]) => make("option", { value: id }, label(id, name))));
    at("price-machine").closest(".field").hidden = machines.size < 2;
    const apis = new Set(page.rows.flatMap((row) => (row.priced ? row.priced.apis.map((one) => one.api) : [])));
    at("api").append(...[...apis].sort().map((api) => make("option", { value: api }, Dom.cut(visible(api), 80))));
    const rates = new Set(page.rows.filter((row) => row.priced).map((row) => row.priced.usd_per_hour));
    if (rates.size === 1 && [...rates][0] !== null) at("price").placeholder = Numbers.number([...rates][0]);
    const uses = new Set(page.rows.filter((row) => row.priced && row.priced.idles).map((row) => row.priced.utilisation));
    const own = uses.size === 1 ? [...uses][0] * 100 : null;
    at("use").placeholder = own === null ? "each row's own" : Numbers.number(own);
    at("use-range").dataset.own = String(Math.max(1, Math.round(own ?? 100)));
    at("use-range").value = at("use-range").dataset.own;
  }

  function set(changes) {
    state = Object.freeze({ ...state, ...changes });
    describe();
    tell(state);
  }

  /* Says beside a field what is wrong with it; the last good value stays in force. */
  function complain(id, message) {
    at(`${id}-error`).textContent = message;
    if (message) at(id).setAttribute("aria-invalid", "true");
    else at(id).removeAttribute("aria-invalid");
  }

  /* A number of the field, null where it is empty, undefined (and a message) where it is none. */
  function numberOf(id, least, most, message) {
    const field = at(id);
    const value = field.value.trim();
    if (value === "" && !(field.validity && field.validity.badInput)) {
      complain(id, "");
      return null;
    }
    const number = Number(value);
    const isGood = value !== "" && Number.isFinite(number) && number >= least && number <= most;
    complain(id, isGood ? "" : message);
    return isGood ? number : undefined;
  }

  function price() {
    const value = numberOf("price", 1e-9, 1e6, "Dollars above 0, at most 1,000,000.");
    if (value !== undefined) set({ usd_per_hour: value });
  }

  function utilisation() {
    const value = numberOf("use", 1, 100, "A share from 1 to 100 %.");
    if (value === undefined) return;
    at("use-range").value = value === null ? at("use-range").dataset.own : value;
    set({ utilisation: value === null ? null : value / 100 });
  }

  function mix() {
    const chosen = at("mix").value;
    at("mix-other").hidden = chosen !== "custom";
    if (chosen === "custom") {
      customMix();
      return;
    }
    complain("mix-custom", "");
    mixName = chosen || null;
    set({ mix: chosen ? parts(chosen) : null });
  }

  function customMix() {
    const value = at("mix-custom").value;
    if (value.trim() === "") {
      complain("mix-custom", "");
      return;
    }
    const found = parts(value);
    complain("mix-custom", found ? "" : "Write input:output in positive numbers, such as 3:1 or 80/20.");
    if (!found) return;
    mixName = value.trim().replace(/\s+/g, "");
    set({ mix: found });
  }

  function parts(text) {
    const found = FORM.exec(text);
    if (!found) return null;
    const both = [Number(found[1]), Number(found[2])];
    return both[0] > 0 && both[1] > 0 ? both : null;
  }

  function reset() {
    for (const id of ["price", "use", "mix-custom"]) {
      at(id).value = "";
      complain(id, "");
    }
    at("price-machine").value = "";
    at("use-range").value = at("use-range").dataset.own;
    at("mix").value = "";
    at("mix-other").hidden = true;
    at("api").value = "";
    mixName = null;
    set({ ...NOTHING });
  }

  /** What a link asks for: unknown machines and APIs, and values that are none, are left out. */
  function restore(fragment) {
    const given = new URLSearchParams(fragment);
    const put = (id, value, then) => {
      if (value === null) return;
      at(id).value = value;
      then();
    };
    put("price", given.get("usd_per_hour"), price);
    put("use", given.get("utilisation"), utilisation);
    const asked = given.get("mix");
    if (asked !== null && parts(asked)) {
      at("mix").value = MIXES.includes(asked) ? asked : "custom";
      if (at("mix").value === "custom") at("mix-custom").value = asked;
      mix();
    }
    for (const [id, name] of [["price-machine", "machine"], ["api", "api"]]) {
      const value = given.get(name);
      if (value === null || ![...at(id).options].some((one) => one.value === value)) continue;
      at(id).value = value;
      set({ [name]: value });
    }
    for (const id of ["price", "use"]) if (at(id).getAttribute("aria-invalid")) {
      at(id).value = "";
      complain(id, "");
    }
  }

  /** The part of a link that keeps the state. */
  function asFragment() {
    const said = {};
    if (state.usd_per_hour !== null) said.usd_per_hour = state.usd_per_hour;
    if (state.machine !== null) said.machine = state.machine;
    if (state.utilisation !== null) said.utilisation = Number((state.utilisation * 100).toPrecision(12));
    if (state.mix !== null) said.mix = mixName;
    if (state.api !== null) said.api = state.api;
    return said;
  }

  function quoted(text) {
    return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  }

  /* Options that the page was made with, without those that the controls stand in the place of. */
  function stillMeant() {
    const instead = {
      usd_per_hour: ["--usd-per-hour", "--provider", "--price-kind"],
      utilisation: ["--utilisation"],
      mix: ["--blend"],
      api: ["--api"],
    };
    const gone = Object.keys(instead).flatMap((name) => (state[name] === null ? [] : instead[name]));
    return page.options.filter(([name]) => !gone.includes(name));
  }

  function option([name, value]) {
    return value === "" ? name : `${name} ${quoted(value)}`;
  }

  /** What to type for the same dollars. */
  function command() {
    const words = ["bench report", ...page.runs.map((run) => quoted(run)), ...stillMeant().map(option)];
    if (state.usd_per_hour !== null) words.push(`--usd-per-hour ${state.usd_per_hour}`);
    if (state.utilisation !== null) words.push(`--utilisation ${Number(state.utilisation.toPrecision(12))}`);
    if (state.mix !== null) words.push(`--blend ${mixName}`);
    if (state.api !== null) words.push(`--api ${quoted(state.api)}`);
    return words.join(" ");
  }

  function describe() {
    const isOwn = state.utilisation === null;
    at("use-range").setAttribute("aria-valuetext", isOwn ? "each row's own" : `${at("use-range").value} %`);
    at("use-range").classList.toggle("own", isOwn);
    at("command").textContent = visible(command());
    const machine = state.machine === null || state.usd_per_hour === null ? null : at("price-machine").selectedOptions[0].textContent;
    at("command-note").textContent = machine ? `On the command line the price is that of every run it is given; here it is only that of ${machine}.` : "";
    const said = [
      state.usd_per_hour === null ? "each row's own price of an hour" : `$${state.usd_per_hour} per hour${machine ? ` of ${machine}` : ""}`,
      isOwn ? "its own utilisation" : `${Numbers.percent(state.utilisation)} utilisation`,
      state.mix === null ? "tokens as measured" : `input:output ${mixName}`,
      state.api === null ? "the cheapest API" : visible(state.api),
    ];
    at("state-in-words").textContent = `Dollars of this page: ${said.join(", ")}.`;
    const isChanged = Object.keys(NOTHING).some((name) => state[name] !== null);
    at("reset").setAttribute("aria-disabled", String(!isChanged));
  }

  return { start, state: () => state, asFragment, command };
})();
