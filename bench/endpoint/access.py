"""Where requests go, and the key that goes with them: read from the environment at this moment, kept in a Target only.

Whatever a server says may repeat the key, whole or in part. `redacted` takes it out of every text before the text is
shown or stored.
"""

import base64
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from itertools import groupby
from urllib.parse import quote, quote_plus, urlsplit

from bench.client import Target
from bench.errors import InputError
from bench.schema import Endpoint

PATHS = {"chat": "/chat/completions", "completions": "/completions"}
SHOWN = "[key]"
LEAST = 8
"""Characters of a key in a row that are taken for a part of it."""

_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie", re.IGNORECASE)
_MASKED = re.compile(r"[^\s\"'<>(),:;=]*[*•]{3,}[^\s\"'<>(),:;=]*")


@dataclass(frozen=True, slots=True)
class KeyedTarget(Target):
    """A target that knows which parts of its headers are secret."""

    secrets: tuple[str, ...] = field(default=(), repr=False)


def target(endpoint: Endpoint, base_url: str) -> Target:
    """Where requests of this endpoint go; `base_url` is its own, or that of the server that was started for it.

    A URL without any path gets OpenAI's `/v1`; any other path is kept as it is. Raises InputError for an environment
    variable that is not set or holds no key, and for a URL that cannot be one.
    """
    try:
        parts = urlsplit(base_url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise InputError("base_url: must be such as http://127.0.0.1:8000/v1")
    prefix = parts.path.rstrip("/") or "/v1"
    headers: list[tuple[str, str]] = []
    secrets: list[str] = []
    for name, written in endpoint.headers.items():
        found = [_from_environment(variable, f"headers.{name}") for variable in _REFERENCE.findall(written)]
        secrets += found
        values = iter(found)
        headers.append((name, _REFERENCE.sub(lambda _, values=values: next(values), written)))  # type: ignore[misc]
    if endpoint.key_env is not None:
        key = _from_environment(endpoint.key_env, "key_env")
        secrets.append(key)
        headers.append(("Authorization", f"Bearer {key}"))
    return KeyedTarget(
        host=host,
        port=port or (443 if parts.scheme == "https" else 80),
        tls=parts.scheme == "https",
        path=prefix + PATHS[endpoint.api],
        headers=tuple(headers),
        ca_file=endpoint.ca_file,
        secrets=tuple(secrets),
    )


def url(target: Target, path: str) -> str:
    """A URL to show or to fetch; there is never a key in it.

    >>> url(Target("::1", 8000, False, "/v1/completions"), "/v1/models")
    'http://[::1]:8000/v1/models'
    """
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual = 443 if target.tls else 80
    return f"http{'s' if target.tls else ''}://{host}{'' if target.port == usual else f':{target.port}'}{path}"


def is_loopback(base_url: str) -> bool:
    """Whether a URL names this machine, by its text alone: no name is looked up.

    >>> [is_loopback(f"http://{host}/v1") for host in ("localhost:80", "127.8.0.1", "[::1]:1", "api.example.com")]
    [True, True, True, False]
    """
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return address.is_loopback or address.is_unspecified or (mapped is not None and mapped.is_loopback)


def redacted(text: str, target: Target) -> str:
    """The text with `[key]` in place of each secret of the target, and of eight or more characters of one in a row.

    Found as it is and as URLs, JSON and base64 write it, in capitals or not; so is a key that the server masked itself
    (`sk-ab****wxyz`).
    """
    plain = text.translate(_LOWER)
    hidden = bytearray(len(text))
    secrets = _secrets(target)
    grams, short = _written(secrets)
    for at in range(len(text) - LEAST + 1):
        if plain[at : at + LEAST] in grams:
            hidden[at : at + LEAST] = b"\1" * LEAST
    spans = [found.span() for form in short for found in re.finditer(form, plain)]
    if "***" in plain or "•••" in plain:
        spans += [found.span() for found in _MASKED.finditer(plain) if _is_masked(found[0], secrets)]
    for start, end in spans:
        hidden[start:end] = b"\1" * (end - start)
    if not any(hidden):
        return text
    runs = groupby(zip(hidden, text, strict=True), key=lambda pair: pair[0])
    return "".join(SHOWN if secret else "".join(one for _, one in run) for secret, run in runs)


def _from_environment(variable: str, where: str) -> str:
    value = os.environ.get(variable, "").strip()
    if not value:
        raise InputError(f"{where}: the environment variable {variable} is not set; export it, or name another one")
    if any(not 32 < ord(one) < 127 for one in value):
        raise InputError(
            f"{where}: the environment variable {variable} holds a blank, a line break or a sign beyond ASCII, "
            "which no key does; set it to the key alone"
        )
    return value


def _secrets(target: Target) -> tuple[str, ...]:
    if isinstance(target, KeyedTarget):
        return target.secrets
    values = [value for name, value in target.headers if _SECRET_NAME.search(name)]
    return tuple(value.rpartition(" ")[2] for value in values)


def _forms(secret: str) -> Iterator[str]:
    """How a secret may be written, each in lower case."""
    escaped = json.dumps(secret)[1:-1]
    forms = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), escaped, escaped.replace("/", "\\/")}
    for lead in range(3):  # after `user:` it may begin at any of three places of a base64 quartet
        raw = base64.b64encode(b"\0" * lead + secret.encode()).decode().rstrip("=")
        inner = raw[-(-lead * 8 // 6) : None if (lead + len(secret)) % 3 == 0 else -1]
        forms |= {inner, inner.replace("+", "-").replace("/", "_")} if len(inner) >= LEAST else set()
    return iter(form.translate(_LOWER) for form in forms)


@lru_cache(maxsize=16)
def _written(secrets: tuple[str, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Every eight characters in a row of every form; and patterns of forms too short for parts to tell anything."""
    forms = {form for secret in secrets for form in _forms(secret)}
    long = [form for form in forms if len(form) >= LEAST]
    grams = frozenset(form[at : at + LEAST] for form in long for at in range(len(form) - LEAST + 1))
    short = sorted(form for form in forms if 0 < len(form) < LEAST)
    return grams, tuple(rf"(?<![a-z0-9]){re.escape(form)}(?![a-z0-9])" for form in short)


def _is_masked(word: str, secrets: tuple[str, ...]) -> bool:
    """Whether a word with stars in it begins or ends as a secret does."""
    parts = re.split(r"[*•]+", word)
    first, last = parts[0], parts[-1]
    lower = [secret.translate(_LOWER) for secret in secrets]
    begins = len(first) > 1 and any(secret.startswith(first) for secret in lower)
    return begins or (len(last) > 1 and any(secret.endswith(last) for secret in lower))
