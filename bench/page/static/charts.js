/* The charts of the page, drawn by Vega. Their points for other dollars are those of chart_points.js. */
const Charts = (() => {
  "use strict";

  const { known, mostOf } = ChartRows;

  const LINE_HEIGHT = 21;
  const ERRORS = 1; // of Vega's levels: an axis without intervals is no reason to warn a reader

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

  return { points: ChartPoints.points, draw, update };
})();
