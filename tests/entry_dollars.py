"""The shared vectors of dollars, and rows whose dollars are recomputed with other choices of cost."""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bench.entries import mixed
from bench.entries.priced import Asked, Priced
from bench.metrics.statistics import Estimate
from bench.report import figures
from bench.schema import Edge, Energy, Record, Window, Workload
from tests.samples import a_round, cell, measurement, record

VECTORS = Path(__file__).parent / "data" / "dollars.json"
REL = 1e-12
APIS = ("groq/llama-3.1-8b-instant", "openai/gpt-5-nano", "google/gemini-2.5-pro", "perplexity/sonar")
"""With tiers of prompt length, and with a fee for each request."""
OWNED: dict[str, Any] = {"capex_usd": 31_000, "life_years": 4, "pue": 1.5}
INPUT_S, CACHED_S, OUTPUT_S = 1e-3, 2e-4, 2e-2
WORKS = (
    Workload(batch_size=2, input_tokens=100, output_tokens=10),
    Workload(batch_size=2, input_tokens=100, output_tokens=25),
    Workload(batch_size=2, input_tokens=700, output_tokens=12),
    Workload(batch_size=2, input_tokens=300, cached_tokens=260, output_tokens=15),
    Workload(batch_size=2, input_tokens=900, cached_tokens=100, output_tokens=15),
)


@cache
def vectors() -> dict[str, Any]:
    """Of `scripts/dollar_vectors.py`."""
    found: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return found


def records(works: Sequence[Workload] = WORKS, replicates: int = 3, joules: float | None = None) -> list[Record]:
    """Batches that take about INPUT_S a prompt token, CACHED_S a cached one and OUTPUT_S a new one, with some noise."""
    found = []
    for at, work in enumerate(works):
        cached = work.batch_size * work.cached_tokens
        first = INPUT_S * (work.batch_size * work.input_tokens - cached) + CACHED_S * cached + OUTPUT_S
        for index in range(replicates):
            factor = 1 + 0.04 * ((7 * at + 3 * index) % 5) / 5
            steps = tuple(first * factor + OUTPUT_S * step * (2 - factor) for step in range(work.output_tokens))
            one = a_round(work.output_tokens).model_copy(update={"step_s": steps, "done_s": steps[-1]})
            measured = measurement(rounds=[one] * 3)
            if joules is not None:
                energy = Energy(cpu_energy_j=joules * (1 + index / 50), sources={"cpu_energy_j": "a meter"})
                window = Window(start=Edge(), end=Edge(), duration_s=3.0, energy=energy)
                measured = measured.model_copy(update={"window": window})
            found.append(record(index, cell(workload=work), measured))
    return found


def near(found: Any, expected: Any) -> None:
    """Equal to 1e-12, None and infinity included; estimates by value and both ends."""
    if isinstance(expected, Estimate):
        assert isinstance(found, Estimate), expected
        assert found.n == expected.n
        for name in ("value", "low", "high"):
            near(getattr(found, name), getattr(expected, name))
    elif expected is None or isinstance(expected, str):
        assert found == expected
    else:
        assert found == pytest.approx(expected, rel=REL, abs=0)


def asked_of(given: dict[str, Any]) -> Asked:
    return Asked(given.get("usd_per_hour"), given.get("utilisation"))


def at_a_blend(priced: Priced, at: Asked, name: str, whole: dict[str, Any]) -> None:
    """With what `bench report -f json` says of the same blend."""
    for api, said in zip(priced.apis, whole["apis"], strict=True):
        found = said["blends"][name]
        near(mixed.api_usd_per_mtok(priced, api, at), found["usd_per_mtok"])
        for key, estimate in (
            ("ratio", mixed.ratio(priced, api, at)),
            ("full_load_ratio", mixed.break_even(priced, api, at)),
        ):
            for end, value in figures.with_interval(key, estimate).items():
                near(value, found[end])
    best, key = mixed.cheapest(priced, at), figures.blend_key(name)
    assert whole[f"cheapest_api_at_{key}"] == (best and best.api)
    if best is not None:
        share = mixed.break_even(priced, best, at)
        never = share is None or share.value > 1
        near(whole[f"break_even_utilisation_at_{key}"], None if never or share is None else share.value)
