"""Claim: prices settle 90 % and more below the level that GPT-4 fell to."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from bench.claims import gpt4_fall, hosts
from bench.claims.claim import QUALITY, Claim, Verdict, money, percent
from bench.claims.hosts import Listing
from bench.cost.blend import parse

SUBJECTS = ("gpt-oss-120b", "Llama-3.3-70B")
FALL = Decimal("0.90")


def claim(as_of: date | None = None, files: Sequence[str] = ()) -> Claim:
    """Every host of two open models at 80/20, against a tenth of the price that GPT-4 fell to."""
    reached = gpt4_fall.claim(as_of, files).figures.get("last_usd_per_mtok", gpt4_fall.CLAIMED_USD)
    level = Decimal(str(reached))
    limit = level * (1 - FALL)
    lines = [f"{_whole(FALL)} below {money(level)} is {money(level)} · {1 - FALL:.1f} = {money(limit)} or less"]
    figures: dict[str, float] = {"level_usd_per_mtok": float(level), "limit_usd_per_mtok": float(limit)}
    used: list[Listing] = []
    below = total = 0
    for model in SUBJECTS:
        own, routers = hosts.listings(model, parse(gpt4_fall.BLEND), as_of, files)
        used += [*own, *routers]
        below += sum(one.usd <= limit for one in own)
        total += len(own)
        lines += _lines(model, own, routers, level, limit)
        figures |= _figures(model, own, limit)
    return Claim(
        title=f"{_whole(FALL)} below",
        statement=f"Prices will likely settle {_whole(FALL)} and more below {money(level)} per million tokens.",
        arithmetic=tuple(lines),
        sources=hosts.sources(used, as_of),
        verdict=_verdict(below, total),
        because=_because(below, total, limit),
        figures=figures | {"listings_below": float(below), "listings": float(total)},
    )


def _lines(model: str, own: Sequence[Listing], routers: Sequence[Listing], level: Decimal, limit: Decimal) -> list[str]:
    if not own:
        return [f"{model}: no host has a price on that day"]
    low, high = own[0], own[-1]
    if low is high:
        return [
            f"{model}, one listing of a host at {gpt4_fall.BLEND}: {money(low.usd)} at {low.described()}: "
            f"{_change(low, level)}",
            *_at_routers(model, routers),
        ]
    met = sum(one.usd <= limit for one in own)
    return [
        f"{model}, {len(own)} listings of hosts at {gpt4_fall.BLEND}: {money(low.usd)} at {low.described()} to "
        f"{money(high.usd)} at {high.described()}: {_change(low, level)} to {_change(high, level)}; "
        f"{met} of {len(own)} at {money(limit)} or less",
        f"{model}, all: " + ", ".join(f"{_short(one)} {money(one.usd)}" for one in own),
        *_at_routers(model, routers),
    ]


def _at_routers(model: str, routers: Sequence[Listing]) -> list[str]:
    if not routers:
        return []
    ends = " to ".join(dict.fromkeys(money(one.usd) for one in (routers[0], routers[-1])))
    return [f"{model} at {len(routers)} router{'' if len(routers) == 1 else 's'}: {ends} (not counted)"]


def _whole(share: Decimal) -> str:
    return f"{share:.0%}"


def _change(of: Listing, level: Decimal) -> str:
    return percent(float(of.usd / level) - 1)


def _short(of: Listing) -> str:
    """The host, and what it calls the listing where that says more than the model: a variant of another quality."""
    variant = [word for word in ("Turbo", "Ultra", "specdec", "fp8-fast") if of.name.lower().endswith(word.lower())]
    return f"{of.provider} {variant[0]}" if variant else of.provider


def _verdict(below: int, total: int) -> Verdict:
    """Price alone: whether it is the same thing that is sold nobody here has compared."""
    if not total:
        return "cannot be told here"
    return "partly" if below else "does not hold"


def _because(below: int, total: int, limit: Decimal) -> str:
    if not total:
        return "no host of these models has a price on that day."
    return (
        f"{below} of {total} listings are at {money(limit)} or less; others are not. It is about other, open models "
        f"than the one that cost more, and means something only at equal quality: {QUALITY}. Variants (Turbo, fp8) may "
        "be quantised."
    )


def _figures(model: str, own: Sequence[Listing], limit: Decimal) -> dict[str, float]:
    if not own:
        return {}
    return {
        f"{model} lowest_usd_per_mtok": float(own[0].usd),
        f"{model} highest_usd_per_mtok": float(own[-1].usd),
        f"{model} listings": float(len(own)),
        f"{model} listings_below": float(sum(one.usd <= limit for one in own)),
    }
