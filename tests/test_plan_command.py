"""The cheapest way to serve a load, against sums that a person can do. docs/whatif.md has the same example."""

import csv
import io
import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli import main
from bench.cost import hourly
from bench.cost.api_prices import DEFAULT_APIS
from bench.metrics.statistics import Estimate
from bench.plan.folder import StoredPlan
from bench.schema import (
    Cell,
    CostChoices,
    Edge,
    Energy,
    FourBit,
    ModelFacts,
    Plain,
    Record,
    RunnerChoice,
    Window,
    Workload,
)
from bench.store import Journal
from bench.whatif.load import Batch, Limits, Load, Served, api_usd_per_month, copies, served
from tests.commands import ROOT, bench
from tests.samples import H100, a_round, cell, environment, facts, failed_record, measurement, record

GROQ = "groq/llama-3.1-8b-instant"
LOAD = ("--requests-per-s", "5", "--input-tokens", "200", "--output-tokens", "21")
STATED = ("--usd-per-hour", "3.6", "--api", GROQ)
GROQ_USD = 5 * 3600 * 730 * (200 * 0.05 + 21 * 0.08) / 1e6
NF4 = FourBit(name="nf4")


def sample(replicate: int = 0, factor: float = 1.0, of: Cell | None = None, engine: ModelFacts | None = None) -> Record:
    """The sample batch: 2 × (100 + 11), 0.5 s to the first tokens and 0.05 s a step, all of it times `factor`."""
    chosen = of or cell()
    work = chosen.workload
    rounds = [a_round(work.output_tokens, factor) for _ in range(3)]
    return record(
        replicate, chosen, measurement(factor, rounds=rounds, of=engine), name=f"{chosen.cell_id}.{replicate}"
    )


