"""A trace as columns: about 130 bytes a request, whatever the number of its tokens.

A trace of an hour holds some hundred million gaps. They are read once, in blocks, and become a timeline of tokens (how
many came in each tenth of a second) and two histograms of gaps over time, because the steady window, which says
what of them counts, is known only after a first look at the whole.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from bench.errors import InputError
from bench.metrics.serving.gaps import Gaps
from bench.schema import CountSource, Request, RequestStatus

BIN_S = 0.1
"""Width of the timeline's bins. Windows begin and end at their edges, so that tokens are counted exactly."""

BLOCK = 4096
LONGEST_S = 1e7
"""A third of a year: later stamps are no run under load."""

STATUSES: tuple[str, ...] = get_args(RequestStatus)
SOURCES: tuple[str, ...] = get_args(CountSource)
OK = STATUSES.index("ok")
CANCELLED = STATUSES.index("cancelled")

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
UNKNOWN = -1
"""Stands for None in columns of whole numbers; in columns of seconds it is NaN."""

_SECONDS = ("due_s", "sent_s", "first_token_s", "last_token_s", "done_s")
_SHORT = ("connect_s", "engine_prefill_s", "engine_decode_s")
_COUNTS = (
    *("session", "turn", "asked_output_tokens", "input_tokens", "cached_tokens", "output_tokens"),
    *("reasoning_tokens", "first_event_tokens", "chunks"),
)
_TYPES = dict.fromkeys(_SECONDS, "d") | dict.fromkeys(_SHORT, "f") | dict.fromkeys(_COUNTS, "i")


@dataclass(frozen=True)
class Columns:
    """One value a request in each, in the order of the trace. Seconds since the epoch; NaN or -1 where unknown."""

    due_s: Floats
    sent_s: Floats
    first_token_s: Floats
    last_token_s: Floats
    done_s: Floats
    connect_s: Any
    engine_prefill_s: Any
    engine_decode_s: Any
    session: Any
    turn: Any
    asked_output_tokens: Any
    input_tokens: Any
    cached_tokens: Any
    output_tokens: Any
    reasoning_tokens: Any
    first_event_tokens: Any
    chunks: Any
    status: Any
    """Position in STATUSES."""
    count_source: Any
    """Position in SOURCES, or -1."""
    resent: Any
    longest_gap_s: Any
    """The longest gap between two tokens of the request; NaN where per-event counts are unknown."""
    tokens: Floats
    """Output tokens that came in each bin of BIN_S, of requests that succeeded or that we cut at the end."""
    itl: Gaps
    """Gaps between tokens, where per-event counts are known."""
    icl: Gaps
    """Gaps between events."""

    def __len__(self) -> int:
        return len(self.sent_s)

    @property
    def start_s(self) -> Floats:
        """When a request began for its user: when it was due, else when it was sent, else when it was over."""
        sent = np.where(np.isnan(self.sent_s), self.done_s, self.sent_s)
        return np.where(np.isnan(self.due_s), sent, self.due_s)

    @property
    def is_open(self) -> bool:
        """Whether there was a schedule."""
        return bool(np.isfinite(self.due_s).any())

    def tokens_between(self, start_s: float, end_s: float) -> float:
        """Output tokens that came from start to end, which are edges of bins."""
        return float(self.tokens[bin_of(start_s) : bin_of(end_s)].sum())

    def in_flight(self, edges_s: Floats) -> Floats:
        """Mean number of requests on their way between each two edges (ascending)."""
        begun = self.sent_s[np.isfinite(self.sent_s)]
        over = np.where(np.isnan(self.done_s), np.inf, self.done_s)[np.isfinite(self.sent_s)]
        area = _area_since(begun, edges_s) - _area_since(over[np.isfinite(over)], edges_s)
        return np.asarray(np.diff(area) / np.diff(edges_s), dtype=np.float64)


def fold(requests: Iterable[Request]) -> Columns:
    """Read a trace once. Raises InputError for stamps that no run can have."""
    folding = _Folding()
    source = iter(requests)
    while block := list(islice(source, BLOCK)):
        folding.add(block)
    return folding.columns()


def bin_of(at_s: float) -> int:
    """The bin that begins at an edge (rounded to the nearest one)."""
    return max(0, round(at_s / BIN_S))


