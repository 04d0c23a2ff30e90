/* The page as a whole: reads the payload, starts the parts, and lets everything follow the controls. */
const Page = (() => {
  "use strict";

  const { make, visible } = Dom;
  const at = (id) => document.getElementById(id);
  const page = { rows: [], columns: [], sets: [], notes: [], runs: [], options: [], leaderboard: false };

  function start() {
    const payload = Payload.read("payload");
    Object.assign(page, payload, { rows: Payload.unpack(payload.rows, payload.count) });
    page.rows.forEach((row, index) => (row.number = index + 1));
    payload.places.of.forEach((own, index) => {
      if (own) Object.assign(page.rows[index], { group: own[0], place: own[1], group_heading: payload.places.headings[own[0]] });
    });
    page.state = Controls.state;
    page.said = said;
    page.copyButton = copyButton;
    document.documentElement.classList.add("scripted");
    for (const one of document.querySelectorAll("[data-scripted]")) one.hidden = false;
    const fragment = location.hash.includes("=") ? location.hash.slice(1) : "";
    page.initial = Controls.state();
    if (page.rows.length) {
      Controls.start(page, fragment, follow);
      Table.start(page, ofTable(fragment), keep);
      if (Object.values(Controls.state()).some((one) => one !== null)) answer();
    }
    Figures.start(page);
    theme();
    printing();
    copies();
    notes();
    window.addEventListener("hashchange", moved);
    performance.mark("interactive");
  }

  /* --- what follows the controls ------------------------------------------------------------------------------- */

  let isStarted = false;

  function follow() {
    if (!isStarted) return;
    answer();
    Table.update();
    Figures.update();
    keep();
    announce();
  }

  function isAsReported() {
    return Object.values(Controls.state()).every((one) => one === null);
  }

  const LONG = 110;

  /* Up to the end of the first sentence with dollars in large type, the rest below it: as bench/page/document.py. */
  function split(text) {
    const end = text.indexOf(". ", Math.max(text.indexOf("$"), 0));
    return end < 0 ? [text, ""] : [text.slice(0, end + 1), text.slice(end + 2)];
  }

  function answer() {
    const state = Controls.state();
    // Groups of a leaderboard are not held against each other: its sentence and places stay those that were ranked.
    const isRanked = page.leaderboard && !isAsReported();
    const said_ = isAsReported() || isRanked ? page.headline : Headline.headline(page.rows, state);
    const [lead, rest] = split(visible(said_));
    const caveats = isRanked ? `This is as it was ranked, at the prices that were given. ${rest}` : rest;
    if (at("as-ranked")) at("as-ranked").hidden = !isRanked;
    at("answer").replaceChildren(make("bdi", {}, lead));
    at("answer").classList.toggle("long", lead.length > LONG);
    at("caveats").replaceChildren(make("bdi", {}, caveats));
    at("caveats").hidden = !caveats;
    KeyFigures.show(page.rows, state);
  }

  /* --- the link that keeps the state --------------------------------------------------------------------------- */

  const NAMES = { words: "find", model: "model", precision: "precision", machine: "on", verdict: "verdict", sort: "sort", down: "down", set: "columns" };

  function ofTable(fragment) {
    const given = new URLSearchParams(fragment);
    const wanted = {};
    for (const [own, name] of Object.entries(NAMES)) if (given.has(name)) wanted[own] = given.get(name);
    if ("down" in wanted) wanted.down = wanted.down === "true";
    return wanted;
  }

  function keep() {
    const said_ = new URLSearchParams(Controls.asFragment());
    for (const [own, value] of Object.entries(Table.wanted())) said_.set(NAMES[own], value);
    const fragment = said_.toString();
    lastFragment = fragment;
    try {
      history.replaceState(null, "", fragment ? `#${fragment}` : location.pathname + location.search);
    } catch {
      location.hash = fragment;
    }
  }

  let lastFragment = "";

  /* Somebody pasted another link into the address of the open page. */
  function moved() {
    const fragment = location.hash.slice(1);
    if (fragment.includes("=") && fragment !== lastFragment) location.reload();
  }

  /* --- telling ---------------------------------------------------------------------------------------------------- */

  let waiting = 0;

  function said(text) {
    clearTimeout(waiting);
    at("announcements").textContent = text;
  }

  /* Whoever drags a control hears the outcome once, not every step of it. */
  function announce() {
    clearTimeout(waiting);
    waiting = setTimeout(() => (at("announcements").textContent = `${at("answer").textContent} ${at("caveats").textContent}`), 900);
  }

  function copyButton(text, label) {
    const button = make("button", { type: "button", class: "quiet", "aria-label": label }, "Copy");
    button.addEventListener("click", () => copied(button, text));
    return button;
  }

  async function copied(button, text) {
    const done = await Dom.copy(text);
    said(done ? "Copied." : "Copying is not allowed here.");
    button.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }

  function copies() {
    for (const button of document.querySelectorAll("[data-copies]")) {
      button.addEventListener("click", () => copied(button, at(button.dataset.copies).textContent));
    }
    const more = at("more-commands");
    if (more) more.addEventListener("click", () => {
      const all = [...new Set(page.rows.map((row) => row.command).filter(Boolean))];
      at("commands").replaceChildren(...all.map((one) => make("li", {}, make("code", {}, make("bdi", {}, visible(one))))));
      more.remove();
    });
  }

  function notes() {
    for (const button of document.querySelectorAll("[data-note]")) {
      const note = page.notes[Number(button.dataset.note)];
      button.addEventListener("click", () => {
        Table.showOnly(note.about, `Only the rows of a note: ${Dom.cut(visible(note.text), 80)}`);
        at("table").scrollIntoView();
        at("all-rows").focus({ preventScroll: true });
      });
    }
  }

  /* --- looks -------------------------------------------------------------------------------------------------------- */

  function theme() {
    const field = at("theme");
    field.value = document.documentElement.dataset.theme || "";
    field.addEventListener("change", () => {
      if (field.value) document.documentElement.dataset.theme = field.value;
      else delete document.documentElement.dataset.theme;
      try {
        if (field.value) localStorage.setItem("bench-theme", field.value);
        else localStorage.removeItem("bench-theme");
      } catch {
        // A page out of a file may have no storage: the choice lasts as long as the page does.
      }
    });
  }

  function printing() {
    at("print").addEventListener("click", async () => {
      await Figures.drawAll();
      window.print();
    });
    let opened = [];
    window.addEventListener("beforeprint", () => {
      // The browser's own command gives no time to draw: what is not drawn yet says so, with its points in its place.
      Figures.standIn();
      opened = [...document.querySelectorAll("details[data-print]:not([open])")];
      opened.forEach((one) => (one.open = true));
    });
    window.addEventListener("afterprint", () => {
      opened.forEach((one) => (one.open = false));
      Figures.standDown();
    });
  }

  function run() {
    start();
    isStarted = true;
  }

  return { run };
})();
Page.run();
