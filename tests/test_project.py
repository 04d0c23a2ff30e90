"""Rows on other hardware, against sums that a person can do. docs/whatif.md has the same example."""

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cli import main
from bench.cost import hourly
from bench.errors import InputError
from bench.hardware import datasheet, stored
from bench.metrics import footprint
from bench.metrics.roofline import Roofline, roofline
from bench.metrics.statistics import Estimate
from bench.models import catalogue
from bench.schema import (
    Accelerator,
    Ceiling,
    Ceilings,
    Cell,
    Checkpoint,
    CostChoices,
    Environment,
    Int8,
    ModelFacts,
    Plain,
    Precision,
    Record,
    Round,
    Workload,
)
from bench.store import Journal
from bench.whatif import target as targets
from bench.whatif.fit import fit, needed_bytes
from bench.whatif.projection import Speeds, shares, speeds
from tests.commands import ROOT, bench
from tests.samples import H100, cell, environment, failed_record, measurement, record

BF16 = Plain(name="bf16")
LLAMA = catalogue.shapes()["llama-3.1-8b"]
LONG = Workload(batch_size=1, input_tokens=1000, output_tokens=24)
L4 = Accelerator(name="NVIDIA L4", memory_bytes=24_000_000_000)
STEP_BYTES, STEP_FLOPS = 15_142_494_208, 15_539_896_320
PREFILL_BYTES, PREFILL_FLOPS = 15_140_921_344, 14_221_838_385_152
TTFT_S, TPOT_S = PREFILL_FLOPS / (989e12 * 0.5), STEP_BYTES / (3.35e12 * 0.8)
GROQ = "groq/llama-3.1-8b-instant"


def llama_cell(work: Workload = LONG, precision: Precision = BF16) -> Cell:
    return cell("shape:llama-3.1-8b", precision=precision, workload=work)


def llama_record(
    replicate: int = 0,
    where: Sequence[Accelerator] = (H100,),
    ttft_s: float = TTFT_S,
    tpot_s: float = TPOT_S,
    work: Workload = LONG,
    precision: Precision = BF16,
    cpu_model: str = "Sample CPU",
) -> Record:
    """One process that took exactly these times for Llama 3.1 8B."""
    device = "cuda:0" if where else "cpu"
    facts = ModelFacts(
        parameters=8_030_261_248, weights_bytes=16_060_522_496, kv_bytes_per_token=131_072, vocab_size=128_256,
        max_positions=131_072, random_weights=True, config=LLAMA, dtype="bf16", device=device,
        placement={device: 16_060_522_496}, accelerators=tuple(where),
    )  # fmt: skip
    steps = tuple(ttft_s + tpot_s * index for index in range(work.output_tokens))
    one = Round(step_s=steps, done_s=steps[-1], stalled_s=0.0)
    rounds = [one, one, one]
    machine = environment(where, cpu_model=cpu_model).model_copy(update={"memory_total_bytes": 64_000_000_000})
    return record(
        replicate, llama_cell(work, precision), measurement(rounds=rounds, of=facts), machine, name=f"r{replicate}"
    )


