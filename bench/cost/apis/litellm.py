"""Prices out of a JSON file in the format of litellm: what a user points at, and what this package adds to the others.

One object; each key is `provider/model`, or a model whose entry has `litellm_provider`; prices are USD per token. A
top-level `_source` may carry `date`: without it nobody knows how old the prices are. The format mixes models that are
sold by tokens with others: entries without token prices are left out, wrong ones refuse the file.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from bench.cost.apis.genai import ALIASES, canonical
from bench.cost.apis.quote import Quote
from bench.cost.printable import unprintable
from bench.cost.tariff import MTOK, Tariff, Tier
from bench.errors import InputError

MAX_BYTES = 64 * 1024 * 1024
MAX_ENTRIES = 100_000
MAX_USD_PER_TOKEN = Decimal("0.05")
"""Five times the dearest model that litellm knows. Beyond it somebody wrote dollars per million."""

COLUMNS = {"input": "input_cost_per_token", "cached": "cache_read_input_token_cost", "output": "output_cost_per_token"}
FEE = "input_cost_per_request"
OURS = "api_prices_extra.json"
NO_MODELS = ("sample_spec", "fallback_generalizations")
"""Keys of litellm's own file that are no models."""
TEXT_MODES = (None, "chat", "completion", "responses")

_PRICE = re.compile(rf"({'|'.join(COLUMNS.values())})(?:_above_(\d{{1,9}})k_tokens)?(_batches)?")
_PARTS_OF_PROVIDERS = ("vertex_ai-", "fireworks_ai-")


@dataclass(frozen=True)
class Entry:
    """One model of a file. `batch`: its tariff for batches, None where the file has none.

    `listed_at` is the provider as the file calls it: Google's models may be there twice, at gemini and at vertex_ai.
    """

    key: str
    listed_at: str
    provider: str
    model_id: str
    standard: Tariff
    batch: Tariff | None
    mode: str | None = None

    @property
    def not_text(self) -> str | None:
        """Why it cannot answer a chat request, where its mode says so."""
        return None if self.mode in TEXT_MODES else f"is of mode {self.mode}"


@dataclass(frozen=True, eq=False)
class PriceFile:
    """A file that was read. `source` names it in notes; `left_out` has the reason why a text model has no
    price, by its lower-case name.

    Equal to itself alone, so that a look-up can be remembered for it.
    """

    source: str
    own: bool
    day: date | None
    entries: dict[str, tuple[Entry, ...]]
    left_out: dict[str, str]

    def find(self, provider: str, model: str, asked: str, batch: bool = False) -> Entry | None:
        """The entry of a model, by canonical provider and model or by its key. InputError for one that is unusable."""
        name = f"{provider}/{model}".lower()
        found = self.entries.get(name, ())
        by_key = tuple(entry for entry in found if entry.key.lower() == asked.lower())
        by_host = tuple(entry for entry in found if f"{entry.listed_at}/{entry.model_id}".lower() == asked.lower())
        found = by_key or by_host or found
        if not found:
            if name in self.left_out:
                raise InputError(f"{self.source}: {self.left_out[name]}")
            return None
        if len({entry.batch if batch else entry.standard for entry in found}) > 1:
            keys = " and ".join(_shown(entry.key) for entry in found[:3])
            names = " or ".join(_shown(f"{entry.listed_at}/{entry.model_id}") for entry in found[:3])
            raise InputError(f"{self.source}: {keys} are the same model at different prices; ask for {names}")
        return found[0]

    def quote(self, entry: Entry, batch: bool = False) -> Quote | None:
        """What the file says; without a date it is of unknown age."""
        tariff = entry.batch if batch else entry.standard
        if tariff is None:
            return None
        basis = "snapshot" if self.own else "file"
        return Quote(self.source, entry.provider, entry.model_id, tariff, basis, None, self.day)  # type: ignore[arg-type]

    def models(self) -> Iterator[tuple[str, str]]:
        """Provider and model id of every entry."""
        for entries in self.entries.values():
            yield entries[0].provider, entries[0].model_id


def read(path: Path | str) -> PriceFile:
    """A user's file; read again when it has changed. InputError in one line that names the file and the key."""
    where = Path(path)
    try:
        stat = where.stat()
        if not where.is_file():
            raise InputError(f"{where}: is not a file; give a JSON file of API prices in litellm's format")
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: cannot be read: {_reason(error)}; give a JSON file of API prices") from None
    if stat.st_size > MAX_BYTES:
        raise InputError(
            f"{where}: {stat.st_size / 1e6:,.0f} MB; a file of API prices has at most {MAX_BYTES / 1e6:.0f} MB"
        )
    return _read(where, stat.st_mtime_ns, stat.st_size)


@cache
def extra() -> PriceFile:
    """The models that this package adds: those of hosts that genai-prices does not know."""
    content = (files("bench.data") / OURS).read_bytes()
    return _parsed(content, OURS, own=True)


