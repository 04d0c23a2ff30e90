/* Dollars at other prices, another utilisation, another mix of tokens: bench/entries/mixed.py, function by function.
   tests/data/dollars.json holds both to the same answers. An estimate is {value, low, high, n}; null where nobody knows.

     machine   = R · s / (3600 · u)      s: machine seconds of a million tokens, of the row's own or of a mix
     beside    = one-off costs + the owner's electricity, which goes with s
     own       = machine + beside, or the bill of an endpoint that is paid by the token
     ratio     = own / API
     break-even utilisation = machine at u = 1 / (API − beside)
*/
const Dollars = (() => {
  "use strict";

  const SECONDS_PER_HOUR = 3600;
  /* Least and most, as bench/entries/priced.py has them. */
  const USD_PER_HOUR = [1e-9, 1e6];
  const UTILISATION = [1e-6, 1];

  /* 97.5 % points of Student's t by degrees of freedom: bench/metrics/statistics.py. */
  const T975 = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
  ];
  const WAVES = 5;

  const known = (one) => one !== null && one !== undefined;

  // --- the assumptions that count ---------------------------------------------------------------------------------

  /** What the controls ask of this row: a price per hour may be meant for one machine alone. */
  function asked(row, state) {
    const meant = !known(state.machine) || state.machine === row.machine;
    return {
      usd_per_hour: meant && known(state.usd_per_hour) ? state.usd_per_hour : null,
      utilisation: state.utilisation ?? null,
      mix: state.mix ?? null,
    };
  }

  /** What is wrong with what is asked, in words; null where nothing is. */
  function fault(of) {
    for (const [name, [least, most]] of Object.entries({ usd_per_hour: USD_PER_HOUR, utilisation: UTILISATION })) {
      const value = of[name];
      if (known(value) && !(least <= value && value <= most)) return `${name}: must be from ${least} to ${most}`;
    }
    const parts = of.mix ?? [1, 1];
    return parts.every((part) => 0 < part && part < Infinity) ? null : "mix: must be two parts above 0, such as 3 and 1";
  }

  /** Whether there are hours that serve nothing. At a price per hour that is asked for, every machine has them. */
  function idles(priced, of) {
    return priced.idles || (known(of.usd_per_hour) && known(priced.own_s_per_mtok));
  }

  /** The share of its paid hours that the machine serves; 1 where nothing idles, whatever is asked. */
  function utilisation(priced, of) {
    if (!idles(priced, of)) return 1;
    if (known(of.utilisation)) return of.utilisation;
    return priced.idles || !known(priced.asked_utilisation) ? priced.utilisation : priced.asked_utilisation;
  }

  /** Of the machine; null of an endpoint that is paid by the token, and where nobody knows. */
  function usdPerHour(priced, of) {
    if (!known(priced.own_s_per_mtok)) return null;
    return (known(of.usd_per_hour) ? of.usd_per_hour : priced.usd_per_hour) ?? null;
  }

  // --- seconds ----------------------------------------------------------------------------------------------------

  /** Machine seconds of a million tokens at full load; null where the mix that is asked for cannot be told. */
  function secondsPerMtok(priced, of) {
    const own = priced.own_s_per_mtok ?? null;
    const mixing = priced.mixing ?? null;
    if (own === null || !known(of.mix)) return own;
    if (mixing === null) return null;
    const [ofInput, ofOutput] = shares(of.mix);
    const value = ofInput * mixing.input_s + ofOutput * mixing.output_s;
    if (mixing.method === "own") return times(own, value / own.value);
    const each = mixing.each.map(([one, other]) => ofInput * one + ofOutput * other);
    const half = known(mixing.fit) ? halfS(mixing.fit, ofInput, ofOutput) : 0;
    return around(value, estimate(each) ?? own, half);
  }

  function shares(mix) {
    const whole = mix[0] + mix[1];
    return [mix[0] / whole, mix[1] / whole];
  }

  /* What the fit's error makes of the seconds; null where nobody knows it. */
  function halfS(fit, ofInput, ofOutput) {
    const mix = [ofInput, 0, fit.tokens[2] ? ofOutput : 0];
    const half = halfWidth(gradientOf(fit.seconds, fit.tokens, mix), fit.squares ?? null, fit.pulls ?? []);
    return half === null ? null : fit.scale_s * half;
  }

  // --- dollars ----------------------------------------------------------------------------------------------------

  /** All that a million tokens cost, input and output together: what is compared with APIs. */
  function usdPerMtok(priced, of) {
    if (!known(priced.own_s_per_mtok)) return bill(priced, of);
    const machine = machineUsdPerMtok(priced, of);
    const extra = besideUsdPerMtok(priced, of);
    return machine === null || extra === null ? machine : added([machine, extra]);
  }

  /** The machine's part of it; null where there is none, or its price is not known. */
  function machineUsdPerMtok(priced, of) {
    return machineUsd(secondsPerMtok(priced, of), priced, of);
  }

  /** The machine's part of a million tokens of one kind: "input" (uncached), "cached" or "output". */
  function partUsdPerMtok(priced, part, of) {
    return machineUsd(priced[`${part}_s_per_mtok`] ?? null, priced, of);
  }

  /** What the row's own tokens would cost at the device's physical limit. */
  function floorUsdPerMtok(priced, of) {
    const perSecond = usdPerSecond(priced, of);
    return perSecond === null || !known(priced.floor_s_per_mtok) ? null : priced.floor_s_per_mtok * perSecond;
  }

  /** What a million tokens cost beside the hour: the same of each token, electricity by the machine's time. */
  function besideUsdPerMtok(priced, of) {
    const everything = priced.beside_usd_per_mtok ?? null;
    const power = priced.electricity_beside_usd_per_mtok ?? null;
    if (everything === null || power === null || (!known(of.usd_per_hour) && !known(of.mix))) return everything;
    const rest = everything.value - power.value;
    const parts = rest > 0 ? [{ value: rest, low: rest, high: rest, n: everything.n }] : [];
    const seconds = secondsPerMtok(priced, of);
    const own = priced.own_s_per_mtok ?? null;
    if (!known(of.usd_per_hour) && seconds !== null && own !== null) parts.push(times(power, seconds.value / own.value));
    return parts.length ? added(parts) : null;
  }

  function bill(priced, of) {
    const own = priced.billed_usd_per_mtok ?? null;
    const parts = priced.billed_parts_usd_per_mtok ?? null;
    if (own === null || !known(of.mix)) return own;
    if (parts === null) return null;
    const [ofInput, ofOutput] = shares(of.mix);
    const usd = ofInput * parts[0] + ofOutput * parts[1];
    return { value: usd, low: usd, high: usd, n: own.n };
  }

  /* Of work, idle hours included. */
  function usdPerSecond(priced, of) {
    const perHour = usdPerHour(priced, of);
    return perHour === null ? null : perHour / (SECONDS_PER_HOUR * utilisation(priced, of));
  }

  function machineUsd(seconds, priced, of) {
    const perSecond = usdPerSecond(priced, of);
    return seconds === null || perSecond === null ? null : times(seconds, perSecond);
  }

  // --- against APIs -----------------------------------------------------------------------------------------------

  /** What the API asks for the same: the row's own requests, or the mix in requests of the same size. */
  function apiUsdPerMtok(priced, api, of) {
    if (!known(of.mix)) return api.own_usd_per_mtok;
    const [ofInput, ofOutput] = shares(of.mix);
    return ofInput * api.input_usd_per_mtok + ofOutput * api.output_usd_per_mtok + (api.fee_usd_per_mtok ?? 0);
  }

  /** Here over the API: below 1 is cheaper here. null against an API that asks nothing. */
  function ratio(priced, api, of) {
    const own = usdPerMtok(priced, of);
    const usd = apiUsdPerMtok(priced, api, of);
    return own === null || !known(usd) || usd <= 0 ? null : times(own, 1 / usd);
  }

  /** The utilisation from which it is cheaper here: above 1 never, an infinite end too.

      null where what tokens cost beside the hour is all that the API asks, and where there is no machine. */
  function breakEven(priced, api, of) {
    const seconds = secondsPerMtok(priced, of);
    const perHour = usdPerHour(priced, of);
    const usd = apiUsdPerMtok(priced, api, of);
    if (seconds === null || perHour === null || !known(usd) || usd <= 0) return null;
    const atFullLoad = times(seconds, perHour / SECONDS_PER_HOUR);
    const extra = besideUsdPerMtok(priced, of) ?? { value: 0, low: 0, high: 0, n: seconds.n };
    return utilisationBeside(atFullLoad, extra, usd);
  }

  /** The cheapest of the compared APIs for the same tokens; the first of those that ask the same. */
  function cheapest(priced, of) {
    let found = null;
    let least = Infinity;
    for (const one of priced.apis) {
      const usd = apiUsdPerMtok(priced, one, of);
      if (known(usd) && usd < least) [found, least] = [one, usd];
    }
    return found;
  }

  // --- estimates: bench/metrics/statistics.py, bench/cost/lengths.py, bench/cost/break_even.py ----------------------

  function times(of, factor) {
    const scaled = (one) => (known(one) ? one * factor : null);
    return { value: of.value * factor, low: scaled(of.low), high: scaled(of.high), n: of.n };
  }

  function sum(values) {
    return values.reduce((whole, one) => whole + one, 0);
  }

  function dot(one, other) {
    return sum(one.map((left, at) => left * other[at]));
  }

  /* The sum of costs, low with low and high with high; without an interval where one of them has none. */
  function added(parts) {
    const whole = parts.every((one) => known(one.low) && known(one.high));
    return {
      value: sum(parts.map((one) => one.value)),
      low: whole ? sum(parts.map((one) => one.low)) : null,
      high: whole ? sum(parts.map((one) => one.high)) : null,
      n: Math.min(...parts.map((one) => one.n)),
    };
  }

  /* An end at which what is beside the hour is as much as the API asks is infinite: never. */
  function utilisationBeside(own, beside, usd) {
    const end = (machine, extra) => (extra < usd ? machine / (usd - extra) : Infinity);
    const value = end(own.value, beside.value);
    const n = Math.min(own.n, beside.n);
    if (![own.low, own.high, beside.low, beside.high].every(known)) {
      return value === Infinity ? null : { value, low: null, high: null, n };
    }
    const low = end(own.low, beside.low);
    return low === Infinity ? null : { value, low, high: end(own.high, beside.high), n };
  }

  /** Geometric mean and 95 % interval of positive values, one a replicate in order of time; null when there is none. */
  function estimate(values) {
    if (!values.length || Math.min(...values) <= 0) return null;
    if (values.length === 1) return { value: values[0], low: null, high: null, n: 1 };
    const logs = values.map(Math.log);
    const middle = sum(logs) / logs.length;
    const half = Math.max(halfOfAll(logs), halfOfWaves(logs));
    return { value: Math.exp(middle), low: Math.exp(middle - half), high: Math.exp(middle + half), n: logs.length };
  }

  /* Student's t: t(n − 1)·s/√n. */
  function halfOfAll(values) {
    const n = values.length;
    const middle = sum(values) / n;
    return t975(n - 1) * Math.sqrt(sum(values.map((one) => (one - middle) ** 2)) / (n - 1) / n);
  }

  /* The same with the mean power of the K slowest cosines for s² and K degrees of freedom. */
  function halfOfWaves(values) {
    const n = values.length;
    const waves = Math.min(WAVES, n - 1);
    let power = 0;
    for (let wave = 1; wave <= waves; wave += 1) {
      const part = sum(values.map((one, at) => one * Math.cos((Math.PI * wave * (at + 0.5)) / n)));
      power += (2 / n) * part * part;
    }
    return t975(waves) * Math.sqrt(power / waves / n);
  }

  /* Of whole degrees of freedom. */
  function t975(freedom) {
    if (freedom <= T975.length) return T975[freedom - 1];
    const z = 1.959963985;
    return z + (z ** 3 + z) / (4 * freedom) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * freedom ** 2);
  }

  /* A figure with the relative interval of `like` and another, independent error of ± `half`. */
  function around(value, like, half) {
    if (!known(like.low) || !known(like.high) || half === null) return { value, low: null, high: null, n: like.n };
    if (value <= 0) return { value, low: null, high: (half * like.high) / like.value, n: like.n };
    const share = half / value;
    const up = Math.hypot(Math.log(like.high / like.value), Math.log1p(share));
    const down = share < 1 ? Math.hypot(Math.log(like.low / like.value), Math.log1p(-share)) : null;
    return { value, low: down === null ? null : value * Math.exp(-down), high: value * Math.exp(up), n: like.n };
  }

  /* How the mix's share of what `tokens` cost changes with the seconds of a kind. */
  function gradientOf(seconds, tokens, mix) {
    const whole = dot(seconds, tokens);
    const value = dot(seconds, mix) / whole;
    return mix.map((part, at) => (part - value * tokens[at]) / whole);
  }

  /* The larger of two: by the residuals (`squares`) and by the replicates (`pulls`); null where nobody knows. */
  function halfWidth(gradient, squares, pulls) {
    const found = [];
    if (squares !== null) found.push(Math.sqrt(Math.max(dot(gradient, squares.map((line) => dot(line, gradient))), 0)));
    if (pulls.length) {
      // Errors of unlike rows are added with the degrees of freedom of Welch and Satterthwaite, rounded down.
      const each = pulls.map((pull) => (dot(gradient, pull.change) * pull.error) ** 2);
      const whole = sum(each);
      const fewest = sum(pulls.map((pull, at) => (each[at] * each[at]) / pull.freedom));
      found.push(fewest > 0 ? t975(Math.floor((whole * whole) / fewest + 1e-9)) * Math.sqrt(whole) : 0);
    }
    return found.length ? Math.max(...found) : null;
  }

  return {
    asked, fault, idles, utilisation, usdPerHour, secondsPerMtok, usdPerMtok, machineUsdPerMtok, partUsdPerMtok,
    floorUsdPerMtok, besideUsdPerMtok, apiUsdPerMtok, ratio, breakEven, cheapest,
  };
})();
