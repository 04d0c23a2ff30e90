"""When self-hosting is cheaper than an API: from what utilisation and volume on, and if it is not always on.

R is USD per hour of a replica, X its requests per second at full load, p what the API asks for the same request and v
what a request costs beside the hour (one-off costs, owned electricity). A month has 8760/12 = 730 hours.

    utilisation   u* = self cost at full load / API cost of the same requests; above 1 is never
    volume        V* = fixed USD a month / (p − v), if that is within the capacity X·3600·730 of a replica
    replicas      whole ones: the volume over the capacity of one, rounded up
    spot          R of the spot market · (1 + work done twice) / availability, for an hour that serves
    served share  an hourly price may be for hours that serve: of a spot machine availability / (1 + work done twice)
                  of all hours do, of an owned one its availability; a month has 730 · share of them to pay and to use

Because replicas are whole, self-hosting may be cheaper at some volume, dearer just above what one replica can serve,
and cheaper again: so there is a first volume and one from which it stays so for good. Pure. Thresholds are decided in
fractions, exactly for the floats that come in; the error of the floats that go out is below 1e-14 of them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from bench.cost.bounds import MOST_USD, not_negative, positive, price, share_of_one
from bench.cost.dollars import MTOK, SECONDS_PER_HOUR
from bench.cost.duty import ALWAYS, Duty
from bench.errors import InputError
from bench.metrics.statistics import Estimate

SWEEP = tuple(tenth / 10 for tenth in range(1, 11))
"""Utilisations from 10 % to 100 %."""


# --- utilisation -------------------------------------------------------------------------------------------------


def utilisation(self_usd_at_full_load: Estimate, api_usd: float) -> Estimate:
    """The utilisation from which self-hosting is cheaper for the same requests; above 1 it never is.

    $0.60 (0.50 to 0.72) here against $1 there:

    >>> utilisation(Estimate(0.60, 0.50, 0.72, 5), 1.0)
    Estimate(value=0.6, low=0.5, high=0.72, n=5)
    """
    positive("--usd-per-hour", self_usd_at_full_load.value)
    return self_usd_at_full_load.times(1 / positive("--api", api_usd))


def added(parts: Sequence[Estimate]) -> Estimate:
    """The sum of costs, low with low and high with high; without an interval where one of them has none.

    Exact for costs that hang on one another; wider than need be for those that do not.

    >>> added([Estimate(2.0, 1.0, 4.0, 5), Estimate(0.5, 0.25, 1.0, 3)])
    Estimate(value=2.5, low=1.25, high=5.0, n=3)
    """
    lows = [one.low for one in parts if one.low is not None]
    highs = [one.high for one in parts if one.high is not None]
    known = len(lows) == len(highs) == len(parts)
    low, high = (sum(lows), sum(highs)) if known else (None, None)
    return Estimate(sum(one.value for one in parts), low, high, min(one.n for one in parts))


def utilisation_beside(self_usd_at_full_load: Estimate, beside_usd: Estimate, api_usd: float) -> Estimate | None:
    """The same where a request costs something beside the hour, at any utilisation: full load / (p − v).

    An end at which that alone is as much as the API asks is infinite: never. None where all of it is never. $0.30 here
    and $0.40 beside it, against $1; then $0.40 to $1.20 beside it:

    >>> utilisation_beside(Estimate(0.30, 0.24, 0.36, 5), Estimate(0.40, 0.40, 0.40, 5), 1.0)
    Estimate(value=0.5, low=0.4, high=0.6, n=5)
    >>> utilisation_beside(Estimate(0.30, 0.24, 0.36, 5), Estimate(0.70, 0.40, 1.20, 5), 1.0).high
    inf
    """
    positive("--usd-per-hour", self_usd_at_full_load.value)
    positive("--api", api_usd)

    def end(own: float, beside: float) -> float:
        return own / (api_usd - beside) if beside < api_usd else math.inf

    own, beside = self_usd_at_full_load, beside_usd
    value, n = end(own.value, beside.value), min(own.n, beside.n)
    if own.low is None or own.high is None or beside.low is None or beside.high is None:
        return None if value == math.inf else Estimate(value, None, None, n)
    low = end(own.low, beside.low)
    return None if low == math.inf else Estimate(value, low, end(own.high, beside.high), n)


def utilisation_of_rates(
    devices: int,
    usd_per_device_hour: float,
    input_tokens_per_s: float,
    output_tokens_per_s: float,
    input_usd_per_mtok: float,
    output_usd_per_mtok: float,
) -> float:
    """The same from rates: G·R·10⁶ / [3600·(T_in·p_in + T_out·p_out)], rates of the whole system at full load.

    An H100 at $2.69 an hour that takes in 8,000 and gives out 1,000 tokens a second, against $0.05 and $0.08 per
    million (never), and against $0.18 for both:

    >>> round(utilisation_of_rates(1, 2.69, 8000, 1000, 0.05, 0.08), 2)
    1.56
    >>> round(utilisation_of_rates(1, 2.69, 8000, 1000, 0.18, 0.18), 2)
    0.46
    """
    positive("devices", devices)
    positive("--usd-per-hour", usd_per_device_hour)
    for name, value in (("input_tokens_per_s", input_tokens_per_s), ("output_tokens_per_s", output_tokens_per_s)):
        not_negative(name, value)
    for value in (input_usd_per_mtok, output_usd_per_mtok):
        not_negative("--api", value)
    api = input_tokens_per_s * input_usd_per_mtok + output_tokens_per_s * output_usd_per_mtok
    return devices * usd_per_device_hour * MTOK / (SECONDS_PER_HOUR * positive("--api", api))


def never(share: Estimate) -> bool:
    """Whether the whole interval says that no utilisation makes up for the price; without one, the value.

    >>> never(Estimate(1.2, 1.1, 1.3, 3)), never(Estimate(1.2, 0.9, 1.6, 3)), never(Estimate(1.2, None, None, 1))
    (True, False, True)
    """
    return (share.value if share.low is None else share.low) > 1


def in_doubt(share: Estimate) -> bool:
    """Whether the interval holds both: cheaper from some utilisation on, and never.

    >>> in_doubt(Estimate(0.95, 0.90, 1.01, 3)), in_doubt(Estimate(0.95, 0.91, 0.99, 3))
    (True, False)
    """
    return share.low is not None and share.high is not None and share.low <= 1 < share.high


# --- volume ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Replica:
    """What one replica costs and can do in a month; the unit that is served is a request, or a million tokens."""

    fixed_usd_per_month: float
    capacity_per_month: float
    variable_usd: float = 0.0

    def __post_init__(self) -> None:
        positive("fixed USD per month", self.fixed_usd_per_month)
        positive("capacity per month", self.capacity_per_month)
        not_negative("variable USD", self.variable_usd)

    def alone(self, api_usd: float) -> Fraction | None:
        """Where one replica without limit breaks even: fixed / (p − v); None where a unit costs less at the API."""
        margin = Fraction(positive("--api", api_usd)) - Fraction(self.variable_usd)
        return Fraction(self.fixed_usd_per_month) / margin if margin > 0 else None

    def first(self, api_usd: float) -> float | None:
        """The least monthly volume from which this is cheaper than the API; None is never.

        $730 a month for up to 1,000,000 requests, against $0.001 and $0.0005 for one:

        >>> Replica(730, 1_000_000).first(0.001), Replica(730, 1_000_000).first(0.0005)
        (730000.0, None)

        k replicas break even at k times what one does, and can serve k times as much: either the first one gets
        there or none does.
        """
        one = self.alone(api_usd)
        return float(one) if one is not None and one <= Fraction(self.capacity_per_month) else None

    def for_good(self, api_usd: float) -> float | None:
        """The least monthly volume from which this is cheaper at *every* larger one; None is never.

        Above 1,000,000 requests a second replica is needed, which two thirds of its capacity do not pay for yet:

        >>> Replica(600, 1_000_000).for_good(0.001)
        1200000.0
        >>> Replica(400, 1_000_000).for_good(0.001)
        400000.0

        With b where one replica breaks even and c what it can serve, k + 1 of them are cheaper as soon as they are
        needed, above k·c, if k·c ≥ (k + 1)·b. The least such k is b/(c − b), rounded up; just below, k replicas
        break even at k·b.
        """
        one, capacity = self.alone(api_usd), Fraction(self.capacity_per_month)
        if one is None or one >= capacity:
            return None
        return float(math.ceil(one / (capacity - one)) * one)

    def replicas(self, volume: float) -> int:
        """How many are needed for a monthly volume.

        >>> Replica(730, 1_000_000).replicas(1_000_000), Replica(730, 1_000_000).replicas(1_000_001)
        (1, 2)
        """
        return math.ceil(Fraction(positive("--requests-per-month", volume)) / Fraction(self.capacity_per_month))

    def usd_per_month(self, volume: float) -> float:
        """What a monthly volume costs.

        >>> Replica(730, 1_000_000, 0.0001).usd_per_month(1_500_000)
        1610.0
        """
        return self.replicas(volume) * self.fixed_usd_per_month + volume * self.variable_usd


def volume_mtok(
    fixed_usd_per_month: float,
    blend_usd_per_mtok: float,
    variable_usd_per_mtok: float,
    capacity_mtok_per_month: float,
) -> float | None:
    """The break-even volume in Mtok a month: fixed / (p_blend − variable), capped by capacity; None is never.

    $2,000 a month and $0.10 of electricity per Mtok, against a blended $0.50; 10,000 and then 4,000 Mtok fit a month:

    >>> volume_mtok(2000, 0.5, 0.1, 10_000), volume_mtok(2000, 0.5, 0.1, 4_000)
    (5000.0, None)
    """
    return Replica(fixed_usd_per_month, capacity_mtok_per_month, variable_usd_per_mtok).first(blend_usd_per_mtok)


@dataclass(frozen=True)
class Threshold:
    """A monthly volume with the interval that the measured rate gives it; None is never.

    `known` is False where a single replicate gives no interval: `low` and `high` are then the value again.
    """

    low: float | None
    value: float | None
    high: float | None
    known: bool = True

    def times(self, factor: float) -> "Threshold":
        """The same in another unit, such as Mtok for requests."""
        low, value, high = (None if one is None else one * factor for one in (self.low, self.value, self.high))
        return Threshold(low, value, high, self.known)


@dataclass(frozen=True)
class Month:
    """A monthly volume, self-hosted: replicas and USD, with what they are at the ends of the rate's interval."""

    volume: float
    replicas: int
    replicas_low: int
    replicas_high: int
    usd: Estimate


