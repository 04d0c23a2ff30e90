"""The dated history of API prices: how it is rebuilt, from tiny releases on a loopback index, and what is in it."""

import csv
import hashlib
import importlib.util
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from bench.cost.apis import observed, timeline
from tests.commands import ROOT

DATA = ROOT / "bench" / "data"

# Three layouts that the package has had: what a dated price is called, and whether unset prices are attributes.
DATACLASSES = """\
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

@dataclass
class ModelPrice:
    requests_kcount: Any = None
    input_mtok: Any = None
    cache_read_mtok: Any = None
    output_mtok: Any = None

@dataclass
class Constraint:
    {start}

def since(text):
    return Constraint({value})
"""
KEYWORDS = """\
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Any

class ModelPrice:
    def __init__(self, **prices):
        self.__dict__.update(prices)

    def __getattr__(self, name):
        raise AttributeError(name)

@dataclass
class Constraint:
    start_date: date

def since(text):
    return Constraint(date.fromisoformat(text))
"""
SHARED = """
@dataclass
class Conditional:
    constraint: Any
    prices: Any

@dataclass
class Hours:
    start_time: time
    end_time: time

@dataclass
class Tier:
    start: int
    price: Any

@dataclass
class Tiered:
    base: Any
    tiers: list

@dataclass
class Model:
    id: str
    prices: Any
    price_comments: Any = None

@dataclass
class Provider:
    id: str
    models: list

def price(into, out, cached=None, fee=None):
    given = {"input_mtok": into, "output_mtok": out, "cache_read_mtok": cached, "requests_kcount": fee}
    return ModelPrice(**{key: usd(value) for key, value in given.items() if value is not None})

def usd(value):
    if isinstance(value, tuple):
        return Tiered(Decimal(value[0]), [Tier(start, Decimal(above)) for start, above in value[1:]])
    return Decimal(value)

"""
OLD = DATACLASSES.format(start="start: datetime", value="datetime.fromisoformat(text).replace(tzinfo=UTC)") + SHARED
MIDDLE = DATACLASSES.format(start="start_date: date", value="date.fromisoformat(text)") + SHARED
NEW = KEYWORDS + SHARED

FIRST = """
providers = [Provider("lab", [
    Model("steady", price("1", "2")),
    Model("fell", price("10", "30")),
    Model("mistaken", price("1", "10")),
    Model("gone", price("3", "4", cached="0.3")),
    Model("nightly", price("0.27", "1.1")),
    Model("embedding", price("0.1", None)),
    Model("free", price("0", "0")),
    Model("fee", price("1", "1", fee="5")),
    Model("promised", [Conditional(None, price("8", "8")), Conditional(since("2026-01-01"), price("4", "4"))]),
]), Provider("openrouter", [Model("steady", price("1", "2"))])]
"""
SECOND = """
hours = Hours(time(0, 30), time(16, 30))
providers = [Provider("lab", [
    Model("steady", price("1.0", "2.00")),
    Model("fell", price("10", "30")),
    Model("mistaken", price("1", "10")),
    Model("nightly", [Conditional(None, price("0.135", "0.55")), Conditional(hours, price("0.27", "1.1"))]),
    Model("tiered", price(("1.25", (200000, "2.5")), ("10", (200000, "15")), cached="0.125")),
    Model("borrowed", price("5", "5"), "Imported from OpenRouter pricing; verify."),
    Model("promised", [Conditional(None, price("8", "8")), Conditional(since("2026-01-01"), price("4", "4"))]),
])]
"""
THIRD = """
hours = Hours(time(0, 30), time(16, 30))
providers = [Provider("lab", [
    Model("steady", price("1", "2")),
    Model("fell", [Conditional(None, price("10", "30")), Conditional(since("2026-07-31"), price("5", "15"))]),
    Model("mistaken", price("1", "1")),
    Model("gone", price("3", "4", cached="0.3")),
    Model("nightly", [Conditional(None, price("0.135", "0.55")), Conditional(hours, price("0.27", "1.1"))]),
    Model("tiered", price(("1.25", (200000, "2.5")), ("10", (200000, "15")), cached="0.125")),
    Model("noisy", price("1.0399999999999998", "0.0000000004")),
    Model("promised", [Conditional(None, price("8", "8")), Conditional(since("2026-01-01"), price("4", "4"))]),
])]
"""
WRONG = 'providers = [Provider("lab", [Model("steady", price("99", "99"))])]\n'

