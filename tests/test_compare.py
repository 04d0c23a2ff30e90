"""`bench compare` from end to end, on the fake: what differs by design is found, what does not is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.cli.sides import Side
from bench.errors import InputError
from bench.metrics.comparison import compare
from bench.report import comparison
from bench.schema import Cell, Environment, Plain, Record, Workload
from tests import samples
from tests.commands import bench, fake_config

SLOW = "{name: fake, prefill_s: 0.02, step_s: [0.010, 0.011]}"
NOISY = "{name: fake, prefill_s: 0.02, step_s: 0.004, noise: {jitter_sd: 0.05, process_sd: 0.03, drift_sd: 0.02}}"


def _run(folder: Path, runners: str, replicates: int, arms: int = 1) -> Path:
    config = fake_config(folder, runners=runners, replicates=replicates)
    config.write_text(config.read_text().replace("output_tokens: 4", "output_tokens: 12") + f"arms: {arms}\n")
    done = bench("run", config, "--out", folder / "run")
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture(scope="module")
def slowed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cells whose steps take 10 and 11 ms, measured in turn."""
    return _run(tmp_path_factory.mktemp("slowed"), SLOW, 4)


@pytest.fixture(scope="module")
def arms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same noisy cell twice."""
    return _run(tmp_path_factory.mktemp("arms"), NOISY, 4, arms=2)


def _quantities(done: Any) -> dict[str, dict[str, Any]]:
    pair = json.loads(done.stdout)["pairs"][0]
    return {one["quantity"]: one for one in pair["quantities"]}


def _journal(folder: Path, records: list[Record]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "records.jsonl").write_text("".join(one.model_dump_json(exclude_none=True) + "\n" for one in records))
    return folder


def _records(
    factors: list[float],
    of: Cell | None = None,
    where: Environment | None = None,
    day: int = 1,
) -> list[Record]:
    """A replicate a minute, each slower than the sample by its factor."""
    found = []
    for index, factor in enumerate(factors):
        one = samples.record(index, of, samples.measurement(factor), where, f"{day}.{factor}.{index}.{id(of)}")
        found.append(one.model_copy(update={"started_at": f"2026-11-{day:02}T12:{index:02}:00+00:00"}))
    return found


@pytest.mark.alone
def test_a_programmed_slowdown_is_found(slowed: Path) -> None:
    """Steps of 11 ms against 10: decode at 0.909 of the rate, prefill unchanged."""
    done = bench("compare", f"{slowed}:step_s=0.01", f"{slowed}:step_s=0.011", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = _quantities(done)
    assert found["decode tok/s"]["ratio"] == pytest.approx(10 / 11, rel=0.05)
    assert found["decode tok/s"]["outcome"] == "lower"
    assert found["decode tok/s"]["paired"] is True
    assert found["prefill tok/s"]["ratio"] == pytest.approx(1, abs=0.05)
    assert found["output tok/s"]["outcome"] == "lower"


@pytest.mark.alone
def test_a_slowdown_beyond_the_limit_fails(slowed: Path) -> None:
    """Exit code 1 and one line a cell; the reverse comparison is faster and passes."""
    a, b = f"{slowed}:step_s=0.01", f"{slowed}:step_s=0.011"
    done = bench("compare", a, b, "--fail-if-slower", "5%")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("slower by 5% or more: pythia-70m fp32 fake")
    assert "step_s 0.01 → 0.011: decode tok/s 0." in line
    assert "slower" in done.stdout
    back = bench("compare", b, a, "--fail-if-slower", "5%")
    assert back.returncode == 0, back.stderr
    assert "faster" in back.stdout
    assert bench("compare", a, b, "--fail-if-slower", "0.3").returncode == 0


@pytest.mark.alone
def test_equal_arms_under_noise_are_paired(arms: Path) -> None:
    """The A/A check for real: no proof of a slowdown of half, whatever the noise."""
    done = bench("compare", f"{arms}:arm=1", f"{arms}:arm=2", "--format", "json", "--fail-if-slower", "50%")
    assert done.returncode == 0, done.stderr
    for one in _quantities(done).values():
        assert one["ratio"] == pytest.approx(1, abs=0.25)
        if one["quantity"] != "peak memory":
            assert (one["paired"], one["n_a"], one["n_b"]) == (True, 4, 4)
            assert one["low"] < one["ratio"] < one["high"]


@pytest.mark.parametrize("form", ["table", "md"])
@pytest.mark.alone
def test_text_forms(arms: Path, form: str, tmp_path: Path) -> None:
    out = tmp_path / "compared.txt"
    done = bench("compare", f"{arms}:arm=1", f"{arms}:arm=2", "--format", form, "--out", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    assert "decode tok/s" in text
    assert "4 pairs" in text
    assert "drift of the machine cancels" in text
    assert (text.startswith("|")) == (form == "md")


def test_separate_runs_are_unpaired_and_say_so(tmp_path: Path) -> None:
    old = _journal(tmp_path / "old", _records([1.0, 1.01, 0.99]))
    new = _journal(tmp_path / "new", _records([1.2, 1.21, 1.19], day=2))
    done = bench("compare", old, new, "--fail-if-slower", "5%")
    assert done.returncode == 1
    assert "unpaired: measured apart" in done.stdout
    assert "0.833" in done.stdout
    assert "another machine" not in done.stdout


def test_cells_of_one_journal_that_were_measured_on_other_days_are_not_pairs(tmp_path: Path) -> None:
    """Replicates of equal number, a day apart: a drift between them would not cancel."""
    fp32 = samples.cell(precision=Plain(name="fp32"))
    run = _journal(tmp_path / "run", _records([1.0, 1.1], day=1) + _records([1.0, 1.1], fp32, day=2))
    done = bench("compare", f"{run}:precision=bf16", f"{run}:precision=fp32", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pairs"][0]["paired"] is False


def test_another_machine_or_instrument_is_said(tmp_path: Path) -> None:
    """The exit code stays, and the line on standard error says that it is no regression of one machine."""
    other = samples.environment(cpu_model="Other CPU").model_copy(update={"instrument": 9})
    old = _journal(tmp_path / "old", _records([1.0, 1.01, 0.99]))
    new = _journal(tmp_path / "new", _records([1.2, 1.21, 1.19], where=other))
    done = bench("compare", old, new, "--fail-if-slower", "5%")
    assert done.returncode == 1
    for text in (" ".join(done.stdout.split()), done.stderr):
        assert "no regression of one" in text
        assert "Other CPU" in text
        assert "instrument 1 and 9" in text


def test_what_cannot_be_excluded_is_said(tmp_path: Path) -> None:
    """Wide intervals prove neither a slowdown nor its absence."""
    old = _journal(tmp_path / "old", _records([1.0, 1.3]))
    new = _journal(tmp_path / "new", _records([1.1, 1.2], day=2))
    done = bench("compare", old, new, "--fail-if-slower", "5%")
    assert done.returncode == 0, done.stderr
    assert "cannot exclude that" in done.stdout
    assert "more replicates" in done.stdout


def test_cells_without_a_partner_are_named_and_many_intervals_get_a_note(tmp_path: Path) -> None:
    cells = [samples.cell(workload=Workload(batch_size=b, input_tokens=8, output_tokens=11)) for b in (1, 2, 4)]
    old = _journal(tmp_path / "old", [r for of in cells for r in _records([1.0, 1.01], of)])
    new = _journal(tmp_path / "new", [r for of in cells[:2] for r in _records([1.0, 1.01], of, day=2)])
    done = bench("compare", old, new)
    assert done.returncode == 0, done.stderr
    assert "A: smollm2-135m bf16 transformers batch 4 8+11 has no partner" in done.stderr
    assert "6 intervals: one in twenty" in done.stdout


def test_one_replicate_has_a_ratio_and_no_interval(tmp_path: Path) -> None:
    old, new = _journal(tmp_path / "old", _records([1.0])), _journal(tmp_path / "new", _records([2.0], day=2))
    done = bench("compare", old, new, "--fail-if-slower", "5%")
    assert done.returncode == 0
    assert "too few replicates" in done.stdout
    assert "cannot exclude" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("{run}:precison=bf16", "{run}"), "A: unknown key 'precison'; did you mean 'precision'?"),
        (("{run}", "{run}:precision=bff16"), "B: no cell with precision=bff16 in {run}; did you mean 'bf16'?"),
        (("{run}:bf16", "{run}"), "A: 'bf16' is no filter"),
        (("{run}:arm=1,arm=2", "{run}"), "A: arm stands in the filter twice"),
        (("{run}/none", "{run}"), "{run}/none: no records.jsonl here"),
        (("{run}", "{run}"), "name the keys in which they may differ"),
        (("{run}", "{run}", "--threshold", "5"), "--threshold: '5' is no share"),
        (("{run}", "{run}", "--fail-if-slower", "much"), "--fail-if-slower: 'much' is no share"),
        (("{run}", "{run}", "--format", "jsn"), "--format: unknown format 'jsn'; did you mean 'json'?"),
        (("{empty}", "{run}"), "A: {empty} holds no measured cell"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    places = {"run": _journal(tmp_path / "run", _records([1.0])), "empty": _journal(tmp_path / "empty", [])}
    done = bench("compare", *(one.format(**places) for one in options))
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said.format(**places) in line


def test_two_cells_of_a_cannot_both_be_the_baseline(tmp_path: Path) -> None:
    cells = [samples.cell(precision=Plain(name=name)) for name in ("bf16", "fp16", "fp32")]
    run = _journal(tmp_path / "run", [r for of in cells for r in _records([1.0, 1.01], of)])
    done = bench("compare", run, f"{run}:precision=fp32")
    assert done.returncode == 2
    assert "A: 2 cells match" in done.stderr
    one_to_many = bench("compare", f"{run}:precision=bf16", run)
    assert one_to_many.returncode == 0, one_to_many.stderr
    assert one_to_many.stdout.count("decode tok/s") == 2


def test_a_model_s_name_may_hold_a_colon(tmp_path: Path) -> None:
    run = _journal(tmp_path / "a:b", _records([1.0, 1.01]) + _records([1.0, 1.01], samples.cell("shape:pythia-70m")))
    done = bench("compare", f"{run}:model=builtin:smollm2-135m", f"{run}:model=pythia-70m")
    assert done.returncode == 0, done.stderr
    assert "smollm2-135m → pythia-70m bf16" in done.stdout


def test_a_peak_is_a_plain_ratio() -> None:
    """Memory is no sample of a distribution: the larger of two peaks over the smaller, and no interval."""
    line = comparison.Line("peak memory", 2e9, 3e9, None)
    assert line.value == 1.5
    assert compare([1.0, 1.1], [2.0, 2.2], paired=True).value == pytest.approx(2)


def _cached(cached: int) -> Cell:
    return samples.cell(workload=Workload(batch_size=2, input_tokens=100, cached_tokens=cached, output_tokens=11))


def test_prefill_counts_what_was_not_cached_as_the_report_does(tmp_path: Path) -> None:
    """The sample's first token comes after the same time in both: of 100 prompt tokens 10 are left, a tenth."""
    run = _journal(tmp_path / "run", _records([1.0, 1.01], _cached(0)) + _records([1.0, 1.01], _cached(90)))
    done = bench("compare", f"{run}:cached_tokens=0", f"{run}:cached_tokens=90", "--format", "json")
    assert done.returncode == 0, done.stderr
    found = _quantities(done)
    assert found["prefill tok/s"]["ratio"] == pytest.approx(0.1, rel=1e-9)
    assert found["decode tok/s"]["ratio"] == pytest.approx(1, rel=1e-9)
    rows = json.loads(bench("report", run, "--format", "json").stdout)["rows"]
    for side, row in zip(("a", "b"), rows, strict=True):
        assert found["prefill tok/s"][side] == pytest.approx(row["prefill_tokens_per_s"], rel=1e-9)
    text = bench("compare", f"{run}:cached_tokens=0", f"{run}:cached_tokens=90").stdout
    assert "100+11 → 100 (90 cached)+11" in text
    assert "prefill tok/s counts the prompt tokens that were not in the cache" in text


