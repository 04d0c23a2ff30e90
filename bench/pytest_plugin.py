"""The fixture `llm_cost`: a test suite asserts what a cell may cost, and how fast it must be (docs/budget-tests.md).

Every pytest of whoever has this package installed loads this file, so it imports pytest and the standard library alone.

A filter of warnings may have imported it before pytest loads it, so its asserts are left as they are:
PYTEST_DONT_REWRITE
"""

import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from bench.api import Run
    from bench.api.budget import Judgement
    from bench.entries.entry import Entry

T = TypeVar("T")
DOUBTS = ("fail", "pass", "skip", "warn")
PROPERTY = "llm_cost"
"""Name of what each check leaves in the test's `user_properties`: the summary and JUnit files are made of it."""

LAST_LINES = 15


class LlmCostDoubt(UserWarning):
    """A bound is inside of the interval, so that nobody can tell whether it is kept."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("llm-cost", "costs and speeds of language models (llm-cost-bench)")
    group.addoption("--llm-cost-results", metavar="PATH", help="run folder that llm_cost reads where a test names none")
    group.addoption(
        "--llm-cost-usd-per-hour", type=float, metavar="USD", help="what the machine costs, where a test does not say"
    )
    parser.addini(
        "llm_cost_doubt",
        "where a bound is inside of the interval: fail, pass, skip or warn (default: fail)",
        default="fail",
    )


def pytest_configure(config: pytest.Config) -> None:
    said = config.getini("llm_cost_doubt")
    if said not in DOUBTS:
        raise pytest.UsageError(f"llm_cost_doubt: must be one of {', '.join(DOUBTS)} (got {said!r})")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every check of the session; reports bring them from the workers of xdist, too."""
    lines = []
    for found in terminalreporter.stats.values():
        for report in found:
            if getattr(report, "when", None) == "call":
                lines += [str(value) for name, value in report.user_properties if name == PROPERTY]
    if lines:
        terminalreporter.section("llm-cost budgets")
        for line in sorted(lines):
            terminalreporter.write_line(line)


