"""One connection of a client: requests read from it, bytes on their way to it. Never blocks."""

import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import httptools

READ_BYTES = 1 << 18
MOST_BODY_BYTES = 1 << 28
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST."""


@dataclass(slots=True)
class Message:
    """A whole request as it came in."""

    method: bytes
    path: str
    headers: dict[bytes, bytes]
    body: bytes
    keep_alive: bool
    received_ns: int


class BrokenHttpError(Exception):
    """What came is no HTTP, or more than we take."""


@dataclass(slots=True, eq=False)
class Connection:
    """`out` holds what the socket did not take yet; `todo` requests that came before the one at work was answered."""

    sock: socket.socket
    fd: int = -1
    out: bytearray = field(default_factory=bytearray)
    todo: deque[Message] = field(default_factory=deque)
    stream: Any = None
    """The answer at work."""
    idle_since_ns: int = 0
    close_when_sent: bool = False
    closed: bool = False
    wants_write: bool = False
    _parser: Any = None
    _url: bytes = b""
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _body: list[bytes] = field(default_factory=list)
    _body_bytes: int = 0
    _done: list[tuple[bytes, bytes, dict[bytes, bytes], bytes, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.fd = self.sock.fileno()
        self._parser = httptools.HttpRequestParser(self)

    def read(self) -> bytes | None:
        """What there is; b"" at the end or after a reset, None when there is nothing after all."""
        try:
            return self.sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def feed(self, data: bytes, received_ns: int) -> list[Message]:
        """The requests that these bytes complete. Raises BrokenHttpError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            raise BrokenHttpError(str(error)) from None
        if not self._done:
            return []
        done, self._done = self._done, []
        return [
            Message(method, url.partition(b"?")[0].decode("latin-1"), headers, body, keep, received_ns)
            for method, url, headers, body, keep in done
        ]

    def write(self, data: bytes) -> None:
        """Send now what the socket takes, keep the rest. Raises OSError when the client is gone."""
        if self.out:
            self.out += data
            return
        try:
            sent = self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent < len(data):
            self.out += memoryview(data)[sent:]

    def flush(self) -> None:
        """Send more of what was kept. Raises OSError when the client is gone."""
        try:
            sent = self.sock.send(self.out)
        except (BlockingIOError, InterruptedError):
            return
        del self.out[:sent]

    def close(self, reset: bool = False) -> None:
        """End it: with FIN, or with RST."""
        if not self.closed:
            self.closed = True
            self._parser = None  # it holds this object as this object holds it
            if reset:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.sock.close()

    # What httptools calls.

    def on_message_begin(self) -> None:
        self._url, self._headers, self._body, self._body_bytes = b"", {}, [], 0

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._body_bytes += len(body)
        if self._body_bytes > MOST_BODY_BYTES:
            raise ValueError("a body of more than 256 MiB")

    def on_message_complete(self) -> None:
        method, keep = self._parser.get_method(), self._parser.should_keep_alive()
        self._done.append((method, self._url, self._headers, b"".join(self._body), keep))
