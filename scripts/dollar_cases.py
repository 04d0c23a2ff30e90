"""Rows that were made up, priced in every way there is: what scripts/dollar_vectors.py writes vectors of."""

import random
from dataclasses import replace
from datetime import date
from typing import Any

from bench.cost import attribution
from bench.cost.attribution import Point, Split
from bench.entries.priced import ApiPrice, Priced
from bench.entries.pricing import mixing_of
from bench.metrics.statistics import Estimate

DAY = date(2026, 11, 1)
TRUE_S = (0.0008, 0.0001, 0.021)
"""Seconds of a token of each kind, before noise."""
LENGTHS = ((2048, 0, 16), (512, 0, 512), (128, 0, 1024), (1024, 0, 128), (4096, 0, 64))


def apis(input_tokens: int, cached: int, output_tokens: int, *more: ApiPrice) -> tuple[ApiPrice, ...]:
    """A cheap one, a dear one whose input is cheap (so that the mix decides), and one with a fee for each request."""
    tokens = input_tokens + cached + output_tokens

    def one(name: str, fresh: float, of_cached: float, output: float, fee: float = 0.0, **changed: Any) -> ApiPrice:
        own = (input_tokens * fresh + cached * of_cached + output_tokens * output) / tokens + fee * 1e6 / tokens
        known: dict[str, Any] = {"source": "made up", "model_id": name, "confirmed": DAY}
        prices = (fresh, of_cached, output, fee, own)
        return ApiPrice(name, *prices, fee_usd_per_mtok=fee * 1e6 / tokens, cached_tokens=cached, **known | changed)

    return (
        one("sample/even", 0.6, 0.3, 0.7),
        one("sample/steep", 0.05, 0.0125, 4.0, tokens_per_own=1.08),
        one("sample/fee", 0.01, 0.01, 0.02, fee=0.005, stale=True),
        *more,
    )


def seconds(tokens: tuple[int, int, int], replicates: int, rng: random.Random, spread: float) -> list[float]:
    """Of each replicate, with the noise of a quiet machine."""
    true = sum(count * one for count, one in zip(tokens, TRUE_S, strict=True))
    return [true * rng.lognormvariate(0, spread) for _ in range(replicates)]


def point(tokens: tuple[int, int, int], replicates: int, seed: int, spread: float = 0.03) -> Point:
    return Point(*tokens, seconds(tokens, replicates, random.Random(seed), spread))


def of_split(row: Point, split: Split, usd_per_hour: float = 1.2, **changed: Any) -> Priced:
    """A row at $1.2 an hour and full load, unless `changed`."""
    time = row.time()

    def part(of: Estimate | None) -> Estimate | None:
        return None if of is None else of.times(3600 / usd_per_hour)

    known: dict[str, Any] = {
        "utilisation": 1.0,
        "split": attribution.method_text(split.method, None, 4.0),
        "day": DAY,
        "usd_per_hour": usd_per_hour,
        "rate_basis": "as stated",
        "own_s_per_mtok": time.times(1e6 / sum(row.tokens)),
        "input_s_per_mtok": part(split.input_usd_per_mtok),
        "cached_s_per_mtok": part(split.cached_usd_per_mtok),
        "output_s_per_mtok": part(split.output_usd_per_mtok),
        "floor_s_per_mtok": time.value * 1e6 / sum(row.tokens) / 3,
        "mixing": mixing_of(split),
        "apis": apis(row.input_tokens, row.cached_tokens, row.output_tokens),
        "asked_utilisation": 1.0,
    }
    return Priced(**known | changed)


def by_time(tokens: tuple[int, int, int], replicates: int, fit: attribution.Fit | None = None, **more: Any) -> Priced:
    row = point(tokens, replicates, seed=sum(tokens) + replicates)
    prefill_s = [whole * (0.3 + 0.01 * (at % 4)) for at, whole in enumerate(row.seconds)]
    return of_split(row, attribution.by_time(row, prefill_s, 1.2, 1.0, fit), **more)


def by_fit(points: list[Point], **more: Any) -> Priced:
    """The second of these rows."""
    row = points[1]
    return of_split(row, attribution.by_fit(row, attribution.fit(points), 1.2), **more)


def exact(usd: float, n: int = 3) -> Estimate:
    return Estimate(usd, usd, usd, n)


