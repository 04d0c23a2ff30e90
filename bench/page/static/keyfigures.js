/* The strip under the headline: as bench/page/key_figures.py, for the state of the controls. */
const KeyFigures = (() => {
  "use strict";

  const { make, visible } = Dom;

  /* Of a load that met its objectives, what met them: the row's dollars as the headline counts them. */
  function candidate(row, state) {
    const priced = row.slo_met && row.good ? row.good : row.priced;
    if (!priced) return null;
    const asked = Dollars.asked(row, state);
    const usd = Dollars.usdPerMtok(priced, asked);
    if (!usd) return null;
    const api = state.api === null ? Dollars.cheapest(priced, asked) : priced.apis.find((one) => one.api === state.api) || null;
    return { row, priced, asked, usd, api, ratio: api && Dollars.ratio(priced, api, asked) };
  }

  /** The row that the headline is about: the cheapest against its API, among those that meet objectives if any does. */
  function best(rows, state) {
    const found = rows.map((row) => candidate(row, state)).filter(Boolean);
    const met = found.filter((one) => one.row.slo_met);
    const compared = found.filter((one) => one.ratio);
    const among = met.length ? met : compared.length ? compared : found;
    const rank = (one) => (one.ratio || one.usd).value;
    return among.length ? among.reduce((least, one) => (rank(one) < rank(least) ? one : least)) : null;
  }

  function show(rows, state) {
    const of = best(rows, state);
    document.getElementById("keys").classList.toggle("without-dollars", !of);
    if (!of) return;
    const label = [of.row.model, of.row.precision, of.row.workload].join(", ");
    put("cheapest", `$${Numbers.number(of.usd.value)}`, [range(of.usd), label]);
    const usd = of.api && Dollars.apiUsdPerMtok(of.priced, of.api, of.asked);
    put("api", of.api ? `$${Numbers.number(usd)}` : Numbers.NONE, of.api ? [of.api.api] : ["compared with none"]);
    const share = Numbers.percent(Dollars.utilisation(of.priced, of.asked));
    const said = of.ratio ? [`${Numbers.number(of.ratio.value)}× the API's price at ${share} utilisation`] : [];
    put("break-even", of.api ? Columns.breakEvenText(Dollars.breakEven(of.priced, of.api, of.asked)) : Numbers.NONE, said);
  }

  function range(of) {
    const ends = Numbers.ends(of);
    if (ends !== null) return `95 % interval $${ends}`;
    return of.n === 1 ? "one replicate, so no interval" : "its interval is not known";
  }

  function put(id, value, lines) {
    const place = document.getElementById(`key-${id}`);
    if (!place) return;
    place.querySelector(".key-value").textContent = value;
    place.querySelector(".key-about").replaceChildren(...lines.map((line) => make("span", {}, make("bdi", {}, Dom.cut(visible(line), 120)))));
  }

  return { show, best };
})();
