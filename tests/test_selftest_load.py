"""The calibration of the client: small trials of the real one, and verdicts on made-up ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.client import calibration
from bench.client.calibration import Calibration
from bench.mock.truth import Truth
from bench.selftest import load_report
from bench.selftest.check import Check
from bench.selftest.load import Seen, Trial, Tried
from bench.selftest.load_report import Extent, Level, Report
from tests.commands import bench

SMALL = Extent(streams=(8,), seconds=1.0, tokens_per_s=(500,), requests_per_s=(50,), level_seconds=0.5, tries=1)
MS = 1_000_000


def tried(count: int = 20, late_ms: float = 0.0, last_late_ms: float = 0.0, waited: float | None = 0.0) -> Tried:
    """Requests of ten tokens, TTFT 50 ms, 10 ms a token, that a client stamped too late."""
    pairs = []
    for at in range(count):
        start = at * 100 * MS
        truth = Truth(f"mock-{at}", None, "", "/v1/chat/completions", received_ns=start)
        truth.first_token_ns, truth.last_token_ns, truth.tokens = start + 50 * MS, start + 140 * MS, 10
        first, last = start + round((50 + late_ms) * MS), start + round((140 + last_late_ms) * MS)
        pairs.append((Seen(truth.id, "ok", start, start, first, last, 10), truth))
    return Tried(Trial(2.0, streams=4), pairs, [], 2.0, 0.1, 0.1, waited)


def failed(one: Tried) -> list[str]:
    return [check.name.partition(": ")[2] for check in load_report.judge(one) if not check.ok]


def test_what_is_true_passes_and_what_is_late_does_not() -> None:
    assert failed(tried()) == []
    assert failed(tried(late_ms=2, last_late_ms=2)) == ["TTFT p50"]
    assert failed(tried(count=60, late_ms=12, last_late_ms=12)) == ["TTFT p50", "TTFT p90"]
    assert failed(tried(last_late_ms=5)) == ["TPOT p50"]


def test_a_busy_machine_widens_tolerances_and_a_quiet_one_does_not() -> None:
    assert failed(tried(late_ms=4, last_late_ms=4, waited=0.04)) == ["TTFT p50"]
    assert failed(tried(late_ms=4, last_late_ms=4, waited=0.10)) == []
    assert failed(tried(late_ms=4, last_late_ms=4, waited=None)) == ["TTFT p50"]


def test_answers_that_are_lost_or_too_short_are_found() -> None:
    one = tried()
    lost = replace(one, pairs=one.pairs[1:], lost=[replace(one.pairs[0][0], status="cut")])
    assert failed(lost) == ["answers"]
    short = replace(one, pairs=[(replace(one.pairs[0][0], tokens=9), one.pairs[0][1]), *one.pairs[1:]])
    assert failed(short) == ["tokens"]


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (tried(), "clean"),
        (tried(late_ms=6, last_late_ms=6), "distorted"),
        (tried(late_ms=6, last_late_ms=6, waited=0.3), "busy"),
        (tried(last_late_ms=6), "distorted"),
        (tried(waited=0.3), "clean"),
    ],
)
def test_verdicts_on_a_load(one: Tried, verdict: str) -> None:
    assert load_report._level("tok/s", 100, one).verdict == verdict


def test_a_late_mock_is_not_the_clients_fault() -> None:
    one = tried()
    for _, truth in one.pairs:
        truth.late_max_ns = 80 * MS
    assert load_report._level("tok/s", 100, one).verdict == "server"


@pytest.mark.alone
def test_the_real_client_against_the_real_mock() -> None:
    told: list[Check | Level] = []
    report = load_report.calibrate(told.append, SMALL)
    names = {one.name: one for one in report.checks}
    for name in ("8 streams: answers", "8 streams: tokens"):
        assert names[name].ok
    assert float(names["8 streams: TTFT p50"].programmed) >= 0.05
    assert float(names["8 streams: TPOT p50"].measured or 0) == pytest.approx(0.01, rel=0.5)
    assert [one.what for one in report.levels] == ["tok/s", "req/s"]
    assert told == [*report.checks, *report.levels]
    found = report.calibration
    assert found.ceiling_tokens_per_s > 5_000
    assert 0 < found.cpu_s_per_token < 0.01
    assert report.levels[0].sent_per_s == pytest.approx(500, rel=0.5)
    assert report.levels[1].sent_per_s == pytest.approx(50, rel=0.1)


def made(**changed: Any) -> Calibration:
    said = {"ceiling_tokens_per_s": 1e5, "cpu_s_per_token": 2e-5, "limit_reached": True, "cpu_share_limit": 0.6}
    errors = {"ttft_error_p50_s": 1e-4, "ttft_error_p99_s": 1e-3}
    return Calibration(**{"hardware": "abc", "measured_at": "2026-11-22T00:00:00+00:00", **said, **errors, **changed})


def test_a_calibration_is_kept_for_each_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    warnings: list[str] = []
    assert calibration.load("abc", warnings.append) is None
    path = calibration.save(made())
    assert path == tmp_path / "llm-cost-bench" / "client.json"
    calibration.save(made(hardware="def", cpu_share_limit=None))
    assert calibration.load("abc", warnings.append) == made()
    assert calibration.load("def", warnings.append) == made(hardware="def", cpu_share_limit=None)
    assert warnings == []
    path.write_text(json.dumps({"abc": {"schema_version": 9}, "def": [1]}))
    assert calibration.load("abc", warnings.append) is None
    assert calibration.load("def", warnings.append) is None
    path.write_text("{")
    assert calibration.load("abc", warnings.append) is None
    assert [one.partition(": ")[2][:12] for one in warnings] == ["a calibratio", "not a calibr", "broken; `ben"]
    calibration.save(made())
    assert calibration.load("abc", warnings.append) == made()


@pytest.mark.parametrize("ok", [True, False])
@pytest.mark.parametrize("form", ["table", "json"])
def test_the_command_prints_keeps_and_fails(
    ok: bool, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bench.cli import app

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    level = load_report._level("tok/s", 1000, tried())
    after = load_report._level("tok/s", 2000, tried(late_ms=9, last_late_ms=9))
    checks = load_report.judge(tried(late_ms=0.0 if ok else 3.0, last_late_ms=0.0 if ok else 3.0))
    report = Report(checks, [level, after], made(tokens_per_s=1000.0), 1e-5, 1e-4, 1e-3)

    def calibrate(say: load_report.Say, extent: Extent | None = None) -> Report:
        for check in checks:
            say(check)
        for one in (level, after):
            say(one)
        return report

    monkeypatch.setattr(load_report, "calibrate", calibrate)
    code = app(["selftest", "--load", "--format", form], standalone_mode=False)
    said = capsys.readouterr()
    assert (code or 0) == (0 if ok else 1)
    assert (tmp_path / "llm-cost-bench" / "client.json").exists() is ok
    if form == "json":
        data = json.loads(said.out)
        assert data["ok"] is ok
        assert data["failed"] == ([] if ok else ["4 streams: TTFT p50"])
        assert [one["verdict"] for one in data["levels"]] == ["clean", "distorted"]
        assert (data["kept_in"] is not None) is ok
    else:
        assert "one client process is true up to 1,000 tok/s; it distorts at 2,000" in said.out
        assert "the client distorts" in said.out
        assert ("FAILED: 4 streams: TTFT p50" in said.err) is not ok


def test_load_and_observer_exclude_each_other() -> None:
    done = bench("selftest", "--load", "--observer")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: --load: not with --observer; run one after the other\n"


def test_a_calibration_that_found_no_limit_does_not_take_the_place_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    checks = load_report.judge(tried())
    assert load_report.keep(Report(checks, [], made(tokens_per_s=1000.0), 1e-5, 1e-4, 1e-3)) is not None
    assert load_report.keep(Report(checks, [], made(cpu_share_limit=None), 1e-5, 1e-4, 1e-3)) is None
    assert calibration.load("abc", print) == made(tokens_per_s=1000.0)
