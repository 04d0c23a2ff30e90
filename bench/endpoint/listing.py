"""What a server says of itself without generating anything: its models, its name, its version. Free of charge."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.client import Target
from bench.endpoint.access import redacted, url
from bench.endpoint.asked import words
from bench.errors import InputError

if TYPE_CHECKING:
    import httpx

LIMIT_S = 10.0
MOST_BYTES = 4 << 20
MOST_NAMED = 20

VERSIONS = {
    "vllm": ("vLLM", "/version", "version"),
    "llamacpp": ("llama.cpp", "/props", "build_info"),
    "sglang": ("SGLang", "/server_info", "version"),
}
"""What /v1/models says in owned_by → the engine's name, and where it tells its version."""
TGI = ("TGI", "/info", "version")


@dataclass(frozen=True)
class Listing:
    """What /v1/models said."""

    names: tuple[str, ...] = ()
    status: int | None = None
    message: str = ""
    """Why there are no names, in the server's words or the network's."""
    server: str | None = None
    """Name and version, as far as they are known."""
    owner: str = ""


def listed(target: Target) -> Listing:
    """The models and name of a server. Never raises for what a server does; follows no redirect; uses no proxy."""
    import httpx  # takes a tenth of a second: not before it is needed

    prefix = target.path.removesuffix("/completions").removesuffix("/chat")
    trusted: ssl.SSLContext | bool = ssl.create_default_context(cafile=target.ca_file) if target.tls else False
    # Neither proxies nor .netrc of the environment: those could send the key elsewhere, or another one here.
    with httpx.Client(trust_env=False, follow_redirects=False, timeout=LIMIT_S, verify=trusted) as client:
        try:
            found = _get(client, target, f"{prefix}/models")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            return Listing(message=redacted(f"{type(error).__name__}: {error}"[:200], target))
        status, headers, body = found
        if status != 200:
            return Listing(
                status=status, message=redacted(words(body) or "no explanation", target), server=_name(headers)
            )
        entries = _entries(body)
        owner = next((str(entry["owned_by"]) for entry in entries if isinstance(entry.get("owned_by"), str)), "")
        names = tuple(dict.fromkeys(entry["id"] for entry in entries if isinstance(entry.get("id"), str)))
        return Listing(names, status, "", _version(client, target, prefix, owner) or _name(headers), owner)


def chosen(listing: Listing, where: str) -> str | None:
    """The only name that a server lists; None where it lists none, so that its own word must be asked for.

    Raises InputError where it lists several, or wants a key.
    """
    if listing.status is None:
        raise InputError(f"{where}: {listing.message or 'no answer'}; is the server up, and is base_url right?")
    if listing.status in (401, 403):
        raise InputError(f"{where}: {listing.status} ({listing.message}); name the variable of its key with key_env")
    if 300 <= listing.status < 400:
        raise InputError(f"{where}: {listing.status}, a redirect, is not followed; set base_url to where it goes")
    return listing.names[0] if len(listing.names) == 1 else None


def several(listing: Listing, where: str) -> InputError:
    """The error that names what could be meant."""
    if not listing.names:
        said = f" ({listing.status}: {listing.message})" if listing.message else ""
        return InputError(f"{where}: lists no model{said}; set model to the name that the server was started with")
    more = len(listing.names) - MOST_NAMED
    names = ", ".join(listing.names[:MOST_NAMED]) + (f" … {more} more" if more > 0 else "")
    return InputError(f"{where}: lists several models; set model to one of them: {names}")


def _get(client: "httpx.Client", target: Target, path: str) -> tuple[int, Mapping[str, str], bytes]:
    body = b""
    with client.stream("GET", url(target, path), headers=list(target.headers)) as answer:
        for piece in answer.iter_bytes():
            body += piece
            if len(body) > MOST_BYTES:
                raise ValueError("its list of models is longer than 4 MiB")
        return answer.status_code, answer.headers, body


def _entries(body: bytes) -> list[dict[str, Any]]:
    import orjson

    try:
        said = orjson.loads(body)
    except ValueError:
        return []
    entries = said.get("data") if isinstance(said, dict) else said
    return [one for one in entries if isinstance(one, dict)] if isinstance(entries, list) else []


def _version(client: "httpx.Client", target: Target, prefix: str, owner: str) -> str | None:
    import httpx
    import orjson

    known = VERSIONS.get(owner.lower().replace(".", ""))
    if known is None and target.tls:
        return None  # an API elsewhere: nothing is asked of it that it does not offer
    name, path, key = known or TGI
    try:
        status, _, body = _get(client, target, prefix.removesuffix("/v1") + path)
        said = orjson.loads(body) if status == 200 else {}
    except (httpx.HTTPError, ValueError):
        said = {}
    version = said.get(key) if isinstance(said, dict) else None
    if isinstance(version, str) and version.strip():
        return redacted(f"{name} {version.strip()[:80]}", target)
    return name if known is not None else None


def _name(headers: Mapping[str, str]) -> str | None:
    return headers.get("server", "")[:80] or None