def run_of(folder: Path, *records: Record) -> Path:
    with Journal(folder) as journal:
        for one in records:
            journal.append(one)
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three equal replicates of the sample batch: no width at all."""
    return run_of(tmp_path / "run", *(sample(index) for index in range(3)))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """`bench plan` in this process: its exit code, output and errors."""

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setattr("sys.argv", ["bench", "plan", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        out, err = capsys.readouterr()
        return (code if isinstance(code, int) else 0), out, err

    return called


def as_json(call: Any, *arguments: str | Path) -> dict[str, Any]:
    code, out, err = call(*arguments, "--format", "json")
    assert code == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


# --- the worked example -----------------------------------------------------------------------------------------------


def test_the_worked_example(run: Path, call: Any) -> None:
    """T = 2 s, 1 request/s a replica, 5 / 0.7 → 8 replicas; a batch takes 2 · 8 / 5 s to gather."""
    whole = as_json(call, run, *LOAD, *STATED)
    api, own = whole["candidates"]
    assert own["batch_s"] == pytest.approx(0.5 * 200 / 100 + 20 * 0.05)
    assert own["capacity_requests_per_s"] == pytest.approx(1.0)
    assert (own["replicas"], own["replicas_low"], own["replicas_high"]) == (8, 8, 8)
    assert own["utilisation"] == pytest.approx(0.625)
    assert own["usd_per_month"] == pytest.approx(8 * 3.6 * 730) == pytest.approx(21_024)
    assert own["gather_s"] == pytest.approx(3.2)
    assert own["ttft_s"] == pytest.approx(4.2)
    assert own["e2el_s"] == pytest.approx(5.2)
    assert own["tpot_s"] == pytest.approx(0.05)
    assert api["kind"] == "api"
    assert api["usd_per_month"] == pytest.approx(GROQ_USD) == pytest.approx(153.4752)
    assert api["ttft_s"] is None
    assert whole["answer"] == (
        f"Cheapest: API {GROQ}: $153 per month; next: 8 × smollm2-135m bf16, batch 2 on Sample CPU (4 CPUs): $21,024."
    )


def test_the_answer_comes_first_and_its_assumptions_last(run: Path, call: Any) -> None:
    code, text, err = call(run, *LOAD, "--usd-per-hour", "0.01", "--api", GROQ, "--ttft-ms", "5000", "--tpot-ms", "60")
    assert (code, err) == (0, "")
    lines = text.splitlines()
    assert lines[0] == (
        "Cheapest: 8 × smollm2-135m bf16, batch 2 on Sample CPU (4 CPUs): $58.4 per month, meets TTFT and TPOT; "
        f"next: API {GROQ}: $153."
    )
    assert lines[2] == (
        "Load: 5 requests/s of 200 in + 21 out; TTFT ≤ 5000 ms; TPOT ≤ 60 ms; a replica at most 70% busy."
    )
    assert any("latency not measured" in line for line in lines)
    _, text, _ = call(run, *LOAD, *STATED, "--tpot-ms", "40")
    assert "misses TPOT 50.0 ms of 40.0 ms" in text.splitlines()[7]
    assert any("TTFT is without queueing" in line for line in lines)
    assert any("A static batch must fill" in line for line in lines)
    assert any("Quality not compared" in line for line in lines)


def test_the_documentation_says_these_numbers() -> None:
    text = " ".join((ROOT / "docs" / "whatif.md").read_text().split())
    for said in (
        "T = 0.5 · 200 / 100 + 20 · 0.05 = 2.0 s",
        "r = ⌈5 / 0.7⌉ = 8",
        "8 · 3.60 · 730 = 21,024",
        "Gathering 2 · 8 / 5 = 3.2 s; TTFT 3.2 + 1.0 = 4.2 s; E2EL 3.2 + 2.0 = 5.2 s",
        f"cost ${GROQ_USD:.2f}",
    ):
        assert said in text


# --- limits -----------------------------------------------------------------------------------------------------------


def test_who_misses_a_limit_stands_last_and_is_never_chosen(tmp_path: Path, call: Any) -> None:
    """A batch of two is cheaper but waits to fill: with a limit of 2 s, one row at a time is the answer."""
    single = cell(workload=Workload(batch_size=1, input_tokens=100, output_tokens=11))
    run = run_of(
        tmp_path / "run", *(sample(index) for index in range(2)), *(sample(index, of=single) for index in range(2))
    )
    limits = ("--ttft-ms", "2000")
    whole = as_json(call, run, *LOAD, "--usd-per-hour", "0.001", "--api", GROQ, *limits)
    first, middle, last = whole["candidates"]
    # One row at a time needs twice the replicas (5 · 2 / 0.7 → 15), but waits for nobody.
    assert (first["what"], first["replicas"], first["limits"]) == ("smollm2-135m bf16, batch 1", 15, "meets")
    assert first["gather_s"] == 0
    assert first["ttft_s"] == pytest.approx(1.0)
    assert middle["limits"] == "latency not measured"
    assert (last["what"], last["limits"]) == ("smollm2-135m bf16, batch 2", "misses TTFT")
    assert last["usd_per_month"] < first["usd_per_month"]
    assert last["misses"] == "TTFT 4,200 ms of 2,000 ms"
    assert whole["answer"].startswith("Cheapest: 15 × smollm2-135m bf16, batch 1")
    assert "meets TTFT" in whole["answer"]


def test_a_cheaper_api_of_unknown_latency_is_named_but_not_chosen(run: Path, call: Any) -> None:
    whole = as_json(call, run, *LOAD, *STATED, "--tpot-ms", "60")
    assert whole["answer"] == (
        "Cheapest: 8 × smollm2-135m bf16, batch 2 on Sample CPU (4 CPUs): $21,024 per month, meets TPOT; cheaper, but "
        f"latency not measured: API {GROQ}: $153."
    )


def test_when_nothing_meets_the_limits_the_nearest_miss_is_the_answer(run: Path, call: Any) -> None:
    code, text, _ = call(run, *LOAD, *STATED, "--tpot-ms", "40", "--ttft-ms", "4000")
    assert code == 0
    assert text.splitlines()[0] == (
        "Nothing that was measured meets the limits. Nearest: 8 × smollm2-135m bf16, batch 2 on Sample CPU (4 CPUs): "
        f"$21,024 per month, but TTFT 4,200 ms of 4,000 ms, TPOT 50.0 ms of 40.0 ms. API {GROQ} costs $153 "
        "(latency not measured)."
    )


def test_a_budget_is_a_limit(run: Path, call: Any) -> None:
    whole = as_json(call, run, *LOAD, *STATED, "--budget-usd-per-month", "1000")
    assert whole["answer"] == f"Cheapest: API {GROQ}: $153 per month, within the budget."
    assert whole["candidates"][-1]["misses"] == "$21,024 per month of $1,000"
    poor = as_json(call, run, *LOAD, *STATED, "--budget-usd-per-month", "100")
    assert poor["answer"].startswith("Nothing that was measured meets the limits. Nearest: API")


def test_the_interval_goes_through_to_replicas_and_dollars(tmp_path: Path, call: Any) -> None:
    """Times 10 % apart: replicas at both ends, rounded up; a limit within the interval is met with a question mark."""
    factors = (0.9, 1.0, 1.1)
    run = run_of(tmp_path / "run", *(sample(index, factor) for index, factor in enumerate(factors)))
    own = as_json(call, run, *LOAD, *STATED, "--tpot-ms", "52")["candidates"][-1]
    logs = [math.log(factor) for factor in factors]
    middle = sum(logs) / 3
    half = 4.303 * math.sqrt(sum((log - middle) ** 2 for log in logs) / 2 / 3)
    whole_s = [2.0 * math.exp(middle + sign * half) for sign in (-1, 0, 1)]
    expected = [math.ceil(5 * time / 2 / 0.7) for time in whole_s]
    assert [own["replicas_low"], own["replicas"], own["replicas_high"]] == expected
    assert expected[0] < expected[1] < expected[2]
    usd = [own["usd_per_month_low"], own["usd_per_month"], own["usd_per_month_high"]]
    assert usd == pytest.approx([count * 3.6 * 730 for count in expected])
    assert own["limits"] == "meets?"
    assert any("may miss: TPOT" in note for note in own["notes"])


# --- lengths ----------------------------------------------------------------------------------------------------------


def test_of_several_lengths_the_nearest_counts(tmp_path: Path, call: Any) -> None:
    """100 + 11, 400 + 11 and 100 + 41 were measured; 350 + 12 is nearest to the second."""
    works = [
        Workload(batch_size=2, input_tokens=prompt, output_tokens=new)
        for prompt, new in ((100, 11), (400, 11), (100, 41))
    ]
    run = run_of(tmp_path / "run", *(sample(of=cell(workload=work)) for work in works))
    far = ("--requests-per-s", "5", "--input-tokens", "350", "--output-tokens", "12")
    (own,) = [one for one in as_json(call, run, *far, *STATED)["candidates"] if one["kind"] == "measured"]
    assert own["row"] == 2
    assert own["batch_s"] == pytest.approx(0.5 * 350 / 400 + 11 * 0.05)
    assert not any("factor of 2" in note for note in own["notes"])
    (far_off,) = [
        one
        for one in as_json(call, run, *far[:2], "--input-tokens", "900", "--output-tokens", "12", *STATED)["candidates"]
        if one["kind"] == "measured"
    ]
    assert far_off["row"] == 2
    assert any("warning: measured at 400 + 11 tokens, over a factor of 2" in note for note in far_off["notes"])


def test_cached_tokens_are_not_prefilled(run: Path, call: Any) -> None:
    """150 of 200 cached: half of the measured prefill; the API charges its own cached price."""
    own = as_json(call, run, *LOAD, *STATED, "--cached-tokens", "150")["candidates"][-1]
    assert own["batch_s"] == pytest.approx(0.5 * 50 / 100 + 20 * 0.05)
    assert any("measured with 0 cached tokens" in note for note in own["notes"])


def test_one_output_token_has_no_decode(run: Path, call: Any) -> None:
    own = as_json(call, run, *LOAD[:4], "--output-tokens", "1", *STATED, "--tpot-ms", "1")["candidates"][-1]
    assert own["batch_s"] == pytest.approx(1.0)
    assert own["tpot_s"] is None
    assert own["limits"] == "meets"


def test_a_row_of_one_token_says_nothing_of_a_decode(tmp_path: Path, call: Any) -> None:
    single = cell(workload=Workload(batch_size=2, input_tokens=100, output_tokens=1))
    run = run_of(tmp_path / "run", sample(of=single), sample(of=cell(precision=NF4)))
    whole = as_json(call, run, *LOAD, *STATED)
    assert [one["row"] for one in whole["candidates"] if one["kind"] == "measured"] == [2]
    assert whole["left_out"] == [
        "left out: #1 smollm2-135m bf16, batch 2, 100 + 1 on Sample CPU (4 CPUs): measured with one output token, so "
        "nothing is known of its decode"
    ]


def test_a_load_beyond_the_positions_or_the_memory(run: Path, tmp_path: Path, call: Any) -> None:
    """8,192 positions; and 16 GB hold no cache of 2 × 400,000 tokens."""
    code, _, err = call(run, "--requests-per-s", "1", "--input-tokens", "8000", "--output-tokens", "200", *STATED)
    assert (code, err.count("\n")) == (2, 1)
    assert "the model has 8192 positions, the load needs 8200" in err
    endless = facts().model_copy(update={"max_positions": None})
    other = run_of(tmp_path / "endless", sample(engine=endless))
    code, _, err = call(other, "--requests-per-s", "1", "--input-tokens", "400000", "--output-tokens", "200", *STATED)
    assert code == 2
    assert "does not fit: needs" in err
    assert "of 16.0 GB at these lengths" in err


# --- other hardware ---------------------------------------------------------------------------------------------------


def test_estimates_are_candidates_and_say_so(tmp_path: Path, call: Any) -> None:
    """A row of an H100 carried to an L4 at $0.001 an hour: the same formulas on estimated times."""
    on_gpu = facts({"cuda:0": 269_030_016}).model_copy(update={"accelerators": (H100,)})
    records = [
        sample(index, 0.01, engine=on_gpu).model_copy(update={"environment": environment((H100,))})
        for index in range(2)
    ]
    run = run_of(tmp_path / "h100", *records)
    whole = as_json(call, run, *LOAD, "--onto", "L4=0.001", "--api", GROQ, "--tpot-ms", "60", "--usd-per-hour", "2.69")
    estimate = next(one for one in whole["candidates"] if one["kind"] == "estimate")
    measured = next(one for one in whole["candidates"] if one["kind"] == "measured")
    assert estimate["where"] == "1 × NVIDIA L4"
    assert estimate["usd_per_hour_each"] == 0.001
    assert measured["usd_per_hour_each"] == 2.69  # what was stated is the price of what was measured
    assert measured["where"] == "1 × NVIDIA H100 80GB HBM3"
    # The step is bound by bandwidth on both: 3350 / 300.
    assert estimate["tpot_s"] == pytest.approx(0.0005 * 3350 / 300)
    assert "(estimate): $" in whole["answer"]
    assert "by estimate meets TPOT" in whole["answer"]
    assert "cheapest that was measured: 1 × smollm2-135m bf16, batch 2 on 1 × NVIDIA H100 80GB HBM3" in whole["answer"]


def test_a_target_that_gives_no_dollars_is_left_out(run: Path, call: Any) -> None:
    """The sample's CPU has no ceilings, so it cannot be carried anywhere; the row itself stays."""
    whole = as_json(call, run, *LOAD, *STATED, "--onto", "L4")
    assert [one["kind"] for one in whole["candidates"]] == ["api", "measured"]
    assert "on NVIDIA L4 (estimate): the ceilings of this CPU are not known" in whole["left_out"][0]


