"""Steps built from known parts give those parts back; what cannot be told apart is called unknown."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.metrics.explain import Bound, Explanation, Step, Steps, explain, explain_prefill, line
from bench.metrics.statistics import Estimate
from bench.report import rows as rows_of
from bench.report.levels import why
from bench.report.rows import Row
from bench.schema import Ceiling, CostChoices, FourBit, Int8, Plain, Precision, Workload
from bench.schema.quality import Operator, OpKind, PhaseProfile, Profile
from tests import samples

READ_S, ROW_S = 0.008, 0.0005
"""What the programmed bf16 takes to read its weights, and for each row at the device's peak."""


def _estimate(value: float, spread: float | None = 0.01) -> Estimate:
    return (
        Estimate(value, None, None, 1)
        if spread is None
        else Estimate(value, value / (1 + spread), value * (1 + spread), 3)
    )


def _steps(
    label: str,
    of: Mapping[int, float],
    memory_s: float | None = READ_S,
    row_s: float | None = ROW_S,
    spread: float | None = 0.01,
    **more: Any,
) -> Steps:
    at = {
        size: Step(_estimate(value, spread), memory_s, None if row_s is None else row_s * size)
        for size, value in of.items()
    }
    return Steps(label, at, **{"accelerator": True, **more})


def _parts(of: Explanation) -> dict[Bound, float]:
    found: dict[Bound, float] = {}
    for part in of.parts:
        found[part.name] = found.get(part.name, 0.0) + part.seconds
    return found


BF16 = _steps("bf16", {1: 0.028, 4: 0.028, 16: 0.028})
"""8 ms of reading and 20 of starting operators, at any batch."""


def test_the_plain_level_is_reading_and_starting_operators() -> None:
    found = explain(BF16, 1)
    assert _parts(found) == pytest.approx({"memory": 0.008, "launch": 0.020})
    assert found.bound == "launch"
    assert "28.0 ms a step at batch 1: 8.00 reading weights and cache (MBU 29%), 20.0 starting operators" in found.text


def test_a_level_that_dequantises_shares_the_launches_and_has_the_rest_for_itself() -> None:
    """2 ms of reading, 20 of starting operators, 30 of dequantising, at any batch."""
    nf4 = _steps("nf4", {1: 0.052, 4: 0.052, 16: 0.058}, memory_s=0.002, row_s=0.0005, packs="weights")
    found = explain(nf4, 4, BF16)
    # At batch 16 its products, at 8 ms, are the floor: 6 ms more than the 2 of reading.
    assert _parts(found) == pytest.approx({"memory": 0.002, "launch": 0.020, "dequantisation": 0.030})
    assert found.bound == "dequantisation"
    assert "30.0 dequantising nf4 (beyond bf16)" in found.text
    assert "as bf16 spends them" in found.text


def test_what_grows_with_the_rows_is_compute() -> None:
    """A line of 20 + 2·B ms beyond reading."""
    grows = _steps("bf16", {size: 0.028 + 0.002 * size for size in (1, 4, 16)}, row_s=None)
    assert _parts(explain(grows, 1)) == pytest.approx({"memory": 0.008, "launch": 0.020, "compute": 0.002})
    large = explain(grows, 16)
    assert _parts(large) == pytest.approx({"memory": 0.008, "launch": 0.020, "compute": 0.032})
    assert large.bound == "compute"


def test_growth_beyond_the_reference_is_the_levels_own() -> None:
    """Both start operators for 20 ms and compute for 2 ms a row; the level quantises its rows, 3 ms each."""
    plain = _steps("bf16", {size: 0.028 + 0.002 * size for size in (1, 4, 16)}, row_s=None)
    dynamic = _steps("int8", {size: 0.024 + 0.005 * size for size in (1, 4, 16)}, 0.004, None, packs="products")
    found = explain(dynamic, 16, plain)
    assert _parts(found) == pytest.approx({"memory": 0.004, "launch": 0.020, "compute": 0.032, "kernel": 0.048})
    assert found.bound == "kernel"


