"""The fixture `llm_cost` in sessions of pytest of their own: what passes, what fails, what nobody can tell."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

import bench
from bench import pytest_plugin
from bench.api import budget
from bench.api.budget import Bound
from bench.entries import mixed
from bench.entries.entry import Quality
from bench.entries.priced import Asked
from bench.metrics.statistics import Estimate
from bench.metrics.verdict import Reason
from bench.schema import Edge, Plain, Window
from tests import entries_samples, levels_samples, samples
from tests.commands import ROOT, fake_config

CASES = """
import pytest

RUN = {run!r}

def cell(llm_cost):
    return llm_cost(RUN, precision="nf4", batch_size=4)

def test_kept(llm_cost):
    one = cell(llm_cost)
    one.assert_usd_per_mtok(max=1e6)
    one.assert_usd_per_mtok(max=1e6, part="output", usd_per_hour=1.0, utilisation=0.5, mix=None)
    one.assert_decode_tokens_per_s(min=1)
    one.assert_output_tokens_per_s(min=1)
    one.assert_ttft_s(max=10)
    one.assert_tpot_s(max=10)
    one.assert_kl(max=1)
    one.assert_peak_bytes(max=1e12)
    one.assert_figure("same_top_1", min=0.5)
    one.assert_valid()
    one.assert_cheaper_than("mine", (1e6, 1e6))
    assert one.entry.precision == "nf4"

def test_not_kept(llm_cost):
    cell(llm_cost).assert_usd_per_mtok(max=1e-6)

def test_dearer(llm_cost):
    cell(llm_cost).assert_cheaper_than("openai/gpt-5-nano", usd_per_hour=100.0)

def test_doubt(llm_cost):
    one = cell(llm_cost)
    one.assert_ttft_s(max=one.entry.figures["ttft_s"].value)

@pytest.mark.parametrize("doubt", ["pass", "skip", "warn", "perhaps"])
def test_doubts(llm_cost, doubt):
    one = cell(llm_cost)
    one.assert_ttft_s(max=one.entry.figures["ttft_s"].value, doubt=doubt)

def test_one_replicate(llm_cost):
    llm_cost(RUN, precision="fp32").assert_ttft_s(max=10)

def test_meaningless(llm_cost):
    llm_cost(RUN, precision="fp4").assert_decode_tokens_per_s(min=0.001, doubt="pass")

def test_failed_cell(llm_cost):
    llm_cost(RUN, batch_size=2).assert_usd_per_mtok(max=1e6, doubt="pass")

def test_several(llm_cost):
    llm_cost(RUN, precision="nf4")

def test_none(llm_cost):
    llm_cost(RUN, precision="nf5")

def test_unknown_key(llm_cost):
    llm_cost(RUN, precison="nf4")

def test_unknown_quantity(llm_cost):
    cell(llm_cost).assert_figure("decode_tok_per_s", min=1)

def test_no_bound(llm_cost):
    cell(llm_cost).assert_ttft_s()

def test_no_such_run(llm_cost):
    llm_cost(RUN + "/nowhere")

def test_broken_config(llm_cost, tmp_path):
    (tmp_path / "broken.yaml").write_text("models: [nothing]\\n")
    llm_cost.run(tmp_path / "broken.yaml")

def test_default_run(llm_cost):
    assert len(llm_cost.load().cells) == 12
    llm_cost(precision="bf16", batch_size=1).assert_figure("usd_per_mtok", max=1e6)

def test_hour_of_the_command_line(llm_cost):
    one = cell(llm_cost)
    one.assert_usd_per_mtok(max=1e-9)