def test_a_row_without_a_price_is_left_out(tmp_path: Path, call: Any) -> None:
    odd = facts({"mps:0": 269_030_016})
    run = run_of(tmp_path / "run", sample(engine=odd), sample(of=cell(precision=NF4)))
    whole = as_json(call, run, *LOAD, "--api", GROQ)
    assert [one["row"] for one in whole["candidates"] if one["kind"] == "measured"] == [2]
    assert "no dollars: " in whole["left_out"][0]


# --- machines that are not always there, or paid only while they serve ------------------------------------------------


def cost_file(folder: Path, text: str) -> Path:
    path = folder / "cost.yaml"
    path.write_text(text)
    return path


ON_H100 = facts({"cuda:0": 269_030_016}).model_copy(update={"accelerators": (H100,)})


def on_h100(folder: Path, *records: Record) -> Path:
    """The sample batch, twice, on an H100, which the price list knows."""
    chosen = records or [sample(index, engine=ON_H100) for index in range(2)]
    return run_of(folder, *(one.model_copy(update={"environment": environment((H100,))}) for one in chosen))


def test_an_owned_machine_that_is_away_is_paid_for_once(run: Path, tmp_path: Path, call: Any) -> None:
    """$35,040 over 4 years are $730 a month, there or not; at 50 % a replica serves 0.5 requests/s: 5 / 0.35 → 15."""
    away = cost_file(tmp_path, "owned: {capex_usd: 35040, life_years: 4, availability: 0.5}")
    own = as_json(call, run, *LOAD, "--cost", away)["candidates"][-1]
    assert own["usd_per_hour_each"] == pytest.approx(2.0)
    assert own["served_share"] == 0.5
    assert own["capacity_requests_per_s"] == pytest.approx(0.5)
    assert own["replicas"] == 15
    assert own["utilisation"] == pytest.approx(5 * 2 / (2 * 15 * 0.5))
    assert own["usd_per_month"] == pytest.approx(15 * 730)
    assert any("50% of all hours do" in note for note in own["notes"])
    single = as_json(call, run, "--requests-per-s", "0.1", *LOAD[2:], "--cost", away)["candidates"][-1]
    assert (single["replicas"], single["usd_per_month"]) == (1, pytest.approx(730))


