"""What a load generator counts as it goes: bounded, however long it runs."""

import math
import random
from dataclasses import dataclass, field

from bench.measure.serving.orders import BIN_S, MOST_SAMPLES, Snapshot
from bench.schema import Request

STEPS_PER_OCTAVE = 8
FINEST_S = 1e-6


class Lags:
    """How late the loop was, as a histogram of bounded size: nine percent a step from a microsecond up."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._blind: dict[int, tuple[int, float]] = {}
        """Of stretches in which nothing was read: how many, and how long together."""
        self._total = 0
        self.max_s = 0.0

    def add(self, late_s: float) -> None:
        """Count one moment at which something was due."""
        step = _step(late_s)
        self._counts[step] = self._counts.get(step, 0) + 1
        self._total += 1
        self.max_s = max(self.max_s, late_s)

    def add_blind(self, late_s: float) -> None:
        """The same for a stretch in which nothing was read."""
        self.add(late_s)
        step = _step(late_s)
        count, whole_s = self._blind.get(step, (0, 0.0))
        self._blind[step] = (count + 1, whole_s + late_s)

    def worst(self, p: float, wall_s: float) -> float | None:
        """The larger of two percentiles: of what was due, and of what a token waits for that comes at any moment of
        `wall_s` seconds. One stall among ten thousand turns of the loop is nothing to the first, and all to a second
        of tokens."""
        due_s = self.percentile(p)
        return None if due_s is None else max(due_s, self._waited(p, wall_s))

    def _waited(self, p: float, wall_s: float) -> float:
        """Of a stretch of length L, max(0, L − x) lies before the last x: so long, tokens wait for longer than x."""
        allowed_s = (1 - p / 100) * wall_s
        count, whole_s, found = 0, 0.0, 0.0
        for step in sorted(self._blind, reverse=True):
            if count and found >= FINEST_S * 2.0 ** (step / STEPS_PER_OCTAVE):
                break  # all that is left is shorter
            more, more_s = self._blind[step]
            count, whole_s = count + more, whole_s + more_s
            found = max(0.0, (whole_s - allowed_s) / count)
        return found

    def percentile(self, p: float) -> float | None:
        """The upper edge of the step that holds the p-th percentile (0 to 100), in seconds; None without any."""
        if not self._total:
            return None
        wanted = math.ceil(self._total * p / 100)
        seen = 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return float(min(self.max_s, FINEST_S * 2.0 ** (step / STEPS_PER_OCTAVE)))
        return self.max_s


def _step(late_s: float) -> int:
    return 0 if late_s <= FINEST_S else int(math.log2(late_s / FINEST_S) * STEPS_PER_OCTAVE) + 1


@dataclass
class Sample:
    """At most MOST_SAMPLES of what came since the last snapshot, each as likely as any other to be among them."""

    values: list[tuple[float, float]] = field(default_factory=list)
    seen: int = 0

    def add(self, sent_s: float, value: float, random_: random.Random) -> None:
        self.seen += 1
        if len(self.values) < MOST_SAMPLES:
            self.values.append((sent_s, value))
        elif (place := int(random_.random() * self.seen)) < MOST_SAMPLES:
            self.values[place] = (sent_s, value)

    def take(self) -> list[tuple[float, float]]:
        """What there is, leaving none."""
        values, self.values, self.seen = self.values, [], 0
        return values


@dataclass
class Tally:
    """Counts since the start, and samples since the last snapshot."""

    succeeded: int = 0
    failed: int = 0
    tokens: int = 0
    chunks: int = 0
    last_error: str | None = None
    _bins: dict[int, float] = field(default_factory=dict)
    _ttft: Sample = field(default_factory=Sample)
    _tpot: Sample = field(default_factory=Sample)
    _e2el: Sample = field(default_factory=Sample)
    _flow: Sample = field(default_factory=Sample)
    _random: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, request: Request) -> None:
        """Count a request that is over."""
        self.chunks += request.chunks
        tokens = request.output_tokens or 0
        first, last, sent = request.first_token_s, request.last_token_s, request.sent_s
        if tokens and last is not None:
            self.tokens += tokens
            self._spread(tokens, last if first is None else first, last)  # without streaming all come at once
        if request.status != "ok":
            if request.status != "cancelled":
                self.failed += 1
                self.last_error = f"{request.status}: {request.error}" if request.error else request.status
            return
        self.succeeded += 1
        if sent is None or last is None:
            return
        self._e2el.add(sent, last - sent, self._random)
        self._flow.add(sent, last - (sent if first is None else first), self._random)
        if first is None:
            return
        self._ttft.add(sent, first - sent, self._random)
        later = tokens - (request.first_event_tokens or 1)
        if later > 0 and last > first:
            self._tpot.add(sent, (last - first) / later, self._random)

    def _spread(self, tokens: int, first_s: float, last_s: float) -> None:
        """Tokens over the bins between the first and the last, evenly: a stop rule needs no more than that."""
        begin, end = int(first_s / BIN_S), int(last_s / BIN_S)
        if begin == end:
            self._bins[begin] = self._bins.get(begin, 0.0) + tokens
            return
        per_s = tokens / (last_s - first_s)
        for place in range(begin, end + 1):
            inside_s = min(last_s, (place + 1) * BIN_S) - max(first_s, place * BIN_S)
            self._bins[place] = self._bins.get(place, 0.0) + per_s * inside_s

    def snapshot(self, at_s: float) -> Snapshot:
        """How it stands, leaving no samples behind. The driver adds what it knows."""
        bins, self._bins = self._bins, {}
        return Snapshot(
            at_s=at_s,
            succeeded=self.succeeded,
            failed=self.failed,
            tokens=self.tokens,
            bins=bins,
            ttft=tuple(self._ttft.take()),
            tpot=tuple(value for _, value in self._tpot.take()),
            e2el=tuple(value for _, value in self._e2el.take()),
            flow=tuple(value for _, value in self._flow.take()),
            last_error=self.last_error,
        )
