"""The head of each request, written once; and what of it must never be shown."""

from collections.abc import Sequence

from bench.client import Target
from bench.errors import InputError

OPEN = {"accept", "accept-encoding", "connection", "content-type", "host", "user-agent"}
"""Headers whose values are nobody's secret."""
LEAST_SECRET = 6
"""Characters: what is shorter would blot out ordinary words."""


def head_of(target: Target, path: str) -> bytes:
    """All of the head but the number of the content's bytes, which comes last.

    Raises InputError, which never repeats a value, for what HTTP cannot carry in a header or a path.
    """
    host = f"[{target.host.strip('[]')}]" if ":" in target.host else target.host
    usual = 443 if target.tls else 80
    headers = {
        "host": ("Host", host if target.port == usual else f"{host}:{target.port}"),
        "accept": ("Accept", "*/*"),
        "accept-encoding": ("Accept-Encoding", "identity"),
        "content-type": ("Content-Type", "application/json"),
        "user-agent": ("User-Agent", "llm-cost-bench"),
    }
    for name, value in target.headers:
        if not name or not name.isascii() or any(letter <= " " or letter == ":" for letter in name):
            raise InputError("headers: a name that HTTP does not allow; letters, digits and hyphens are")
        if any(letter in "\r\n\0" for letter in value):
            raise InputError(f"headers: the value of {name} holds a line break; take it out")
        headers[name.lower()] = (name, value)
    for ours in ("content-length", "transfer-encoding", "connection", "expect"):
        headers.pop(ours, None)
    if any(letter <= " " or letter == "\x7f" for letter in path):
        raise InputError("base_url: the path holds a space or a control character; write it as %20 and the like")
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.values()), "Content-Length: "]
    return "\r\n".join(lines).encode()


def secrets_of(target: Target) -> Sequence[str]:
    """Header values, whole and word by word, the longest first, so that nothing of a longer one is left standing."""
    found: set[str] = set()
    for name, value in target.headers:
        if name.lower() not in OPEN:
            found |= {value, *value.split()}
    return tuple(sorted((one for one in found if len(one) >= LEAST_SECRET), key=len, reverse=True))
