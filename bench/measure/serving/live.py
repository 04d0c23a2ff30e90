"""The snapshots of all load generators put together: for the rules that end a load, and for the person who watches."""

from collections import deque
from collections.abc import Sequence

from bench.measure.serving.orders import Snapshot
from bench.measure.serving.stopping import Standing
from bench.schema import Live

RECENT_S = 5.0
MOST_RECENT = 4000
MOST_PER_S = 400
"""TTFTs kept for each second where they decide when to stop."""


class Merged:
    """What all load generators have told so far. Bounded: a standing for each half second, samples of the last ones."""

    def __init__(self, workers: int, keep_samples: bool) -> None:
        """`keep_samples`: the load ends by precision, which needs samples of the whole window."""
        self.last: list[Snapshot | None] = [None] * workers
        self.history: list[Standing] = []
        self.bins: dict[int, float] = {}
        self.ttft: list[tuple[float, float]] = []
        self.answer_s: float | None = None
        """Mean time of an answer."""
        self.first_answer_s: float | None = None
        """The same when first known: before a queue could grow."""
        self._keep = keep_samples
        self._kept_in: dict[int, int] = {}
        self._recent_ttft: deque[tuple[float, float]] = deque(maxlen=MOST_RECENT)
        self._recent_tpot: deque[tuple[float, float]] = deque(maxlen=MOST_RECENT)
        self._e2el: deque[float] = deque(maxlen=MOST_RECENT)
        self._flow: deque[float] = deque(maxlen=MOST_RECENT)

    def take(self, worker: int, snapshot: Snapshot) -> None:
        """What one of them told."""
        self.last[worker] = snapshot
        self._recent_ttft.extend((snapshot.at_s, value) for _, value in snapshot.ttft)
        self._recent_tpot.extend((snapshot.at_s, value) for value in snapshot.tpot)
        self._e2el.extend(snapshot.e2el)
        self._flow.extend(snapshot.flow)
        if self._e2el:
            self.answer_s = sum(self._e2el) / len(self._e2el)
            self.first_answer_s = self.answer_s if self.first_answer_s is None else self.first_answer_s
        if self._keep:
            for place, tokens in snapshot.bins.items():
                self.bins[place] = self.bins.get(place, 0.0) + tokens
            for sent_s, value in snapshot.ttft:
                if self._kept_in.get(int(sent_s), 0) < MOST_PER_S:
                    self._kept_in[int(sent_s)] = self._kept_in.get(int(sent_s), 0) + 1
                    self.ttft.append((sent_s, value))

    def stand(self, at_s: float) -> Standing:
        """All of them together, remembered."""
        told = [one for one in self.last if one is not None]
        standing = Standing(
            at_s=at_s,
            sent=sum(one.sent for one in told),
            succeeded=sum(one.succeeded for one in told),
            failed=sum(one.failed for one in told),
            in_flight=sum(one.in_flight + one.waiting for one in told),
            tokens=sum(one.tokens for one in told),
        )
        self.history.append(standing)
        return standing

    @property
    def all_started(self) -> bool:
        return all(one is not None and one.all_started for one in self.last)

    @property
    def whole_until_s(self) -> float:
        """Up to when the bins hold every token."""
        ends = [one.at_s if one.oldest_s is None else one.oldest_s for one in self.last if one is not None]
        return min(ends, default=0.0)

    @property
    def spent_usd(self) -> float | None:
        spent = [one.spent_usd for one in self.last if one is not None and one.spent_usd is not None]
        return sum(spent) if spent else None

    @property
    def held_back_s(self) -> float | None:
        return min(
            (one.held_back_s for one in self.last if one is not None and one.held_back_s is not None), default=None
        )

    def long_answer_s(self) -> float:
        """About the longest of the recent answers: the 99th percentile, by rank."""
        return _ranked(sorted(self._e2el), 0.99) or 0.0

    def flow_s(self) -> float:
        """How long 95 of 100 answers take from their first token on: no queue before the server adds to it."""
        return _ranked(sorted(self._flow), 0.95) or 0.0

    def live(self, phase: str, warm_s: float | None, before_usd: float) -> Live:
        """For the person who watches: rates over the last seconds."""
        now = self.history[-1] if self.history else Standing(0.0, 0, 0, 0, 0)
        then = next((one for one in self.history if one.at_s >= now.at_s - RECENT_S), now)
        span_s = now.at_s - then.at_s
        ttft = sorted(value for at_s, value in self._recent_ttft if at_s >= now.at_s - RECENT_S)
        tpot = sorted(value for at_s, value in self._recent_tpot if at_s >= now.at_s - RECENT_S)
        spent = self.spent_usd
        return Live(
            phase=phase,
            at_s=now.at_s,
            sent=now.sent,
            succeeded=now.succeeded,
            failed=now.failed,
            in_flight=now.in_flight,
            requests_per_s=(now.succeeded - then.succeeded) / span_s if span_s > 0 else None,
            output_tokens_per_s=(now.tokens - then.tokens) / span_s if span_s > 0 else None,
            ttft_p50_s=_ranked(ttft, 0.5),
            ttft_p99_s=_ranked(ttft, 0.99),
            tpot_p50_s=_ranked(tpot, 0.5),
            window_s=None if warm_s is None else max(0.0, now.at_s - warm_s),
            spent_usd=None if spent is None else spent + before_usd,
            last_error=next((one.last_error for one in self.last if one is not None and one.last_error), None),
        )


def _ranked(values: Sequence[float], share: float) -> float | None:
    return values[min(len(values) - 1, int(share * len(values)))] if values else None
