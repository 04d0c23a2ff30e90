"""One connection: opened, used for one answer after the other, and given up at the first doubt. Never blocks.

Every read is stamped in the statement after it returned. A connection that a server closed while nobody used it is
no fault of anybody; one that closes within an answer is.
"""

import errno
import os
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from bench.client import Exchange
from bench.client.addresses import Address
from bench.client.framing import MOST_ERROR_BYTES, MOST_HEAD_BYTES, AnswerError, Framing
from bench.schema import RequestStatus

READ, WRITE = 1, 4
"""As EPOLLIN and EPOLLOUT."""
READ_BYTES = 256 * 1024
STALE_NS = 1_000_000_000
"""A connection that ends this soon after a request went out on it was closing already; later, the server broke off."""
TLS_READS = 16
"""Records of one stream that are read in a row, before others have their turn."""


class Flight:
    """A request on its way."""

    __slots__ = ("asked_ns", "connection", "deadline_ns", "exchange", "request")

    def __init__(self, exchange: Exchange, request: bytes, asked_ns: int, deadline_ns: int) -> None:
        self.exchange = exchange
        self.request = request
        self.asked_ns = asked_ns
        self.deadline_ns = deadline_ns
        self.connection: Connection | None = None


class House(Protocol):
    """What a connection tells those who own it."""

    tls: ssl.SSLContext | None
    host: str
    most_body_bytes: int

    def watch(self, connection: "Connection", mask: int, known: bool) -> None: ...
    def unwatch(self, fd: int) -> None: ...
    def opened(self, connection: "Connection") -> None: ...
    def not_opened(self, connection: "Connection", failure: RequestStatus, error: str) -> None: ...
    def over(self, flight: Flight, at_ns: int, failure: RequestStatus | None, error: str | None) -> None: ...
    def stale(self, flight: Flight, connection: "Connection") -> None: ...
    def free(self, connection: "Connection") -> None: ...
    def idle_closed(self, connection: "Connection") -> None: ...
    def more(self, connection: "Connection") -> None: ...