EXPECTED = """\
lab,fell,2025-07-11,2026-03-01,10,10,30,,0.0.2,0.0.50
lab,fell,2026-08-01,2026-08-01,5,5,15,,0.1.0,0.1.0
lab,gone,2025-07-11,2026-08-01,3,0.3,4,,0.0.2,0.1.0
lab,mistaken,2026-08-01,2026-08-01,1,1,1,,0.1.0,0.1.0
lab,nightly,2025-07-11,2026-08-01,0.27,0.27,1.1,,0.0.2,0.1.0
lab,noisy,2026-08-01,2026-08-01,1.04,1.04,0,,0.1.0,0.1.0
lab,promised,2025-07-11,2025-07-11,8,8,8,,0.0.2,0.0.2
lab,promised,2026-03-01,2026-08-01,4,4,4,,0.0.50,0.1.0
lab,steady,2025-07-11,2026-08-01,1,1,2,,0.0.2,0.1.0
lab,tiered,2026-03-01,2026-08-01,1.25,0.125,10,200000:2.5/0.125/15,0.0.50,0.1.0
"""


@dataclass
class Index:
    """A loopback index: pages by project, files by name, and what was asked for."""

    url: str = ""
    pages: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def add(self, project: str, number: str, uploaded: str, source: str = "", yanked: bool = False) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as wheel:
            wheel.writestr("genai_prices/__init__.py", "")
            wheel.writestr("genai_prices/data.py", source)
        name = f"{project.replace('-', '_')}-{number}-py3-none-any.whl"
        self.files[name] = buffer.getvalue()
        entry = {
            "filename": name,
            "url": f"../../files/{name}",
            "hashes": {"sha256": hashlib.sha256(buffer.getvalue()).hexdigest()},
            "upload-time": uploaded,
            "yanked": "broken" if yanked else False,
        }
        page = self.pages.setdefault(project, {"name": project, "files": [{"filename": f"{project}-{number}.tar.gz"}]})
        page["files"].append(entry)


@pytest.fixture
def index() -> Iterator[Index]:
    """Four releases in three layouts, two of one day, a yanked one, and the two other packages."""
    found = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            parts = self.path.strip("/").split("/")
            if parts[0] == "simple":
                body = json.dumps(found.pages[parts[1]]).encode() if parts[1] in found.pages else None
            else:
                body = found.files.get(parts[1])
            self.send_response(404 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    found.add("genai-prices", "0.1.0", "2026-08-01T09:02:48.308674Z", NEW + THIRD)
    found.add("genai-prices", "0.0.1", "2025-07-11T10:00:00Z", OLD + WRONG)
    found.add("genai-prices", "0.0.2", "2025-07-11T20:00:00.5Z", OLD + FIRST)
    found.add("genai-prices", "0.0.50", "2026-03-01T23:30:00-00:00", MIDDLE + SECOND)
    found.add("genai-prices", "0.1.1", "2026-08-20T00:00:00Z", NEW + WRONG, yanked=True)
    found.add("model-prices", "0.0.5", "2026-10-26T19:00:47.680934Z")
    found.add("litellm", "1.109.0", "2026-11-01T00:00:00Z")
    found.add("litellm", "1.109.1", "2026-11-12T00:00:00Z")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/simple"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def rebuild(index: Index, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the script as a person does, into a folder of the test."""
    (tmp_path / "out").mkdir()

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, str(ROOT / "scripts" / "price_history.py"), "--index", index.url]
        folders = ["--keep", str(tmp_path / "wheels"), "--out", str(tmp_path / "out")]
        return subprocess.run([*words, *folders, *more], capture_output=True, text=True, timeout=120)

    return run


def test_a_history_is_rebuilt_from_releases_of_every_layout(
    index: Index, rebuild: Callable[..., Any], tmp_path: Path
) -> None:
    done = rebuild()
    assert done.returncode == 0, done.stderr
    assert done.stdout == "10 periods of 8 models, 5 releases\n"
    heading, _, written = (tmp_path / "out" / "api_price_history.csv").read_text().partition("\n")
    assert heading.split(",") == list(rows()[0])
    assert written == EXPECTED
    packages = (tmp_path / "out" / "price_packages.csv").read_text().splitlines()
    assert packages == [
        "package,version,released,source",
        "genai-prices,0.0.1,2025-07-11,upload-time at 127.0.0.1",
        "genai-prices,0.0.2,2025-07-11,upload-time at 127.0.0.1",
        "genai-prices,0.0.50,2026-03-01,upload-time at 127.0.0.1",
        "genai-prices,0.1.0,2026-08-01,upload-time at 127.0.0.1",
        "genai-prices,0.1.1,2026-08-20,upload-time at 127.0.0.1",
        "model-prices,0.0.5,2026-10-26,upload-time at 127.0.0.1",
        "litellm,1.109.1,2026-11-12,upload-time at 127.0.0.1",
    ]
    fetched = [path for path in index.asked if path.startswith("/files")]
    assert len(fetched) == 3  # the earlier one of a day and the yanked one are not needed
    before = (tmp_path / "out" / "api_price_history.csv").read_bytes()
    assert rebuild().returncode == 0
    assert [path for path in index.asked if path.startswith("/files")] == fetched  # the kept wheels served
    assert (tmp_path / "out" / "api_price_history.csv").read_bytes() == before