def run_of(folder: Path, *records: Record) -> Path:
    """A run folder with these records."""
    with Journal(folder) as journal:
        for index, one in enumerate(records):
            journal.append(one.model_copy(update={"record_id": f"{folder.name}.{index}"}))
    return folder


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """The command in this process: its exit code, output and errors."""

    def called(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setattr("sys.argv", ["bench", *map(str, arguments)])
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


# --- the worked example ---------------------------------------------------------------------------------------------


def test_llama_8b_from_an_h100_to_an_l4(tmp_path: Path, call: Any) -> None:
    """Every figure of the example in docs/whatif.md, through the command."""
    run = run_of(tmp_path / "h100", *(llama_record(index) for index in range(3)))
    (one,) = as_json(call, "project", run, "--onto", "L4=0.80", "--api", GROQ)["rows"]
    found = {name: (value["value"], value["limit"]) for name, value in one["quantities"].items() if name != "kind"}
    assert one["shares"]["mbu"]["value"] == pytest.approx(0.8)
    assert one["shares"]["mfu"]["value"] == pytest.approx(0.5)
    assert one["estimate_needed_bytes"] == 2 * 8_030_261_248 + 1024 * 131_072 + 1000 * 45_056 * 2 + 128_256 * 4
    assert one["estimate_needed_bytes"] == 16_285_365_248
    assert one["usable_bytes_per_device"] == pytest.approx(21.6e9)
    assert one["estimate_devices"] == 1
    assert found["ttft_s"] == pytest.approx((0.23507, 0.117536), rel=1e-4)
    assert found["tpot_s"] == pytest.approx((0.063094, 0.050475), rel=1e-4)
    assert found["e2el_s"] == pytest.approx((1.6862, 1.2785), rel=1e-4)
    assert found["blended_usd_per_mtok"] == pytest.approx((0.3659, 0.2774), rel=2e-4)
    assert found["input_usd_per_mtok"][0] == pytest.approx(0.05224, rel=1e-3)
    assert found["output_usd_per_mtok"][0] == pytest.approx(13.44, rel=1e-3)
    assert found["prefill_tokens_per_s"] == pytest.approx((1000 / 0.23507, 1000 / 0.117536), rel=1e-4)
    assert found["decode_tokens_per_s"][0] == pytest.approx(1 / 0.063094, rel=1e-4)
    assert found["output_tokens_per_s"][0] == pytest.approx(24 / 1.6862, rel=1e-4)
    assert one["usd_per_hour"] == 0.8
    (api,) = one["apis"]
    price = (1000 * 0.05 + 24 * 0.08) / 1e6
    assert api["usd_per_request"] == pytest.approx(price)
    assert api["ratio"]["value"] == pytest.approx(0.8 * 1.68623 / 3600 / price, rel=1e-4)
    assert api["break_even"] is None


def test_the_documentation_says_these_numbers() -> None:
    text = " ".join((ROOT / "docs" / "whatif.md").read_text().split())
    assert f"{STEP_BYTES:,} / (300·10⁹ · 0.8) = {STEP_BYTES / 240e9 * 1e3:.3f} ms" in text
    assert f"{PREFILL_FLOPS:,} / (121·10¹² · 0.5) = {PREFILL_FLOPS / 60.5e12 * 1e3:.2f} ms" in text
    assert f"{PREFILL_BYTES:,} / (300·10⁹ · 0.8) = {PREFILL_BYTES / 240e9 * 1e3:.2f} ms" in text
    assert f"{STEP_FLOPS:,} / (121·10¹² · 0.5) = {STEP_FLOPS / 60.5e12 * 1e3:.3f} ms" in text
    assert f"TTFT {TTFT_S * 1e3:.3f} ms, TPOT {TPOT_S * 1e3:.4f} ms" in text


def test_the_interval_of_the_measurement_goes_through(tmp_path: Path, call: Any) -> None:
    """Times 1 % apart from process to process: the same factor up and down on the target, and in the dollars."""
    factors = (0.99, 1.0, 1.01)
    run = run_of(
        tmp_path / "h100",
        *(llama_record(index, ttft_s=TTFT_S * one, tpot_s=TPOT_S * one) for index, one in enumerate(factors)),
    )
    (one,) = as_json(call, "project", run, "--onto", "L4=0.80")["rows"]
    logs = [math.log(factor) for factor in factors]
    deviation = math.sqrt(sum((log - sum(logs) / 3) ** 2 for log in logs) / 2)
    half = math.exp(4.303 * deviation / math.sqrt(3))
    for name in ("ttft_s", "tpot_s", "e2el_s", "blended_usd_per_mtok", "output_usd_per_mtok"):
        found = one["quantities"][name]
        assert found["high"] / found["value"] == pytest.approx(half, rel=1e-3)
        assert found["value"] / found["low"] == pytest.approx(half, rel=1e-3)
    rate = one["quantities"]["decode_tokens_per_s"]
    assert rate["low"] < rate["value"] < rate["high"] < rate["limit"]


def test_one_replicate_has_no_interval(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "one", llama_record())
    (one,) = as_json(call, "project", run, "--onto", "L4=0.80")["rows"]
    assert one["quantities"]["tpot_s"]["low"] is None
    code, out, _ = call("project", run, "--onto", "L4")
    assert code == 0
    assert "±?" in out


# --- estimate stands everywhere -------------------------------------------------------------------------------------


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(each for one in value.values() for each in _objects(one))]
    return [each for one in value for each in _objects(one)] if isinstance(value, list) else []


def test_every_row_heading_and_object_says_estimate(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record(0), llama_record(1))
    whole = as_json(call, "project", run, "--onto", "L4", "--onto", "H100 PCIe")
    errors = whole.pop("median_absolute_log_error")
    assert errors == {}
    assert {one.get("kind") for one in _objects(whole)} == {"estimate"}
    _, text, _ = call("project", run, "--onto", "L4", "--format", "csv")
    (line,) = csv.DictReader(io.StringIO(text))
    assert line["kind"] == "estimate"
    derived = [name for name in line if name.endswith(("_s", "_per_mtok", "_low", "_high", "_limit"))]
    assert len(derived) > 20
    assert all(name.startswith("estimate_") for name in derived)
    _, text, _ = call("project", run, "--onto", "L4", "--format", "md")
    heading, rule, *lines = [one for one in text.splitlines() if one.startswith("|")]
    assert text.startswith("Estimates, not measurements")
    assert rule.startswith("|-")
    assert [one.strip() for one in heading.split("|")[1:6]] == [
        "#",
        "measured row",
        "onto",
        "kind",
        "needs GB estimate",
    ]
    measured = ("#", "measured row", "onto", "kind", "$/h")
    assert all("estimate" in one for one in heading.strip("|").split("|") if one.strip() not in measured)
    assert all("| estimate " in one for one in lines)
    _, text, _ = call("project", run, "--onto", "L4")
    assert sum("1 × NVIDIA L4" in one and "estimate" in one for one in text.splitlines()) == 1


# --- memory and devices ---------------------------------------------------------------------------------------------


def test_a_large_batch_takes_more_devices(tmp_path: Path, call: Any) -> None:
    """64 rows of 4000 + 100: 16.06 GB weights, 34.4 GB of cache, 23.1 GB of activations; four L4 at 90 % of 24 GB."""
    work = Workload(batch_size=64, input_tokens=4000, output_tokens=100)
    run = run_of(tmp_path / "h100", llama_record(ttft_s=9.0, tpot_s=0.03, work=work))
    (four,) = as_json(call, "project", run, "--onto", "L4=0.80")["rows"]
    needed = 2 * 8_030_261_248 + 64 * 4100 * 131_072 + 64 * 4000 * 45_056 * 2 + 64 * 128_256 * 4
    assert four["estimate_needed_bytes"] == needed
    assert 2 * 21.6e9 < needed < 4 * 21.6e9
    assert four["estimate_devices"] == 4
    assert four["usd_per_hour"] == pytest.approx(3.2)
    (eight,) = as_json(call, "project", run, "--onto", "L4=0.80", "--devices", "8")["rows"]
    assert eight["quantities"]["tpot_s"]["value"] == pytest.approx(four["quantities"]["tpot_s"]["value"] / 2)
    assert eight["quantities"]["blended_usd_per_mtok"]["value"] == pytest.approx(
        four["quantities"]["blended_usd_per_mtok"]["value"]
    )
    _, text, _ = call("project", run, "--onto", "L4")
    assert "4 × NVIDIA L4" in text
    assert "communication between them is not modelled" in text


