"""What an hour of a machine costs, and on whose word: stated, owned, or offered in the price list."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import groupby
from typing import Literal

from bench.cost import break_even, hardware_prices, owned
from bench.cost.hardware_prices import CPU, Offer
from bench.errors import InputError, nearest
from bench.schema import Accelerator, CostChoices, Environment, Machine, ModelFacts, PriceKind

RateKind = Literal["stated", "owned", "on_demand", "spot", "reserved", "managed", "serverless", "analyst"]

LISTED: tuple[PriceKind, ...] = ("on_demand", "spot", "reserved", "managed", "serverless", "analyst")
NAMES: dict[RateKind, str] = {
    "stated": "as stated",
    "owned": "owned",
    "on_demand": "on demand",
    "spot": "on spot",
    "reserved": "reserved",
    "managed": "as a managed service",
    "serverless": "serverless, while it serves",
    "analyst": "as an analyst estimates it",
}
"""What follows "$2.40 per hour" for each kind."""


@dataclass(frozen=True)
class HourlyRate:
    """USD per hour of everything the cell used, with the sentence that says where it comes from.

    `as_of` is the day on which the price was seen (the oldest, where several were added), None where there is none:
    of a stated or owned rate, and of an undated row. `flags` are the doubts that the sentence names too.

    The rate is for an hour that serves. `served_share` is the share of all hours that do: an owned machine's
    availability, a spot machine's availability / (1 + work done twice). Over a month, a machine costs rate · hours ·
    share and serves rate of tokens · hours · share.
    """

    usd_per_hour: float
    basis: str
    kind: RateKind = "stated"
    as_of: date | None = None
    flags: tuple[str, ...] = ()
    served_share: float = 1.0


@dataclass(frozen=True)
class Need:
    """So many of one part: devices, or CPUs."""

    count: int
    part: Accelerator | str

    @property
    def name(self) -> str:
        return self.part if isinstance(self.part, str) else self.part.name

    @property
    def cpu(self) -> bool:
        return isinstance(self.part, str) and self.part.split()[0].upper() == CPU


def of_machine(name: str | None, machines: Sequence[Machine], choices: CostChoices) -> CostChoices:
    """What is priced that ran on the fleet's machine of this name: at the hour that its entry states, else `choices`.

    An hour that is stated for all machines, or the price list, counts for those that state none of their own.
    """
    own = next((one for one in machines if one.name == name), None)
    if own is None or own.usd_per_hour is None:
        return choices
    return choices.model_copy(update={"usd_per_hour": own.usd_per_hour, "owned": None})


def rate(choices: CostChoices, environment: Environment, facts: ModelFacts) -> HourlyRate:
    """The hourly price: stated, else of the owned machine, else from the list by kind and provider.

    Stated and owned rates are for the whole machine. From the list, a run on accelerators pays for those that it used
    and a run on CPUs for the CPUs that it might use. What a file of the user offers wins over the list. Of
    the list, on demand and without a provider, only dated offers of grade A or B count; a named provider's, and other
    kinds, may be weaker where there is no better one, and say so.

    Raises InputError when the list has no price for the machine, naming the remedy, and for a price that is both
    stated and owned.
    """
    if choices.usd_per_hour is not None and choices.owned is not None:
        raise InputError("usd_per_hour and owned contradict each other; keep one of them")
    return _stated(choices) or _owned(choices) or _listed(choices, _needs(environment, facts))


def alternatives(choices: CostChoices, environment: Environment, facts: ModelFacts) -> list[HourlyRate]:
    """The rate of this machine by every kind of price that there is for it: stated, owned, then those of the list.

    A named provider's prices where it has that kind, else anybody's. Kinds without a price are left out; the list is
    empty where nobody knows any.
    """
    found = [one for one in (_stated(choices), _owned(choices)) if one is not None]
    try:
        needs = _needs(environment, facts)
    except InputError:
        return found
    for kind in LISTED:
        for provider in dict.fromkeys((choices.provider, None)):
            asked = choices.model_copy(update={"price_kind": kind, "provider": provider})
            try:
                found.append(_listed(asked, needs))
            except InputError:
                continue  # nobody offers it
            break
    return found


def for_part(name: str, count: int, choices: CostChoices) -> HourlyRate:
    """The rate of `count` devices called `name` ("NVIDIA H100 80GB", "H100", "L4"), or of so many CPUs ("CPU").

    From the list by kind and provider; a stated or owned rate is of another machine and is not used. Raises InputError
    for a name that is not known (with the nearest), that fits parts of two sizes, and for one without a price.
    """
    if count < 1:
        raise InputError(f"{count} × {name}: the number of devices must be at least 1")
    return _listed(choices, (Need(count, name),))


# --- whose word


def _stated(choices: CostChoices) -> HourlyRate | None:
    if choices.usd_per_hour is None:
        return None
    return HourlyRate(choices.usd_per_hour, f"${choices.usd_per_hour:g} per hour as stated")


def _owned(choices: CostChoices) -> HourlyRate | None:
    if choices.owned is None:
        return None
    usd = owned.hourly_usd(choices.owned).total_usd
    basis = f"{_usd(usd)} per hour owned = {owned.described(choices.owned)}"
    return HourlyRate(usd, basis, "owned", served_share=choices.owned.availability)


def _needs(environment: Environment, facts: ModelFacts) -> tuple[Need, ...]:
    """What the run used: devices by kind, or CPUs."""
    places = [place for place in facts.placement if place.startswith("cuda")]
    if not places:
        others = sorted({place.partition(":")[0] for place in facts.placement} - {"cpu", "disk"})
        if others:
            raise InputError(f"the price list has no row for {', '.join(others)}; give --usd-per-hour")
        return (Need(environment.cpu_usable, CPU),)
    devices = facts.accelerators or _by_index(places, environment)
    alike = [list(same) for _, same in groupby(sorted(devices, key=_part), key=_part)]
    return tuple(Need(len(same), same[0]) for same in alike)


def _by_index(places: list[str], environment: Environment) -> tuple[Accelerator, ...]:
    """The machine's devices by number, for facts that do not name theirs."""
    indexes = [int(place.partition(":")[2] or 0) for place in places]
    if max(indexes) >= len(environment.accelerators):
        raise InputError("the record does not name the accelerator that was used; give --usd-per-hour")
    return tuple(environment.accelerators[index] for index in indexes)


