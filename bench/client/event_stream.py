"""Server-sent events out of pieces as they were read, each with the stamp of the read that completed it.

The bytes are joined before anything is decoded, so it does not matter where a read ended: within a character, within
a line break, or after ten events. After https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream,
but for one thing: an event that the end of the stream leaves without its blank line counts, as several servers end so.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate

LINE_END = re.compile(rb"\r\n|\n|\r")
BOM = b"\xef\xbb\xbf"


def events(body: bytes, read_ns: Sequence[int], pieces: Sequence[bytes]) -> Iterator[tuple[bytes, int]]:
    """The data of every event that has any, and when it was whole. `body` is the pieces joined."""
    ends = list(accumulate(map(len, pieces)))
    piece = end = 0
    if b"\r" in body or body.startswith(BOM):
        for end, data in _by_line(body):
            while ends[piece] < end:
                piece += 1
            yield data, read_ns[piece]
        return
    # Where LF alone ends lines, one split does for all, and one comparison for a usual event.
    last = len(ends) - 1
    for event in body.split(b"\n\n"):
        end += len(event) + 2
        while piece < last and ends[piece] < end:
            piece += 1
        if event.startswith(b"data: ") and b"\n" not in event:
            yield event[6:], read_ns[piece]
        elif event and (joined := _data(event.split(b"\n"))) is not None:
            yield joined, read_ns[piece]


def _by_line(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Any line end, a byte order mark, and all mixed."""
    begin = len(BOM) if body.startswith(BOM) else 0
    lines: list[bytes] = []
    for found in LINE_END.finditer(body, begin):
        line = body[begin : found.start()]
        begin = found.end()
        if line:
            lines.append(line)
            continue
        data = _data(lines)
        lines = []
        if data is not None:
            yield begin, data
    data = _data([*lines, body[begin:]])
    if data is not None:
        yield len(body), data


def _data(lines: Sequence[bytes]) -> bytes | None:
    """The data lines of an event, joined; comments, names and ids are nothing to us."""
    found: list[bytes] = []
    for line in lines:
        if line.startswith(b"data:"):
            found.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            found.append(b"")
    return b"\n".join(found) if any(found) else None
