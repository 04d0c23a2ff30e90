"""HTTP's own framing of one answer: head, body by length, by chunks or up to the end. llhttp reads the bytes.

Body pieces go straight into the exchange, without a Python frame for each: streams have tens of thousands a second.
"""

from collections.abc import Callable

from httptools import HttpParserError, HttpResponseParser

from bench.client import Exchange

MOST_HEAD_BYTES = 64 * 1024
MOST_ERROR_BYTES = 64 * 1024
"""Of the body of any status but 200."""


class AnswerError(Exception):
    """What came back is no HTTP that anyone could use; one line says why."""


class Framing:
    """Reads one answer into its exchange. The names of its methods are those that httptools calls."""

    __slots__ = (
        "_head_bytes",
        "_parser",
        "_push",
        "complete",
        "exchange",
        "headed",
        "headers",
        "keeps",
        "on_body",
        "status",
    )

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.headers: dict[str, str] = {}
        self.status = 0
        self.headed = False
        self.complete = False
        self.keeps = False
        """The server keeps the connection open after this answer."""
        self._head_bytes = 0
        self.on_body: Callable[[bytes], None] = exchange.pieces.append
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._push: Callable[[bytes], None] | None = self._parser.feed_data

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.headed:
            return  # a trailer
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > MOST_HEAD_BYTES:
            raise AnswerError
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers.clear()  # 100 Continue and its like: the answer is still to come
            return
        self.headed = True
        self.keeps = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.complete = self.headed

    def feed(self, data: bytes, at_ns: int) -> None:
        """Take what one read brought. Raises AnswerError when it is no HTTP."""
        assert self._push is not None
        stamps = self.exchange.read_ns
        try:
            self._push(data)
        except HttpParserError as error:
            # Bytes after a whole answer are not this answer's fault; the connection is not used again.
            self.keeps = False
            if not self.complete:
                raise AnswerError(_why(error)) from None
        finally:
            added = len(self.exchange.pieces) - len(stamps)
            if added == 1:
                stamps.append(at_ns)
            elif added:
                stamps.extend([at_ns] * added)

    def ends_with_connection(self) -> bool:
        """The head gave no other end than that of the connection."""
        return self.headed and "content-length" not in self.headers and "transfer-encoding" not in self.headers

    def let_go(self) -> None:
        """The parser holds this object and this object the parser: part them."""
        self._parser = self._push = None


def _why(error: HttpParserError) -> str:
    if isinstance(error.__context__, AnswerError):
        return f"the head of the answer is longer than {MOST_HEAD_BYTES} bytes"
    return "what came back is not HTTP/1.1"
