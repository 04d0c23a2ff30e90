"""A server that answers each POST as a function of its body says: for refusals in the words of real servers."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Any]
"""Status, and JSON, or text as it is; for a redirect, the address."""


@dataclass
class Scripted:
    """What came in: path, headers in lower case, body."""

    base_url: str
    seen: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, _, body in self.seen]


def stream(text_tokens: int, prompt_tokens: int | None, finish: str = "length", **more: Any) -> str:
    """A chat stream with its usage in an event of its own, `more` beside it."""
    events: list[dict[str, Any]] = [{"choices": [{"delta": {"role": "assistant"}}]}]
    events += [{"choices": [{"delta": {"content": " a"}}]} for _ in range(text_tokens)]
    events.append({"choices": [{"delta": {}, "finish_reason": finish}]})
    if prompt_tokens is not None:
        usage = {"prompt_tokens": prompt_tokens, "completion_tokens": text_tokens}
        events.append({"choices": [], "usage": usage, **more})
    return "".join(f"data: {json.dumps(one)}\n\n" for one in events) + "data: [DONE]\n\n"


@contextmanager
def scripted(
    answer: Callable[[dict[str, Any]], Reply], listing: Reply = (200, {"data": [{"id": "m"}]}), server: str = "scripted"
) -> Iterator[Scripted]:
    """Start it; `listing` is what it says to GET /v1/models."""
    found = Scripted("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = server, ""

        def do_GET(self) -> None:
            self._say(*(listing if self.path == "/v1/models" else (404, {"error": "nothing here"})))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.seen.append((self.path, headers, body))
            self._say(*answer(body))

        def _say(self, status: int, what: Any) -> None:
            redirect = 300 <= status < 400
            data = b"" if redirect else (what if isinstance(what, str) else json.dumps(what)).encode()
            self.send_response(status)
            if redirect:
                self.send_header("Location", what)
            is_stream = isinstance(what, str) and what.startswith("data:")
            self.send_header("Content-Type", "text/event-stream" if is_stream else "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        found.base_url = f"http://127.0.0.1:{running.server_address[1]}/v1"
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield found
        finally:
            running.shutdown()
            thread.join()
