"""Charts: which points they have and what they leave out. Figures are programmed."""

import itertools
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bench.entries.entry import Distribution, Entry, Quality, Report
from bench.entries.priced import Asked
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.page.charts import Chart, charts, draw
from bench.page.charts.front import Ends, standing
from tests.entries_samples import HOSTILE, about, api, entry, failed, many, priced, report

MOST_MARKS = 1500
IDS = (
    *("cost-by-precision", "cost-quality", "cost-speed", "break-even", "cost-load"),
    *("roofline", "ttft", "tpot", "memory", "energy"),
)


def varied() -> Report:
    """Batches of four precisions in two lengths, two loads with objectives, joules, a doubt, a failure."""
    made: list[Entry] = []
    for number, (precision, batch) in enumerate(
        itertools.product(("bf16", "int8", "nf4", "hqq-int4"), (1, 4, 16)), start=1
    ):
        loss = None if precision == "bf16" else 0.004 * len(precision)
        one = entry(
            key=f"{number:012x}@machine1",
            precision=precision,
            batch_size=batch,
            seconds=2000.0 + 9000.0 / batch + 311.0 * len(precision),
            input_tokens=512.0 if batch == 16 else 128.0,
            quality=Quality("bf16", delta_nll=loss, delta_nll_se=0.004, kl_mean=loss, is_reference=loss is None),
            verdict=(Reason("NOISY", "it is noisy", "try again"),) if batch == 4 else (),
            priced=priced(2000.0 + 9000.0 / batch, 0.1 * len(precision)),
        )
        energy = {"energy_j_per_output_token": about(0.4 + number)}
        made.append(replace(one, figures={**one.figures, **energy}))
    made += [_load(family, level) for family in ("a", "b") for level in (1.0, 2.0, 4.0, 8.0)]
    made += [replace(_load("a", level), key=f"long{level:g}", family="a, longer") for level in (1.0, 2.0)]
    return report([*made, failed()])


def _load(family: str, level: float) -> Entry:
    return replace(
        entry(key=f"{family}{level:g}@machine2", kind="load", machine="machine2", batch_size=None, limits=None),
        level=level,
        level_unit="requests/s",
        family=family,
        runner=f"server {family}",
        workload=f"poisson {level:g}/s, 128 in, 64 out",
        slo="p99 of TTFT at most 1 s",
        slo_met=level < 8,
        quality=Quality(reason="not measured under load"),
        priced=priced(8000.0 / level),
        good=priced(9000.0 / level + 100 * level),
    )


def chart_of(found: Sequence[Chart], name: str) -> Chart:
    return next(one for one in found if one.id == name)


def points(of: Report, name: str, kind: str = "row", asked: Asked | None = None, api: str | None = None) -> Any:
    made = charts(of, asked or Asked(), api)
    return [one for one in chart_of(made, name).points if one["kind"] == kind]


def test_every_chart_is_there_in_the_order_of_a_page() -> None:
    assert tuple(one.id for one in charts(varied())) == IDS


@pytest.mark.parametrize("of", [report([]), report([failed()])], ids=["empty", "only failures"])
def test_where_nothing_was_measured_there_is_no_chart(of: Report) -> None:
    assert charts(of) == []


def test_charts_without_data_are_left_out() -> None:
    bare = replace(entry(), priced=None, distributions={}, memory=None, limits=None)
    assert charts(report([bare])) == []
    assert [one.id for one in charts(report([replace(bare, memory=entry().memory)]))] == ["memory"]


def test_the_dollars_are_the_rows_own() -> None:
    """3600 machine seconds a million tokens at $2 an hour are $2; half busy, $4."""
    of = report([entry(priced=priced(3600.0, 2.0))])
    (row,) = points(of, "cost-by-precision")
    assert row["usd_per_mtok"] == pytest.approx(2.0)
    assert row["usd_per_mtok_low"] == pytest.approx(2.0 / 1.05)
    (row,) = points(of, "cost-by-precision", asked=Asked(utilisation=0.5))
    assert row["usd_per_mtok"] == pytest.approx(4.0)


