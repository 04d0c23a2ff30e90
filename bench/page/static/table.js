/* The table: which rows are shown, in which order and which columns; a page of a hundred at a time. */
const Table = (() => {
  "use strict";

  const { make, visible } = Dom;
  const PAGE = 100;
  const STANDINGS = ["VALID", "doubtful", "failed or without meaning"];
  const collator = new Intl.Collator("en", { numeric: true });
  const INITIAL = { words: "", model: "", precision: "", machine: "", verdict: "", sort: "usd_per_mtok", down: false, set: "essential" };

  let page = null;
  let asked = null;
  let only = null;
  let place = 0;
  let found = [];
  let shown = [];
  const opened = new Set();
  const filled = new Map();
  const at = (id) => document.getElementById(id);

  /** `whole`: rows, columns, sets, notes, state(). `wanted`: what a link asks for; `changed` is called after a change. */
  function start(whole, wanted, changed) {
    page = whole;
    if (page.leaderboard) INITIAL.sort = "place";
    asked = { ...INITIAL, ...wanted };
    offer();
    const again = () => {
      place = 0;
      update();
      changed();
    };
    isNarrow.addEventListener("change", update);
    let waiting = 0;
    at("find").addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        asked.words = at("find").value;
        again();
      }, 120);
    });
    for (const name of ["model", "precision", "machine", "verdict"]) {
      at(`by-${name}`).addEventListener("change", (event) => {
        asked[name] = event.target.value;
        again();
      });
    }
    at("columns").addEventListener("change", (event) => {
      asked.set = event.target.value;
      again();
    });
    at("rows-csv").addEventListener("click", () => Dom.download("rows.csv", csv()));
    at("all-rows").addEventListener("click", () => {
      only = null;
      again();
    });
    at("clear-filters").addEventListener("click", () => {
      Object.assign(asked, { words: "", model: "", precision: "", machine: "", verdict: "" });
      only = null;
      offer();
      again();
    });
    for (const [id, step] of [["page-back", -1], ["page-on", 1]]) {
      at(id).addEventListener("click", () => {
        place += step;
        update();
        at("rows").scrollTop = 0;
      });
    }
    headings = (event) => {
      const id = event.currentTarget.dataset.column;
      asked.down = asked.sort === id ? !asked.down : false;
      asked.sort = id;
      again();
    };
    update();
  }

  let headings = null;

  /* The choices of the selects, and those that are chosen now. */
  function offer() {
    at("find").value = asked.words;
    const distinct = (of) => [...new Map(page.rows.map((row) => [of(row), row])).keys()].sort(collator.compare);
    choices("model", distinct((row) => row.model));
    choices("precision", distinct((row) => row.precision));
    choices("machine", distinct((row) => row.hardware));
    const codes = distinct((row) => (row.status === "ok" ? "" : row.status)).concat(
      [...new Set(page.rows.flatMap((row) => row.verdict.map((one) => one.code)))].sort(),
    );
    choices("verdict", [...STANDINGS.filter((_, rank) => page.rows.some((row) => Columns.standing(row) === rank)), ...codes.filter(Boolean)]);
    at("columns").value = page.sets.some(([id]) => id === asked.set) ? asked.set : INITIAL.set;
    asked.set = at("columns").value;
    if (!page.columns.some((one) => one.id === asked.sort)) asked.sort = INITIAL.sort;
  }

  function choices(name, values) {
    const field = at(`by-${name}`);
    const options = values.map((value) => make("option", { value }, Dom.cut(visible(value), 60)));
    field.replaceChildren(make("option", { value: "" }, "all"), ...options);
    field.value = values.includes(asked[name]) ? asked[name] : "";
    asked[name] = field.value;
    field.closest(".field").hidden = values.length < 2;
  }

  function isWanted(row) {
    if (only && !only.numbers.has(row.number)) return false;
    if (asked.model && row.model !== asked.model) return false;
    if (asked.precision && row.precision !== asked.precision) return false;
    if (asked.machine && row.hardware !== asked.machine) return false;
    if (asked.verdict && !hasVerdict(row, asked.verdict)) return false;
    return true;
  }

  function hasVerdict(row, wanted) {
    const rank = STANDINGS.indexOf(wanted);
    if (rank >= 0) return Columns.standing(row) === rank;
    return row.status === wanted || row.verdict.some((one) => one.code === wanted);
  }

  function hay(row) {
    row.hay ??= [
      row.model, row.precision, row.runner, row.options, row.workload, row.hardware, row.machine, row.run, row.cell_id,
      row.origin.tool, Columns.verdictText(row), row.random_weights ? "random weights" : "", row.slo || "", row.kind,
    ].join(" ").toLowerCase();
    return row.hay;
  }

  function select() {
    const words = asked.words.toLowerCase().split(/\s+/).filter(Boolean);
    found = page.rows.filter((row) => isWanted(row) && words.every((word) => hay(row).includes(word)));
    const state = page.state();
    const keyed = found.map((row) => [Columns.cell(asked.sort, row, state).sort, row]);
    const sign = asked.down ? -1 : 1;
    // What has no value, a failure before all, is last in either direction.
    keyed.sort(([one, left], [other, right]) => {
      if (one === null || other === null) return (one === null) - (other === null) || Columns.standing(left) - Columns.standing(right) || left.number - right.number;
      const order = typeof one === "string" ? collator.compare(one, other) : one - other;
      return sign * order || left.number - right.number;
    });
    found = keyed.map(([, row]) => row);
  }

  const known = new Map();

  function hasValues(id) {
    if (!known.has(id)) {
      const state = page.initial;
      known.set(id, page.rows.some((row) => Columns.cell(id, row, state).values.some((one) => one !== null)));
    }
    return known.get(id);
  }

  /* What names a row. Where all rows agree in one, it stands above the table instead of in a column. */
  const NAMES = {
    model: (row) => row.model,
    runner: (row) => [row.runner, row.options].filter(Boolean).join(" "),
    machine: (row) => row.hardware,
    lengths: (row) => lengths(row.workload),
  };
  /* Places and machines take their room. */
  const BOARD_LACKS = ["number", "ratio", "ttft_s", "output_tokens_per_s"];
  const isRanked = (id) => page.leaderboard && id === page.ranked;
  const ALWAYS = ["number", "model", "verdict", "usd_per_mtok"];
  const agreed = new Map();

  /* Of "batch 12, 32 in, 16 out" what follows the batch or the level. */
  function lengths(workload) {
    const end = workload.indexOf(", ");
    return end < 0 ? "" : workload.slice(end + 2);
  }

  /** What all rows share of a name; null where they differ. */
  function common(name) {
    if (!agreed.has(name)) {
      const first = page.rows.length > 1 ? NAMES[name](page.rows[0]) : null;
      agreed.set(name, first && page.rows.every((row) => NAMES[name](row) === first) ? first : null);
    }
    return agreed.get(name);
  }

  const isWhole = () => asked.set === "all";

  /** Those of the chosen set that hold something; `whole`: also those that say the same in every row, as CSV has them. */
  function columns(whole = isWhole()) {
    return page.columns.filter((one) => {
      if (isRanked(one.id)) return true;
      if (!isWhole() && !one.sets.includes(asked.set)) return false;
      if (!whole && NAMES[one.id] && common(one.id) !== null) return false;
      if (!whole && one.id === "machine" && isBeneath(one.id)) return false;
      if (!whole && page.leaderboard && asked.set === "essential" && BOARD_LACKS.includes(one.id)) return false;
      return ALWAYS.includes(one.id) || hasValues(one.id);
    });
  }

  /* With the essential columns, runner and machine stand below the name: columns of their own push the dollars out. */
  function isBeneath(id) {
    return asked.set === "essential" && !(page.leaderboard && id === "machine") && common(id) === null;
  }

  const isNarrow = window.matchMedia("(max-width: 40rem)");
  const FIRST = ["place", "model", "usd_per_mtok", "break_even", "verdict"];

  /* A phone shows three columns beside each other: what a row is called, and what it costs. */
  function dollarsFirst(all) {
    const named = all.find((one) => one.id === "model") || all.find((one) => one.id === "precision");
    const rank = (one) => (one === named ? 1 : FIRST.includes(one.id) ? FIRST.indexOf(one.id) : FIRST.length);
    return [...all].sort((one, other) => rank(one) - rank(other));
  }

  function sayShared() {
    const said = isWhole() ? [] : Object.keys(NAMES).map(common).filter(Boolean);
    at("shared").hidden = !said.length;
    at("shared").replaceChildren("In every row: ", ...said.flatMap((one, index) => [index ? " · " : "", Dom.name(one, 60)]));
  }

  /** Draws it again: after a filter, a sort, or a move of the controls. */
  function update() {
    select();
    const last = Math.max(0, Math.ceil(found.length / PAGE) - 1);
    place = Math.min(Math.max(place, 0), last);
    const wanted = isNarrow.matches ? dollarsFirst(columns()) : columns();
    if (wanted.map((one) => one.id).join() !== shown.map((one) => one.id).join()) {
      shown = wanted;
      at("head").replaceChildren(make("tr", {}, shown.map(heading)));
      sayShared();
    }
    for (const one of at("head").querySelectorAll("th")) {
      const isIt = one.dataset.column === asked.sort;
      if (isIt) one.setAttribute("aria-sort", asked.down ? "descending" : "ascending");
      else one.removeAttribute("aria-sort");
    }
    filled.clear();
    const state = page.state();
    let last_ = null;
    const lines = found.slice(place * PAGE, (place + 1) * PAGE).flatMap((row) => {
      const isNew = asked.sort === "place" && row.group !== last_;
      last_ = row.group;
      return isNew ? [groupLine(row), ...drawn(row, state)] : drawn(row, state);
    });
    if (!lines.length) lines.push(make("tr", {}, make("td", { colspan: shown.length, class: "nothing" }, page.rows.length ? "No row matches these filters." : "There are no rows.")));
    at("body").replaceChildren(...lines);
    count(last);
  }

  function heading(one) {
    const button = make("button", { type: "button", class: "sort", "data-column": one.id, title: one.meaning, onclick: headings }, make("span", { class: "heading" }, one.heading));
    if (one.unit) button.append(" ", make("span", { class: "unit" }, one.unit));
    const isName = one === nameColumn();
    return make("th", { scope: "col", "data-column": one.id, class: isName ? "name" : one.numeric ? "number" : null }, button);
  }

  function count(last) {
    const from = place * PAGE;
    const to = Math.min(from + PAGE, found.length);
    const all = page.rows.length;
    const matching = found.length === all ? `${Numbers.grouped(String(all))} ${all === 1 ? "row" : "rows"}` : `${Numbers.grouped(String(found.length))} of ${Numbers.grouped(String(all))} rows`;
    const place_ = last ? `, ${from + 1}–${to} shown` : "";
    at("row-count").textContent = matching + place_;
    at("pages").hidden = !last;
    at("page-place").textContent = `Page ${place + 1} of ${last + 1}`;
    // Not `disabled`: a button that vanishes from the tab order under the finger loses the keyboard's place.
    at("page-back").setAttribute("aria-disabled", String(place === 0));
    at("page-on").setAttribute("aria-disabled", String(place >= last));
    at("only").hidden = !only;
    if (only) at("only-text").textContent = only.label;
    const isFiltered = only || asked.words || asked.model || asked.precision || asked.machine || asked.verdict;
    at("clear-filters").hidden = !isFiltered;
  }

  function groupLine(row) {
    const said = row.group ? [make("strong", {}, `Group ${row.group}`), " ", Dom.name(row.group_heading, 200)] : ["Without a place"];
    return make("tr", { class: "group" }, make("th", { scope: "rowgroup", colspan: shown.length }, make("span", { class: "group-heading" }, ...said)));
  }

  function drawn(row, state) {
    const line = make("tr", { class: `row standing-${Columns.standing(row)}`, "data-row": row.number }, shown.map((one) => cellOf(one, row, state)));
    const why = Details.reasons(row);
    if (!why.length && !opened.has(row.number)) return [line];
    return [line, detail(row, state, why)];
  }

  function detail(row, state, why) {
    const content = make("div", { class: "detail-content" });
    if (why.length) content.append(make("ul", { class: "reasons" }, why));
    const line = make("tr", { class: why.length ? "detail has-reasons" : "detail", "data-of": row.number }, make("td", { colspan: shown.length }, content));
    if (opened.has(row.number)) fill(line, row, state);
    return line;
  }

  function fill(line, row, state) {
    line.classList.add("open");
    if (filled.has(row.number)) return;
    filled.set(row.number, true);
    const blocks = make("div", { class: "blocks" }, Details.content(row, page, state));
    line.querySelector(".detail-content").append(blocks);
  }

  function toggle(row) {
    const line = at("body").querySelector(`tr.row[data-row="${row.number}"]`);
    const isOpen = opened.has(row.number);
    let below = at("body").querySelector(`tr.detail[data-of="${row.number}"]`);
    if (isOpen) {
      opened.delete(row.number);
      below.classList.remove("open");
    } else {
      opened.add(row.number);
      if (!below) {
        below = detail(row, page.state(), Details.reasons(row));
        line.after(below);
      }
      fill(below, row, page.state());
    }
    for (const one of line.querySelectorAll("[aria-expanded]")) one.setAttribute("aria-expanded", String(!isOpen));
  }

  function cellOf(one, row, state) {
    if (one === nameColumn()) return nameCell(one, row);
    if (one.id === "verdict") return make("td", {}, badge(row));
    const cell = Columns.cell(one.id, row, state);
    const made = make("td", { class: one.numeric ? "number" : null, title: cell.title, "data-column": one.id });
    if (one.id === "workload" && !isWhole()) {
      made.append(Dom.name(row.workload.split(", ")[0]));
      if (!common("lengths")) made.append(make("span", { class: "beneath" }, Dom.name(lengths(row.workload), 60)));
    }
    else if (cell.name !== undefined) made.append(Dom.name(cell.name));
    else if (one.id === "usd_per_mtok" && cell.sort === null) made.append(make("span", { class: "why" }, Dom.name(Columns.whyNoDollars(row), 80)));
    else made.append(make("span", { class: "value" }, visible(cell.text)));
    // Under the heading of its group a place needs no group.
    if (cell.spread && !(one.id === "place" && asked.sort === "place")) made.append(" ", make("span", { class: "spread" }, cell.spread));
    return made;
  }

  /* The heading of a row: the model, or where all are of one, the precision. */
  function nameColumn() {
    return shown.find((one) => one.id === "model") || shown.find((one) => one.id === "precision");
  }

  function nameCell(one, row) {
    const isOpen = String(opened.has(row.number));
    const button = make(
      "button", { type: "button", class: "toggle", "aria-expanded": isOpen, onclick: () => toggle(row) },
      make("span", { class: "visually-hidden" }, `Details of row ${row.number}`),
    );
    const made = make("th", { scope: "row", "data-column": one.id }, make("div", { class: "model" }, button, make("span", {}, Dom.name(row[one.id], 60))));
    const tags = [];
    if (row.random_weights && !row.model.includes("random")) tags.push(make("span", { class: "tag" }, "random weights"));
    if (row.kind === "imported") tags.push(make("span", { class: "tag origin" }, "from ", Dom.name(row.origin.tool, 40)));
    if (tags.length) made.firstChild.lastChild.append(" ", ...tags);
    const beneath = ["runner", "machine"].filter(isBeneath).map((name) => NAMES[name](row)).filter(Boolean);
    if (beneath.length) made.firstChild.lastChild.append(make("span", { class: "beneath" }, Dom.name(beneath.join(", "), 60)));
    return made;
  }

  const SIGNS = ["✓", "!", "✕"];

  /* Two codes and how many more: the details have all. */
  function shortened(row, said) {
    const codes = row.status === "ok" ? row.verdict.map((one) => one.code) : [];
    if (codes.length < 3) return Dom.cut(visible(said), 60);
    return [Dom.cut(visible(codes.slice(0, 2).join(", ")), 60), " ", make("span", { class: "more" }, `+${codes.length - 2} more`)];
  }

  function badge(row) {
    const rank = Columns.standing(row);
    const sign = make("span", { class: "sign", "aria-hidden": "true" }, SIGNS[rank]);
    const said = Columns.verdictText(row);
    if (!Details.reasons(row).length) return make("span", { class: `badge standing-${rank}` }, sign, said);
    return make(
      "button", { type: "button", class: `badge standing-${rank}`, "aria-expanded": String(opened.has(row.number)), title: "Reasons, and what to do", onclick: () => toggle(row) },
      sign, make("span", {}, ...[shortened(row, said)].flat()),
    );
  }

  /** Every row that the filters leave, of the columns that are shown; SI units, nothing rounded. */
  function csv() {
    const state = page.state();
    const all = columns(true);
    const width = new Map(all.map((one) => [one.id, found.length ? Columns.cell(one.id, found[0], state).values.length : 1]));
    const lines = found.map((row) => all.flatMap((one) => Columns.cell(one.id, row, state).values));
    return Dom.csv([all.flatMap((one) => Columns.headings(one.id, width.get(one.id))), ...lines]);
  }

  /** Only these rows, until "all rows" is pressed. */
  function showOnly(numbers, label) {
    only = { numbers: new Set(numbers), label };
    place = 0;
    update();
  }

  /** What differs from the first state, for a link. */
  function wanted() {
    const differing = Object.entries(asked).filter(([name, value]) => value !== INITIAL[name]);
    return Object.fromEntries(differing);
  }

  return { start, update, csv, showOnly, wanted };
})();
