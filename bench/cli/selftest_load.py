"""`bench selftest --load`: how true the client's figures are on this machine, and up to what load."""

import sys
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from bench.selftest.check import Check
    from bench.selftest.load_report import Level, Report

LEVELS = "{:<16} {:>12} {:>8} {:>12} {:>14} {:>14} {:>8}  {}"
HEADINGS = ("offered", "sent", "CPU", "CPU/token", "stamp p99", "dispatch p99", "waited", "")
VERDICTS = {
    "clean": "ok",
    "distorted": "the client distorts",
    "server": "the mock is late itself",
    "busy": "not judged: machine busy",
}


def show(json: bool) -> None:
    """Calibrate, print, keep. Exit code 1 when a figure was not true."""
    from bench.cli.selftest import COLUMNS
    from bench.selftest import load_report

    if not json:
        print(COLUMNS.format("check", "true", "measured", "error", "tolerance", ""))
    report = load_report.calibrate((lambda _: None) if json else _Lines().say)
    failed = [one.name for one in report.checks if not one.ok]
    busy = load_report.is_busy(report)
    path = load_report.keep(report)
    if json:
        _as_json(report, failed, busy, str(path) if path else None)
    else:
        print(f"\n{_summary(report)}")
        print(f"kept in {path}" if path else "not kept: with failed checks, or without a limit, it says nothing")
        if busy:
            said = "other work wants the same CPUs: tolerances were widened and limits may be too low"
            print(f"warning: machine busy: {said}; run again when it is quiet", file=sys.stderr)
        for name in failed:
            print(f"FAILED: {name}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


class _Lines:
    """Prints each result when it is there; the loads under a heading of their own."""

    def __init__(self) -> None:
        self._headed = False

    def say(self, one: "Check | Level") -> None:
        from bench.cli.selftest import _line
        from bench.selftest.check import Check

        if isinstance(one, Check):
            print(_line(one), flush=True)
            return
        if not self._headed:
            print("\n" + LEVELS.format(*HEADINGS))
            self._headed = True
        print(_level(one), flush=True)


def _level(one: "Level") -> str:
    return LEVELS.format(
        f"{one.offered_per_s:,.0f} {one.what}",
        f"{one.sent_per_s:,.0f}",
        f"{one.cpu_share:.0%}",
        f"{one.cpu_s_per_token * 1e6:.1f} µs",
        f"{one.stamp_error_p99_s * 1e3:.2f} ms",
        "–" if one.dispatch_p99_s is None else f"{one.dispatch_p99_s * 1e3:.2f} ms",
        "–" if one.waited_share is None else f"{one.waited_share:.0%}",
        VERDICTS[one.verdict],
    )


def _summary(report: "Report") -> str:
    from bench.selftest import load_report

    found = report.calibration
    lines = [
        f"{sum(one.ok for one in report.checks)} of {len(report.checks)} checks passed",
        f"CPU of the client: {found.cpu_s_per_token * 1e6:.1f} µs a token; of the mock: "
        f"{report.mock_cpu_s_per_token * 1e6:.1f} µs, late by its own plan by {report.mock_late_p50_s * 1e3:.2f} ms "
        f"(p99 {report.mock_late_p99_s * 1e3:.2f})",
        f"without delays in the server: {found.ceiling_tokens_per_s:,.0f} tok/s through one process",
    ]
    for what, limit in (("tok/s", found.tokens_per_s), ("req/s", found.requests_per_s)):
        if limit is None:
            lines.append(f"{what}: no load could be shown to be without distortion")
            continue
        last = next(one for one in reversed(report.levels) if one.what == what)
        after = {
            "clean": "the highest load that was tried",
            "distorted": f"it distorts at {last.offered_per_s:,.0f}",
            "busy": "higher ones could not be judged: machine busy",
            "server": f"at {last.offered_per_s:,.0f} the mock is late itself",
        }[last.verdict]
        lines.append(f"one client process is true up to {limit:,.0f} {what}; {after}")
    share = load_report.warns_from(report)
    if share is not None:
        lines.append(f"a run warns when its client uses more than {share:.0%} of a core; `clients: 2` halves that")
    return "\n".join(lines)


def _as_json(report: "Report", failed: list[str], busy: bool, path: str | None) -> None:
    from dataclasses import asdict

    from bench.cli.selftest import _data, _print_json

    data: dict[str, Any] = {
        "ok": not failed,
        "busy": busy,
        "failed": failed,
        "checks": [_data(one) for one in report.checks],
        "levels": [asdict(one) for one in report.levels],
        "calibration": report.calibration.model_dump(mode="json"),
        "mock_cpu_s_per_token": report.mock_cpu_s_per_token,
        "mock_late_p50_s": report.mock_late_p50_s,
        "mock_late_p99_s": report.mock_late_p99_s,
        "kept_in": path,
    }
    _print_json(data)
