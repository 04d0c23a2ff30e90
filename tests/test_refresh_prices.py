"""The price list is rebuilt from the answers of AWS and Azure: here a loopback server's, in their documented forms."""

import csv
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bench.cost import hardware_prices, price_file
from tests.commands import ROOT

SCRIPT = ROOT / "scripts" / "refresh_prices.py"
LIST = ROOT / "bench" / "data" / "hourly_prices.csv"
AWS_PATH = "/offers/v1.0/aws/AmazonEC2/current/us-east-1/index.csv"
TODAY = str(datetime.now(UTC).date())

# --- AWS's answer: five lines about the file, a line of columns, and a line for each price

AWS_HEAD = (
    '"FormatVersion","v1.0"\n"Disclaimer","For information, with a, comma."\n'
    '"Publication Date","2026-11-20T20:00:00Z"\n"Version","20261120200000"\n"OfferCode","AmazonEC2"\n'
)
AWS_LINE = {
    "SKU": "SKU1",
    "OfferTermCode": "JRTCKXETXF",
    "RateCode": "SKU1.JRTCKXETXF.6YS6EN2CT7",
    "TermType": "OnDemand",
    "PriceDescription": "$1 per On Demand Linux instance, per hour",
    "EffectiveDate": "2026-11-01",
    "StartingRange": "0",
    "EndingRange": "Inf",
    "Unit": "Hrs",
    "PricePerUnit": "1.0000000000",
    "Currency": "USD",
    "RelatedTo": "",
    "LeaseContractLength": "",
    "PurchaseOption": "",
    "OfferingClass": "",
    "Product Family": "Compute Instance",
    "serviceCode": "AmazonEC2",
    "Location": "US East (N. Virginia)",
    "Location Type": "AWS Region",
    "Instance Type": "p5.48xlarge",
    "vCPU": "192",
    "Memory": "2,048 GiB",
    "Tenancy": "Shared",
    "Operating System": "Linux",
    "License Model": "No License required",
    "usageType": "BoxUsage:p5.48xlarge",
    "operation": "RunInstances",
    "CapacityStatus": "Used",
    "GPU": "8",
    "GPU Memory": "NA",
    "MarketOption": "OnDemand",
    "Pre Installed S/W": "NA",
    "Region Code": "us-east-1",
}
RESERVED = {
    "TermType": "Reserved",
    "LeaseContractLength": "1yr",
    "PurchaseOption": "No Upfront",
    "OfferingClass": "standard",
    "PricePerUnit": "30.0000000000",
}
CPU = {"Instance Type": "c5.xlarge", "vCPU": "4", "Memory": "8 GiB", "GPU": "NA", "PricePerUnit": "0.1870000000"}
AWS_CHOSEN: tuple[dict[str, str], ...] = (
    {"PricePerUnit": "49.5360000000"},
    RESERVED,
    {**RESERVED, "LeaseContractLength": "3yr", "PricePerUnit": "20.0000000000"},
    CPU,
    {"Instance Type": "p5en.48xlarge", "PricePerUnit": "63.2960000000"},
    {"Instance Type": "inf2.24xlarge", "GPU": "NA", "PricePerUnit": "6.4906300000", "vCPU": "96", "Memory": "384 GiB"},
    {
        "Instance Type": "dl2q.24xlarge",
        "GPU": "",
        "vCPU": "96",
        "Memory": "768 GiB",
        "PricePerUnit": "8.9194000000",
    },
    {"Instance Type": "g4dn.metal", "Product Family": "Compute Instance (bare metal)", "PricePerUnit": "7.8240000000"},
)
AWS_PASSED_OVER: tuple[dict[str, str], ...] = (
    {"Operating System": "Windows", "PricePerUnit": "2"},
    {"Tenancy": "Dedicated", "PricePerUnit": "3"},
    {"Pre Installed S/W": "SQL Std", "PricePerUnit": "4"},
    {"License Model": "Bring your own license", "PricePerUnit": "5"},
    {"CapacityStatus": "AllocatedCapacityReservation", "PricePerUnit": "6"},
    {"MarketOption": "CapacityBlock", "PricePerUnit": "7"},
    {"operation": "RunInstances:0002", "PricePerUnit": "8"},
    {"Location Type": "AWS Local Zone", "PricePerUnit": "9"},
    {"Instance Type": "x2idn.16xlarge", "PricePerUnit": "10"},
    {"Instance Type": "c5.metal", "GPU": "NA", "PricePerUnit": "11"},
    {"PricePerUnit": "0.0000000000"},
    {**RESERVED, "PurchaseOption": "All Upfront", "PricePerUnit": "12"},
    {**RESERVED, "OfferingClass": "convertible", "PricePerUnit": "13"},
    {**RESERVED, "PurchaseOption": "Partial Upfront", "Unit": "Quantity", "PricePerUnit": "140000"},
    {"Operating System": "Windows", "Currency": "CNY"},
)