class _Folding:
    """Columns as they grow: `array` grows in place, and numpy looks at it without a copy."""

    def __init__(self) -> None:
        self._parts: dict[str, array[Any]] = {name: array(kind) for name, kind in _TYPES.items()}
        self._parts |= {name: array("b") for name in ("status", "count_source", "resent")}
        self._parts["longest_gap_s"] = array("f")
        self._tokens = np.zeros(1024)
        self._itl, self._icl = Gaps(), Gaps()

    def add(self, block: Sequence[Request]) -> None:
        for name in (*_SECONDS, *_SHORT):
            values = np.array([getattr(one, name) for one in block], dtype=np.float64)
            if name in _SECONDS and (np.isinf(values).any() or np.nanmax(np.abs(values), initial=0.0) > LONGEST_S):
                raise InputError(
                    f"{name} of a request lies beyond {LONGEST_S:g} s: no trace of a run; measure it again"
                )
            self._append(name, values, np.float64 if name in _SECONDS else np.float32)
        for name in _COUNTS:
            values = np.array([_or_unknown(getattr(one, name)) for one in block])
            self._append(name, values, np.int32)
        self._append("status", np.array([STATUSES.index(one.status) for one in block]), np.int8)
        sources = [UNKNOWN if one.count_source is None else SOURCES.index(one.count_source) for one in block]
        self._append("count_source", np.array(sources), np.int8)
        self._append("resent", np.array([one.resent for one in block]), np.int8)
        self._append("longest_gap_s", self._events(block), np.float32)

    def _append(self, name: str, values: NDArray[Any], kind: Any) -> None:
        self._parts[name].frombytes(values.astype(kind).tobytes())

    def _events(self, block: Sequence[Request]) -> Floats:
        """Take in the events of a block, all requests at once; returns the longest gap between tokens of each."""
        longest = np.full(len(block), np.nan)
        seen = [
            at for at, one in enumerate(block) if one.status in ("ok", "cancelled") and _first_event_s(one) is not None
        ]
        if not seen:
            return longest
        shown = [block[at] for at in seen]
        gaps = [one.gaps_us for one in shown]
        sizes = np.array([len(each) for each in gaps])
        gap_s = np.array([gap for each in gaps for gap in each], dtype=np.float64) / 1e6
        owner = np.repeat(np.arange(len(shown)), sizes)
        begins = np.array([_first_event_s(one) for one in shown], dtype=np.float64)
        passed = np.cumsum(gap_s)
        before = np.concatenate([[0.0], passed])[np.cumsum(sizes) - sizes]
        at_s = begins[owner] + passed - before[owner]
        counted = np.array([one.gap_tokens is not None and len(one.gap_tokens) == len(one.gaps_us) for one in shown])
        weights = np.array(
            [
                k
                for one, known in zip(shown, counted, strict=True)
                for k in (one.gap_tokens if known else [1] * len(one.gaps_us)) or ()
            ],
            dtype=np.float64,
        )
        self._emit(shown, begins, at_s, weights, owner)
        self._icl.add(at_s, gap_s, np.ones_like(gap_s))
        known = counted[owner] & (weights > 0)
        between = gap_s[known] / weights[known]
        self._itl.add(at_s[known], between, weights[known])
        worst = np.full(len(shown), -1.0)
        np.maximum.at(worst, owner[known], between)
        longest[seen] = np.where(worst >= 0, worst, np.nan)
        return longest

    def _emit(self, shown: Sequence[Request], begins: Floats, at_s: Floats, weights: Floats, owner: Ints) -> None:
        """Put tokens on the timeline. The server's count is their sum; the events say only when they came."""
        first = np.array([1.0 if one.first_event_tokens is None else one.first_event_tokens for one in shown])
        sums = first + np.bincount(owner, weights, minlength=len(shown))
        said = np.array([np.nan if one.output_tokens is None else one.output_tokens for one in shown], dtype=np.float64)
        scale = np.where(np.isnan(said), 1.0, said / np.where(sums > 0, sums, 1.0))
        for stamps, tokens in ((begins, first * scale), (at_s, weights * scale[owner])):
            if not len(stamps):
                continue
            if stamps.max() > LONGEST_S:
                raise InputError(
                    f"an event of a request lies beyond {LONGEST_S:g} s: no trace of a run; measure it again"
                )
            bins = np.maximum(np.floor(stamps / BIN_S + 1e-9), 0).astype(np.int64)
            found = np.bincount(bins, tokens)
            if len(found) > len(self._tokens):
                self._tokens = np.concatenate([self._tokens, np.zeros(2 * len(found) - len(self._tokens))])
            self._tokens[: len(found)] += found

    def columns(self) -> Columns:
        kinds = {"d": np.float64, "f": np.float32, "i": np.int32, "b": np.int8}
        views: dict[str, Any] = {
            name: np.frombuffer(part, dtype=kinds[part.typecode]) if len(part) else np.zeros(0, kinds[part.typecode])
            for name, part in self._parts.items()
        }
        filled = np.flatnonzero(self._tokens)
        tokens = self._tokens[: int(filled[-1]) + 1] if len(filled) else np.zeros(0)
        return Columns(**views, tokens=tokens, itl=self._itl, icl=self._icl)


def _first_event_s(one: Request) -> float | None:
    """When its first token came; without streaming, when all of them did."""
    if one.first_token_s is not None:
        return one.first_token_s
    if one.status == "ok" and not one.gaps_us:
        return one.last_token_s if one.last_token_s is not None else one.done_s
    return None


def _or_unknown(count: int | None) -> int:
    return UNKNOWN if count is None else count


def _area_since(stamps: Floats, edges: Floats) -> Floats:
    """∫ (number of stamps so far) from 0 to each edge."""
    ordered = np.sort(stamps)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    count = np.searchsorted(ordered, edges)
    return np.asarray(count * edges - sums[count], dtype=np.float64)
