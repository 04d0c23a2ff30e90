"""OpenAI's flagship prices from before the price packages were dated, out of `openai_flagship_timeline.csv`.

What is assumed, because the file does not say it:

- A month without a day ("2023-11") counts from the last day of that month: a price is never said to hold earlier than
  it did.
- Nothing was cheaper for being cached: the file lists no cached prices, so the input price stands for them.
- Each row is the price from its date on; when it ended it does not say, so nothing vouches for it later
  (`confirmed` is the date itself).
- The undated name `gpt-4o` means the dated model that was current: that of 2024-05-13 at first, that of 2024-08-06 from
  2024-10-02, the day on which OpenAI moved the name (its model page of that month, as quoted in
  github.com/enricoros/big-AGI pull request 665; on 2024-09-20 promptfoo's pull request 1728 still read 5/15 for it).
"""

import csv
from calendar import monthrange
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files

from bench.cost.apis.quote import Quote
from bench.cost.tariff import Tariff, Tier

PROVIDER = "openai"
SOURCE = "OpenAI price timeline"

_SERVED_BY = {
    "gpt-4o": ((None, "gpt-4o-2024-05-13"), (date(2024, 10, 2), "gpt-4o-2024-08-06")),
    "gpt-4o-mini-2024-07-18": ((None, "gpt-4o-mini"),),
}
"""Names that stand for the models of rows: from which day (None: the row's own) for which one."""


def quotes(provider_id: str, model_id: str) -> tuple[Quote, ...]:
    """Prices of a flagship, ascending; empty for whatever the timeline does not list.

    >>> [(str(one.valid_from), str(one.tariff.at(0).input)) for one in quotes("openai", "gpt-4o")]
    [('2024-05-13', '5'), ('2024-10-02', '2.5')]
    """
    return _quotes().get(model_id, ()) if provider_id == PROVIDER else ()


@cache
def models() -> frozenset[tuple[str, str]]:
    """Every (provider, model id) of the timeline, undated names included."""
    return frozenset((PROVIDER, model_id) for model_id in _quotes())


def first_day(text: str) -> date:
    """A day, or the last day of a month.

    >>> first_day("2024-05-13"), first_day("2023-11")
    (datetime.date(2024, 5, 13), datetime.date(2023, 11, 30))
    """
    if len(text) == len("2023-11"):
        year, month = (int(part) for part in text.split("-"))
        return date(year, month, monthrange(year, month)[1])
    return date.fromisoformat(text)


@cache
def _quotes() -> dict[str, tuple[Quote, ...]]:
    found: dict[str, tuple[Quote, ...]] = {}
    with (files("bench.data") / "openai_flagship_timeline.csv").open(encoding="utf-8") as text:
        for row in csv.DictReader(text):
            price, first = Decimal(row["input_usd_per_mtok"]), first_day(row["date"])
            tariff = Tariff((Tier(-1, price, price, Decimal(row["output_usd_per_mtok"])),))
            quote = Quote(SOURCE, PROVIDER, row["model_id"], tariff, "documented", first, first)
            found[row["model_id"]] = (*found.get(row["model_id"], ()), quote)
    for name, served_by in _SERVED_BY.items():
        found[name] = tuple(_moved(found[dated][0], name, since) for since, dated in served_by)
    return found


def _moved(quote: Quote, name: str, since: date | None) -> Quote:
    first = since or quote.valid_from
    return Quote(f"{SOURCE} ({quote.model_id})", PROVIDER, name, quote.tariff, quote.basis, first, first)
