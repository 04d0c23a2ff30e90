"""When self-hosting is cheaper than an API: from what utilisation and volume on, and if it is not always on.

R is USD per hour of a replica, X its requests per second at full load, p what the API asks for the same request and v
what a request costs beside the hour (owned electricity; a rental has none). A month has 8760/12 = 730 hours.

    utilisation   u* = self cost at full load / API cost of the same requests; above 1 is never
    volume        V* = fixed USD a month / (p − v), if that is within the capacity X·3600·730 of a replica
    replicas      whole ones: the volume over the capacity of one, rounded up
    spot          R of the spot market · (1 + work done twice) / availability

Because replicas are whole, self-hosting may be cheaper at some volume, dearer just above what one replica can serve,
and cheaper again: so there is a first volume and one from which it stays so for good. Pure. Thresholds are decided in
fractions, exactly for the floats that come in; the error of the floats that go out is below 1e-14 of them.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from bench.cost.dollars import MTOK, SECONDS_PER_HOUR
from bench.errors import InputError
from bench.metrics.statistics import Estimate

HOURS_PER_MONTH = 8760 / 12
SWEEP = tuple(tenth / 10 for tenth in range(1, 11))
"""Utilisations from 10 % to 100 %."""


def positive(option: str, value: float) -> float:
    """The value itself. Raises InputError naming the option unless it is a number above 0.

    >>> positive("--usd-per-hour", float("nan"))
    Traceback (most recent call last):
    ...
    bench.errors.InputError: --usd-per-hour: must be a number above 0 (got nan)
    """
    if not 0 < value < math.inf:
        raise InputError(f"{option}: must be a number above 0 (got {value:g})")
    return value


def share_of_one(option: str, value: float) -> float:
    """The value itself. Raises InputError naming the option unless it is above 0 and at most 1."""
    if not 0 < value <= 1:
        raise InputError(f"{option}: must be above 0 and at most 1 (got {value:g})")
    return value


def not_negative(option: str, value: float) -> float:
    """The value itself. Raises InputError naming the option unless it is a number from 0 on."""
    if not 0 <= value < math.inf:
        raise InputError(f"{option}: must be a number from 0 on (got {value:g})")
    return value


# --- utilisation -------------------------------------------------------------------------------------------------


def utilisation(self_usd_at_full_load: Estimate, api_usd: float) -> Estimate:
    """The utilisation from which self-hosting is cheaper for the same requests; above 1 it never is.

    $0.60 (0.50 to 0.72) here against $1 there:

    >>> utilisation(Estimate(0.60, 0.50, 0.72, 5), 1.0)
    Estimate(value=0.6, low=0.5, high=0.72, n=5)
    """
    positive("--usd-per-hour", self_usd_at_full_load.value)
    return self_usd_at_full_load.times(1 / positive("--api", api_usd))


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


# --- duty cycle, and all of it with intervals ----------------------------------------------------------------------


@dataclass(frozen=True)
class Duty:
    """How long the machine is on: a share of the month, in which each start takes `cold_start_s` that serve nothing.

    Half of a month of 730 hours, with 73 starts of half an hour: a tenth of what is paid for serves nothing.

    >>> duty = Duty(0.5, 73, 1800)
    >>> duty.paid_hours, duty.ready_share
    (365.0, 0.9)
    """

    share: float = 1.0
    starts_per_month: float = 0.0
    cold_start_s: float = 0.0

    def __post_init__(self) -> None:
        share_of_one("--duty-cycle", self.share)
        not_negative("--starts-per-month", self.starts_per_month)
        not_negative("cold start", self.cold_start_s)
        if self.ready_share <= 0:
            raise InputError(
                f"--starts-per-month: {self.starts_per_month:g} starts of {self.cold_start_s:g} s leave nothing of the "
                f"{self.paid_hours:g} hours that the machine is on; give fewer starts or a larger --duty-cycle"
            )

    @property
    def paid_hours(self) -> float:
        """Hours of a month that are paid for."""
        return HOURS_PER_MONTH * self.share

    @property
    def ready_share(self) -> float:
        """Share of the paid hours that is left when the cold starts are over."""
        return 1 - self.starts_per_month * self.cold_start_s / (SECONDS_PER_HOUR * self.paid_hours)


ALWAYS = Duty()


@dataclass(frozen=True)
class Hosting:
    """One replica: its hourly price, its measured rate, and how it is run.

    `requests_per_s` is at full load; `max_utilisation` is how much of its capacity a plan may count on.
    """

    usd_per_hour: float
    requests_per_s: Estimate
    max_utilisation: float = 1.0
    variable_usd_per_request: float = 0.0
    duty: Duty = ALWAYS

    def __post_init__(self) -> None:
        positive("--usd-per-hour", self.usd_per_hour)
        positive("requests per second", self.requests_per_s.value)
        share_of_one("--max-utilisation", self.max_utilisation)
        not_negative("variable USD per request", self.variable_usd_per_request)

    def at(self, usd_per_hour: float) -> "Hosting":
        """The same machine at another price."""
        return replace(self, usd_per_hour=usd_per_hour)

    def on(self, duty: Duty) -> "Hosting":
        """The same machine, on for another share of the month."""
        return replace(self, duty=duty)

    @property
    def usd_per_month(self) -> float:
        """What a replica costs a month before it has served anything."""
        return self.usd_per_hour * self.duty.paid_hours

    @property
    def capacity_per_month(self) -> Estimate:
        """Requests that one replica can serve in a month: X·3600·hours·max utilisation, less the cold starts.

        >>> Hosting(1.0, Estimate(2.0, None, None, 1), max_utilisation=0.5).capacity_per_month.value
        2628000.0
        """
        seconds = SECONDS_PER_HOUR * self.duty.paid_hours * self.duty.ready_share
        return self.requests_per_s.times(seconds * self.max_utilisation)

    def usd_per_request(self, utilisation: float) -> Estimate:
        """What a request costs when the machine serves for this share of the time that it is ready.

        $3.60 an hour at two requests a second, half of the time, and $0.001 of electricity:

        >>> Hosting(3.6, Estimate(2.0, None, None, 1), 1.0, 0.001).usd_per_request(0.5).value
        0.002
        """
        per_second = self.usd_per_hour / SECONDS_PER_HOUR / self.duty.ready_share
        fixed = self.requests_per_s.into(per_second / share_of_one("--utilisation", utilisation))
        low, high = (None if end is None else end + self.variable_usd_per_request for end in (fixed.low, fixed.high))
        return Estimate(fixed.value + self.variable_usd_per_request, low, high, fixed.n)

    def break_even_utilisation(self, api_usd: float) -> Estimate | None:
        """The utilisation of the ready time from which this is cheaper; above 1 never, None where p ≤ v.

        $3.60 an hour at two requests a second are $0.0005 each; the API asks $0.001:

        >>> Hosting(3.6, Estimate(2.0, None, None, 1)).break_even_utilisation(0.001).value
        0.5
        """
        margin = positive("--api", api_usd) - self.variable_usd_per_request
        if margin <= 0:
            return None
        return utilisation(replace(self, variable_usd_per_request=0.0).usd_per_request(1.0), margin)

    def first(self, api_usd: float) -> Threshold:
        """`Replica.first`, in requests a month: never at the slow end of the interval before it is at the fast one."""
        slow, middle, fast = (one.first(api_usd) for one in self._replicas())
        return Threshold(fast, middle, slow, self.requests_per_s.low is not None)

    def for_good(self, api_usd: float) -> Threshold:
        """`Replica.for_good`, in requests a month."""
        slow, middle, fast = (one.for_good(api_usd) for one in self._replicas())
        return Threshold(fast, middle, slow, self.requests_per_s.low is not None)

    def month(self, volume: float) -> Month:
        """Replicas and USD for so many requests a month."""
        slow, middle, fast = self._replicas()
        known = self.requests_per_s.low is not None
        usd = Estimate(
            middle.usd_per_month(volume),
            fast.usd_per_month(volume) if known else None,
            slow.usd_per_month(volume) if known else None,
            self.requests_per_s.n,
        )
        return Month(volume, middle.replicas(volume), fast.replicas(volume), slow.replicas(volume), usd)

    def _replicas(self) -> tuple[Replica, Replica, Replica]:
        """At the slow end of the interval, at the value, and at the fast end."""
        capacity = self.capacity_per_month
        low = capacity.value if capacity.low is None else capacity.low
        high = capacity.value if capacity.high is None else capacity.high
        slow, middle, fast = (
            Replica(self.usd_per_month, one, self.variable_usd_per_request) for one in (low, capacity.value, high)
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
