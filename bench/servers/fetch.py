"""One GET to a server, by the standard library: it follows no redirect and asks no proxy of the environment."""

import http.client
from collections.abc import Mapping
from dataclasses import dataclass

TIMEOUT_S = 2.0
LONGEST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """Status and body; a body of more than 8 MiB is cut."""

    status: int
    body: bytes


def get(
    host: str,
    port: int,
    path: str,
    headers: Mapping[str, str] | None = None,
    tls: bool = False,
    timeout_s: float = TIMEOUT_S,
) -> Answer | None:
    """What the server answered; None when no byte came for `timeout_s`, or it spoke no HTTP."""
    connection = (
        http.client.HTTPSConnection(host, port, timeout=timeout_s)
        if tls
        else (http.client.HTTPConnection(host, port, timeout=timeout_s))
    )
    try:
        connection.request("GET", path, headers={"Accept": "*/*", "Connection": "close", **(headers or {})})
        response = connection.getresponse()
        return Answer(response.status, response.read(LONGEST_BYTES))
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
