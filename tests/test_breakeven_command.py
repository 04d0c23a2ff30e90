"""`bench breakeven` from end to end, on records whose break-even can be worked out by hand.

The sample batch of two requests takes one second, so a replica serves 2 · 3600 · 730 = 5,256,000 requests a month. Groq
asks 100 · $0.05 + 11 · $0.08 = $5.88 for a million of them: at $0.0296352 an hour self-hosting costs $4.116, 70 %.
"""

import csv
import io
import json
import math
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from bench.cost import hourly
from bench.cost.hourly import HourlyRate
from bench.errors import InputError
from bench.report import breakeven_tables
from bench.report.breakeven import Answer, Asked, answer
from bench.report.breakeven_text import FORMATS, notes, render
from bench.report.rows import rows
from bench.schema import CostChoices, Energy, FourBit, OneOff, Owned, Record, Window, Workload
from tests import samples
from tests.commands import ROOT, bench
from tests.test_bad_input import refused

GROQ = "groq/llama-3.1-8b-instant"
OPENAI = "openai/gpt-5-nano"
SEVENTY = 0.0296352
"""USD per hour at which self-hosting breaks even at 70 %."""

STORED = ROOT / "tests" / "data" / "records-v1.jsonl"
FACTORS = (0.98, 1.0, 1.0 / 0.98)
"""Replicates whose geometric mean is the sample itself."""


def journal(folder: Path, records: Sequence[Record]) -> Path:
    """A run folder with these records and no plan."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_text("".join(one.model_dump_json(exclude_none=True) + "\n" for one in records))
    return folder


def three(precision: str = "bf16", slower: float = 1.0, factors: Sequence[float] = FACTORS) -> list[Record]:
    """Three replicates of a cell."""
    of = samples.cell() if precision == "bf16" else samples.cell(precision=FourBit(name="nf4"))
    return [
        samples.record(index, of, samples.measurement(factor * slower), name=f"{precision}.{index}")
        for index, factor in enumerate(factors)
    ]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Row 1: bf16. Row 2: nf4, twice as fast. Row 3: failed."""
    failed = samples.failed_record(
        of=samples.cell(workload=Workload(batch_size=64, input_tokens=100, output_tokens=11))
    )
    return journal(tmp_path_factory.mktemp("three"), [*three(), *three("nf4", 0.5), failed])


