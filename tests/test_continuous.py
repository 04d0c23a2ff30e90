"""A batch that the engine schedules itself: rows begin as others end, and only figures of the whole batch exist."""

from functools import cache
from pathlib import Path

import pytest

from bench.errors import BrokenContractError, UnsupportedError
from bench.measure import offline
from bench.metrics import enough, latency, verdict
from bench.report.rows import Row, rows
from bench.report.table import batch
from bench.runners import OnStep
from bench.runners.fake import FakeRunner, Options
from bench.schema import Cell, CostChoices, Measurement, Model, Plain, Protocol, Round, RunnerChoice, Workload
from tests import samples
from tests.commands import bench, lines

ROWS, NEW, SLOTS = 6, 5, 4
WORK = Workload(batch_size=ROWS, input_tokens=8, output_tokens=NEW, scheduling="continuous")


def fake(**options: object) -> FakeRunner:
    return FakeRunner(
        Model(source="shape:pythia-70m"), Plain(name="bf16"), Options.model_validate({"step_s": 0.0005, **options})
    )


def cell(work: Workload = WORK, runner: str = "fake") -> Cell:
    choice = RunnerChoice(name=runner, options=Options(step_s=0.0005, slots=SLOTS).model_dump(mode="json"))
    model, protocol = Model(source="shape:pythia-70m"), Protocol(rounds=3, memory_pass=False)
    made = Cell(model=model, precision=Plain(name="bf16"), runner=choice, workload=work, protocol=protocol)
    return made.identified({"slots": SLOTS})


@cache
def measured() -> Measurement:
    return offline.measure(cell(), 0, fake(slots=SLOTS), lambda *_: None)


def test_rows_begin_as_others_end() -> None:
    """Six rows in four slots: four decode, then the two that waited."""
    steps: list[int] = []
    tokens = fake(slots=SLOTS).generate_continuously([[1] * 8] * ROWS, NEW, steps.append)
    assert [len(row) for row in tokens] == [NEW] * ROWS
    assert steps == [4] * NEW + [2] * NEW


def test_a_round_keeps_how_many_rows_each_step_had() -> None:
    found = measured()
    assert all(one.step_rows == (4,) * NEW + (2,) * NEW for one in found.rounds)
    assert all(len(one.step_s) == 2 * NEW for one in found.rounds)
    assert found.memory.kv_cache_bytes is None
    assert "at once" in found.memory.reasons["kv_cache_bytes"]


def test_only_the_whole_batch_has_a_time() -> None:
    times = latency.of_round(Round(step_s=(0.1, 0.2, 0.9), step_rows=(2, 2, 1), done_s=1.0))
    assert (times.ttft_s, times.decode_s, times.tpot_s, times.e2el_s) == (None, None, None, 0.9)
    assert latency.middle([times, times]).e2el_s == 0.9


def test_the_rule_for_stopping_looks_at_that_time_alone() -> None:
    whole = [latency.of_round(Round(step_s=(0.1, at), step_rows=(2, 2), done_s=at)) for at in (1.0, 1.1, 0.9)]
    static = [latency.of_round(Round(step_s=(at / 9, at), done_s=at)) for at in (1.0, 1.1, 0.9)]
    assert enough.half_width(whole) == pytest.approx(enough.half_width(static))


def test_steps_of_few_rows_are_no_bunches() -> None:
    stamps = (0.1, 0.2, 0.3, 0.4, 0.401, 0.402, 0.403)
    static, continuous = ([Round(step_s=stamps, step_rows=one, done_s=0.5)] for one in (None, (4, 4, 4, 4, 1, 1, 1)))

    def codes(rounds: list[Round]) -> set[str]:
        made = [measured().model_copy(update={"rounds": tuple(rounds)}) for _ in range(2)]
        return {reason.code for reason in verdict.judge(made)}

    assert "bunched" in codes(static)
    assert "bunched" not in codes(continuous)


def row() -> Row:
    """Of stamps that are made up: a busy machine would leave no dollars."""
    times = [tuple((index + 1) * (0.01 + 0.00001 * of) for index in range(2 * NEW)) for of in range(3)]
    rounds = [
        Round(step_s=one, step_rows=(4,) * NEW + (2,) * NEW, done_s=one[-1], tokens_sha256=f"{one[0]}") for one in times
    ]
    base = samples.measurement()
    records = [
        samples.record(index, of=cell(), measured=base.model_copy(update={"rounds": (one,)}))
        for index, one in enumerate(rounds)
    ]
    (found,) = rows(records, CostChoices(usd_per_hour=1.0))
    return found