@pytest.mark.parametrize(
    ("memory_s", "compute_s", "bound"),
    [(0.0061, 0.001, "memory"), (0.001, 0.0061, "compute"), (0.004, 0.001, "launch")],
)
def test_a_floor_near_the_step_is_the_bound(memory_s: float, compute_s: float, bound: Bound) -> None:
    only = Steps("bf16", {1: Step(_estimate(0.010), memory_s, compute_s)}, accelerator=True)
    assert explain(only, 1).bound == bound


@pytest.mark.parametrize(("memory_s", "bound"), [(0.0061, "memory"), (0.0059, "launch")])
def test_a_floor_near_the_step_is_the_bound_although_a_profile_saw_shorter_products(
    memory_s: float, bound: Bound
) -> None:
    """As on a GPU whose cache is faster than its memory: 2 ms in products, 8 in starting operators."""
    only = Steps("bf16", {1: Step(_estimate(0.010), memory_s, None)}, accelerator=True)
    assert explain(only, 1, None, _profile({"product": 0.002}, 0.01)).bound == bound


def test_a_level_without_a_kernel_says_on_what_it_falls_back() -> None:
    kernel = "dequantised to bf16 before each product"
    fp8 = _steps("torchao-fp8wo", {1: 0.3, 16: 0.31}, 0.004, None, packs="weights", kernel=kernel, falls_back=True)
    found = explain(fp8, 1, BF16)
    assert found.bound == "no-kernel"
    assert found.text.endswith("; dequantised to bf16 before each product")
    assert "beyond bf16, for want of a kernel" in found.text
    profile, plain = _profile({"product": 0.1, "dequantise": 0.15}, 0.3), _profile({"product": 0.02}, 0.03)
    assert _parts(explain(fp8, 1, BF16, profile, plain)) == pytest.approx(
        {"memory": 0.004, "kernel": 0.012, "no-kernel": 0.234, "launch": 0.05}
    )


def test_a_difference_within_the_intervals_is_not_claimed() -> None:
    plain = _steps("bf16", {1: 0.028, 4: 0.028}, spread=0.05)
    nf4 = _steps("nf4", {1: 0.0285, 4: 0.0285}, 0.002, None, spread=0.05, packs="weights")
    found = explain(nf4, 1, plain)
    assert "dequantisation" not in _parts(found)
    assert "what it takes beyond bf16 is within the intervals" in found.text
    assert "dequantisation" in _parts(
        explain(replace(nf4, at={1: nf4.at[1]}), 1, _steps("bf16", {1: 0.02}, spread=0.05))
    )


def test_on_a_cpu_launches_and_slow_kernels_are_not_told_apart() -> None:
    found = explain(_steps("bf16", {1: 0.028, 4: 0.028}, accelerator=False), 1)
    assert _parts(found) == pytest.approx({"memory": 0.008, "unknown": 0.020})
    assert found.bound == "unknown"
    assert "--explain tells them apart" in found.text


def test_less_is_claimed_where_something_is_missing() -> None:
    one = explain(_steps("bf16", {1: 0.028}), 1)
    assert "one batch size: how it grows is not known" in one.text
    unheld = explain(_steps("bf16", {1: 0.028, 4: 0.028}, None, None), 1)
    assert unheld.bound == "unknown"
    assert "no ceiling is known" in unheld.text
    alone = explain(_steps("nf4", {1: 0.028, 4: 0.03}, packs="weights"), 1)
    assert set(_parts(alone)) == {"memory", "unknown"}
    assert "no plain level beside it" in alone.text


def test_figures_of_a_cpu_come_out_as_they_are_known() -> None:
    """On two cores with 31.6 GB/s and 399 GFLOP/s in bf16: int8 slower than bf16, nf4 faster, fp8 without a kernel."""
    shared: dict[str, Any] = {"spread": 0.03, "accelerator": False, "row_s": 0.27e9 / 399e9}
    bf16 = _steps("bf16", {1: 0.046, 4: 0.062, 16: 0.102}, 0.0085, **shared)
    int8 = explain(_steps("int8", {1: 0.072, 4: 0.108, 16: 0.169}, 0.0052, packs="products", **shared), 1, bf16)
    assert int8.bound in ("kernel", "unknown")
    assert _parts(int8)["kernel"] == pytest.approx(0.029, abs=0.004)
    nf4 = explain(_steps("nf4", {1: 0.033, 4: 0.047, 16: 0.096}, 0.0035, packs="weights", **shared), 1, bf16)
    assert "dequantisation" not in _parts(nf4)
    fp8 = explain(_steps("torchao-fp8wo", {1: 0.307}, 0.0052, packs="weights", falls_back=True, **shared), 1, bf16)
    assert fp8.bound == "no-kernel"
    assert explain(bf16, 16).bound == "compute"
    for one in (int8, nf4, fp8):
        assert sum(part.seconds for part in one.parts) == pytest.approx(one.step_s)


