"""HTTP streams to an endpoint, stamped as they are read: what a load generator costs and what it can tell.

The transport is small on purpose. It stamps each read of a socket and keeps the bytes; what they mean is worked out
when the answer is over (`events.py`), so that parsing one stream never makes another one late.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.schema import RequestStatus


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `headers` hold the key: a Target is never printed, logged or stored."""

    host: str
    port: int
    tls: bool
    path: str
    """Of requests, such as /v1/chat/completions."""
    headers: Sequence[tuple[str, str]] = field(default=(), repr=False)
    ca_file: str | None = None


@dataclass(slots=True)
class Exchange:
    """A request and all that came back. Stamps are `time.perf_counter_ns()`."""

    tag: Any
    """The caller's own."""
    sent_ns: int | None = None
    """Just before the first byte went out, on an open connection."""
    connect_ns: int | None = None
    """What opening a connection took, where none was idle."""
    resent: bool = False
    read_ns: list[int] = field(default_factory=list)
    """When each piece was read."""
    pieces: list[bytes] = field(default_factory=list)
    """The body, without HTTP's own framing; `pieces[i]` was read at `read_ns[i]`."""
    http_status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    """Of the answer, names in lower case."""
    done_ns: int | None = None
    failure: RequestStatus | None = None
    """What went wrong with the connection: refused, dns, tls, timeout, cut, malformed, endless, cancelled, redirect."""
    error: str | None = None
    hide: Sequence[str] = field(default=(), repr=False)
    """What must stand in no error, wherever it came from: the key, which a server may say back."""


class Transport(Protocol):
    """Many streams in one thread. aiohttp and httpx stand behind the same face in scripts/compare_clients.py."""

    def prepare(self, connections: int) -> None:
        """Open this many idle connections, so that none has to be opened inside a request."""
        ...

    def send(self, body: bytes, tag: Any, deadline_ns: int, path: str | None = None) -> None:
        """Start a POST now. Never blocks, never raises for what the network does: that comes back as an Exchange."""
        ...

    def turn(self, until_ns: int) -> list[Exchange]:
        """Read what there is. Returns when a request is over, or `until_ns` has come; stamps on time all the while."""
        ...

    @property
    def in_flight(self) -> int: ...

    def abort(self) -> list[Exchange]:
        """End all requests on their way: failure `cancelled`, with what had come of them."""
        ...

    def close(self) -> None: ...
