/* Unpacks what bench/page/payload.py packed: its docstring has the forms of a node. */
const Payload = (() => {
  "use strict";

  function taken(node, count) {
    const form = node[0];
    if (form === "c") return new Array(count).fill(node[1]);
    if (form === "v") return node[1];
    if (form === "d") {
      const distinct = taken(node[2], node[1]);
      return node[3].map((index) => distinct[index]);
    }
    if (form === "o") return objects(node, count);
    if (form === "l") return lists(node, count);
    if (form === "t") return mixed(node, count);
    throw new Error(`unknown form ${form}`);
  }

  function objects([, shapes, which, columns], count) {
    const shapeOf = taken(which, count);
    const sizes = new Map();
    for (const shape of shapeOf) for (const key of shapes[shape]) sizes.set(key, (sizes.get(key) || 0) + 1);
    const values = new Map(columns.map(([key, node]) => [key, taken(node, sizes.get(key) || 0)]));
    const next = new Map(columns.map(([key]) => [key, 0]));
    return shapeOf.map((shape) => {
      const made = {};
      for (const key of shapes[shape]) {
        const place = next.get(key);
        next.set(key, place + 1);
        // A key out of a record may be called __proto__: it is a key like any other.
        if (key === "__proto__") Object.defineProperty(made, key, { value: values.get(key)[place], enumerable: true });
        else made[key] = values.get(key)[place];
      }
      return made;
    });
  }

  function lists([, lengths, items], count) {
    const sizes = taken(lengths, count);
    const all = taken(items, sizes.reduce((sum, one) => sum + one, 0));
    let from = 0;
    return sizes.map((size) => all.slice(from, (from += size)));
  }

  function mixed([, which, parts], count) {
    const classes = taken(which, count);
    const sizes = [0, 0, 0];
    for (const one of classes) sizes[one] += 1;
    const values = parts.map((node, kind) => taken(node, sizes[kind]));
    const next = [0, 0, 0];
    return classes.map((one) => values[one][next[one]++]);
  }

  /** The content of a <script type="application/json"> by its id. */
  function read(id) {
    return JSON.parse(document.getElementById(id).textContent);
  }

  return { read, unpack: taken };
})();