def _part(device: Accelerator) -> tuple[str, int]:
    return device.name, device.memory_bytes or 0


# --- the list


def _listed(choices: CostChoices, needs: Sequence[Need]) -> HourlyRate:
    """The sum over what is needed, each at the median of its offers."""
    kind = choices.price_kind
    on = choices.as_of or datetime.now(UTC).date()
    total, said, doubts = 0.0, [], []
    days: list[date | None] = []
    for need in needs:
        found = _offered(choices, need)
        offer = hardware_prices.middle(found)
        flags = offer.flags(on)
        total += offer.usd_per_unit_hour * need.count
        said.append(_sentence(need, offer, found, flags))
        doubts += flags
        days.append(offer.day)
    factor, because = 1.0, ""
    if kind == "spot":
        factor = break_even.spot_usd_per_hour(1.0, choices.spot_overhead, choices.spot_availability)
        because = (
            f", × (1 + {choices.spot_overhead:g}) / {choices.spot_availability:g}: "
            f"{choices.spot_overhead * 100:.4g}% of the work is done twice, "
            f"{choices.spot_availability * 100:.4g}% of the paid time serves"
        )
    way_out = "this machine's own price: --usd-per-hour" if needs[0].cpu else "another: --provider or --usd-per-hour"
    name = "" if kind == "on_demand" else f" {NAMES[kind]}"
    known = [day for day in days if day is not None]
    return HourlyRate(
        total * factor,
        f"{_usd(total * factor)} per hour{name} = {' + '.join(said)}{because}; {way_out}",
        kind,
        min(known) if len(known) == len(days) else None,
        tuple(dict.fromkeys(doubts)),
        1 / factor,
    )