def test_a_prompt_that_is_all_cached_has_no_prefill_rate(tmp_path: Path) -> None:
    run = _journal(tmp_path / "run", _records([1.0, 1.01], _cached(0)) + _records([1.0, 1.01], _cached(100)))
    done = bench("compare", f"{run}:cached_tokens=0", f"{run}:cached_tokens=100", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert "prefill tok/s" not in _quantities(done)


def test_a_row_of_breakeven_is_chosen_by_what_was_cached(tmp_path: Path) -> None:
    run = _journal(tmp_path / "run", _records([1.0, 1.01], _cached(0)) + _records([1.0, 1.01], _cached(90)))
    chosen = Side.parse("A", f"{run}:cached_tokens=90").chosen(lambda _: None)
    assert [one.cell.workload.cached_tokens for one in chosen] == [90]
    with pytest.raises(InputError, match="no cell with cached_tokens=9 "):
        Side.parse("A", f"{run}:cached_tokens=9").chosen(lambda _: None)


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    """Every figure stands in each drawing; only names that cannot be broken may stand out."""
    fp32 = samples.cell(precision=Plain(name="fp32"))
    run = _journal(tmp_path / "run", _records([1.0, 1.1]) + _records([1.0, 1.1], fp32))
    a, b = (Side.parse("A", f"{run}:precision={name}").chosen(print)[0] for name in ("bf16", "fp32"))
    found = [comparison.compared(a, b, 0.02)]
    said = comparison.notes(found, 0.02)
    wide, narrow = comparison.render(found, "table", said), comparison.render(found, "table", said, width)
    assert max(len(line) for line in narrow.splitlines()) <= width
    for row in comparison._rows(found[0]):
        for text in row[1:]:
            assert text in wide
            assert " ".join(text.split()) in " ".join(narrow.split()) or text == "–"
    assert comparison.render(found, "md", said, width) == comparison.render(found, "md", said)


def test_a_dry_run_tells_cells_apart(tmp_path: Path) -> None:
    """No two lines are the same but for the id, whatever the matrix is over."""
    config = fake_config(
        tmp_path,
        runners=SLOW,
        workloads="{batch_size: 2, input_tokens: 80, cached_tokens: [0, 70], output_tokens: 4}",
    )
    config.write_text(config.read_text() + "arms: 2\n")
    done = bench("run", config, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = [line.partition("  ")[2] for line in done.stdout.splitlines() if "pythia-70m" in line]
    assert len(set(lines)) == len(lines) == 8
    assert sum("80 in (70 cached)" in line for line in lines) == 4
