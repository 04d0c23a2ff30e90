"""Seconds of one token of each kind, from rows of several lengths: t = a·N_in + c·N_cached + b·N_out.

It tells apart what the time to the first token cannot: uncached input from cached input, and the share of a decode step
that its context costs. What the straight line leaves unexplained (attention grows with the square of a prompt, and a
small batch reads the weights however short it is) is the residual, which is shown wherever the fit is used.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.cost import least_squares
from bench.errors import InputError
from bench.metrics.statistics import Estimate, estimate, t975
from bench.schema import Workload

KINDS = ("input", "cached", "output")
MEASURE_MORE = "measure at least two mixes of input and output lengths"

Three = tuple[float, float, float]
"""One number each for uncached input, cached input and output."""

ONLY: tuple[Three, ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True)
class Point:
    """Tokens of a whole batch and its seconds, one a replicate. `input_tokens` are the uncached ones."""

    input_tokens: int
    cached_tokens: int
    output_tokens: int
    seconds: Sequence[float]

    @classmethod
    def of(cls, work: Workload, seconds: Sequence[float]) -> "Point":
        """The tokens of a workload's batch.

        >>> Point.of(Workload(batch_size=2, input_tokens=100, cached_tokens=60, output_tokens=11), [1.0])
        Point(input_tokens=80, cached_tokens=120, output_tokens=22, seconds=[1.0])
        """
        rows = work.batch_size
        fresh = work.input_tokens - work.cached_tokens
        return cls(rows * fresh, rows * work.cached_tokens, rows * work.output_tokens, seconds)

    @property
    def tokens(self) -> Three:
        return self.input_tokens, self.cached_tokens, self.output_tokens

    def time(self) -> Estimate:
        """Seconds over the replicates. Raises InputError for a time of zero or less."""
        found = estimate(self.seconds)
        if found is None:
            raise InputError("a row has no time, or one of zero or less; it was not written by this program")
        return found


@dataclass(frozen=True)
class Pull:
    """What a row of a fit does to its three results: their change with the row's relative error, and that error.

    `error` is a standard error with so many degrees of `freedom`.
    """

    change: Three
    error: float
    freedom: int


@dataclass(frozen=True)
class Fit:
    """Seconds of one more token of each kind over rows of several lengths: t = a·N_in + c·N_cached + b·N_out.

    `cached_s` is None where no row has cached tokens. `at_bound` names kinds whose best value would be negative, and
    that stand at zero. `residuals` are (t − fitted) / t of each row, `residual` their root mean square. `squares` are
    the squared 95 % half-widths of the three and their covariances by the residuals, None without spare rows. `pulls`
    are what the replicates' scatter does, empty where a row has one replicate.
    """

    input_s: Estimate
    cached_s: Estimate | None
    output_s: Estimate
    residual: float
    residuals: tuple[float, ...]
    at_bound: tuple[str, ...] = ()
    squares: least_squares.Matrix | None = None
    pulls: tuple[Pull, ...] = ()

    @property
    def seconds(self) -> Three:
        return self.input_s.value, 0.0 if self.cached_s is None else self.cached_s.value, self.output_s.value

    def fitted_s(self, tokens: Three) -> float:
        """Seconds that the fit gives a batch."""
        return dot(self.seconds, tokens)

    def half(self, gradient: Sequence[float]) -> float | None:
        """95 % half-width of what changes by `gradient` with the three: the larger of two, None where nobody knows."""
        return half_width(gradient, self.squares, self.pulls)

    def share(self, tokens: Three, mix: Three) -> tuple[float, float | None]:
        """What `mix` costs where all of `tokens` cost 1, and its half-width: v = s·mix / s·tokens.

        Its change with the seconds s of a kind is (mix − v·tokens) / (s·tokens), first order.
        """
        value, gradient = share_of(self.seconds, tokens, mix)
        return value, self.half(gradient)


def share_of(seconds: Three, tokens: Three, mix: Three) -> tuple[float, list[float]]:
    """`Fit.share` of plain seconds: the value, and its gradient."""
    whole = dot(seconds, tokens)
    value = dot(seconds, mix) / whole
    return value, [(part - value * count) / whole for part, count in zip(mix, tokens, strict=True)]


def half_width(
    gradient: Sequence[float], squares: Sequence[Sequence[float]] | None, pulls: Sequence[Pull]
) -> float | None:
    """`Fit.half` of its errors alone: by the residuals (`squares`) and by the replicates (`pulls`)."""
    known = []
    if squares is not None:
        form = dot(gradient, [dot(line, gradient) for line in squares])
        known.append(math.sqrt(max(form, 0.0)))
    if pulls:
        # Errors of unlike rows are added with the degrees of freedom of Welch and Satterthwaite, rounded down.
        each = [(dot(gradient, pull.change) * pull.error) ** 2 for pull in pulls]
        whole = math.fsum(each)
        fewest = math.fsum(one * one / pull.freedom for one, pull in zip(each, pulls, strict=True))
        known.append(t975(math.floor(whole * whole / fewest + 1e-9)) * math.sqrt(whole) if fewest > 0 else 0.0)
    return max(known, default=None)


def fit(points: Sequence[Point]) -> Fit:
    """Seconds per token of each kind, none negative, no intercept: the least sum of ((t − fitted) / t)².

    t is the geometric mean over a row's replicates; relative errors count alike, so that long rows do not outvote short
    ones. An interval is the larger of two: from the residuals, with Student's t and as many degrees of freedom as there
    are rows beyond coefficients, and from the replicates of each row, carried through to first order. Rows must be of
    one model, precision, engine, machine and batch size. Raises InputError, and says what to measure, where the rows do
    not determine the coefficients.

    1 ms a prompt token and 20 ms an output token:

    >>> found = fit([Point(100, 0, 10, [0.3]), Point(100, 0, 20, [0.5]), Point(200, 0, 10, [0.4])])
    >>> round(found.input_s.value, 9), round(found.output_s.value, 9), round(found.residual, 9)
    (0.001, 0.02, 0.0)
    """
    kinds = [kind for kind in range(3) if kind != 1 or any(point.cached_tokens for point in points)]
    if len(points) < len(kinds):
        raise InputError(_undetermined(f"{len(points)} rows do not determine {len(kinds)} costs", kinds))
    times = [point.time() for point in points]
    # Each row over its own time: the target is 1, and an error is relative.
    table = [[point.tokens[kind] / time.value for kind in kinds] for point, time in zip(points, times, strict=True)]
    solved = least_squares.solve(table)
    if solved is None:
        said = f"{len(points)} rows do not tell {' and '.join(KINDS[kind] for kind in kinds)} apart"
        raise InputError(_undetermined(f"{said}: their lengths are in nearly the same proportions", kinds))
    return _fit(kinds, table, times, solved)


def _fit(
    kinds: Sequence[int], table: Sequence[Sequence[float]], times: Sequence[Estimate], solved: least_squares.Solved
) -> Fit:
    """The results with their errors. One that stands at zero has the error that it would have without that bound."""

    def wide(values: Sequence[float]) -> Three:
        own = dict(zip(kinds, values, strict=True))
        return own[0], own.get(1, 0.0), own[2]

    residuals = tuple(1 - dot(solved.values, row) for row in table)
    spare = len(table) - len(kinds)
    squares = None
    if spare:
        scale = t975(spare) ** 2 * dot(residuals, residuals) / spare
        squares = least_squares.spread([[scale * one for one in line] for line in solved.inverse], kinds, 3)
    pulls = [
        Pull(
            change=wide([dot(line, row) for line in solved.inverse]),
            error=math.log(time.high / time.value) / t975(time.n - 1),
            freedom=time.n - 1,
        )
        for row, time in zip(table, times, strict=True)
        if time.high is not None
    ]
    values = wide(solved.values)
    bare = Fit(
        input_s=exact(values[0], len(table)),
        cached_s=exact(values[1], len(table)) if 1 in kinds else None,
        output_s=exact(values[2], len(table)),
        residual=math.sqrt(dot(residuals, residuals) / len(residuals)),
        residuals=residuals,
        at_bound=tuple(KINDS[kind] for kind in kinds if values[kind] == 0),
        squares=squares,
        pulls=tuple(pulls) if len(pulls) == len(table) else (),
    )
    found = [around(values[kind], exact(1.0, len(table)), bare.half(ONLY[kind])) for kind in range(3)]
    return replace(bare, input_s=found[0], cached_s=found[1] if 1 in kinds else None, output_s=found[2])


def _undetermined(what: str, kinds: Sequence[int]) -> str:
    also = ", and one of them with cached_tokens as well" if 1 in kinds else ""
    return f"attribution by a fit: {what}; {MEASURE_MORE}, such as 512 + 16 and 16 + 256{also}"


def around(value: float, like: Estimate, half: float | None) -> Estimate:
    """A figure with the relative interval of `like` and another, independent error of ± `half`.

    The factors up and down are combined as logarithms. No lower bound where `half` reaches zero, and no bound at all
    where one of the two errors is not known.
    """
    if like.low is None or like.high is None or half is None:
        return Estimate(value, None, None, like.n)
    if value <= 0:
        return Estimate(value, None, half * like.high / like.value, like.n)
    share = half / value
    up = math.hypot(math.log(like.high / like.value), math.log1p(share))
    down = math.hypot(math.log(like.low / like.value), math.log1p(-share)) if share < 1 else None
    return Estimate(value, None if down is None else value * math.exp(-down), value * math.exp(up), like.n)


def exact(value: float, n: int) -> Estimate:
    """A figure without an error."""
    return Estimate(value, value, value, n)


def dot(one: Sequence[float], other: Sequence[float]) -> float:
    """The sum of the products."""
    return math.fsum(left * right for left, right in zip(one, other, strict=True))
