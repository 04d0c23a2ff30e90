"""The dollars of an entry: equal to the command line's at any hourly price, utilisation and mix; and in words."""

import math
from typing import Any

import pytest
from pydantic import TypeAdapter

from bench.cli.choices import overridden
from bench.cost.attribution import Point, by_fit, by_ratio, by_time, fit
from bench.entries import mixed, pricing
from bench.entries.entry import Entry
from bench.entries.headline import headline
from bench.entries.plain import plain
from bench.entries.priced import Asked, Priced
from bench.errors import InputError
from bench.metrics.statistics import Estimate
from bench.report import figures, table
from bench.report.rows import Row, rows
from bench.schema import CostChoices
from tests.entries_samples import DAY, HOSTILE, entry, failed
from tests.entry_dollars import APIS, OWNED, WORKS, asked_of, at_a_blend, near, records, vectors
from tests.samples import H100, environment, facts

BASES: dict[str, dict[str, Any]] = {
    "time": {"usd_per_hour": 3.6},
    "time, idle": {"usd_per_hour": 3.6, "utilisation": 0.4, "api_cached_share": 0.5},
    "fit": {"usd_per_hour": 3.6, "attribution": "fit", "utilisation": 0.7},
    "ratio": {"usd_per_hour": 3.6, "attribution": "ratio", "price_ratio": 6.0},
    "owned": {"owned": OWNED, "usd_per_kwh": 0.36, "one_off": {"usd": 50, "mtok": 1000}},
    "owned with its power": {"owned": {**OWNED, "power_kw": 1.7, "usd_per_kwh": 0.1}, "usd_per_kwh": 0.1},
    "one-off": {"usd_per_hour": 0.02, "one_off": {"usd": 400, "mtok": 1000}},
    "listed": {},
    "spot": {"price_kind": "spot", "spot_overhead": 0.1, "spot_availability": 0.8},
}


# --- batches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [{}, {"usd_per_hour": 0.37}, {"utilisation": 0.21}, {"usd_per_hour": 11.0, "utilisation": 0.9}],
    ids=["as it is", "price", "utilisation", "both"],
)
@pytest.mark.parametrize("base", BASES)
def test_batches_are_what_the_command_line_computes_anew(base: str, given: dict[str, Any]) -> None:
    choices = CostChoices.model_validate({"apis": APIS, "blends": ("7:2",), **BASES[base]})
    measured = records(joules=30.0)
    anew = rows(measured, overridden(choices, given))
    for old, new in zip(rows(measured, choices), anew, strict=True):
        assert old.dollars is not None, old.no_dollars_because
        priced = pricing.of_batch(old)
        assert priced is not None
        compare(priced, asked_of(given), new)


def compare(priced: Priced, asked: Asked, new: Row) -> None:
    """`priced` at what is asked, with a row that was priced by it."""
    of, work = new.dollars, new.cell.workload
    assert of is not None
    per_mtok = 1e6 / (work.input_tokens + work.output_tokens)
    near(mixed.usd_per_mtok(priced, asked), of.all_usd_per_request.times(per_mtok))
    near(mixed.machine_usd_per_mtok(priced, asked), of.blended_usd_per_mtok)
    near(mixed.part_usd_per_mtok(priced, "input", asked), of.input_usd_per_mtok)
    near(mixed.part_usd_per_mtok(priced, "cached", asked), of.cached_usd_per_mtok)
    near(mixed.part_usd_per_mtok(priced, "output", asked), of.output_usd_per_mtok)
    near(mixed.floor_usd_per_mtok(priced, asked), of.floor_usd_per_mtok)
    near(mixed.utilisation(priced, asked), of.utilisation)
    near(mixed.usd_per_hour(priced, asked), of.rate.usd_per_hour)
    for api, one in zip(priced.apis, of.apis, strict=True):
        assert api.api == one.api
        near(mixed.api_usd_per_mtok(priced, api, asked), one.api_usd_per_request * per_mtok)
        near(mixed.ratio(priced, api, asked), one.ratio)
        near(mixed.break_even(priced, api, asked), one.break_even)
    best, expected = mixed.cheapest(priced, asked), table.cheapest(new)
    assert (best and best.api) == (expected and expected.api)
    whole = figures.nested(new)
    for mix in ((3.0, 1.0), (80.0, 20.0), (7.0, 2.0)):
        name = {3.0: "3:1", 80.0: "80/20", 7.0: "7:2"}[mix[0]]
        at = Asked(asked.usd_per_hour, asked.utilisation, mix)
        near(mixed.machine_usd_per_mtok(priced, at), of.blends[name])
        at_a_blend(priced, at, name, whole)