def test_a_spot_machine_costs_its_paid_hours(tmp_path: Path, call: Any) -> None:
    """$S an hour, half of the time there, a tenth done twice: 730 · S a month, 0.5 / 1.1 of the capacity."""
    run = on_h100(tmp_path / "run")
    spot = cost_file(tmp_path, "price_kind: spot\nspot_overhead: 0.1\nspot_availability: 0.5")
    plain = as_json(call, run, *LOAD, "--price-kind", "spot", "--api", GROQ)["candidates"][-1]
    own = as_json(call, run, *LOAD, "--cost", spot, "--api", GROQ)["candidates"][-1]
    assert own["usd_per_month"] / own["replicas"] == pytest.approx(plain["usd_per_hour_each"] * 730)
    assert own["capacity_requests_per_s"] == pytest.approx(0.5 / 1.1)
    assert (plain["replicas"], own["replicas"]) == (8, math.ceil(5 / 0.7 * 2.2))


def test_serverless_pays_while_it_serves(tmp_path: Path, call: Any) -> None:
    """Two requests take 2 s, so each pays for one second, whatever the number of replicas."""
    run = on_h100(tmp_path / "run")
    prices = ("--price-kind", "serverless", "--api", GROQ)
    calm, busy = (
        as_json(call, run, *LOAD, *prices, "--max-utilisation", share)["candidates"][-1] for share in ("0.1", "1")
    )
    assert (calm["replicas"], busy["replicas"]) == (50, 5)
    assert calm["usd_per_month"] == busy["usd_per_month"] == pytest.approx(5 * 730 * calm["usd_per_hour_each"])
    assert any("idle ones are not billed" in note for note in calm["notes"])


# --- what a request costs beside the hour -----------------------------------------------------------------------------

