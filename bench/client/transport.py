"""Many streams in one thread: an event loop that does nothing but send, stamp and keep.

All sockets that are ready are read and stamped first, and only then are the bytes looked at: of 256 streams that speak
in the same millisecond the last one is stamped a few hundred microseconds after the first, not milliseconds.
Waiting for a moment is exact to some 60 µs, although epoll counts in milliseconds.
"""

import socket
import ssl
import time
from collections import deque
from contextlib import suppress
from math import isqrt
from pathlib import Path
from typing import Any

from bench.client import Exchange, Target
from bench.client.addresses import Addresses
from bench.client.connection import READ, READ_BYTES, Connection, Flight
from bench.client.polling import Poller
from bench.client.request_head import head_of, secrets_of
from bench.errors import InputError
from bench.schema import RequestStatus

MOST_BODY_BYTES = 256 * 1024 * 1024
OPEN_LIMIT_NS = 10_000_000_000
"""For a connection that no request waits for."""
ADDRESS_LIMIT_NS = 3_000_000_000
"""For one address of a host that has several."""
MOST_OPENING = 64
"""At once while preparing: more than a server's backlog would be dropped and tried again a second later."""
MOST_SPARE = 32
GIVEN_UP_NS = 1_000_000_000
"""A server that closes a connection sooner than this after an answer does not mean to keep it."""
FEW = 2
NEVER = 1 << 63