@cache
def _read(where: Path, _mtime_ns: int, _size: int) -> PriceFile:
    try:
        content = where.read_bytes()
    except OSError as error:
        raise InputError(f"{where}: cannot be read: {_reason(error)}; give a JSON file of API prices") from None
    return _parsed(content, str(where), own=False)


def _parsed(content: bytes, shown: str, own: bool) -> PriceFile:
    data = _json(content, shown)
    if not isinstance(data, dict):
        raise InputError(f"{shown}: must be a JSON object of models, not {_kind(data)}")
    if len(data) > MAX_ENTRIES:
        raise InputError(f"{shown}: {len(data):,} entries; a file of API prices has at most {MAX_ENTRIES:,}")
    _check_currency(data, shown)
    said = data.get("_source")
    day = _day(said, shown)
    entries: dict[str, list[Entry]] = {}
    left_out: dict[str, str] = {}
    first = ""
    for key, value in data.items():
        if key.startswith("_") or key in NO_MODELS or key == "currency":
            continue
        _check_printable(key, value, shown)
        found = _entry(key, value, f"{shown}: {_shown(key)}")
        if isinstance(found, Entry):
            entries.setdefault(f"{found.provider}/{found.model_id}".lower(), []).append(found)
        else:
            first = first or f"{_shown(key)}: {found}"
            if value.get("mode") in TEXT_MODES:
                left_out["/".join(_names(key, value, shown)[1:]).lower()] = f"{_shown(key)}: {found}"
    if not entries:
        why = first or "it has no entries"
        raise InputError(f"{shown}: no model in it is priced by tokens ({why})")
    if own and isinstance(said, Mapping):
        shown = f"{said['package']} {said['version']}"
    return PriceFile(shown, own, day, {name: tuple(found) for name, found in entries.items()}, left_out)


def _check_printable(key: str, value: Any, shown: str) -> None:
    """Names end up on a terminal. Raises InputError for one that a terminal would obey."""
    said = value.get("litellm_provider") if isinstance(value, dict) else None
    for what, name in (("a name", key), ("litellm_provider", said)):
        if isinstance(name, str) and unprintable(name):
            where = f"{shown}: {_shown(key)}"
            raise InputError(f"{where}: {what} holds a character that cannot be printed ({_shown(name)}); remove it")


def _json(content: bytes, shown: str) -> Any:
    """Numbers as `Decimal`, exactly as they are written; a key that stands there twice is refused."""
    try:
        text = content.decode("utf-8-sig")
        return json.loads(
            text, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal, object_pairs_hook=_without_doubles
        )
    except UnicodeDecodeError:
        raise InputError(f"{shown}: is not UTF-8 text; give a JSON file of API prices") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{shown}: is not JSON: {error.msg} in line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise InputError(f"{shown}: is nested too deeply for a file of API prices") from None
    except ArithmeticError:
        raise InputError(f"{shown}: holds a number with an exponent that no price has") from None
    except ValueError as error:
        raise InputError(f"{shown}: {error}") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"{_shown(twice)} stands there twice; keep one")
    return found