BESIDE = """\
owned: {capex_usd: 35040, life_years: 4, pue: 1.5, availability: 0.8}
usd_per_kwh: 0.25
one_off: {usd: 5000, mtok: 20000, what: a fine-tune}
"""
SPOT = "price_kind: spot\nspot_overhead: 0.1\nspot_availability: 0.5\none_off: {usd: 5000, mtok: 20000}"


def with_joules(one: Record) -> Record:
    """66 output tokens in the three rounds of the batch: 660 J are 10 J a token."""
    assert one.measurement is not None
    energy = Energy(gpu_energy_j=660.0, sources={"gpu_energy_j": "NVML counter"})
    window = Window(duration_s=3.0, start=Edge(), end=Edge(), energy=energy)
    return one.model_copy(update={"measurement": one.measurement.model_copy(update={"window": window})})


def test_one_off_costs_and_electricity_are_in_the_month(tmp_path: Path, call: Any) -> None:
    """$5,000 over 20,000 Mtok are $0.25 a Mtok; the load's request takes 2 s a batch where 1 s was measured."""
    run = on_h100(tmp_path / "run", *(with_joules(sample(index, engine=ON_H100)) for index in range(2)))
    own = as_json(call, run, *LOAD, "--cost", cost_file(tmp_path, BESIDE), "--api", GROQ)["candidates"][-1]
    one_off = 0.25 * (200 + 21) / 1e6
    power = 2 * 11 * 10.0 * 1.5 * 0.25 / 3.6e6
    assert own["one_off_usd_per_request"] == pytest.approx(one_off)
    assert own["electricity_usd_per_request"] == pytest.approx(power)
    requests = 5 * 3600 * 730
    assert own["usd_per_month"] == pytest.approx(own["replicas"] * 730 + requests * (one_off + power))
    assert any("One-off: $5000 for a fine-tune over 20000 Mtok" in note for note in own["notes"])
    assert any("Electricity of the measured joules" in note for note in own["notes"])


@pytest.mark.parametrize("chosen", [BESIDE, SPOT, "price_kind: serverless"], ids=["owned", "spot", "serverless"])
def test_plan_and_breakeven_agree(tmp_path: Path, call: Any, chosen: str) -> None:
    """The same volume of the measured lengths: 3 requests/s, a replica at most 70 % busy."""
    run = on_h100(tmp_path / "run", *(with_joules(sample(index, engine=ON_H100)) for index in range(2)))
    cost = cost_file(tmp_path, chosen)
    prices, volume = ("--cost", cost, "--api", GROQ), 3 * 3600 * 730
    load = ("--requests-per-s", "3", "--input-tokens", "100", "--output-tokens", "11")
    own = as_json(call, run, *load, *prices)["candidates"][-1]
    asked = ("--requests-per-month", str(volume), "--max-utilisation", "0.7", "--format", "json")
    done = bench("breakeven", run, *prices, *asked)
    assert done.returncode == 0, done.stderr
    (there,) = [one for one in _every(json.loads(done.stdout)) if one.get("requests_per_month") == volume]
    assert there["self_usd_per_month"] == pytest.approx(own["usd_per_month"])
    assert there["replicas"] in (None, own["replicas"])


def _every(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(each for one in value.values() for each in _every(one))]
    return [each for one in value for each in _every(one)] if isinstance(value, list) else []


# --- prices -----------------------------------------------------------------------------------------------------------

OWN_PRICES: dict[str, dict[str, Any]] = {
    "_source": {"date": "2025-01-01"},
    "myhost/llama": {
        "input_cost_per_token": 1e-6, "cache_read_input_token_cost": 1e-7, "output_cost_per_token": 2e-6,
        "litellm_provider": "myhost", "mode": "chat",
    },
    "myhost/free": {
        "input_cost_per_token": 1e-320, "output_cost_per_token": 1e-320, "litellm_provider": "myhost", "mode": "chat",
    },
}  # fmt: skip


def own_prices(folder: Path, factor: float = 1.0) -> Path:
    path = folder / f"prices-{factor:g}.json"
    llama = dict(OWN_PRICES["myhost/llama"], input_cost_per_token=factor * 1e-6)
    path.write_text(json.dumps({**OWN_PRICES, "myhost/llama": llama}))
    return path


def planned(run: Path, prices: Path, api: str = "myhost/llama") -> Path:
    """The run with a config that names an API of its own price file."""
    cost = CostChoices(apis=(api,), api_price_files=(str(prices),))
    (run / "plan.json").write_text(
        StoredPlan(name="run", config="run.yaml", cells=(), replicates=1, cost=cost).model_dump_json()
    )
    return run


@pytest.mark.parametrize("swapped", [False, True])
def test_each_run_prices_its_own_apis(run: Path, tmp_path: Path, call: Any, swapped: bool) -> None:
    other = planned(run_of(tmp_path / "other", sample(of=cell(precision=NF4))), own_prices(tmp_path))
    runs = (other, run) if swapped else (run, other)
    found = {one["what"]: one for one in as_json(call, *runs, *LOAD)["candidates"] if one["kind"] == "api"}
    assert set(found) == {"myhost/llama", *DEFAULT_APIS}
    assert found["myhost/llama"]["usd_per_request"] == pytest.approx((200 + 2 * 21) / 1e6)


