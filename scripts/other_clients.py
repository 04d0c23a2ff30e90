"""aiohttp and httpx behind the same face as our transport (`bench.client.Transport`), for scripts/compare_clients.py.

They are used as their documentation shows: one session, streamed bodies, the connection limit lifted. Both stamp each
piece where the library hands it over.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from bench.client import Exchange, Target


class _Asyncio:
    """The event loop stands still outside `turn`, as that of the measured transport does."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._undelivered = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: list[Exchange] = []
        self._some = asyncio.Event()
        scheme = "https" if target.tls else "http"
        self._base = f"{scheme}://{target.host}:{target.port}"
        self._loop.run_until_complete(self._begin())

    async def _begin(self) -> None:
        raise NotImplementedError

    async def _finish(self) -> None:
        raise NotImplementedError

    def _pieces(self, url: str, body: bytes, exchange: Exchange, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        raise NotImplementedError

    @property
    def in_flight(self) -> int:
        return self._undelivered

    def prepare(self, connections: int) -> None:
        """Neither library opens connections ahead."""

    def send(self, body: bytes, tag: Any, deadline_ns: int, path: str | None = None) -> None:
        exchange = Exchange(tag)
        url = self._base + (path or self._target.path)
        task = self._loop.create_task(self._one(url, body, exchange, deadline_ns))
        self._undelivered += 1
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _one(self, url: str, body: bytes, exchange: Exchange, deadline_ns: int) -> None:
        try:
            async with asyncio.timeout((deadline_ns - time.perf_counter_ns()) / 1e9), AsyncExitStack() as stack:
                exchange.sent_ns = time.perf_counter_ns()
                async for piece in self._pieces(url, body, exchange, stack):
                    exchange.read_ns.append(time.perf_counter_ns())
                    exchange.pieces.append(piece)
        except TimeoutError:
            exchange.failure = "timeout"
        except asyncio.CancelledError:
            exchange.failure = "cancelled"
        exchange.done_ns = time.perf_counter_ns()
        self._over.append(exchange)
        self._some.set()

    def turn(self, until_ns: int) -> list[Exchange]:
        self._loop.run_until_complete(self._wait(max(0.0, (until_ns - time.perf_counter_ns()) / 1e9)))
        over, self._over = self._over, []
        self._undelivered -= len(over)
        self._some.clear()
        return over

    async def _wait(self, wait_s: float) -> None:
        if wait_s == 0 or self._over:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(wait_s):
                await self._some.wait()
        except TimeoutError:
            pass

    def abort(self) -> list[Exchange]:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            self._loop.run_until_complete(asyncio.wait(tasks))
        return self.turn(0)

    def close(self) -> None:
        self._loop.run_until_complete(self._finish())
        self._loop.close()


class AiohttpTransport(_Asyncio):
    async def _begin(self) -> None:
        import aiohttp

        headers = dict(self._target.headers)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"Content-Type": "application/json", **headers},
        )

    async def _finish(self) -> None:
        await self._session.close()

    async def _pieces(self, url: str, body: bytes, exchange: Exchange, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        answer = await stack.enter_async_context(self._session.post(url, data=body))
        exchange.http_status = answer.status
        exchange.headers = {name.lower(): value for name, value in answer.headers.items()}
        async for piece in answer.content.iter_any():
            yield piece


class HttpxTransport(_Asyncio):
    async def _begin(self) -> None:
        import httpx

        headers = dict(self._target.headers)
        self._client = httpx.AsyncClient(
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
            timeout=httpx.Timeout(None),
            headers={"Content-Type": "application/json", **headers},
        )

    async def _finish(self) -> None:
        await self._client.aclose()

    async def _pieces(self, url: str, body: bytes, exchange: Exchange, stack: AsyncExitStack) -> AsyncIterator[bytes]:
        answer = await stack.enter_async_context(self._client.stream("POST", url, content=body))
        exchange.http_status = answer.status_code
        exchange.headers = dict(answer.headers)
        async for piece in answer.aiter_raw():
            yield piece