class LlmCell:
    """One cell of a run, and what may be asserted of it. `entry` holds all of its figures.

    Bounds are included. A check passes where the whole 95 % interval is within the bound and fails where all of it is
    outside; where the interval holds both, or there is none, `doubt` decides: fail (default), pass, skip or warn.
    A cell that failed, or whose verdict says that its figures mean nothing, fails every check with the reason.
    """

    def __init__(self, run: "Run", entry: "Entry", tell: "_Teller") -> None:
        self.run = run
        self.entry = entry
        self._tell = tell

    def assert_figure(
        self,
        name: str,
        *,
        min: float | None = None,
        max: float | None = None,
        usd_per_hour: float | None = None,
        utilisation: float | None = None,
        mix: "str | tuple[float, float] | None" = None,
        doubt: str | None = None,
    ) -> None:
        """Any quantity of `bench.api.budget.NAMES`, by its name: SI units, dollars per million tokens, shares.

        The last three matter for dollars alone: the price of the machine's hour, the share of its hours that it
        serves, and input to output ("3:1") in place of the cell's own tokens.
        """
        __tracebackhide__ = True
        from bench.api import budget

        self._tell.guarded(
            lambda: budget.judged(
                of := self._at(usd_per_hour=usd_per_hour, utilisation=utilisation),
                name,
                budget.quantity(of, name, mix),
                budget.bound(min, max),
                priced=name in (*budget.DOLLARS, budget.GOOD),
            ),
            doubt,
        )

    def assert_usd_per_mtok(
        self,
        *,
        max: float | None = None,
        min: float | None = None,
        part: str | None = None,
        usd_per_hour: float | None = None,
        utilisation: float | None = None,
        mix: "str | tuple[float, float] | None" = None,
        doubt: str | None = None,
    ) -> None:
        """USD per million tokens, input and output together; `part`: of "input", "cached" or "output" tokens alone."""
        __tracebackhide__ = True
        name = "usd_per_mtok" if part is None else f"{part}_usd_per_mtok"
        said: dict[str, Any] = {"usd_per_hour": usd_per_hour, "utilisation": utilisation, "mix": mix}
        self.assert_figure(name, min=min, max=max, doubt=doubt, **said)

    def assert_cheaper_than(
        self,
        api: str,
        price: "tuple[float, float] | None" = None,
        *,
        by: float = 1.0,
        usd_per_hour: float | None = None,
        utilisation: float | None = None,
        mix: "str | tuple[float, float] | None" = None,
        doubt: str | None = None,
    ) -> None:
        """Costs at most 1/`by` of what the API asks for the same tokens. `price`: USD per million tokens in and out,
        in place of those that are known of the API."""
        __tracebackhide__ = True
        from bench.api import budget

        apis = (api,) if price is None else {api: price}
        self._tell.guarded(
            lambda: budget.compared(
                self._at(usd_per_hour=usd_per_hour, utilisation=utilisation, apis=apis), api, by, mix
            ),
            doubt,
        )

    def assert_decode_tokens_per_s(
        self, *, min: float | None = None, max: float | None = None, doubt: str | None = None
    ) -> None:
        """Output tokens per second of the whole batch, after the first."""
        __tracebackhide__ = True
        self.assert_figure("decode_tokens_per_s", min=min, max=max, doubt=doubt)

    def assert_output_tokens_per_s(
        self, *, min: float | None = None, max: float | None = None, doubt: str | None = None
    ) -> None:
        """Output tokens per second of the whole system, prefill included."""
        __tracebackhide__ = True
        self.assert_figure("output_tokens_per_s", min=min, max=max, doubt=doubt)

    def assert_ttft_s(self, *, max: float | None = None, min: float | None = None, doubt: str | None = None) -> None:
        """Seconds to the first token."""
        __tracebackhide__ = True
        self.assert_figure("ttft_s", min=min, max=max, doubt=doubt)

    def assert_tpot_s(self, *, max: float | None = None, min: float | None = None, doubt: str | None = None) -> None:
        """Seconds for each output token after the first."""
        __tracebackhide__ = True
        self.assert_figure("tpot_s", min=min, max=max, doubt=doubt)

    def assert_kl(self, *, max: float | None = None, min: float | None = None, doubt: str | None = None) -> None:
        """Mean divergence from the reference level, nats a token; of runs with a quality pass."""
        __tracebackhide__ = True
        self.assert_figure("kl_mean_nats", min=min, max=max, doubt=doubt)

    def assert_peak_bytes(self, *, max: float | None = None, min: float | None = None) -> None:
        """Peak memory, of the device where there is one."""
        __tracebackhide__ = True
        self.assert_figure("peak_bytes", min=min, max=max)

    def assert_valid(self) -> None:
        """That nothing at all speaks against the row."""
        __tracebackhide__ = True
        from bench.api import budget

        self._tell.guarded(lambda: budget.valid(self.entry), None)

    def _at(self, **choices: Any) -> "Entry":
        """The same cell at other prices: those of the command line's option where the test says none."""
        run = self._tell.priced(self.run, {key: value for key, value in choices.items() if value is not None})
        return next(one for one in run.entries if one.key == self.entry.key)


class LlmRun:
    """A run's cells: `cell(precision="nf4", …)` is one of them, `data` the whole as `bench.load` gives it."""

    def __init__(self, data: "Run", tell: "_Teller") -> None:
        self.data = data
        self._tell = tell

    def cell(self, **wanted: object) -> LlmCell:
        """Exactly one cell; fails with a list where the keys of `bench.api.budget.KEYS` leave none or several."""
        __tracebackhide__ = True
        from bench.api import budget

        return LlmCell(self.data, _or_fail(lambda: budget.one_of(self.data, wanted)), self._tell)

    @property
    def cells(self) -> list[LlmCell]:
        """All of them, for a test that asserts the same of each."""
        return [LlmCell(self.data, one, self._tell) for one in self.data.entries]


