"""What `bench run` does besides for cells under load: objectives, money, and what a dry run says of both."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bench.execute.under_load import Purse
    from bench.schema import Cell, CostChoices, Slo, Sweep


def objectives(planned: "tuple[Slo, ...]", given: "list[str] | None") -> "tuple[Slo, ...]":
    """The config's objectives, or those of the command line in their place. Raises InputError naming the option."""
    from bench.errors import InputError
    from bench.metrics.serving import slo

    if not given:
        return planned
    try:
        return tuple(slo.parse(one) for one in given)
    except InputError as error:
        # The parser says "slo 'TEXT': …", which names the option but for its dashes.
        raise InputError(*(f"--{line.removeprefix('--')}" for line in error.lines)) from None


def with_limit(cost: "CostChoices", max_spend: float | None) -> "CostChoices":
    """The choices with the command line's limit. Raises InputError where nothing is paid by the token."""
    from bench.errors import InputError

    if max_spend is None:
        return cost
    if cost.billed_as is None:
        raise InputError("--max-spend: does nothing without --billed-as, the API whose prices the endpoint asks")
    if not 0 < max_spend < 1e9:
        raise InputError(f"--max-spend: must be more than 0 dollars (got {max_spend:g})")
    return cost.model_copy(update={"max_spend_usd": max_spend})


def check_access(cells: "Sequence[Cell]") -> None:
    """Raises InputError before anything is measured or stored: for a variable that is not set, or a file that is
    missing, each cell would end as a failure of its own."""
    from bench import runners
    from bench.endpoint import access
    from bench.errors import InputError

    lines: dict[str, None] = {}
    for cell in cells:
        kind = runners.find(cell.runner.name)
        if not runners.serves(kind):
            continue
        endpoint = kind(cell.model, cell.precision, kind.Options.model_validate(cell.runner.options)).endpoint()  # type: ignore[attr-defined]
        try:
            access.target(endpoint, endpoint.base_url or "http://127.0.0.1/v1")
        except InputError as error:
            lines |= {f"runners.{line}": None for line in error.lines}
        if endpoint.ca_file is not None and not Path(endpoint.ca_file).is_file():
            lines[f"runners.ca_file: {endpoint.ca_file}: no such file; name a file of PEM certificates"] = None
    if lines:
        raise InputError(*lines)


def purse(cost: "CostChoices", folder: Path) -> "Purse | None":
    """What may be spent, and what the run's folder has cost already; None where nothing is paid by the token."""
    from bench import store
    from bench.cost import api_prices
    from bench.execute.under_load import Purse, spent_usd

    if cost.billed_as is None:
        return None
    api = api_prices.lookup(cost.billed_as, cost.as_of, cost.api_price_files)
    found = Purse(api, cost.max_spend_usd)
    if (folder / store.JOURNAL).is_file():
        found.spent_usd = sum(spent_usd(record) for record in store.read(folder, lambda _: None))
    return found


def bill_lines(cells: "Sequence[Cell]", sweep: "Sweep") -> list[str]:
    """What the cells under load will cost at a paid endpoint, one line each and their sum. Empty where none is paid."""
    from bench.cost import api_prices, billed

    cost = sweep.cost
    served = [cell for cell in cells if cell.traffic is not None]
    if cost.billed_as is None or not served:
        return []
    api = api_prices.lookup(cost.billed_as, cost.as_of, cost.api_price_files)
    lines, sums = [], []
    for cell in served:
        assert cell.traffic is not None
        bill = billed.bill_estimate(cell.traffic, api)
        lines.append(f"{cell.cell_id}  {bill.text()}")
        sums.append((bill.usd, bill.most_usd))
    limit = "" if cost.max_spend_usd is None else f"; --max-spend stops it before ${cost.max_spend_usd:g}"
    known = [(usual, most) for usual, most in sums if usual is not None and most is not None]
    missing = len(sums) - len(known)
    usual, most = (sum(one) * sweep.replicates for one in zip(*known, strict=True)) if known else (0.0, 0.0)
    and_more = f", and of {missing} cells nobody can say" if missing else ""
    # A cell goes on until it is precise: a bill of the fewest replicates alone would be too low.
    last = max(sweep.sampling.max_replicates, sweep.replicates)
    on = f", ${most * last / sweep.replicates:.4g} where precision takes all {last}" if last > sweep.replicates else ""
    lines.append(
        f"bill: about ${usual:.4g}, at most ${most:.4g} for {sweep.replicates} replicates of each at "
        f"{api.name}{on}{and_more}{limit}"
    )
    return lines