def cases() -> dict[str, Priced]:
    """Every way in which a row can be priced."""
    plain_, short, cached = (512, 0, 512), (128, 0, 64), (512, 1536, 256)
    grid = [point(tokens, 3, seed=at) for at, tokens in enumerate(LENGTHS)]
    uneven = [point(tokens, 2 + 3 * at, seed=40 + at) for at, tokens in enumerate(LENGTHS)]
    bound = [Point(*tokens, [0.02 * tokens[2] * factor for factor in (1.0, 1.04)]) for tokens in LENGTHS]
    with_cached = [*grid, point(cached, 4, seed=7), point((64, 4000, 32), 3, seed=8)]
    over = attribution.fit(with_cached)
    ratio_row, power = point(short, 3, seed=3), Estimate(0.08, 0.075, 0.0853, 3)
    in_doubt = replace(by_time(short, 3), usd_per_hour=0.32)
    return {
        "time": by_time(plain_, 3),
        "time, one replicate": by_time(plain_, 1),
        "time, two replicates": by_time(short, 2),
        "time, 12 replicates": by_time(short, 12, utilisation=0.4, asked_utilisation=0.4),
        "time, 40 replicates": by_time(short, 40),
        "time, cached prompt": by_time(cached, 3),
        "time, cached prompt divided by a fit": by_time(cached, 3, over),
        "time, cached prompt divided by an exact fit": by_time(cached, 3, attribution.fit(exact_fit())),
        "fit": by_fit(grid),
        "fit, unlike replicates": by_fit(uneven),
        "fit, its own lengths decide": by_fit([grid[0], grid[1]]),
        "fit, one replicate a row": by_fit([point(tokens, 1, seed=9 + at) for at, tokens in enumerate(LENGTHS)]),
        "fit, exact and one replicate": by_fit([point(tokens, 1, seed=4) for tokens in LENGTHS[:2]]),
        "fit, input at zero": by_fit(bound),
        "fit, cached prompt": by_fit([grid[0], with_cached[5], *grid[1:], with_cached[6]]),
        "ratio": of_split(ratio_row, attribution.by_ratio(ratio_row, 4.0, 1.2), utilisation=0.6),
        "no split": by_time(plain_, 3, mixing=None, input_s_per_mtok=None, output_s_per_mtok=None),
        "one-off": by_time(short, 3, beside_usd_per_mtok=exact(0.2)),
        "owned, one-off and electricity": by_time(
            short,
            3,
            rate_kind="owned",
            beside_usd_per_mtok=Estimate(0.28, 0.275, 0.2853, 3),
            electricity_beside_usd_per_mtok=power,
        ),
        "owned, electricity": by_time(
            short, 3, rate_kind="owned", beside_usd_per_mtok=power, electricity_beside_usd_per_mtok=power
        ),
        "beside without an interval": by_time(short, 3, beside_usd_per_mtok=Estimate(0.05, None, None, 1)),
        "beside may be more than the API": by_time(short, 3, beside_usd_per_mtok=Estimate(0.6, 0.5, 0.72, 3)),
        "beside is more than the API": by_time(short, 3, beside_usd_per_mtok=exact(9.0)),
        "serverless": by_time(short, 3, rate_kind="serverless", idles=False, asked_utilisation=0.5),
        "in doubt": in_doubt,
        "nobody knows the hour": replace(by_time(short, 3), usd_per_hour=None),
        "billed": billed((0.4, 1.6)),
        "billed, parts not known": billed(None),
        "an API that asks nothing": by_time(
            short, 3, apis=(ApiPrice("sample/free", 0, 0, 0, 0, 0), *apis(128, 0, 64)[:1])
        ),
        "no API": by_time(short, 3, apis=()),
        "no API, flagged": by_time(short, 3, apis=(), rate_flags=("undated", "grade C")),
        "an API that asks next to nothing": by_time(
            short, 3, apis=(*apis(128, 0, 64), ApiPrice("sample/tiny", 1e-6, 1e-6, 2e-6, 0, 4e-6 / 3))
        ),
    }


def exact_fit() -> list[Point]:
    """As many rows as there are kinds, and one replicate: nobody knows its error."""
    return [point(tokens, 1, seed=5) for tokens in (LENGTHS[0], LENGTHS[1], (512, 1536, 256))]


def billed(parts: tuple[float, float] | None) -> Priced:
    return Priced(
        utilisation=1.0,
        split="paid by the token",
        day=DAY,
        rate_basis="as sample/even charged",
        rate_kind="billed",
        idles=False,
        billed_usd_per_mtok=exact(0.8, 2),
        billed_parts_usd_per_mtok=parts,
        apis=apis(128, 0, 64),
    )