def test_an_api_of_one_price_is_one_line_and_of_two_a_tick_in_each_row() -> None:
    same = report([entry(key="a"), entry(key="b")])
    assert [one["label"] for one in points(same, "cost-by-precision", "api")] == [
        "groq/llama-3.1-8b-instant",
        "openai/gpt-5-mini",
    ]
    assert points(same, "cost-by-precision", "api for a row") == []
    other = priced(apis=(replace(api(), own_usd_per_mtok=9.0),))
    ticks = points(report([entry(key="a"), entry(key="b", priced=other)]), "cost-by-precision", "api for a row")
    assert {one["key"]: one["usd_per_mtok"] for one in ticks if one["api"] == "openai/gpt-5-mini"} == {
        "a": pytest.approx((128 * 0.25 + 64 * 2.0) / 192),
        "b": 9.0,
    }


def test_the_api_that_is_asked_for_is_marked_else_the_cheapest() -> None:
    of = report([entry()])
    marked = [one["api"] for one in points(of, "cost-by-precision", "api") if one["chosen"]]
    assert marked == ["groq/llama-3.1-8b-instant"]
    asked = points(of, "cost-by-precision", "api", api="openai/gpt-5-mini")
    assert [one["api"] for one in asked if one["chosen"]] == ["openai/gpt-5-mini"]


def test_rows_that_mean_nothing_are_not_drawn_and_doubtful_ones_are_hollow() -> None:
    fatal = entry(key="fatal", verdict=(Reason("EARLY_EOS", "it ended early", "force tokens", fatal=True),))
    doubtful = entry(key="doubtful", verdict=(Reason("NOISY", "it is noisy", "try again"),))
    for one in charts(report([fatal, doubtful, entry(key="sure")])):
        assert "fatal" not in {point.get("key") for point in one.points}
    rows = points(report([fatal, doubtful, entry(key="sure")]), "cost-by-precision")
    assert {one["key"]: (one["doubtful"], one["verdict"]) for one in rows} == {
        "doubtful": (True, "NOISY"),
        "sure": (False, "VALID"),
    }


def slow_standing(rows: Sequence[tuple[Ends, Ends]]) -> list[str]:
    """The definition, pair by pair."""

    def beats(one: tuple[Ends, Ends], other: tuple[Ends, Ends]) -> bool:
        surely = [a.high < b.low for a, b in zip(one, other, strict=True)]
        equal = [a.value == b.value for a, b in zip(one, other, strict=True)]
        return all(surely) or (surely[0] and equal[1]) or (equal[0] and surely[1])

    def no_worse(one: tuple[Ends, Ends], other: tuple[Ends, Ends]) -> bool:
        values = [(a.value, b.value) for a, b in zip(one, other, strict=True)]
        return all(a <= b for a, b in values) and any(a < b for a, b in values)

    return [
        "yes"
        if not any(no_worse(other, row) for other in rows)
        else "no"
        if any(beats(other, row) for other in rows)
        else "perhaps"
        for row in rows
    ]


def test_the_front_is_what_its_definition_says() -> None:
    draws = random.Random(7)

    def ends() -> Ends:
        value = float(draws.randint(1, 12)) + draws.choice((0.0, draws.random()))
        half = draws.choice((0.0, 0.4, 1.5))
        return Ends(value, value - half, value + half)

    for _ in range(150):
        rows = [(ends(), ends()) for _ in range(25)]
        assert standing(rows) == slow_standing(rows)


def test_twins_in_both_figures_are_both_on_the_front() -> None:
    one, two, three = (Ends(value, value, value) for value in (1.0, 2.0, 3.0))
    assert standing([(one, two), (two, one), (one, two), (two, two), (three, one)]) == ["yes", "yes", "yes", "no", "no"]


