"""What says whose machine it was: host and user names, home folders, private addresses; and what stands for them.

Each is replaced by a word of the same meaning: `~` for a home folder, `HOST` and `USER`, a path from the working folder
on. A record stays readable and keeps its id; only who measured it is gone.
"""

import getpass
import ipaddress
import os
import re
import socket
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.publish.escaping import visible

COMMON_NAMES = frozenset(
    {
        *("root", "user", "users", "admin", "administrator", "ubuntu", "debian", "runner", "nobody", "guest", "test"),
        *(
            "bench",
            "home",
            "data",
            "main",
            "work",
            "build",
            "docker",
            "jenkins",
            "system",
            "default",
            "model",
            "models",
        ),
        *(
            "torch",
            "transformers",
            "openai",
            "vllm",
            "llama",
            "sglang",
            "batch",
            "python",
            "linux",
            "local",
            "localhost",
        ),
    }
)
"""Names that tell nobody, and words that every record has: replaced inside of home folders alone."""

SHORTEST = 4
INTERNAL = ("local", "internal", "lan", "corp", "intranet", "home", "localdomain", "private", "svc", "consul")
"""Last labels of host names that nobody outside can look up."""

_HOME = re.compile(
    r"(?<![\w.~-])(?:/home/[^/\s\"'`:;,|<>()\[\]{}\\]+|/Users/[^/\s\"'`:;,|<>()\[\]{}\\]+|/root)(?![\w-])"
)
_WINDOWS = re.compile(r"(?<!\w)[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)[^\\/\s\"'`:;,|<>]+")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]{3,45}\]")
_LOGIN = re.compile(r"(?<![\w.+/@-])[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}(?![\w-])")
_BARE_HOST = re.compile(
    r"(?<![\w./@-])(?:[A-Za-z0-9][\w-]*\.)+(?:local|internal|lan|corp|intranet|localdomain)(?![\w(=-]|\.\w)"
)
_BARE_IPV6 = re.compile(r"(?i)(?<![\w:.\[])(?:fe80|f[cd][0-9a-f]{2}):[0-9a-f:]*:[0-9a-f]{1,4}(?![\w:])")
_MAC = re.compile(r"(?<![\w:-])[0-9A-Fa-f]{2}(?:([:-])[0-9A-Fa-f]{2})(?:\1[0-9A-Fa-f]{2}){4}(?![\w:-])")
_URL_HOST = re.compile(r"(?<=://)(?:[^\s/@\"'<>\\]*@)?([A-Za-z0-9][A-Za-z0-9.-]*)(?=[:/\s\"'<>?#)]|$)")

Replace = Callable[[re.Match[str]], str]


@dataclass(frozen=True)
class Rule:
    """A kind of thing, where it stands in a text, and what stands for it."""

    kind: str
    pattern: re.Pattern[str]
    instead: Replace
    """The text itself where it may stand."""


def rules() -> list[Rule]:
    """For this machine, this user and this working folder; and for everybody's homes and private addresses."""
    found = []
    here = Path.cwd()
    if len(here.parts) > 2 and here != Path.home():
        found.append(Rule("working folder", _path(str(here)), lambda _: ""))
    home = str(Path.home())
    if len(Path(home).parts) > 1:
        found.append(Rule("home folder", re.compile(_escaped(home) + r"(?![\w-])"), lambda _: "~"))
    found += [
        Rule("home folder", _HOME, lambda _: "~"),
        Rule("home folder", _WINDOWS, lambda _: "~"),
        Rule("private address", _IPV4, lambda match: "HOST" if _is_private(match.group()) else match.group()),
        Rule("private address", _IPV6, lambda match: "HOST" if _is_private(match.group()[1:-1]) else match.group()),
        Rule("private address", _BARE_IPV6, lambda _: "HOST"),
        Rule("hardware address", _MAC, lambda _: "HOST"),
        Rule("e-mail address or login", _LOGIN, lambda _: "USER@HOST"),
        Rule("internal host name", _URL_HOST, _without_internal),
        Rule("internal host name", _BARE_HOST, lambda _: "HOST"),
    ]
    found += [Rule("host name", _word(name), lambda _: "HOST") for name in names_of_host()]
    found += [Rule("user name", _word(name), lambda _: "USER") for name in names_of_user()]
    return found


def names_of_host() -> list[str]:
    """This machine's, as the system and the environment say it; nobody is asked over the network."""
    names = [socket.gethostname(), os.environ.get("HOSTNAME", ""), os.environ.get("COMPUTERNAME", "")]
    return _telling([*names, *(name.partition(".")[0] for name in names)])


def names_of_user() -> list[str]:
    """This process's user, and who became it."""
    names = [os.environ.get(name, "") for name in ("USER", "LOGNAME", "SUDO_USER", "USERNAME")]
    with suppress(OSError, KeyError, ImportError):  # a container's user may have no name
        names.append(getpass.getuser())
    return _telling(names)


def _telling(names: Iterable[str]) -> list[str]:
    """The longest first, so that a whole name is replaced before its beginning."""
    kept = {name for name in names if len(name) >= SHORTEST and name.lower() not in COMMON_NAMES}
    return sorted(kept, key=lambda name: (-len(name), name))


def _word(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])", re.IGNORECASE)


def _escaped(path: str) -> str:
    return r"(?<![\w.~-])" + re.escape(path)


def _path(folder: str) -> re.Pattern[str]:
    return re.compile(_escaped(folder) + r"/(?=[\w.])")


def _is_private(text: str) -> bool:
    """Of a network that is not everybody's. Loopback says nothing."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback or address.is_unspecified or address in _EXAMPLES:
        return False
    return address.is_private or address.is_link_local


class _Examples:
    """Networks that are set aside for documentation are private to nobody."""

    _nets = tuple(ipaddress.ip_network(one) for one in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"))

    def __contains__(self, address: object) -> bool:
        return isinstance(address, ipaddress.IPv4Address) and any(address in net for net in self._nets)


_EXAMPLES = _Examples()


def _without_internal(match: re.Match[str]) -> str:
    name = match.group(1).rstrip(".").lower()
    whole = match.group()
    if name in ("localhost", "host") or name.replace(".", "").isdigit():
        return whole
    is_internal = "." not in name or name.rpartition(".")[2] in INTERNAL
    return whole[: len(whole) - len(match.group(1))] + "HOST" if is_internal else whole


def replaced(text: str, known: Iterable[Rule]) -> tuple[str, list[tuple[str, str]]]:
    """The text without what tells, and (kind, what it was) of each replacement."""
    found: list[tuple[str, str]] = []
    for rule in known:

        def swap(match: re.Match[str], rule: Rule = rule) -> str:
            instead = rule.instead(match)
            if instead != match.group():
                found.append((rule.kind, visible(match.group())[:80]))
            return instead

        text = rule.pattern.sub(swap, text)
    return text, found