def _profile(
    kinds: Mapping[OpKind, float], wall_s: float, steps: int = 4, prefill: Mapping[OpKind, float] | None = None
) -> Profile:
    """`kinds`: seconds a step."""
    own = {kind: seconds * steps for kind, seconds in kinds.items()}
    first: dict[OpKind, float] = dict(prefill or {"product": 0.06, "dequantise": 0.03})
    operators = (Operator(name="aten::mm", kind="product", calls=10 * steps, self_s=own.get("product", 0.0)),)
    return Profile(
        facts=samples.facts(),
        device="cpu",
        prefill=PhaseProfile(steps=1, wall_s=0.1, busy_s=sum(first.values()), calls=50, by_kind_s=first),
        decode=PhaseProfile(
            steps=steps,
            wall_s=wall_s * steps,
            busy_s=sum(own.values()),
            calls=100 * steps,
            by_kind_s=own,
            operators=operators,
        ),
    )


def test_a_profile_tells_the_parts_apart() -> None:
    """9 ms in products of which 8 must be, 6 dequantising, 3 in small operators; the profiler made 28 ms into 40."""
    profile = _profile({"product": 0.009, "dequantise": 0.006, "elementwise": 0.003, "other": 0.004}, 0.040)
    found = explain(_steps("nf4", {1: 0.028}, packs="weights", accelerator=False), 1, None, profile)
    assert _parts(found) == pytest.approx({"memory": 0.008, "kernel": 0.001, "dequantisation": 0.006, "launch": 0.013})
    assert found.bound == "launch"
    assert "starting 100 operators, 4.00 of views and calls seen" in found.text


def test_dequantising_inside_the_products_is_what_they_take_beyond_the_plain_ones() -> None:
    """18 ms beyond its floor; the plain level's products are 2 ms beyond theirs."""
    profile, plain = _profile({"product": 0.020, "dequantise": 0.0005}, 0.03), _profile({"product": 0.010}, 0.03)
    nf4 = _steps("nf4", {1: 0.028}, memory_s=0.002, packs="weights")
    found = explain(nf4, 1, BF16, profile, plain)
    assert _parts(found)["dequantisation"] == pytest.approx(0.0165)
    assert _parts(found)["kernel"] == pytest.approx(0.002)
    assert "inside its products (beyond bf16)" in found.text
    without = explain(nf4, 1, BF16, profile)
    assert _parts(without)["kernel"] == pytest.approx(0.018)


def test_products_no_slower_than_the_plain_ones_are_not_laid_to_the_format() -> None:
    """On a CPU bf16's own products are far from the ceiling: what a level's take below that is no dequantising."""
    profile, plain = _profile({"product": 0.016, "attention": 0.005}, 0.03), _profile({"product": 0.025}, 0.03)
    found = explain(_steps("torchao-int4wo", {1: 0.031}, packs="weights"), 1, BF16, profile, plain)
    assert _parts(found) == pytest.approx({"memory": 0.008, "kernel": 0.013, "launch": 0.010})
    assert found.bound == "kernel"


def test_work_that_a_profiler_slowed_is_scaled_to_the_step() -> None:
    found = explain(_steps("bf16", {1: 0.02}), 1, None, _profile({"product": 0.03, "attention": 0.01}, 0.05))
    assert _parts(found) == pytest.approx({"memory": 0.008, "kernel": 0.012})


