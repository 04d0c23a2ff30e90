"""The server: one thread, one epoll, one schedule.

Sockets that can be read are first all read and stamped, then understood: a request is not made to look late by those
that came with it. Between any two of them whatever is due is written.
"""

import os
import random
import select
import signal
import socket
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import perf_counter_ns
from typing import cast

from bench.errors import InputError
from bench.mock import process, routes, script, wire
from bench.mock.asked import CHAT, COMPLETIONS, Asked, RefusedError, understand
from bench.mock.connection import BrokenHttpError, Connection, Message
from bench.mock.prefix import PrefixCache
from bench.mock.schedule import TURN, Schedule
from bench.mock.settings import MockSettings
from bench.mock.stream import MOST_UNSENT_BYTES, Stream
from bench.mock.truth import Truth, TruthLog

BACKLOG = 4096
FLUSH_NS = 1_000_000_000
"""Between two writes of the truth log while there is always something to do."""


class Server:
    """Listens from the moment it is made. Raises InputError where it cannot."""

    def __init__(self, settings: MockSettings, host: str = "127.0.0.1", port: int = 0, truth: Path | None = None):
        self.settings = settings
        self.key = None if settings.key_env is None else os.environ.get(settings.key_env)
        if settings.key_env is not None and not self.key:
            raise InputError(f"--key-env {settings.key_env}: no such environment variable, or empty; export it")
        self.log = TruthLog(truth)
        try:
            self.listener = socket.create_server((host, port), backlog=BACKLOG)
        except (OSError, OverflowError) as error:
            self.log.close()
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
            raise InputError(f"--port {port}: cannot listen on {host} ({why}); name a free one, or 0 for any") from None
        self.listener.setblocking(False)
        self.host, self.port = self.listener.getsockname()[:2]
        self.totals = routes.Totals()
        self.started_ns = perf_counter_ns()
        self._epoll = select.epoll()
        self._epoll.register(self.listener.fileno(), select.EPOLLIN)
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._epoll.register(self._woken, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._schedule = Schedule()
        self._waiting: deque[Stream] = deque()
        self._cache = PrefixCache()
        self._dice = random.Random(settings.seed)
        self._stopped = False
        self._flushed_ns = self.started_ns

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def starting(self) -> bool:
        """Whether it still pretends to load its model."""
        return perf_counter_ns() - self.started_ns < self.settings.starting_s * 1e9

    def stop(self, *_: object) -> None:
        """Have `serve` return soon; may be a signal's handler, or called in another thread."""
        self._stopped = True
        with suppress(OSError):  # so full of bytes that one more changes nothing, or closed already
            os.write(self._waker, b"1")

    def serve(self) -> None:
        """Answer until `stop`, or in the main thread SIGTERM or SIGINT; the log is then whole and nothing is open."""
        process.fine_timers()
        if threading.current_thread() is threading.main_thread():
            for one in (signal.SIGTERM, signal.SIGINT):
                signal.signal(one, self.stop)
        while not self._stopped:
            self._turn()
        for connection in list(self._connections.values()):
            self._lose(connection)
        self.log.close()
        self.listener.close()
        self._epoll.close()
        os.close(self._woken)
        waker, self._waker = self._waker, -1
        os.close(waker)

    def _turn(self) -> None:
        wait_s = self._schedule.wait_s()
        if wait_s != 0.0:
            if self.totals.running == 0 or perf_counter_ns() - self._flushed_ns > FLUSH_NS:
                self.log.flush()
                self._flushed_ns = perf_counter_ns()
            if self.settings.keep_alive_s is not None:
                wait_s = min(self._close_idle(self.settings.keep_alive_s), 1e9 if wait_s is None else wait_s)
            # epoll itself rounds up to whole milliseconds; select on it does not.
            if select.select([self._epoll], [], [], wait_s)[0]:
                self._read_all()
        else:
            self._read_all()
        self._write_due(TURN)

    def _write_due(self, most: int) -> None:
        schedule = self._schedule
        for _ in range(most):
            due = schedule.next_due()
            if due is None:
                return
            now_ns, stream = due[0], cast(Stream, due[1])
            connection = stream.connection
            if connection.stream is not stream:
                schedule.drop()  # its client went away
            elif len(connection.out) > MOST_UNSENT_BYTES:
                stream.due_ns = now_ns + 1_000_000
                schedule.again(stream)
            else:
                self._advance(stream, now_ns)

    def _advance(self, stream: Stream, now_ns: int) -> None:
        before = stream.truth.tokens
        try:
            over = stream.advance(now_ns, self.totals.running)
        except OSError:
            self._schedule.drop()
            self._lose(stream.connection)
            return
        self.totals.generated += stream.truth.tokens - before
        if over:
            self._schedule.drop()
            self._finish(stream)
        else:
            self._schedule.again(stream)
        if stream.connection.out:
            self._want_write(stream.connection)

    def _read_all(self) -> None:
        """Understand what came, and stamp what comes meanwhile."""
        read: dict[Connection, tuple[bytes, int]] = {}
        self._read_into(read)
        while read:
            connection = next(iter(read))
            data, now_ns = read.pop(connection)
            self._understand(connection, data, now_ns)
            self._write_due(TURN)
            self._read_into(read)

    def _read_into(self, read: dict[Connection, tuple[bytes, int]]) -> None:
        """Read every socket that can be, but those whose last bytes are still to be understood."""
        for fd, what in self._epoll.poll(0):
            connection = self._connections.get(fd)
            if connection is None:
                if fd == self.listener.fileno():
                    self._accept()
                continue
            if what & select.EPOLLOUT:
                self._flush(connection)
            if what & ~select.EPOLLOUT and not connection.closed and connection not in read:
                data = connection.read()
                if data is not None:
                    read[connection] = data, perf_counter_ns()

    def _understand(self, connection: Connection, data: bytes, now_ns: int) -> None:
        if connection.closed:
            return
        if not data:
            self._lose(connection)
            return
        try:
            connection.todo += connection.feed(data, now_ns)
        except BrokenHttpError as error:
            self._reply(connection, wire.error(400, f"not HTTP: {error}"), keep=False)
            return
        while connection.todo and connection.stream is None and not connection.closed:
            self._take(connection, connection.todo.popleft())

    def _accept(self) -> None:
        for _ in range(256):
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, idle_since_ns=perf_counter_ns())
            self._connections[connection.fd] = connection
            self._epoll.register(connection.fd, select.EPOLLIN)

    # One request.

    def _take(self, connection: Connection, message: Message) -> None:
        if message.path == "/truth":
            self.log.flush()
        if message.path not in (CHAT, COMPLETIONS) or message.method != b"POST":
            reply = routes.answer(self, message)
            self._reply(connection, reply, message.keep_alive)
            return
        self.totals.requests += 1
        order = self.totals.requests
        truth = Truth(
            id=f"mock-{order}",
            tag=message.headers.get(b"x-mock-tag", b"").decode("latin-1") or None,
            prompt="",
            path=message.path,
            received_ns=message.received_ns,
            stamps_ns=[] if self.settings.log_stamps else None,
        )
        try:
            routes.check(self, message)
            asked = understand(message.path, message.body, self.settings)
            self._check_luck(asked.settings)
        except RefusedError as refused:
            self._refuse(connection, message, truth, refused)
            return
        if asked.settings.redirect is not None:
            where = b"Location: %s\r\n" % asked.settings.redirect.encode()
            self._end_early(connection, message, truth, 307, wire.answer(307, b"", headers=where))
            return
        self._begin(connection, message, asked, truth, order)

    def _begin(self, connection: Connection, message: Message, asked: Asked, truth: Truth, order: int) -> None:
        settings = asked.settings
        truth.prompt_tokens = len(asked.words) + settings.template_tokens
        truth.prompt = f"{zlib.crc32(repr(asked.words).encode()):08x}"
        if settings.prefix_cache:
            truth.cached_tokens = self._cache.take(asked.words)
        elif settings.cached_share is not None:
            truth.cached_tokens = int(truth.prompt_tokens * settings.cached_share)
        made = script.write(asked, truth.id, int(time.time()), truth.cached_tokens, self._dice)
        truth.reasoning_tokens = made.reasoning_tokens
        stream = Stream(connection, message, made, truth, order)
        connection.stream = stream
        if self.settings.slots is not None and self.totals.running >= self.settings.slots:
            self.totals.waiting += 1
            self._waiting.append(stream)
        else:
            self._start(stream, message.received_ns)

    def _start(self, stream: Stream, now_ns: int) -> None:
        self.totals.running += 1
        self.totals.prompt += stream.truth.prompt_tokens
        try:
            stream.start(now_ns, self.totals.running)
        except OSError:
            self._lose(stream.connection)
            return
        self._schedule.add(stream)
        if stream.connection.out:
            self._want_write(stream.connection)

    def _check_luck(self, settings: MockSettings) -> None:
        if settings.error_share and self._dice.random() < settings.error_share:
            raise RefusedError(settings.error_status, f"the mock answers {settings.error_status} as it was told to")

    def _refuse(self, connection: Connection, message: Message, truth: Truth, refused: RefusedError) -> None:
        said = refused.message
        if self.settings.echo_key and b"authorization" in message.headers:
            said += f" (you sent {message.headers[b'authorization'].decode('latin-1')})"
        headers = b"Retry-After: 1\r\n" if refused.status in (429, 503) else b""
        self._end_early(connection, message, truth, refused.status, wire.error(refused.status, said, headers))

    def _end_early(self, connection: Connection, message: Message, truth: Truth, status: int, reply: bytes) -> None:
        truth.status, truth.http_status, truth.done_ns = "refused", status, perf_counter_ns()
        self.totals.refused += 1
        self.log.add(truth)
        self._reply(connection, reply, message.keep_alive)

    def _finish(self, stream: Stream) -> None:
        connection, made = stream.connection, stream.script
        self._leave(stream, made.status)
        if made.ending == "reset":
            self._close(connection, reset=True)
        elif made.ending == "close" or not stream.message.keep_alive:
            self._close_when_sent(connection)
        else:
            connection.idle_since_ns = perf_counter_ns()
            while connection.todo and connection.stream is None and not connection.closed:
                self._take(connection, connection.todo.popleft())

    def _leave(self, stream: Stream, status: str) -> None:
        """A stream is over: its line, its slot, and who gets that."""
        stream.connection.stream = None
        stream.truth.status, stream.truth.done_ns = status, perf_counter_ns()
        self.log.add(stream.truth)
        if stream.truth.started_ns is None:
            self._waiting.remove(stream)
            self.totals.waiting -= 1
            return
        self.totals.running -= 1
        if self._waiting:
            self.totals.waiting -= 1
            self._start(self._waiting.popleft(), perf_counter_ns())

    # Connections.

    def _reply(self, connection: Connection, reply: bytes, keep: bool) -> None:
        connection.idle_since_ns = perf_counter_ns()
        try:
            connection.write(reply)
        except OSError:
            self._close(connection)
            return
        if not keep:
            self._close_when_sent(connection)
        elif connection.out:
            self._want_write(connection)

    def _flush(self, connection: Connection) -> None:
        try:
            connection.flush()
        except OSError:
            self._lose(connection)
            return
        if not connection.out:
            connection.wants_write = False
            self._epoll.modify(connection.fd, select.EPOLLIN)
            if connection.close_when_sent:
                self._close(connection)

    def _want_write(self, connection: Connection) -> None:
        if not connection.wants_write and not connection.closed:
            connection.wants_write = True
            self._epoll.modify(connection.fd, select.EPOLLIN | select.EPOLLOUT)

    def _close_when_sent(self, connection: Connection) -> None:
        if connection.out:
            connection.close_when_sent = True
            self._want_write(connection)
        else:
            self._close(connection)

    def _lose(self, connection: Connection) -> None:
        """The client went away, or we do."""
        stream = connection.stream
        self._close(connection)
        if stream is not None:
            self._leave(stream, "gone")

    def _close(self, connection: Connection, reset: bool = False) -> None:
        if not connection.closed:
            self._epoll.unregister(connection.fd)
            del self._connections[connection.fd]
            connection.close(reset)

    def _close_idle(self, keep_alive_s: float) -> float:
        """Close what has been idle for too long; seconds until the next one may be."""
        now_ns, most_ns, soonest_s = perf_counter_ns(), int(keep_alive_s * 1e9), keep_alive_s
        for connection in list(self._connections.values()):
            if connection.stream is None and not connection.todo:
                left_ns = connection.idle_since_ns + most_ns - now_ns
                if left_ns <= 0:
                    self._close(connection)
                else:
                    soonest_s = min(soonest_s, left_ns / 1e9)
        return soonest_s


def run(
    settings: MockSettings,
    say: Callable[[str], None],
    host: str = "127.0.0.1",
    port: int = 0,
    truth: Path | None = None,
) -> None:
    """Serve until a signal; `say` gets the address, once connections are taken."""
    process.allow_connections()
    server = Server(settings, host, port, truth)
    say(server.url)
    server.serve()
