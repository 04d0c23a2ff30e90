/* The charts of the page: drawn by Vega, and for another price, utilisation, mix or API their points made anew with the
   rules of bench/page/charts/, function by function. tests/test_charts_browser.py holds both to the same points. */
const Charts = (() => {
  "use strict";

  const LONGEST = 60;
  const LONGEST_DETAIL = 40;
  const MOST_SERIES = 8;
  const LINE_HEIGHT = 21;
  const MOST_LINES = 40;
  const MOST_APIS = 6;
  const MOST_MARKS = 300;
  const MOST_ON_FRONTS = 1200;
  const MOST_BARS = 60;
  const MOST_CURVES = 6;
  const MOST_FAMILIES = 6;
  const MOST_LEVELS = 60;
  const LOG_FROM = 10;
  const NEAR_X = 0.09;
  const NEAR_Y = 0.07;
  const NEAR_NAME = 0.055;
  const ERRORS = 1; // of Vega's levels: an axis without intervals is no reason to warn a reader
  const Z975 = 1.959964;
  const OTHER = "other";
  const OWN_TOOL = "llm-cost-bench";
  const UTILISATIONS = [0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0];

  // --- what rows are called: naming.py --------------------------------------------------------------------------

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

  function group(row, naming) {
    const tool = row.origin.tool === OWN_TOOL ? "" : `(${row.origin.tool})`;
    const words = [row.model, row.precision, naming.runners ? row.runner : "", row.options, tool];
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
    if (known(row.level)) return whole(row.level);
    return known(row.batch_size) ? `B${row.batch_size}` : "";
  }

  const placeOf = (row) => row.batch_size ?? row.level ?? 0;

  function namingOf(rows) {
    const seen = rows.filter(believable);
    const several = (of) => new Set(seen.map(of)).size > 1;
    const batches = seen.filter((row) => row.kind === "batch");
    const naming = {
      runners: several((row) => row.runner),
      hardware: several((row) => row.machine),
      lengths: new Set(batches.map((row) => `${row.input_tokens} ${row.output_tokens}`)).size > 1,
      byPrecision: false,
      groups: new Map(),
    };
    for (const row of seen) naming.groups.set(row, group(row, naming));
    const groups = counted(naming.groups.values());
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
    const name = naming.byPrecision ? shown(row.precision) : label;
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

  // --- a line a row: lines.py, cost_by_precision.py -------------------------------------------------------------

  function lines(cheapest, naming, start) {
    const groups = new Map();
    for (const [row, usd] of cheapest) {
      const name = identity(row);
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push([row, usd]);
    }
    const made = [];
    let order = start;
    for (const members of groups.values()) {
      let head = naming.groups.get(members[0][0]);
      for (const [row, usd] of sorted(members, ([one, its]) => [placeOf(one), its.value, one.key])) {
        const above = head === null ? null : order;
        if (head !== null) order += 1;
        made.push({ row, usd, order, head, head_order: above });
        order += 1;
        head = null;
      }
    }
    return made;
  }

  /** API → Map of a row's key → $/Mtok: the chosen one and the cheapest, ascending. */
  function asks(drawn, state) {
    const found = new Map();
    for (const row of drawn) {
      for (const api of row.priced.apis) {
        const usd = apiDollars(row, api, state);
        if (!known(usd)) continue;
        if (!found.has(api.api)) found.set(api.api, new Map());
        found.get(api.api).set(row.key, usd);
      }
    }
    const least = (name) => Math.min(...found.get(name).values());
    const kept = sorted([...found.keys()], (name) => [name === state.api ? 0 : 1, least(name), name]).slice(0, MOST_APIS);
    return sorted(kept, (name) => [least(name), name]).map((name) => [name, found.get(name)]);
  }

  function apiPoints([name, prices], lane, end, made) {
    const low = Math.min(...prices.values());
    const high = Math.max(...prices.values());
    const same = high - low <= 1e-9 * high && prices.size === made.length;
    const point = {
      kind: "api",
      api: name,
      label: shown(name),
      order: lane,
      order_end: same ? end : lane,
      usd_per_mtok: low,
      usd_per_mtok_low: same ? null : low,
      usd_per_mtok_high: same ? null : high,
    };
    if (same) return [point];
    const ticks = made.filter((line) => prices.has(line.row.key)).map((line) => ({
      ...point,
      kind: "api for a row",
      key: line.row.key,
      order: line.order,
      order_end: line.order,
      usd_per_mtok: prices.get(line.row.key),
      usd_per_mtok_low: null,
      usd_per_mtok_high: null,
    }));
    return [point, ...ticks];
  }

  function costByPrecision(rows, state, naming) {
    const found = sorted(pricedRows(rows, state), ([row, usd]) => [usd.value, row.key]).slice(0, MOST_LINES);
    const lanes = asks(found.map(([row]) => row), state);
    const made = lines(found, naming, lanes.length);
    const end = made.length ? made[made.length - 1].order : 0;
    const against = found.length ? Dollars.cheapest(found[0][0].priced, Dollars.asked(found[0][0], state)) : null;
    const isAsked = lanes.some(([name]) => name === state.api);
    const chosen = isAsked ? state.api : against && against.api;
    const apis = lanes.flatMap((lane, number) => apiPoints(lane, number, end, made));
    return [
      ...apis.map((one) => ({ ...one, chosen: one.api === chosen })),
      ...made.map(({ row, usd, order, head, head_order }) => ({
        ...pointOf(row, naming), order, head, head_order, ...asFields(usd),
      })),
    ];
  }

  // --- fronts: front.py, fronts.py ------------------------------------------------------------------------------

  const endsOf = (of) => ({ value: of.value, low: of.low ?? of.value, high: of.high ?? of.value });
  const turned = (of) => ({ value: -of.value, low: -of.high, high: -of.low });

  /** How many of ascending values are below one. */
  function countBelow(values, limit) {
    let [low, high] = [0, values.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[middle] < limit) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function leastByValue(pairs, axis) {
    const found = new Map();
    for (const pair of pairs) {
      const high = pair[1 - axis].high;
      found.set(pair[axis].value, Math.min(found.get(pair[axis].value) ?? Infinity, high));
    }
    return found;
  }

  /** Of pairs of ends, less being better: "yes", "perhaps" or "no" for each. */
  function standing(pairs) {
    const found = pairs.map(() => "perhaps");
    let least = Infinity;
    for (const at of sorted([...pairs.keys()], (one) => [pairs[one][0].value, pairs[one][1].value])) {
      if (pairs[at][1].value < least) {
        found[at] = "yes";
        least = pairs[at][1].value;
      }
    }
    const byHigh = sorted([...pairs.keys()], (one) => [pairs[one][0].high]);
    const highs = byHigh.map((one) => pairs[one][0].high);
    const lowest = [Infinity];
    for (const one of byHigh) lowest.push(Math.min(lowest[lowest.length - 1], pairs[one][1].high));
    const [sameX, sameY] = [leastByValue(pairs, 0), leastByValue(pairs, 1)];
    pairs.forEach(([x, y], at) => {
      const isBeaten = lowest[countBelow(highs, x.low)] < y.low || sameX.get(x.value) < y.low || sameY.get(y.value) < x.low;
      if (isBeaten && found[at] !== "yes") found[at] = "no";
    });
    return found;
  }

  function isLog(values) {
    const least = leastOf(values);
    return values.length > 0 && least > 0 && mostOf(values) > LOG_FROM * least;
  }

  /* Math.min(...values) ends where there are too many arguments. */
  const leastOf = (values) => values.reduce((one, other) => Math.min(one, other), Infinity);
  const mostOf = (values) => values.reduce((one, other) => Math.max(one, other), -Infinity);

  function shares(values) {
    const seen = isLog(values) ? values.map(Math.log) : values;
    const [low, high] = [leastOf(seen), mostOf(seen)];
    return seen.map((one) => (high > low ? (one - low) / (high - low) : 0));
  }

  function labelFront(kept, x, y) {
    const [across, up] = [x, y].map((field) => shares(kept.map((one) => one[field])));
    const taken = [];
    kept.forEach((one, at) => {
      const isFree = taken.every(([a, b]) => Math.abs(across[at] - a) >= NEAR_X || Math.abs(up[at] - b) >= NEAR_Y);
      if (one.front === "yes" && isFree) taken.push([across[at], up[at]]);
      else one.mark_text = "";
    });
  }

  /** `seen`: {row, usd, against, contest, figures}; `x` and `y`: the fields on the axes. */
  function frontPoints(seen, naming, x, y) {
    const contests = new Map();
    const made = seen.map((one) => {
      if (!contests.has(one.contest)) contests.set(one.contest, []);
      const point = {
        ...pointOf(one.row, naming), ...asFields(one.usd), ...one.figures, mark_text: short(one.row),
      };
      contests.get(one.contest).push([one, point]);
      return point;
    });
    [...contests.values()].forEach((members, number) => {
      const judged = standing(members.map(([one]) => [endsOf(one.usd), one.against]));
      members.forEach(([, point], at) => Object.assign(point, { front: judged[at], contest: `front ${number + 1}` }));
    });
    const rank = { yes: 0, perhaps: 1, no: 2 };
    const onFront = made.filter((one) => one.front === "yes").length;
    const most = Math.min(Math.max(MOST_MARKS, onFront), MOST_ON_FRONTS);
    const ranked = sorted(made, (one) => [rank[one.front], one.usd_per_mtok, one.key]).slice(0, most);
    const kept = sorted(ranked, (one) => [one.usd_per_mtok, one.key]);
    labelFront(kept, x, y);
    const fits = (which) => kept.filter((one) => which.includes(one.front)).length <= MOST_BARS;
    const withBars = [["yes", "perhaps"], ["yes"]].find(fits) || [];
    for (const one of kept) one.bars = withBars.includes(one.front);
    return kept;
  }

  // --- cost_quality.py, cost_speed.py ---------------------------------------------------------------------------

  function lossOf(row, field) {
    const of = row.quality;
    if (of.reason) return null;
    if (of.is_reference) return [0, null];
    const [middle, error] = field === "delta_nll_nats" ? [of.delta_nll, of.delta_nll_se] : [of.kl_mean, of.kl_mean_se];
    return known(middle) ? [middle, known(error) ? Z975 * error : null] : null;
  }

  function costQuality(rows, state, naming) {
    const has = rows.some((row) => believable(row) && known(row.quality.delta_nll));
    const field = has ? "delta_nll_nats" : "kl_nats";
    const seen = [];
    for (const [row, usd] of pricedRows(rows, state)) {
      const loss = lossOf(row, field);
      if (loss === null) continue;
      const [middle, half] = loss;
      const figures = {
        [field]: middle,
        same_top_1: row.quality.is_reference ? 1 : row.quality.same_top_1 ?? null,
        [`${field}_low`]: half === null ? null : middle - half,
        [`${field}_high`]: half === null ? null : middle + half,
      };
      const against = { value: middle, low: middle - (half ?? 0), high: middle + (half ?? 0) };
      const contest = JSON.stringify([row.model, row.quality.text, row.quality.reference || ""]);
      seen.push({ row, usd, against, contest, figures });
    }
    return frontPoints(seen, naming, "usd_per_mtok", field);
  }

  function costSpeed(rows, state, naming) {
    const field = "tokens_per_s_per_user";
    const seen = [];
    for (const [row, usd] of pricedRows(rows, state)) {
      const speed = row.figures[field];
      if (!speed) continue;
      const figures = { [field]: speed.value, [`${field}_low`]: speed.low, [`${field}_high`]: speed.high };
      seen.push({ row, usd, against: turned(endsOf(speed)), contest: row.model, figures });
    }
    return frontPoints(seen, naming, field, "usd_per_mtok");
  }

  // --- break_even.py --------------------------------------------------------------------------------------------

  function bestOfGroups(rows, state) {
    const found = new Map();
    for (const [row, usd] of pricedRows(rows, state)) {
      const last = found.get(identity(row));
      if (!last || compare([usd.value, row.key], last.by) < 0) found.set(identity(row), { by: [usd.value, row.key], row });
    }
    return sorted([...found.values()], (one) => one.by).slice(0, MOST_CURVES).map((one) => one.row);
  }

  function curvePoint(row, naming) {
    const point = pointOf(row, naming);
    return { ...point, series: shown(`${point.label}, ${point.detail}`) };
  }

  function curve(row, naming, state) {
    const made = [];
    for (const utilisation of UTILISATIONS) {
      const usd = Dollars.usdPerMtok(row.priced, { ...Dollars.asked(row, state), utilisation });
      if (known(usd)) made.push({ ...curvePoint(row, naming), utilisation, ...asFields(usd) });
    }
    return made;
  }

  function apiLines(best, state) {
    const found = new Map();
    for (const row of best) {
      for (const api of row.priced.apis) {
        const usd = apiDollars(row, api, state);
        if (known(usd) && !found.has(api.api)) found.set(api.api, usd);
      }
    }
    const kept = sorted([...found.keys()], (name) => [name === state.api ? 0 : 1, found.get(name), name]);
    return sorted(kept.slice(0, MOST_APIS), (name) => [found.get(name), name]).map((name) => ({
      kind: "api", api: name, label: shown(name), usd_per_mtok: found.get(name), chosen: name === state.api,
    }));
  }

  /* On which side an API's name stands; on neither, where two others are already too near. */
  function labelApis(curves, apis) {
    const places = shares([...curves, ...apis].map((one) => one.usd_per_mtok)).slice(curves.length);
    const taken = { right: [], left: [] };
    apis.forEach((one, at) => {
      const isFree = (side) => taken[side].every((other) => Math.abs(places[at] - other) >= NEAR_NAME);
      one.side = ["right", "left"].find(isFree) || "";
      if (one.side) taken[one.side].push(places[at]);
    });
  }

  function meeting(row, naming, state) {
    const of = Dollars.asked(row, state);
    const named = row.priced.apis.find((one) => one.api === state.api);
    const against = known(state.api) ? named : Dollars.cheapest(row.priced, of);
    if (!against) return [];
    const found = Dollars.breakEven(row.priced, against, of);
    const usd = Dollars.apiUsdPerMtok(row.priced, against, of);
    const least = UTILISATIONS[0];
    if (!known(found) || !known(usd) || !(least <= found.value && found.value <= 1)) return [];
    return [{
      ...curvePoint(row, naming),
      kind: "break-even",
      api: shown(against.api),
      utilisation: found.value,
      utilisation_low: known(found.low) ? Math.max(found.low, least) : null,
      utilisation_high: known(found.high) ? Math.min(found.high, 1) : null,
      usd_per_mtok: usd,
    }];
  }

  function breakEven(rows, state, naming) {
    const best = bestOfGroups(rows, state);
    const curves = best.flatMap((row) => curve(row, naming, state));
    const apis = apiLines(best, state);
    labelApis(curves, apis);
    return [...curves, ...apis, ...best.flatMap((row) => meeting(row, naming, state))];
  }

  // --- cost_load.py ---------------------------------------------------------------------------------------------

  function loadPoints(row, naming, state) {
    const words = row.slo_met === true ? "met" : row.slo_met === false ? "missed" : known(row.slo) ? "undecided" : "none";
    const point = pointOf(row, naming);
    const base = { ...point, level: row.level, level_unit: row.level_unit ?? null, objectives: words, series: point.label };
    const dollars = (of, more) => {
      const usd = of ? Dollars.usdPerMtok(of, Dollars.asked(row, state)) : null;
      return known(usd) ? [{ ...base, ...more, ...asFields(usd) }] : [];
    };
    return [
      ...dollars(row.priced, { kind: "row", line: "all tokens" }),
      ...dollars(row.good, { kind: "good", line: "what met the objectives" }),
    ];
  }

  function costLoad(rows, state, naming) {
    const loads = rows.filter((row) => believable(row) && row.priced && known(row.level) && known(row.family));
    const units = counted(loads.map((row) => row.level_unit || ""));
    const [unit] = sorted([...units], ([name, count]) => [-count, name])[0] || [""];
    const families = new Map();
    for (const row of sorted(loads, (one) => [one.level, one.key])) {
      if ((row.level_unit || "") !== unit) continue;
      if (!families.has(row.family)) families.set(row.family, []);
      if (families.get(row.family).length < MOST_LEVELS) families.get(row.family).push(row);
    }
    const found = [];
    const alike = new Map();
    for (const [family, members] of families) {
      const made = members.flatMap((row) => loadPoints(row, naming, state));
      if (!made.length) continue;
      const name = made[0].series;
      const number = (alike.get(name) || 0) + 1;
      alike.set(name, number);
      found.push([family, number > 1 ? made.map((one) => ({ ...one, series: `${name}, load ${number}` })) : made]);
    }
    const kept = sorted(found, ([family, made]) => [leastOf(made.map((one) => one.usd_per_mtok)), family]);
    return kept
      .slice(0, MOST_FAMILIES)
      .flatMap(([, made], number) => made.map((one) => ({ ...one, family: String(number + 1) })));
  }

  const FOLLOWING = {
    "cost-by-precision": costByPrecision,
    "cost-quality": costQuality,
    "cost-speed": costSpeed,
    "break-even": breakEven,
    "cost-load": costLoad,
  };

  /** The points of a chart with dollars for what the controls ask; null for a chart that does not follow. */
  function points(id, rows, state) {
    return Object.hasOwn(FOLLOWING, id) ? FOLLOWING[id](rows, state, namingFor(rows)) : null;
  }

  // --- drawing --------------------------------------------------------------------------------------------------

  let bubble = null;

  /* What is under the pointer, as text; the same figures stand in the chart's table. */
  function tip(_handler, event, _item, value) {
    if (!bubble) {
      bubble = document.createElement("dl");
      bubble.className = "chart-tip";
      bubble.setAttribute("aria-hidden", "true");
      Object.assign(bubble.style, {
        position: "fixed", zIndex: 50, margin: 0, padding: "8px 10px", maxWidth: "min(340px, 90vw)",
        display: "none", gridTemplateColumns: "auto 1fr", gap: "2px 10px", pointerEvents: "none", borderRadius: "6px",
        font: "12px/1.4 system-ui, sans-serif", color: "var(--chart-ink, CanvasText)", overflowWrap: "anywhere",
        background: "var(--chart-surface, Canvas)", border: "1px solid var(--chart-muted, GrayText)",
      });
      document.body.append(bubble);
    }
    const isShown = value !== null && typeof value === "object";
    bubble.style.display = isShown ? "grid" : "none";
    if (!isShown) return;
    const cells = Object.entries(value).filter(([, text]) => known(text) && text !== "" && text !== "null");
    bubble.replaceChildren(...cells.flatMap(([name, text]) => [cell("dt", name), cell("dd", text)]));
    const { width, height } = bubble.getBoundingClientRect();
    const left = event.clientX + 14 + width > window.innerWidth ? event.clientX - 14 - width : event.clientX + 14;
    const top = event.clientY + 14 + height > window.innerHeight ? event.clientY - 14 - height : event.clientY + 14;
    bubble.style.left = `${Math.max(4, left)}px`;
    bubble.style.top = `${Math.max(4, top)}px`;
  }

  function cell(tag, text) {
    const made = document.createElement(tag);
    made.textContent = String(text);
    made.style.margin = 0;
    if (tag === "dt") made.style.opacity = 0.8;
    return made;
  }

  const drawn = new WeakMap();

  /** Draws a chart ({spec, points, title, alt}) into an element; a promise of Vega's view.

      Colours are CSS custom properties, so that a change of theme and print need no drawing; `theme` is not needed. */
  async function draw(element, chart, _theme) {
    const before = drawn.get(element);
    if (before) before.finalize();
    const place = document.createElement("div");
    Object.assign(place.style, { width: "100%", display: "block" });
    element.replaceChildren(place);
    const spec = { ...chart.spec, datasets: { points: copies(chart.points) } };
    // The interpreter of expressions: a policy without unsafe-eval forbids Vega's own code generation.
    const made = await vegaEmbed(place, spec, {
      mode: "vega-lite", ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: tip, hover: false,
      logLevel: ERRORS,
    });
    const watcher = new ResizeObserver(() => fit(made.view, place));
    watcher.observe(place);
    drawn.set(element, { finalize: () => { watcher.disconnect(); made.finalize(); } });
    describe(element, place.querySelector("svg"), chart);
    // The legend wraps at a width that is known after the first pass alone.
    return made.view.resize().runAsync();
  }

  /* Vega takes the objects that it is given for its own. */
  const copies = (of) => of.map((one) => ({ ...one }));

  function fit(view, place) {
    const width = place.clientWidth;
    if (width > 0 && Math.abs(view.signal("width") - width) > 1 && place.dataset.width !== String(width)) {
      place.dataset.width = String(width);
      window.dispatchEvent(new Event("resize"));
    }
  }

  /* Where the element itself is called an image, with a name and a description, its content is not read twice. */
  function describe(element, svg, chart) {
    Object.assign(svg.style, { maxWidth: "100%", height: "auto", display: "block" });
    if (element.getAttribute("role") === "img") {
      svg.setAttribute("aria-hidden", "true");
      return;
    }
    const text = document.createElementNS("http://www.w3.org/2000/svg", "desc");
    text.id = `${chart.id}-description`;
    text.textContent = chart.alt;
    svg.append(text);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", chart.title);
    svg.setAttribute("aria-describedby", text.id);
  }

  /** Shows other points in a view; a promise that ends when they are drawn. */
  function update(view, made) {
    const orders = made.filter((one) => known(one.order)).map((one) => one.order);
    if (orders.length) view.height(LINE_HEIGHT * (mostOf(orders) + 1));
    return view.data("points", copies(made)).resize().runAsync();
  }

  return { points, draw, update };
})();