def test_what_does_not_fit_says_how_much_it_needs(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record())
    code, text, _ = call("project", run, "--onto", "L4", "--devices", "1", "--memory-share", "0.5")
    assert code == 0
    assert "NVIDIA L4: does not fit" in text
    assert "does not fit: needs 16.3 GB of 12.0 GB (50% of NVIDIA L4)" in text


def test_bytes_needed_follow_the_engine() -> None:
    """A checkpoint's weights count as they were measured, and the cache as the engine said."""
    of = footprint.shape(LLAMA)
    assert of is not None
    facts = ModelFacts(
        parameters=1, weights_bytes=5 * 10**9, kv_bytes_per_token=65_536, vocab_size=1, dtype="float16", device="cpu"
    )  # fmt: skip
    activations = footprint.needed(of, Checkpoint(name="checkpoint"), LONG).activation_bytes
    found = needed_bytes(of, facts, Checkpoint(name="checkpoint"), LONG)
    assert found == 5_000_000_000 + 1024 * 65_536 + activations


@settings(deadline=None, max_examples=60)
@given(st.floats(1e6, 1e12), st.floats(1e6, 1e12), st.floats(1e8, 1e12), st.floats(0.05, 1.0))
def test_memory_is_monotone(one: float, other: float, memory: float, share: float) -> None:
    """What needs more never takes fewer devices; twice the memory never takes more; half of the devices is too few."""
    small, large = sorted((one, other))
    few, many = fit(small, memory, share, None, None).devices, fit(large, memory, share, None, None).devices
    roomy = fit(large, 2 * memory, share, None, None).devices
    if many is not None:
        assert few is not None
        assert few <= many
        assert roomy is not None
        assert roomy <= many
        assert large <= many * memory * share
        assert many == 1 or large > many / 2 * memory * share
        assert fit(large, memory, share, many, None).devices == many


# --- the formulas, for all numbers ----------------------------------------------------------------------------------


def _measured(
    ttft: Estimate, tpot: Estimate, ceiling: Ceiling, work: Workload, precision: Precision = BF16
) -> Roofline:
    facts = ModelFacts(parameters=0, weights_bytes=0, vocab_size=1, dtype="bfloat16", device="cuda:0")
    return roofline(LLAMA, facts, precision, work, ttft, tpot, ceiling, "a test")


def _carried(of: Roofline, ttft: Estimate, tpot: Estimate, own: Ceiling, other: Ceiling, work: Workload) -> Speeds:
    assert of.work is not None
    return speeds(of.work, work, shares(of, of.work, ttft, tpot, own, "bf16"), other, 1, "bf16")


RATES = st.tuples(st.floats(1e10, 1e13), st.floats(1e12, 1e16))
SLOWER = st.tuples(st.floats(1.0, 100.0), st.floats(1.0, 100.0), st.floats(1.0, 1.5))
WORKS = st.builds(
    Workload, batch_size=st.integers(1, 64), input_tokens=st.integers(1, 4096), output_tokens=st.integers(2, 512)
)


@settings(deadline=None, max_examples=60)
@given(RATES, SLOWER, WORKS)
def test_the_own_device_gives_back_the_measured_times(
    rates: tuple[float, float], slower: tuple[float, float, float], work: Workload
) -> None:
    """Whatever the shares are, and with both ends of the interval; so too with twice the rates in half the time."""
    own = Ceiling(device="one", read_bytes_per_s=rates[0], gemm_flops_per_s={"bf16": rates[1]})
    twice = Ceiling(device="two", read_bytes_per_s=2 * rates[0], gemm_flops_per_s={"bf16": 2 * rates[1]})
    floor = _measured(Estimate(1.0, 1.0, 1.0, 3), Estimate(1.0, 1.0, 1.0, 3), own, work)
    assert floor.floor_ttft_s is not None
    assert floor.floor_step_s is not None
    wide = slower[2]
    # The low ends stay above the floor: a share above 1 is clipped.
    middle = floor.floor_ttft_s * slower[0] * wide, floor.floor_step_s * slower[1] * wide
    ttft, tpot = (Estimate(value, value / wide, value * wide, 3) for value in middle)
    of = _measured(ttft, tpot, own, work)
    same, half = _carried(of, ttft, tpot, own, own, work), _carried(of, ttft, tpot, own, twice, work)
    for found, halved, expected in ((same.ttft_s, half.ttft_s, ttft), (same.tpot_s, half.tpot_s, tpot)):
        assert found is not None
        assert halved is not None
        for name in ("value", "low", "high"):
            assert getattr(found.estimate, name) == pytest.approx(getattr(expected, name), rel=1e-9)
            assert getattr(halved.estimate, name) == pytest.approx(getattr(expected, name) / 2, rel=1e-9)
        assert found.limit <= found.estimate.value * (1 + 1e-9)
        assert halved.limit == pytest.approx(found.limit / 2)
    assert same.ttft_s is not None
    assert same.ttft_s.limit == pytest.approx(floor.floor_ttft_s)


