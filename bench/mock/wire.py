"""Bytes on the wire: HTTP answers, and server-sent events in the ways in which servers and proxies write them."""

from http import HTTPStatus
from typing import Any

import orjson

from bench.mock.settings import MockSettings

END = b"0\r\n\r\n"
"""Of a body in chunked encoding."""


def answer(status: int, body: bytes, kind: bytes = b"application/json", headers: bytes = b"") -> bytes:
    """A whole answer of known length. `headers` are whole lines with their CR LF."""
    return b"%sContent-Type: %s\r\nContent-Length: %d\r\n%s\r\n%s" % (_status(status), kind, len(body), headers, body)


def error(status: int, message: str, headers: bytes = b"") -> bytes:
    """An error as OpenAI's API words it."""
    return answer(status, orjson.dumps({"error": error_fields(status, message)}), headers=headers)


def error_fields(status: int, message: str) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return {"message": message, "type": kind, "param": None, "code": status}


def stream_head(request_id: bytes, settings: MockSettings) -> bytes:
    """The status line and headers of a stream."""
    framing = b"Connection: close\r\n" if settings.close else b"Transfer-Encoding: chunked\r\n"
    return (
        b"%sContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n%sx-request-id: %s\r\n\r\n"
        % (
            _status(200),
            framing,
            request_id,
        )
    )


def event(payload: bytes, settings: MockSettings) -> bytes:
    """A server-sent event with its HTTP framing. `payload` is one line of JSON, or [DONE]."""
    line = b"\r\n" if settings.crlf else b"\n"
    if settings.multiline and payload[:1] == b"{":
        # A line break may stand where JSON lets white space stand: after the first comma between two members.
        before, comma, after = payload.partition(b',"')
        payload = before + b"," + line + b'data: "' + after if comma else payload
    written = b"data: " + payload + line + line
    if settings.comments:
        written = b": still here" + line + line + written
    return chunk(written, settings)


def chunk(written: bytes, settings: MockSettings) -> bytes:
    """Bytes of a body in HTTP's chunked encoding, or as they are where the end of the connection ends the body."""
    return written if settings.close else b"%x\r\n%s\r\n" % (len(written), written)


def _status(status: int) -> bytes:
    return _STATUS_LINES[status]


_STATUS_LINES = {
    status: b"HTTP/1.1 %d %s\r\n"
    % (status, HTTPStatus(status).phrase.encode() if status in list(HTTPStatus) else b"Error")
    for status in (*range(200, 209), *range(300, 309), *range(400, 600))
}
