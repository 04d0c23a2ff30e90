"""A stored run, or several together: what `bench.load` gives."""

from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from bench import store
from bench.api import choices, costs, flat, samples
from bench.api.choices import Choices, Prices
from bench.cost import blend
from bench.entries import load as loading
from bench.entries.entry import Entry, Note, Report
from bench.entries.priced import Asked
from bench.errors import InputError
from bench.metrics.serving import slo as objectives
from bench.plan import suite_folder
from bench.schema import Cell, Environment, Record, Slo

if TYPE_CHECKING:
    from pandas import DataFrame

Place = str | PathLike[str]
Mix = str | tuple[float, float]
OWN = choices.Asked(lambda planned: planned)


def load(path: Place, *more: Place, all_cells: bool = False, slo: str | Sequence[str] = ()) -> "Run":
    """See `bench.load`."""
    paths = tuple(own for one in (path, *more) for own in suite_folder.members(Path(one)))
    texts = (slo,) if isinstance(slo, str) else tuple(slo)
    return Run(paths, OWN, all_cells, tuple(objectives.parse(one) for one in texts))


class Run:
    """Entries of one run or several, with the dollars that certain choices of cost make of them.

    Nothing in it changes: `at` gives another one.
    """

    def __init__(self, paths: tuple[Path, ...], asked: choices.Asked, all_cells: bool, slo: tuple[Slo, ...]) -> None:
        self.paths = paths
        self._asked, self._all_cells, self._slo = asked, all_cells, slo
        made = loading.report(paths, asked.choose, _silent, all_cells=all_cells, slo=slo or None)
        if asked.own:
            made = _with_own(made, asked)
        self._report = made

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every cell on every machine: figures, dollars, verdict, or why there are none."""
        return self._report.entries

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The distinct cells of the journals, as the config asked for them, quality passes included."""
        return tuple({one.cell.cell_id: one.cell for one in self.records()}.values())

    @property
    def environments(self) -> Mapping[str, Environment]:
        """Machines and versions, by the `machine` of an entry."""
        return self._report.environments

    @property
    def warnings(self) -> tuple[str, ...]:
        """What reading the journals complained about."""
        return self._report.warnings

    @property
    def notes(self) -> tuple[Note, ...]:
        """The small print: assumptions, sources and dates of prices, and the entries that each is about."""
        return self._report.notes

    @property
    def headline(self) -> str:
        """The answer in a sentence or two."""
        return self._report.headline

    def records(self) -> Iterator[Record]:
        """Every record of the journals, oldest first, read anew from the disk."""
        for path in self.paths:
            yield from store.read(path, _silent)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        rows = f"{len(self)} {'entry' if len(self) == 1 else 'entries'}"
        return f"Run({', '.join(str(one) for one in self.paths)}: {rows})"

    # --- other prices

    def at(self, prices: Prices | None = None, **said: Unpack[Choices]) -> "Run":
        """The same records with the dollars of other choices; no new measurement.

        `prices` stands in place of the `cost:` of the run's config: a mapping of its keys, `CostChoices`, or the path
        of a YAML file with them; or name → (USD per million tokens in, out), prices of one's own that the entries are
        then compared with. Keywords win over both, as options of `bench report` do; what neither says stays as it is
        here. Raises InputError naming the key.
        """
        asked = choices.asked(prices, dict(said), self._asked)
        return Run(self.paths, asked, self._all_cells, self._slo)

    # --- data frames

    def table(self, columns: Sequence[str] | str | None = None, sort: Sequence[str] | str | None = None) -> "DataFrame":
        """One row an entry, failed ones too, with every figure unrounded and in the unit that its name says.

        An estimate `x` has the ends of its 95 % interval in `x_low` and `x_high`. `columns`: these alone; `sort`: by
        these, "-x" descending. Raises InputError for a name that is no column.
        """
        return flat.chosen(flat.frame([flat.line(one) for one in self.entries], flat.kinds()), columns, sort)

    def costs(self, prices: Prices | None = None, *, mix: Mix | None = None, **said: Unpack[Choices]) -> "DataFrame":
        """One row for each entry and API, at these choices of cost (see `at`); the run's own where none are given.

        `mix`: of uncached input to output, such as "3:1" or (3, 1), in place of the entry's own tokens. `ratio` is our
        dollars over the API's, `break_even_utilisation` the share of the hours from which self-hosting is cheaper
        (above 1: never), `cheaper` whose price is lower by the whole interval.
        """
        run = self.at(prices, **said) if prices is not None or any(v is not None for v in said.values()) else self
        asked, text = mixture(mix)
        same = {name: flat.kinds()[name] for name in costs.SAME}
        lines = [flat.line_of(one, same) | line for one in run.entries for line in costs.lines(one, asked, text)]
        return flat.frame(lines, same | costs.COLUMNS)

    def samples(self, metric: str) -> "DataFrame":
        """Raw values of `ttft_s`, `tpot_s` or `e2el_s` (a row for each timed round of a batch, or request in the steady
        window of a load, ascending), or of `import_s`, `load_s` or `first_generate_s` (a row for each process).

        Rounds of one process resemble each other: the unit of an interval is the replicate. `set_aside`: the replicate
        is worthless of itself and counts for no figure where there are others. Raises InputError for another metric.
        """
        samples.checked(metric)
        lines = [line for path in self.paths for line in samples.lines(path, metric, self.entries)]
        return flat.frame(lines, {**samples.COLUMNS, metric: "number"})

    # --- for others to read

    def report(self, path: Place) -> Path:
        """Write the page: one HTML file with everything in it. Returns its path."""
        from bench.page import document

        target = Path(path)
        document.write(self._report, target)
        return target

    def markdown(self, columns: str | None = None, sort: str | None = None) -> str:
        """The table in Markdown. `columns` and `sort` as in `bench report --columns … --sort …`."""
        return self._rendered("md", columns, sort)

    def latex(self, columns: str | None = None, sort: str | None = None) -> str:
        """The table in LaTeX, with booktabs."""
        return self._rendered("latex", columns, sort)

    def _repr_html_(self) -> str:
        """What a notebook shows: the table as a fragment, every text escaped."""
        return self._rendered("html", None, None)

    def _rendered(self, form: str, columns: str | None, sort: str | None) -> str:
        from bench.publish import tables

        return tables.render(self._report, form, columns, sort)


def _with_own(of: Report, asked: choices.Asked) -> Report:
    from dataclasses import replace

    from bench.entries import headline

    entries = costs.with_own(of.entries, asked.own)
    return replace(of, entries=entries, headline=headline.headline(entries, Asked(), None))


def mixture(said: Mix | None) -> tuple[Asked, str]:
    """What a mix asks of the formulas, and its name. Raises InputError for what is none."""
    if said is None:
        return Asked(), "own tokens"
    pair: Any = said
    if not isinstance(said, str):
        if len(pair) != 2:
            raise InputError(f"mix: must be a pair of input and output, such as (3, 1) (got {said!r})")
        said = f"{pair[0]:.15g}:{pair[1]:.15g}"
    found = blend.parse(said, "mix")
    return Asked(mix=(float(found.input_parts), float(found.output_parts))), found.name


def _silent(_: str) -> None:
    """What reading complains about stands in `Run.warnings`."""