def _entry(key: str, value: Any, where: str) -> Entry | str:
    """A model's tariffs, or why it has none. InputError for what is wrong."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: must be an object of prices, not {_kind(value)}")
    _check_currency(value, where)
    prices: dict[bool, dict[str, dict[int, Decimal]]] = {False: {}, True: {}}
    for name, price in value.items():
        matched = _PRICE.fullmatch(name)
        if matched is None or price is None:
            continue
        column, thousands, batches = matched.groups()
        above = -1 if thousands is None else int(thousands) * 1000
        prices[bool(batches)].setdefault(column, {})[above] = _per_mtok(_checked(price, f"{where}: {name}"))
    names = _names(key, value, where)
    missing = [name for name in (COLUMNS["input"], COLUMNS["output"]) if -1 not in prices[False].get(name, {})]
    if missing and not _priced_by_input(value, missing):
        return _without_tokens(value, missing, where)
    fee = _checked(value[FEE], f"{where}: {FEE}") if value.get(FEE) is not None else Decimal(0)
    standard = _tariff(prices[False], fee, None)
    lowest = standard.tiers[0]
    zero = [COLUMNS[name] for name in ("input", "output") if not getattr(lowest, name)]
    if zero and (len(zero) == 2 or value.get("mode") in TEXT_MODES):
        return f"{zero[0]} is 0; a price that nobody asks cannot be compared"
    dear = [price for name in ("input", "output") for price in prices[False].get(COLUMNS[name], {}).values()]
    if not all(dear) and value.get("mode") in TEXT_MODES:
        return "a tier of it is 0; a price that nobody asks cannot be compared"
    batched = all(prices[True].get(COLUMNS[name], {}).get(-1) for name in ("input", "output"))
    mode = value.get("mode")
    shown = mode if mode is None else _shown(str(mode))
    return Entry(key, *names, standard, _tariff(prices[True], fee, lowest) if batched else None, shown)


def _priced_by_input(value: Mapping[str, Any], missing: list[str]) -> bool:
    """Embeddings and their like have no output."""
    return missing == [COLUMNS["output"]] and value.get("mode") in ("embedding", "rerank", "moderation")


def _without_tokens(value: Mapping[str, Any], missing: list[str], where: str) -> str:
    """Tokens on one side alone are a mistake, unless the other side is sold by something else."""
    side = missing[0].split("_", 1)[0]
    otherwise = any(name.startswith(f"{side}_cost_per_") and name not in missing for name in value)
    if len(missing) == 1 and value.get("mode") in TEXT_MODES and not otherwise:
        raise InputError(f"{where}: {missing[0]} is missing")
    return f"{missing[0]} is missing"


def _tariff(prices: Mapping[str, Mapping[int, Decimal]], fee: Decimal, standard: Tier | None) -> Tariff:
    """Tiers over all columns. A cached token costs what one costs that is not, where nothing cheaper is listed.

    For a batch tariff `standard` is the lowest tier outside of batches: its cached price holds in batches too.
    """
    into, cached, out = (dict(prices.get(column, {})) for column in COLUMNS.values())
    if standard is not None and -1 not in cached:
        cached[-1] = min(standard.cached, into[-1])
    tiers = []
    for above in sorted({-1, *into, *cached, *out}):
        now = _at(into, above)
        tiers.append(Tier(above, now, _at(cached, above) if -1 in cached else now, _at(out, above)))
    return Tariff(tuple(tiers), fee)


def _at(column: Mapping[int, Decimal], above: int) -> Decimal:
    reached = [start for start in column if start <= above]
    return column[max(reached)] if reached else Decimal(0)


def _checked(price: Any, where: str) -> Decimal:
    if not isinstance(price, Decimal):
        shown = f"the text {_shown(price)!r}" if isinstance(price, str) else _kind(price)
        raise InputError(f"{where}: must be a number of USD per token, not {shown}")
    if not price.is_finite():
        raise InputError(f"{where}: must be a finite number of USD per token, not {price}")
    if price < 0:
        raise InputError(f"{where}: must not be negative (got {price})")
    if price > MAX_USD_PER_TOKEN:
        raise InputError(
            f"{where}: {price:.6g} USD per token is no price of a token; divide what is per million by 1,000,000"
        )
    return price


def _per_mtok(price: Decimal) -> Decimal:
    """Without the zeros that the shift leaves behind: 6e-7 is 0.6 a million, not 0.6000000."""
    shifted = (price * MTOK).normalize()
    return shifted.quantize(Decimal(1)) if shifted == shifted.to_integral_value() else shifted


def _names(key: str, value: Mapping[str, Any], where: str) -> tuple[str, str, str]:
    """The provider as the file says it and as we do, and the model: without a prefix that says the provider again."""
    said = value.get("litellm_provider")
    prefix, slash, rest = key.partition("/")
    if said is not None and not (isinstance(said, str) and said.strip()):
        raise InputError(f"{where}: litellm_provider must be a name, not {_kind(said)}")
    if said is None and not (slash and prefix.strip() and rest):
        raise InputError(f"{where}: says no provider; write provider/model, or add litellm_provider")
    listed_at = _whole(said or prefix)
    provider = canonical(listed_at)
    again = slash and rest and (said is None or canonical(_whole(prefix)) == provider)
    return listed_at, provider, rest if again else key


def _whole(name: str) -> str:
    """litellm splits some providers into parts, such as vertex_ai-anthropic_models."""
    name = name.strip().lower()
    return name.split("-", 1)[0] if name not in ALIASES and name.startswith(_PARTS_OF_PROVIDERS) else name


def _check_currency(value: Mapping[str, Any], where: str) -> None:
    currency = value.get("currency", "USD")
    if str(currency).upper() != "USD":
        raise InputError(
            f"{where}: currency: {_shown(str(currency))!r} cannot be compared with USD; convert the prices"
        )


def _day(said: Any, shown: str) -> date | None:
    text = said.get("date") if isinstance(said, Mapping) else None
    if text is None:
        return None
    try:
        day = date.fromisoformat(text)
    except (TypeError, ValueError):
        raise InputError(f"{shown}: _source: date: {_shown(str(text))!r} is no day; write YYYY-MM-DD") from None
    if day > datetime.now(UTC).date():
        raise InputError(f"{shown}: _source: date: {day} is in the future")
    return day


def _shown(key: str) -> str:
    """A key in one line of bearable length."""
    text = key if key.isprintable() else ascii(key)
    return text if len(text) <= 80 else text[:77] + "…"


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", Decimal: "a number", bool: "true or false"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _reason(error: Exception) -> str:
    return (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
