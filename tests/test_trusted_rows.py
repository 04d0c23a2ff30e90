"""Rows with limits, joules, percentiles and verdicts."""

import json
from pathlib import Path

import pytest

from bench.report.render import FORMATS, render
from bench.report.rows import Row, rows
from bench.schema import (
    Ceiling,
    CostChoices,
    Edge,
    Energy,
    Environment,
    Measurement,
    ModelFacts,
    Plain,
    Window,
)
from tests.commands import bench, fake_config
from tests.samples import a_round, cell, facts, failed_record, measurement, record

STATED = CostChoices(usd_per_hour=3.6, apis=("groq/llama-3.1-8b-instant",))
SMOLLM2 = {
    "model_type": "llama",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
CEILING = Ceiling(device="cpu", read_bytes_per_s=30e9, gemm_flops_per_s={"bf16": 4e11})


def _row(measured: list[Measurement], choices: CostChoices = STATED, ceiling: Ceiling | None = CEILING) -> Row:
    def known(_: Environment, __: ModelFacts) -> tuple[Ceiling | None, str]:
        return ceiling, "measured by hand" if ceiling is not None else "nobody measured it: run `bench hardware`"

    records = [record(index, measured=one) for index, one in enumerate(measured)]
    (row,) = rows(records, choices, ceiling_of=known)
    return row


def _with(window: Window | None = None, of: ModelFacts | None = None, factor: float = 1.0) -> Measurement:
    of = of or facts().model_copy(update={"config": SMOLLM2})
    return measurement(factor, of=of).model_copy(update={"window": window})


def _energetic(joules: float) -> Measurement:
    energy = Energy(cpu_energy_j=joules, sources={"cpu_energy_j": "a meter"}, reasons={"gpu_energy_j": "no GPU in use"})
    return _with(Window(start=Edge(), end=Edge(), duration_s=3.0, energy=energy))


# --- limits --------------------------------------------------------------------------------------------------------


def test_a_row_is_held_against_its_ceiling() -> None:
    """269 MB of weights and the cache of two rows of 105.5 tokens, in 50 ms, of 30 GB/s: MBU 18.6 %."""
    row = _row([_with()] * 3)
    assert row.figures is not None
    assert row.dollars is not None
    of = row.figures.roofline
    bytes_a_step = 269_030_016 + 46_080 * 2 * (100 + 11 / 2)
    assert of.mbu is not None
    assert of.mbu.value == pytest.approx(bytes_a_step / 0.05 / 30e9, rel=1e-6)
    assert of.limit == "memory"
    assert of.mfu is not None
    assert 0 < of.mfu.value < 1
    assert of.floor_e2el_s is not None
    assert row.dollars.floor_usd_per_mtok == pytest.approx(
        row.dollars.blended_usd_per_mtok.value * of.floor_e2el_s / row.figures.e2el_s.value
    )
    assert row.dollars.floor_usd_per_mtok is not None
    assert row.dollars.floor_usd_per_mtok < row.dollars.blended_usd_per_mtok.value
    shown = render([row], "table", 240)
    for word in ("MBU", "MFU", "decode limit", "memory 19%", "floor", "measured by hand"):
        assert word in shown


def test_without_a_ceiling_the_columns_go_and_the_reason_comes() -> None:
    row = _row([_with()] * 3, ceiling=None)
    assert row.figures is not None
    assert row.dollars is not None
    assert (row.figures.roofline.mbu, row.dollars.floor_usd_per_mtok) == (None, None)
    shown = render([row], "table", 240)
    assert "MBU  " not in shown.splitlines()[0]
    assert "MBU and MFU: not available: nobody measured it: run `bench hardware`." in shown
    assert json.loads(render([row], "json"))["rows"][0]["mbu"] is None


def test_faster_than_the_ceiling_means_a_wrong_ceiling() -> None:
    slow = CEILING.model_copy(update={"read_bytes_per_s": 5e9})
    row = _row([_with()] * 3, ceiling=slow)
    assert [reason.code for reason in row.verdict] == ["above-ceiling"]
    assert row.dollars is not None


# --- energy --------------------------------------------------------------------------------------------------------


def test_joules_are_per_output_token_and_electricity_only_where_stated() -> None:
    """66 J over three rounds of 22 tokens: 1 J a token; at $0.36 a kWh 10 cents a million."""
    row = _row([_energetic(66.0), _energetic(66.0)])
    assert row.figures is not None
    assert row.dollars is not None
    assert row.figures.energy.j_per_output_token is not None
    assert row.figures.energy.j_per_output_token.value == pytest.approx(1.0)
    assert row.dollars.electricity_usd_per_mtok is None
    shown = render([row], "table", 300)
    assert "J/token" in shown
    assert "electricity" not in shown
    owned = _row([_energetic(66.0), _energetic(66.0)], STATED.model_copy(update={"usd_per_kwh": 0.36}))
    assert owned.dollars is not None
    assert owned.dollars.electricity_usd_per_mtok is not None
    assert owned.dollars.electricity_usd_per_mtok.value == pytest.approx(0.1)
    assert owned.dollars.blended_usd_per_mtok == row.dollars.blended_usd_per_mtok, "never added to the rental"
    assert "electricity $/Mtok" in render([owned], "table", 300)


def test_no_counter_is_no_column_and_a_reason() -> None:
    energy = Energy(reasons={"cpu_energy_j": "no RAPL counter", "gpu_energy_j": "no GPU in use"})
    row = _row([_with(Window(start=Edge(), end=Edge(), duration_s=3.0, energy=energy))] * 2)
    shown = render([row], "table", 300)
    assert "J/token" not in shown
    assert "Energy: not available: no RAPL counter; no GPU in use." in shown


def test_windows_with_unlike_counters_are_not_mixed() -> None:
    """Four replicates with a GPU's joules, one whose counter went away: five sums would mean nothing."""
    energy = Energy(gpu_energy_j=198.0, cpu_energy_j=66.0, sources={"gpu_energy_j": "a", "cpu_energy_j": "b"})
    both = _with(Window(start=Edge(), end=Edge(), duration_s=3.0, energy=energy))
    row = _row([both] * 4 + [_energetic(66.0)])
    assert row.figures is not None
    found = row.figures.energy
    assert found.j_per_output_token is not None
    assert found.j_per_output_token.value == pytest.approx(4.0)
    assert found.j_per_output_token.n == 4
    assert found.parts_j_per_output_token == {"gpu_energy_j": pytest.approx(3.0), "cpu_energy_j": pytest.approx(1.0)}
    assert found.reasons["replicates"].startswith("1 replicates lacked a counter")


def test_a_window_shorter_than_the_counter_has_no_joules_a_token() -> None:
    row = _row([_energetic(66.0), _energetic(0.0)])
    assert row.figures is not None
    assert row.figures.energy.j_per_output_token is None
    assert "shorter than the counter's resolution" in render([row], "table", 300)


# --- percentiles ---------------------------------------------------------------------------------------------------


def test_percentiles_want_independent_samples() -> None:
    """Three equal rounds in each of ten processes that differ: ten samples, enough for a median and nothing more."""
    unlike = [_with(factor=1 + index / 100) for index in range(10)]
    row = _row(unlike)
    assert row.figures is not None
    found = row.figures.percentiles["ttft_s"]
    assert found[50] == pytest.approx(0.5 * 1.045, rel=0.01)
    assert str(found[90]) == "n too small (10 of 46)"
    assert str(found[99]) == "n too small (10 of 473)"
    flat = json.loads(render([row], "json"))["rows"][0]
    assert flat["ttft_p50_s"] == found[50]
    assert flat["ttft_p99_s"] == "n too small (10 of 473)"
    for form in ("table", "md"):
        assert "n too small" not in render([row], form, 300)
        assert "n too small" in render([row], form, 300, percentiles=True)


# --- verdicts ------------------------------------------------------------------------------------------------------


def test_a_meaningless_time_has_no_dollars_and_its_reason_in_their_place() -> None:
    """The speed is shown with its doubt; no format prints a dollar of it."""
    jumped = Window(start=Edge(), end=Edge(), duration_s=3.0, other_clock_s=9.0)
    row = _row([_with(jumped)] * 3)
    assert row.dollars is None
    assert row.no_dollars_because == "clock"
    assert "no dollars: clock" in render([row], "table", 200)
    for form in ("table", "md"):
        assert "(clock)" in render([row], form, 240), "the reason stands in the place of the figure"
    assert "Cheapest" not in render([row], "table", 200)
    for form in FORMATS:
        assert "clock" in render([row], form, 200)
    flat = json.loads(render([row], "json"))["rows"][0]
    assert (flat["blended_usd_per_mtok"], flat["usd_per_request"]) == (None, None)
    assert flat["decode_tokens_per_s"] == pytest.approx(40.0)


def test_a_worthless_replicate_is_set_aside_and_the_others_stand() -> None:
    """One clock that jumped among five: the row keeps its dollars, is made of four, and says so."""
    jumped = _with(Window(start=Edge(), end=Edge(), duration_s=3.0, other_clock_s=9.0), factor=3.0)
    row = _row([_with(), _with(), jumped, _with(), _with()])
    assert row.dollars is not None
    assert row.replicates == 4
    assert [reason.code for reason in row.verdict] == ["set-aside"]
    assert "1 clock" in row.verdict[0].what
    assert row.figures is not None
    assert row.figures.e2el_s.value == pytest.approx(1.0)


def test_failures_stand_beside_worthless_replicates_where_there_is_nothing_else() -> None:
    """One row: what was measured means nothing, and some of it crashed."""
    jumped = _with(Window(start=Edge(), end=Edge(), duration_s=3.0, other_clock_s=9.0))
    found = rows([record(0, measured=jumped), failed_record("crashed", of=cell()), record(2, measured=jumped)], STATED)
    assert [row.status for row in found] == ["ok"]
    assert {reason.code for reason in found[0].verdict} == {"clock", "failures"}
    assert found[0].dollars is None


def test_a_wide_interval_is_said() -> None:
    assert "wide" not in [reason.code for reason in _row([_with(factor=one) for one in (1.0, 1.01, 1.02)]).verdict]
    assert [reason.code for reason in _row([_with(), _with(factor=1.05)]).verdict] == ["wide"]


def test_an_accelerator_without_a_price_is_not_a_cpu() -> None:
    """Apple's, or one of an outside runner: no list price, and no dollars from a cloud's vCPUs."""
    row = _row([_with(of=facts({"mps:0": 269_030_016}))] * 3, STATED.model_copy(update={"usd_per_hour": None}))
    assert row.dollars is None
    assert "no row for mps; give --usd-per-hour" in (row.no_dollars_because or "")
    assert row.figures is not None
    assert row.figures.memory.rss_peak_bytes
    assert "peak GB" in render([row], "table", 240)
    assert json.loads(render([row], "json"))["rows"][0]["rss_peak_bytes"] > 0


def test_a_time_of_zero_is_one_bad_row_and_not_the_end_of_the_report() -> None:
    broken = measurement(rounds=[a_round().model_copy(update={"step_s": (0.0, 0.0)})])
    good, bad = cell(), cell(precision=Plain(name="fp32"))
    found = rows([record(0, of=good), record(1, of=good), record(0, of=bad, measured=broken)], STATED)
    assert [row.status for row in found] == ["ok", "invalid"]
    assert found[1].failure is not None
    assert "zero or less" in found[1].failure.reason


def test_every_rate_and_every_dollar_carries_its_interval() -> None:
    row = _row([_with(factor=one) for one in (1.0, 1.1, 1.05)])
    assert row.figures is not None
    assert row.dollars is not None
    figures, dollars = row.figures, row.dollars
    for one in (
        figures.prefill_tokens_per_s,
        figures.decode_tokens_per_s,
        figures.output_tokens_per_s,
        dollars.input_usd_per_mtok,
        dollars.output_usd_per_mtok,
        dollars.blended_usd_per_mtok,
        dollars.usd_per_request,
    ):
        assert one is not None
        assert (one.spread() or 0) > 0
    single = render([_row([_with()])], "table", 240)
    assert single.count("±?") >= 5, "one replicate: nobody knows"


def test_strict_mode_is_an_exit_code(tmp_path: Path) -> None:
    """Two equal processes are VALID; one alone is not; a failed cell never is."""
    config = fake_config(tmp_path, replicates=1)
    out = tmp_path / "out"
    done = bench("run", config, "--out", out, "--strict", "--usd-per-hour", "1")
    assert done.returncode == 3
    assert "doubt: row 1" in done.stderr
    assert "one-replicate" in done.stderr
    assert "Traceback" not in done.stderr
    assert bench("report", out).returncode == 0
    assert bench("report", out, "--strict").returncode == 3
    failed = fake_config(tmp_path, runners="{name: fake, trouble: [none, crash]}", replicates=2)
    done = bench("run", failed, "--out", tmp_path / "failed", "--strict")
    assert done.returncode == 3
    assert "crashed" in done.stderr
