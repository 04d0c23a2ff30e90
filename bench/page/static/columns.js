/* What stands in each column of a row: its text, what it is sorted by, and its values in SI units for CSV.
   Headings and meanings come with the payload, out of bench/page/columns.py. */
const Columns = (() => {
  "use strict";

  const MS = 1e3;
  const GB = 1e-9;
  const memory = new WeakMap();

  /** Dollars of a row in a state of the controls; the same state object is never computed twice. */
  function dollars(row, state) {
    const known = memory.get(row);
    if (known && known.state === state) return known;
    const made = { state, usd: null, api: null, apiUsd: null, ratio: null, breakEven: null };
    const priced = row.priced;
    made.asked = Dollars.asked(row, state);
    if (priced) {
      made.usd = Dollars.usdPerMtok(priced, made.asked);
      made.api = state.api === null ? Dollars.cheapest(priced, made.asked) : chosen(priced, state.api);
      if (made.api) {
        made.apiUsd = Dollars.apiUsdPerMtok(priced, made.api, made.asked);
        made.ratio = Dollars.ratio(priced, made.api, made.asked);
        made.breakEven = Dollars.breakEven(priced, made.api, made.asked);
      }
    }
    memory.set(row, made);
    return made;
  }

  function chosen(priced, api) {
    return priced.apis.find((one) => one.api === api) || null;
  }

  /** "47%", "never", "65%?": the question mark where the interval holds both. */
  function breakEvenText(of) {
    if (!of) return Numbers.NONE;
    const never = of.value === null || of.value > 1;
    const isOpen = (end) => end === undefined || end === null;
    const high = isOpen(of.high) && !isOpen(of.low) ? Infinity : of.high;
    const doubt = !isOpen(of.low) && !isOpen(high) && of.low <= 1 && high > 1;
    return (never ? "never" : Numbers.percent(of.value)) + (doubt ? "?" : "");
  }

  /** 0 VALID, 1 doubtful, 2 failed or meaningless. */
  function standing(row) {
    if (row.status !== "ok" || row.verdict.some((one) => one.fatal)) return 2;
    return row.verdict.length ? 1 : 0;
  }

  function verdictText(row) {
    if (row.status !== "ok") return row.status;
    return row.verdict.map((one) => one.code).join(", ") || "VALID";
  }

  /** Why a row has no dollars, for the place of the figure. */
  function whyNoDollars(row) {
    if (row.status !== "ok") return row.status;
    const fatal = row.verdict.filter((one) => one.fatal).map((one) => one.code);
    return fatal.length ? fatal.join(", ") : row.no_dollars_because || "not priced";
  }

  const EMPTY = { sort: null, text: Numbers.NONE, values: [null] };

  function text(value, sort = value) {
    if (value === null || value === undefined || value === "") return EMPTY;
    return { sort: typeof sort === "string" ? sort.toLowerCase() : sort, name: value, values: [value] };
  }

  /** A figure with its interval; `factor` from SI to the heading's unit. */
  function figure(of, factor = 1, suffix = "") {
    if (!of || of.value === null) return { ...EMPTY, values: [null, null, null] };
    const ends = Numbers.ends(of, factor);
    return {
      sort: of.value,
      text: Numbers.number(of.value * factor) + suffix,
      spread: Numbers.spread(of, factor).trim(),
      title: ends === null ? null : `95 % interval ${ends}${suffix}, n = ${of.n ?? "?"}`,
      values: [of.value, of.low ?? null, of.high ?? null],
    };
  }

  function plain(value, shown) {
    if (value === null || value === undefined) return EMPTY;
    return { sort: value, text: shown === undefined ? Numbers.number(value) : shown, values: [value] };
  }

  function withError(value, error, factor = 1) {
    if (value === null || value === undefined) return { ...EMPTY, values: [null, null] };
    const known = error !== null && error !== undefined;
    return {
      sort: value,
      text: Numbers.number(value * factor),
      spread: known ? `±${Numbers.number(error * factor, 2)}` : "",
      title: known ? "± one standard error" : null,
      values: [value, known ? error : null],
    };
  }

  function share(of) {
    if (!of) return { ...EMPTY, values: [null, null, null] };
    return { ...figure(of), text: Numbers.percent(of.value), spread: "", title: null };
  }

  const money = (row, state, of) => (row.priced ? figure(of(row.priced, dollars(row, state).asked)) : figure(null));
  const part = (kind) => (row, state) => money(row, state, (priced, asked) => Dollars.partUsdPerMtok(priced, kind, asked));
  const measured = (name, factor = 1) => (row) => figure(row.figures[name], factor);

  const VALUES = {
    number: (row) => plain(row.number, String(row.number)),
    // Rows come in the order of the board.
    place: (row) => (row.place ? { sort: row.number, text: row.place, spread: `in group ${row.group}`, values: [row.group, row.place] } : { ...EMPTY, values: [null, null] }),
    model: (row) => text(row.model),
    precision: (row) => text(row.precision),
    runner: (row) => text([row.runner, row.options].filter(Boolean).join(" ")),
    machine: (row) => text(row.hardware),
    workload: (row) => text(row.workload, (row.level ?? row.batch_size ?? 0) * 1e6 + (row.input_tokens ?? 0)),
    verdict: (row) => ({ sort: standing(row), text: verdictText(row), values: [verdictText(row)] }),
    usd_per_mtok: (row, state) => figure(dollars(row, state).usd),
    ratio: (row, state) => figure(dollars(row, state).ratio, 1, "×"),
    break_even: (row, state) => {
      const of = dollars(row, state).breakEven;
      if (!of) return EMPTY;
      const value = of.value ?? Infinity;
      const ends = of.low !== null && of.low !== undefined ? `95 % interval ${shareOrNever(of.low)}–${shareOrNever(of.high)}` : null;
      return { sort: value, text: breakEvenText(of), title: ends, values: [Number.isFinite(value) ? value : null] };
    },
    api: (row, state) => text(dollars(row, state).api?.api),
    api_usd_per_mtok: (row, state) => plain(dollars(row, state).apiUsd),
    input_usd_per_mtok: part("input"),
    cached_usd_per_mtok: part("cached"),
    output_usd_per_mtok: part("output"),
    good_usd_per_mtok: (row, state) => figure(row.good ? Dollars.usdPerMtok(row.good, dollars(row, state).asked) : null),
    // The limit and the joules are of the row's own tokens: of another mix nobody knows them.
    floor_usd_per_mtok: (row, state) => plain(row.priced && !state.mix ? Dollars.floorUsdPerMtok(row.priced, dollars(row, state).asked) : null),
    electricity_usd_per_mtok: (row, state) => figure(state.mix ? null : row.priced?.electricity_usd_per_mtok),
    usd_per_hour: (row, state) => plain(row.priced ? Dollars.usdPerHour(row.priced, dollars(row, state).asked) : null),
    utilisation: (row, state) => {
      if (!row.priced) return EMPTY;
      const { asked } = dollars(row, state);
      const value = Dollars.utilisation(row.priced, asked);
      return plain(value, Dollars.idles(row.priced, asked) ? Numbers.percent(value) : "never idle");
    },
    output_tokens_per_s: measured("output_tokens_per_s"),
    tokens_per_s_per_user: measured("tokens_per_s_per_user"),
    ttft_s: measured("ttft_s", MS),
    tpot_s: measured("tpot_s", MS),
    itl_s: measured("itl_s", MS),
    e2el_s: measured("e2el_s"),
    prefill_tokens_per_s: measured("prefill_tokens_per_s"),
    decode_tokens_per_s: measured("decode_tokens_per_s"),
    total_tokens_per_s: measured("total_tokens_per_s"),
    requests_per_s: measured("requests_per_s"),
    goodput_requests_per_s: measured("goodput_requests_per_s"),
    mbu: (row) => share(row.figures.mbu),
    mfu: (row) => share(row.figures.mfu),
    decode_limit: (row) => {
      const of = row.limits;
      const step = row.figures.tpot_s;
      if (!of || !of.decode_limit || !of.floor_tpot_s || !step) return EMPTY;
      const reached = of.floor_tpot_s / step.value;
      return { sort: reached, text: `${of.decode_limit} ${Numbers.percent(reached)}`, title: of.basis, values: [of.decode_limit] };
    },
    peak_bytes: (row) => plain(row.memory?.peak_bytes, row.memory?.peak_bytes == null ? "" : Numbers.number(row.memory.peak_bytes * GB)),
    energy_j_per_output_token: measured("energy_j_per_output_token"),
    load_s: measured("load_s"),
    same_top_1: (row) => {
      const of = withError(row.quality.same_top_1, row.quality.same_top_1_se);
      return of.sort === null ? of : { ...of, text: Numbers.percent(of.sort), spread: "" };
    },
    delta_nll: (row) => withError(row.quality.delta_nll, row.quality.delta_nll_se),
    kl_mean: (row) => withError(row.quality.kl_mean, row.quality.kl_mean_se),
    bits_per_byte: (row) => plain(row.quality.bits_per_byte),
    perplexity: (row) => plain(row.quality.perplexity),
    replicates: (row) => plain(row.replicates, String(row.replicates)),
  };

  function shareOrNever(end) {
    return end === null || end === undefined || end > 1 ? "never" : Numbers.percent(end);
  }

  /** The cell of a column (by its id) in a row. */
  function cell(id, row, state) {
    return VALUES[id](row, state);
  }

  /** Headings in CSV of one column's values. */
  function headings(id, width) {
    if (id === "place") return ["group", "place"];
    const error = ["same_top_1", "delta_nll", "kl_mean"].includes(id);
    return [id, error ? `${id}_se` : `${id}_low`, `${id}_high`].slice(0, width);
  }

  return { cell, headings, dollars, standing, verdictText, whyNoDollars, breakEvenText };
})();