def test_the_front_of_cost_and_quality() -> None:
    """int8 loses more than bf16 and costs more; nf4 is cheapest; bf16 at batch 1 surely costs more than at 16."""

    def made(key: str, precision: str, loss: float | None, seconds: float) -> Entry:
        quality = Quality("bf16", delta_nll=loss, delta_nll_se=0.001, is_reference=loss is None, same_top_1=0.9)
        return entry(key=key, precision=precision, quality=quality, priced=priced(seconds))

    of = report(
        [
            made("bf16", "bf16", None, 3000.0),
            made("bf16 slow", "bf16", None, 9000.0),
            made("int8", "int8", 0.02, 5000.0),
            made("int8 near", "int8", 0.001, 3001.0),
            made("nf4", "nf4", 0.2, 1000.0),
        ]
    )
    found = {one["key"]: one["front"] for one in points(of, "cost-quality")}
    assert found == {"bf16": "yes", "bf16 slow": "no", "int8": "no", "int8 near": "perhaps", "nf4": "yes"}
    reference = next(one for one in points(of, "cost-quality") if one["key"] == "bf16")
    assert (reference["delta_nll_nats"], reference["delta_nll_nats_low"], reference["same_top_1"]) == (0.0, None, 1.0)


def test_kl_stands_in_where_no_row_has_a_difference() -> None:
    rows = [entry(key=str(k), quality=Quality("bf16", kl_mean=0.1 * k, kl_mean_se=0.01)) for k in (1, 2)]
    found = chart_of(charts(report(rows)), "cost-quality")
    assert [one["kl_nats"] for one in found.points] == [0.1, 0.2]
    assert "kl_nats_high" in found.csv_columns


def test_break_even_is_where_the_line_meets_the_api() -> None:
    """$0.03 at full load against $0.06: from a utilisation of one half on."""
    of = report([entry(priced=priced(1080.0, 0.1))])
    line = {one["utilisation"]: one["usd_per_mtok"] for one in points(of, "break-even")}
    assert line[1.0] == pytest.approx(0.03)
    assert line[0.01] == pytest.approx(3.0)
    (met,) = points(of, "break-even", "break-even")
    assert (met["utilisation"], met["usd_per_mtok"]) == (pytest.approx(0.5), pytest.approx(0.06))
    assert met["api"] == "groq/llama-3.1-8b-instant"
    assert points(of, "break-even", "break-even", Asked(usd_per_hour=100.0)) == []


def test_loads_say_what_met_the_objectives_and_what_that_costs() -> None:
    rows, good = points(varied(), "cost-load"), points(varied(), "cost-load", "good")
    assert [one["objectives"] for one in rows if one["family"] == "1"] == ["met", "met", "met", "missed"]
    at_8 = next(one for one in good if one["level"] == 8.0)
    assert at_8["usd_per_mtok"] == pytest.approx((9000.0 / 8 + 800) * 0.1 / 3600)


def test_loads_that_are_called_the_same_are_told_apart() -> None:
    names = {one["family"]: one["curve"] for one in points(varied(), "cost-load")}
    assert len(set(names.values())) == len(names) == 3
    assert sum(name.endswith(", load 2") for name in names.values()) == 1


def test_a_series_has_one_colour_and_shape_in_every_chart_and_names_leave_out_what_all_share() -> None:
    levels = ("bf16", "nf4", "int8")
    rows = [
        entry(key=f"{level}{batch}", precision=level, batch_size=batch, seconds=1000.0 * (1 + at) / batch)
        for at, level in enumerate(levels)
        for batch in (1, 4)
    ]
    found = charts(report(list(reversed(rows))))
    assert {one.about for one in found} == {"smollm2-135m · transformers · Sample CPU, 4 CPUs"}
    ranges: dict[str, set[str]] = {}
    for domain, colours in re.findall(
        r'"domain": (\[[^\]]*\]), "range": (\["var[^\]]*\])', json.dumps([one.spec for one in found])
    ):
        for name, colour in zip(json.loads(domain), json.loads(colours), strict=True):
            if name.split(",")[0] in levels:
                ranges.setdefault(name.split(",")[0], set()).add(colour)
    assert sorted(ranges) == sorted(levels)
    assert all(len(one) == 1 for one in ranges.values()), ranges
    assert len(set.union(*ranges.values())) == 3