class Connection:
    """`plain` says that a read needs no more than `sock.recv_into`: open, without TLS, nothing left to write."""

    __slots__ = (
        *("_addresses", "_framing", "_house", "_left", "_most_bytes", "_received", "_tls", "_view"),
        *("answers", "fd", "flight", "is_open", "open_by_ns", "plain", "rested", "rested_ns", "sock", "used"),
    )

    def __init__(self, house: House, addresses: Sequence[Address], open_by_ns: int, view: memoryview) -> None:
        self._house = house
        self._addresses = list(addresses)
        self._view = view
        self._framing: Framing | None = None
        self._left: memoryview | None = None
        """Of the request, what is still to be written."""
        self._received = 0
        self._most_bytes = 0
        self._tls: ssl.SSLSocket | None = None
        self.sock: socket.socket | None = None
        self.fd = -1
        self.flight: Flight | None = None
        self.is_open = False
        self.plain = False
        self.open_by_ns = open_by_ns
        self.used = False
        self.rested = False
        """It has been idle, so that the server may have closed it unseen."""
        self.rested_ns = 0
        self.answers = 0

    # Opening ---------------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Try the next address; when there is none left, say so."""
        problem = "no address"
        while self._addresses:
            family, address = self._addresses.pop(0)
            try:
                self.sock = socket.socket(family, socket.SOCK_STREAM)
                self.sock.setblocking(False)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                number = self.sock.connect_ex(address)
            except OSError as error:  # no more file descriptors, or no such family here
                number = error.errno or errno.EIO
            if number in (0, errno.EINPROGRESS) and self.sock is not None:
                self.fd = self.sock.fileno()
                self._house.watch(self, WRITE, False)
                return
            problem = os.strerror(number)
            self._close()
        self._house.not_opened(self, "refused", f"cannot connect to {self._house.host}: {problem}")

    def next_address(self) -> bool:
        """The one that is being tried takes too long: go on to the next. False when there is none."""
        if not self._addresses or self._tls is not None:
            return False
        self._close()
        self.open()
        return True

    def _connected(self) -> None:
        assert self.sock is not None
        number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._close()
            if self._addresses:
                self.open()
            else:
                self._house.not_opened(self, "refused", f"cannot connect to {self._house.host}: {os.strerror(number)}")
            return
        if self._house.tls is None:
            self.is_open = self.plain = True
            self._house.watch(self, READ, True)
            self._house.opened(self)
            return
        try:
            self._tls = self._house.tls.wrap_socket(
                self.sock,
                server_hostname=self._house.host,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        except (OSError, ValueError) as error:
            self._no_tls(error)
            return
        self.sock = self._tls
        self._handshake()

    def _handshake(self) -> None:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._house.watch(self, READ, True)
        except ssl.SSLWantWriteError:
            self._house.watch(self, WRITE, True)
        except (OSError, ValueError) as error:
            self._no_tls(error)
        else:
            self.is_open = True
            self._house.watch(self, READ, True)
            self._house.opened(self)

    def _no_tls(self, error: Exception) -> None:
        self._close()
        said = (
            getattr(error, "verify_message", None) or getattr(error, "reason", None) or getattr(error, "strerror", None)
        )
        self._house.not_opened(self, "tls", f"no TLS with {self._house.host}: {said or 'the handshake was cut off'}")

    # A request -------------------------------------------------------------------------------------------------------

    def start(self, flight: Flight) -> None:
        """Send it. The stamp is taken just before the first byte goes out."""
        assert self.sock is not None
        flight.connection, self.flight = self, flight
        self._framing = Framing(flight.exchange)
        self._received = 0
        sock, request = self.sock, flight.request
        self.used = True
        self._most_bytes = self._house.most_body_bytes
        flight.exchange.sent_ns = time.perf_counter_ns()
        try:
            sent = sock.send(request)
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            sent = 0
        except OSError as error:
            self._lost(time.perf_counter_ns(), _how(error))
            return
        if sent < len(request):
            self._left = memoryview(request)[sent:]
            self.plain = False
            self._house.watch(self, READ | WRITE, True)

    def _write_on(self) -> None:
        assert self.sock is not None
        while self._left:
            try:
                self._left = self._left[self.sock.send(self._left) :]
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError:
                break  # the reads say what the server thinks of it: an early answer, or the end
        self._left = None
        self.plain = self._tls is None
        self._house.watch(self, READ, True)

    # Reading ---------------------------------------------------------------------------------------------------------

    def ready(self, mask: int) -> None:
        """The socket can be written to or read from, and `plain` was not set."""
        if not self.is_open:
            if self._tls is None:
                self._connected()
            else:
                self._handshake()
            return
        if self._left is not None and mask & ~READ:
            self._write_on()
        if self.sock is not None and (mask & ~WRITE or self._tls is not None):
            self._read_on()

    def _read_on(self) -> None:
        assert self.sock is not None
        for _ in range(TLS_READS):
            try:
                count = self.sock.recv_into(self._view)
                at_ns = time.perf_counter_ns()
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError as error:
                self._lost(time.perf_counter_ns(), _how(error))
                return
            self.take(bytes(self._view[:count]), at_ns)
            if self._tls is None or not self.is_open:
                return
        self._house.more(self)

    def failed(self, error: OSError, at_ns: int) -> None:
        """A plain read raised."""
        self._lost(at_ns, _how(error))

    def take(self, data: bytes, at_ns: int) -> None:
        """What one read brought; nothing at the end of the connection."""
        framing = self._framing
        if framing is None or not data:
            self._lost(at_ns, None)
            return
        self._received += len(data)
        headed = framing.headed
        try:
            framing.feed(data, at_ns)
        except AnswerError as bad:
            self._end(at_ns, "malformed", str(bad))
            return
        if not headed:
            self._head(framing, at_ns)
        elif framing.complete:
            self._complete(at_ns)
        elif self._received > self._most_bytes:
            self._too_much(framing, at_ns)

    def _head(self, framing: Framing, at_ns: int) -> None:
        if not framing.headed:
            if self._received > MOST_HEAD_BYTES:
                self._end(at_ns, "malformed", f"the head of the answer is longer than {MOST_HEAD_BYTES} bytes")
            return
        exchange = framing.exchange
        exchange.http_status, exchange.headers = framing.status, framing.headers
        if 300 <= framing.status < 400:
            self._end(at_ns, "redirect", f"the server redirects (HTTP {framing.status}); that is never followed")
            return
        if framing.status != 200:
            self._most_bytes = MOST_ERROR_BYTES
        if framing.complete:
            self._complete(at_ns)
        elif self._received > self._most_bytes:
            self._too_much(framing, at_ns)

    def _too_much(self, framing: Framing, at_ns: int) -> None:
        """By all bytes read it is; the framing does not count."""
        if sum(map(len, framing.exchange.pieces)) <= self._most_bytes:
            return
        if framing.status == 200:
            self._end(at_ns, "endless", f"more than {self._most_bytes} bytes of answer")
        else:
            self._end(at_ns, None, None)

    def _complete(self, at_ns: int) -> None:
        """The answer is whole."""
        flight, framing = self.flight, self._framing
        assert flight is not None
        assert framing is not None
        if not framing.keeps or self._left is not None:
            self._end(at_ns, None, None)
            return
        framing.let_go()
        self.flight = self._framing = flight.connection = None
        self.answers += 1
        self.rested_ns = at_ns
        self._house.over(flight, at_ns, None, None)
        self._house.free(self)

    # The end ---------------------------------------------------------------------------------------------------------

    def _lost(self, at_ns: int, how: str | None) -> None:
        """The server closed, or (with `how`) broke off."""
        flight, framing = self.flight, self._framing
        if flight is None or framing is None:
            self._close()
            self._house.idle_closed(self)
            return
        exchange = flight.exchange
        assert exchange.sent_ns is not None
        if how is None and framing.ends_with_connection():
            self._end(at_ns, None, None)
        elif self._received == 0 and self.rested and not exchange.resent and at_ns - exchange.sent_ns < STALE_NS:
            self._drop()
            self._house.stale(flight, self)
        else:
            begun = "in the middle of the answer" if framing.headed else "before an answer"
            self._end(at_ns, "cut", f"the connection {how or 'ended'} {begun}")

    def _end(self, at_ns: int, failure: RequestStatus | None, error: str | None) -> None:
        """The request is over, and the connection with it."""
        flight = self.flight
        assert flight is not None
        self._drop()
        self._house.over(flight, at_ns, failure, error)

    def _drop(self) -> None:
        if self._framing is not None:
            self._framing.let_go()
        if self.flight is not None:
            self.flight.connection = None
        self.flight = self._framing = self._left = None
        self._close()

    def is_dead(self) -> bool:
        """An idle one that the server has closed, or on which it says something unasked."""
        assert self.sock is not None
        try:
            socket.socket.recv(self.sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return self._tls is None  # TLS sends tickets, and its end cannot be told from them

    def drop(self) -> None:
        """Close it, whatever it does, without a word to anybody."""
        self._drop()

    def _close(self) -> None:
        self.is_open = self.plain = False
        if self.sock is None:
            return
        if self.fd >= 0:
            self._house.unwatch(self.fd)
        with suppress(OSError):
            self.sock.close()
        self.sock = self._tls = None
        self.fd = -1


def _how(error: OSError) -> str:
    if isinstance(error, ssl.SSLEOFError):
        return "ended without TLS's own end"
    return "was reset" if isinstance(error, ConnectionError) else "broke"
