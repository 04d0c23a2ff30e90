"""What a number that somebody gives may be, and the line that says so where it is not. Pure."""

import math

from bench.errors import InputError

LEAST_USD, MOST_USD = 1e-12, 1e12
"""Of an hour: a price outside of this is a slip, and products with it might leave the range of floats."""


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


def price(option: str, value: float) -> float:
    """The value itself. Raises InputError naming the option unless it can be what something costs in USD.

    >>> price("--usd-per-hour", 1e308)
    Traceback (most recent call last):
    ...
    bench.errors.InputError: --usd-per-hour: must be from 1e-12 to 1e+12 USD (got 1e+308)
    """
    if not LEAST_USD <= positive(option, value) <= MOST_USD:
        raise InputError(f"{option}: must be from {LEAST_USD:g} to {MOST_USD:g} USD (got {value:g})")
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