@settings(deadline=None, max_examples=60)
@given(RATES, SLOWER, WORKS, st.floats(0.01, 100.0), st.floats(0.01, 100.0))
def test_no_estimate_is_below_the_limit(
    rates: tuple[float, float], slower: tuple[float, float, float], work: Workload, memory: float, compute: float
) -> None:
    own = Ceiling(device="one", read_bytes_per_s=rates[0], gemm_flops_per_s={"bf16": rates[1]})
    other = Ceiling(
        device="two", read_bytes_per_s=rates[0] * memory, gemm_flops_per_s={"bf16": rates[1] * compute}
    )  # fmt: skip
    one = Estimate(1.0, 1.0, 1.0, 3)
    floor = _measured(one, one, own, work)
    assert floor.floor_ttft_s is not None
    assert floor.floor_step_s is not None
    ttft, tpot = one.times(floor.floor_ttft_s * slower[0]), one.times(floor.floor_step_s * slower[1])
    found = _carried(_measured(ttft, tpot, own, work), ttft, tpot, own, other, work)
    for ranged in (found.ttft_s, found.tpot_s, found.e2el_s):
        assert ranged is not None
        assert ranged.limit <= ranged.estimate.value * (1 + 1e-9)
    assert found.decode_tokens_per_s is not None
    assert found.decode_tokens_per_s.limit >= found.decode_tokens_per_s.estimate.value * (1 - 1e-9)


def test_a_share_above_one_counts_as_one() -> None:
    """Half the time that the ceiling allows: the estimate on the same device is the limit."""
    own = Ceiling(device="one", read_bytes_per_s=3.35e12, gemm_flops_per_s={"bf16": 989e12})
    tpot, ttft = Estimate(STEP_BYTES / 3.35e12 / 2, None, None, 1), Estimate(TTFT_S, None, None, 1)
    found = _carried(_measured(ttft, tpot, own, LONG), ttft, tpot, own, own, LONG)
    assert found.tpot_s is not None
    assert found.tpot_s.estimate.value == found.tpot_s.limit == pytest.approx(STEP_BYTES / 3.35e12)


# --- targets --------------------------------------------------------------------------------------------------------


def test_every_part_of_the_datasheet_is_a_target() -> None:
    """By its whole name, and without its vendor."""
    assert len(datasheet.specs()) == 28
    for spec in datasheet.specs():
        for name in (spec.part, spec.part.upper(), spec.part.partition(" ")[2]):
            found = targets.of_part(name)
            assert found.spec == spec
            assert found.ceiling.read_bytes_per_s == spec.read_bytes_per_s
            assert found.memory_bytes == (spec.memory_gb or 0) * 1e9


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("l4", "NVIDIA L4"),
        ("L40S", "NVIDIA L40S"),
        ("A100 80 GB", "NVIDIA A100 80GB SXM"),
        ("rtx4090", "NVIDIA RTX 4090"),
        ("H100 SXM", "NVIDIA H100 SXM 80GB"),
        ("NVIDIA H100 80GB HBM3", "NVIDIA H100 SXM 80GB"),
        ("Gaudi 3", "Intel Gaudi 3"),
        ("B200", "NVIDIA B200 SXM 180GB"),
        ("gb200", "NVIDIA GB200 NVL72 (per GPU)"),
        ("TPU v5e", "Google TPU v5e"),
    ],
)
def test_parts_by_short_names(name: str, part: str) -> None:
    assert targets.of_part(name).name == part


@pytest.mark.parametrize(
    ("name", "said"),
    [("H100", "is several parts: NVIDIA H100 SXM 80GB, NVIDIA H100 PCIe 80GB"), ("L40", "did you mean 'L40S' or 'L4'"),
     ("", "unknown part ''"), ("MI300Y", "did you mean 'MI300X'")],
)  # fmt: skip
def test_names_that_are_no_single_part(name: str, said: str) -> None:
    with pytest.raises(InputError, match=r"--onto: ") as caught:
        targets.of_part(name)
    assert said in caught.value.lines[0]


def test_the_price_of_a_part_is_that_of_the_list(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record())
    (one,) = as_json(call, "project", run, "--onto", "L4")["rows"]
    assert one["usd_per_hour"] == hourly.for_part("NVIDIA L4", 1, CostChoices()).usd_per_hour
    (stated,) = as_json(call, "project", run, "--onto", "L4", "--usd-per-hour", "2.5")["rows"]
    assert stated["usd_per_hour"] == 2.5
    (idle,) = as_json(call, "project", run, "--onto", "L4=1", "--utilisation", "0.5")["rows"]
    (busy,) = as_json(call, "project", run, "--onto", "L4=1")["rows"]
    blended = [each["quantities"]["blended_usd_per_mtok"]["value"] for each in (idle, busy)]
    assert blended[0] == pytest.approx(2 * blended[1])
    assert idle["apis"][0]["break_even"] == busy["apis"][0]["break_even"]


def test_a_part_without_a_price_keeps_its_speeds(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record())
    (one,) = as_json(call, "project", run, "--onto", "Gaudi 2")["rows"]
    assert one["quantities"]["ttft_s"]["value"] == pytest.approx(PREFILL_FLOPS / (432e12 * 0.5))
    assert one["quantities"]["blended_usd_per_mtok"] is None
    assert any("no dollars" in text and "--onto 'Intel Gaudi 2=USD'" in text for text in one["reasons"])
    assert any("another kind of device" in text for text in one["warnings"])  # NVIDIA to Intel


