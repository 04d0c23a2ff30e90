/* Numbers as people read them: the same text as bench/report/table.py makes. */
const Numbers = (() => {
  "use strict";

  const NONE = "–";
  const WIDEST = 1000;

  /* Python rounds exact ties to the even digit, toFixed away from zero. */
  function fixed(value, places) {
    const plain = value.toFixed(places);
    if (Math.abs(value) >= 1e21 || places + 25 > 100) return plain;
    const [whole, rest = ""] = value.toFixed(places + 25).split(".");
    const after = rest.slice(places);
    if (!/^50*$/.test(after)) return plain;
    const kept = whole + (places ? "." + rest.slice(0, places) : "");
    return "02468".includes(kept[kept.length - 1]) ? kept : plain;
  }

  function grouped(text) {
    const [whole, rest] = text.split(".");
    const commas = whole.replace(/\B(?=(\d{3})+$)/g, ",");
    return rest === undefined ? commas : `${commas}.${rest}`;
  }

  /** Three significant digits, no exponent. */
  function number(value, digits = 3) {
    if (value === null || value === undefined) return NONE;
    if (!Number.isFinite(value)) return "∞";
    if (value === 0) return "0";
    let size = Math.abs(value);
    let places = 0;
    while (size < 10 ** (digits - 1) && places < 12) {
      size *= 10;
      places += 1;
    }
    return grouped(Math.abs(value) < 1e21 ? fixed(value, places) : BigInt(Math.round(value)).toString());
  }

  function percent(share) {
    return number(share * 100, 0.99 <= share && share < 1 ? 3 : 2) + "%";
  }

  /** Half-width of an interval as a factor minus one; null for a single replicate. */
  function half(of) {
    if (!of || of.low === null || of.high === null || of.low === undefined || of.high === undefined) return null;
    return Math.sqrt(of.high / of.low) - 1;
  }

  function width(of) {
    if (of >= WIDEST) return `×÷${grouped(String(WIDEST))}+`;
    if (of >= 9.995) return `×÷${number(of + 1, 2)}`;
    return of >= 0.0095 ? `±${fixed(of * 100, 0)}%` : `±${fixed(of * 100, 1)}%`;
  }

  /** " ±5%"; " ≤90.0" where the value cannot be told from zero; " ±?" of one replicate. */
  function spread(of, factor = 1) {
    if (!of) return "";
    if (of.low === null && of.high !== null && of.high !== undefined) return ` ≤${number(of.high * factor)}`;
    const wide = half(of);
    return wide === null ? " ±?" : ` ${width(wide)}`;
  }

  /** Both ends of an interval for people, or null. */
  function ends(of, factor = 1) {
    if (!of || of.low === null || of.high === null || of.low === undefined || of.high === undefined) return null;
    return `${number(of.low * factor)}–${number(of.high * factor)}`;
  }

  return { NONE, number, percent, spread, width, half, ends, grouped };
})();