class StreamTransport:
    """HTTP/1.1 POSTs to one target over kept connections. Raises InputError for headers or certificates that no
    request could go out with; whatever the network does comes back as an Exchange.

    A request is never sent twice but in one case: the idle connection that it went out on was closing and no byte had
    come back within a second. It then goes out once more on a new one, with `resent` and with new stamps.
    """

    def __init__(self, target: Target, most_body_bytes: int = MOST_BODY_BYTES) -> None:
        self.host = target.host.strip("[]")
        self.most_body_bytes = most_body_bytes
        self.tls = _context(target) if target.tls else None
        self._target = target
        self._hide = secrets_of(target)
        self._heads = {target.path: head_of(target, target.path)}
        self._view = memoryview(bytearray(READ_BYTES))
        self._poller = Poller()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._opening: dict[Connection, int] = {}
        """With the moment at which the next address is tried."""
        self._to_open: list[int] = []
        """Connections to open, each by its deadline, when the name has been looked up."""
        self._waiting: deque[Flight] = deque()
        self._flights: set[Flight] = set()
        self._busy: list[Connection] = []
        """Of which more can be read without the system's saying so (TLS)."""
        self._over: list[Exchange] = []
        self._next_ns = NEVER
        """No deadline passes before."""
        self._spares = 1
        """Connections kept idle beyond those in use: as many as were needed lately."""
        self._reachable = True
        self._given_up = 0
        self._reused = False
        """Of the connections that had one answer: how many were closed at once, and whether any had another."""
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._poller.watch(self._woken.fileno(), READ, False)
        self._addresses = Addresses(self.host, target.port, self._wake)

    # What the caller uses ---------------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Requests whose Exchange has not been handed over yet."""
        return len(self._flights) + len(self._over)

    def prepare(self, connections: int) -> None:
        """Open this many idle connections; returns when they are open, cannot be opened, or 10 s have passed."""
        until_ns = time.perf_counter_ns() + OPEN_LIMIT_NS
        self._reachable = True
        while (now_ns := time.perf_counter_ns()) < until_ns:
            missing = connections - len(self._idle) - len(self._opening) - len(self._to_open)
            if self._reachable:
                for _ in range(min(missing, MOST_OPENING - len(self._opening) - len(self._to_open))):
                    self._open(until_ns)
            if not self._opening and not self._to_open:
                return
            self._once(until_ns, now_ns)

    def send(self, body: bytes, tag: Any, deadline_ns: int, path: str | None = None) -> None:
        """Start a POST now. Never blocks, never raises for what the network does: that comes back as an Exchange."""
        path = path or self._target.path
        head = self._heads.get(path)
        if head is None:
            head = self._heads[path] = head_of(self._target, path)
        request = b"%b%d\r\n\r\n%b" % (head, len(body), body)
        flight = Flight(Exchange(tag, hide=self._hide), request, time.perf_counter_ns(), deadline_ns)
        self._flights.add(flight)
        self._next_ns = min(self._next_ns, deadline_ns)
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_dead():
                connection.start(flight)
                break
            connection.drop()
            self._given_up += connection.answers == 1
        else:
            self._spares = min(2 * self._spares + 1, MOST_SPARE)
            self._wait_for_connection(flight)
        if len(self._idle) < self._spares or not self.keeps:
            self._open_spares()

    def turn(self, until_ns: int) -> list[Exchange]:
        """Read what there is. Returns when a request is over, or `until_ns` has come; stamps on time all the while."""
        now_ns = time.perf_counter_ns()
        self._once(0 if self._over else until_ns, now_ns)
        while not self._over and (now_ns := time.perf_counter_ns()) < until_ns:
            self._once(until_ns, now_ns)
        over, self._over = self._over, []
        return over

    def abort(self) -> list[Exchange]:
        """End all requests on their way: failure `cancelled`, with what had come of them."""
        now_ns = time.perf_counter_ns()
        for flight in list(self._flights):
            self._fail(flight, now_ns, "cancelled", "ended by the load generator")
        over, self._over = self._over, []
        return over

    def close(self) -> None:
        """Close every connection. Requests on their way are lost: `abort` comes before."""
        for connection in [*self._connections.values(), *self._opening, *self._idle]:
            connection.drop()
        self._connections.clear()
        self._opening.clear()
        self._idle.clear()
        self._flights.clear()
        self._poller.close()
        self._woken.close()
        self._waker.close()

    # The loop --------------------------------------------------------------------------------------------------------

    def _once(self, until_ns: int, now_ns: int) -> None:
        """Wait until there is something to read, a deadline has passed or `until_ns` has come; read all there is."""
        if now_ns >= self._next_ns:
            self._expire(now_ns)
        limit_ns = 0 if self._busy else min(until_ns, self._next_ns)
        events = self._poller.wait(limit_ns - now_ns)
        if not events and not self._busy:
            return
        clock, connections, view = time.perf_counter_ns, self._connections, self._view
        read: list[tuple[Connection, bytes, int]] = []
        others: list[tuple[Connection | None, int]] = []
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None or not connection.plain:
                others.append((connection, mask))
                continue
            try:
                count = connection.sock.recv_into(view)  # type: ignore[union-attr]
                at_ns = clock()
                read.append((connection, bytes(view[:count]), at_ns))
            except BlockingIOError:
                pass
            except OSError as error:
                connection.failed(error, clock())
        for connection, data, at_ns in read:
            connection.take(data, at_ns)
        self._others(others)

    def _others(self, others: list[tuple[Connection | None, int]]) -> None:
        """Connections that are being opened, written to or encrypted, and the end of a look-up."""
        busy, self._busy = self._busy, []
        for one, mask in others:
            if one is None:
                self._looked_up()
            elif one.fd in self._connections:
                one.ready(mask)
        for connection in busy:
            if connection.is_open and connection not in self._busy:
                connection.ready(READ)

    def _expire(self, now_ns: int) -> None:
        """Fail what is late, and find out when to look again."""
        for flight in [one for one in self._flights if one.deadline_ns <= now_ns]:
            self._fail(flight, now_ns, "timeout", "no whole answer within the time limit")
        for connection, step_by_ns in list(self._opening.items()):
            if connection.open_by_ns <= now_ns:
                connection.drop()
                self.not_opened(connection, "timeout", f"no connection to {self.host} within the time limit")
            elif step_by_ns <= now_ns:
                more = connection.next_address()
                if connection in self._opening:
                    self._opening[connection] = now_ns + ADDRESS_LIMIT_NS if more else connection.open_by_ns
        self._next_ns = min(
            min((one.deadline_ns for one in self._flights), default=NEVER),
            min((min(by, one.open_by_ns) for one, by in self._opening.items()), default=NEVER),
        )

    def _fail(self, flight: Flight, at_ns: int, failure: RequestStatus, error: str) -> None:
        if flight.connection is not None:
            flight.connection.drop()
        with suppress(ValueError):
            self._waiting.remove(flight)
        self.over(flight, at_ns, failure, error)

    # Opening ---------------------------------------------------------------------------------------------------------

    def _wait_for_connection(self, flight: Flight) -> None:
        self._waiting.append(flight)
        if len(self._waiting) > len(self._opening) + len(self._to_open):
            self._open(flight.deadline_ns)

    def _open_spares(self) -> None:
        """Ahead of need. None where the last one could not be opened, and none for a handful of steady streams."""
        now_ns = time.perf_counter_ns()
        streams = len(self._flights)
        # Where each answer costs a connection, streams that end together all need another one at once.
        wanted = min(self._spares, 1 + isqrt(streams)) if self.keeps else min(1 + streams, MOST_SPARE)
        missing = wanted - len(self._idle) - len(self._opening) - len(self._to_open) + len(self._waiting)
        if self._reachable:
            for _ in range(missing):
                self._open(now_ns + OPEN_LIMIT_NS)

    def _open(self, open_by_ns: int) -> None:
        if not self._addresses.known:
            self._to_open.append(open_by_ns)
            self._addresses.look_up()
            return
        connection = Connection(self, self._addresses.known, open_by_ns, self._view)
        several = len(self._addresses.known) > 1
        step_by_ns = time.perf_counter_ns() + ADDRESS_LIMIT_NS if several else open_by_ns
        self._opening[connection] = step_by_ns
        self._next_ns = min(self._next_ns, step_by_ns, open_by_ns)
        connection.open()

    def _wake(self) -> None:
        with suppress(OSError):  # closed meanwhile, or woken already
            self._waker.send(b"1")

    def _looked_up(self) -> None:
        with suppress(BlockingIOError):
            self._woken.recv(READ_BYTES)
        wanted, self._to_open = self._to_open, []
        if self._addresses.known:
            for open_by_ns in wanted:
                self._open(open_by_ns)
            return
        self._reachable = False
        now_ns = time.perf_counter_ns()
        while self._waiting:
            self._fail(self._waiting[0], now_ns, "dns", self._addresses.error or f"cannot look up {self.host}")

    # What connections tell -------------------------------------------------------------------------------------------

    def watch(self, connection: Connection, mask: int, known: bool) -> None:
        self._connections[connection.fd] = connection
        self._poller.watch(connection.fd, mask, known)

    def unwatch(self, fd: int) -> None:
        if self._connections.pop(fd, None) is not None:
            self._poller.unwatch(fd)

    def opened(self, connection: Connection) -> None:
        self._opening.pop(connection, None)
        self._reachable = True
        self._hand_on(connection, self._waiting)

    def not_opened(self, connection: Connection, failure: RequestStatus, error: str) -> None:
        self._opening.pop(connection, None)
        self._reachable = False
        if not self._opening:
            self._addresses.forget()
        if len(self._waiting) > len(self._opening) + len(self._to_open):
            self._fail(self._waiting[0], time.perf_counter_ns(), failure, error)

    @property
    def keeps(self) -> bool:
        """Whether the server keeps connections, as far as is known: some promise it and close after each answer."""
        return self._reused or self._given_up < FEW

    def free(self, connection: Connection) -> None:
        self._reused = self._reused or connection.answers > 1
        if not self.keeps:
            connection.drop()
            self._open_spares()
            return
        # What was sent again must not meet another connection that is about to close.
        self._hand_on(connection, deque(one for one in self._waiting if not one.exchange.resent))

    def _hand_on(self, connection: Connection, to: deque[Flight]) -> None:
        if not to:
            connection.rested = True
            self._idle.append(connection)
            return
        flight = to[0]
        self._waiting.remove(flight)
        flight.exchange.connect_ns = time.perf_counter_ns() - flight.asked_ns
        connection.start(flight)

    def idle_closed(self, connection: Connection) -> None:
        with suppress(ValueError):
            self._idle.remove(connection)
        if not connection.used:
            self._spares = max(1, self._spares // 2)
        elif connection.answers == 1 and time.perf_counter_ns() - connection.rested_ns < GIVEN_UP_NS:
            self._given_up += 1

    def stale(self, flight: Flight, connection: Connection) -> None:
        self._given_up += connection.answers == 1
        flight.exchange.resent = True
        flight.asked_ns = time.perf_counter_ns()
        flight.exchange.sent_ns = None
        self._waiting.append(flight)
        self._open(flight.deadline_ns)

    def over(self, flight: Flight, at_ns: int, failure: RequestStatus | None, error: str | None) -> None:
        self._flights.discard(flight)
        exchange = flight.exchange
        exchange.done_ns, exchange.failure, exchange.error = at_ns, failure, error
        self._over.append(exchange)

    def more(self, connection: Connection) -> None:
        self._busy.append(connection)


def _context(target: Target) -> ssl.SSLContext:
    if target.ca_file is not None and not Path(target.ca_file).is_file():
        raise InputError(f"ca_file {target.ca_file}: no such file; name a file of PEM certificates")
    try:
        context = ssl.create_default_context(cafile=target.ca_file)
    except (ssl.SSLError, OSError):
        raise InputError(f"ca_file {target.ca_file}: holds no PEM certificate; name a file that does") from None
    context.set_alpn_protocols(["http/1.1"])
    return context