def test_a_missing_rate_says_so(tmp_path: Path, call: Any) -> None:
    """The list has no bf16 rate of an A10G: no TTFT, no dollars, and TPOT by bandwidth alone."""
    run = run_of(tmp_path / "h100", llama_record())
    (one,) = as_json(call, "project", run, "--onto", "A10G")["rows"]
    assert one["quantities"]["ttft_s"] is None
    assert one["quantities"]["e2el_s"] is None
    assert one["quantities"]["blended_usd_per_mtok"] is None
    assert one["quantities"]["tpot_s"]["value"] == pytest.approx(STEP_BYTES / (600e9 * 0.8))
    assert one["reasons"] == [
        "no TTFT: the bf16 peak of NVIDIA A10G is not known",
        "TPOT by bandwidth alone: whether arithmetic bounds decode there is not known",
    ]


def test_a_row_without_mfu_has_no_ttft(tmp_path: Path, call: Any) -> None:
    """int8 on an H200: the datasheet has no int8 rate, so MFU was not measured; MBU was."""
    h200 = Accelerator(name="NVIDIA H200", memory_bytes=141_000_000_000)
    run = run_of(tmp_path / "h200", llama_record(where=(h200,), precision=Int8(name="int8")))
    (one,) = as_json(call, "project", run, "--onto", "L4")["rows"]
    assert one["quantities"]["ttft_s"] is None
    assert one["quantities"]["tpot_s"]["value"] == pytest.approx(TPOT_S * 4.8e12 / 300e9)
    assert "MFU was not measured" in one["reasons"][0]


def test_one_output_token_has_a_prefill_alone(tmp_path: Path, call: Any) -> None:
    work = LONG.model_copy(update={"output_tokens": 1})
    run = run_of(tmp_path / "h100", llama_record(work=work))
    (one,) = as_json(call, "project", run, "--onto", "L4=0.80")["rows"]
    assert one["quantities"]["ttft_s"]["value"] == pytest.approx(PREFILL_FLOPS / (121e12 * 0.5))
    assert one["quantities"]["e2el_s"] == one["quantities"]["ttft_s"]
    assert one["quantities"]["tpot_s"] is None
    assert one["quantities"]["input_usd_per_mtok"] is None
    assert one["quantities"]["blended_usd_per_mtok"]["value"] == pytest.approx(
        0.8 * 0.235072 / 3600 / 1001 * 1e6, rel=1e-4
    )


def _machine(cpu_model: str = "Other CPU") -> Environment:
    return environment(cpu_model=cpu_model).model_copy(update={"memory_total_bytes": 64_000_000_000})


def _ceilings(machine: Environment, read: float, peak: float, device: str = "cpu") -> Ceilings:
    one = Ceiling(device=device, read_bytes_per_s=read, gemm_flops_per_s={"bf16": peak})
    return Ceilings(
        hardware=machine.hardware(), measured_at="2026-11-22T00:00:00+00:00", environment=machine, devices=(one,)
    )


def test_onto_a_measured_machine(tmp_path: Path, call: Any) -> None:
    """A CPU of 100 GB/s and 2 TFLOP/s, from a file and from a run folder; from an H100, so with a warning."""
    run = run_of(tmp_path / "h100", llama_record())
    machine = _ceilings(_machine(), 100e9, 2e12)
    stored.into_run(tmp_path / "other", machine, lambda _: None)
    alone = tmp_path / "alone.json"
    alone.write_text(machine.model_dump_json())
    for where in (tmp_path / "other", tmp_path / "other" / "ceilings.json", alone):
        (one,) = as_json(call, "project", run, "--onto", where)["rows"]
        assert one["onto"] == "Other CPU (4 CPUs)"
        assert one["quantities"]["tpot_s"]["value"] == pytest.approx(STEP_BYTES / (100e9 * 0.8))
        assert one["quantities"]["ttft_s"]["value"] == pytest.approx(PREFILL_FLOPS / (2e12 * 0.5))
        assert one["usd_per_hour"] == pytest.approx(0.17)
        assert "carried to a CPU" in one["warnings"][0]
    code, _, err = call("project", run, "--onto", alone, "--devices", "2")
    assert (code, err.count("\n")) == (2, 1)
    assert "is one machine" in err


def test_the_own_ceilings_give_back_the_row(tmp_path: Path, call: Any) -> None:
    """Through the command: a CPU row carried to its own machine, whose ceilings lie in its own run folder."""
    machine = _machine("Sample CPU")
    run = run_of(tmp_path / "run", *(llama_record(index, where=(), ttft_s=20.0, tpot_s=0.5) for index in range(2)))
    stored.into_run(run, _ceilings(machine, 100e9, 2e12), lambda _: None)
    whole = as_json(call, "project", run, "--onto", run, "--usd-per-hour", "0.5")
    (one,) = whole["rows"]
    assert one["quantities"]["ttft_s"]["value"] == pytest.approx(20.0)
    assert one["quantities"]["tpot_s"]["value"] == pytest.approx(0.5)
    assert one["quantities"]["blended_usd_per_mtok"]["value"] == pytest.approx(0.5 * 31.5 / 3600 / 1024 * 1e6)
    assert one["over_measured"] is None  # a row is no check of itself
    assert not any("another kind" in text for text in one["warnings"])


def test_a_gpu_of_a_measured_machine(tmp_path: Path, call: Any) -> None:
    """Where a machine has a GPU, that is the target, at its own measured rates and the list's price."""
    run = run_of(tmp_path / "h100", llama_record())
    gpu = environment((L4,))
    stored.into_run(tmp_path / "l4", _ceilings(gpu, 270e9, 80e12, "NVIDIA L4"), lambda _: None)
    (one,) = as_json(call, "project", run, "--onto", tmp_path / "l4")["rows"]
    assert one["quantities"]["tpot_s"]["value"] == pytest.approx(STEP_BYTES / (270e9 * 0.8))
    assert one["usd_per_hour"] == hourly.for_part("NVIDIA L4", 1, CostChoices()).usd_per_hour
    assert not any("another kind" in text for text in one["warnings"])


