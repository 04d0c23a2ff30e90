"""Entries made by hand, for tests of whatever shows them: programmed figures, no journal."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from bench.entries.entry import Bytes, Distribution, Entry, Limits, Origin, Quality, Report
from bench.entries.priced import ApiPrice, Mixing, Priced
from bench.metrics.statistics import Estimate
from tests.samples import environment

DAY = date(2026, 11, 1)
HOSTILE = "<script>alert(\"x\")</script>\n=cmd|'/c calc'!A1 \u202eevil\u202c \" ' & \\textbf{x} | `y` $z$ %_#~^"
"""What a model's name may be: every format has to show it as text."""


def about(value: float, spread: float = 0.05, n: int = 3) -> Estimate:
    """A value with an interval of a factor up and down."""
    return Estimate(value, value / (1 + spread), value * (1 + spread), n)


def api(name: str = "openai/gpt-5-mini", in_usd: float = 0.25, out_usd: float = 2.0, **changed: Any) -> ApiPrice:
    """Prices of an API for requests of 128 in and 64 out."""
    own = (128 * in_usd + 64 * out_usd) / 192
    known: dict[str, Any] = {"source": "genai-prices 0.2.3", "model_id": name.partition("/")[2], "confirmed": DAY}
    return ApiPrice(name, in_usd, in_usd / 10, out_usd, 0.0, own, **known | changed)


def priced(seconds: float = 5000.0, usd_per_hour: float = 0.1, **changed: Any) -> Priced:
    """`seconds` of the machine for a million tokens of 128 in and 64 out; an output token takes ten times an input."""
    input_s = seconds * 192 / (128 + 64 * 10)
    mixing = Mixing("time", input_s, 10 * input_s, tuple((input_s * k, 10 * input_s * k) for k in (0.97, 1.0, 1.03)))
    known: dict[str, Any] = {
        "utilisation": 1.0,
        "split": "split by measured time",
        "day": DAY,
        "usd_per_hour": usd_per_hour,
        "rate_basis": f"${usd_per_hour:g} per hour: as stated",
        "own_s_per_mtok": about(seconds),
        "input_s_per_mtok": about(input_s),
        "output_s_per_mtok": about(10 * input_s),
        "floor_s_per_mtok": seconds / 4,
        "mixing": mixing,
        "apis": (api(), api("groq/llama-3.1-8b-instant", 0.05, 0.08)),
    }
    return Priced(**known | changed)


def figures(tokens_per_s: float, batch_size: int = 1) -> dict[str, Estimate]:
    """Of a machine that makes so many tokens a second, input and output together, 128 in and 64 out."""
    e2el_s = 192 * batch_size / tokens_per_s
    ttft_s = e2el_s / 6
    tpot_s = (e2el_s - ttft_s) / 63
    found = {
        "prefill_tokens_per_s": 128 * batch_size / ttft_s,
        "decode_tokens_per_s": batch_size / tpot_s,
        "output_tokens_per_s": 64 * batch_size / e2el_s,
        "total_tokens_per_s": tokens_per_s,
        "requests_per_s": batch_size / e2el_s,
        "tokens_per_s_per_user": 1 / tpot_s,
        "ttft_s": ttft_s,
        "tpot_s": tpot_s,
        "e2el_s": e2el_s,
        "mbu": 0.4,
        "mfu": 0.2,
    }
    return {name: about(value) for name, value in found.items()}


def entry(**changed: Any) -> Entry:
    """A static batch of a small model on a CPU; `seconds` (machine seconds a Mtok) changes its figures and dollars."""
    seconds = float(changed.pop("seconds", 5000.0))
    batch_size = int(changed.get("batch_size") or 1)
    of = figures(1e6 / seconds, batch_size)
    ttft_s, tpot_s = of["ttft_s"].value, of["tpot_s"].value
    known: dict[str, Any] = {
        "key": "0123456789ab@machine1",
        "cell_id": "0123456789ab",
        "kind": "batch",
        "origin": Origin("llm-cost-bench", "0.1.0", instrument=1, schema_version=1),
        "run": "quickstart",
        "model": "smollm2-135m",
        "precision": "bf16",
        "runner": "transformers",
        "machine": "machine1",
        "hardware": "Sample CPU, 4 CPUs",
        "workload": f"batch {batch_size}, 128 in, 64 out",
        "input_tokens": 128.0,
        "cached_tokens": 0.0,
        "output_tokens": 64.0,
        "status": "ok",
        "replicates": 3,
        "batch_size": batch_size,
        "measured_at": "2026-11-01T10:00:00+00:00",
        "figures": of,
        "distributions": {
            "ttft_s": Distribution(
                tuple(ttft_s * (0.9 + k / 50) for k in range(11)), 11, {"50": ttft_s, "99": "n<473"}
            ),
            "tpot_s": Distribution(tuple(tpot_s * (0.9 + k / 50) for k in range(11)), 11, {"50": tpot_s}),
        },
        "memory": Bytes(270_000_000, 5_000_000, 425_000_000, 700_000_000),
        "limits": Limits(
            "measured: 30 GB/s read", "memory", ttft_s / 5, tpot_s * 0.4, of["decode_tokens_per_s"].value / 0.4
        ),
        "quality": Quality("bf16", 1.2, 22.0, 0.02, 0.004, 0.03, 0.002, 0.9, 0.01),
        "priced": priced(seconds),
        "command": "bench run configs/quickstart.yaml --only smollm2-135m,bf16",
    }
    return Entry(**known | changed)


def failed(**changed: Any) -> Entry:
    """A cell that did not fit into memory."""
    known: dict[str, Any] = {
        "key": "ffffffffffff@machine1",
        "cell_id": "ffffffffffff",
        "status": "oom",
        "replicates": 0,
        "failure": "it needs 32 GB and there are 24",
        "remedy": "choose a smaller batch",
        "figures": {},
        "distributions": {},
        "memory": None,
        "limits": None,
        "quality": Quality(reason="not measured"),
        "priced": None,
    }
    return entry(**known | changed)


def report(entries: Sequence[Entry], **changed: Any) -> Report:
    """A report of these entries, on the sample machine."""
    known: dict[str, Any] = {
        "title": "quickstart",
        "headline": "Self-hosting smollm2-135m at bf16 costs $0.13–$0.15 per Mtok.",
        "runs": ("results/local/quickstart",),
        "day": DAY,
        "environments": {one.machine: environment() for one in entries if one.kind != "imported"},
    }
    return Report(entries=tuple(entries), **known | changed)


PRECISIONS = ("fp32", "bf16", "int8", "nf4", "torchao-int8wo", "hqq-int4")


def many(count: int) -> Report:
    """So many entries: models × precisions × batch sizes on a few machines, every twentieth failed."""
    entries = []
    for index in range(count):
        machine = f"machine{index % 4}"
        cell_id = f"{index:012x}"
        made: dict[str, Any] = {
            "key": f"{cell_id}@{machine}",
            "cell_id": cell_id,
            "model": f"model-{index // 60}",
            "precision": PRECISIONS[index % 6],
            "batch_size": (1, 4, 16)[index // 6 % 3],
            "machine": machine,
            "hardware": f"Sample CPU {index % 4}",
            "command": f"bench run configs/many.yaml --only {cell_id}",
        }
        build = failed if index % 20 == 19 else entry
        entries.append(build(**made, **({} if build is failed else {"seconds": 2000.0 + 37.0 * (index % 211)})))
    return report(entries, title=f"{count} cells")
