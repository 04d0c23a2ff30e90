/* What a row holds beside its cells: reasons with remedies, every figure with both ends, prices, origin, command. */
const Details = (() => {
  "use strict";

  const { make, visible } = Dom;

  /** What speaks against a row, each with what to do about it; an empty list where nothing does. */
  function reasons(row) {
    const found = row.verdict.map((one) => reason(one.code, one.what, one.remedy));
    if (row.status !== "ok") found.unshift(reason(row.status, row.failure || "no reason was recorded", row.remedy));
    else if (row.no_dollars_because) found.push(reason("no dollars", row.no_dollars_because, null));
    return found;
  }

  function reason(code, what, remedy) {
    const said = remedy ? [make("span", { class: "remedy" }, "What to do: ", bdi(remedy))] : [];
    return make("li", {}, make("strong", {}, code), ": ", bdi(what), ...said);
  }

  function bdi(value) {
    return make("bdi", {}, visible(value));
  }

  /** The content of a details row; built when it is opened. */
  function content(row, page, state) {
    return [
      figures(row),
      money(row, state),
      facts("Memory", memory(row)),
      facts("Quality", quality(row)),
      facts("Row", about(row)),
      notes(row, page),
      command(row, page),
    ].filter(Boolean);
  }

  function block(title, ...children) {
    return make("section", { class: "block" }, make("h4", {}, title), ...children);
  }

  function facts(title, pairs) {
    const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
    if (!known.length) return null;
    const list = known.map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value instanceof Node ? value : bdi(value))),
    );
    return block(title, make("dl", { class: "facts" }, list));
  }

  const FIGURES = [
    ["output_tokens_per_s", "Output", 1, "tok/s"],
    ["decode_tokens_per_s", "Decode", 1, "tok/s"],
    ["prefill_tokens_per_s", "Prefill", 1, "tok/s"],
    ["total_tokens_per_s", "In + out", 1, "tok/s"],
    ["tokens_per_s_per_user", "Per user", 1, "tok/s"],
    ["requests_per_s", "Requests", 1, "/s"],
    ["goodput_requests_per_s", "Goodput", 1, "/s"],
    ["ttft_s", "TTFT", 1e3, "ms"],
    ["tpot_s", "TPOT", 1e3, "ms"],
    ["itl_s", "ITL", 1e3, "ms"],
    ["e2el_s", "End to end", 1, "s"],
    ["mbu", "MBU", 100, "%"],
    ["mfu", "MFU", 100, "%"],
    ["energy_j_per_output_token", "Energy", 1, "J/token"],
    ["load_s", "Load", 1, "s"],
    ["first_generate_s", "First generation", 1, "s"],
  ];

  function figures(row) {
    const lines = FIGURES.filter(([id]) => row.figures[id]).map(([id, name, factor, unit]) => {
      const of = row.figures[id];
      return line(name, Numbers.number(of.value * factor), Numbers.ends(of, factor) ?? Numbers.NONE, unit, percentiles(row, id, factor));
    });
    if (!lines.length) return null;
    return block("Figures", grid("Figures with their intervals", ["", "Value", "95 % interval", "Unit", "Percentiles"], lines));
  }

  function percentiles(row, id, factor) {
    const of = row.distributions[id];
    if (!of) return "";
    const said = Object.entries(of.percentiles).map(
      ([which, value]) => `p${which} ${typeof value === "number" ? Numbers.number(value * factor) : value}`,
    );
    return said.length ? `${said.join(", ")} (n = ${Numbers.grouped(String(of.n))})` : "";
  }

  function line(name, ...cells) {
    return make("tr", {}, make("th", { scope: "row" }, name), cells.map((one) => make("td", {}, one instanceof Node ? one : visible(one))));
  }

  /* Wider than a phone: it can be reached, and scrolled, with the keyboard. */
  function grid(label, headings, lines) {
    const head = headings.map((one) => (one ? make("th", { scope: "col" }, one) : make("td")));
    return make("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label }, make("table", { class: "small" }, make("thead", {}, make("tr", {}, head)), make("tbody", {}, lines)));
  }

  function money(row, state) {
    const priced = row.priced;
    if (!priced) return null;
    const { usd, asked } = Columns.dollars(row, state);
    const shown = (of) => (of ? `$${Numbers.number(of.value)}${ends(of)}` : null);
    const ends = (of) => (Numbers.ends(of) === null ? "" : ` (${Numbers.ends(of)})`);
    const hour = Dollars.usdPerHour(priced, asked);
    const own = asked.usd_per_hour === null || asked.usd_per_hour === undefined;
    const list = facts("Dollars", [
      ["$/Mtok", shown(usd)],
      ["In", shown(Dollars.partUsdPerMtok(priced, "input", asked))],
      ["Cached in", shown(Dollars.partUsdPerMtok(priced, "cached", asked))],
      ["Out", shown(Dollars.partUsdPerMtok(priced, "output", asked))],
      ["Beside the hour", shown(priced.beside_usd_per_mtok)],
      ["Utilisation", Dollars.idles(priced, asked) ? Numbers.percent(Dollars.utilisation(priced, asked)) : "paid only while it serves"],
      ["An hour", hour === null ? null : `$${Numbers.number(hour)}${own ? "" : ", as asked"}`],
      ["Its own price", [priced.rate_basis, ...priced.rate_flags].join("; ")],
      ["In and out", priced.split],
    ]);
    const lines = priced.apis.map((api) => {
      const price = Dollars.apiUsdPerMtok(priced, api, asked);
      const ratio = Dollars.ratio(priced, api, asked);
      const even = Columns.breakEvenText(Dollars.breakEven(priced, api, asked));
      const ratioText = ratio ? `${Numbers.number(ratio.value)}×${Numbers.spread(ratio)}` : Numbers.NONE;
      return line(Dom.name(api.api), Numbers.number(price), ratioText, even, `${api.source}${api.stale ? ", over 90 days old" : ""}`);
    });
    if (lines.length) list.append(grid("Compared APIs", ["API", "$/Mtok", "vs API", "Break-even", "Source"], lines));
    return list;
  }

  function memory(row) {
    const size = (of) => (of === null || of === undefined ? null : `${Numbers.number(of * 1e-9)} GB`);
    const of = row.memory;
    return of ? [["Weights", size(of.weights_bytes)], ["KV cache", size(of.kv_cache_bytes)], ["Other", size(of.other_bytes)], ["Peak", size(of.peak_bytes)]] : [];
  }

  function quality(row) {
    const of = row.quality;
    const error = (value, se) => (value === null ? null : `${Numbers.number(value)}${se === null ? "" : ` ± ${Numbers.number(se, 2)}`}`);
    return [
      ["", of.reason],
      ["Reference", of.reference],
      ["Bits per byte", error(of.bits_per_byte, null)],
      ["ΔNLL, nats a token", error(of.delta_nll, of.delta_nll_se)],
      ["KL, nats a token", error(of.kl_mean, of.kl_mean_se)],
      ["Same top-1", of.same_top_1 === null ? null : Numbers.percent(of.same_top_1)],
    ];
  }

  function about(row) {
    const tokens = [["in", row.input_tokens], ["cached", row.cached_tokens], ["out", row.output_tokens]];
    const origin = [row.origin.tool, row.origin.version].filter(Boolean).join(" ");
    return [
      ["Model", row.model],
      ["Weights", row.random_weights ? "random, at the true shapes" : null],
      ["Runner", [row.runner, row.options].filter(Boolean).join(" ")],
      ["Machine", `${row.hardware} (${row.machine})`],
      ["Tokens of a request", tokens.filter(([, one]) => one).map(([name, one]) => `${Numbers.number(one)} ${name}`).join(", ")],
      ["Objectives", row.slo ? row.slo + (row.slo_met === null ? "" : row.slo_met ? ": met" : ": not met") : null],
      ["Physical limit", row.limits ? [row.limits.basis, row.limits.reason].filter(Boolean).join("; ") : null],
      ["Measured", row.measured_at],
      ["By", origin + (row.origin.file ? `, file ${row.origin.file}` : "") + (row.revision ? `, revision ${row.revision}` : "")],
      ["Run", row.run],
      ["Cell", row.cell_id],
      ["Remarks", row.origin.remarks.join("; ")],
    ];
  }

  function notes(row, page) {
    const own = page.notes.filter((note) => note.about.includes(row.number));
    return own.length ? block("Notes", make("ul", {}, own.map((note) => make("li", {}, bdi(note.text))))) : null;
  }

  function command(row, page) {
    if (!row.command) return null;
    return block("Repeat it", make("div", { class: "command" }, make("code", {}, bdi(row.command)), page.copyButton(row.command, "Copy the command")));
  }

  return { reasons, content };
})();
