"""`bench plan RUN… --requests-per-s X`: the cheapest way to serve a load. Imports no engine."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.choices import Given, with_cost_options
from bench.cli.project import ONTO_HELP, RUNS_HELP

if TYPE_CHECKING:
    from bench.whatif.load import Limits, Load

LEAST, MOST = 1e-6, 1e12
"""Of every number that has to be above 0: what lies beyond is a slip of the finger, and overflows."""


def add_to(app: typer.Typer) -> None:
    app.command(
        name="plan",
        epilog="Example: bench plan results/local/quickstart --requests-per-s 2 --input-tokens 512 --output-tokens 128 "
        "--ttft-ms 2000 --onto L4",
    )(with_cost_options(plan))


def plan(
    runs: Annotated[list[Path], typer.Argument(help=RUNS_HELP, show_default=False)],
    requests_per_s: Annotated[float, typer.Option("--requests-per-s", help="The load.", show_default=False)],
    input_tokens: Annotated[int, typer.Option(help="Prompt tokens of a request.", show_default=False)],
    output_tokens: Annotated[int, typer.Option(help="New tokens of a request.", show_default=False)],
    cached_tokens: Annotated[int, typer.Option(help="Of the prompt, tokens that are cached.")] = 0,
    ttft_ms: Annotated[float | None, typer.Option(help="Limit of the time to the first token.")] = None,
    tpot_ms: Annotated[float | None, typer.Option(help="Limit of the time per output token.")] = None,
    e2el_ms: Annotated[float | None, typer.Option(help="Limit of the time to the last token.")] = None,
    max_utilisation: Annotated[float, typer.Option(help="How busy a replica may be, above 0 to 1.")] = 0.7,
    onto: Annotated[list[str] | None, typer.Option(help="Also estimates for: " + ONTO_HELP)] = None,
    memory_share: Annotated[float, typer.Option(help="Share of such a device's memory that may be used.")] = 0.9,
    budget_usd_per_month: Annotated[float | None, typer.Option(help="Limit of the cost.")] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="table, md, csv or json.")] = "table",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file instead of the screen.")] = None,
    *,
    given: Given,
) -> None:
    """The cheapest way to serve a load: which row, how many replicas, or which API, in dollars per month.

    Candidates are the measured rows, each with its hardware, precision and batch; estimates for hardware named by
    --onto; and APIs. --usd-per-hour, and what --cost says of the machine's price, is for the one that was measured.
    """
    from bench.cli import project, warn
    from bench.errors import InputError
    from bench.plan.folder import write_text
    from bench.whatif import plan_text
    from bench.whatif.candidates import considered
    from bench.whatif.carry import Asked

    project.check_form(form)
    load = _load(requests_per_s, input_tokens, output_tokens, cached_tokens, max_utilisation)
    limits = _limits(ttft_ms, tpot_ms, e2el_ms, budget_usd_per_month)
    share = project.checked_share("--memory-share", memory_share)
    found = project.sources(runs, given, warn)
    if given.get("utilisation") is not None:
        raise InputError("--utilisation: a plan computes it from the load; --max-utilisation bounds it")
    targets = project.targets_of(onto or (), None, {}, warn)
    prices = {id(one): project.priced(one.cost, {**given, "usd_per_hour": None}) for one in found}
    ways = considered(found, targets, load, limits, lambda one: Asked(prices[id(one)], memory_share=share))
    if all(one.kind == "api" for one in ways.candidates):
        raise InputError(f"no row can serve this load; {ways.left_out[0].removeprefix('left out: ')}")
    text = plan_text.render(ways, load, limits, form, width=shutil.get_terminal_size((120, 24)).columns)
    if out is not None:
        write_text(out, text)
    else:
        print(text, end="")


def _load(per_s: float, prompt: int, new: int, cached: int, max_utilisation: float) -> "Load":
    """Raises InputError naming the option."""
    from bench.cli.project import checked_share
    from bench.errors import InputError
    from bench.whatif.load import Load

    _positive("--requests-per-s", per_s)
    for option, tokens in (("--input-tokens", prompt), ("--output-tokens", new)):
        if not 1 <= tokens <= 1_000_000_000:
            raise InputError(f"{option}: {tokens} is not at least 1 (and at most a billion)")
    if cached < 0:
        raise InputError(f"--cached-tokens: {cached} is below 0")
    if cached >= prompt:
        raise InputError(f"--cached-tokens: {cached} must be below --input-tokens ({prompt})")
    return Load(per_s, prompt, new, cached, checked_share("--max-utilisation", max_utilisation))


def _limits(ttft_ms: float | None, tpot_ms: float | None, e2el_ms: float | None, budget: float | None) -> "Limits":
    from bench.whatif.load import Limits

    for option, value in (
        ("--ttft-ms", ttft_ms),
        ("--tpot-ms", tpot_ms),
        ("--e2el-ms", e2el_ms),
        ("--budget-usd-per-month", budget),
    ):
        if value is not None:
            _positive(option, value)
    ttft_s, tpot_s, e2el_s = (None if value is None else value / 1e3 for value in (ttft_ms, tpot_ms, e2el_ms))
    return Limits(ttft_s, tpot_s, e2el_s, budget)


def _positive(option: str, value: float) -> None:
    from bench.errors import InputError

    if not LEAST <= value <= MOST:
        raise InputError(f"{option}: {value:g} is not a number above 0 (at least {LEAST:g}, at most {MOST:g})")
