/* The charts' figures: drawn when they come into view or when there is time, with their data as a table and as CSV. */
const Figures = (() => {
  "use strict";

  const { make, visible } = Dom;
  const FIRST = 200;

  let page = null;
  let charts = null;
  const made = new Map();

  /** `rows` and `state()` are the page's; nothing is unpacked before it is needed. */
  function start(whole) {
    page = whole;
    const figures = [...document.querySelectorAll("figure.chart")];
    if (!figures.length) return;
    for (const figure of figures) {
      const id = figure.dataset.chart;
      figure.querySelector("details").addEventListener("toggle", () => data(id));
      figure.querySelector(".chart-csv").addEventListener("click", () => Dom.download(`${id}.csv`, csv(id)));
    }
    const watcher = new IntersectionObserver(
      (entries) => entries.filter((one) => one.isIntersecting).forEach((one) => {
        watcher.unobserve(one.target);
        draw(one.target);
      }),
      { rootMargin: "400px" },
    );
    figures.forEach((figure) => watcher.observe(figure));
    inIdleTime(figures.map((figure) => () => draw(figure)));
  }

  /* One after the other, so that no single wait is long. */
  function inIdleTime(tasks) {
    const later = window.requestIdleCallback || ((then) => setTimeout(then, 200));
    const next = () => {
      const task = tasks.shift();
      if (task) later(() => Promise.resolve(task()).then(next), { timeout: 5000 });
    };
    // Whoever reads the headline is not kept waiting by a chart further down.
    setTimeout(next, 1500);
  }

  function of(id) {
    charts ??= new Map(Payload.read("charts-data").map((one) => [one.id, one]));
    const chart = charts.get(id);
    if (!chart.points) chart.points = Payload.unpack(chart.packed, chart.count);
    return chart;
  }

  /* Points of now: those of a chart with dollars follow the controls. */
  function points(id) {
    const chart = of(id);
    const isChanged = Object.values(page.state()).some((one) => one !== null);
    if (!chart.follows || !isChanged) return chart.points;
    return Charts.points(id, page.rows, page.state()) || chart.points;
  }

  async function draw(figure) {
    const id = figure.dataset.chart;
    if (made.has(id)) return;
    made.set(id, null);
    const place = figure.querySelector(".drawing");
    try {
      const chart = of(id);
      const theme = document.documentElement.dataset.theme || "auto";
      const view = await Charts.draw(place, { ...chart, points: points(id) }, theme);
      made.set(id, view);
      place.classList.add("drawn");
    } catch (error) {
      place.replaceChildren(make("p", { class: "why" }, `This chart could not be drawn: ${visible(error.message)}. Its data are below.`));
      console.error(error);
    }
  }

  let waiting = 0;

  /** After a move of the controls: drawn ones follow, open tables too. */
  function update() {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      for (const figure of document.querySelectorAll("figure.chart[data-follows]")) {
        const id = figure.dataset.chart;
        const view = made.get(id);
        if (view) Promise.resolve(Charts.update(view, points(id))).catch((error) => console.error(error));
        describe(figure, id);
        if (figure.querySelector("details").open) data(id);
      }
    });
  }

  /* The description was written for the report's own prices. */
  function describe(figure, id) {
    const isChanged = Object.values(page.state()).some((one) => one !== null);
    const followed = `${of(id).title}, at the prices asked for above; every point is in the table of its data.`;
    figure.querySelector(".alt").textContent = visible(isChanged ? followed : of(id).alt);
  }

  function data(id) {
    const place = document.querySelector(`figure[data-chart="${CSS.escape(id)}"] .points`);
    const chart = of(id);
    const all = points(id);
    const lines = all.slice(0, FIRST).map((point) => make("tr", {}, chart.csv_columns.map((name) => cell(point[name]))));
    const head = make("tr", {}, chart.csv_columns.map((name) => make("th", { scope: "col" }, name)));
    const caption = make("caption", {}, all.length > FIRST ? `The first ${FIRST} of ${Numbers.grouped(String(all.length))} points; CSV has all.` : `${all.length} points`);
    place.replaceChildren(make("table", { class: "small" }, caption, make("thead", {}, head), make("tbody", {}, lines)));
  }

  function cell(value) {
    if (typeof value === "number") return make("td", { class: "number" }, Numbers.number(value, 4));
    return make("td", {}, value === null || value === undefined ? Numbers.NONE : Dom.name(value, 80));
  }

  function csv(id) {
    const columns = of(id).csv_columns;
    return Dom.csv([columns, ...points(id).map((point) => columns.map((name) => point[name]))]);
  }

  /** Draws what is not drawn yet, for paper. */
  function drawAll() {
    return Promise.all([...document.querySelectorAll("figure.chart")].map(draw));
  }

  /** Paper that cannot wait gets a table of the points of whatever is not drawn. */
  function standIn() {
    for (const figure of document.querySelectorAll("figure.chart")) {
      if (figure.querySelector(".drawing").classList.contains("drawn")) continue;
      data(figure.dataset.chart);
      figure.classList.add("undrawn");
    }
  }

  function standDown() {
    for (const figure of document.querySelectorAll("figure.undrawn")) figure.classList.remove("undrawn");
  }

  return { start, update, drawAll, standIn, standDown, csv };
})();
