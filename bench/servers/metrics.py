"""A server's own counters at a moment: what it says it did, to be held against what the client saw."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from bench.schema import ServerSample
from bench.servers.engine import Meanings
from bench.servers.engines import ENGINES
from bench.servers.fetch import get
from bench.servers.prometheus import name, series

MOST_SERIES = 500

_COUNTERS = ("_total", "_sum", "_count", "_success")
GAUGES = ("running", "waiting", "kv_usage")
TOKENS = ("prompt_tokens", "cached_tokens", "generation_tokens")


def sample(
    base_url: str,
    metrics_path: str | None,
    at_s: float,
    headers: Sequence[tuple[str, str]] | Mapping[str, str] = (),
) -> ServerSample | None:
    """What the server says of itself now; None where it offers no metrics or does not answer within 2 s.

    `metrics_path` is taken from the root of `base_url`'s host, whatever path that has. At most 500 series are kept:
    those whose meaning is known come first, then as the server writes them.
    """
    if metrics_path is None:
        return None
    url = urlsplit(base_url)
    tls = url.scheme == "https"
    if url.hostname is None:
        return None
    answer = get(url.hostname, url.port or (443 if tls else 80), metrics_path, dict(headers), tls)
    if answer is None or answer.status != 200:
        return None
    values = parsed(answer.body.decode("utf-8", errors="replace"))
    return ServerSample(at_s=at_s, values=values) if values else None


def parsed(text: str) -> dict[str, float]:
    """At most 500 series of a page of metrics."""
    known = {metric for engine in ENGINES.values() if engine.meanings for metric in engine.meanings.names()}
    found: dict[str, float] = {}
    others: dict[str, float] = {}
    for metric, key, value in series(text):
        (found if metric in known else others)[key] = value
    for key, value in others.items():
        found.setdefault(key, value)
    return dict(list(found.items())[:MOST_SERIES])


def total(values: Mapping[str, float], metric: str) -> float | None:
    """Over all series of a metric (engines, ranks, sources); None where the server has no such metric."""
    parts = [value for key, value in values.items() if name(key) == metric]
    return sum(parts) if parts else None


def delta(start: ServerSample, end: ServerSample) -> dict[str, float]:
    """By how much each counter grew, over all its series. A counter that fell (a restart) is left out."""
    grown: dict[str, float] = {}
    metrics = dict.fromkeys(name(key) for key in end.values)
    for metric in metrics:
        if metric.endswith(_COUNTERS):
            # A series appears with its first event: until then it stood at zero.
            difference = (total(end.values, metric) or 0.0) - (total(start.values, metric) or 0.0)
            if difference >= 0:
                grown[metric] = difference
    return grown


def meanings(values: Mapping[str, float]) -> Meanings | None:
    """The dialect of a page of metrics, by the names on it; None for a server that is not known."""
    for engine in ENGINES.values():
        known = engine.meanings
        if known is not None and any(key.startswith(known.prefix) for key in values):
            return known
    return None


def standing(at: ServerSample) -> dict[str, float]:
    """How busy the server was: `running` and `waiting` requests, `kv_usage` (0 to 1, the fullest); what it says."""
    known = meanings(at.values)
    said: dict[str, float] = {}
    for meaning in GAUGES if known is not None else ():
        for metric in getattr(known, meaning):
            parts = [value for key, value in at.values.items() if name(key) == metric]
            if parts:
                said.setdefault(meaning, max(parts) if meaning == "kv_usage" else sum(parts))
    return said


def work(start: ServerSample, end: ServerSample) -> dict[str, float]:
    """Tokens between two samples: `prompt_tokens` (cached ones included), `cached_tokens`, `generation_tokens`."""
    known = meanings(end.values)
    grown = delta(start, end)
    said: dict[str, float] = {}
    for meaning in TOKENS if known is not None else ():
        for metric in getattr(known, meaning):
            if metric in grown:
                said.setdefault(meaning, grown[metric])
    if known is not None and not known.prompt_includes_cached and "prompt_tokens" in said:
        said["prompt_tokens"] += said.get("cached_tokens", 0.0)
    return said