def test_levels_of_another_unit_are_named_and_not_drawn() -> None:
    streams = replace(_load("c", 3.0), level_unit="streams", key="c")
    found = chart_of(charts(report([_load("a", 1.0), _load("a", 2.0), streams])), "cost-load")
    assert {one["level_unit"] for one in found.points} == {"requests/s"}
    assert "Loads in streams are not drawn." in found.caption


def test_the_roofline_has_the_share_that_was_reached() -> None:
    (row,) = chart_of(charts(report([entry()])), "roofline").points
    assert row["share_of_limit"] == pytest.approx(0.4)
    assert row["limit_tokens_per_s"] == pytest.approx(row["decode_tokens_per_s"] / 0.4)


def test_percentiles_are_marked_where_they_are_known() -> None:
    times = Distribution(tuple(0.01 * (k + 1) for k in range(100)), 500, {"50": 0.5, "99": "n<473", "90": 0.9})
    found = chart_of(charts(report([entry(distributions={"ttft_s": times})])), "ttft").points
    assert [(one["kind"], one["time_s"], one["share"]) for one in found if one["kind"] != "curve"] == [
        ("p50", 0.5, 0.5)
    ]
    assert found[0]["share"] == pytest.approx(0.005)


def test_parts_of_memory_stand_behind_each_other() -> None:
    parts = chart_of(charts(report([entry()])), "memory").points
    assert [(one["part"], one["from_bytes"], one["to_bytes"]) for one in parts] == [
        ("weights", 0, 270_000_000),
        ("KV cache", 270_000_000, 275_000_000),
        ("the rest", 275_000_000, 700_000_000),
    ]


def test_of_many_rows_each_chart_draws_what_can_be_read_and_says_so() -> None:
    made = charts(many(2000))
    for one in made:
        assert len(one.points) <= MOST_MARKS / 4, one.id
        assert "of 1,900 rows" in one.caption or "groups" in one.caption, one.id
    assert chart_of(made, "cost-by-precision").caption.endswith("Drawn are the 40 cheapest of 1,900 rows.")


def test_the_front_is_whole_even_of_many_rows() -> None:
    rows = [
        entry(
            key=f"{k:04d}",
            priced=priced(1000.0 + k),
            figures={"tokens_per_s_per_user": Estimate(1.0 + k, None, None, 1)},
        )
        for k in range(400)
    ]
    assert len(points(report(rows), "cost-speed")) == 400


def test_no_name_is_a_field_and_no_text_of_a_record_stands_in_an_expression() -> None:
    hostile = report([entry(key=str(k), model=HOSTILE, precision=f"a.b[{k}]'", runner=HOSTILE) for k in range(3)])
    for one in charts(hostile):
        for text in _expressions(one.spec):
            assert "script" not in text
            assert "a.b" not in text
        for point in one.points:
            assert all(name.isidentifier() for name in point)
            assert all(len(value) <= 70 for value in point.values() if isinstance(value, str))
            assert not any("\u202e" in value or "\n" in value for value in point.values() if isinstance(value, str))


def _expressions(value: Any, name: str = "") -> list[str]:
    """Whatever Vega would evaluate or parse: everything but the names of series in a domain."""
    if isinstance(value, dict):
        return [text for key, one in value.items() if key != "domain" for text in _expressions(one, key)]
    if isinstance(value, list):
        return [text for one in value for text in _expressions(one, name)]
    return [value] if isinstance(value, str) else []


def test_csv_has_a_line_a_point_and_units_in_its_head() -> None:
    found = chart_of(charts(varied()), "cost-speed")
    head, *lines = draw.csv_text(found).splitlines()
    assert head.split(",")[2:5] == ["tokens_per_s_per_user", "tokens_per_s_per_user_low", "tokens_per_s_per_user_high"]
    assert len(lines) == len(found.points)
