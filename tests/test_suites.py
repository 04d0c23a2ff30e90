"""Suites: many configs within one budget, with an estimate before, on another day the rest, and a summary after."""

import os
import re
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import jsonschema
import pytest
import yaml

from bench.cli import suite_members
from bench.cli.suite import Asked
from bench.errors import InputError
from bench.execute.estimate import Range, expected
from bench.execute.run import Measured
from bench.execute.spending import Rates, Spending, Tally, assumed
from bench.plan import expand, read, suite_schema
from bench.plan import suite as suites
from bench.plan.suite_folder import members, read_suite
from bench.schema import CostChoices, RunnerChoice
from tests import samples
from tests.commands import ROOT, bench, command, lines
from tests.programmed_suites import Machine, called, config, machine, row, suite

__all__ = ["machine"]

SUITES = sorted((ROOT / "configs/suites").glob("*.yaml"))
UNSUPPORTED = "{name: fake, step_s: 1, trouble: unsupported}"


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A suite of three configs with cells of 10, 20 and 5 seconds, two replicates each: 70 s in all."""
    config(tmp_path, "a")
    config(tmp_path, "b", "{name: fake, step_s: 20}")
    config(tmp_path, "c", "{name: fake, step_s: 5}")
    return suite(tmp_path, "configs: [a.yaml, b.yaml, c.yaml]\n")


def hours(seconds: float) -> str:
    return repr(seconds / 3600)


# --- running, and going on -------------------------------------------------------------------------------------------


def test_members_run_in_their_order_and_are_summed_up(three: Path, machine: Machine, tmp_path: Path) -> None:
    """Each in a folder of its own; time and dollars are those of the programmed processes."""
    done = called("run", three, "--out", tmp_path / "out")
    assert done.code == 0, done.errors
    assert machine.seconds() == [10, 10, 20, 20, 5, 5]
    assert [one.parent.name for one in sorted((tmp_path / "out").glob("*/records.jsonl"))] == ["a", "b", "c"]
    assert row(done.out, "a")[:7] == ["a", "1", "1", "0", "0", "2", "20"]
    assert row(done.out, "all")[:11] == ["all", "3", "3", "0", "0", "6", "1", "min", "10", "s", "0.700"]
    assert "| b " in (tmp_path / "out/summary.md").read_text()
    a_batch_usd, its_tokens = 36 / 3600, 2 * (8 + 11)
    assert row(done.out, "b")[9] == f"{a_batch_usd / its_tokens * 1e6:.0f}–263"


def test_the_same_command_has_nothing_left_to_do(three: Path, machine: Machine, tmp_path: Path) -> None:
    called("run", three, "--out", tmp_path / "out")
    again = called("run", three, "--out", tmp_path / "out")
    assert again.code == 0
    assert len(machine.jobs) == 6
    assert "nothing is left to measure" in again.errors
    assert row(again.out, "a", 0)[-2:] == ["all", "done"]
    assert row(again.out, "all")[5] == "6"


def test_hours_end_it_and_a_larger_budget_goes_on(three: Path, machine: Machine, tmp_path: Path) -> None:
    """No process begins that would end after the budget: of 45 s, b's second replicate would take 20 of the 5 left, and
    c has not run, so that nobody knows how long it takes."""
    first = called("run", three, "--out", tmp_path / "out", "--budget-hours", hours(45))
    assert first.code == 0
    assert machine.seconds() == [10, 10, 20, 5]
    assert row(first.out, "b")[:6] == ["b", "1", "0", "0", "1", "1"]
    assert "b, c wait; the same command with a larger --budget-hours goes on" in first.out
    assert read_suite(tmp_path / "out", print).sessions[0].ended == "budget"  # type: ignore[union-attr]
    machine.now_s += 86_400  # the next day
    called("run", three, "--out", tmp_path / "out", "--budget-hours", hours(45))
    assert len(machine.jobs) == 4, "what the first session took counts in the second"
    last = called("run", three, "--out", tmp_path / "out", "--budget-hours", hours(70))
    assert machine.seconds()[4:] == [20, 5]
    assert row(last.out, "all")[1:6] == ["3", "3", "0", "0", "6"]
    assert "1 min 10 s of 1 min 10 s taken" in last.out


def test_dollars_end_it_too(three: Path, machine: Machine, tmp_path: Path) -> None:
    """At $36 an hour a second is a cent: 45 cents are 45 seconds."""
    done = called("run", three, "--out", tmp_path / "out", "--budget-usd", "0.45")
    assert machine.seconds() == [10, 10, 20, 5]
    assert done.code == 0
    assert "with a larger --budget-usd goes on" in done.out
    assert "$0.450 of $0.45 taken" in done.out


def test_a_long_cell_waits_while_short_ones_go_on(tmp_path: Path, machine: Machine) -> None:
    """Within a member the budget is spent on what still fits."""
    config(tmp_path, "mixed", "{name: fake, step_s: [50, 4]}")
    path = suite(tmp_path, "configs: mixed.yaml\n")
    done = called("run", path, "--out", tmp_path / "out", "--budget-hours", hours(60))
    assert sorted(machine.seconds()) == [4, 4, 50]
    assert row(done.out, "mixed")[1:6] == ["2", "1", "0", "1", "3"]


def test_a_member_that_cannot_run_does_not_stop_the_others(tmp_path: Path, machine: Machine) -> None:
    config(tmp_path, "bad", UNSUPPORTED)
    config(tmp_path, "good")
    path = suite(tmp_path, "configs: [bad.yaml, good.yaml]\n")
    done = called("run", path, "--out", tmp_path / "out")
    assert done.code == 0
    assert row(done.out, "bad")[:6] == ["bad", "1", "0", "1", "0", "0"]
    assert "not on this machine" in " ".join(row(done.out, "bad"))
    assert row(done.out, "good")[2] == "1"
    strict = called("run", path, "--out", tmp_path / "out", "--strict")
    assert strict.code == 3
    assert "doubt: bad: row 1, pythia-70m fp32: unsupported" in strict.errors


def test_the_cheapest_of_all_is_named_where_the_same_was_asked(tmp_path: Path, machine: Machine) -> None:
    """At half the price of the hour a member is cheaper; at the same price they cannot be told apart; other lengths are
    no comparison."""
    config(tmp_path, "a")
    config(tmp_path, "b", "{name: fake, step_s: 20}")
    half = suite(tmp_path, "configs: [a.yaml, {config: b.yaml, cost: {usd_per_hour: 18}}]\ncost: {usd_per_hour: 36}\n")
    done = called("run", half, "--out", tmp_path / "out")
    assert "the cheapest of all: b\n" in done.out
    assert "dollars of a: $36 per hour as stated\ndollars of b: $18 per hour as stated\n" in done.out
    same = suite(tmp_path, "configs: [a.yaml, b.yaml]\n")
    done = called("run", same, "--out", tmp_path / "out")
    assert "the cheapest of all: a; by the intervals it may as well be b\n" in done.out
    path = tmp_path / "b.yaml"
    path.write_text(path.read_text().replace("input_tokens: 8", "input_tokens: 9"))
    assert "the cheapest of all" not in called("run", same, "--out", tmp_path / "out").out


def test_a_suite_of_which_nothing_can_run_ends_with_2(tmp_path: Path, machine: Machine) -> None:
    config(tmp_path, "bad", UNSUPPORTED)
    done = called("run", suite(tmp_path, "configs: bad.yaml\n"), "--out", tmp_path / "out")
    assert done.code == 2
    assert "no member could be measured" in done.errors
    assert len(machine.jobs) == 1


def test_an_interrupt_keeps_everything_and_sums_it_up(three: Path, machine: Machine, tmp_path: Path) -> None:
    def stop(job: object) -> None:
        if len(machine.jobs) == 3:
            raise KeyboardInterrupt

    machine.before = stop
    done = called("run", three, "--out", tmp_path / "out")
    assert done.code == 130
    assert "the same command goes on from there" in done.errors
    assert row(done.out, "b")[1:6] == ["1", "0", "0", "1", "1"]
    assert read_suite(tmp_path / "out", print).sessions[0].ended == "stopped"  # type: ignore[union-attr]
    machine.before = lambda _: None
    assert called("run", three, "--out", tmp_path / "out").code == 0
    assert machine.seconds() == [10, 10, 20, 20, 5, 5]


def test_what_passes_between_records_counts(three: Path, machine: Machine, tmp_path: Path) -> None:
    """Two seconds before each process, such as fetching a model, are taken from the budget too."""

    def slowly(_: object) -> None:
        machine.now_s += 2

    machine.before = slowly
    done = called("run", three, "--out", tmp_path / "out")
    assert row(done.out, "all")[6:10] == ["1", "min", "22", "s"]
    stored = read_suite(tmp_path / "out", print)
    assert stored is not None
    assert stored.sessions[0].between_s == {"a": 4, "b": 4, "c": 4}


def test_only_some_members_and_fresh(three: Path, machine: Machine, tmp_path: Path) -> None:
    """`--only` names members; with it `--fresh` sets those aside, and without it the whole suite."""
    out = tmp_path / "out"
    called("run", three, "--out", out, "--only", "b", "--only", "c")
    assert machine.seconds() == [20, 20, 5, 5]
    called("run", three, "--out", out, "--only", "c", "--fresh")
    assert machine.seconds()[4:] == [5, 5]
    assert len(list(out.glob("c.*"))) == 1
    assert called("run", three, "--out", out, "--fresh").code == 0
    assert machine.seconds()[6:] == [10, 10, 20, 20, 5, 5]
    assert len(list(tmp_path.glob("out.*"))) == 1
    wrong = called("run", three, "--out", out, "--only", "bb")
    assert wrong.code == 2
    assert "--only: no member 'bb' in this suite; did you mean 'b'?" in wrong.errors


def test_retry_failed_runs_them_again(tmp_path: Path, machine: Machine) -> None:
    config(tmp_path, "bad", UNSUPPORTED)
    path = suite(tmp_path, "configs: bad.yaml\n")
    called("run", path, "--out", tmp_path / "out")
    called("run", path, "--out", tmp_path / "out")
    assert len(machine.jobs) == 1
    called("run", path, "--out", tmp_path / "out", "--retry-failed")
    assert len(machine.jobs) == 2


def test_what_changed_since_is_said(three: Path, machine: Machine, tmp_path: Path) -> None:
    """A config that was edited, another engine, and a member that left: its time counts all the same."""
    out = tmp_path / "out"
    called("run", three, "--out", out)
    config(tmp_path, "a", "{name: fake, step_s: [10, 3]}")
    suite(tmp_path, "configs: [a.yaml, c.yaml]\n")
    journal = out / "c/records.jsonl"
    journal.write_text(journal.read_text().replace('"python":"3', '"python":"2'))
    done = called("run", three, "--out", out)
    assert "a: its config was changed since it last ran: 1 cells are new, 0 left it" in done.errors
    assert "c: 2 measurements of another machine or version will not count (other python)" in done.errors
    assert machine.seconds()[6:] == [3, 3, 5, 5]
    assert row(done.out, "all")[6:10] == ["1", "min", "26", "s"]
    assert members(out) == [out / "a", out / "c", out / "b"]


def test_a_dry_run_estimates_and_stores_nothing(three: Path, machine: Machine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = called("run", three, "--out", out, "--dry-run", "--budget-hours", "0.0001")
    assert done.code == 0
    assert not out.exists()
    assert machine.jobs == []
    assert row(done.out, "all", 0)[1:5] == ["3", "0", "0", "3"]
    assert "the budget will not do for everything (time); what fits runs, in this order" in done.out
    assert "dollars: $36 per hour as stated" in done.out


def test_a_report_takes_a_suites_folder(three: Path, machine: Machine, tmp_path: Path) -> None:
    called("run", three, "--out", tmp_path / "out")
    done = called("report", tmp_path / "out", "-f", "csv")
    assert done.code == 0, done.errors
    assert len(done.out.splitlines()) == 1 + 3


def test_two_sessions_at_once_are_refused(three: Path, machine: Machine, tmp_path: Path) -> None:
    """The second ends before it touches anything."""
    found = []

    def again(_: object) -> None:
        machine.before = lambda _: None
        found.append(called("run", three, "--out", tmp_path / "out"))

    machine.before = again
    assert called("run", three, "--out", tmp_path / "out").code == 0
    assert found[0].code == 2
    assert "this suite is running already" in found[0].errors
    assert len(machine.jobs) == 6


def test_a_broken_or_lost_suite_json_loses_no_record(three: Path, machine: Machine, tmp_path: Path) -> None:
    out = tmp_path / "out"
    called("run", three, "--out", out)
    (out / "suite.json").write_text("{")
    done = called("run", three, "--out", out)
    assert "suite.json: broken; of what the suite has taken only its records are known" in done.errors
    assert row(done.out, "all")[6:10] == ["1", "min", "10", "s"]
    assert len(machine.jobs) == 6


# --- real processes --------------------------------------------------------------------------------------------------


def test_real_processes(tmp_path: Path) -> None:
    """One member that is measured and one that cannot be, as a person calls it."""
    config(tmp_path, "bad", "{name: fake, trouble: unsupported}")
    config(tmp_path, "good", "{name: fake, step_s: 0.001}")
    path = suite(tmp_path, "configs: [good.yaml, bad.yaml]\nbudget: {hours: 1, usd: 5}\n")
    done = bench("run", path, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert [one["status"] for one in lines(tmp_path / "out/good")] == ["ok", "ok"]
    assert row(done.stdout, "good")[:6] == ["good", "1", "1", "0", "0", "2"]
    taken = sum(one["elapsed_s"] for one in lines(tmp_path / "out/good") + lines(tmp_path / "out/bad"))
    stored = read_suite(tmp_path / "out", print)
    assert stored is not None
    assert 0 < sum(stored.sessions[0].between_s.values()) < 60
    assert f"{timedelta(seconds=round(taken))}"[:4] == "0:00"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_suite_that_is_ended_half_way_goes_on(tmp_path: Path, how: signal.Signals) -> None:
    """In the middle of the second member: nothing is measured twice, and what was taken is known."""
    for name in ("a", "b"):
        config(tmp_path, name, "{name: fake, step_s: [0.001, 0.002]}")
    path, out = suite(tmp_path, "configs: [a.yaml, b.yaml]\n"), tmp_path / "out"
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts background jobs with it ignored
    process = subprocess.Popen(command("run", path, "--out", out), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, usual)
    end = time.monotonic() + 60
    while not (out / "b/records.jsonl").is_file() or not lines(out / "b"):
        assert time.monotonic() < end
        time.sleep(0.02)
    os.kill(process.pid, how)
    process.communicate(timeout=60)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL)
    before = len(lines(out / "a")) + len(lines(out / "b"))
    done = bench("run", path, "--out", out)
    assert done.returncode == 0, done.stderr
    assert row(done.stdout, "all")[1:6] == ["4", "4", "0", "0", "8"]
    assert len(lines(out / "a")) == len(lines(out / "b")) == 4
    assert before < 8
    stored = read_suite(out, print)
    assert stored is not None
    assert [one.ended for one in stored.sessions] == ["stopped" if how == signal.SIGINT else "running", "done"]


# --- estimates and money ---------------------------------------------------------------------------------------------


def test_an_estimate_has_two_ends(tmp_path: Path) -> None:
    """Nothing measured: the limits. Cells alike: their mean. Own records: the rule for stopping."""
    sweep = read.sweep(config(tmp_path, "a"))
    cells = list(expand.cells(sweep))
    unknown = {cell.cell_id: Measured() for cell in cells}
    blind = expected(cells, sweep, unknown, {})
    assert (blind.seconds, blind.based) == (Range(2, None, 1001), "limits only")
    kind = (cells[0].runner.name, cells[0].model.model_dump_json())
    assert expected(cells, sweep, unknown, {kind: 7.0}).seconds == Range(2, 14, 1001)
    one = samples.record(of=cells[0])
    known = Measured()
    known.add(one, tmp_path)
    found = expected(cells, sweep, {cells[0].cell_id: known}, {})
    assert (found.seconds, found.left, found.based) == (Range(9.5, 9.5, 9.5), 1, "own records")
    known.add(one.model_copy(update={"replicate": 1}), tmp_path)
    found = expected(cells, sweep, {cells[0].cell_id: known}, {})
    assert (found.seconds, found.done, found.based) == (Range(), 1, "all done")


def test_what_records_took_is_priced_by_what_they_used() -> None:
    """Of a list, an accelerator that a record used; a stated price whatever it used; none where nobody offers one."""
    listed = Rates(CostChoices())
    on_gpu = samples.measurement(of=samples.facts({"cuda:0": 10}))
    gpu = samples.record(measured=on_gpu, where=samples.environment([samples.H100]))
    cpu = samples.record(where=samples.environment([samples.H100]))
    by_gpu, by_cpu = listed.of(gpu), listed.of(cpu)
    assert by_gpu is not None
    assert by_cpu is not None
    assert by_gpu > 10 * by_cpu
    assert Rates(CostChoices(usd_per_hour=2.0)).of(gpu) == 2.0
    unknown = samples.H100.model_copy(update={"name": "Nameless 9000"})
    other = samples.record(measured=on_gpu, where=samples.environment([unknown]))
    assert listed.of(other) is None


def test_a_named_machine_has_its_own_hour(tmp_path: Path, machine: Machine) -> None:
    path = config(tmp_path, "a")
    named = "machines: [{name: here, cpus: 1, usd_per_hour: 36}, {name: there, accelerator: H100}]\n"
    path.write_text(path.read_text(encoding="utf-8") + named, encoding="utf-8")
    suite = tmp_path / "s.yaml"
    suite.write_text("configs: [a.yaml]\nbudget: {usd: 1}\ncost: {usd_per_hour: 3.6}\n", encoding="utf-8")
    before = called("run", suite, "--dry-run", "--out", tmp_path / "out")
    assert before.code == 0, before.errors
    assert "$36 per hour" in before.out
    done = called("run", suite, "--out", tmp_path / "out")
    assert "$0.200 of $1 taken" in done.out  # 20 s at 36 USD an hour
    after = called("run", suite, "--dry-run", "--out", tmp_path / "out")
    assert "$0.200 of $1 taken" in after.out
    assert row(after.out, "a")[2] == "1"  # a dry run knows what is done
    fresh = called("run", suite, "--dry-run", "--fresh", "--out", tmp_path / "out")
    assert row(fresh.out, "a")[2] == "0"
    assert "$0 of $1 taken" in fresh.out
    assert row(called("run", suite, "--dry-run", "--out", tmp_path / "out").out, "a")[2] == "1"
    stored = tmp_path / "out" / "suite.json"
    between = re.sub(r'"between_s": \{[^}]*\}', '"between_s": {"a": 50}', stored.read_text(encoding="utf-8"))
    stored.write_text(between, encoding="utf-8")
    named_again = called("run", suite, "--dry-run", "--fresh", "--only", "a", "--out", tmp_path / "out")
    assert "$0.500 of $1 taken" in named_again.out  # records are set aside; what passed between them stays spent


def test_devices_are_taken_from_the_options() -> None:
    """As many as are asked for and there; on `device: cpu` none."""
    four = samples.environment([samples.H100] * 4)
    cells = {
        name: samples.cell(runner=RunnerChoice(name="transformers", options=options))
        for name, options in {
            "one": {"device": "auto"},
            "cpu": {"device": "cpu"},
            "two": {"tensor_parallel": 2},
            "all": {"tensor_parallel": 4, "pipeline_parallel": 2},
            "map": {"device_map": "auto"},
        }.items()
    }
    cells["OpenVINO's own default"] = samples.cell(runner=RunnerChoice(name="openvino", options={"device": "CPU"}))
    cells["not installed"] = samples.cell(runner=RunnerChoice(name="absent", options={"device": "cpu"}))
    servers = {
        "two by two": ["--tensor-parallel-size", "2", "--pipeline-parallel-size=2"],
        "no number": ["--max-model-len", "4", "--tp"],
    }
    for name, args in servers.items():
        served = {"server": {"engine": "vllm", "args": args}}
        cells[name] = samples.cell(runner=RunnerChoice(name="openai", options=served))
    counts = {name: len(assumed(cell, four).accelerators) for name, cell in cells.items()}
    assert (counts.pop("two by two"), counts.pop("no number")) == (4, 1)
    expected_counts = {"one": 1, "cpu": 0, "two": 2, "all": 4, "map": 4}
    assert counts == {**expected_counts, "OpenVINO's own default": 0, "not installed": 0}


def test_a_bill_counts_and_its_hours_do_not() -> None:
    """What an endpoint billed is taken from the budget when its record is stored."""
    clock = [0.0]
    spending = Spending(None, 1.0, Tally(billed_usd=0.25), lambda: clock[0])
    spending.enter("paid", 0.0)
    clock[0] = 1000.0
    assert spending.left_usd() == pytest.approx(0.75)
    spending.add(samples.record().model_copy(update={"spent_usd": 0.5, "elapsed_s": 900.0}))
    assert spending.left_usd() == pytest.approx(0.25)
    assert spending.between_s == {"paid": 100.0}
    spending.enter("own", 3600.0)
    assert spending.allows(0.2)
    assert not spending.allows(0.3)
    assert spending.short == {"usd"}
    assert "a next replicate takes more: own waits" in spending.spent().lines[0]


PAID = """\
runners: {name: openai, base_url: "http://127.0.0.1:9/v1", model: m}
workloads: {load: poisson, requests_per_s: 1, input_tokens: 1000, output_tokens: 100, until: {requests: 10}}
replicates: 2
sampling: {max_replicates: 2}
cost: {billed_as: openai/gpt-5-mini}
"""


def test_a_paid_endpoint_may_bill_what_the_suite_has_left(tmp_path: Path) -> None:
    """And its estimate is its bill: the hours of the client cost nothing."""
    (tmp_path / "paid.yaml").write_text(PAID)
    path = tmp_path / "all.yaml"
    path.write_text("configs: paid.yaml\nbudget: {usd: 2}\n")
    asked = Asked(path, None, True, False, False, None, None, None, False, False, 1000)
    found = suite_members.planned(suites.read(path), asked, {})
    suite_members.look(tmp_path / "out", found, False, print)
    usd = found[0].usd()
    assert found[0].usd_per_hour == 0
    assert usd is not None
    assert usd.likely is None or usd.likely > 0
    assert 0.005 < usd.most < 0.5
    sweep, option = found[0].within(tmp_path / "out", 1.5)
    assert (sweep.cost.max_spend_usd, option) == (1.5, "--budget-usd")
    own = found[0].sweep.cost.model_copy(update={"max_spend_usd": 0.1})
    found[0].sweep = found[0].sweep.model_copy(update={"cost": own})
    assert found[0].within(tmp_path / "out", 1.5)[1] == "--max-spend"


def test_dollars_without_a_price_of_the_hour_are_refused(three: Path, tmp_path: Path) -> None:
    """Before anything starts; without a budget in dollars they are only unknown."""
    unknown = samples.environment([samples.H100.model_copy(update={"name": "Nameless 9000"})])
    three.write_text(three.read_text().replace("cost: {usd_per_hour: 36}", "cost: {provider: null}"))
    with mock.patch("bench.sensors.environment.detect", return_value=unknown):
        done = called("run", three, "--out", tmp_path / "out", "--budget-usd", "3", "--dry-run")
        assert done.code == 2
        assert "a budget in dollars needs a price of the hour" in done.errors
        assert "usd_per_hour under the suite's cost:" in done.errors
        free = called("run", three, "--out", tmp_path / "out", "--dry-run")
    assert free.code == 0
    assert row(free.out, "a", 0)[-3:-2] == ["?"] or "?" in row(free.out, "a", 0)


# --- files -----------------------------------------------------------------------------------------------------------


def _lines(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "all.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        suites.read(path)
    assert all("\n" not in line for line in caught.value.lines)
    return [line.replace(f"{tmp_path}/", "") for line in caught.value.lines]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("configs: [a.yaml]\nbudjet: {}\n", "all.yaml:2: budjet: unknown key of a suite; did you mean 'budget'?"),
        ("configs: []\n", "all.yaml:1: configs: empty list: there would be nothing to run; name at least one config"),
        ("configs: [ab.yaml]\n", "all.yaml:1: configs[0]: no such file ab.yaml (paths are relative to the suite); "),
        ("configs: [.]\n", "all.yaml:1: configs[0]: . is a folder; name the configs in it, one by one"),
        ("configs: [a.yaml, all.yaml]\n", "all.yaml:1: configs[1]: all.yaml is a suite itself; name its configs here"),
        ("configs: [a.yaml, b.yaml, ./a.yaml]\n", "configs[2]: a.yaml stands here twice (first as configs[0])"),
        ("configs:\n- a.yaml\n- {config: b.yaml, name: a}\n", "all.yaml:3: configs[1]: a second member called 'a'"),
        ("configs:\n- {config: a.yaml, nam: x}\n", "all.yaml:2: configs[0].nam: unknown key; did you mean 'name'?"),
        ("configs:\n- {config: a.yaml, costs: {}}\n", "all.yaml:2: configs[0].costs: unknown key; did you mean 'cost'"),
        ("configs:\n- {config: a.yaml, name: ../x}\n", "configs[0].name: must be letters, digits, '-', '_' and '.' "),
        ("configs:\n- {config: a.yaml, target: 3}\n", "all.yaml:2: configs[0].target: must be less than 1 (got 3)"),
        ("configs: a.yaml\nbudget: {hours: 0}\n", "all.yaml:2: budget.hours: must be greater than 0 (got 0)"),
        ("configs: a.yaml\nbudget: {usd: -2}\n", "all.yaml:2: budget.usd: must be greater than 0 (got -2)"),
        ("configs: a.yaml\nbudget: {hour: 2}\n", "all.yaml:2: budget.hour: unknown key; did you mean 'hours'?"),
        ("configs: a.yaml\nbudget: 8\n", "all.yaml:2: budget: must be a mapping of keys (got 8); write hours: 8"),
        ("configs: a.yaml\nbudget:\n", "all.yaml:2: budget: empty; write hours: 8, usd: 20 or both under it"),
        ("configs: a.yaml\nname: a/b\n", "all.yaml:2: name: must be letters, digits, '-', '_' and '.' only"),
        ("configs: a.yaml\ncost: {usd_per_hour: 1, provider: aws}\n", "all.yaml:2: cost.provider: contradicts"),
        ("configs:\n- {config: a.yaml, cost: {usd: 1}}\n", "all.yaml:2: configs[0].cost.usd: unknown key; "),
        ("configs: [3]\n", "all.yaml:1: configs[0]: must be the path of a config, or a mapping such as {config: PATH"),
    ],
)
def test_each_mistake_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    config(tmp_path, "a")
    config(tmp_path, "b")
    found = _lines(tmp_path, text)
    assert len(found) == 1, found
    assert line in found[0]


def test_all_mistakes_of_all_members_at_once(tmp_path: Path) -> None:
    """With the names of the files in which they are."""
    config(tmp_path, "a", "{name: fake, stepp: 1}")
    (tmp_path / "b.yaml").write_text("models: x\n")
    found = _lines(tmp_path, "configs: [a.yaml, b.yaml, c.yaml]\nbudget: {hours: .inf}\n")
    assert {line.partition(":")[0] for line in found} == {"a.yaml", "b.yaml", "all.yaml"}
    assert len(found) >= 5


def test_the_suites_cost_stands_over_the_configs(tmp_path: Path) -> None:
    """And the member's over both; of ways to a price of the hour the last one counts."""
    for name in ("a", "b", "c"):
        path = config(tmp_path, name)
        path.write_text(path.read_text() + "cost: {usd_per_hour: 1, utilisation: 0.5}\n")
    path = suite(
        tmp_path,
        "configs: [a.yaml, {config: b.yaml, cost: {provider: aws}, target: 0.2, budget_s: 9}]\n"
        "cost: {usd_per_hour: 7, apis: openai/gpt-5-mini}\n",
    )
    one, two = suites.read(path).parts
    assert (one.sweep.cost.usd_per_hour, one.sweep.cost.utilisation) == (7, 0.5)
    assert one.sweep.cost.apis == ("openai/gpt-5-mini",)
    assert (two.sweep.cost.usd_per_hour, two.sweep.cost.provider) == (None, "aws")
    assert (two.sweep.sampling.target, two.sweep.sampling.budget_s) == (0.2, 9)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("all.yaml", "--budget-hours", "0"), "--budget-hours: must be more than 0"),
        (("all.yaml", "--budget-usd", "-1"), "--budget-usd: must be more than 0"),
        (("all.yaml", "--find-max"), "--find-max: is of one config, and "),
        (("a.yaml", "--budget-hours", "2"), "--budget-hours: is of a suite, and "),
        (("a.yaml", "--budget-usd", "2"), "--max-spend limits what a paid endpoint bills"),
        (("all.yaml", "--max-cells", "1"), "pass --max-cells 2"),
        (("all.yaml", "--out", "run"), "run: holds a run of one config; name another folder with --out"),
        (("a.yaml", "--out", "done"), "done: holds a suite; name another folder with --out"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, words: tuple[str, ...], line: str) -> None:
    config(tmp_path, "a", "{name: fake, step_s: [1, 2]}")
    suite(tmp_path, "configs: a.yaml\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/records.jsonl").touch()
    (tmp_path / "done").mkdir()
    (tmp_path / "done/suite.json").touch()
    places = ("a.yaml", "all.yaml", "run", "done")
    done = called("run", *(tmp_path / word if word in places else word for word in words))
    assert done.code == 2
    assert line in done.errors


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("configs: []\n", True),
        ("name: x\nbudget: {hours: 1}\nconfigs:\n  - a\n", True),
        ("cost: {configs: 1}\nmodels: [configs]\nname: configs\n", False),
        ("- configs\n", False),
        ("configs\n", False),
        ("", False),
        ("a: [\n", False),
    ],
)
def test_a_suite_is_told_by_its_key(tmp_path: Path, text: str, is_one: bool) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    assert suites.is_one(path) is is_one


def test_no_config_is_taken_for_a_suite() -> None:
    assert not any(suites.is_one(path) for path in (ROOT / "configs").glob("*.yaml"))
    assert not suites.is_one(ROOT / "missing.yaml")


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_the_suites_that_come_along_are_good(path: Path) -> None:
    """They parse with all of their members, and editors find no mistake in them."""
    found = suites.read(path)
    assert len(found.parts) >= 2
    jsonschema.validate(yaml.safe_load(path.read_text()), suite_schema.schema())
    own = {one.resolve() for one in (path.parent / path.stem).glob("*.yaml")}
    assert {part.config.resolve() for part in found.parts} == own, "a config that no suite names, or one elsewhere"


def test_the_schema_file_is_the_generated_one() -> None:
    """configs/suite.schema.json: `bench schema --suite -o configs/suite.schema.json`."""
    assert called("schema", "--suite").out == (ROOT / "configs/suite.schema.json").read_text()
    jsonschema.Draft202012Validator.check_schema(suite_schema.schema())
    wrongs: list[dict[str, Any]] = [
        {},
        {"configs": []},
        {"configs": ["a"], "budget": {"hours": 0}},
        {"configs": [{"name": "a"}]},
    ]
    for wrong in wrongs:
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, suite_schema.schema())