def test_one_api_at_two_prices_stands_there_twice(run: Path, tmp_path: Path, call: Any) -> None:
    other = planned(run_of(tmp_path / "other", sample(of=cell(precision=NF4))), own_prices(tmp_path, 2.0))
    found = as_json(call, planned(run, own_prices(tmp_path)), other, *LOAD)["candidates"]
    apis = [(one["what"], one["usd_per_request"]) for one in found if one["kind"] == "api"]
    assert apis == [
        ("myhost/llama (as for row 1)", pytest.approx(242e-6)),
        ("myhost/llama (as for row 2)", pytest.approx(442e-6)),
    ]


def test_api_prices_have_a_day_a_source_and_doubts(run: Path, tmp_path: Path, call: Any) -> None:
    prices = ("--api-prices", own_prices(tmp_path), "--api", "myhost/llama", "--api", GROQ)
    whole = as_json(call, run, *LOAD, *prices)
    (mine,) = [one for one in whole["candidates"] if one["what"] == "myhost/llama"]
    assert (mine["api_model_id"], mine["api_confirmed"], mine["api_stale"]) == ("llama", "2025-01-01", True)
    assert "prices-1.json" in mine["api_source"]
    (listed,) = [one for one in whole["candidates"] if one["what"] == GROQ]
    assert listed["api_source"].startswith("genai-prices")
    assert listed["api_prices_of"] == datetime.now(UTC).date().isoformat()
    assert {"api_valid_from", "api_confirmed", "api_disagreement"} <= set(listed)
    notes = " ".join(whole["notes"])
    assert f"API prices on {datetime.now(UTC).date()}, $ per Mtok: " in notes
    assert f"{GROQ} ($0.05 in, $0.08 out)" in notes
    assert "myhost/llama: " in notes
    assert "older than 90 days" in notes
    past = as_json(call, run, *LOAD, "--api", "openai/gpt-4o-mini", "--as-of", "2026-06-01", "--usd-per-hour", "1")
    assert any(note.startswith("API prices as of 2026-06-01") for note in past["notes"])


def test_cached_tokens_at_the_api_are_said(run: Path, tmp_path: Path, call: Any) -> None:
    """Half of 200 at $0.1 instead of $1: (100 + 10 + 42) / 10⁶; groq lists no cached price."""
    prices = ("--api-prices", own_prices(tmp_path), "--api", "myhost/llama", "--api", GROQ)
    whole = as_json(call, run, *LOAD, *prices, "--api-cached-share", "0.5")
    (mine,) = [one for one in whole["candidates"] if one["what"] == "myhost/llama"]
    assert mine["usd_per_request"] == pytest.approx(152e-6)
    assert mine["api_cached_tokens"] == 100
    assert (
        "100 of 200 prompt tokens (50% assumed) are taken as cached at the API; $ per Mtok: myhost/llama at $0.1; "
        f"no cached price listed: {GROQ}, input price used. Writing the cache is not priced."
    ) in whole["notes"]


def test_a_cost_file_prices_what_was_measured_and_not_the_target(tmp_path: Path, call: Any) -> None:
    run = on_h100(tmp_path / "run")
    stated = cost_file(tmp_path, "usd_per_hour: 10")
    found = as_json(call, run, *LOAD, "--cost", stated, "--onto", "L4", "--api", GROQ)["candidates"]
    each = {one["kind"]: one["usd_per_hour_each"] for one in found}
    assert each["measured"] == 10
    assert each["estimate"] == hourly.for_part("NVIDIA L4", 1, CostChoices()).usd_per_hour


def test_absurd_prices_are_one_line(run: Path, tmp_path: Path, call: Any) -> None:
    """An API that asks next to nothing, and a one-off cost that is infinite for every request."""
    free = ("--api-prices", own_prices(tmp_path), "--api", "myhost/free")
    assert call(run, *LOAD, *free)[0::2] == (
        2, "error: myhost/free: these requests cost nothing there; leave it out\n"
    )  # fmt: skip
    endless = cost_file(tmp_path, "one_off: {usd: 1.0e+308, mtok: 1.0e-5}")
    code, out, err = call(run, *LOAD, *STATED, "--cost", endless)
    assert (code, out, err.count("\n")) == (2, "", 1)


# --- which row counts -------------------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_used_hides_no_other(tmp_path: Path, call: Any) -> None:
    """100 + 1 is nearest to 100 + 2, but has no decode; 100 + 11 has."""
    works = [Workload(batch_size=2, input_tokens=100, output_tokens=new) for new in (1, 11)]
    run = run_of(tmp_path / "run", *(sample(of=cell(workload=work)) for work in works))
    whole = as_json(call, run, *LOAD[:2], "--input-tokens", "100", "--output-tokens", "2", *STATED)
    assert [one["row"] for one in whole["candidates"] if one["kind"] == "measured"] == [2]
    assert whole["left_out"] == []


