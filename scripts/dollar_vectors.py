"""Writes tests/data/dollars.json anew: what the dollars of the command line, of Python and of the page are held to.

    .venv/bin/python scripts/dollar_vectors.py

Programmed rows (seconds that were made up, no journal) go through the real attribution and pricing; what is expected
of them is what `bench.entries.mixed` and `bench.entries.headline` answer on the day on which this ran. Look at what
changed in the file before it is kept: a formula that changed on its own is a mistake in one of the two languages.
"""

import json
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from dollar_cases import cases  # noqa: E402

from bench.entries import headline, mixed  # noqa: E402
from bench.entries.entry import Entry, Quality  # noqa: E402
from bench.entries.plain import as_plain, plain  # noqa: E402
from bench.entries.priced import Asked, Priced  # noqa: E402
from bench.metrics.verdict import Reason  # noqa: E402
from bench.report import table  # noqa: E402
from tests.entries_samples import HOSTILE, entry, failed  # noqa: E402

FILE = ROOT / "tests" / "data" / "dollars.json"
ASKED = (
    Asked(),
    Asked(usd_per_hour=2.5),
    Asked(utilisation=0.37),
    Asked(mix=(3, 1)),
    Asked(usd_per_hour=0.04, utilisation=0.9, mix=(1, 7.5)),
)


def expected(of: Priced, asked: Asked) -> dict[str, Any]:
    cheapest = mixed.cheapest(of, asked)
    return {
        "usd": plain(mixed.usd_per_mtok(of, asked)),
        "machine": plain(mixed.machine_usd_per_mtok(of, asked)),
        "beside": plain(mixed.beside_usd_per_mtok(of, asked)),
        "floor": plain(mixed.floor_usd_per_mtok(of, asked)),
        "parts": {part: plain(mixed.part_usd_per_mtok(of, part, asked)) for part in mixed.PARTS},
        "utilisation": mixed.utilisation(of, asked),
        "usd_per_hour": mixed.usd_per_hour(of, asked),
        "cheapest": None if cheapest is None else cheapest.api,
        "apis": {
            one.api: {
                "usd": mixed.api_usd_per_mtok(of, one, asked),
                "ratio": plain(mixed.ratio(of, one, asked)),
                "break_even": plain(mixed.break_even(of, one, asked)),
            }
            for one in of.apis
        },
    }


# --- words ---------------------------------------------------------------------------------------------------------


def formats() -> list[dict[str, Any]]:
    """Numbers whose last digit is a tie, all sizes, and what rounds up to another size."""
    rng = random.Random(20261101)
    ties = [0.125, 0.375, 2.5, 3.5, 12.5, 0.5, 100.5, 101.5, 1234567.5, 2.25, 0.0625, 1.0625, 10.25, 1.125, 1.375]
    edges = [
        0.0,
        9.995,
        99.95,
        999.5,
        0.9995,
        1e-12,
        4e-13,
        1e-15,
        1e15,
        2.0**53,
        3e20,
        1e21,
        7e22,
        -1.5,
        -0.0625,
        100.0,
    ]
    values = [*ties, *edges, *(10 ** rng.uniform(-7, 9) for _ in range(120))]
    found: list[dict[str, Any]] = []
    for value in values:
        found += [{"of": "number", "value": value, "digits": d, "text": table.number(value, d)} for d in (2, 3, 4)]
    shares = [
        0.004,
        0.633,
        0.996,
        1.0,
        0.99,
        0.9999,
        0.125,
        0.0625,
        0.995,
        1.5,
        1e-6,
        *(rng.random() for _ in range(60)),
    ]
    found += [{"of": "percent", "value": share, "text": table.percent(share)} for share in shares]
    halves = [0.0512, 0.004, 35.2, 221_640_504.0, 0.125, 0.115, 0.0095, 0.00949, 9.995, 9.99, 999.9, 1000.0, 0.005, 0.0]
    found += [{"of": "width", "value": half, "text": table.width(half)} for half in halves]
    return found


