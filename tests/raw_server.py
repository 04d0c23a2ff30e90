"""A server that says what a test's script says, byte by byte: for faults that no proper server makes.

    def script(talk: Talk) -> None:
        talk.request()
        talk.send(b"HTTP/1.1 200 OK\r\n…")

    with serving(script) as server: …

One thread a connection, on 127.0.0.1; the connection is closed when the script returns.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """As one chunk of HTTP."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def answer(status: int, body: bytes, *heads: str) -> bytes:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *heads]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Talk:
    """One connection, from the server's side."""

    def __init__(self, server: "RawServer", sock: socket.socket, number: int) -> None:
        self.server = server
        self.sock = sock
        self.number = number
        """Of the connection, from 0."""
        self._rest = b""

    def request(self) -> bytes | None:
        """The next request, head and body; None when the client has closed."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, body = self._rest.partition(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        while len(body) < length:
            if not self._more():
                return None
            body = self._rest.partition(b"\r\n\r\n")[2]
        self._rest = body[length:]
        whole = head + b"\r\n\r\n" + body[:length]
        self.server.requests.append(whole)
        return whole

    def _more(self) -> bool:
        try:
            data = self.sock.recv(1 << 20)
        except OSError:
            return False
        self._rest += data
        return bool(data)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class RawServer:
    """Its port, and every request that came."""

    def __init__(self, script: Callable[[Talk], None], tls: ssl.SSLContext | None, port: int) -> None:
        self.script, self.tls = script, tls
        self.requests: list[bytes] = []
        self.connections = 0
        self.stopping = threading.Event()
        """A script that stalls waits for it."""
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(sock)
            number, self.connections = self.connections, self.connections + 1
            threading.Thread(target=self._serve, args=(sock, number), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):  # the client is gone, which most scripts expect
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True)
            try:
                self.script(Talk(self, sock, number))
            finally:
                sock.close()

    def stop(self) -> None:
        """Break off all connections and listen no more."""
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)


@contextlib.contextmanager
def serving(script: Callable[[Talk], None], tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[RawServer]:
    """Until the block ends."""
    server = RawServer(script, tls, port)
    try:
        yield server
    finally:
        server.stop()
