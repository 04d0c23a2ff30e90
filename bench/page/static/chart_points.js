/* The points of charts, made anew for another price, utilisation, mix or API: the rules of bench/page/charts/, function
   by function. tests/test_charts_browser.py holds both to the same points. */
const ChartPoints = (() => {
  "use strict";

  const {
    known, shown, believable, identity, counted, compare, sorted, detail, short, placeOf, namingFor, pointOf,
    apiDollars, asFields, pricedRows, leastOf, mostOf,
  } = ChartRows;

  const MOST_LINES = 40;
  const MOST_APIS = 6;
  const MOST_MARKS = 300;
  const MOST_ON_FRONTS = 1200;
  const MOST_BARS = 60;
  const MOST_CURVES = 6;
  const MOST_FAMILIES = 6;
  const MOST_LEVELS = 60;
  const LOG_FROM = 10;
  const NEAR_X = 0.3;
  const NEAR_Y = 0.07;
  const NEAR_NAME = 0.055;
  const Z975 = 1.959964;
  const UTILISATIONS = [0.01, 0.015, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 1.0];

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
      let head = naming.names.get(members[0][0]);
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
    let holder = null;
    for (const at of sorted([...pairs.keys()], (one) => [pairs[one][0].value, pairs[one][1].value])) {
      const [x, y] = [pairs[at][0].value, pairs[at][1].value];
      if (y < least || (y === least && x === holder)) {
        found[at] = "yes"; // twins in both figures do not beat each other
        [least, holder] = [y, x];
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
      const { text, text_sha256, window_tokens, context_tokens, reference } = row.quality;
      const contest = JSON.stringify([row.model, text, text_sha256, window_tokens, context_tokens, reference || ""]);
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
    return { ...point, curve: naming.names.get(row) };
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
    const base = { ...point, level: row.level, level_unit: row.level_unit ?? null, objectives: words, curve: naming.names.get(row) };
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
      const name = made[0].curve;
      const number = (alike.get(name) || 0) + 1;
      alike.set(name, number);
      found.push([family, number > 1 ? made.map((one) => ({ ...one, curve: `${name}, load ${number}` })) : made]);
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

  return { points };
})();