class LlmCost:
    """The fixture: `llm_cost(run folder, precision="nf4", batch_size=1)` gives one cell."""

    def __init__(self, tell: "_Teller", folder: Path) -> None:
        self._tell, self._folder = tell, folder

    def __call__(self, path: "str | PathLike[str] | None" = None, /, **wanted: object) -> LlmCell:
        """One cell of a stored run. `path`: its folder or journal; that of --llm-cost-results where none is named."""
        __tracebackhide__ = True
        return self.load(path).cell(**wanted)

    def load(self, path: "str | PathLike[str] | None" = None) -> LlmRun:
        """All cells of a stored run."""
        __tracebackhide__ = True
        said = path if path is not None else self._tell.config.getoption("--llm-cost-results")
        if said is None:
            pytest.fail("llm_cost: no run is named; give its folder, or --llm-cost-results")
        return LlmRun(self._tell.loaded(Path(said)), self._tell)

    def run(
        self,
        config: "str | PathLike[str]",
        *,
        budget_s: float | None = None,
        target: float | None = None,
        only: Sequence[str] = (),
        out: "str | PathLike[str] | None" = None,
        arguments: Sequence[str] = (),
    ) -> LlmRun:
        """Measure a config now, in a process of its own (`bench run`), and give its cells.

        `budget_s` seconds and `target` half-width are for each cell, as the options of `bench run`; `only` measures
        some cells. Records go to the test's temporary folder, or to `out`, where a later call goes on with what is
        stored. `arguments`: more options. Fails with the last lines of the command where that does.
        """
        __tracebackhide__ = True
        folder = Path(out) if out is not None else self._folder / "llm-cost" / Path(config).stem
        # -P: a folder called bench in the person's project is not ours.
        command = [sys.executable, "-P", "-m", "bench", "run", str(config), "--out", str(folder)]
        command += [] if budget_s is None else ["--budget-s", f"{budget_s:g}"]
        command += [] if target is None else ["--target", f"{target:g}"]
        command += [word for cell in only for word in ("--only", cell)]
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, errors="replace")
        if done.returncode != 0:
            told = "\n".join(done.stderr.splitlines()[-LAST_LINES:])
            shown = shlex.join(["bench", *command[4:], *arguments])
            pytest.fail(f"llm_cost: {shown} ended with exit code {done.returncode}\n{told}")
        return LlmRun(self._tell.loaded(folder, fresh=True), self._tell)


class _Teller:
    """Reads runs once a session, and tells pytest what came of a check."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self.config = request.config
        self._node = request.node
        self._known: dict[Any, Run] = request.config.stash.setdefault(_KNOWN, {})

    def loaded(self, path: Path, fresh: bool = False) -> "Run":
        """The run at a path; a run that cannot be read fails the test in one line."""
        __tracebackhide__ = True
        import bench

        key = (str(path.resolve()),)
        if fresh or key not in self._known:
            self._known[key] = _or_fail(lambda: bench.load(path))
        return self._known[key]

    def priced(self, run: "Run", said: Mapping[str, Any]) -> "Run":
        """The run at these choices of cost. Raises InputError."""
        hour = self.config.getoption("--llm-cost-usd-per-hour")
        said = ({} if hour is None else {"usd_per_hour": hour}) | dict(said)
        if not said:
            return run
        key = (run, repr(sorted(said.items())))
        if key not in self._known:
            self._known[key] = run.at(**said)
        return self._known[key]

    def guarded(self, judge: "Callable[[], Judgement]", doubt: str | None) -> None:
        """Ask for a judgement and act on it."""
        __tracebackhide__ = True
        if doubt is not None and doubt not in DOUBTS:
            pytest.fail(f"llm_cost: doubt must be one of {', '.join(DOUBTS)} (got {doubt!r})")
        found = _or_fail(judge)
        asked = doubt or self.config.getini("llm_cost_doubt")
        how = found.outcome if found.outcome != "doubt" else f"doubt ({asked})"
        self._node.user_properties.append((PROPERTY, f"{how:12}  {found.line}"))
        if found.outcome == "fail" or (found.outcome == "doubt" and asked == "fail"):
            pytest.fail(f"llm_cost: {found.text}")
        if found.outcome == "doubt" and asked == "skip":
            pytest.skip(f"llm_cost: {found.line}")
        if found.outcome == "doubt" and asked == "warn":
            warnings.warn(LlmCostDoubt(found.line), stacklevel=4)


def _or_fail(asked: Callable[[], T]) -> T:
    """What was asked for; a mistake of the person fails the test with its lines alone, without our own frames."""
    __tracebackhide__ = True
    from bench.errors import InputError

    try:
        return asked()
    except InputError as error:
        lines = error.lines
    pytest.fail("llm_cost: " + "\n".join(lines))


_KNOWN: "pytest.StashKey[dict[Any, Run]]" = pytest.StashKey()


@pytest.fixture
def llm_cost(request: pytest.FixtureRequest, tmp_path: Path) -> LlmCost:
    """Cells of stored runs, and budgets for them: `llm_cost(folder, precision="nf4").assert_usd_per_mtok(max=0.1)`."""
    return LlmCost(_Teller(request), tmp_path)
