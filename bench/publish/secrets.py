"""What a secret looks like: the known forms of keys, and what this process's own environment holds.

The list is our own. detect-secrets, the best kept Python library for it, had its last release in May 2024, asks the
issuers over the network whether a key is live unless it is told not to, and finds by entropy what is found in every
journal: checksums, ids and base64. gitleaks and trufflehog are programs of their own. What leaks here is narrow (URLs,
headers, messages of servers), and these forms have a fixed beginning, so that they are found without guessing.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

FORMS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{20,}"),
        ("an API key (sk-…)", r"\b[sr]k[-_](?=[\w-]*[0-9A-Z])[A-Za-z0-9_-]{16,}"),
        ("an AWS key id", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
        ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{40,})"),
        ("a GitLab token", r"\bglpat-[\w-]{20,}"),
        ("a Google key", r"\bAIza[\w-]{30,}|\bya29\.[\w-]{20,}"),
        ("a Slack token", r"\bxox[abeoprs]-[\w-]{10,}"),
        ("an API key", r"\b(?:gsk_|xai-|nvapi-|r8_|pplx-|csk-|fw_|tgp_v1_)(?=[\w-]*\d)[\w-]{20,}"),
        ("a JSON web token", r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
        (
            "an Authorization header",
            r"(?i)\bauthorization[\"'\\]*\s*[:=]\s*[\"'\\]*(?:bearer|basic|token)\s+(?!\$\{)[^\s\"'\\]{4,}",
        ),
        ("a bearer token", r"(?i)\bbearer\s+(?=[\w.~+/-]*\d)[\w.~+/-]{16,}"),
        (
            "a value that is named as a secret",
            r"(?i)(?<![?&])(?:api[-_]?key|secret|passw(?:or)?d|(?:access|auth|session)[-_]?token)[\w-]{0,20}[\"'\\]*\s*[=:]"
            r"[\s\"'\\]*(?!\$\{)(?=[^\s\"'\\,;<]*\d)[^\s\"'\\,;<{(]{8,}",
        ),
        ("a private key", r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
        ("a user or password in a URL", r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/@\"'<>\\]{1,200}@"),
        (
            "a key in a URL",
            r"(?i)[?&](?:api[_-]?key|key|token|access_token|sig|signature|secret|password)=[^&\s\"'<>\\]{6,}",
        ),
    )
)
_NAME = re.compile(r"(^|_)(API_?)?KEYS?(_|$)|(^|_)TOKEN(_|$)|SECRET|PASSW(OR)?D|CREDENTIAL", re.IGNORECASE)
SHORTEST = 8
"""Of a variable's value: anything shorter stands in every text."""


@dataclass(frozen=True)
class Secret:
    """Where it stands in a text, what it is, and as much of it as may be said."""

    start: int
    kind: str
    shown: str


def of_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Values of this process's variables whose names say that they are secret → the variable's name."""
    found = {}
    for name, value in (os.environ if environ is None else environ).items():
        if _NAME.search(name) and len(value) >= SHORTEST and not _is_plain(value):
            for form in {value, json.dumps(value)[1:-1], quote(value, safe="")}:
                found[form] = name
    return found


def _is_plain(value: str) -> bool:
    """A path or a yes: the name says key and means a file, or a switch."""
    return value.lower() in ("disabled", "required") or (
        value.startswith(("/", "~")) and Path(value).expanduser().exists()
    )


def is_named(name: str) -> bool:
    """Whether a key's or an option's name says that its value is secret; the name of a variable is none.

    >>> is_named("--api-key"), is_named("OPENAI_API_KEY"), is_named("key_env"), is_named("max_tokens")
    (True, True, False, False)
    """
    plain = name.lstrip("-").replace("-", "_")
    return _NAME.search(plain) is not None and not plain.lower().endswith(("_env", "_file", "_path"))


def find(text: str, known: Mapping[str, str]) -> Iterator[Secret]:
    """Every secret in a text, with the beginning of it alone. `known`: values of `of_environment`."""
    for kind, pattern in FORMS:
        for match in pattern.finditer(text):
            yield Secret(match.start(), kind, hint(match.group()))
    for value, name in known.items():
        start = text.find(value)
        while start >= 0:
            yield Secret(start, f"the value of {name}", hint(value))
            start = text.find(value, start + len(value))


def hint(secret: str) -> str:
    """At most four characters, never over a quarter of it.

    >>> hint("hf_" + "x" * 34), hint("abcdefgh")
    ('hf_x… (37 characters)', 'ab… (8 characters)')
    """
    return f"{secret[: min(4, len(secret) // 4)]}… ({len(secret)} characters)"