def test_a_serverless_machine_idles_once_an_hourly_price_is_asked_for() -> None:
    h100 = {"price_kind": "serverless", "utilisation": 0.3, "apis": APIS, "blends": ("7:2",)}
    on_gpu = {"facts": facts({"cuda:0": 269_030_016}).model_copy(update={"accelerators": (H100,)})}
    measured = [
        one.model_copy(
            update={
                "environment": environment([H100]),
                "measurement": one.measurement and one.measurement.model_copy(update=on_gpu),
            }
        )
        for one in records(WORKS[:1])
    ]
    choices = CostChoices.model_validate(h100)
    for given in ({}, {"utilisation": 0.9}, {"usd_per_hour": 2.0}, {"usd_per_hour": 2.0, "utilisation": 0.8}):
        (old,), (new,) = rows(measured, choices), rows(measured, overridden(choices, given))
        assert old.dollars is not None, old.no_dollars_because
        assert old.dollars.rate.kind == "serverless"
        priced = pricing.of_batch(old)
        assert priced is not None
        compare(priced, asked_of(given), new)


def test_a_machine_whose_hour_nobody_knows_follows_the_price_that_is_asked_for() -> None:
    strange = environment([H100.model_copy(update={"name": "Strange Device"})])
    on_it = {"facts": facts({"cuda:0": 269_030_016}).model_copy(update={"accelerators": strange.accelerators})}
    measured = [
        one.model_copy(
            update={
                "environment": strange,
                "measurement": one.measurement and one.measurement.model_copy(update=on_it),
            }
        )
        for one in records(WORKS[:3])
    ]
    choices = CostChoices.model_validate({"apis": APIS, "blends": ("7:2",), "utilisation": 0.5, "attribution": "fit"})
    given = {"usd_per_hour": 0.9}
    for old, new in zip(rows(measured, choices), rows(measured, overridden(choices, given)), strict=True):
        assert old.dollars is None
        priced = pricing.of_batch(old)
        assert priced is not None
        assert priced.usd_per_hour is None
        assert "Strange Device" in priced.rate_basis
        assert mixed.usd_per_mtok(priced, Asked()) is None
        compare(priced, asked_of(given), new)


def test_any_mix_is_the_splits_own() -> None:
    """Of every method, for any parts, value and interval."""
    points = [
        Point(1000, 0, 20, [1.41, 1.45, 1.5]),
        Point(100, 0, 300, [6.0, 6.3]),
        Point(500, 0, 500, [10.5, 10.9, 10.6, 10.8]),
        Point(400, 1600, 60, [1.8, 1.85, 1.9]),
    ]
    row, cached = points[2], points[3]
    over = fit(points)
    splits = [
        (row, by_time(row, [2.0, 2.2, 2.1, 2.1], 7.2, 0.5)),
        (row, by_fit(row, over, 7.2, 0.5)),
        (row, by_ratio(row, 5.0, 7.2, 0.5)),
        (cached, by_time(cached, [0.6, 0.6, 0.7], 7.2, 0.5, over)),
        (cached, by_time(cached, [0.6, 0.6, 0.7], 7.2, 0.5)),
        (cached, by_fit(cached, over, 7.2, 0.5)),
        (cached, by_ratio(cached, 5.0, 7.2, 0.5, 0.3)),
        (row, by_fit(row, fit([Point(500, 0, 500, [10.5]), Point(100, 0, 300, [6.0])]), 7.2, 0.5)),
    ]
    for of, split in splits:
        own_s = of.time().times(1e6 / sum(of.tokens))
        mixing = pricing.mixing_of(split)
        priced = Priced(0.5, "", DAY, usd_per_hour=7.2, own_s_per_mtok=own_s, mixing=mixing)
        for mix in ((1, 1), (3, 1), (1, 999), (1e6, 1), (of.input_tokens, of.output_tokens)):
            near(mixed.machine_usd_per_mtok(priced, Asked(mix=mix)), split.blended(*mix))


def test_a_batch_of_one_output_token_has_no_mix() -> None:
    work = WORKS[0].model_copy(update={"output_tokens": 1})
    (row,) = rows(records([work]), CostChoices(usd_per_hour=3.6, apis=APIS))
    priced = pricing.of_batch(row)
    assert priced is not None
    assert mixed.usd_per_mtok(priced, Asked(mix=(3, 1))) is None
    assert mixed.usd_per_mtok(priced, Asked()) is not None
    assert "can be split" in headline([entry(priced=priced)], Asked(mix=(3, 1)), None)
    line = figures.nested(row)
    assert line["apis"][0]["blends"]["3:1"]["usd_per_mtok"] > 0
    assert line["apis"][0]["blends"]["3:1"]["ratio"] is None


def test_a_row_without_dollars_has_no_price() -> None:
    (row,) = rows([], CostChoices()) or [Row(records()[0].cell, environment(), "oom", 0)]
    assert pricing.of_batch(row) is None


# --- the shared vectors --------------------------------------------------------------------------------------------