def test_the_largest_changes_can_be_looked_at(rebuild: Callable[..., Any], tmp_path: Path) -> None:
    done = rebuild("--changes", "1")
    assert done.returncode == 0, done.stderr
    assert " ".join(done.stdout.split()) == (
        "2.00x lab fell 2025-07-11 2026-03-01 10 10 30 0.0.2 0.0.50 -> 2026-08-01 2026-08-01 5 5 15 0.1.0 0.1.0"
    )
    assert list((tmp_path / "out").iterdir()) == []


def test_trouble_is_one_line_and_writes_nothing(index: Index, rebuild: Callable[..., Any], tmp_path: Path) -> None:
    def fails(word: str) -> None:
        done = rebuild()
        assert done.returncode == 1
        assert word in done.stderr
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == 1
        assert list((tmp_path / "out").iterdir()) == []

    name = "genai_prices-0.0.50-py3-none-any.whl"
    whole = index.files.pop(name)
    fails("404")
    index.files[name] = whole + b"changed on the way"
    fails("SHA-256")
    index.files[name] = whole
    index.add("genai-prices", "0.1.2", "2026-09-01T00:00:00Z", "raise ImportError('needs a newer Python')")
    fails("genai_prices-0.1.2-py3-none-any.whl cannot be read: ImportError: needs a newer Python")
    del index.pages["genai-prices"]["files"][-1]["upload-time"]
    fails("upload-time")


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("script_price_history", ROOT / "scripts" / "price_history.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def history(script: Any, *prices: str | None, first: date = date(2026, 9, 1)) -> list[str]:
    """Periods of one model over releases a day apart, as `first-last in/out`; None is a release without it."""
    found = []
    for number, price in enumerate(prices):
        day = datetime.combine(date.fromordinal(first.toordinal() + number), datetime.min.time(), UTC)
        release = script.Release("genai-prices", str(number), day, "", None, False)
        seen = {}
        if price is not None:
            one, other = price.split("/")
            seen["lab", "model"] = script.Seen(
                script.Prices(one, one, other, ""), frozenset({(one, other)}), frozenset()
            )
        found.append((release, seen))
    return [f"{row.first.version}-{row.last.version} {'/'.join(row.asked())}" for row in script.periods(found)]


def test_a_gap_ends_a_period_only_where_the_price_returns_changed(script: Any) -> None:
    early = date(2025, 9, 1)
    assert history(script, "1/2", None, "1/2", first=early) == ["0-2 1/2"]
    assert history(script, "1/2", None, "1/3", first=early) == ["0-0 1/2", "2-2 1/3"]
    assert history(script, "1/2", "1/3", None, None, first=early) == ["0-0 1/2", "1-1 1/3"]


def test_what_the_newest_release_has_forgotten_was_a_mistake(script: Any) -> None:
    """From the day on which the package keeps old prices; not before it, not across a gap, not of a model that left."""
    assert history(script, "1/10", "1/1") == ["1-1 1/1"]
    assert history(script, "1/1", "1/10", "1/1", first=date(2026, 7, 29)) == ["0-2 1/1"]
    assert history(script, "1/10", "1/1", first=date(2026, 7, 28)) == ["0-0 1/10", "1-1 1/1"]
    assert history(script, "1/10", None, "1/1") == ["0-0 1/10", "2-2 1/1"]
    assert history(script, "1/10", "1/1", None) == ["0-0 1/10", "1-1 1/1"]


# What is in it


def rows() -> list[dict[str, str]]:
    with (DATA / "api_price_history.csv").open(encoding="utf-8") as text:
        return list(csv.DictReader(text))


def test_every_row_is_a_sound_quote() -> None:
    """Sorted, without overlap, with releases that are listed on their days, and priced."""
    found = rows()
    assert len(found) > 1000
    assert (DATA / "api_price_history.csv").stat().st_size < 400_000
    keys = [(row["provider"], row["model_id"], row["first_seen"]) for row in found]
    assert keys == sorted(set(keys))
    assert not {row["provider"] for row in found} & {"openrouter", "github-copilot", "quicksilverpro", "cursor"}
    quotes = [quote for key in sorted(observed.models()) for quote in observed.quotes(*key)]
    assert len(quotes) == len(found)
    last: dict[tuple[str, str], date] = {}
    for row, quote in zip(found, quotes, strict=True):
        assert quote.valid_from is not None
        assert quote.confirmed is not None
        assert quote.valid_from == observed.released("genai-prices", row["version_first"])
        assert quote.confirmed == observed.released("genai-prices", row["version_last"])
        assert last.get((quote.provider, quote.model_id), date.min) < quote.valid_from <= quote.confirmed
        last[quote.provider, quote.model_id] = quote.confirmed
        tiers = quote.tariff.tiers
        assert [tier.above for tier in tiers] == sorted({tier.above for tier in tiers})
        assert all(price >= 0 for tier in tiers for price in (tier.input, tier.cached, tier.output))
        assert tiers[0].input + tiers[0].output > 0


def test_the_newest_rows_are_what_the_installed_package_says() -> None:
    """By the package's own look-up, at noon. Fails where the history is to be rebuilt."""
    from genai_prices.data_snapshot import get_snapshot

    installed = version("genai-prices")
    day = observed.released("genai-prices", installed)
    assert day is not None, "rebuild the history: scripts/price_history.py"
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    listed = {(provider.id, model.id): model for provider in get_snapshot().providers for model in provider.models}
    compared = 0
    for row in rows():
        if row["version_last"] != installed:
            continue
        price = listed[row["provider"], row["model_id"]].get_prices(noon)
        for key, name in (("input_usd_per_mtok", "input_mtok"), ("output_usd_per_mtok", "output_mtok")):
            told = price.__dict__[name]
            assert Decimal(row[key]) == round(getattr(told, "base", told), 9), row
        compared += 1
    assert compared > 1000


def prices(provider: str, model: str) -> list[str]:
    return [_told(one) for one in observed.quotes(provider, model)]


def _told(quote: Any) -> str:
    tier = quote.tariff.tiers[0]
    return f"{quote.valid_from} {tier.input}/{tier.output}"


def test_changes_that_are_known_from_elsewhere_are_there() -> None:
    assert prices("groq", "openai/gpt-oss-20b") == ["2025-08-07 0.1/0.5", "2025-11-13 0.075/0.3"]
    assert prices("openai", "gpt-5.6-luna")[1:3] == ["2026-07-22 1/6", "2026-08-01 0.2/1.2"]  # cut on 2026-07-30
    assert prices("deepseek", "deepseek-v4-pro") == [
        "2026-05-15 1.74/3.48",
        "2026-06-05 0.435/0.87",
        "2026-08-31 0.66/1.98",
    ]


def test_corrections_and_changed_bookkeeping_are_not() -> None:
    """Prices that the package took back (Google never asked 1.5/7.5 for Gemini 3.6 Flash), pictures, hours."""
    assert prices("google", "gemini-3.6-flash") == ["2026-08-15 0.75/3.75"]
    assert prices("mistral", "ministral-8b") == ["2025-07-11 0.1/0.1"]
    assert all("/30" not in text for text in prices("google", "gemini-2.5-flash-image"))
    assert prices("deepseek", "deepseek-chat") == ["2025-07-11 0.27/1.1"]


def test_releases_are_dated() -> None:
    assert observed.released("genai-prices", "0") == date(2025, 7, 11)
    assert observed.released("model-prices", "0.0.5") == date(2026, 10, 26)
    assert observed.released("litellm", "1.109.1") == date(2026, 11, 12)
    assert observed.released("genai-prices", "9.9.9") is None
    assert observed.quotes("openai", "no-such-model") == ()


def test_the_timeline_knows_the_first_prices() -> None:
    quote = timeline.quotes("openai", "gpt-4")[0]
    assert (quote.valid_from, quote.basis) == (date(2023, 3, 14), "documented")
    assert quote.tariff.blended_usd_per_mtok(80, 20) == 36
    assert timeline.quotes("openai", "gpt-4-turbo")[0].valid_from == date(2023, 11, 30)  # "2023-11": not earlier
    assert [_told(one) for one in timeline.quotes("openai", "gpt-4o")] == ["2024-05-13 5/15", "2024-10-02 2.5/10"]
    assert _told(timeline.quotes("openai", "gpt-4o-2024-08-06")[0]) == "2024-08-06 2.5/10"
    assert timeline.quotes("azure", "gpt-4") == ()
    assert ("openai", "gpt-4o-mini-2024-07-18") in timeline.models()
