"""One line of the self-test: what was programmed, what came back, and how far apart the two may be."""

from dataclasses import dataclass

SHARE = 0.01
LEAST_S = 0.0003
ONCE_SHARE = 0.05
ONCE_LEAST_S = 0.020


@dataclass(frozen=True)
class Check:
    """`tolerance` is absolute, in `unit`; None where the two are words, or must be equal."""

    name: str
    programmed: float | str
    measured: float | str | None
    ok: bool
    unit: str = ""
    tolerance: float | None = None
    tries: int = 1

    def error(self) -> float | None:
        """The relative error; None for words, for nothing measured, and beside a programmed zero."""
        if isinstance(self.programmed, str) or not isinstance(self.measured, int | float) or not self.programmed:
            return None
        return self.measured / self.programmed - 1

    def share(self) -> float | None:
        """How much of its tolerance the error takes up: 1 is the limit."""
        if self.tolerance is None or isinstance(self.programmed, str) or not isinstance(self.measured, int | float):
            return None
        return abs(self.measured - self.programmed) / self.tolerance


def near(name: str, programmed: float, measured: float | None, tolerance: float, unit: str = "") -> Check:
    """Passes within `tolerance`, in `unit`."""
    ok = measured is not None and abs(measured - programmed) <= tolerance
    return Check(name, programmed, measured, ok, unit, tolerance)


def seconds(name: str, programmed: float, measured: float | None) -> Check:
    """The median of several rounds: within 1 % or 0.3 ms, whichever is larger."""
    return near(name, programmed, measured, seconds_tolerance(programmed), "s")


def seconds_tolerance(programmed: float) -> float:
    return max(SHARE * programmed, LEAST_S)


def once(name: str, programmed: float, measured: float | None) -> Check:
    """Seconds that happen once in a process, so that one late wake-up is not averaged away: within 5 % or 20 ms."""
    return near(name, programmed, measured, max(ONCE_SHARE * programmed, ONCE_LEAST_S), "s")


def rate(name: str, amount: float, programmed_s: float, measured: float | None) -> Check:
    """`amount` in so many seconds: the tolerance of the seconds, as a share."""
    programmed = amount / programmed_s
    return near(name, programmed, measured, programmed * seconds_tolerance(programmed_s) / programmed_s, "/s")


def equal(name: str, programmed: float | str, measured: float | str | None, unit: str = "") -> Check:
    """Passes for the very same value."""
    return Check(name, programmed, measured, measured == programmed, unit)


def said(name: str, wanted: str, measured: str) -> Check:
    """Passes where every word group of `wanted`, separated by ` … `, is found in `measured`."""
    return Check(name, wanted, measured, all(part in measured for part in wanted.split(" … ")))