@given(
    step_s=st.floats(1e-5, 10), memory=st.floats(0, 2), compute=st.floats(0, 2), other=st.floats(0.1, 3),
    grows=st.floats(0, 2), packs=st.sampled_from(["nothing", "weights", "products"]), product=st.floats(0, 3),
)  # fmt: skip
def test_parts_always_add_up_and_none_is_negative(
    step_s: float, memory: float, compute: float, other: float, grows: float, packs: Any, product: float
) -> None:
    of = {1: step_s, 8: step_s * (1 + grows)}
    level = _steps("x", of, memory * step_s, compute * step_s / 8, packs=packs)
    base = _steps("bf16", {size: value * other for size, value in of.items()}, memory * step_s, compute * step_s / 8)
    profile = _profile({"product": product * step_s, "dequantise": grows * step_s}, 5 * step_s)
    beside = _profile({"product": other * step_s}, 5 * step_s)
    for found in (
        explain(level, 8, base), explain(level, 1), explain(level, 1, base, profile),
        explain(level, 1, base, profile, beside),
    ):  # fmt: skip
        assert sum(part.seconds for part in found.parts) == pytest.approx(
            step_s * (1 + grows) if found.step_s == of[8] else step_s
        )
        assert all(part.seconds > 0 for part in found.parts)


def test_a_line_never_goes_below_zero() -> None:
    assert line([1, 2], [3.0, 5.0]) == pytest.approx((1.0, 2.0))
    assert line([1, 2], [5.0, 3.0]) == pytest.approx((4.0, 0.0))
    assert line([1, 2], [0.0, 5.0]) == pytest.approx((0.0, 2.0))


def test_the_prefill_says_its_share_of_the_peak_and_what_the_format_costs() -> None:
    level = Steps("nf4", packs="weights")
    said = explain_prefill(level, _estimate(0.150), 0.25, ("bf16", _estimate(0.120)))
    assert said == "prefill 150 ms (MFU 25%); 30.0 ms more than bf16's 120, the cost of its format"
    unsure = explain_prefill(level, _estimate(0.121), None, ("bf16", _estimate(0.120)))
    assert unsure == "prefill 121 ms; not told apart from bf16's 120 (within the intervals)"
    seen = explain_prefill(level, _estimate(0.150), 0.25, ("bf16", _estimate(0.100)), _profile({}, 0.1))
    assert "of it products 60%, dequantising 30%" in seen


def _rows() -> list[Row]:
    """Three levels at two batch sizes: nf4 takes 0.8 and int8 1.5 times the time of bf16."""
    ceiling = Ceiling(device="cpu", read_bytes_per_s=31.6e9, gemm_flops_per_s={"bf16": 399e9, "int8": 677e9})
    records = []
    levels: dict[Precision, float] = {Plain(name="bf16"): 1.0, FourBit(name="nf4"): 0.8, Int8(name="int8"): 1.5}
    for precision, factor in levels.items():
        for size in (1, 8):
            cell = samples.cell(
                precision=precision, workload=Workload(batch_size=size, input_tokens=100, output_tokens=11)
            )
            for at in range(3):
                took = samples.measurement(factor * (1 + 0.001 * at) * (1 + size / 16))
                records.append(samples.record(at, cell, took))
    return rows_of.rows(records, CostChoices(), ceiling_of=lambda *_: (ceiling, "a test"))


def test_rows_are_explained_by_the_rows_beside_them() -> None:
    rows = _rows()
    found = why.explanations(rows)
    assert sorted(found) == list(range(6))
    for index, one in found.items():
        of = rows[index].figures
        assert of is not None
        assert of.tpot_s is not None
        assert sum(part.seconds for part in one.parts) == pytest.approx(of.tpot_s.value)
        assert "Prefill" in one.text
    said = why.sentences(rows)
    assert [one.partition(":")[0] for one in said] == ["bf16", "nf4", "int8"]
    assert "decode at 1.25 × the speed of bf16 at batch 1" in said[1]
    assert "decode at 0.667 × the speed of bf16 at batch 1" in said[2]
    assert "kernel" in {part.name for part in found[4].parts}


def test_a_profiled_row_has_a_table_of_its_operators() -> None:
    rows = _rows()
    headings, none = why.profile_table(rows)
    assert none == []
    rows[2] = replace(rows[2], profile=_profile({"product": 0.02, "dequantise": 0.01}, 0.05))
    _, lines = why.profile_table(rows)
    assert lines == [("nf4", "1", "decode", "aten::mm", "product", "40%", "10.0")]
    assert len(headings) == len(lines[0])
    assert "dequantisation" in {part.name for part in why.explanations(rows)[2].parts}
