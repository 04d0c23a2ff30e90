/* What rows are called in the charts of the page, and what they cost: bench/page/charts/naming.py and lines.py, function
   by function. */
const ChartRows = (() => {
  "use strict";

  const LONGEST = 60;
  const LONGEST_DETAIL = 40;
  const LONGEST_SHORT = 16;
  const MOST_SERIES = 8;
  const OTHER = "other";
  const OWN_TOOL = "llm-cost-bench";

  const known = (one) => one !== null && one !== undefined;
  const shown = (text, longest = LONGEST) => Dom.cut(Dom.visible(text), longest);
  const believable = (row) => row.status === "ok" && !row.verdict.some((one) => one.fatal);
  const identity = (row) =>
    JSON.stringify([row.model, row.precision, row.runner, row.options, row.origin.tool, row.machine]);

  function verdictText(row) {
    return row.status !== "ok" ? row.status : row.verdict.map((one) => one.code).join(", ") || "VALID";
  }

  function whole(value) {
    return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  }

  function counted(values) {
    const found = new Map();
    for (const one of values) found.set(one, (found.get(one) || 0) + 1);
    return found;
  }

  /** Negative, zero or positive: the first place in which two lists differ. */
  function compare(one, other) {
    for (let at = 0; at < one.length; at += 1) {
      if (one[at] < other[at]) return -1;
      if (one[at] > other[at]) return 1;
    }
    return 0;
  }

  /** The same list, ascending by what `by` makes of an item; equal ones keep their order. */
  function sorted(items, by) {
    return items
      .map((item) => [by(item), item])
      .sort((one, other) => compare(one[0], other[0]))
      .map(([, item]) => item);
  }

  const toolOf = (row) => (row.origin.tool === OWN_TOOL ? "" : `(${row.origin.tool})`);

  function group(row, naming) {
    return named(row, naming, [row.model, row.precision, naming.runners ? row.runner : "", row.options, toolOf(row)]);
  }

  /* The same without what all rows share. */
  function nameOf(row, naming) {
    const words = [naming.models && row.model, row.precision, naming.runners && row.runner, naming.options && row.options];
    return named(row, naming, [...words, naming.tools && toolOf(row)]);
  }

  function named(row, naming, words) {
    const text = words.filter((one) => one).join(" ");
    return shown(naming.hardware ? `${text}, ${row.hardware}` : text);
  }

  function detail(row, naming) {
    if (row.kind === "load") return shown(row.workload.split(",")[0], LONGEST_DETAIL);
    if (row.kind !== "batch" || !known(row.batch_size)) return shown(row.workload, LONGEST_DETAIL);
    const lengths = naming.lengths && known(row.input_tokens) && known(row.output_tokens);
    const tokens = lengths ? `, ${whole(row.input_tokens)}+${whole(row.output_tokens)}` : "";
    return `batch ${row.batch_size}${tokens}${row.arm > 1 ? `, arm ${row.arm}` : ""}`;
  }

  function short(row) {
    const at = known(row.level) ? ` ${whole(row.level)}` : known(row.batch_size) ? ` B${row.batch_size}` : "";
    return shown(row.precision, LONGEST_SHORT) + at;
  }

  const placeOf = (row) => row.batch_size ?? row.level ?? 0;

  function namingOf(rows) {
    const seen = rows.filter(believable);
    const several = (of) => new Set(seen.map(of)).size > 1;
    const batches = seen.filter((row) => row.kind === "batch");
    const naming = {
      models: several((row) => row.model),
      runners: several((row) => row.runner),
      options: several((row) => row.options),
      tools: several(toolOf),
      hardware: several((row) => row.hardware),
      lengths: new Set(batches.map((row) => `${row.input_tokens} ${row.output_tokens}`)).size > 1,
      byPrecision: false,
      groups: new Map(),
      names: new Map(),
    };
    for (const row of seen) {
      naming.groups.set(row, group(row, naming));
      naming.names.set(row, nameOf(row, naming));
    }
    const groups = counted(naming.names.values());
    if (groups.size <= MOST_SERIES) return { ...naming, series: [...groups.keys()] };
    const precisions = counted(seen.map((row) => shown(row.precision)));
    let kept = sorted([...precisions], ([, count]) => [-count]).map(([name]) => name);
    kept = kept.slice(0, precisions.size > MOST_SERIES ? MOST_SERIES - 1 : MOST_SERIES);
    const series = [...precisions.keys()].filter((name) => kept.includes(name));
    return { ...naming, byPrecision: true, series: series.length < precisions.size ? [...series, OTHER] : series };
  }

  let lastRows = null;
  let lastNaming = null;

  /* Names do not depend on prices: they are made once. */
  function namingFor(rows) {
    if (rows !== lastRows) [lastRows, lastNaming] = [rows, namingOf(rows)];
    return lastNaming;
  }

  function pointOf(row, naming) {
    const label = naming.groups.get(row);
    const name = naming.byPrecision ? shown(row.precision) : naming.names.get(row);
    return {
      kind: "row",
      key: row.key,
      label,
      detail: detail(row, naming),
      series: naming.series.includes(name) ? name : OTHER,
      verdict: shown(verdictText(row)),
      doubtful: row.verdict.length > 0,
    };
  }

  function dollarsOf(row, state) {
    return believable(row) && row.priced ? Dollars.usdPerMtok(row.priced, Dollars.asked(row, state)) : null;
  }

  function apiDollars(row, api, state) {
    return Dollars.apiUsdPerMtok(row.priced, api, Dollars.asked(row, state));
  }

  const asFields = (usd) => ({
    usd_per_mtok: usd.value,
    usd_per_mtok_low: usd.low ?? null,
    usd_per_mtok_high: usd.high ?? null,
  });

  /** [row, dollars] of those that have any. */
  function pricedRows(rows, state) {
    return rows.map((row) => [row, dollarsOf(row, state)]).filter(([, usd]) => known(usd));
  }

  /* Math.min(...values) ends where there are too many arguments. */
  const leastOf = (values) => values.reduce((one, other) => Math.min(one, other), Infinity);
  const mostOf = (values) => values.reduce((one, other) => Math.max(one, other), -Infinity);

  return {
    known, shown, believable, identity, counted, compare, sorted, detail, short, placeOf, namingFor, pointOf,
    apiDollars, asFields, pricedRows, leastOf, mostOf,
  };
})();
