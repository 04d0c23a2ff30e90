"""The cheapest way to serve a load, against sums that a person can do. docs/whatif.md has the same example."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli import main
from bench.metrics.statistics import Estimate
from bench.schema import Cell, FourBit, ModelFacts, Plain, Record, RunnerChoice, Workload
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
