"""Each entry held against each API: a line for every pair."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from bench.api.choices import OwnApi
from bench.api.flat import Line, three, with_interval
from bench.entries import mixed
from bench.entries.entry import Entry
from bench.entries.priced import ApiPrice, Asked, Priced
from bench.metrics.statistics import Estimate

SAME = ("key", "run", "model", "precision", "runner", "hardware", "kind", "workload", "batch_size", "level", "verdict")
"""Columns of `flat` that say whose line it is."""

COLUMNS = {
    **dict.fromkeys(("usd_per_hour", "utilisation"), "number"),
    "mix": "text",
    **three("usd_per_mtok"),
    **three("machine_usd_per_mtok"),
    "api": "name",
    **dict.fromkeys(("api_usd_per_mtok", "api_input_usd_per_mtok"), "number"),
    **dict.fromkeys(("api_cached_usd_per_mtok", "api_output_usd_per_mtok"), "number"),
    **three("ratio"),
    "cheaper": "name",
    **three("break_even_utilisation"),
    "api_source": "text",
    "api_stale": "flag",
    "no_dollars_because": "text",
}

SELF, API, UNTOLD = "self-hosting", "API", "cannot be told"
"""What `cheaper` says: whichever the whole interval of the ratio says; one replicate has no interval."""


def lines(entry: Entry, asked: Asked, mix: str) -> Iterator[Line]:
    """One for each API; one without an API where there is none, or where there are no dollars."""
    priced = entry.priced
    if priced is None:
        yield {"no_dollars_because": entry.no_dollars_because or entry.failure}
        return
    usd = mixed.usd_per_mtok(priced, asked)
    own: Line = {
        "usd_per_hour": priced.usd_per_hour,
        "utilisation": priced.utilisation,
        "mix": mix,
        **with_interval("usd_per_mtok", usd),
        **with_interval("machine_usd_per_mtok", mixed.machine_usd_per_mtok(priced, asked)),
        "no_dollars_because": None if usd is not None else entry.no_dollars_because or _unknown(asked),
    }
    if not priced.apis:
        yield own
    for api in priced.apis:
        yield own | _against(priced, api, asked)


def _unknown(asked: Asked) -> str:
    """Why an entry whose machine seconds are known has no dollars."""
    return "what this mix takes cannot be told" if asked.mix is not None else "nobody knows what its hour costs"


def _against(priced: Priced, api: ApiPrice, asked: Asked) -> Line:
    ratio = mixed.ratio(priced, api, asked)
    return {
        "api": api.api,
        "api_usd_per_mtok": mixed.api_usd_per_mtok(priced, api, asked),
        "api_input_usd_per_mtok": api.input_usd_per_mtok,
        "api_cached_usd_per_mtok": api.cached_usd_per_mtok,
        "api_output_usd_per_mtok": api.output_usd_per_mtok,
        **with_interval("ratio", ratio),
        "cheaper": None if ratio is None else cheaper(ratio),
        **with_interval("break_even_utilisation", mixed.break_even(priced, api, asked)),
        "api_source": api.source,
        "api_stale": api.stale,
    }


def cheaper(ratio: Estimate) -> str:
    """Which of the two costs less, by the whole interval of the ratio of our dollars to the API's.

    >>> cheaper(Estimate(0.8, 0.7, 0.9, 3)), cheaper(Estimate(0.8, 0.6, 1.1, 3)), cheaper(Estimate(0.8, None, None, 1))
    ('self-hosting', 'cannot be told', 'cannot be told')
    """
    if ratio.low is None or ratio.high is None:
        return UNTOLD
    return SELF if ratio.high < 1 else API if ratio.low > 1 else UNTOLD


def with_own(entries: Iterable[Entry], own: Sequence[OwnApi]) -> tuple[Entry, ...]:
    """The entries compared with these prices in place of any API's."""
    if not own:
        return tuple(entries)
    # What met the objectives has a mix of its own, which an entry does not tell: it is compared with nothing.
    return tuple(
        replace(
            one,
            priced=None if one.priced is None else _own_prices(one, one.priced, own),
            good=None if one.good is None else replace(one.good, apis=()),
        )
        for one in entries
    )


def _own_prices(entry: Entry, priced: Priced, own: Sequence[OwnApi]) -> Priced:
    """Of the entry's own tokens; as many of them are cached as with the APIs that were there."""
    if entry.input_tokens is None or entry.output_tokens is None:
        return replace(priced, apis=())
    cached = priced.apis[0].cached_tokens if priced.apis else entry.cached_tokens or 0.0
    fresh, out = entry.input_tokens - cached, entry.output_tokens
    tokens = entry.input_tokens + out
    return replace(
        priced,
        apis=tuple(
            ApiPrice(
                api=one.name,
                input_usd_per_mtok=one.input,
                cached_usd_per_mtok=one.cached,
                output_usd_per_mtok=one.output,
                usd_per_request=one.request,
                own_usd_per_mtok=(fresh * one.input + cached * one.cached + out * one.output + 1e6 * one.request)
                / tokens,
                cached_tokens=cached,
                fee_usd_per_mtok=1e6 * one.request / tokens,
                source="as stated",
            )
            for one in own
        ),
    )