# --- cached prompts -------------------------------------------------------------------------------------------------

HALF = LONG.model_copy(update={"cached_tokens": 500})


def test_cached_tokens_are_not_counted_as_prefilled(tmp_path: Path, call: Any) -> None:
    """500 of 1000 cached: rate and dollars of the prefill are those of 500 tokens, the blend of all 1024."""
    run = run_of(tmp_path / "h100", llama_record(work=HALF))
    (one,) = as_json(call, "project", run, "--onto", "L4=0.80")["rows"]
    found = {name: value["value"] for name, value in one["quantities"].items() if name != "kind"}
    assert found["prefill_tokens_per_s"] == pytest.approx(500 / found["ttft_s"])
    assert found["input_usd_per_mtok"] == pytest.approx(0.8 * found["ttft_s"] / 3600 / 500 * 1e6)
    assert found["blended_usd_per_mtok"] == pytest.approx(0.8 * found["e2el_s"] / 3600 / 1024 * 1e6)
    bill = found["input_usd_per_mtok"] * 500 + found["output_usd_per_mtok"] * 24
    assert bill == pytest.approx(found["usd_per_request"] * 1e6)
    report = json.loads(bench("report", run, "--usd-per-hour", "1", "--format", "json").stdout)
    own = as_json(call, "project", run, "--onto", "H100 SXM=1")["rows"][0]["quantities"]
    (row,) = report["rows"]
    assert own["prefill_tokens_per_s"]["value"] == pytest.approx(row["prefill_tokens_per_s"])


def test_cached_tokens_are_named(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record(), llama_record(1, work=HALF))
    _, text, _ = call("project", run, "--onto", "L4")
    assert "#2 bf16, batch 1, 1000 (500 cached) + 24" in text
    assert "count uncached prompt tokens: cached ones have no price of their own here. [line 2]" in text
    _, text, _ = call("project", run, "--onto", "L4", "--format", "csv")
    assert [one["cached_tokens"] for one in csv.DictReader(io.StringIO(text))] == ["0", "500"]


def test_cached_tokens_at_the_api_are_said(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record())
    whole = as_json(call, "project", run, "--onto", "L4", "--api", GROQ, "--api-cached-share", "0.5")
    assert whole["rows"][0]["apis"][0]["cached_tokens"] == 500
    assert (
        f"500 of 1000 prompt tokens (50% assumed) are taken as cached at the API; no cached price listed: {GROQ}, "
        "input price used. Writing the cache is not priced."
    ) in whole["notes"]


# --- prices ---------------------------------------------------------------------------------------------------------


def cost_file(folder: Path, text: str) -> Path:
    path = folder / "cost.yaml"
    path.write_text(text)
    return path


def test_a_cost_file_is_of_the_measured_machine(tmp_path: Path, call: Any) -> None:
    """Neither its stated price nor its owned machine nor its provider is the target's; the rest of it holds."""
    run = run_of(tmp_path / "h100", llama_record())
    listed = {part: hourly.for_part(part, 1, CostChoices()).usd_per_hour for part in ("NVIDIA L4", "AMD MI300X")}
    for text in ("usd_per_hour: 10", "owned: {capex_usd: 31000, life_years: 4}", "provider: lambda"):
        said = cost_file(tmp_path, f"{text}\nutilisation: 0.5")
        found = as_json(call, "project", run, "--onto", "L4", "--onto", "MI300X", "--cost", said)["rows"]
        assert [one["usd_per_hour"] for one in found] == list(listed.values())
        assert {one["utilisation"] for one in found} == {0.5}
    (stated,) = as_json(call, "project", run, "--onto", "L4", "--cost", said, "--usd-per-hour", "3")["rows"]
    assert stated["usd_per_hour"] == 3


def test_one_off_costs_are_in_the_comparison(tmp_path: Path, call: Any) -> None:
    """$10 over 1,000 Mtok: $0.01 a Mtok, $0.00001024 a request; groq asks $0.00005192."""
    run = run_of(tmp_path / "h100", llama_record())
    said = cost_file(tmp_path, "one_off: {usd: 10, mtok: 1000, what: a fine-tune}")
    arguments = ("project", run, "--onto", "L4=0.05", "--api", GROQ)
    (without,), (found,) = (as_json(call, *arguments, *more)["rows"] for more in ((), ("--cost", said)))
    assert found["one_off_usd_per_request"] == pytest.approx(1024 * 0.01 / 1e6)
    assert found["quantities"] == without["quantities"]
    own, price = found["quantities"]["usd_per_request"]["value"], 51.92e-6
    (api,) = found["apis"]
    assert api["ratio"]["value"] == pytest.approx((own + 10.24e-6) / price)
    assert api["break_even"] == pytest.approx(own / (price - 10.24e-6))
    _, text, _ = call(*arguments, "--cost", said)
    assert "One-off: $10 for a fine-tune over 1000 Mtok, $0.0000102 a request, is in vs API and break-even" in text
    dear = cost_file(tmp_path, "one_off: {usd: 100, mtok: 1000}")
    assert as_json(call, *arguments, "--cost", dear)["rows"][0]["apis"][0]["break_even"] is None