def test_the_vectors_hold_in_python() -> None:
    known = {name: TypeAdapter(Priced).validate_python(of) for name, of in vectors()["priced"].items()}
    assert len(vectors()["vectors"]) >= 60
    for vector in vectors()["vectors"]:
        of, asked = known[vector["priced"]], TypeAdapter(Asked).validate_python(vector["asked"])
        expected = vector["expected"]
        agrees(plain(mixed.usd_per_mtok(of, asked)), expected["usd"])
        agrees(plain(mixed.machine_usd_per_mtok(of, asked)), expected["machine"])
        agrees(plain(mixed.beside_usd_per_mtok(of, asked)), expected["beside"])
        agrees(mixed.floor_usd_per_mtok(of, asked), expected["floor"])
        agrees({part: plain(mixed.part_usd_per_mtok(of, part, asked)) for part in mixed.PARTS}, expected["parts"])
        best = mixed.cheapest(of, asked)
        assert (best and best.api) == expected["cheapest"]
        for api in of.apis:
            said = expected["apis"][api.api]
            agrees(mixed.api_usd_per_mtok(of, api, asked), said["usd"])
            agrees(plain(mixed.ratio(of, api, asked)), said["ratio"])
            agrees(plain(mixed.break_even(of, api, asked)), said["break_even"])


def agrees(found: Any, expected: Any) -> None:
    """Plain data, numbers to 1e-12."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for key in expected:
            agrees(found[key], expected[key])
    else:
        near(found, expected)


def test_numbers_and_headlines_of_the_vectors_hold_in_python() -> None:
    for one in vectors()["formats"]:
        digits = [one["digits"]] if "digits" in one else []
        assert getattr(table, one["of"])(one["value"], *digits) == one["text"]
    known = {name: TypeAdapter(Entry).validate_python(of) for name, of in vectors()["entries"].items()}
    for one in vectors()["headlines"]:
        asked = TypeAdapter(Asked).validate_python(one["asked"])
        assert headline([known[name] for name in one["entries"]], asked, one["api"]) == one["text"]


def test_by_hand() -> None:
    """3600 s a Mtok at $2 an hour, half used: $4, and $0.25 beside it; $5 at the API: 0.85 of it, even at 2 / 4.75."""
    known = vectors()["priced"]["one-off"]
    own = {"own_s_per_mtok": {"value": 3600, "low": 3600, "high": 3600, "n": 3}, "utilisation": 0.5, "usd_per_hour": 2}
    api = {**known["apis"][0], "own_usd_per_mtok": 5.0}
    beside = {"value": 0.25, "low": 0.25, "high": 0.25, "n": 3}
    made = TypeAdapter(Priced).validate_python({**known, **own, "apis": [api], "beside_usd_per_mtok": beside})
    near(mixed.usd_per_mtok(made, Asked()), Estimate(4.25, 4.25, 4.25, 3))
    near(mixed.ratio(made, made.apis[0], Asked()), Estimate(0.85, 0.85, 0.85, 3))
    even = mixed.break_even(made, made.apis[0], Asked())
    assert even is not None
    assert math.isclose(even.value, 2 / 4.75)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"usd_per_hour": -1.0}, "usd_per_hour: must be from 1e-09 to 1e+06 (got -1)"),
        ({"usd_per_hour": math.nan}, "usd_per_hour: must be from"),
        ({"usd_per_hour": math.inf}, "usd_per_hour: must be from"),
        ({"utilisation": 0.0}, "utilisation: must be from 1e-06 to 1 (got 0)"),
        ({"utilisation": 1.01}, "utilisation: must be from"),
        ({"mix": (3.0, 0.0)}, "mix: must be two parts above 0"),
        ({"mix": (math.nan, 1.0)}, "mix: must be two parts above 0"),
        ({"mix": (math.inf, 1.0)}, "mix: must be two parts above 0"),
    ],
)
def test_what_nothing_can_be_priced_at_is_one_line(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match="must be") as error:
        Asked(**wrong)
    assert error.value.lines[0].startswith(said)


# --- words ---------------------------------------------------------------------------------------------------------


def test_the_headline_names_what_it_holds_for() -> None:
    text = headline([entry(), failed()], Asked(utilisation=0.25, usd_per_hour=0.004), "openai/gpt-5-mini")
    answer, _, holds_for = text.partition(". ")
    assert answer.startswith("Self-hosting smollm2-135m at bf16 costs $")
    assert answer.endswith(
        "; openai/gpt-5-mini costs $0.833 for the same tokens; self-hosting is cheaper from 0.67% utilisation on"
    )
    assert holds_for.startswith("Measured with batch 1, 128 in, 64 out, transformers on Sample CPU")
    assert "at 25% utilisation and $0.00400 an hour" in holds_for
    assert holds_for.endswith("; at KL 0.0300 against bf16; the API's quality is not compared.")


def test_names_of_others_cannot_change_the_sentence() -> None:
    text = headline([entry(model=HOSTILE, runner="x" * 10_000)], Asked(), "\u202e\n")
    assert "\n" not in text
    assert "\u202e" not in text
    assert len(text) < 1000