"""


COMMAND = "bench run configs/levels.yaml --only 0123"
PLUGINS = ("-p", "bench.pytest_plugin", "-p", "no:cacheprovider")


def session(folder: Path, *words: str, cases: str | None = None) -> tuple[dict[str, tuple[str, str]], str]:
    """Run pytest there: outcome and message of each test, and all that was printed."""
    if cases is not None:
        (folder / "test_cases.py").write_text(cases)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGINS, "--junitxml=out.xml", "-q", *words],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = {}
    whole = folder / "out.xml"
    for case in ET.parse(whole).iter("testcase") if whole.exists() else ():  # noqa: S314 - written just now
        outcome = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        said = ("passed", "") if outcome is None else (outcome.tag, f"{outcome.get('message')}\n{outcome.text}")
        found[str(case.get("name"))] = said
    return found, done.stdout + done.stderr


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Levels with their quality; a level with one replicate, one whose clock was wrong, and a cell that failed."""
    wrong = Window(start=Edge(), end=Edge(), duration_s=10.0, other_clock_s=20.0)
    tainted = []
    for one in levels_samples.timed(levels_samples.FP4, 1, 30):
        assert one.measurement is not None
        measured = one.measurement.model_copy(update={"window": wrong})
        tainted.append(one.model_copy(update={"measurement": measured}))
    alone = levels_samples.timed(Plain(name="fp32"), 1, 90, noise=(1.0,))
    failed = samples.failed_record("oom", "it needs 32 GB and there are 16", "choose a smaller batch")
    timed = [one.model_copy(update={"command": COMMAND}) for one in levels_samples.speed()]
    records = [*timed, *levels_samples.quality(), *tainted, *alone, failed]
    return levels_samples.run(tmp_path_factory.mktemp("plugin") / "levels", records)


@pytest.fixture(scope="module")
def outcomes(stored: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, tuple[str, str]], str]:
    folder = tmp_path_factory.mktemp("session")
    words = ["--llm-cost-results", str(stored), "--llm-cost-usd-per-hour", "1.0", "-W", "error"]
    return session(
        folder, *words, "-W", "default::bench.pytest_plugin.LlmCostDoubt", cases=CASES.format(run=str(stored))
    )


