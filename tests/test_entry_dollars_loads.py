"""The dollars of a load's entry: equal to the command line's at any hourly price, utilisation and mix."""

from pathlib import Path
from typing import Any

import pytest

from bench.cli.choices import overridden
from bench.entries import mixed, pricing
from bench.entries.priced import Asked
from bench.metrics.serving.slo import parse
from bench.report import figures
from bench.report.serving import plain as serving_plain
from bench.report.serving.row import ServingRow
from bench.report.serving.rows import serving_rows
from bench.schema import CostChoices, Record
from tests.entry_dollars import APIS, OWNED, asked_of, at_a_blend, near
from tests.serving_samples import requests, served, served_cell


def loads(folder: Path, choices: CostChoices, slo: str = "", replicates: int = 2) -> ServingRow:
    found: list[Record] = []
    for index in range(replicates):
        # Every third answer is shorter, and prompts lie on both sides of a bound of a tariff.
        def change(number: int, index: int = index) -> dict[str, Any]:
            size = 250_000 if number % 7 == 3 else 100 + number % 40
            made = {"input_tokens": size, "cached_tokens": number % 30, "output_tokens": 16 + index + number % 3}
            return {**made, "status": "stream-error"} if number == 30 else made  # a bill is for it too

        found.append(served(folder, requests(4, change), served_cell(4), replicate=index, loopback=True))
    wanted = tuple(parse(text) for text in slo.split())
    (row,) = serving_rows(found, folder, choices, wanted)
    assert row.dollars is not None, row.no_dollars_because
    return row


LOADS: dict[str, dict[str, Any]] = {
    "stated": {"usd_per_hour": 3.6, "utilisation": 0.6},
    "one-off": {"usd_per_hour": 3.6, "one_off": {"usd": 5, "mtok": 1000}, "price_ratio": 8.0, "attribution": "ratio"},
    "owned": {"owned": OWNED, "api_cached_share": 0.5},
    "billed": {"billed_as": "openai/gpt-5-nano"},
}


@pytest.mark.parametrize("given", [{}, {"usd_per_hour": 0.37}, {"utilisation": 0.21}], ids=["own", "price", "use"])
@pytest.mark.parametrize("base", LOADS)
def test_loads_are_what_the_command_line_computes_anew(base: str, given: dict[str, Any], tmp_path: Path) -> None:
    choices = CostChoices.model_validate({"apis": APIS, "blends": ("7:2",), **LOADS[base]})
    slo = "" if base == "billed" else "e2el<=2.5"
    old, new = (loads(tmp_path / name, one, slo) for name, one in (("a", choices), ("b", overridden(choices, given))))
    (priced, good), of, asked = pricing.of_load(old), new.dollars, asked_of(given)
    assert priced is not None
    assert of is not None
    near(mixed.usd_per_mtok(priced, asked), of.usd_per_mtok)
    near(mixed.machine_usd_per_mtok(priced, asked), None if of.at is None else of.at.blended_usd_per_mtok)
    for part in mixed.PARTS:
        expected = None if of.at is None else getattr(of.at, f"{part}_usd_per_mtok")
        near(mixed.part_usd_per_mtok(priced, part, asked), expected)
    for api, one in zip(priced.apis, of.apis, strict=True):
        near(mixed.api_usd_per_mtok(priced, api, asked), one.usd_per_mtok)
        near(mixed.ratio(priced, api, asked), one.ratio)
        near(mixed.break_even(priced, api, asked), one.break_even)
    assert (good is None) == (of.good is None)
    if good is not None and of.good is not None:
        near(mixed.machine_usd_per_mtok(good, asked), of.good.blended_usd_per_mtok)
    whole = serving_plain.nested(new)
    for name, mix in (("3:1", (3.0, 1.0)), ("80/20", (80.0, 20.0)), ("7:2", (7.0, 2.0))):
        at = Asked(asked.usd_per_hour, asked.utilisation, mix)
        at_a_blend(priced, at, name, whole)
        own = mixed.machine_usd_per_mtok(priced, at) if base != "billed" else mixed.usd_per_mtok(priced, at)
        assert own is not None
        near(own.value, whole[f"usd_per_mtok_at_{figures.blend_key(name)}"])


def test_an_endpoint_elsewhere_follows_the_price_that_is_asked_for(tmp_path: Path) -> None:
    record = served(tmp_path, loopback=False)
    (old,), (new,) = (
        serving_rows([record], tmp_path, CostChoices(apis=APIS, usd_per_hour=hour), (parse("e2el<=2.5"),))
        for hour in (None, 0.7)
    )
    assert old.dollars is None
    assert new.dollars is not None
    priced, good = pricing.of_load(old)
    assert priced is not None
    assert good is not None
    assert mixed.usd_per_mtok(priced, Asked()) is None
    near(mixed.usd_per_mtok(priced, Asked(usd_per_hour=0.7)), new.dollars.usd_per_mtok)


def test_prices_of_a_mix_over_tiers_make_what_each_request_costs(tmp_path: Path) -> None:
    """Uncached, cached and output tokens at the effective prices, and the fee, are the sum over the requests."""
    row = loads(tmp_path, CostChoices(usd_per_hour=3.6, apis=APIS, api_cached_share=0.3), replicates=1)
    priced, _ = pricing.of_load(row)
    assert priced is not None
    assert row.dollars is not None
    whole = row.dollars.mix.whole
    for api in priced.apis:
        cached = api.cached_tokens * whole.requests
        usd = (whole.prompt - cached) * api.input_usd_per_mtok + cached * api.cached_usd_per_mtok
        usd += whole.output * api.output_usd_per_mtok
        near(usd / whole.tokens + api.fee_usd_per_mtok, api.own_usd_per_mtok)