def aws_csv(*lines: dict[str, str], columns: tuple[str, ...] = tuple(AWS_LINE)) -> bytes:
    """An index.csv with these lines, each given by what differs from `AWS_LINE`."""
    text = AWS_HEAD + ",".join(f'"{name}"' for name in columns) + "\n"
    for line in lines:
        whole = {**AWS_LINE, **line}
        text += ",".join(f'"{whole[name]}"' if whole[name] else "" for name in columns) + "\n"
    return text.encode()


# --- Azure's answer: pages of items

AZURE_ITEM: dict[str, Any] = {
    "currencyCode": "USD",
    "tierMinimumUnits": 0.0,
    "retailPrice": 90.0,
    "unitPrice": 90.0,
    "armRegionName": "eastus",
    "location": "US East",
    "effectiveStartDate": "2026-11-01T00:00:00Z",
    "meterName": "ND96isr H100 v5",
    "productName": "Virtual Machines ND H100 v5 Series",
    "skuName": "ND96isr H100 v5",
    "serviceName": "Virtual Machines",
    "serviceFamily": "Compute",
    "unitOfMeasure": "1 Hour",
    "type": "Consumption",
    "isPrimaryMeterRegion": True,
    "armSkuName": "Standard_ND96isr_H100_v5",
}
AZURE_ITEMS: tuple[dict[str, Any], ...] = (
    {},
    {"skuName": "ND96isr H100 v5 Spot", "meterName": "ND96isr H100 v5 Spot", "retailPrice": 20.0},
    {"skuName": "ND96isr H100 v5 Low Priority", "retailPrice": 21.0},
    {"productName": "Virtual Machines ND H100 v5 Series Windows", "retailPrice": 99.0},
    {"type": "DevTestConsumption", "retailPrice": 22.0},
    {"isPrimaryMeterRegion": False, "retailPrice": 23.0},
    {"type": "Reservation", "reservationTerm": "1 Year", "retailPrice": 8760 * 60.0},
    {"type": "Reservation", "reservationTerm": "3 Years", "retailPrice": 3 * 8760 * 40.0},
    {"type": "Reservation", "reservationTerm": "5 Years", "retailPrice": 5 * 8760 * 30.0},
    {"armSkuName": "Standard_NV6ads_A10_v5", "productName": "Virtual Machines NVadsA10v5 Series", "retailPrice": 0.5},
)


def azure_pages(
    items: tuple[dict[str, Any], ...] = AZURE_ITEMS, size: int = 4, **page: Any
) -> Callable[[str, str], bytes]:
    """A server of pages, which honours the filter for one size as Azure does."""

    def answer(path: str, base: str) -> bytes:
        query = parse_qs(urlsplit(path).query)
        wanted = query["$filter"][0]
        assert "serviceName eq 'Virtual Machines'" in wanted
        assert "armRegionName eq 'eastus'" in wanted
        assert query["currencyCode"] == ["'USD'"]
        found = [whole for item in items if f"'{(whole := {**AZURE_ITEM, **item})['armSkuName']}'" in wanted]
        skip = int(query.get("$skip", ["0"])[0])
        own = path.partition("&$skip")[0]
        following = f"{base}{own}&$skip={skip + size}" if skip + size < len(found) else None
        shown = found[skip : skip + size]
        whole = {
            "BillingCurrency": "USD",
            "CustomerEntityId": "Default",
            "CustomerEntityType": "Retail",
            "Items": shown,
            "NextPageLink": following,
            "Count": len(shown),
            **page,
        }
        return json.dumps(whole).encode()

    return answer