def _sentence(need: Need, offer: Offer, found: Sequence[Offer], flags: Sequence[str]) -> str:
    row = offer.row
    doubt = f" [{', '.join(flags)}]" if flags else ""
    if need.cpu:
        where = f"the vCPU price of {offer.described()} (${offer.usd_per_hour:g} for {row.vcpus} vCPUs)"
        text = f"{need.count} CPUs at {where}{doubt}"
    else:
        called = "" if row.accelerator == need.name else f" (listed as {row.accelerator})"
        text = f"{need.count} × {need.name}{called} at {offer.described()}{doubt}"
    own = "own " if row.file else ""
    if len(found) == 1:
        return text if need.cpu else f"{text}, the only {own}offer"
    low, high = found[0].usd_per_unit_hour, found[-1].usd_per_unit_hour
    return f"{text}, the median of {len(found)} {own}offers from {_usd(low)} to {_usd(high)} each"


def _offered(choices: CostChoices, need: Need) -> Sequence[Offer]:
    """The offers that a rate is taken from, cheapest first: those of the user's files where there are any, of whatever
    grade, else dated ones of grade A or B where there are any."""
    found: Sequence[Offer] = hardware_prices.offers(
        choices.price_kind,
        need.part,
        choices.provider,
        as_of=choices.as_of,
        files=choices.hardware_price_files,
    )
    own = [offer for offer in found if offer.row.file]
    if own:
        return own
    if need.cpu and choices.provider is None:
        found = _usual_cpu(found) or found
    if choices.price_kind == "analyst":
        # What owning is reckoned to cost; an analyst's rents are reserved prices too.
        found = [offer for offer in found if offer.row.kind == "analyst"] or found
    trusted = [offer for offer in found if offer.trusted()]
    default = choices.price_kind == "on_demand" and choices.provider is None
    if not trusted and (default or not found):
        raise _nothing(choices, need, found)
    return trusted or found


def _usual_cpu(found: Sequence[Offer]) -> tuple[Offer, ...]:
    """Those of the instance that a CPU machine is priced by, unless something else is asked for."""
    return tuple(offer for offer in found if (offer.row.provider, offer.row.instance) == hardware_prices.DEFAULT_CPU)


def _nothing(choices: CostChoices, need: Need, weak: Sequence[Offer]) -> InputError:
    """Why there is no price, and the ways out."""
    whose = f" of {choices.provider}" if choices.provider else ""
    files = choices.hardware_price_files

    def has(kind: str, provider: str | None = choices.provider) -> bool:
        return bool(_quietly(lambda: hardware_prices.offers(kind, need.part, provider, files=files)))

    if weak or (choices.as_of is not None and has(choices.price_kind)):
        found = weak or hardware_prices.offers(choices.price_kind, need.part, choices.provider, files=files)
        providers = ", ".join(dict.fromkeys(offer.row.provider for offer in found))
        if choices.as_of is not None:
            what = f"no price for {need.name} that was surely asked on {choices.as_of}, only undated or weak ones"
            return InputError(f"the price list has {what} of {providers}; give --usd-per-hour")
        return InputError(
            f"the price list has no dated price of grade A or B for {need.name}, only weaker ones of {providers}: name "
            "one with --provider, or give --usd-per-hour"
        )
    kinds = [kind for kind in LISTED if kind != choices.price_kind and has(kind)]
    named = choices.price_kind.replace("_", "-")
    if kinds:
        what = f"no {named} price{whose} for {need.name}, but {' and '.join(kinds)} ones (--price-kind {kinds[0]})"
        return InputError(f"the price list has {what}; or give --usd-per-hour")
    if need.cpu and choices.provider:
        return InputError(f"the price list has no CPU instance{whose}; give --usd-per-hour")
    known = hardware_prices.part_names(files)
    if isinstance(need.part, str) and hardware_prices.part_name(need.name) not in known:
        return InputError(f"the price list does not know {need.name!r}; {nearest(need.name, known)}")
    return InputError(f"the price list has no row{whose} for {need.name}; give --usd-per-hour")


def _quietly(ask: Callable[[], Sequence[Offer]]) -> Sequence[Offer]:
    try:
        return ask()
    except InputError:
        return ()


def _usd(usd: float) -> str:
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.4f}"