def test_its_row_has_no_phases_and_says_why() -> None:
    found = row()
    figures = found.figures
    assert figures is not None
    assert (figures.ttft_s, figures.tpot_s, figures.prefill_tokens_per_s, figures.decode_tokens_per_s) == (None,) * 4
    assert figures.output_tokens_per_s.value == pytest.approx(ROWS * NEW / figures.e2el_s.value)
    assert figures.roofline.work is None
    assert "continuously" in (figures.roofline.reason or "")
    assert batch(found) == "6 continuous"


def test_its_dollars_add_up_by_an_assumed_ratio() -> None:
    """Prefill and decode overlap, so no measured time tells them apart."""
    found = row()
    assert found.figures is not None
    assert found.dollars is not None
    assert found.dollars.method == "ratio"
    assert "overlap" in found.dollars.split
    assert found.dollars.input_usd_per_mtok is not None
    assert found.dollars.output_usd_per_mtok is not None
    ratio = found.dollars.output_usd_per_mtok.value / found.dollars.input_usd_per_mtok.value
    assert ratio == pytest.approx(CostChoices().price_ratio)
    parts = found.dollars.input_usd_per_mtok.value * 8 + found.dollars.output_usd_per_mtok.value * NEW
    bill = found.figures.e2el_s.value / 3600
    assert ROWS * parts / 1e6 == pytest.approx(bill)


class Wrong(FakeRunner):
    """Tells of one token too many, or of more rows than there are."""

    def __init__(self, rows: int) -> None:
        super().__init__(Model(source="shape:pythia-70m"), Plain(name="bf16"), Options())
        self._rows = rows

    def generate_continuously(self, prompts: object, output_tokens: int, on_step: OnStep) -> list[list[int]]:
        for left in range(ROWS * NEW, 0, -self._rows):
            on_step(min(self._rows, left))
        if self._rows == 1:
            on_step(1)
        return [[0] * NEW] * ROWS


@pytest.mark.parametrize(("rows", "says"), [(1, "reported 31 tokens"), (10, "to 10 rows")])
def test_a_runner_that_miscounts_is_found_out(rows: int, says: str) -> None:
    with pytest.raises(BrokenContractError, match=says):
        offline.timed_round(Wrong(rows), [[1] * 8] * ROWS, WORK)


def test_a_runner_that_schedules_nothing_says_so() -> None:
    class Static:
        ENGINE = ()

    with pytest.raises(UnsupportedError, match="static batches alone"):
        offline.measure(cell(runner="static"), 0, Static(), lambda *_: None)  # type: ignore[arg-type]


CONFIG = """
models: shape:pythia-70m
precisions: [bf16]
runners: {name: fake, step_s: 0.0005, slots: 4}
workloads:
  - {batch_size: 6, input_tokens: 8, output_tokens: 4, scheduling: [static, continuous]}
replicates: 2
sampling: {max_replicates: 2}
protocol: {rounds: 1, warmup_rounds: 0, memory_pass: false}
cost: {usd_per_hour: 1.0}
"""


def test_both_ways_stand_beside_each_other(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text(CONFIG)
    done = bench("run", str(path), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "6 continuous" in done.stdout
    assert "prefill and decode overlap" in " ".join(done.stdout.split())
    assert "output tok/s" in done.stdout
    found = lines(tmp_path / "out")
    assert sorted(one["cell"]["workload"].get("scheduling", "static") for one in found) == [
        *("continuous", "continuous"),
        *("static", "static"),
    ]
    for form in ("csv", "json", "md"):
        shown = bench("report", str(tmp_path / "out"), "-f", form)
        assert shown.returncode == 0, shown.stderr
    out = tmp_path / "out"
    compared = bench("compare", f"{out}:scheduling=static", f"{out}:scheduling=continuous")
    assert compared.returncode == 0, compared.stderr
    assert "output tok/s" in compared.stdout
    assert "prefill tok/s" not in compared.stdout
    page = bench("report", str(tmp_path / "out"), "-o", str(tmp_path / "page.html"))
    assert page.returncode == 0, page.stderr
    assert "batch 6 continuous" in (tmp_path / "page.html").read_text()


def test_cached_tokens_are_refused_with_it(tmp_path: Path) -> None:
    path = tmp_path / "cached.yaml"
    path.write_text(CONFIG.replace("scheduling: [static, continuous]", "scheduling: continuous, cached_tokens: 4"))
    done = bench("run", str(path), "--dry-run")
    assert done.returncode == 2
    assert "not with scheduling: continuous" in done.stderr
    assert "Traceback" not in done.stderr