def test_a_worthless_row_hides_no_other(tmp_path: Path, call: Any) -> None:
    """The nearer row was stopped for 99 % of its time: it has no dollars, and the other one counts."""
    near = cell(workload=Workload(batch_size=2, input_tokens=200, output_tokens=21))
    worthless = [
        record(
            index,
            near,
            measurement(rounds=[a_round(21, stalled_s=5.94).model_copy(update={"cpu_s": 0.01}) for _ in range(3)]),
            name=f"worthless.{index}",
        )
        for index in range(2)
    ]
    run = run_of(tmp_path / "run", *worthless, sample())
    whole = as_json(call, run, *LOAD, *STATED)
    assert [one["row"] for one in whole["candidates"] if one["kind"] == "measured"] == [2]
    code, _, err = call(run_of(tmp_path / "alone", *worthless), *LOAD, *STATED)
    assert (code, err.count("\n")) == (2, 1)
    assert "no dollars" in err


# --- forms ------------------------------------------------------------------------------------------------------------


def test_markdown_and_csv(run: Path, tmp_path: Path, call: Any) -> None:
    _, text, _ = call(run, *LOAD, *STATED, "--format", "md")
    assert text.startswith("Cheapest: API")
    assert sum(line.startswith("|") for line in text.splitlines()) == 4
    code, out, _ = call(run, *LOAD, *STATED, "--format", "csv", "--out", tmp_path / "plan.csv")
    assert (code, out) == (0, "")
    found = list(csv.DictReader(io.StringIO((tmp_path / "plan.csv").read_text())))
    assert [one["kind"] for one in found] == ["api", "measured"]
    assert float(found[1]["usd_per_month"]) == pytest.approx(21_024)
    assert found[0]["replicas"] == ""