class Server:
    """Answers with `aws` and `azure`; `status` and `announced` bend the answer."""

    def __init__(self) -> None:
        self.aws: bytes = aws_csv(*AWS_CHOSEN, *AWS_PASSED_OVER)
        self.azure: Callable[[str, str], bytes] = azure_pages()
        self.status = 200
        self.announced: int | None = None
        self.paths: list[str] = []
        self.released = threading.Event()
        self.hang = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.paths.append(self.path)
                if outer.hang:
                    outer.released.wait(60)
                of_azure = self.path.startswith("/azure")
                body = outer.azure(self.path, outer.url) if of_azure else outer.aws
                self.send_response(outer.status)
                self.send_header("Content-Length", str(outer.announced or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.daemon_threads = True
        self.port = self.httpd.server_address[1]
        self.thread = threading.Thread(target=self.httpd.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self) -> None:
        self.released.set()
        self.httpd.shutdown()
        self.thread.join()
        self.httpd.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    made.start()
    yield made
    made.stop()


def refresh(server: Server, out: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the script against the server."""
    return subprocess.run(
        [
            *(sys.executable, str(SCRIPT), "--aws-url", server.url, "--azure-url", f"{server.url}/azure"),
            *("--out", str(out), *arguments),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT), "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=120,
        stdin=subprocess.DEVNULL,
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def new_rows(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    """Those that the refresh added, by instance and kind."""
    apis = ("AWS public price list API", "Azure Retail Prices API")
    return {(one["instance"], one["price_kind"]): one for one in rows_of(path) if one["source"] in apis}


# --- what comes out


def test_both_apis_renew_the_list(server: Server, tmp_path: Path) -> None:
    """Every chosen price with its sizes, nothing that was to be passed over, and all old rows before them."""
    out = tmp_path / "list.csv"
    done = refresh(server, out)
    assert done.returncode == 0, done.stderr
    assert rows_of(out)[:190] == rows_of(LIST)
    found = new_rows(out)
    expected = {
        ("p5.48xlarge", "list_on_demand"): ("49.536", "NVIDIA H100 80GB", "8", "192", "2048"),
        ("p5.48xlarge", "reserved_1yr"): ("30", "NVIDIA H100 80GB", "8", "192", "2048"),
        ("p5.48xlarge", "reserved_3yr"): ("20", "NVIDIA H100 80GB", "8", "192", "2048"),
        ("c5.xlarge", "list_on_demand"): ("0.187", "CPU", "0", "4", "8"),
        ("p5en.48xlarge", "list_on_demand"): ("63.296", "NVIDIA H200 141GB", "8", "192", "2048"),
        ("inf2.24xlarge", "list_on_demand"): ("6.49063", "AWS Inferentia2 32GB", "6", "96", "384"),
        ("dl2q.24xlarge", "list_on_demand"): ("8.9194", "Qualcomm Cloud AI 100 Standard", "", "96", "768"),
        ("g4dn.metal", "list_on_demand"): ("7.824", "NVIDIA T4 16GB", "8", "192", "2048"),
        ("Standard_ND96isr_H100_v5", "list_on_demand"): ("90", "NVIDIA H100 80GB", "8", "96", "1900"),
        ("Standard_ND96isr_H100_v5", "reserved_1yr"): ("60", "NVIDIA H100 80GB", "8", "96", "1900"),
        ("Standard_ND96isr_H100_v5", "reserved_3yr"): ("40", "NVIDIA H100 80GB", "8", "96", "1900"),
        ("Standard_NV6ads_A10_v5", "list_on_demand"): ("0.5", "NVIDIA A10", "", "6", "55"),
    }
    columns = ("usd_per_hour_on_demand", "accelerator", "accel_count", "vcpus", "mem_gib")
    assert {key: tuple(one[name] for name in columns) for key, one in found.items()} == expected
    assert found["Standard_ND96isr_H100_v5", "list_on_demand"]["usd_per_hour_spot"] == "20"
    assert {one["as_of"] for one in found.values()} == {TODAY}
    assert {one["region"] for one in found.values()} == {"us-east-1", "eastus"}
    for one in found.values():
        assert one["source_ref"].startswith("http")
        assert one["quality"].startswith("A")
        assert one["note"] == "vendor effective date 2026-11-01" or one["price_kind"] != "list_on_demand"


def test_the_renewed_list_can_be_priced_by(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new rows are what counts today, the old ones what counts in a replay; Azure's two names are one offer."""
    out = tmp_path / "list.csv"
    assert refresh(server, out).returncode == 0
    renewed = tuple(price_file.row(**raw) for raw in rows_of(out))
    monkeypatch.setattr(price_file, "packaged", lambda: renewed)
    caches = (hardware_prices._rows, hardware_prices._all, hardware_prices._current, hardware_prices._fitting)
    for one in caches:
        one.cache_clear()
    try:

        def price(provider: str, region: str, kind: str = "on_demand", as_of: date | None = None) -> list[float]:
            found = hardware_prices.offers(kind, "H100", provider, region, as_of=as_of)
            return [offer.usd_per_hour for offer in found if "48x" in offer.row.instance or "96" in offer.row.instance]

        assert price("aws", "us-east-1") == [49.536]
        assert price("aws", "us-east-1", as_of=date(2026, 11, 1)) == [55.04]
        assert price("aws", "us-east-1", "reserved") == [20.0, 30.0]
        assert price("azure", "eastus") == [90.0]
        assert price("azure", "eastus", "spot") == [20.0]
        assert price("azure", "eastus", "reserved") == [40.0, 60.0]
    finally:
        for one in caches:
            one.cache_clear()


def test_what_moved_is_said_with_its_share(server: Server, tmp_path: Path) -> None:
    """55.04 → 49.536 is a tenth less, 0.17 → 0.187 a tenth more; what is not answered any more is named and stays."""
    done = refresh(server, tmp_path / "list.csv")
    for line in (
        "aws p5.48xlarge us-east-1 list_on_demand: 55.04 -> 49.536 (-10.0%)",
        "aws c5.xlarge us-east-1 list_on_demand: 0.17 -> 0.187 (+10.0%)",
        "aws p5.48xlarge us-east-1 reserved_1yr: new, 30",
        "azure Standard_ND96isr_H100_v5 eastus list_on_demand: 98.32 -> 90 (-8.5%)",
        "aws p4d.24xlarge us-east-1 list_on_demand: not in the answer; the row stays",
        # g4dn.metal in us-east-1; dl2q was seen in another region.
        "1 prices as before",
    ):
        assert line in done.stdout.splitlines(), done.stdout
    assert not any("gcp" in line for line in done.stdout.splitlines())


def test_a_second_refresh_on_one_day_replaces_the_first(server: Server, tmp_path: Path) -> None:
    """And one on a later day would not: history stays."""
    out = tmp_path / "list.csv"
    assert refresh(server, out).returncode == 0
    first = rows_of(out)
    server.aws = aws_csv({"PricePerUnit": "44.0"})
    done = refresh(server, out, "--only", "aws")
    assert done.returncode == 0, done.stderr
    assert "p5.48xlarge us-east-1 list_on_demand: 49.536 -> 44 (-11.2%)" in done.stdout
    assert len(rows_of(out)) == len(first)
    assert new_rows(out)["p5.48xlarge", "list_on_demand"]["usd_per_hour_on_demand"] == "44"
    assert "Standard_ND96isr_H100_v5" in out.read_text()  # Azure was not asked
    text = out.read_text().replace(TODAY, "2026-11-02")
    out.write_text(text)
    assert refresh(server, out, "--only", "aws").returncode == 0
    assert [one["as_of"] for one in rows_of(out) if one["instance"] == "p5.48xlarge"][-1] == TODAY
    assert len(rows_of(out)) == len(first) + 1


def test_a_dry_run_writes_nothing(server: Server, tmp_path: Path) -> None:
    done = refresh(server, tmp_path / "list.csv", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "55.04 -> 49.536" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_pages_are_followed_to_the_last(server: Server, tmp_path: Path) -> None:
    """Nine items of one size in pages of two are five requests."""
    server.azure = azure_pages(size=2)
    done = refresh(server, tmp_path / "list.csv", "--only", "azure")
    assert done.returncode == 0, done.stderr
    asked = [path for path in server.paths if "ND96isr_H100_v5" in path]
    assert len(asked) == 5
    assert new_rows(tmp_path / "list.csv")["Standard_ND96isr_H100_v5", "reserved_3yr"]


def test_two_prices_for_one_thing_are_left_out_and_said(server: Server, tmp_path: Path) -> None:
    server.aws = aws_csv({"PricePerUnit": "50"}, {"PricePerUnit": "51"}, CPU)
    server.azure = azure_pages((*AZURE_ITEMS, {"retailPrice": 91.0}))
    out = tmp_path / "list.csv"
    done = refresh(server, out)
    assert done.returncode == 0, done.stderr
    assert "aws p5.48xlarge list_on_demand: two prices in the answer; left out" in done.stdout
    assert "azure Standard_ND96isr_H100_v5 list_on_demand: two prices in the answer; left out" in done.stdout
    assert ("p5.48xlarge", "list_on_demand") not in new_rows(out)
    azure = new_rows(out)["Standard_ND96isr_H100_v5", "list_on_demand"]
    assert (azure["usd_per_hour_on_demand"], azure["usd_per_hour_spot"]) == ("", "20")


def test_an_answer_without_the_later_columns_is_read(server: Server, tmp_path: Path) -> None:
    """CapacityStatus, operation, MarketOption and Location Type came with the years."""
    late = ("CapacityStatus", "operation", "MarketOption", "Location Type", "GPU Memory", "Region Code")
    server.aws = aws_csv({"PricePerUnit": "50"}, columns=tuple(name for name in AWS_LINE if name not in late))
    out = tmp_path / "list.csv"
    assert refresh(server, out, "--only", "aws").returncode == 0
    assert new_rows(out)["p5.48xlarge", "list_on_demand"]["usd_per_hour_on_demand"] == "50"


# --- what goes wrong


def _spoil(server: Server, how: str) -> None:
    whole = aws_csv(*AWS_CHOSEN)
    page = azure_pages()
    if how == "error page":
        server.status, server.aws = 503, b"<html>Service Unavailable</html>"
    elif how == "html":
        server.aws = b"<html>\n" + b"<p>Sign in</p>\n" * 50
    elif how == "cut off":
        server.aws, server.announced = whole[: len(whole) // 2], len(whole)
    elif how == "cut off, said nothing":
        server.aws = whole[:-40]
    elif how == "cut in a quoted field":
        server.aws = whole[: whole.rindex(b"Linux") + 3]
    elif how == "a column is gone":
        server.aws = aws_csv(columns=tuple(name for name in AWS_LINE if name != "Tenancy"))
    elif how == "nothing":
        server.aws = aws_csv()
    elif how == "euro":
        server.aws = aws_csv({"Currency": "EUR"})
    elif how == "no price":
        server.aws = aws_csv({"PricePerUnit": "free"})
    elif how == "negative":
        server.aws = aws_csv({"PricePerUnit": "-1"})
    elif how == "bytes":
        server.aws = aws_csv(*AWS_CHOSEN) + b"\xff\xfe\n"
    elif how == "azure euro":
        server.azure = azure_pages(({"currencyCode": "EUR"},), BillingCurrency="EUR")
    elif how == "azure mixed":
        server.azure = azure_pages(({}, {"currencyCode": "EUR"}))
    elif how == "azure partial":
        server.azure = azure_pages(Count=100)
    elif how == "azure cut":
        server.azure = lambda path, base: page(path, base)[:-30]
    elif how == "azure other":
        server.azure = lambda *_: b'{"error": {"code": "BadRequest"}}'
    elif how == "azure list":
        server.azure = lambda *_: b'{"Items": ["x"]}'
    elif how == "azure elsewhere":
        server.azure = azure_pages(NextPageLink="http://elsewhere.invalid/api")
    elif how == "azure loop":
        server.azure = lambda path, base: json.dumps(
            {"Items": [], "Count": 0, "NextPageLink": f"{base}{path.partition('&loop')[0]}&loop"}
        ).encode()
    elif how == "azure nothing":
        server.azure = azure_pages(())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("error page", "HTTP 503 Service Unavailable"),
        ("html", "no line of columns; the format may have changed"),
        ("cut off", "cut off after"),
        ("cut off, said nothing", "is cut off or broken"),
        ("cut in a quoted field", "is cut off or broken"),
        ("a column is gone", "no column 'Tenancy'; the format may have changed"),
        ("nothing", "none of the instances that were asked for"),
        ("euro", "prices in EUR, not in USD"),
        ("no price", "'free' is not a price"),
        ("negative", "'-1' is not a price"),
        ("bytes", "not UTF-8 text"),
        ("azure euro", "prices in EUR, not in USD"),
        ("azure mixed", "prices in EUR, not in USD"),
        ("azure partial", "of 100 items"),
        ("azure cut", "page 1 is cut off or not as documented"),
        ("azure other", "page 1 is cut off or not as documented"),
        ("azure list", "page 1 is cut off or not as documented"),
        ("azure elsewhere", "the next page is elsewhere, at elsewhere.invalid"),
        ("azure loop", "pages without end"),
        ("azure nothing", "no price of the sizes that were asked for in eastus"),
    ],
)
def test_a_bad_answer_is_one_line_and_the_list_is_untouched(
    server: Server, tmp_path: Path, how: str, words: str
) -> None:
    out = tmp_path / "list.csv"
    before = LIST.read_bytes()
    out.write_bytes(before)
    _spoil(server, how)
    done = refresh(server, out, *(("--only", "azure") if how.startswith("azure") else ()))
    assert done.returncode == 2, (done.stdout, done.stderr)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: http://127.0.0.1:")
    assert words in line
    assert line.endswith("the list is as it was")
    assert out.read_bytes() == before
    assert list(tmp_path.iterdir()) == [out]


def test_silence_ends_with_the_time_limit(server: Server, tmp_path: Path) -> None:
    server.hang = True
    done = refresh(server, tmp_path / "list.csv", "--timeout-s", "0.5")
    assert done.returncode == 2
    assert "no answer in time" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--aws-url", "http://127.0.0.1:9"), "refused"),
        (("--aws-url", "file:///etc"), "not an http or https address"),
    ],
)
def test_a_bad_address_is_one_line(server: Server, tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = refresh(server, tmp_path / "list.csv", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_file_that_is_no_price_list_is_not_written_over(server: Server, tmp_path: Path) -> None:
    out = tmp_path / "notes.csv"
    out.write_text("a,b\n1,2\n")
    done = refresh(server, out)
    assert done.returncode == 2
    assert "not a price list" in done.stderr
    assert out.read_text() == "a,b\n1,2\n"
    assert server.paths == []
    done = refresh(server, tmp_path / "nowhere" / "list.csv")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_the_packages_own_list_comes_back_byte_for_byte(server: Server, tmp_path: Path) -> None:
    """What is kept is kept as it is: the file grows at its end alone."""
    out = tmp_path / "list.csv"
    assert refresh(server, out).returncode == 0
    assert out.read_bytes().startswith(LIST.read_bytes())
