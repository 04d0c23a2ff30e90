/* Elements made of text alone: nothing in this page parses a string as HTML. */
const Dom = (() => {
  "use strict";

  const LONGEST = 120;
  const STEERS = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu;

  function sign(one) {
    const code = one.codePointAt(0);
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  }

  /** Text in which every control character can be seen: as bench/page/shown.py. */
  function visible(text) {
    return String(text).replace(STEERS, sign);
  }

  function cut(text, longest = LONGEST) {
    const letters = text.length > longest ? Array.from(text) : null;
    return letters && letters.length > longest ? letters.slice(0, longest - 1).join("") + "…" : text;
  }

  /** An element with attributes (on…: listeners) and children; text stays text. */
  function make(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return made;
  }

  /** A name out of a record: isolated from the reading order of its surroundings, cut where it is too long. */
  function name(text, longest = LONGEST) {
    const shown = visible(text);
    const short = cut(shown, longest);
    return make("bdi", { title: short === shown ? null : cut(shown, 1000) }, short);
  }

  /** Copies text; answers whether it could. From file:// the newer way may be forbidden. */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const field = make("textarea", { class: "visually-hidden", "aria-hidden": "true", tabindex: "-1" });
      field.value = text;
      document.body.append(field);
      field.select();
      const done = document.execCommand("copy");
      field.remove();
      return done;
    }
  }

  /** Offers text as a file, without a server. */
  function download(file, text, type = "text/csv") {
    const address = URL.createObjectURL(new Blob([text], { type: `${type};charset=utf-8` }));
    const link = make("a", { href: address, download: file });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
  }

  /** Lines of CSV; a text that a spreadsheet would run as a formula is quoted: as bench.report.render.guarded. */
  function csv(lines) {
    const cell = (value) => {
      if (value === null || value === undefined) return "";
      let text = String(value);
      if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = "'" + text;
      return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    return lines.map((line) => line.map(cell).join(",")).join("\n") + "\n";
  }

  return { visible, cut, make, name, copy, download, csv };
})();