def test_api_prices_have_a_day_and_a_source(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record())
    own = {
        "_source": {"date": "2025-01-01"},
        "myhost/llama": {"input_cost_per_token": 1e-8, "output_cost_per_token": 2e-8, "litellm_provider": "myhost"},
    }
    (tmp_path / "prices.json").write_text(json.dumps(own))
    mine = ("--api-prices", tmp_path / "prices.json", "--api", "myhost/llama", "--api", GROQ)
    whole = as_json(call, "project", run, "--onto", "L4", *mine)
    first, second = whole["rows"][0]["apis"]
    assert (first["api"], first["model_id"], first["confirmed"], first["stale"]) == (
        "myhost/llama", "llama", "2025-01-01", True
    )  # fmt: skip
    assert second["source"].startswith("genai-prices")
    assert "valid_from" in second
    notes = " ".join(whole["notes"])
    assert "$ per Mtok: myhost/llama ($0.01 in, $0.02 out), groq/llama-3.1-8b-instant ($0.05 in, $0.08 out)." in notes
    assert "older than 90 days" in notes
    _, text, _ = call("project", run, "--onto", "L4", *mine, "--format", "csv")
    (line,) = csv.DictReader(io.StringIO(text))
    assert (line["cheapest_api"], line["cheapest_api_confirmed"]) == ("myhost/llama", "2025-01-01")


def test_absurd_prices_are_one_line(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "h100", llama_record(0), llama_record(1))
    free = {"h/free": {"input_cost_per_token": 1e-320, "output_cost_per_token": 1e-320, "litellm_provider": "h"}}
    (tmp_path / "prices.json").write_text(json.dumps(free))
    asked = ("project", run, "--onto", "L4", "--api-prices", tmp_path / "prices.json", "--api", "h/free")
    assert call(*asked) == (2, "", "error: h/free: these requests cost nothing there; leave it out\n")
    endless = cost_file(tmp_path, "one_off: {usd: 1.0e+308, mtok: 1.0e-5}")
    for form in ("table", "json"):
        code, out, err = call("project", run, "--onto", "L4", "--cost", endless, "--format", form)
        assert (code, out, err.count("\n")) == (2, "", 1)
    assert call("project", run, "--onto", "L4", "--usd-per-hour", "1e-320")[0] == 2
    assert call("project", run, "--onto", "L4=1e-320")[0] == 2


# --- narrow terminals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [60, 80])
def test_a_narrow_terminal_breaks_no_number(tmp_path: Path, columns: int) -> None:
    """First what the lines are, then their figures in parts, each whole: in a process of its own."""
    run = run_of(tmp_path / "h100", *(llama_record(index, ttft_s=TTFT_S * (1 + index / 50)) for index in range(3)))
    other = run_of(tmp_path / "short", llama_record(work=HALF))
    asked = ("project", run, other, "--onto", "L4", "--onto", "H100 PCIe")
    wide = bench(*asked, COLUMNS="400").stdout.splitlines()
    done = bench(*asked, COLUMNS=str(columns))
    assert done.returncode == 0, done.stderr
    assert max(len(line) for line in done.stdout.splitlines()) <= columns
    rule = next(at for at, line in enumerate(wide) if line.startswith("──"))
    lines = wide[rule + 1 : rule + 5]
    figures = {word for line in lines for word in line.partition(" estimate ")[2].split()}
    assert len(figures) > 30
    assert figures <= set(done.stdout.split())
    assert sum(line.startswith("4") and " estimate" in line for line in done.stdout.splitlines()) >= 4


# --- against measurements -------------------------------------------------------------------------------------------


def _two_machines(folder: Path) -> tuple[Path, Path]:
    """H100 as in the example; the L4 took 0.2 s and 0.07 s a step: the estimates are 1.1754 and 0.9013 of that."""
    return (
        run_of(folder / "h100", *(llama_record(index) for index in range(2))),
        run_of(folder / "l4", *(llama_record(index, where=(L4,), ttft_s=0.2, tpot_s=0.07) for index in range(2))),
    )


def test_an_estimate_stands_beside_the_measurement(tmp_path: Path, call: Any) -> None:
    h100, l4 = _two_machines(tmp_path)
    whole = as_json(call, "project", h100, l4, "--onto", "L4=0.80", "--row", "1")
    (one,) = whole["rows"]
    ratios = one["over_measured"]
    assert ratios["measured_row"] == 2
    assert ratios["ttft"] == pytest.approx(0.235072 / 0.2, rel=1e-4)
    assert ratios["tpot"] == pytest.approx(0.0630937 / 0.07, rel=1e-4)
    assert ratios["usd_per_mtok"] == pytest.approx(1.686227 / (0.2 + 23 * 0.07), rel=1e-4)
    errors = whole["median_absolute_log_error"]
    assert errors["ttft"] == {
        "kind": "estimate",
        "value": pytest.approx(math.log(0.235072 / 0.2), rel=1e-3),
        "pairs": 1,
    }
    assert errors["tpot"]["value"] == pytest.approx(math.log(0.07 / 0.0630937), rel=1e-3)
    _, text, _ = call("project", h100, l4, "--onto", "L4", "--row", "1")
    assert "median absolute log error over 1 pair: TTFT 0.162 (a factor of 1.18), TPOT 0.104" in text
    assert "1.18×" in text
    assert "0.90×" in text