def test_a_narrow_terminal_breaks_the_table(run: Path) -> None:
    """In a process of its own, 80 columns wide."""
    done = bench("plan", run, *LOAD, *STATED, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert done.stdout.startswith("Cheapest: API")


def test_a_very_narrow_terminal_breaks_no_number(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", *(sample(index, factor) for index, factor in enumerate((0.9, 1.0, 1.1))))
    wide = bench("plan", run, *LOAD, *STATED, COLUMNS="400").stdout.splitlines()
    done = bench("plan", run, *LOAD, *STATED, COLUMNS="60")
    assert done.stdout.startswith(f"Cheapest: API {GROQ}: $153 per month;")
    assert max(len(line) for line in done.stdout.splitlines()) <= 60
    rule = next(at for at, line in enumerate(wide) if line.startswith("──"))
    figures = {word for line in wide[rule + 1 : rule + 3] for word in line.split() if word[0] in "$(±0123456789"}
    assert len(figures) > 10
    assert figures <= set(done.stdout.split())


def test_stored_records_of_the_first_schema() -> None:
    done = bench("plan", ROOT / "tests" / "data" / "records-v1.jsonl", *LOAD, *STATED, "--format", "json")
    assert done.returncode == 0, done.stderr
    own = json.loads(done.stdout)["candidates"][-1]
    assert own["replicas"] == 8
    assert own["usd_per_month"] == pytest.approx(21_024)


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--requests-per-s", "0"), "--requests-per-s: 0 is not a number above 0"),
        (("--requests-per-s", "-1"), "--requests-per-s"),
        (("--requests-per-s", "nan"), "--requests-per-s: nan"),
        (("--requests-per-s", "inf"), "--requests-per-s: inf"),
        (("--requests-per-s", "1e300"), "--requests-per-s"),
        (("--input-tokens", "0"), "--input-tokens: 0 is not at least 1"),
        (("--output-tokens", "-3"), "--output-tokens: -3"),
        (("--cached-tokens", "200"), "--cached-tokens: 200 must be below --input-tokens (200)"),
        (("--cached-tokens", "-1"), "--cached-tokens: -1 is below 0"),
        (("--ttft-ms", "0"), "--ttft-ms: 0"),
        (("--tpot-ms", "nan"), "--tpot-ms: nan"),
        (("--e2el-ms", "-5"), "--e2el-ms: -5"),
        (("--budget-usd-per-month", "0"), "--budget-usd-per-month: 0"),
        (("--max-utilisation", "0"), "--max-utilisation: 0 is not above 0 and at most 1"),
        (("--max-utilisation", "1.01"), "--max-utilisation: 1.01"),
        (("--max-utilisation", "nan"), "--max-utilisation: nan"),
        (("--utilisation", "0.5"), "--max-utilisation bounds it"),
        (("--onto", "L5"), "unknown part 'L5'; did you mean 'L4'"),
        (("--api", "groq/llama-3.1-8b-instnat"), "--api: "),
        (("--api", "grok"), "--api: "),
        (("--usd-per-hour", "-1"), "--usd-per-hour"),
        (("--format", "xml"), "--format: unknown format 'xml'"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else None,
)
def test_bad_input_is_one_line(run: Path, call: Any, changed: tuple[str, str], said: str) -> None:
    code, out, err = call(run, *LOAD, *changed)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_runs_without_usable_rows(run: Path, tmp_path: Path, call: Any) -> None:
    failed = run_of(tmp_path / "failed", failed_record())
    code, _, err = call(run, failed, *LOAD)
    assert (code, err) == (2, f"error: {failed}: no measured row; run its config first\n")
    code, _, err = call(tmp_path / "nothing", *LOAD)
    assert (code, err.count("\n")) == (2, 1)


# --- for all numbers --------------------------------------------------------------------------------------------------

TIMES = st.builds(
    lambda value, wide: Estimate(value, value / wide, value * wide, 3), st.floats(1e-4, 1e3), st.floats(1.0, 2.0)
)
BATCHES = st.builds(
    Batch,
    rows=st.integers(1, 256),
    uncached_tokens=st.integers(1, 100_000),
    output_tokens=st.integers(2, 10_000),
    ttft_s=TIMES,
    tpot_s=TIMES,
    usd_per_hour=st.floats(0.01, 100.0),
    served_share=st.floats(0.1, 1.0),
    one_off_usd_per_request=st.floats(0.0, 0.01),
)
RATES = st.floats(1e-3, 1e4)


def _served(batch: Batch, per_s: float, new: int = 100, share: float = 0.7) -> Served:
    return served(batch, Load(per_s, 1000, new, max_utilisation=share), Limits())


@settings(deadline=None, max_examples=60)
@given(BATCHES, RATES, RATES, st.integers(1, 1000), st.floats(0.01, 1.0))
def test_more_requests_never_cost_less(batch: Batch, one: float, other: float, new: int, share: float) -> None:
    """Nor do more tokens, or a lower utilisation; and no replica is busier than it may be."""
    few, many = (_served(batch, rate, new, share) for rate in sorted((one, other)))
    assert few.usd_per_month.value <= many.usd_per_month.value
    assert few.replicas <= many.replicas
    assert many.replicas <= _served(batch, max(one, other), new + 1, share).replicas
    assert many.replicas <= _served(batch, max(one, other), new, share / 2).replicas
    assert few.utilisation <= share * (1 + 1e-9)
    for found in (few, many):
        assert found.replicas_low is not None
        assert found.replicas_high is not None
        assert found.replicas_low <= found.replicas <= found.replicas_high
        # One replica fewer would be too busy.
        assert found.replicas == 1 or found.utilisation * found.replicas / (found.replicas - 1) > share * (1 - 1e-9)


@settings(deadline=None, max_examples=60)
@given(RATES, st.floats(1e-9, 10.0))
def test_an_api_costs_in_proportion(rate: float, price: float) -> None:
    once = api_usd_per_month(Load(rate, 1, 1), price)
    assert api_usd_per_month(Load(2 * rate, 1, 1), price) == pytest.approx(2 * once)
    assert once == pytest.approx(rate * price * 2_628_000)


def test_a_rounding_error_is_no_replica() -> None:
    """3 requests/s at 0.7 of 1 a replica in batches of 7 in 4.9 s: exactly 3, whatever the floats say."""
    assert copies(Load(3.0, 1, 1, max_utilisation=0.7), 7, 4.9) == 3
    assert copies(Load(3.0000001, 1, 1, max_utilisation=0.7), 7, 4.9) == 4
    assert copies(Load(1e-6, 1, 1), 1, 1e-3) == 1


def test_runner_options_tell_rows_apart(tmp_path: Path, call: Any) -> None:
    """Two caches are two ways to serve; two lengths of one are not."""
    dynamic = cell(runner=RunnerChoice(name="transformers", options={"cache": "dynamic"}), precision=Plain(name="bf16"))
    other = dynamic.identified({"cache": "dynamic"})
    run = run_of(tmp_path / "run", sample(), sample(of=other))
    whole = as_json(call, run, *LOAD, *STATED)
    assert [one["kind"] for one in whole["candidates"]] == ["api", "measured", "measured"]


def test_of_equal_uncached_lengths_the_row_with_as_many_cached_tokens_counts(tmp_path: Path, call: Any) -> None:
    one = Workload(batch_size=2, input_tokens=50, output_tokens=21)
    works = [one, one.model_copy(update={"input_tokens": 200, "cached_tokens": 150})]
    run = run_of(tmp_path / "run", *(sample(of=cell(workload=work)) for work in works))
    own = as_json(call, run, *LOAD, *STATED, "--cached-tokens", "150")["candidates"][-1]
    assert own["row"] == 2
    assert own["batch_s"] == pytest.approx(0.5 + 20 * 0.05)
    assert not any("cached tokens" in note for note in own["notes"])