def rows(known: dict[str, Priced]) -> dict[str, Entry]:
    """Rows that the headline has to say something else of."""

    def one(priced: str, hour: float | None = None, **changed: Any) -> Entry:
        of = known[priced] if hour is None else replace(known[priced], usd_per_hour=hour)
        return entry(**{"figures": {}, "distributions": {}, "memory": None, "limits": None, "priced": of} | changed)

    wide = Reason("wide", "the interval is ±20%", "measure longer")
    load: dict[str, Any] = {
        "kind": "load",
        "workload": "poisson 4/s, 128 in, 64 out",
        "precision": "served",
        "slo": "ttft<=0.5",
    }
    none = Quality(reason="not measured")
    return {
        "time": one("time"),
        "near": one("time", 1.21, precision="nf4", quality=none),
        "nearer": one("time", 1.205, precision="int8"),
        "nearest": one("time", 1.204, precision="fp32"),
        "cheap": one("time", 0.05, quality=Quality("bf16", 1.25, is_reference=True)),
        "single": one("time, one replicate", quality=none, verdict=(wide,)),
        "fit": one("fit, exact and one replicate", replicates=3),
        "bound": one("fit, input at zero", random_weights=True),
        "beside": one("owned, one-off and electricity"),
        "much beside": one("beside is more than the API"),
        "perhaps": one("beside may be more than the API"),
        "doubt": one("in doubt"),
        "serverless": one("serverless"),
        "serverless, cheap": one("serverless", 0.01),
        "unknown hour": one("nobody knows the hour", no_dollars_because="nobody knows what the machine costs"),
        "billed": one("billed", **load | {"slo": None}, quality=none),
        "within": one("ratio", **load, slo_met=True, good=replace(known["ratio"], usd_per_hour=1.5), quality=none),
        "without": one("ratio", **load, slo_met=False, quality=none),
        "no split": one("no split"),
        "no API": one("no API, flagged"),
        "free": one("an API that asks nothing"),
        "imported": one("ratio", kind="imported", origin=replace(entry().origin, tool="llama-bench"), quality=none),
        "hostile": one("time", model=HOSTILE, hardware="x" * 10_000, runner="a\r\nb", workload="\u202e\x00😀" * 40),
        "failed": failed(),
        "timeout": failed(status="timeout", no_dollars_because="line one\nline two"),
    }


def headlines(known: dict[str, Entry]) -> list[dict[str, Any]]:
    """Entries by their names, what is asked, and the sentence."""
    alone = [((name,), Asked(), None) for name in known]
    asked: list[tuple[tuple[str, ...], Asked, str | None]] = [
        *alone,
        (("time", "near", "failed"), Asked(), None),
        (("time", "near", "nearer"), Asked(), None),
        (("time", "near", "nearer", "nearest"), Asked(), None),
        (("single", "near"), Asked(usd_per_hour=0.5), "sample/steep"),
        (("time", "cheap"), Asked(utilisation=0.25), None),
        (("time",), Asked(mix=(3, 1)), "sample/even"),
        (("time",), Asked(0.3, 0.5, (1e6, 0.5)), "sample/fee"),
        (("time",), Asked(), "sample/none"),
        (("no split",), Asked(mix=(3, 1)), None),
        (("serverless",), Asked(usd_per_hour=0.7), None),
        (("beside",), Asked(usd_per_hour=0.7), "sample/steep"),
        (("unknown hour",), Asked(usd_per_hour=0.7), None),
        (("billed",), Asked(mix=(80, 20)), "sample/steep"),
        (("within", "without", "time"), Asked(), None),
        (("without", "time"), Asked(), None),
        (("doubt",), Asked(), "sample/even"),
        (("cheap",), Asked(), "sample/even"),
        (("cheap",), Asked(), "sample/steep"),
        (("failed", "timeout"), Asked(), None),
        ((), Asked(), None),
    ]
    return [
        {
            "entries": list(names),
            "asked": plain(one),
            "api": api,
            "text": headline.headline([known[name] for name in names], one, api),
        }
        for names, one, api in asked
    ]


def main() -> None:
    known = cases()
    entries = rows(known)
    data = {
        "priced": {name: plain(of) for name, of in known.items()},
        "vectors": [
            {"priced": name, "asked": plain(asked), "expected": expected(of, asked)}
            for name, of in known.items()
            for asked in ASKED
        ],
        "formats": formats(),
        "entries": {name: as_plain(of) for name, of in entries.items()},
        "headlines": headlines(entries),
    }
    parts = []
    for name, of in data.items():
        lines = (
            [f"{json.dumps(key)}: {_line(one)}" for key, one in of.items()]
            if isinstance(of, dict)
            else [_line(one) for one in of]
        )
        open_, close = "{}" if isinstance(of, dict) else "[]"
        parts.append(f"{json.dumps(name)}: {open_}\n" + ",\n".join(lines) + f"\n{close}")
    FILE.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")
    print(f"{FILE.relative_to(ROOT)}: {len(data['vectors'])} prices, {len(data['headlines'])} headlines")


def _line(of: Any) -> str:
    return json.dumps(of, allow_nan=False)


if __name__ == "__main__":
    main()