# --- all of it with intervals ----------------------------------------------------------------------


@dataclass(frozen=True)
class Hosting:
    """One replica: its hourly price, its measured rate, and how it is run.

    `requests_per_s` is at full load; `max_utilisation` is how much of its capacity a plan may count on. What a request
    costs beside the hour may have an interval: its low end goes with the fast end of the rate.
    """

    usd_per_hour: float
    requests_per_s: Estimate
    max_utilisation: float = 1.0
    variable_usd_per_request: float | Estimate = 0.0
    duty: Duty = ALWAYS

    def __post_init__(self) -> None:
        price("--usd-per-hour", self.usd_per_hour)
        positive("requests per second", self.requests_per_s.value)
        share_of_one("--max-utilisation", self.max_utilisation)
        for end in (self.variable_usd.low, self.variable_usd.value, self.variable_usd.high):
            if end is not None and not_negative("variable USD per request", end) > MOST_USD:
                raise InputError(f"variable USD per request: must be at most {MOST_USD:g} (got {end:g})")

    @property
    def variable_usd(self) -> Estimate:
        """What a request costs beside the hour; a plain number is exact."""
        of = self.variable_usd_per_request
        return of if isinstance(of, Estimate) else Estimate(of, of, of, self.requests_per_s.n)

    def at(self, usd_per_hour: float) -> "Hosting":
        """The same machine at another price."""
        return replace(self, usd_per_hour=usd_per_hour)

    def on(self, duty: Duty) -> "Hosting":
        """The same machine, on for another share of the month."""
        return replace(self, duty=duty)

    @property
    def usd_per_month(self) -> float:
        """What a replica costs a month before it has served anything.

        $2.20 for an hour that serves, which 5/11 of all hours do: $1 · 730.

        >>> round(Hosting(2.2, Estimate(1.0, None, None, 1), duty=Duty(served_share=5 / 11)).usd_per_month, 9)
        730.0
        """
        return self.usd_per_hour * self.duty.serving_hours

    @property
    def capacity_per_month(self) -> Estimate:
        """Requests that one replica can serve in a month: X·3600·hours·max utilisation, less the cold starts.

        >>> Hosting(1.0, Estimate(2.0, None, None, 1), max_utilisation=0.5).capacity_per_month.value
        2628000.0
        """
        seconds = SECONDS_PER_HOUR * self.duty.serving_hours * self.duty.ready_share
        return self.requests_per_s.times(seconds * self.max_utilisation)

    def usd_per_request(self, utilisation: float) -> Estimate:
        """What a request costs when the machine serves for this share of the time that it is ready.

        $3.60 an hour at two requests a second, half of the time, and $0.001 of electricity:

        >>> Hosting(3.6, Estimate(2.0, None, None, 1), 1.0, 0.001).usd_per_request(0.5).value
        0.002
        """
        return added([self._hour_usd_per_request(utilisation), self.variable_usd])

    def _hour_usd_per_request(self, utilisation: float) -> Estimate:
        per_second = self.usd_per_hour / SECONDS_PER_HOUR / self.duty.ready_share
        return self.requests_per_s.into(per_second / share_of_one("--utilisation", utilisation))

    def break_even_utilisation(self, api_usd: float) -> Estimate | None:
        """The utilisation of the ready time from which this is cheaper; above 1 never, as `utilisation_beside`.

        $3.60 an hour at two requests a second are $0.0005 each; the API asks $0.001:

        >>> Hosting(3.6, Estimate(2.0, None, None, 1)).break_even_utilisation(0.001).value
        0.5
        """
        return utilisation_beside(self._hour_usd_per_request(1.0), self.variable_usd, api_usd)

    def first(self, api_usd: float) -> Threshold:
        """`Replica.first`, in requests a month: never at the slow end of the interval before it is at the fast one."""
        slow, middle, fast = (one.first(api_usd) for one in self._replicas())
        return Threshold(fast, middle, slow, self.known)

    def for_good(self, api_usd: float) -> Threshold:
        """`Replica.for_good`, in requests a month."""
        slow, middle, fast = (one.for_good(api_usd) for one in self._replicas())
        return Threshold(fast, middle, slow, self.known)

    def month(self, volume: float) -> Month:
        """Replicas and USD for so many requests a month."""
        slow, middle, fast = self._replicas()
        usd = Estimate(
            middle.usd_per_month(volume),
            fast.usd_per_month(volume) if self.known else None,
            slow.usd_per_month(volume) if self.known else None,
            min(self.requests_per_s.n, self.variable_usd.n),
        )
        return Month(volume, middle.replicas(volume), fast.replicas(volume), slow.replicas(volume), usd)

    @property
    def known(self) -> bool:
        """Whether there is an interval: of the rate, and of what a request costs beside the hour."""
        ends = (self.requests_per_s.low, self.requests_per_s.high, self.variable_usd.low, self.variable_usd.high)
        return None not in ends

    def _replicas(self) -> tuple[Replica, Replica, Replica]:
        """At the slow end of the interval, at the value, and at the fast end; three times the value where none is."""
        capacity, beside = self.capacity_per_month, self.variable_usd
        middle = Replica(self.usd_per_month, capacity.value, beside.value)
        if capacity.low is None or capacity.high is None or beside.low is None or beside.high is None:
            return middle, middle, middle
        slow, fast = (
            Replica(self.usd_per_month, *ends) for ends in ((capacity.low, beside.high), (capacity.high, beside.low))
        )
        return slow, middle, fast


def spot_usd_per_hour(usd_per_hour: float, overhead: float, availability: float) -> float:
    """What an hour that serves costs on the spot market: R·(1 + restart overhead) / availability.

    $1 an hour, a tenth of the work done twice, and 80 % of the paid time serving:

    >>> round(spot_usd_per_hour(1.0, 0.10, 0.80), 9)
    1.375
    """
    positive("--usd-per-hour", usd_per_hour)
    not_negative("spot_overhead", overhead)
    return usd_per_hour * (1 + overhead) / share_of_one("spot_availability", availability)
