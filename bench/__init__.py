"""llm-cost-bench: what a million tokens cost on this hardware, and when that is cheaper than an API.

>>> import bench
>>> [name for name in dir(bench) if not name.startswith("_")]
['InputError', 'Run', 'load']

`bench.load` reads the folder of a run: docs/python-api.md. Importing this imports the standard library alone.
"""

from typing import TYPE_CHECKING

from bench.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.api import Place, Run

__version__ = "0.1.0"
__all__ = ["InputError", "Run", "__version__", "load"]


def load(path: "Place", *more: "Place", all_cells: bool = False, slo: "str | Sequence[str]" = ()) -> "Run":
    """Read folders of runs or suites, or journals (records.jsonl), of static batches, loads and other tools' results.

    `all_cells`: also those that left the config since. `slo`: objectives of cells under load in place of the config's,
    such as "ttft.p95<=500ms". Dollars are made with each run's own choices of cost; `Run.at` makes them with others.
    Raises InputError, one line for each mistake: a path that is no run, a run without records.
    """
    from bench import api

    return api.load(path, *more, all_cells=all_cells, slo=slo)


if not TYPE_CHECKING:  # type checkers know `Run` from above, and that there is nothing else

    def __getattr__(name):
        if name == "Run":
            from bench import api

            return api.Run
        raise AttributeError(f"module 'bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