def test_other_cells_and_other_hardware_are_no_pair(tmp_path: Path, call: Any) -> None:
    other = LONG.model_copy(update={"input_tokens": 999})
    run = run_of(tmp_path / "both", llama_record(), llama_record(1, where=(L4,), ttft_s=0.2, tpot_s=0.07, work=other))
    assert as_json(call, "project", run, "--onto", "L4", "--row", "1")["rows"][0]["over_measured"] is None
    same = run_of(tmp_path / "same", llama_record(), llama_record(1, where=(L4,), ttft_s=0.2, tpot_s=0.07))
    assert as_json(call, "project", same, "--onto", "T4", "--row", "1")["rows"][0]["over_measured"] is None


def test_check_carries_both_ways(tmp_path: Path, call: Any) -> None:
    """The L4's shares are MBU 72.1 % and MFU 58.8 %: back on the H100 the errors are the same, turned around."""
    h100, l4 = _two_machines(tmp_path)
    whole = as_json(call, "project", h100, l4, "--check")
    there, back = whole["rows"]
    assert (there["onto"], back["onto"]) == ("1 × NVIDIA L4", "1 × NVIDIA H100 80GB HBM3")
    assert there["over_measured"]["tpot"] == pytest.approx(0.0630937 / 0.07, rel=1e-4)
    assert back["over_measured"]["tpot"] == pytest.approx(0.07 / 0.0630937, rel=1e-4)
    assert back["over_measured"]["ttft"] == pytest.approx(0.2 / 0.235072, rel=1e-4)
    assert whole["median_absolute_log_error"]["tpot"]["pairs"] == 2
    code, _, err = call("project", h100, "--check")
    assert (code, err) == (2, "error: --check: no two rows of equal cells on two machines; give the runs of both\n")


# --- warnings and refusals ------------------------------------------------------------------------------------------


def test_from_a_cpu_to_a_gpu_is_warned_about(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "cpu", *(llama_record(index, where=(), ttft_s=20.0, tpot_s=0.5) for index in range(2)))
    stored.into_run(run, _ceilings(_machine("Sample CPU"), 100e9, 2e12), lambda _: None)
    _, text, _ = call("project", run, "--onto", "L4")
    assert (
        "warning: measured on a CPU and carried to NVIDIA hardware: MBU and MFU of another kind of device carry" in text
    )


def test_a_failed_row_and_a_worthless_one_say_why(tmp_path: Path, call: Any) -> None:
    failed = failed_record(of=llama_cell(precision=Int8(name="int8")))
    run = run_of(tmp_path / "h100", llama_record(), failed)
    one, other = as_json(call, "project", run, "--onto", "L4")["rows"]
    assert one["reasons"] == []
    assert other["reasons"] == ["unsupported: bitsandbytes has no kernel here"]
    code, _, err = call("project", run, "--onto", "L4", "--row", "2")
    assert (code, err) == (2, "error: no row to carry (row 2): unsupported: bitsandbytes has no kernel here\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--onto", "L5"), "--onto: unknown part 'L5'; did you mean 'L4'"),
        (("--onto", "H100"), "is several parts"),
        (("--onto", "nowhere/ceilings.json"), "no such file"),
        (("--onto", "L4=-1"), "'-1' in 'L4=-1' is no price"),
        (("--onto", "L4=nan"), "is no price"),
        (("--onto", "L4=free"), "is no price"),
        ((), "--onto: name the hardware"),
        (("--onto", "L4", "--devices", "0"), "--devices: 0 is not from 1 to 1024"),
        (("--onto", "L4", "--devices", "-2"), "--devices"),
        (("--onto", "L4", "--row", "0"), "--row: there is no row 0"),
        (("--onto", "L4", "--row", "9"), "counts 1 to 1"),
        (("--onto", "L4", "--memory-share", "0"), "--memory-share: 0 is not above 0 and at most 1"),
        (("--onto", "L4", "--memory-share", "nan"), "--memory-share"),
        (("--onto", "L4", "--memory-share", "1.1"), "--memory-share"),
        (("--onto", "L4", "--usd-per-hour", "nan"), "--usd-per-hour"),
        (("--onto", "L4", "--usd-per-hour", "0"), "--usd-per-hour"),
        (("--onto", "L4", "--onto", "T4", "--usd-per-hour", "1"), "one price for several targets"),
        (("--onto", "L4", "--provider", "awz"), "--provider"),
        (("--onto", "L4", "--api", "groq/nothing-like-it"), "--api"),
        (("--onto", "L4", "--format", "yaml"), "--format: unknown format 'yaml'"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else None,
)
def test_bad_input_is_one_line(tmp_path: Path, call: Any, arguments: tuple[str, ...], said: str) -> None:
    run = run_of(tmp_path / "h100", llama_record())
    code, out, err = call("project", run, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("text", ["{}", "[]", "not json", "[1]", '{"schema_version": 1}'])
def test_a_file_without_ceilings(tmp_path: Path, call: Any, text: str) -> None:
    run = run_of(tmp_path / "h100", llama_record())
    (tmp_path / "some.json").write_text(text)
    code, _, err = call("project", run, "--onto", tmp_path / "some.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "holds no measured ceilings" in err


def test_stored_records_without_a_ceiling_are_refused() -> None:
    """Records of the first schema, through the command in a process of its own: their CPU was never measured."""
    done = bench("project", ROOT / "tests" / "data" / "records-v1.jsonl", "--onto", "L4")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: no row to carry (row 1, 2, 3): the ceilings of this CPU are not known: run `bench hardware`"
    )
    assert "Traceback" not in done.stderr


def test_a_run_that_measured_nothing(tmp_path: Path, call: Any) -> None:
    run = run_of(tmp_path / "failed", failed_record())
    code, _, err = call("project", run, "--onto", "L4")
    assert (code, err) == (2, f"error: {run}: no measured row; run its config first\n")