SAID = {
    "test_kept": ("passed", ""),
    "test_not_kept": ("failure", r"usd_per_mtok is [\d.]+ \([\d.]+ to [\d.]+\), wanted at most 1e-06: not kept"),
    "test_dearer": ("failure", r"dollars over those of openai/gpt-5-nano is .*wanted at most 1: not kept"),
    "test_doubt": ("failure", "cannot be told, the bound is inside of the interval; more replicates narrow it"),
    "test_doubts[pass]": ("passed", ""),
    "test_doubts[skip]": ("skipped", "cannot be told"),
    "test_doubts[warn]": ("passed", ""),
    "test_doubts[perhaps]": ("failure", "doubt must be one of fail, pass, skip, warn"),
    "test_one_replicate": ("failure", "cannot be told, one replicate has no interval; measure more"),
    "test_meaningless": ("failure", r"its figures mean nothing \(clock: two clocks disagree.*quieten the machine"),
    "test_failed_cell": ("failure", "oom: it needs 32 GB and there are 16; choose a smaller batch"),
    "test_several": (
        "failure",
        r"3 cells of .* are meant \(precision='nf4'\); name one of them by batch_size \(1, 4, 16\)",
    ),
    "test_none": ("failure", r"no cell with precision='nf5' in .*; did you mean 'nf4'"),
    "test_unknown_key": ("failure", "unknown key 'precison' of a cell; did you mean 'precision'"),
    "test_unknown_quantity": ("failure", "unknown quantity 'decode_tok_per_s'; did you mean 'decode_tokens_per_s'"),
    "test_no_bound": ("failure", "no bound; give min= or max="),
    "test_no_such_run": ("failure", r"nowhere: no records.jsonl here"),
    "test_broken_config": (
        "failure",
        r"bench run .*broken.yaml --out .* ended with exit code 2.*error: .*broken.yaml:1: precisions: missing",
    ),
    "test_default_run": ("passed", ""),
    "test_hour_of_the_command_line": ("failure", r"at \$1 per hour as stated, utilisation 1"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_becomes_of_a_check(outcomes: tuple[dict[str, tuple[str, str]], str], name: str) -> None:
    outcome, message = SAID[name]
    found = outcomes[0][name]
    assert found[0] == outcome, found
    assert re.search(message, found[1], re.DOTALL), found[1]


def test_a_failure_says_price_verdict_and_the_command(outcomes: tuple[dict[str, tuple[str, str]], str]) -> None:
    message = outcomes[0]["test_not_kept"][1]
    assert "smollm2-135m nf4 transformers, batch 4, 64 in, 9 out on Sample CPU" in message
    assert "  at $1 per hour as stated, utilisation 1" in message
    assert "  verdict VALID, 4 replicates" in message
    assert f"  to repeat it: {COMMAND}" in message
    assert "Traceback" not in outcomes[1]
    assert "bench/api" not in outcomes[1]  # our own frames are hidden


def test_the_summary_names_every_check(outcomes: tuple[dict[str, tuple[str, str]], str]) -> None:
    text = outcomes[1].partition("llm-cost budgets")[2]
    lines = [line for line in text.splitlines() if line.startswith(("pass ", "fail ", "doubt "))]
    assert len([line for line in lines if line.startswith("pass")]) == 12
    assert {line.split("  ")[0].strip() for line in lines} == {
        *("pass", "fail", "doubt (fail)", "doubt (pass)", "doubt (skip)", "doubt (warn)"),
    }
    assert "LlmCostDoubt" in outcomes[1]
    assert outcomes[0].keys() == SAID.keys()


def test_the_ini_option_is_checked() -> None:
    said = mock.Mock(spec=pytest.Config, getini=lambda name: {"llm_cost_doubt": "maybe"}[name])
    with pytest.raises(
        pytest.UsageError, match=r"llm_cost_doubt: must be one of fail, pass, skip, warn \(got 'maybe'\)"
    ):
        pytest_plugin.pytest_configure(said)


def test_the_plugin_imports_pytest_and_the_standard_library_alone() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules)\nimport bench.pytest_plugin\nprint(*set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    found = {name.split(".")[0] for name in done.stdout.split()}
    assert found - {"bench"} <= set(sys.stdlib_module_names)
    assert "bench.api" not in done.stdout.split()


@pytest.mark.slow
def test_measuring_in_a_test(tmp_path: Path) -> None:
    """`bench run` in a child, and its cells."""
    config = fake_config(tmp_path, workloads="{batch_size: [1, 2], input_tokens: 8, output_tokens: 4}", replicates=2)
    case = (
        "def test_it(llm_cost):\n"
        f"    run = llm_cost.run({str(config)!r}, budget_s=20, out='kept')\n"
        "    assert len(run.cells) == 2\n"
        "    one = run.cell(batch_size=2).entry\n"  # where other tests run beside it, a check would say so
        "    assert one.figures['output_tokens_per_s'].value > 0\n"
        "    assert one.replicates == 2\n"
    )
    found, printed = session(tmp_path, cases=case)
    assert found["test_it"] == ("passed", ""), printed
    assert (tmp_path / "kept" / "records.jsonl").is_file()


def test_a_price_of_the_test_is_before_that_of_the_session_and_a_new_measurement_before_an_old_one(
    tmp_path: Path,
) -> None:
    request = mock.Mock()
    request.config.stash.setdefault.return_value = {}
    request.config.getoption.return_value = 5.0
    tell, run = pytest_plugin._Teller(request), mock.Mock()
    tell.priced(run, {"usd_per_hour": 2.0})
    tell.priced(run, {})
    assert [call.kwargs for call in run.at.call_args_list] == [{"usd_per_hour": 2.0}, {"usd_per_hour": 5.0}]
    fixture = pytest_plugin.LlmCost(tell, tmp_path)
    ended = mock.Mock(returncode=0)
    with mock.patch.object(bench, "load", side_effect=["first", "second"]), mock.patch("subprocess.run") as called:
        called.return_value = ended
        assert [str(fixture.run("a.yaml").data) for _ in range(2)] == ["first", "second"]


# --- the judgement itself


@pytest.mark.parametrize(
    ("low", "value", "high", "outcome"),
    [
        (0.9, 0.95, 1.0, "pass"),
        (0.9, 0.95, 1.01, "doubt"),
        (0.99, 1.05, 1.1, "doubt"),
        (1.01, 1.05, 1.1, "fail"),
        (None, 0.95, None, "doubt"),
        (None, 1.05, None, "fail"),
    ],
)
def test_a_bound_holds_the_whole_interval(low: float | None, value: float, high: float | None, outcome: str) -> None:
    assert Bound(most=1.0).judge(Estimate(value, low, high, 3)) == outcome
    turned = Estimate(-value, None if high is None else -high, None if low is None else -low, 3)
    assert Bound(least=-1.0).judge(turned) == outcome


def test_two_ends() -> None:
    both = budget.bound(1.0, 2.0)
    assert both.judge(Estimate(1.5, 1.2, 1.8, 3)) == "pass"
    assert both.judge(Estimate(1.5, 0.5, 2.5, 3)) == "doubt"
    assert both.judge(Estimate(2.5, 2.1, 2.9, 3)) == "fail"
    assert str(both) == "at least 1 and at most 2"
    with pytest.raises(bench.InputError, match=r"min=2 is above max=1"):
        budget.bound(2.0, 1.0)
    with pytest.raises(bench.InputError, match="max: not a number"):
        budget.bound(None, float("nan"))


def test_twice_as_cheap_is_half_of_what_the_api_asks() -> None:
    entry = entries_samples.entry()
    assert entry.priced is not None
    name = "openai/gpt-5-mini"
    ratio = mixed.ratio(entry.priced, next(one for one in entry.priced.apis if one.api == name), Asked())
    assert ratio is not None
    assert ratio.low is not None
    assert ratio.high is not None
    for by, outcome in ((0.99 / ratio.high, "pass"), (1 / ratio.value, "doubt"), (1.01 / ratio.low, "fail")):
        assert budget.compared(entry, name, by, None).outcome == outcome


def test_what_is_not_known_fails_with_the_reason() -> None:
    entry = entries_samples.entry(
        quality=Quality(reason="the level scored another text"), priced=None, no_dollars_because="no price of this part"
    )
    for name, why in (("kl_mean_nats", "the level scored another text"), ("usd_per_mtok", "no price of this part")):
        found = budget.judged(entry, name, budget.quantity(entry, name), Bound(most=1.0), name == "usd_per_mtok")
        assert (found.outcome, why in found.line) == ("fail", True)


def test_every_quantity_has_a_name(stored: Path) -> None:
    entry = next(one for one in bench.load(stored).entries if one.precision == "nf4")
    known = {name for name in budget.NAMES if budget.quantity(entry, name) is not None}
    assert {"usd_per_mtok", "output_usd_per_mtok", "ttft_s", "kl_mean_nats", "peak_bytes"} <= known
    kl = budget.quantity(entry, "kl_mean_nats")
    assert kl is not None
    assert entry.quality.kl_mean_se is not None
    assert kl.high == pytest.approx(kl.value + 1.96 * entry.quality.kl_mean_se, abs=1e-6)


def test_doubts_of_the_verdict_are_said_but_do_not_fail() -> None:
    doubtful = (Reason("wide", "the interval is ±20%", "measure more"),)
    entry = replace(entries_samples.entry(), verdict=doubtful)
    found = budget.judged(entry, "ttft_s", entry.figures["ttft_s"], Bound(most=1e3))
    assert found.outcome == "pass"
    assert "wide: the interval is ±20%: measure more" in found.text
    assert budget.valid(entry).outcome == "fail"


def test_hostile_names_and_reasons_steer_no_terminal() -> None:
    hostile = entries_samples.HOSTILE + "\x1b[31m" + "x" * 10_000
    failed = entries_samples.failed(model=hostile, failure=hostile, command=hostile)
    for entry in (failed, entries_samples.entry(model=hostile, command=hostile)):
        found = budget.judged(entry, "ttft_s", entry.figures.get("ttft_s"), Bound(most=1e-9))
        assert found.outcome == "fail"
        assert all(line.isprintable() for line in found.text.splitlines())
        assert len(found.text.splitlines()) <= 4
        assert len(found.line) < 3000


# --- the documentation


def test_the_documented_example_runs(tmp_path: Path) -> None:
    """The page's test file, beside a run where it says one is."""
    text = (ROOT / "docs" / "budget-tests.md").read_text()
    code = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    ini = re.findall(r"^```ini\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    levels_samples.run(
        tmp_path / "results" / "local" / "quickstart", [*levels_samples.speed(), *levels_samples.quality()]
    )
    assert "llm_cost_doubt = fail" in ini[0]
    (tmp_path / "pytest.ini").write_text(ini[0].replace("fail", "skip"))
    doubtful = (
        "\n\ndef test_doubt(llm_cost):\n    one = llm_cost(RUN, precision='nf4', batch_size=4)\n"
        "    one.assert_ttft_s(max=one.entry.figures['ttft_s'].value)\n"
    )
    assert len(code) == 1
    found, printed = session(tmp_path, cases=code[0] + doubtful)
    assert found.pop("test_doubt")[0] == "skipped", printed  # as the ini file says
    assert len(found) == 6, printed
    assert {outcome for outcome, _ in found.values()} == {"passed"}, printed
    assert "llm-cost budgets" in printed