def as_json(*arguments: str | Path) -> dict[str, Any]:
    """What the command prints as JSON."""
    done = bench("breakeven", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    whole: dict[str, Any] = json.loads(done.stdout)
    return whole


def answered(choices: CostChoices, records: Sequence[Record] = (), asked: Asked | None = None) -> Answer:
    """The answer of one row, without a process."""
    (row,) = rows(records or three(), choices)
    return answer(row, 1, choices, asked or Asked(), [])


STATED = CostChoices(usd_per_hour=SEVENTY, apis=(GROQ, OPENAI))


# --- numbers -----------------------------------------------------------------------------------------------------


def test_the_same_requests_by_hand(run: Path) -> None:
    """$4.116 against $5.88 a million requests; 111 tokens each."""
    whole = as_json(run, "--row", "1", "--usd-per-hour", str(SEVENTY), "--api", GROQ)
    (row,) = whole["rows"]
    (line,) = row["same_requests"]
    assert line["self_usd_per_request"] == pytest.approx(4.116e-6, rel=1e-9)
    assert line["api_usd_per_request"] == pytest.approx(5.88e-6, rel=1e-12)
    assert line["self_usd_per_mtok"] == pytest.approx(4.116 / 111, rel=1e-9)
    assert line["api_usd_per_mtok"] == pytest.approx(5.88 / 111, rel=1e-9)
    assert line["ratio"] == pytest.approx(0.7, rel=1e-9)
    assert line["break_even_utilisation"] == line["full_load_share"] == pytest.approx(0.7, rel=1e-9)
    assert line["outcome"] == "cheaper from"
    # The interval of the time, and so of everything that is proportional to it.
    spread = line["full_load_share_high"] / line["full_load_share"]
    assert spread == pytest.approx(line["full_load_share"] / line["full_load_share_low"], rel=1e-9)
    assert spread == pytest.approx(line["ratio_high"] / line["ratio"], rel=1e-9)
    assert 1.03 < spread < 1.06


def test_volumes_by_hand(run: Path) -> None:
    """$21.633696 a month over $5.88e-6 is 3,679,200; for good from three replicas on, ceil(0.7 / 0.3) of them."""
    whole = as_json(run, "--row", "1", "--usd-per-hour", str(SEVENTY), "--api", GROQ)
    (line,) = whole["rows"][0]["volumes"]
    assert line["first_requests_per_month"] == pytest.approx(3_679_200, rel=1e-9)
    assert line["first_mtok_per_month"] == pytest.approx(3_679_200 * 111 / 1e6, rel=1e-9)
    assert line["for_good_requests_per_month"] == pytest.approx(3 * 3_679_200, rel=1e-9)
    assert line["for_good_replicas"] == 3
    assert line["first_requests_per_month_interval_known"] is True
    # What a rental costs does not hang on its speed: only whether it gets there does.
    assert line["first_requests_per_month_low"] == line["first_requests_per_month_high"]
    assert line["for_good_requests_per_month_low"] <= line["for_good_requests_per_month"]


def test_a_fuller_replica_is_what_it_says(run: Path) -> None:
    """At 60 % at most, 70 % is never reached; at 90 % it is, and the next replica comes sooner: ceil(7/9 ÷ 2/9) = 4."""
    stated = ("--row", "1", "--usd-per-hour", str(SEVENTY), "--api", GROQ)
    (line,) = as_json(run, *stated, "--max-utilisation", "0.6")["rows"][0]["volumes"]
    assert line["first_requests_per_month"] is line["for_good_requests_per_month"] is line["for_good_replicas"] is None
    (line,) = as_json(run, *stated, "--max-utilisation", "0.9")["rows"][0]["volumes"]
    assert line["first_requests_per_month"] == pytest.approx(3_679_200, rel=1e-9)
    assert line["for_good_replicas"] == 4


def test_months_by_hand(run: Path) -> None:
    """4 M requests: one replica, $21.63 against $23.52; 6 M: two, $43.27 against $35.28."""
    arguments = ("--requests-per-month", "4e6", "--requests-per-month", "6000000")
    whole = as_json(run, "--row", "1", "--usd-per-hour", str(SEVENTY), "--api", GROQ, *arguments)
    found = [
        (one["requests_per_month"], one["replicas"], one["self_usd_per_month"], one["api_usd_per_month"])
        for one in whole["rows"][0]["at_volumes"]
    ]
    assert found[0] == pytest.approx((4e6, 1, 21.633696, 23.52), rel=1e-9)
    assert found[1] == pytest.approx((6e6, 2, 43.267392, 35.28), rel=1e-9)
    assert whole["rows"][0]["at_volumes"][0]["mtok_per_month"] == pytest.approx(444, rel=1e-12)


def test_the_sweep_crosses_where_the_break_even_is(run: Path) -> None:
    """0.7 / u: 7 times at 10 %, equal at 70 %, 0.7 at 100 %."""
    whole = as_json(run, "--row", "1", "--usd-per-hour", str(SEVENTY), "--api", GROQ)
    lines = whole["rows"][0]["at_utilisations"]
    assert [one["utilisation"] for one in lines] == [tenth / 10 for tenth in range(1, 11)]
    for one in lines:
        assert one["ratio"] == pytest.approx(0.7 / one["utilisation"], rel=1e-9)
        assert one["self_usd_per_request"] == pytest.approx(4.116e-6 / one["utilisation"], rel=1e-9)


def test_utilisation_raises_the_cost_and_not_the_break_even(run: Path) -> None:
    """At 35 % every dollar is at twice the break-even; the break-even stays."""
    stated = ("--row", "1", "--usd-per-hour", str(SEVENTY), "--api", GROQ, "--utilisation", "0.35")
    (row,) = as_json(run, *stated)["rows"]
    assert row["same_requests"][0]["ratio"] == pytest.approx(2.0, rel=1e-9)
    assert row["same_requests"][0]["break_even_utilisation"] == pytest.approx(0.7, rel=1e-9)
    assert row["volumes"][0]["first_requests_per_month"] == pytest.approx(3_679_200, rel=1e-9)


def test_the_default_is_the_best_row_and_all_are_all_with_dollars(run: Path) -> None:
    """nf4 takes half the time; the failed row is named on standard error."""
    stated = ("--usd-per-hour", str(SEVENTY), "--api", GROQ, "--api", OPENAI)
    (best,) = as_json(run, *stated)["rows"]
    assert (best["row"], best["precision"]) == (2, "nf4")
    assert best["same_requests"][0]["break_even_utilisation"] == pytest.approx(0.35, rel=1e-9)
    done = bench("breakeven", run, *stated, "--all", "--format", "json")
    assert [one["row"] for one in json.loads(done.stdout)["rows"]] == [1, 2]
    assert "row 3 has no dollars and is left out: unsupported: bitsandbytes has no kernel here" in done.stderr


def test_a_filter_chooses_cells_and_numbers_stay(run: Path) -> None:
    """As `bench compare` filters; a second run's rows follow the first's."""
    stated = ("--usd-per-hour", str(SEVENTY), "--api", GROQ)
    (row,) = as_json(f"{run}:precision=bf16", *stated)["rows"]
    assert (row["row"], row["precision"]) == (1, "bf16")
    (row,) = as_json(run, f"{run}:precision=nf4", "--row", "5", *stated)["rows"]
    assert (row["row"], row["precision"]) == (5, "nf4")


def test_a_stored_journal_of_the_first_version(tmp_path: Path) -> None:
    """A journal by its own path; what it failed to measure is left out."""
    (row,) = as_json(STORED, "--usd-per-hour", "3.6", "--api", GROQ)["rows"]
    # 0.0005 USD a request against 5.88e-6.
    assert row["same_requests"][0]["full_load_share"] == pytest.approx(0.0005 / 5.88e-6, rel=1e-6)
    assert row["same_requests"][0]["outcome"] == "never cheaper"
    assert row["same_requests"][0]["break_even_utilisation"] is None
    assert row["volumes"][0]["first_requests_per_month"] is None
    assert row["answer"].endswith("Self-hosting is never cheaper: no utilisation makes up for it.")


def test_every_kind_of_price_is_a_line_with_its_basis(tmp_path: Path) -> None:
    """An H100 is offered on demand and otherwise; each at its own price, in proportion."""
    here = samples.environment([samples.H100])
    measured = samples.measurement(of=samples.facts({"cuda:0": 269_030_016}))
    records = [samples.record(index, measured=measured, where=here, name=str(index)) for index in range(3)]
    whole = as_json(journal(tmp_path, records), "--api", GROQ, "--as-of", "2026-11-15")
    hours = whole["rows"][0]["hours"]
    assert hours[0]["chosen"]
    assert hours[0]["kind"] == "on_demand"
    assert {"spot", "managed"} <= {one["kind"] for one in hours}
    assert len({(one["kind"], one["usd_per_hour"]) for one in hours}) == len(hours)
    for one in hours:
        assert one["self_usd_per_request"] == pytest.approx(one["usd_per_hour"] / 3600 / 2, rel=1e-9)
        assert one["full_load_share"] == pytest.approx(one["self_usd_per_request"] / 5.88e-6, rel=1e-9)
        assert any(one["basis"] in note for note in whole["notes"])
    assert whole["rows"][0]["prices_as_of"] == "2026-11-15"
    assert any("API prices as of 2026-11-15" in note for note in whole["notes"])


def test_sleeping_by_hand(run: Path) -> None:
    """On for a tenth of the month with 66 starts: a tenth of the volume pays, a start is lost out of 262,800 s each."""
    stated = ("--row", "1", "--usd-per-hour", str(SEVENTY), "--api", GROQ)
    whole = as_json(run, *stated, "--duty-cycle", "0.1", "--starts-per-month", "66")
    (row,) = whole["rows"]
    # Loading 1.5 s and the first generation 1.25 s, and importing the engine 2.0 s where a row says so.
    cold = sum(row["cold_start_s"].values())
    assert cold == pytest.approx(4.75, rel=1e-9)
    always, asked = row["sleeping"]
    assert (always["duty_cycle"], always["starts_per_month"], always["cold_share"]) == (1.0, 0.0, 0.0)
    assert always["full_load_share"] == pytest.approx(0.7, rel=1e-9)
    assert always["usd_per_month"] == pytest.approx(21.633696, rel=1e-9)
    assert asked["cold_share"] == pytest.approx(66 * cold / 262_800, rel=1e-9)
    assert asked["usd_per_month"] == pytest.approx(2.1633696, rel=1e-9)
    assert asked["full_load_share"] == pytest.approx(0.7 / (1 - asked["cold_share"]), rel=1e-9)
    assert asked["first_requests_per_month"] == pytest.approx(367_920, rel=1e-9)


def test_examples_of_sleeping_leave_out_what_cannot_be(run: Path) -> None:
    """A start of three hours leaves no time for a hundred of them in 73 hours; the others stay."""
    slow = [
        one.model_copy(update={"measurement": one.measurement.model_copy(update={"load_s": 10_000.0})})
        for one in three()
        if one.measurement is not None
    ]
    found = answered(STATED, slow)
    assert [(one.duty_cycle, one.starts_per_month) for one in found.sleeping] == [(1.0, 0.0), (0.5, 30.0), (0.24, 22.0)]


# --- other machines ----------------------------------------------------------------------------------------------


def test_an_owned_machine_costs_the_same_asleep() -> None:
    """$1,000 over 4 years without interest, at 80 %: its month is 1000/48 whatever its hours are."""
    choices = CostChoices(owned=Owned(capex_usd=1000, life_years=4, availability=0.8), apis=(GROQ,))
    found = answered(choices)
    assert found.hosting.usd_per_month == pytest.approx(1000 / 48, rel=1e-12)
    assert found.hosting.capacity_per_month.value == pytest.approx(0.8 * 5_256_000, rel=1e-9)
    assert found.volumes[0].first_requests_per_month.value == pytest.approx(1000 / 48 / 5.88e-6, rel=1e-9)
    assert found.sleeping == ()
    assert any("The machine, owned, costs the same when it is off." in note for note in notes([found]))


SPOT = {"price_kind": "spot", "spot_overhead": 0.1, "spot_availability": 0.5}


def _on_h100(choices: CostChoices, asked: Asked | None = None) -> Answer:
    """The sample row as if an H100 had measured it, with every kind of price that there is for one."""
    of = samples.facts({"cuda:0": 269_030_016})
    records = [samples.record(0, measured=samples.measurement(of=of), where=samples.environment([samples.H100]))]
    (row,) = rows(records, choices)
    assert row.figures is not None
    return answer(row, 1, choices, asked or Asked(), hourly.alternatives(choices, row.environment, row.figures.facts))


def test_a_spot_machine_is_paid_for_all_hours_and_serves_in_some() -> None:
    """Crusoe's $1.60: 1,168 USD for 730 hours, in which it serves 5,256,000 · 0.5/1.1 = 2,389,091 requests, not all.

    A request costs at full load what the hour that serves costs, 1.60 · 1.1/0.5 = $3.52.
    """
    choices = CostChoices.model_validate({**SPOT, "provider": "crusoe", "apis": ("openai/gpt-4o",)})
    found = _on_h100(choices, Asked((3e6,), duty=(0.5, 1000.0)))
    price = 100 * 2.5e-6 + 11 * 10e-6
    assert found.hosting.usd_per_month == pytest.approx(1168.0, rel=1e-12)
    assert found.hosting.capacity_per_month.value == pytest.approx(5_256_000 * 0.5 / 1.1, rel=1e-9)
    assert found.same_requests[0].self_usd_per_request.value == pytest.approx(3.52 / 7200, rel=1e-9)
    assert found.same_requests[0].api_usd_per_request == pytest.approx(price, rel=1e-12)
    (never_,) = found.volumes
    assert never_.first_requests_per_month.value is None  # 1168 / 0.00036 = 3.24 M are more than it can serve
    (month,) = found.at_volumes
    assert month.replicas == 2
    assert month.self_usd_per_month.value == pytest.approx(2336.0, rel=1e-9)
    always, half = found.sleeping
    assert (always.paid_hours_per_month, half.paid_hours_per_month) == (730, 365)
    assert (always.usd_per_month, half.usd_per_month) == pytest.approx((1168.0, 584.0), rel=1e-9)
    # 1000 starts of 4.75 s, out of the 365 · 3600 · 0.5/1.1 s that serve.
    assert half.cold_share == pytest.approx(4750 / (1_314_000 * 0.5 / 1.1), rel=1e-9)
    assert half.capacity_requests_per_month.value == pytest.approx(2 * (1_314_000 * 0.5 / 1.1 - 4750), rel=1e-9)
    assert any("for hours that serve: 45% of them all" in note for note in notes([found]))
    undisturbed = _on_h100(choices.model_copy(update={"spot_overhead": 0.0, "spot_availability": 1.0}))
    assert undisturbed.volumes[0].first_requests_per_month.value == pytest.approx(1168 / price, rel=1e-9)
    assert not any("hours that serve" in note for note in notes([undisturbed]))


@pytest.mark.parametrize("kind", ["reserved", "analyst"])
def test_a_machine_that_is_reserved_does_not_sleep(kind: str) -> None:
    """Its hours are bought in advance; an analyst's are of owning it."""
    choices = CostChoices.model_validate({"price_kind": kind, "apis": (GROQ,)})
    found = _on_h100(choices)
    assert found.sleeping == ()
    assert any(f"The machine, {kind}, costs the same when it is off" in note for note in notes([found]))
    with pytest.raises(InputError, match=f"--duty-cycle: the machine of row 1, {kind}, costs the same when it is off"):
        _on_h100(choices, Asked(duty=(0.1, 10.0)))
    assert _on_h100(choices.model_copy(update={"price_kind": "on_demand"}), Asked(duty=(0.1, 10.0))).sleeping


def test_doubts_about_a_price_stand_beside_its_name() -> None:
    """An analyst's rent is a reserved price too, and says whose it is: in the table, in JSON and in CSV."""
    found = _on_h100(CostChoices(apis=(GROQ,), as_of=date(2026, 11, 15)))
    text = render([found], "md")
    assert "reserved (analyst estimate, older than 90 days)" in text
    assert "on demand (used above)" in text
    (line,) = [one for one in json.loads(render([found], "json"))["rows"][0]["hours"] if one["kind"] == "reserved"]
    assert line["flags"] == ["analyst estimate", "older than 90 days"]
    flags = [one["flags"] for one in csv.DictReader(io.StringIO(render([found], "csv"))) if one["kind"] == "reserved"]
    assert flags == ["analyst estimate; older than 90 days"]


def test_a_serverless_price_has_no_hours_to_fill() -> None:
    """Paid while it serves: full load at any volume; no volume, no sweep, no sleep."""
    choices = CostChoices(usd_per_hour=SEVENTY, utilisation=0.5, apis=(GROQ,))
    (row,) = rows(three(), choices)
    assert row.dollars is not None
    rate = HourlyRate(SEVENTY, "by the second", "serverless")
    serverless = replace(row, dollars=replace(row.dollars, rate=rate))
    found = answer(serverless, 1, choices, Asked((1e6,), max_utilisation=0.5), [])
    assert found.same_requests[0].ratio.value == pytest.approx(0.7, rel=1e-9)
    assert (found.volumes, found.at_utilisations, found.sleeping) == ((), (), ())
    assert any("no idle hours" in note for note in notes([found]))
    # A million requests cost a million times one, in as many replicas as it takes.
    (month,) = found.at_volumes
    assert month.self_usd_per_month.value == pytest.approx(4.116, rel=1e-9)
    assert month.self_usd_per_month.low == pytest.approx(1e6 * (found.same_requests[0].self_usd_per_request.low or 0))
    assert month.api_usd_per_month == pytest.approx(5.88, rel=1e-9)
    assert (month.replicas, month.replicas_low, month.replicas_high) == (None, None, None)
    (line,) = [one for one in render([found], "md").splitlines() if one.startswith("| 1,000,000")]
    assert [cell.strip() for cell in line.split("|")][2:5] == ["111", "–", "4.12 (3.91–4.33)"]
    assert "Self-hosting is cheaper at any volume" in breakeven_tables.sentence(found)
    dear = replace(row, dollars=replace(row.dollars, rate=HourlyRate(3.6, "by the second", "serverless")))
    assert "never cheaper: it is paid for only while" in breakeven_tables.sentence(
        answer(dear, 1, choices, Asked(), [])
    )


def _with_energy(joules: float) -> list[Record]:
    """Each window of three rounds of 22 output tokens took so many joules."""
    edge = {"start": {}, "end": {}, "duration_s": 3.0}
    window = Window.model_validate({**edge, "energy": Energy(gpu_energy_j=joules, sources={"gpu_energy_j": "NVML"})})
    return [
        one.model_copy(update={"measurement": one.measurement.model_copy(update={"window": window})})
        for one in three()
        if one.measurement is not None
    ]


def test_electricity_is_the_owners_alone_and_counted_once() -> None:
    """66 J for 66 tokens are 11 J a request of 11; at $0.36 a kWh and a PUE of 1.5, 1.65e-6 USD.

    Not where the owner's rate has power in it, not for a rental, and not without a price.
    """
    owned = Owned(capex_usd=1000, life_years=4, pue=1.5)
    measured = _with_energy(66.0)
    found = answered(CostChoices(owned=owned, usd_per_kwh=0.36, apis=(GROQ,)), measured)
    assert found.priced.beside_usd_per_request["electricity"].value == pytest.approx(1.65e-6, rel=1e-9)
    (whole,) = json.loads(render([found], "json"))["rows"]
    assert whole["usd_per_request_beside_the_hour"]["electricity"] == pytest.approx(1.65e-6, rel=1e-9)
    assert found.volumes[0].first_requests_per_month.value == pytest.approx(1000 / 48 / (5.88e-6 - 1.65e-6), rel=1e-9)
    assert any("Electricity of the measured joules" in note for note in notes([found]))
    in_it = Owned(capex_usd=1000, life_years=4, pue=1.5, power_kw=0.1, usd_per_kwh=0.36)
    for choices in (
        CostChoices(owned=in_it, usd_per_kwh=0.36, apis=(GROQ,)),
        CostChoices(usd_per_hour=SEVENTY, usd_per_kwh=0.36, apis=(GROQ,)),
        CostChoices(owned=owned, apis=(GROQ,)),
    ):
        assert answered(choices, measured).priced.beside_usd_per_request == {}


def test_the_interval_of_the_joules_goes_through() -> None:
    """Joules of a factor of 1.2 up and down: the month's own cost and the break-even volume have their interval."""
    measured = [_with_energy(66.0 * factor)[at] for at, factor in enumerate((1 / 1.2, 1.0, 1.2))]
    owned = Owned(capex_usd=1000, life_years=4, pue=1.5)
    found = answered(CostChoices(owned=owned, usd_per_kwh=0.36, apis=(OPENAI,)), measured, Asked((1e6,)))
    beside = found.priced.beside_usd_per_request["electricity"]
    assert beside.low is not None
    assert beside.high is not None
    assert beside.low < beside.value < beside.high
    price = found.priced.apis[0].api_usd_per_request
    first = found.volumes[0].first_requests_per_month
    ends = tuple(1000 / 48 / (price - end) for end in (beside.low, beside.value, beside.high))
    assert (first.low, first.value, first.high) == pytest.approx(ends, rel=1e-9)
    usd = found.at_volumes[0].self_usd_per_month
    month = tuple(1000 / 48 + 1e6 * end for end in (beside.low, beside.value, beside.high))
    assert (usd.low, usd.value, usd.high) == pytest.approx(month, rel=1e-9)
    (line,), other = found.same_requests, found.priced.apis[0]
    assert (line.ratio.low, line.ratio.high) == pytest.approx((other.ratio.low, other.ratio.high), rel=1e-9)
    share = found.same_requests[0].full_load_share
    assert share is not None
    assert other.break_even is not None
    assert (share.low, share.value, share.high) == pytest.approx(
        (other.break_even.low, other.break_even.value, other.break_even.high), rel=1e-9
    )


def test_no_end_of_an_interval_is_infinite_in_data() -> None:
    """Joules whose high end costs what the API asks: null there, "never" in words."""
    measured = [_with_energy(66.0 * factor)[at] for at, factor in enumerate((0.25, 1.0, 4.0))]
    owned = Owned(capex_usd=100, life_years=4, pue=1.5)
    found = answered(CostChoices(owned=owned, usd_per_kwh=0.36, apis=(GROQ,)), measured)
    share = found.same_requests[0].full_load_share
    assert share is not None
    assert share.high == math.inf
    (line,) = json.loads(render([found], "json"), parse_constant=pytest.fail)["rows"][0]["same_requests"]
    assert (line["outcome"], line["full_load_share_high"]) == ("in doubt", None)
    assert "–never)" in breakeven_tables.sentence(found)
    assert "inf" not in render([found], "csv").replace("information", "")


def test_a_one_off_cost_is_in_every_request() -> None:
    """$10 over 100 Mtok is $0.10 a million tokens, 1.11e-5 USD a request: more than Groq asks for all of it."""
    one_off = OneOff(usd=10, mtok=100, what="a fine-tune")
    found = answered(CostChoices(usd_per_hour=SEVENTY, one_off=one_off, apis=(GROQ, OPENAI)))
    against_groq, against_openai = found.same_requests
    assert against_groq.self_usd_per_request.value == pytest.approx(4.116e-6 + 1.11e-5, rel=1e-9)
    assert against_groq.full_load_share is None
    assert found.volumes[0].first_requests_per_month.value is None
    # The report's own ratio has it too.
    assert found.priced.apis[1].ratio.value == pytest.approx(against_openai.ratio.value, rel=1e-9)
    assert any("a fine-tune" in note for note in notes([found]))
    (about,) = json.loads(render([found], "json"))["rows"]
    assert (about["one_off_usd"], about["one_off_mtok"], about["one_off_what"]) == (10, 100, "a fine-tune")


@pytest.mark.parametrize("form", ["json", "csv"])
def test_data_say_what_they_are_at(form: str) -> None:
    """Utilisation in each line with dollars per request, and the assumptions of the row."""
    found = answered(STATED.model_copy(update={"utilisation": 0.35, "api_cached_share": 0.5}))
    text = render([found], form)
    if form == "json":
        (row,) = json.loads(text)["rows"]
        lines = [*row["same_requests"], *row["same_text"]]
        about = [row]
    else:
        about = list(csv.DictReader(io.StringIO(text)))
        lines = [one for one in about if one["section"] in ("same_requests", "same_text")]
    assert len(lines) == 4
    assert {float(one["utilisation"]) for one in lines} == {0.35}
    assert {float(one["api_cached_share"]) for one in about} == {0.5}
    assert {one["price_kind"] for one in about} == {"stated"}
    assert {one["one_off_usd"] for one in about} <= {None, ""}


def test_the_cached_share_and_its_price_are_said() -> None:
    """Half of 100 tokens: at OpenAI they cost a tenth, and Groq's list has no price of them."""
    found = answered(STATED.model_copy(update={"api_cached_share": 0.5}))
    (note,) = [one for one in notes([found]) if "taken as cached" in one]
    assert note.startswith("50 of 100 prompt tokens (50% assumed)")
    assert f"{OPENAI} $0.005" in note
    assert f"so the input price: {GROQ}" in note
    assert not any("taken as cached" in one for one in notes([answered(STATED)]))


def test_the_report_and_this_agree_on_every_api() -> None:
    """The same ratio and break-even in both, whatever the utilisation."""
    found = answered(STATED.model_copy(update={"utilisation": 0.37}))
    for one, other in zip(found.same_requests, found.priced.apis, strict=True):
        assert other.break_even is not None
        assert one.full_load_share is not None
        assert one.api_usd_per_request == other.api_usd_per_request
        assert one.ratio.value == pytest.approx(other.ratio.value, rel=1e-12)
        assert one.full_load_share.value == pytest.approx(other.break_even.value, rel=1e-12)


# --- words -------------------------------------------------------------------------------------------------------


def test_the_sentence_comes_first_and_says_it_all() -> None:
    """Cost, cheapest API, utilisation, volume at first and for good, both with intervals."""
    text = breakeven_tables.sentence(answered(STATED))
    assert text.startswith("#1 smollm2-135m bf16, batch 2, 100 in + 11 out: $0.00412 ±5% per 1,000 requests at 100%")
    assert f"{GROQ}, the cheapest compared, asks $0.00588." in text
    assert "cheaper from 70% (67–74%) utilisation on, or 3,680,000 requests a month, for good from 11,000,000" in text


def test_a_doubt_is_said_as_one() -> None:
    """99 % of the API's price with an interval of a few percent: neither a number nor never."""
    found = answered(CostChoices(usd_per_hour=SEVENTY * 0.99 / 0.7, apis=(GROQ,)))
    text = breakeven_tables.sentence(found)
    assert "cannot be told" in text
    assert "99.0% (94%–never)" in text
    first = found.volumes[0].first_requests_per_month
    assert first.low is not None
    assert first.high is None
    assert found.sections()["same_requests"][0]["outcome"] == "in doubt"


def test_one_replicate_has_no_interval(tmp_path: Path) -> None:
    """A question mark in the place of the interval, and nulls in JSON."""
    found = answered(STATED, three(factors=(1.0,)))
    assert "70% ±?" in render([found], "table", 160)
    line = found.sections()["volumes"][0]
    assert line["first_requests_per_month_interval_known"] is False
    assert found.sections()["same_requests"][0]["full_load_share_low"] is None


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_no_number_is_ever_cut(width: int) -> None:
    """At any width every digit of a month is there, broken over lines at worst."""
    found = answered(STATED, asked=Asked((123_456_789.0,)))
    text = render([found], "table", width)
    assert max(map(len, text.splitlines())) <= width
    squeezed = "".join(text.split())
    if width >= 80:
        assert "123,456,789" in squeezed
        assert "3,680,000" in text
    for caption in ("The same requests", "From what volume on", "A month, in USD", "By utilisation", "Not always on"):
        assert caption in text


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_holds_every_section(run: Path, tmp_path: Path, form: str) -> None:
    """On the screen and in a file alike."""
    arguments = ("breakeven", run, "--usd-per-hour", str(SEVENTY), "--api", GROQ, "--requests-per-month", "1e6")
    done = bench(*arguments, "--format", form)
    assert (done.returncode, done.stderr) == (0, "")
    out = tmp_path / "answer"
    assert bench(*arguments, "--format", form, "--out", out).stdout == ""
    assert out.read_text() == done.stdout
    if form == "csv":
        lines = list(csv.DictReader(io.StringIO(done.stdout)))
        sections = ("same_requests", "same_text", "volumes", "at_volumes", "at_utilisations", "hours", "sleeping")
        assert tuple(dict.fromkeys(line["section"] for line in lines)) == sections
        assert {line["quality"] for line in lines} == {"not compared"}
    elif form == "json":
        assert json.loads(done.stdout)["schema_version"] == 1
    else:
        assert "uality not compared" in done.stdout
        assert "8760/12 = 730 hours" in done.stdout
        assert f"Hardware price: ${SEVENTY:g} per hour as stated." in done.stdout
        assert done.stdout.index("cheapest compared") < done.stdout.index("The same requests")


# --- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--utilisation", "0"), ("--utilisation", "greater than 0")),
        (("--utilisation", "1.5"), ("--utilisation", "less than or equal to 1")),
        (("--utilisation", "nan"), ("--utilisation",)),
        (("--max-utilisation", "0"), ("--max-utilisation: must be above 0 and at most 1 (got 0)",)),
        (("--max-utilisation", "1.5"), ("--max-utilisation",)),
        (("--max-utilisation", "nan"), ("--max-utilisation",)),
        (("--usd-per-hour", "-1"), ("--usd-per-hour", "greater than 0")),
        (("--usd-per-hour", "nan"), ("--usd-per-hour",)),
        (("--usd-per-hour", "1e308"), ("--usd-per-hour", "less than or equal to")),
        (("--usd-per-hour", "1e-308"), ("--usd-per-hour: must be greater than or equal to 0.000000001 (got 1e-308)",)),
        (("--requests-per-month", "0"), ("--requests-per-month: must be a number above 0 (got 0)",)),
        (("--requests-per-month", "1e6", "--requests-per-month", "-5"), ("--requests-per-month", "-5")),
        (("--requests-per-month", "inf"), ("--requests-per-month",)),
        (("--requests-per-month", "1e300"), ("--requests-per-month", "at most 1e15")),
        (("--duty-cycle", "0", "--starts-per-month", "1"), ("--duty-cycle",)),
        (("--duty-cycle", "1.01", "--starts-per-month", "1"), ("--duty-cycle",)),
        (("--duty-cycle", "0.5"), ("--duty-cycle", "--starts-per-month")),
        (("--duty-cycle", "0.5", "--starts-per-month", "-1"), ("--starts-per-month",)),
        (
            ("--duty-cycle", "0.001", "--starts-per-month", "10000"),
            ("--starts-per-month: 10000 starts", "leave nothing"),
        ),
        (("--api", "groq/llama-3.1-8b-instnt"), ("--api", "'llama-3.1-8b-instant'")),
        (("--provider", "awss"), ("--provider", "'aws'")),
        (("--row", "0"), ("--row: there is no row 0", "rows 1 to 3")),
        (("--row", "4"), ("--row: there is no row 4", "rows 1 to 3")),
        (("--row", "3"), ("row 3 has no dollars: unsupported",)),
        (("--row", "1", "--all"), ("--row and --all",)),
        (("--format", "jsn"), ("--format", "'json'")),
        (("--as-of", "2099-01-01"), ("--as-of", "future")),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and value[0].startswith("--") else "",
)
def test_a_bad_option_is_one_line(run: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    """Exit 2, the option, and what to do."""
    refused(bench("breakeven", run, "--api", GROQ, *arguments), *words)


def _of(folder: Path, records: Sequence[Record]) -> "subprocess.CompletedProcess[str]":
    done: subprocess.CompletedProcess[str] = bench("breakeven", journal(folder, records), "--api", GROQ)
    return done


def test_runs_without_an_answer_are_one_line(run: Path, tmp_path: Path) -> None:
    """No run, no record, no measured row, no price of the machine, no such cell."""
    refused(bench("breakeven", tmp_path / "none"), "none")
    refused(_of(tmp_path / "empty", []), "no records; run its config first")
    refused(_of(tmp_path / "failed", [samples.failed_record()]), "no row has dollars: unsupported: bitsandbytes")
    mps = samples.measurement(of=samples.facts({"mps:0": 269_030_016}))
    refused(_of(tmp_path / "mps", [samples.record(measured=mps)]), "no row has dollars", "give --usd-per-hour")
    refused(bench("breakeven", f"{run}:precision=nf5"), "no cell with precision=nf5", "'nf4'")
    refused(bench("breakeven", f"{run}:precisoin=nf4"), "unknown key 'precisoin'", "'precision'")
    refused(bench("breakeven", f"{run}:precision=nf4", "--row", "1", "--usd-per-hour", "1"), "row 1 is not among")


def test_an_owned_machine_has_no_duty_cycle(run: Path, tmp_path: Path) -> None:
    """Said, not computed: its price does not stop when it is off."""
    cost = tmp_path / "cost.yaml"
    cost.write_text("owned: {capex_usd: 1000, life_years: 4}\n")
    asked = ("--duty-cycle", "0.5", "--starts-per-month", "10", "--cost", cost)
    refused(bench("breakeven", run, *asked), "--duty-cycle", "owned, costs the same when it is off")
