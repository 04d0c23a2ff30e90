"""The hours of a month: in which a machine is on, for which it is paid, and in which it serves. Pure."""

from dataclasses import dataclass

from bench.cost.bounds import not_negative, share_of_one
from bench.cost.dollars import SECONDS_PER_HOUR
from bench.errors import InputError

HOURS_PER_MONTH = 8760 / 12


@dataclass(frozen=True)
class Duty:
    """How long the machine is on: a share of the month, in which each start takes `cold_start_s` that serve nothing.

    `served_share` is the share of those hours that its hourly price is for and that serve: less than all of them of a
    spot or an owned machine, which is away at times.

    Half of a month of 730 hours, with 73 starts of half an hour: a tenth of what is paid for serves nothing. On a
    machine that is there for half of that time, it is a fifth:

    >>> duty = Duty(0.5, 73, 1800)
    >>> duty.paid_hours, duty.ready_share
    (365.0, 0.9)
    >>> duty = Duty(0.5, 73, 1800, served_share=0.5)
    >>> duty.paid_hours, duty.serving_hours, duty.ready_share
    (365.0, 182.5, 0.8)
    """

    share: float = 1.0
    starts_per_month: float = 0.0
    cold_start_s: float = 0.0
    served_share: float = 1.0

    def __post_init__(self) -> None:
        share_of_one("--duty-cycle", self.share)
        share_of_one("served share", self.served_share)
        not_negative("--starts-per-month", self.starts_per_month)
        not_negative("cold start", self.cold_start_s)
        if self.ready_share <= 0:
            hours = f"{self.paid_hours:g} hours that the machine is on"
            if self.served_share < 1:
                hours = f"{self.serving_hours:g} hours that serve, of {hours}"
            raise InputError(
                f"--starts-per-month: {self.starts_per_month:g} starts of {self.cold_start_s:g} s leave nothing of the "
                f"{hours}; give fewer starts or a larger --duty-cycle"
            )

    @property
    def paid_hours(self) -> float:
        """Hours of a month in which the machine is on."""
        return HOURS_PER_MONTH * self.share

    @property
    def serving_hours(self) -> float:
        """Hours of a month that the hourly price is for: those that serve, with the cold starts among them."""
        return self.paid_hours * self.served_share

    @property
    def ready_share(self) -> float:
        """Share of those hours that is left when the cold starts are over."""
        return 1 - self.starts_per_month * self.cold_start_s / (SECONDS_PER_HOUR * self.serving_hours)


ALWAYS = Duty()
