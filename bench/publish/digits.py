"""How many digits a figure is printed with: as many as its interval supports, and never an exponent.

The rule is the Particle Data Group's (Review of Particle Physics, Introduction, "Rounding"): look at the first three
digits of the half-width; 100 to 354 are rounded to two digits, 355 to 949 to one, and 950 to 999 up to 1000, of which
two are kept. The value then stops at the same place. So a half-width is never printed as another one by more than a
sixth, and no digit of the value stands far below what is known.
"""

import math
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from bench.metrics.statistics import Estimate

NONE = "–"
DIGITS = 3
"""Of a value without an interval."""

MOST_DIGITS = 6
"""Of any value: a narrower interval than that is of the clock's ticks, not of the machine."""

LOPSIDED = 1.25
"""Beyond this ratio of its two halves, an interval is printed as its ends. One that is a factor up and down, as those
over replicates are, gets there at a factor of 1.25 itself."""

MOVED = 0.25
"""Share of its distance from the value by which rounding to two digits may move an end."""

_NOTHING = 1e-9
"""Half-widths below this share of the value are the arithmetic's, not the measurement's."""

_TINIEST = 15
"""Places after the point, at most."""


def place_of_half_width(half: float) -> int:
    """Decimal exponent of the last digit that a half-width supports, such as -4 for 0.0023.

    >>> place_of_half_width(0.0023), place_of_half_width(0.0047), place_of_half_width(0.0097), place_of_half_width(230)
    (-4, -3, -3, 1)
    >>> [place_of_half_width(half) for half in (0.0354, 0.0355, 0.0949, 0.0950)]
    [-3, -2, -2, -2]
    """
    digits = Decimal(f"{half:.2e}")
    three = int(digits.scaleb(2 - digits.adjusted()).to_integral_value())
    if three >= 950:
        return digits.adjusted()  # 0.097 is 0.10: of two digits, the last is where the first was
    return digits.adjusted() - (1 if three < 355 else 0)


def place_of_value(value: float, digits: int = DIGITS) -> int:
    """Decimal exponent of the last of so many significant digits, such as -5 for 0.01234 and three."""
    return Decimal(f"{value:.{digits - 1}e}").adjusted() - digits + 1 if value else 0


def rounded(value: float, place: int) -> str:
    """The value at a decimal place, with commas between thousands and no exponent.

    >>> rounded(0.03354, -4), rounded(123456.0, 2), rounded(-0.2, 0), rounded(4.0, -2)
    ('0.0335', '123,500', '0', '4.00')
    """
    place = max(place, -_TINIEST)
    with localcontext() as context:
        context.prec = 400
        at_place = Decimal(value).quantize(Decimal(1).scaleb(place), rounding=ROUND_HALF_EVEN)
    if at_place == 0:
        at_place = abs(at_place)
    return f"{at_place:,.{max(-place, 0)}f}"


def plain(value: float | None, digits: int = DIGITS) -> str:
    """A value without an interval: three significant digits.

    >>> plain(0.012345), plain(1234.5), plain(None), plain(float("inf"))
    ('0.0123', '1,230', '–', '∞')
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and abs(value) < 10.0**-_TINIEST:
        return "<" + rounded(10.0**-_TINIEST, -_TINIEST)
    return rounded(value, place_of_value(value, digits))


def stated(of: Estimate | None, factor: float = 1.0) -> str:
    """A value with its interval, times `factor` (such as 1000 from seconds to ms).

    >>> stated(Estimate(0.03354, 0.0313, 0.0359, 3))
    '0.0335 ± 0.0024'
    >>> stated(Estimate(0.0335, 0.0201, 0.0558, 3))
    '0.034 (0.020–0.056)'
    >>> stated(Estimate(0.03354, 0.0313, 0.0359, 3), 1000), stated(Estimate(0.0335, None, None, 1), 1000)
    ('33.5 ± 2.4', '33.5')
    >>> stated(Estimate(0.0335, None, None, 1)), stated(Estimate(0.05, None, 0.09, 3)), stated(None)
    ('0.0335', '0.0500 (≤ 0.090)', '–')
    """
    if of is None or not math.isfinite(of.value):
        return plain(None if of is None else of.value)
    value = of.value * factor
    low, high = (None if end is None or not math.isfinite(end) else end * factor for end in (of.low, of.high))
    if low is None or high is None:
        end = f" (≤ {_end(high, value)})" if high is not None else f" (≥ {_end(low, value)})" if low is not None else ""
        return plain(value) + end
    return _with_ends(value, low, high)


def _with_ends(value: float, low: float, high: float) -> str:
    """Both halves known: ± where they are alike, else the ends, which are rounded to two digits each."""
    below, above = value - low, high - value
    narrow, wide = min(below, above), max(below, above)
    if wide <= _NOTHING * abs(value):
        return plain(value) + " ± 0"
    if narrow <= 0 or wide > LOPSIDED * narrow:
        place = _capped(value, place_of_half_width(narrow if narrow > 0 else wide))
        return f"{rounded(value, place)} ({_end(low, value)}–{_end(high, value)})"
    place = _capped(value, place_of_half_width(wide))
    half = rounded(wide, place)
    if wide < 10.0**place / 2:
        half = "<" + rounded(10.0**place, place)
    return f"{rounded(value, place)} ± {half}"


def _end(end: float, value: float) -> str:
    """One end of an interval: two digits, or as many as its distance from the value supports where two would move it by
    more than a quarter of that, and perhaps past the value.

    >>> _end(0.125, 0.05), _end(1168.0, 1178.0), _end(1193.5, 1178.0)
    ('0.12', '1,168', '1,194')
    """
    half, place = abs(end - value), place_of_value(end, 2)
    at_two = float(Decimal(end).quantize(Decimal(1).scaleb(place), rounding=ROUND_HALF_EVEN)) if end else 0.0
    if abs(at_two - end) <= MOVED * half or half <= _NOTHING * abs(value):
        return plain(end, 2) if half > _NOTHING * abs(value) else plain(end)
    return rounded(end, _capped(end, place_of_half_width(half)))


def _capped(value: float, place: int) -> int:
    """The place, but none below the last digit that any value is given."""
    return max(place, place_of_value(value, MOST_DIGITS), -_TINIEST) if value else max(place, -_TINIEST)
