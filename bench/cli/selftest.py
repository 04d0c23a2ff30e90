"""`bench selftest`: is the instrument right? Programmed times come back, planted defects are caught."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bench.selftest.case import Result
    from bench.selftest.check import Check

FORMATS = ("table", "json")
COLUMNS = "{:<45} {:>24}  {:>24} {:>9} {:>9}  {}"


def add_to(app: typer.Typer) -> None:
    app.command(name="selftest", epilog="Example: bench selftest   ·   bench selftest --observer   ·   --load")(
        selftest
    )


def selftest(
    observer: Annotated[
        bool, typer.Option("--observer", help="Instead: what measuring itself costs, on a real model if there is one.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="With --observer: the model to run.")] = None,
    pairs: Annotated[
        int | None, typer.Option(help="With --observer: rounds with and without readings. Default: 10.", min=2)
    ] = None,
    load: Annotated[
        bool, typer.Option("--load", help="Instead: how much load this machine's client takes before it distorts.")
    ] = False,
    form: Annotated[str, typer.Option("--format", "-f", help="table or json.")] = "table",
) -> None:
    """Test the instrument on a runner whose truth is known. Exit code 1 when a check fails. No model, no network."""
    from bench.errors import InputError, nearest

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    json = form == "json"
    if model is not None and not observer:
        raise InputError("--model: only with --observer; the self-test itself runs on programmed delays")
    if pairs is not None and not observer:
        raise InputError("--pairs: only with --observer; leave it out")
    if observer and load:
        raise InputError("--load: not with --observer; run one after the other")
    if load:
        from bench.cli import selftest_load

        selftest_load.show(json)
    elif observer:
        _observe(model, pairs or 10, json)
    else:
        _test(json)


def _test(json: bool) -> None:
    import tempfile
    from pathlib import Path

    from bench.selftest import case, planted, truth

    checks: list[Check] = []
    results: list[Result] = []
    if not json:
        print(COLUMNS.format("check", "programmed", "measured", "error", "tolerance", ""))
    with tempfile.TemporaryDirectory(prefix="bench-selftest-") as folder:
        for _, measured, judged in case.run([*truth.cases(), *planted.cases()], Path(folder)):
            checks += judged
            results += measured
            for check in judged if not json else ():
                print(_line(check), flush=True)
    failed = [check.name for check in checks if not check.ok]
    busy = _busy(results)
    if json:
        _print_json({"ok": not failed, "busy": busy, "failed": failed, "checks": [_data(check) for check in checks]})
    else:
        print(f"\n{_summary(checks, results)}")
        if busy is not None:
            print(f"warning: {busy}: errors above are larger than this instrument's own", file=sys.stderr)
        for name in failed:
            print(f"FAILED: {name}", file=sys.stderr)
    if failed:
        raise typer.Exit(1)


def _line(check: "Check") -> str:
    error, share = check.error(), check.share()
    tolerance = ""
    if share is not None and check.programmed:
        assert check.tolerance is not None
        share = check.tolerance / float(check.programmed) * 100
        tolerance = f"{share:.0f}%" if share >= 10 else f"{share:.2g}%"
    verdict = ("ok" if check.ok else "FAIL") + (f" (try {check.tries})" if check.tries > 1 else "")
    said = "" if error is None else "exact" if share is None and not error else f"{round(error, 5) + 0.0:+.3%}"
    programmed, measured = (_value(value, check.unit) for value in (check.programmed, check.measured))
    if isinstance(check.programmed, str):
        # What is caught is said in words, which stand in one column and need more room than a number.
        return f"{check.name:<45} {measured[:92] if check.ok else f'{programmed} != {measured}':<94}  {verdict}"
    return COLUMNS.format(check.name, programmed, measured, said, tolerance, verdict)


def _value(value: float | str | None, unit: str) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return value
    return f"{value:,.0f} B" if unit == "B" else f"{value:.6g} {unit}".rstrip()


def _data(check: "Check") -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(check), "relative_error": check.error()}


def _summary(checks: "list[Check]", results: "list[Result]") -> str:
    took_s = sum(result.outcome.elapsed_s for result in results)
    passed = sum(check.ok for check in checks)
    lines = [f"{passed} of {len(checks)} checks passed, {len(results)} processes, {took_s:.0f} s"]
    for unit, what in (("s", "times"), ("/s", "rates"), ("B", "memory"), ("J", "energy"), ("USD", "dollars")):
        found = [check for check in checks if check.unit == unit and check.share() is not None and check.error()]
        if found:
            worst = max(found, key=lambda check: check.share() or 0.0)
            lines.append(
                f"largest error of {what}: {worst.error():+.3%}, {worst.share():.0%} of its tolerance ({worst.name})"
            )
    return "\n".join(lines)


def _busy(results: "list[Result]") -> str | None:
    """Whether other work disturbed the machine while it was measured."""
    from bench.metrics import verdict
    from bench.sensors import environment

    measured = [one.outcome.measurement for one in results if one.outcome.measurement is not None]
    reasons = verdict.judge(measured, environment.usable_cpus())
    return next((reason.what for reason in reasons if reason.code in ("busy", "stolen")), None)


def _observe(name: str | None, pairs: int, json: bool) -> None:
    import tempfile
    from pathlib import Path
    from statistics import median

    from bench.metrics.verdict import STALLED_SHARE
    from bench.models import builtin, catalogue
    from bench.schema import Model
    from bench.schema.precision import label
    from bench.selftest import observer
    from bench.selftest.case import RUNNER

    model = None if name is None else catalogue.checked(Model(source=name), Path.cwd())
    if model is not None and catalogue.kind(model) == "builtin":
        builtin.ensure(model.source.removeprefix("builtin:"), lambda line: print(line, file=sys.stderr))
    cell = observer.watched_cell(model)
    with tempfile.TemporaryDirectory(prefix="bench-observer-") as folder:
        seen = observer.watch(cell, pairs, Path(folder))
    compared = observer.compare(seen)
    what = f"{cell.model.source} {label(cell.precision)}" if cell.runner.name != RUNNER else "an empty loop"
    if json:
        data = {"model": what, "seen": seen.model_dump(), "compared": [one.model_dump() for one in compared]}
        _print_json(data)
        return
    print(f"{what}: rounds of {median(seen.alone_s):.3f} s, time with / time without, 95 % intervals")
    for one in compared:
        print(f"  {one.text()}")
    print(
        f"\nReading the counters takes {median(seen.around_s) * 1e6:.0f} µs a round, outside of its time;\n"
        f"an edge of the timed window {median(seen.edges_s) * 1e3:.1f} ms, before the first round and after the last.\n"
        "The memory sampler is never on while a round is timed: what it costs is in no figure."
    )
    if seen.stalled and median(seen.stalled) > STALLED_SHARE:
        share = f"tasks waited for a CPU {median(seen.stalled):.0%} of the time"
        print(f"warning: machine busy ({share}): the intervals say little, run again when it is quiet", file=sys.stderr)


def _print_json(data: dict[str, Any]) -> None:
    from json import dumps

    print(dumps(data, indent=1))
