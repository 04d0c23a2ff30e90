/* The answer first: bench/entries/headline.py, function by function, and the very same string.
   Numbers are written by Numbers (numbers.js), as bench/report/table.py writes them. */
const Headline = (() => {
  "use strict";

  const LONGEST = 80;
  const WIDEST = 1000;
  const SPACES = /[\t\n\x0b\x0c\r ]+/g;
  /* What a screen obeys instead of showing it: controls, directions and joiners. */
  const UNSEEN = /[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

  const known = (one) => one !== null && one !== undefined;
  const inDoubt = (of) => known(of.low) && known(of.high) && of.low <= 1 && 1 < of.high;

  /** The answer in one sentence, on the cheapest row at what the controls ask; then what it holds for. Where no row has
      dollars, why not. */
  function headline(entries, state) {
    const found = entries.map((entry) => candidate(entry, state)).filter(known);
    if (!found.length) return noneBecause(entries, state);
    const judged = found.filter((one) => known(one.entry.slo_met)).map((one) => one.entry);
    const met = found.filter((one) => one.entry.slo_met);
    const compared = found.filter((one) => one.ratio !== null);
    const among = met.length ? met : compared.length ? compared : found;
    const best = among.reduce((least, one) => (rank(one).value < rank(least).value ? one : least));
    const missed = judged.length && !met.length ? ` None of the loads here meets ${shown(judged[0].slo ?? "")}.` : "";
    const answer = `${costs(best)}; ${against(best, state)}.`;
    return `${answer} Measured with ${terms(best)}${alike(best, among)}; ${quality(best.entry)}.${missed}`;
  }

  /* null where the row has no dollars at what is asked. Of a load that met its objectives, what met them. */
  function candidate(entry, state) {
    const priced = (entry.slo_met && known(entry.good) ? entry.good : entry.priced) ?? null;
    const asked = Dollars.asked(entry, state);
    const usd = priced === null ? null : Dollars.usdPerMtok(priced, asked);
    if (usd === null) return null;
    const named = priced.apis.find((one) => one.api === state.api) ?? null;
    const api = known(state.api) ? named : Dollars.cheapest(priced, asked);
    const ratio = api === null ? null : Dollars.ratio(priced, api, asked);
    return { entry, priced, asked, usd, api, ratio };
  }

  /* Over the API where there is one: rows of other lengths have other dollars a token. */
  function rank(of) {
    return of.ratio === null ? of.usd : of.ratio;
  }

  function noneBecause(entries, state) {
    if (!entries.length) return "Nothing was measured.";
    const unmixed = { ...state, mix: null, api: null };
    if (known(state.mix) && entries.some((one) => candidate(one, unmixed) !== null)) {
      return `No dollars ${mixText(state.mix)}: the bill of no row can be split into input and output.`;
    }
    let why = [...new Set(entries.filter((one) => one.no_dollars_because).map((one) => shown(one.no_dollars_because)))];
    if (!why.length) {
      const counts = new Map();
      for (const one of entries) counts.set(one.status, (counts.get(one.status) ?? 0) + 1);
      why = [`of ${[...counts].map(([status, count]) => `${count} ${status}`).join(", ")} none was priced`];
    }
    const more = why.length > 3 ? `; and ${why.length - 3} more reasons` : "";
    return `No dollars: ${why.slice(0, 3).join("; ")}${more}.`;
  }

  // --- here -------------------------------------------------------------------------------------------------------

  /* What the row is, and what it costs. */
  function costs(best) {
    const { entry: one, priced, asked } = best;
    const of = priced === one.good ? ` of requests within ${shown(one.slo ?? "")}` : "";
    const mix = known(asked.mix) ? ` ${mixText(asked.mix)}` : "";
    if (Dollars.usdPerHour(priced, asked) === null) {
      return `Paid by the token, ${name(one)} costs $${Numbers.number(best.usd.value)} per Mtok${mix}`;
    }
    return `Self-hosting ${name(one)} costs ${rangeText(best.usd)} per Mtok${of}${mix}`;
  }

  /* What the dollars hold for: workload, engine, machine, price of the hour, utilisation; and the row's doubts. */
  function terms(best) {
    const { entry: one, priced, asked } = best;
    const tool = one.kind !== "imported" ? "" : `, by ${shown(one.origin.tool)}`;
    const where = `${shown(one.workload)}, ${shown(one.runner)} on ${shown(one.hardware)}${tool}`;
    const doubt = one.verdict.length ? ` (verdict: ${verdictText(one)})` : "";
    const paid = Dollars.usdPerHour(priced, asked) === null;
    return `${where}, ${paid ? shown(priced.rate_basis) : at(best)}${doubt}`;
  }

  /* The codes against it, or the status of a failure. */
  function verdictText(of) {
    return of.status !== "ok" ? of.status : of.verdict.map((one) => one.code).join(", ") || "VALID";
  }

  /* The utilisation and the hourly price that the dollars hold for, and what is in them beside the hour. */
  function at({ priced, asked }) {
    const flags = known(asked.usd_per_hour) ? "" : shown(priced.rate_flags.join(", "));
    const perHour = `$${Numbers.number(Dollars.usdPerHour(priced, asked))} an hour${flags ? ` [${flags}]` : ""}`;
    const extra = Dollars.besideUsdPerMtok(priced, asked);
    const beside = extra === null ? "" : `, $${Numbers.number(extra.value)} beside the hour included`;
    if (!Dollars.idles(priced, asked)) return `at ${perHour} while it serves${beside}`;
    return `at ${Numbers.percent(Dollars.utilisation(priced, asked))} utilisation and ${perHour}${beside}`;
  }

  /* Model and precision; what serves an endpoint's weights, nobody knows. */
  function name(of) {
    const random = of.random_weights && !of.model.includes("random weights") ? " (random weights)" : "";
    const precision = ["", "served"].includes(of.precision) ? "" : ` at ${shown(of.precision)}`;
    return `${shown(of.model)}${random}${precision}`;
  }

  function mixText(mix) {
    return `at ${partText(mix[0])} in : ${partText(mix[1])} out`;
  }

  /* A whole number without a point. */
  function partText(part) {
    return part === Math.trunc(part) && part < 1e6 ? String(part) : Numbers.number(part);
  }

  /* The interval, or the value and why it has none. */
  function rangeText(of) {
    const half = Numbers.half(of);
    if (!known(of.low) && known(of.high)) return `at most $${Numbers.number(of.high)}`;
    if (half === null) {
      const why = of.n === 1 ? "one replicate, so no interval" : "its interval is not known";
      return `about $${Numbers.number(of.value)} (${why})`;
    }
    if (half >= WIDEST) return `about $${Numbers.number(of.value)} (${Numbers.width(half)})`;
    const [low, high] = [Numbers.number(of.low), Numbers.number(of.high)];
    return low === high ? `$${low}` : `$${low}–$${high}`;
  }

  // --- and there --------------------------------------------------------------------------------------------------

  /* What the API asks for the same, and from where on it is cheaper here. */
  function against(best, state) {
    const { api, priced, asked } = best;
    const usd = api === null ? null : Dollars.apiUsdPerMtok(priced, api, asked);
    if (usd === null || best.ratio === null) {
      return `it is compared with no API${known(state.api) ? `, ${shown(state.api)} neither` : ""}`;
    }
    const stale = api.stale ? ", a price that nobody has confirmed for 90 days" : "";
    const own = api.tokens_per_own;
    const counted = !known(own) || Math.abs(own - 1) < 0.01 ? "" : ` (it counts ${Numbers.number(own)} for each of ours)`;
    const same = known(asked.mix) ? "that mix" : "the same tokens";
    return `${shown(api.api)} costs $${Numbers.number(usd)} for ${same}${counted}${stale}; ${outcome(best)}`;
  }

  /* Who wins, and from what utilisation on. */
  function outcome({ ratio, api, priced, asked }) {
    const doubt = "the interval reaches to both sides";
    if (Dollars.usdPerHour(priced, asked) === null) {
      return `this endpoint costs ${Numbers.number(ratio.value)} times that`;
    }
    if (!Dollars.idles(priced, asked)) {
      if (inDoubt(ratio)) return `whether self-hosting is cheaper cannot be told: ${doubt}`;
      return `self-hosting is ${ratio.value > 1 ? "dearer" : "cheaper"}, and nothing idles`;
    }
    const share = Dollars.breakEven(priced, api, asked);
    if (share === null) return "self-hosting is never cheaper: what tokens cost beside the hour is more";
    if (inDoubt(share)) return `whether self-hosting is ever cheaper cannot be told: ${doubt}`;
    if (share.value > 1) return "self-hosting is never cheaper, at no utilisation";
    return `self-hosting is cheaper from ${Numbers.percent(share.value)} utilisation on`;
  }

  /* Other rows that may as well be the cheapest. */
  function alike(best, among) {
    const others = among.filter((one) => one !== best);
    const top = rank(best).high;
    if (!known(top)) return others.length ? "; without an interval nobody can tell it from the other rows" : "";
    const near = others.filter((one) => known(rank(one).low) && rank(one).low < top);
    const names = near.slice(0, 2).map((one) => `${name(one.entry)} (${shown(one.entry.workload)})`);
    if (near.length > 2) names.push(`${near.length - 2} more row${near.length > 3 ? "s" : ""}`);
    const listed = names.slice(0, -1).join(", ") + (names.length > 1 ? " and " : "") + names.slice(-1).join("");
    return near.length ? `; by the intervals it may as well be ${listed}` : "";
  }

  /* What was compared and what was not. */
  function quality(of) {
    const found = of.quality;
    const theirs = "the API's quality is not compared";
    if (known(found.kl_mean)) {
      const reference = found.reference ? ` against ${shown(found.reference)}` : "";
      return `at KL ${Numbers.number(found.kl_mean)}${reference}; ${theirs}`;
    }
    if (known(found.bits_per_byte)) {
      const itself = found.is_reference ? ", the reference itself" : "";
      return `at ${Numbers.number(found.bits_per_byte, 4)} bits per byte${itself}; ${theirs}`;
    }
    return "quality not compared";
  }

  /* A name that others wrote, in one line, with nothing in it that changes the line, and not without end. */
  function shown(text) {
    const line = [...text.replace(SPACES, " ").replace(UNSEEN, "\ufffd")];
    return line.length <= LONGEST ? line.join("") : line.slice(0, LONGEST - 1).join("") + "…";
  }

  return { headline };
})();
