"""The list of hourly prices, files of a user, and whose hourly rate a machine gets."""

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import hardware_prices, hourly, price_file
from bench.cost.hardware_prices import offers
from bench.errors import InputError
from bench.schema import Accelerator, CostChoices, Owned
from tests.commands import bench
from tests.samples import H100, environment, facts
from tests.test_bad_input import refused

unhurried = settings(deadline=None, max_examples=60)
NOVEMBER = date(2026, 11, 22)
HEADER = "provider,instance,accelerator,accel_count,vcpus,usd_per_hour_on_demand,usd_per_hour_spot,region,as_of,source"
MINE = "mine,box,NVIDIA H100 80GB,8,,16.00,8.00,here,2026-11-01,my contract"


def _file(folder: Path, *lines: str, header: str = HEADER, name: str = "mine.csv") -> str:
    path = folder / name
    path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
    return str(path)


# --- the list


def _raw() -> list[dict[str, str]]:
    text = files("bench.data").joinpath(hardware_prices.LIST).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_line_of_the_list_is_a_row_with_a_source() -> None:
    """Nothing is dropped on reading; a price without a source is a rumour."""
    raw, rows = _raw(), hardware_prices.rows()
    assert len(rows) == len(raw) == 190
    assert tuple(raw[0]) == price_file.COLUMNS
    for line, row in zip(raw, rows, strict=True):
        assert None not in line, f"too many fields: {line}"
        assert row.raw == line
        assert row.provider
        assert row.instance
        assert row.accelerator
        assert row.source.strip(), f"{row.provider} {row.instance}: no source"
        assert row.as_of, f"{row.provider} {row.instance}: no date"
        assert row.grade[:1] in "ABC"
        assert row.kind in hardware_prices.KINDS
        for usd in (row.usd_per_hour, row.spot_usd_per_hour):
            assert usd is None or usd > 0
        assert row.usd_per_hour or row.spot_usd_per_hour


def test_the_list_covers_the_clouds_and_the_makers() -> None:
    """What a reader may look for is there, by name."""
    providers = {row.provider for row in hardware_prices.rows()}
    assert {"aws", "azure", "gcp", "lambda", "runpod", "nebius", "coreweave", "crusoe", "vast.ai"} <= providers
    parts = " ".join(row.accelerator for row in hardware_prices.rows())
    for name in ("NVIDIA", "AMD MI300X", "Gaudi", "Qualcomm", "Inferentia2", "TPU v5e", "CPU"):
        assert name in parts


@pytest.mark.parametrize(
    ("price_kind", "provider", "kind", "analyst"),
    [
        ("list_on_demand", "aws", "on_demand", False),
        ("reserved_1yr", "aws", "reserved", False),
        ("reserved_3yr", "azure", "reserved", False),
        ("rent_3yr", "a cloud", "reserved", False),
        ("rent_3yr", "SemiAnalysis TCO", "reserved", True),
        ("managed_endpoint", "hf", "managed", False),
        ("serverless_flex", "runpod", "serverless", False),
        ("tco_own_neocloud", "SemiAnalysis TCO", "analyst", True),
        ("tco_own_anything", "another", "analyst", True),
        ("blog", "runpod", "blog", False),
    ],
)
def test_kinds_as_people_see_them(price_kind: str, provider: str, kind: str, analyst: bool) -> None:
    row = price_file.row(provider, "x", price_kind=price_kind)
    assert (row.kind, row.analyst) == (kind, analyst)


def test_every_analyst_row_is_offered_as_such_and_none_is_a_default() -> None:
    """All 27 of SemiAnalysis, the nine three-year rents among them, which are reserved prices too."""
    analyst = offers("analyst")
    assert {offer.row for offer in analyst} == {row for row in hardware_prices.rows() if "SemiAnalysis" in row.provider}
    assert len(analyst) == 27
    reserved = offers("reserved")
    assert len(reserved) == 9
    for offer in reserved:
        assert not offer.trusted()
        assert "analyst estimate" in offer.flags(NOVEMBER)
    assert not any("SemiAnalysis" in offer.row.provider for offer in (*offers("on_demand"), *offers("spot")))


def test_only_dated_list_prices_of_good_grade_are_a_default() -> None:
    """No analyst's estimate, no grade C, no undated row, whatever is detected; told from the raw fields."""
    refusable = {
        row.instance
        for row in hardware_prices.rows()
        if row.price_kind != "list_on_demand"
        or row.grade.startswith("C")
        or not re.fullmatch(r"\d{4}-\d\d-\d\d", row.as_of)
    }
    seen = 0
    for name in {row.accelerator for row in hardware_prices.rows() if row.accelerators}:
        device = Accelerator(name=name)
        try:
            found = hourly.rate(CostChoices(), environment([device]), ON_GPU)
        except InputError:
            continue
        seen += 1
        assert found.as_of is not None
        assert not {"undated", "analyst estimate", "one weak source"} & set(found.flags)
        assert not any(f" {instance}," in found.basis for instance in refusable), found.basis
    assert seen > 15


@pytest.mark.parametrize(
    ("change", "trusted"),
    [
        ({}, True),
        ({"grade": "A- (vendor docs)"}, True),
        ({"grade": "C (one weak source)"}, False),
        ({"as_of": "undated snapshot"}, False),
        ({"as_of": "2026-08 survey"}, False),
        ({"provider": "SemiAnalysis TCO"}, False),
    ],
)
def test_each_flaw_alone_rules_a_row_out(change: dict[str, Any], trusted: bool) -> None:
    """A default must have a date, a good grade, and somebody who sells at that price."""
    good = next(offer for offer in offers("on_demand", "CPU", "aws") if offer.row.instance == "c5.xlarge")
    assert good.trusted()
    assert replace(good, row=replace(good.row, **change)).trusted() is trusted


@pytest.mark.parametrize(
    ("fields", "flags"),
    [
        ({"as_of": "2026-08-24"}, []),
        ({"as_of": "2026-08-23"}, ["older than 90 days"]),
        ({"as_of": "undated page snapshot"}, ["undated"]),
        ({"as_of": "2026-11-01", "quality": "C (a blog)"}, ["one weak source"]),
        (
            {"as_of": "2025-08 survey (file at 2026-04-03)", "price_kind": "tco_x"},
            ["analyst estimate", "older than 90 days"],
        ),
        ({"as_of": "2026-11-01", "note": "GPU price only, vCPU billed extra"}, ["without its CPUs"]),
    ],
)
def test_what_is_said_of_a_row_wherever_it_is_shown(fields: dict[str, str], flags: list[str]) -> None:
    """90 days before 2026-11-22 is 2026-08-24: that day is not yet too old, the day before it is."""
    row = price_file.row("x", "y", **{"price_kind": "list_on_demand", "quality": "A", **fields})
    assert hardware_prices.flags(row, NOVEMBER) == flags


def test_a_spot_price_may_be_undated_where_its_row_is_not() -> None:
    row = price_file.row("x", "y", as_of="2026-11-01", quality="B (curated table; spot undated sample)")
    assert hardware_prices.flags(row, NOVEMBER) == []
    assert hardware_prices.flags(row, NOVEMBER, spot=True) == ["spot price undated"]
    assert (row.day(), row.day(spot=True)) == (date(2026, 11, 1), None)


# --- which part


@pytest.mark.parametrize(
    ("name", "memory_bytes", "listed"),
    [
        ("NVIDIA H100 80GB HBM3", 85.0e9, {"NVIDIA H100 80GB", "NVIDIA H100 80GB SXM", "NVIDIA H100"}),
        ("NVIDIA A100-SXM4-40GB", 42.4e9, {"NVIDIA A100 40GB", "NVIDIA A100"}),
        ("NVIDIA A100-SXM4-80GB", 85.1e9, {"NVIDIA A100 80GB", "NVIDIA A100 80GB SXM", "NVIDIA A100"}),
        ("NVIDIA A100 80GB PCIe", 85.1e9, {"NVIDIA A100 80GB", "NVIDIA A100 80GB PCIe", "NVIDIA A100"}),
        ("Tesla T4", 15.8e9, {"NVIDIA T4 16GB", "NVIDIA T4"}),
        ("NVIDIA L4", 24.2e9, {"NVIDIA L4 24GB", "NVIDIA L4"}),
        ("NVIDIA L40S", 48.3e9, {"NVIDIA L40S 48GB", "NVIDIA L40S"}),
        ("NVIDIA A10G", 24.2e9, {"NVIDIA A10G 24GB", "NVIDIA A10G"}),
        ("NVIDIA H200", 150.8e9, {"NVIDIA H200 141GB", "NVIDIA H200 141GB SXM", "NVIDIA H200"}),
        ("NVIDIA GeForce RTX 4090", 25.8e9, {"NVIDIA RTX 4090 24GB"}),
    ],
)
def test_a_detected_device_finds_its_own_part(name: str, memory_bytes: float, listed: set[str]) -> None:
    """Rows of this part with this memory, at least one, and of no other."""
    found = offers("on_demand", Accelerator(name=name, memory_bytes=int(memory_bytes)))
    assert found
    assert {offer.row.accelerator for offer in found} <= listed


def test_a_40_gb_a100_is_not_priced_as_an_80_gb_one() -> None:
    """a2-ultragpu and NC24ads hold the 80 GB part (Google's and Azure's documentation), whatever the row leaves out."""
    found = offers("on_demand", Accelerator(name="NVIDIA A100-SXM4-40GB", memory_bytes=42_400_000_000))
    instances = {offer.row.instance for offer in found}
    assert "p4d.24xlarge" in instances
    assert not instances & {"p4de.24xlarge", "a2-ultragpu-1g", "NC24ads_A100_v4"}


@pytest.mark.parametrize(
    ("name", "memory_bytes"),
    [
        ("NVIDIA GH200 144G HBM3e", 151.0e9),
        ("NVIDIA L40", 48.3e9),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 17.2e9),
        ("NVIDIA H20", 102.0e9),
        ("NVIDIA A10", 24.2e9),  # the list has a sixth of one
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 10e9),  # a seventh must not be billed as a whole one
        ("Google", 16e9),
    ],
)
def test_a_part_that_sounds_alike_is_another(name: str, memory_bytes: float) -> None:
    """GH200 is not H200, L40 is not L40S: no row at all rather than a wrong one."""
    assert offers("on_demand", Accelerator(name=name, memory_bytes=int(memory_bytes))) == ()


def test_a_pool_is_offered_as_any_of_its_parts() -> None:
    """RunPod's serverless workers of 48 GB are of several parts."""
    for name in ("NVIDIA L40", "NVIDIA L40S"):
        (offer,) = offers("serverless", Accelerator(name=name, memory_bytes=48_300_000_000))
        assert offer.usd_per_unit_hour == pytest.approx(1.908)


def test_offers_stand_from_cheap_to_dear_and_the_middle_is_a_real_one() -> None:
    """By the price of one device, not of the instance; of an even number the cheaper of the two in the middle."""
    found = offers("on_demand", H100)
    each = [offer.usd_per_unit_hour for offer in found]
    assert len(each) > 5
    assert each == sorted(each)
    assert hardware_prices.middle(found) in found
    assert hardware_prices.middle(found[:1]) == found[0]
    assert hardware_prices.middle(found[:4]) == found[1]


def test_an_instance_of_eight_is_priced_by_the_device() -> None:
    """aws p5.48xlarge: $55.04 for eight H100, of 2026-10-01; the undated row of the same instance gives way to it."""
    found = [offer for offer in offers("on_demand", H100, "aws") if offer.row.instance == "p5.48xlarge"]
    assert [offer.usd_per_unit_hour for offer in found] == pytest.approx([6.88])
    assert [offer.row.as_of for offer in found] == ["2026-10-01"]


def test_one_size_under_two_names_is_one_offer() -> None:
    """Azure writes ND96isr_H100_v5 with and without "Standard_": the newer row counts, once."""
    names = [offer.row.instance for offer in offers("on_demand", H100, "azure", "eastus")]
    assert names == ["NC40ads_H100_v5", "Standard_ND96isr_H100_v5"]
    spot = [offer.row.instance for offer in offers("spot", H100, "azure", "eastus")]
    assert spot == ["NC40ads_H100_v5", "ND96isr_H100_v5"]  # of the spot price the older row is the newest


def test_parts_that_a_provider_calls_by_one_name_are_several_offers() -> None:
    """Crusoe lists every part "per GPU"."""
    found = [offer for offer in offers("on_demand", provider="crusoe") if offer.row.instance == "per GPU"]
    assert len(found) == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "on-demand"}, "unknown kind of price 'on-demand'; did you mean 'on_demand'"),
        ({"grade": "D"}, "unknown grade 'D'"),
        ({"device": "A100"}, "'A100' comes with different memory: say 'A100 40GB' or 'A100 80GB'"),
        ({"device": "TPU"}, "several parts: Google TPU v5e, Google TPU v5p"),
        ({"device": " "}, "a part needs a name"),
        ({"files": ("nowhere.csv",)}, "nowhere.csv: cannot be read (No such file"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        offers(**arguments)
    assert words in caught.value.lines[0]


def test_region_and_grade_narrow_the_offers() -> None:
    assert {offer.row.region for offer in offers("on_demand", "CPU", region="us-east1")} == {"us-east1"}
    assert {offer.row.letter for offer in offers("on_demand", H100, grade="A")} == {"A"}
    (blog,) = offers("blog", "RTX 5090")
    assert blog.usd_per_hour == 0.69
    assert blog.flags(NOVEMBER) == ["older than 90 days", "one weak source"]
    assert offers("blog", "RTX 5090", grade="B") == ()


def test_an_unknown_provider_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """A slip of the finger is not an empty list; a user's file brings providers of its own."""
    hardware_prices.check_provider("aws")
    with pytest.raises(InputError, match=r"unknown provider 'azur'.*did you mean 'azure'"):
        hardware_prices.check_provider("azur")
    with pytest.raises(InputError, match="unknown provider 'mine'"):
        hardware_prices.check_provider("mine")
    hardware_prices.check_provider("mine", [_file(tmp_path, MINE)])


# --- replay


def test_a_replay_sees_what_was_known_on_that_day() -> None:
    """Crusoe's H100 is of 2026-08-19, Lambda's of 09-20, AWS's of 10-01; what has no date is in no replay."""

    def providers(day: str) -> set[str]:
        return {offer.row.provider for offer in offers("on_demand", H100, as_of=date.fromisoformat(day))}

    assert providers("2026-08-25") == {"crusoe"}
    assert "lambda" in providers("2026-09-20") - providers("2026-09-19")
    assert "aws" in providers("2026-10-01") - providers("2026-09-30")
    assert "nebius" in {offer.row.provider for offer in offers("on_demand", H100)} - providers("2026-11-22")


def test_the_newest_row_that_is_not_later_counts(tmp_path: Path) -> None:
    """One instance in one region with three dates; a second region is an offer of its own."""
    lines = [
        f"mine,box,NVIDIA H100 80GB,1,,{usd},,{region},{day},contract"
        for usd, region, day in (
            ("3.00", "here", "2026-03-01"),
            ("5.00", "here", "2026-05-01"),
            ("4.00", "here", "2026-04-01"),
            ("9.00", "there", "2026-04-15"),
        )
    ]
    path = _file(tmp_path, *lines)

    def prices(day: str | None) -> list[float]:
        as_of = None if day is None else date.fromisoformat(day)
        return [offer.usd_per_hour for offer in offers("on_demand", H100, "mine", as_of=as_of, files=(path,))]

    assert prices(None) == [5.0, 9.0]
    assert prices("2026-05-01") == [5.0, 9.0]
    assert prices("2026-04-30") == [4.0, 9.0]
    assert prices("2026-04-02") == [4.0]
    assert prices("2026-03-31") == [3.0]
    with pytest.raises(InputError) as caught:
        prices("2026-02-28")
    assert caught.value.lines == (
        "the price list has no price for NVIDIA H100 80GB HBM3 on or before 2026-02-28; the first is of 2026-03-01 "
        "(mine box); give --usd-per-hour",
    )


@unhurried
@given(st.dates(date(2026, 1, 1), date(2026, 12, 31)))
def test_no_replay_sees_the_future(day: date) -> None:
    for kind in hardware_prices.KINDS:
        for offer in hardware_prices.current(kind, day):
            assert offer.day is not None
            assert offer.day <= day
    for row in hardware_prices.listed(day):
        assert row.day() is not None or row.day(spot=True) is not None


def test_a_later_day_never_knows_less() -> None:
    """Whatever was offered once is still there, perhaps at another price."""
    names: set[tuple[str, str]] = set()
    for day in sorted({row.day() for row in hardware_prices.rows()} - {None}, key=str):
        known = {
            (offer.row.provider, offer.row.instance.removeprefix("Standard_"))
            for offer in hardware_prices.current("on_demand", day)
        }
        assert names <= known
        names = known


# --- files of a user


def test_a_users_prices_join_the_list(tmp_path: Path) -> None:
    """Eight H100 at $16, $8 on spot: $2 and $1 each."""
    path = _file(tmp_path, MINE, "mine,cpus,CPU,0,16,0.80,,here,2026-11-01,my contract")
    assert len(hardware_prices.rows((path,))) == 192
    choices = CostChoices(provider="mine", hardware_price_files=(path,))
    found = hourly.rate(choices, environment([H100]), ON_GPU)
    assert found.usd_per_hour == pytest.approx(2.0)
    for word in ("mine box", "here", "2026-11-01", "grade B"):
        assert word in found.basis
    spot = hourly.rate(choices.model_copy(update={"price_kind": "spot"}), environment([H100]), ON_GPU)
    assert spot.usd_per_hour == pytest.approx(1.0)
    assert hourly.rate(choices, environment(cpus=4), facts()).usd_per_hour == pytest.approx(0.2)


def test_a_users_row_takes_the_place_of_the_lists_own(tmp_path: Path) -> None:
    """A newer price for the instance by which CPU machines are priced: $0.20 for four."""
    path = _file(tmp_path, "aws,c5.xlarge,CPU,0,4,0.20,,us-east-1,2026-11-02,AWS console")
    choices = CostChoices(hardware_price_files=(path,))
    assert hourly.rate(choices, environment(cpus=4), facts()).usd_per_hour == pytest.approx(0.20)
    before = choices.model_copy(update={"as_of": date(2026, 11, 1)})
    assert hourly.rate(before, environment(cpus=4), facts()).usd_per_hour == pytest.approx(0.17)


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    path = _file(tmp_path, MINE)
    assert offers(provider="mine", files=(path,))[0].usd_per_hour == 16
    _file(tmp_path, MINE.replace("16.00", "24.000"))
    assert offers(provider="mine", files=(path,))[0].usd_per_hour == 24


def test_optional_columns_may_be_there(tmp_path: Path) -> None:
    """In another order, with spaces, capitals, a byte order mark, CRLF and an empty line."""
    header = "Source, as_of ,accelerator,vcpus,instance,provider,usd_per_hour_spot,currency,quality,price_kind"
    path = tmp_path / "odd.csv"
    path.write_bytes(
        b"\xef\xbb\xbf" + f"{header}\r\n\r\nbill, 2026-01-02 ,CPU,4,box,mine,0.4,usd,A- (bill),spot\r\n".encode()
    )
    (offer,) = offers("spot", "CPU", "mine", files=(str(path),))
    assert offer.usd_per_unit_hour == pytest.approx(0.1)
    assert (offer.row.letter, offer.row.as_of) == ("A-", "2026-01-02")


TOMORROW = str(datetime.now(UTC).date() + timedelta(days=2))
CURRENCY = f"{HEADER},currency"

BAD_ROWS = [
    (HEADER.replace("as_of,", ""), "mine,box,H100,8,,16,,here,x", ":1: missing column as_of"),
    (HEADER.replace("provider,", ""), "box,H100,8,,16,,here,2026-11-01,x", ":1: missing column provider"),
    (HEADER.replace("accel_count,vcpus,", ""), "mine,box,H100,16,,here,2026-11-01,x", "column accel_count or vcpus"),
    (
        HEADER.replace("usd_per_hour_on_demand,usd_per_hour_spot,", ""),
        "mine,box,H100,8,,here,2026-11-01,x",
        ":1: missing column usd_per_hour_on_demand or usd_per_hour_spot",
    ),
    (HEADER.replace("region", "regoin"), MINE, ":1: unknown column 'regoin'; did you mean 'region'"),
    (HEADER.replace("region", "source"), MINE, ":1: column source stands there twice"),
    (HEADER.replace(",", ";"), MINE, ":1: columns are separated by ';'"),
    (HEADER, MINE.replace("16.00", "sixteen"), ":2: usd_per_hour_on_demand: not a number (got 'sixteen')"),
    (HEADER, MINE.replace("16.00", "$16"), ":2: usd_per_hour_on_demand: not a number (got '$16')"),
    (HEADER, MINE.replace("16.00", "NaN"), ":2: usd_per_hour_on_demand: must be a finite number"),
    (HEADER, MINE.replace("8.00", "inf"), ":2: usd_per_hour_spot: must be a finite number"),
    (HEADER, MINE.replace("16.00", "0"), ":2: usd_per_hour_on_demand: must be greater than 0"),
    (HEADER, MINE.replace("16.00", "-16"), ":2: usd_per_hour_on_demand: must be greater than 0"),
    (HEADER, MINE.replace("16.00,8.00", ","), ":2: usd_per_hour_on_demand: missing, and usd_per_hour_spot as well"),
    (HEADER, MINE.replace(",8,", ",8.5,"), ":2: accel_count: must be a whole number"),
    (HEADER, MINE.replace(",8,", ",-8,"), ":2: accel_count: must be a whole number"),
    (HEADER, MINE.replace(",8,", ",,"), ":2: accel_count: missing; how many NVIDIA H100 80GB does box have?"),
    (HEADER, "mine,box,CPU,0,,1,,here,2026-11-01,x", ":2: vcpus: missing for a CPU instance"),
    (HEADER, "mine,box,CPU,2,4,1,,here,2026-11-01,x", ":2: accel_count: must be 0 for a CPU instance"),
    (HEADER, MINE.replace("2026-11-01", TOMORROW), f":2: as_of: {TOMORROW} is in the future"),
    (HEADER, MINE.replace("2026-11-01", "01.11.2026"), ":2: as_of: must be a day, YYYY-MM-DD (got '01.11.2026')"),
    (HEADER, MINE.replace("2026-11-01", "2026-02-30"), ":2: as_of: must be a day"),
    (HEADER, MINE.replace("2026-11-01", "20261101"), ":2: as_of: must be a day"),
    (HEADER, MINE.replace("my contract", ""), ":2: source: missing"),
    (HEADER, MINE.replace("mine,", " ,"), ":2: provider: missing"),
    (HEADER, MINE + ",more", ":2: more fields (11) than columns (10)"),
    (HEADER, "mine,box", ":2: fewer fields (2) than columns (10)"),
    (HEADER, MINE + '\nmine,"box', ":3: broken CSV"),
    (CURRENCY, MINE + ",EUR", ":2: currency: must be USD (got 'EUR')"),
    (CURRENCY, f"{MINE},USD\n{MINE},EUR", ":3: currency: mixed currencies (EUR, USD)"),
    (CURRENCY, f"{MINE},\n{MINE},CHF", ":3: currency: mixed currencies (CHF, USD)"),
    (f"{HEADER},price_kind", MINE + ",on_demnd", ":2: price_kind: unknown kind 'on_demnd'; did you mean 'on_demand'"),
    (f"{HEADER},quality", MINE + ",good", ":2: quality: must begin with a grade"),
    (
        f"{HEADER},price_kind",
        MINE.replace(",8.00,", ",,") + ",spot",
        ":2: usd_per_hour_spot: missing; it is what a row",
    ),
    (f"{HEADER},price_kind", MINE.replace("16.00", "") + ",reserved_1yr", ":2: usd_per_hour_on_demand: missing; it is"),
    (HEADER, "", ": no rows"),
]


@pytest.mark.parametrize(("header", "lines", "words"), BAD_ROWS, ids=[words for _, _, words in BAD_ROWS])
def test_a_bad_file_is_one_line_with_file_line_and_column(tmp_path: Path, header: str, lines: str, words: str) -> None:
    path = _file(tmp_path, lines, header=header)
    with pytest.raises(InputError) as caught:
        hardware_prices.rows((path,))
    (line,) = caught.value.lines
    assert line.startswith(path)
    assert words in line


def test_what_is_no_csv_of_prices_is_refused(tmp_path: Path) -> None:
    """A directory, an empty file, another encoding, bytes, a device, a file that is too large to be a list."""
    latin, binary, empty, large = (tmp_path / name for name in ("latin.csv", "binary.csv", "empty.csv", "large.csv"))
    latin.write_bytes(f"{HEADER}\n{MINE.replace('contract', 'Verträge')}\n".encode("latin-1"))
    binary.write_bytes(b"\x00\x01\x02\n" * 100)
    empty.touch()
    with large.open("wb") as out:
        out.truncate(price_file.MAX_BYTES + 1)
    for path, words in (
        (tmp_path, "a directory"),
        (empty, "empty; its first line must name the columns: provider"),
        (latin, "not UTF-8"),
        (binary, ":1:"),
        (Path("/dev/zero"), "not a regular file"),
        (large, "at most 100,000 rows"),
        (tmp_path / "x" / "y.csv", "cannot be read"),
        (Path("a\0b"), "not a path"),
    ):
        with pytest.raises(InputError) as caught:
            hardware_prices.rows((str(path),))
        assert words in caught.value.lines[0]


def test_a_million_rows_are_refused_without_reading_them_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ends with the row that is one too many."""
    path = tmp_path / "million.csv"
    with path.open("w") as out:
        out.write(HEADER + "\n")
        for _ in range(1000):
            out.write((MINE + "\n") * 1000)
    seen = 0
    checked = price_file._checked

    def counting(*arguments: Any) -> Any:
        nonlocal seen
        seen += 1
        return checked(*arguments)

    monkeypatch.setattr(price_file, "_checked", counting)
    with pytest.raises(InputError, match=r"million\.csv: more than 100,000 rows"):
        hardware_prices.rows((str(path),))
    assert seen == 100_000


# --- the hourly rate

ON_GPU = facts(placement={"cuda:0": 16_000_000_000})
OWNED = Owned(capex_usd=31_000, financing_rate=0.10, life_years=4, power_kw=1.73, usd_per_kwh=0.083)


def test_a_stated_price_wins() -> None:
    """It is for the whole machine: not multiplied by anything."""
    two = facts(placement={"cuda:0": 1, "cuda:1": 1})
    found = hourly.rate(CostChoices(usd_per_hour=4.2, provider="aws"), environment([H100, H100]), two)
    assert (found.usd_per_hour, found.kind, found.as_of) == (4.2, "stated", None)
    assert "as stated" in found.basis


def test_an_owned_machine_comes_before_the_list() -> None:
    """About $1.26 an hour, with its parts in the sentence; the provider is not asked."""
    found = hourly.rate(CostChoices(owned=OWNED, provider="aws"), environment([H100]), ON_GPU)
    assert found.usd_per_hour == pytest.approx(1.26, abs=0.005)
    assert found.kind == "owned"
    for word in (
        "$1.26",
        "$1.1164 capital",
        "$31,000 over 4 years at 10%",
        "$0.1436 power",
        "1.73 kW",
        "available for 100%",
    ):
        assert word in found.basis


def test_stated_and_owned_contradict_each_other() -> None:
    with pytest.raises(InputError, match="usd_per_hour and owned contradict each other"):
        hourly.rate(CostChoices(usd_per_hour=2.0, owned=OWNED), environment([H100]), ON_GPU)


@pytest.mark.parametrize("cpus", [1, 2, 64])
def test_a_cpu_machine_defaults_to_vcpus_of_aws_c5_xlarge(cpus: int) -> None:
    """$0.17 for four vCPUs, times the CPUs that the run may use; the sentence says so, with date and way out."""
    found = hourly.rate(CostChoices(), environment(cpus=cpus), facts())
    assert found.usd_per_hour == pytest.approx(0.17 / 4 * cpus, rel=1e-12)
    assert found.as_of == date(2026, 9, 6)
    for word in (f"{cpus} CPUs", "aws c5.xlarge", "2026-09-06", "$0.17 for 4 vCPUs", "--usd-per-hour"):
        assert word in found.basis


def test_a_model_on_the_cpu_of_a_gpu_machine_pays_for_cpus() -> None:
    """What it was placed on counts, not what else the machine has."""
    found = hourly.rate(CostChoices(), environment([H100]), facts())
    assert found.usd_per_hour == pytest.approx(0.17)


def test_a_gpu_defaults_to_the_median_offer() -> None:
    """One H100: the lower median of dated offers of grade A and B; number, range, part and date are said."""
    found = hourly.rate(CostChoices(), environment([H100]), ON_GPU)
    each = sorted(
        offer.usd_per_unit_hour for offer in offers("on_demand", H100) if offer.day and offer.row.grade[0] in "AB"
    )
    assert found.usd_per_hour == each[(len(each) - 1) // 2]
    words = (
        "1 × NVIDIA H100 80GB HBM3",
        "listed as",
        f"{len(each)} offers from ${each[0]:.2f} to ${each[-1]:.2f} each",
    )
    for word in (*words, "as of 2026-", "grade ", "--usd-per-hour"):
        assert word in found.basis


def test_two_gpus_cost_twice_one() -> None:
    """As many as hold weights; idle ones are not charged."""
    one = hourly.rate(CostChoices(), environment([H100, H100]), ON_GPU).usd_per_hour
    both = facts(placement={"cuda:0": 1, "cuda:1": 1, "cpu": 1})
    assert hourly.rate(CostChoices(), environment([H100, H100]), both).usd_per_hour == pytest.approx(2 * one)


def test_unlike_devices_are_added() -> None:
    """An H100 and a T4, each at the median of its own offers; the older date is the rate's."""
    t4 = Accelerator(name="Tesla T4", memory_bytes=15_800_000_000)
    both = facts(placement={"cuda:0": 1, "cuda:1": 1})
    found = hourly.rate(CostChoices(), environment([H100, t4]), both)
    apart = [hourly.for_part(name, 1, CostChoices()) for name in ("H100", "T4")]
    assert found.usd_per_hour == pytest.approx(sum(one.usd_per_hour for one in apart))
    assert found.as_of == min(one.as_of for one in apart if one.as_of is not None)
    assert " + 1 × Tesla T4" in found.basis


def test_the_device_that_holds_the_weights_is_the_one_priced() -> None:
    """cuda:1 beside a cheap cuda:0."""
    cheap = Accelerator(name="Tesla T4", memory_bytes=15_800_000_000)
    on_second = facts(placement={"cuda:1": 16_000_000_000})
    found = hourly.rate(CostChoices(), environment([cheap, H100]), on_second)
    assert found.usd_per_hour == hourly.rate(CostChoices(), environment([H100]), ON_GPU).usd_per_hour
    assert H100.name in found.basis


def test_a_provider_names_its_own_offer() -> None:
    """Crusoe's H100, not the market's median; what is doubtful about it is said."""
    choices = CostChoices(provider="crusoe", as_of=NOVEMBER)
    found = hourly.rate(choices, environment([H100]), ON_GPU)
    assert found.usd_per_hour == pytest.approx(3.9)
    assert "crusoe" in found.basis
    assert found.flags == ("older than 90 days", "without its CPUs")
    assert "[older than 90 days, without its CPUs]" in found.basis


def test_a_provider_without_dates_is_believed_with_a_flag() -> None:
    """Nebius has one row of the H100, undated: $2.95. In a replay it has none."""
    found = hourly.rate(CostChoices(provider="nebius"), environment([H100]), ON_GPU)
    assert found.usd_per_hour == pytest.approx(2.95)
    assert (found.as_of, found.flags) == (None, ("undated",))
    with pytest.raises(InputError, match="only undated or weak ones of nebius; give --usd-per-hour"):
        hourly.rate(CostChoices(provider="nebius", as_of=NOVEMBER), environment([H100]), ON_GPU)


@pytest.mark.parametrize(
    ("overhead", "availability", "factor"), [(0.0, 1.0, 1.0), (0.10, 1.0, 1.1), (0.0, 0.8, 1.25), (0.2, 0.6, 2.0)]
)
def test_spot_pays_for_interruptions(overhead: float, availability: float, factor: float) -> None:
    """R·(1 + overhead) / availability on Crusoe's $1.60; the figures stand in the sentence."""
    choices = CostChoices(provider="crusoe", price_kind="spot", spot_overhead=overhead, spot_availability=availability)
    found = hourly.rate(choices, environment([H100]), ON_GPU)
    assert found.usd_per_hour == pytest.approx(1.60 * factor, rel=1e-12)
    assert found.kind == "spot"
    for word in (
        "on spot",
        f"{overhead * 100:g}% of the work is done twice",
        f"{availability * 100:g}% of the paid time",
    ):
        assert word in found.basis


@pytest.mark.parametrize(("overhead", "availability"), [(0.0, 1.0), (0.10, 0.5), (0.0, 0.8), (0.2, 0.6)])
def test_the_rate_of_a_serving_hour_is_the_bill_of_all_hours(overhead: float, availability: float) -> None:
    """Of Crusoe's $1.60 an hour, every hour is paid and availability / (1 + overhead) of them serve."""
    choices = CostChoices(provider="crusoe", price_kind="spot", spot_overhead=overhead, spot_availability=availability)
    found = hourly.rate(choices, environment([H100]), ON_GPU)
    assert found.served_share == pytest.approx(availability / (1 + overhead), rel=1e-12)
    assert found.usd_per_hour * found.served_share == pytest.approx(1.60, rel=1e-12)
    assert hourly.for_part("H100", 2, choices).served_share == found.served_share


def test_an_owned_machine_serves_while_it_is_available_and_a_rented_one_always() -> None:
    """$8,760 over one year is $1 an hour of the calendar, whatever its availability; every other kind serves always."""
    for availability in (1.0, 0.8):
        machine = Owned(capex_usd=8760, life_years=1, availability=availability)
        choices = CostChoices(owned=machine, spot_overhead=0.1, spot_availability=0.5)
        found = {one.kind: one for one in hourly.alternatives(choices, environment([H100]), ON_GPU)}
        assert found["owned"].served_share == availability
        assert found["owned"].usd_per_hour * found["owned"].served_share == pytest.approx(1.0, rel=1e-12)
        assert found["spot"].served_share == pytest.approx(0.5 / 1.1, rel=1e-12)
        others = [one.served_share for kind, one in found.items() if kind not in ("owned", "spot")]
        assert others == [1.0] * 5
    stated = hourly.rate(CostChoices(usd_per_hour=2.0, spot_availability=0.5), environment([H100]), ON_GPU)
    assert stated.served_share == 1.0


@unhurried
@given(st.sampled_from(["H100", "A100 80GB", "L4", "T4", "CPU", "MI300X"]), st.integers(1, 64))
def test_the_rate_is_proportional_to_the_number_of_parts(name: str, count: int) -> None:
    one, many = (hourly.for_part(name, number, CostChoices()) for number in (1, count))
    assert many.usd_per_hour == pytest.approx(count * one.usd_per_hour, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "alike"),
    [
        ("H100", "NVIDIA H100 80GB"),
        ("nvidia h100 sxm 80gb", "H100"),
        ("NVIDIA B200 SXM 180GB", "B200"),
        ("NVIDIA GB200 NVL72 (per GPU)", "GB200"),
        ("AMD MI300X", "MI300X"),
        ("Google TPU v5e", "TPU v5e"),
    ],
)
def test_a_part_has_one_price_by_any_of_its_names(name: str, alike: str) -> None:
    one, other = hourly.for_part(name, 1, CostChoices()), hourly.for_part(alike, 1, CostChoices())
    assert one.usd_per_hour == other.usd_per_hour > 0


def test_a_part_by_name_is_not_priced_as_the_machine_at_hand() -> None:
    """A stated or owned rate is of another machine."""
    plain = hourly.for_part("H100", 2, CostChoices())
    assert hourly.for_part("H100", 2, CostChoices(usd_per_hour=0.01)).usd_per_hour == plain.usd_per_hour
    assert hourly.for_part("H100", 2, CostChoices(owned=OWNED)).usd_per_hour == plain.usd_per_hour


@pytest.mark.parametrize(
    ("name", "choices", "words"),
    [
        ("H10O", CostChoices(), "does not know 'H10O'; did you mean 'H100'"),
        ("Gaudi 2", CostChoices(), "does not know 'Gaudi 2'"),
        ("A100", CostChoices(), "'A100 40GB' or 'A100 80GB'"),
        (
            "B300",
            CostChoices(),
            "no dated price of grade A or B for B300, only weaker ones of aws: name one with --provider",
        ),
        (
            "MI325X",
            CostChoices(),
            "no on-demand price for MI325X, but reserved and analyst ones (--price-kind reserved)",
        ),
        ("RTX 5090", CostChoices(), "no row for RTX 5090; give --usd-per-hour"),
        ("L4", CostChoices(provider="hf-spaces"), "no on-demand price of hf-spaces for L4, but managed ones"),
        ("CPU", CostChoices(provider="lambda"), "no CPU instance of lambda; give --usd-per-hour"),
        ("H100", CostChoices(as_of=date(2026, 1, 1)), "on or before 2026-01-01; the first is of 2026-08-19 (crusoe"),
        (
            "CPU",
            CostChoices(as_of=date(2026, 9, 5)),
            "no price for CPU on or before 2026-09-05; the first is of 2026-09-06",
        ),
        ("H100", CostChoices(price_kind="reserved", as_of=date(2026, 4, 2)), "no reserved price for H100 on or before"),
    ],
)
def test_a_part_without_a_price_names_the_way_out(name: str, choices: CostChoices, words: str) -> None:
    with pytest.raises(InputError) as caught:
        hourly.for_part(name, 1, choices)
    (line,) = caught.value.lines
    assert words in line


def test_less_than_one_device_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        hourly.for_part("H100", 0, CostChoices())


@pytest.mark.parametrize(
    ("choices", "device", "words"),
    [
        (CostChoices(), Accelerator(name="Frobnicator 9000", memory_bytes=10**10), "Frobnicator 9000"),
        (CostChoices(provider="digitalocean"), Accelerator(name="Tesla T4"), "of digitalocean for Tesla T4"),
    ],
)
def test_an_unknown_device_names_the_way_out(choices: CostChoices, device: Accelerator, words: str) -> None:
    """No guess: the price has to be stated."""
    with pytest.raises(InputError, match="--usd-per-hour") as caught:
        hourly.rate(choices, environment([device]), ON_GPU)
    assert words in caught.value.lines[0]


def test_a_gpu_that_the_record_does_not_name_has_no_price() -> None:
    """Weights on cuda:0, and no device in the environment."""
    with pytest.raises(InputError, match="--usd-per-hour"):
        hourly.rate(CostChoices(), environment(), ON_GPU)


# --- rental against reserved, spot and owned


def test_every_kind_of_price_for_the_machine_at_hand() -> None:
    """An H100, worked out from the list: each kind once, with date, and the doubts of each."""
    choices = CostChoices(usd_per_hour=2.0, owned=OWNED)
    found = {one.kind: one for one in hourly.alternatives(choices, environment([H100]), ON_GPU)}
    assert list(found) == ["stated", "owned", "on_demand", "spot", "reserved", "managed", "serverless", "analyst"]
    expected = {"stated": 2.0, "reserved": 1.30, "managed": 10.0, "serverless": 4.176, "analyst": 1.30}
    for kind, usd in expected.items():
        assert found[kind].usd_per_hour == pytest.approx(usd), kind  # type: ignore[index]
    assert found["owned"].usd_per_hour == pytest.approx(1.26, abs=0.005)
    assert found["spot"].usd_per_hour < found["on_demand"].usd_per_hour
    assert found["serverless"].as_of is None
    for kind in ("reserved", "analyst"):
        assert "analyst estimate" in found[kind].flags  # type: ignore[index]
        assert "analyst estimate" in found[kind].basis  # type: ignore[index]


def test_a_reserved_price_of_a_seller_comes_before_an_analysts(tmp_path: Path) -> None:
    header = f"{HEADER},price_kind"
    path = _file(tmp_path, MINE.replace(",8.00,", ",,") + ",reserved_1yr", header=header)
    choices = CostChoices(hardware_price_files=(path,))
    found = {one.kind: one for one in hourly.alternatives(choices, environment([H100]), ON_GPU)}
    assert found["reserved"].usd_per_hour == pytest.approx(2.0)
    assert "mine box (reserved_1yr)" in found["reserved"].basis


def test_kinds_that_nobody_offers_are_left_out() -> None:
    """A CPU machine has no reserved, serverless or analyst's price; an unknown device none at all."""
    kinds = [one.kind for one in hourly.alternatives(CostChoices(), environment(), facts())]
    assert kinds == ["on_demand", "spot", "managed"]
    unknown = environment([Accelerator(name="Frobnicator 9000")])
    assert hourly.alternatives(CostChoices(), unknown, ON_GPU) == []
    assert [one.kind for one in hourly.alternatives(CostChoices(usd_per_hour=1), unknown, ON_GPU)] == ["stated"]


def test_a_named_provider_is_asked_first_and_then_anybody() -> None:
    found = {one.kind: one for one in hourly.alternatives(CostChoices(provider="crusoe"), environment([H100]), ON_GPU)}
    assert found["on_demand"].usd_per_hour == pytest.approx(3.9)
    assert found["spot"].usd_per_hour == pytest.approx(1.6)
    assert found["managed"].usd_per_hour == pytest.approx(10.0)


def test_ten_thousand_rates_are_looked_up_and_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list is searched once for each device: later rates match no name."""
    where = environment([H100])
    hourly.rate(CostChoices(), where, ON_GPU)

    def searched(*_: Any) -> bool:
        raise AssertionError("searched again")

    monkeypatch.setattr(hardware_prices, "_same_part", searched)
    for _ in range(1000):
        hourly.rate(CostChoices(), where, ON_GPU)


# --- the command


def _json(*arguments: str | Path) -> dict[str, Any]:
    done = bench("prices", "hardware", "--format", "json", *arguments)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_the_command_lists_filters_sorts_and_limits() -> None:
    """H100 on spot, cheapest first, three of all."""
    whole = _json("--accelerator", "h100", "--kind", "spot", "--sort", "price", "--limit", "3", "--as-of", "2026-11-22")
    each = [one["usd_per_unit_hour_spot"] for one in whole["offers"]]
    # Crusoe $1.60; CoreWeave 19.71 / 8; GCP $6.571. Those with an undated spot price have no place in a replay.
    assert each == pytest.approx([1.60, 2.46375, 6.571])
    (line,) = whole["summary"]
    assert (line["offers"], line["price"], line["unit"]) == (3, "spot", "device")
    assert line["median_usd_per_unit_hour"] == pytest.approx(2.46375)
    assert whole["offers"][0]["flags"] == ["older than 90 days", "without its CPUs"]
    assert whole["offers"][0]["source_license"] == "MPL-2.0"
    assert whole["offers"][2]["source"].endswith("(GCP Billing Catalog)")


def test_the_commands_table_has_sources_and_a_summary() -> None:
    done = bench("prices", "hardware", "--provider", "aws", "--region", "us-east-1", "--grade", "A", "--sort", "date")
    assert done.returncode == 0, done.stderr
    for word in ("p5.48xlarge", "6.88", "[1] PyPI chimeraforge", "prices by the device: min $", "median $", "undated"):
        assert word in done.stdout
    assert done.stdout.index("2026-10-01") < done.stdout.index("undated")
    assert "c5.xlarge" not in done.stdout  # grade B
    md = bench(
        "prices", "hardware", "--accelerator", "CPU", "--provider", "gcp", "--format", "md", "--limit", "2"
    ).stdout
    assert md.startswith("| accelerator")
    assert "the first 2 of 9 rows" in md


def test_what_the_command_writes_as_csv_can_be_read_as_a_file(tmp_path: Path) -> None:
    """Lambda's rows come back as they are, under another provider's name."""
    done = bench("prices", "hardware", "--provider", "lambda", "--format", "csv")
    lines = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(lines) == 5
    path = tmp_path / "again.csv"
    path.write_text(done.stdout.replace("\nlambda,", "\nagain,"))
    again = _json("--provider", "again", "--file", path)
    assert [one["usd_per_hour_on_demand"] for one in again["offers"]] == [
        float(one["usd_per_hour_on_demand"]) for one in lines
    ]
    assert [one["source_ref"] for one in again["offers"]] == [one["source_ref"] for one in lines]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--kind", "spott"), "--kind: unknown value 'spott'; did you mean 'spot'"),
        (("--grade", "D"), "--grade: unknown value 'D'"),
        (("--sort", "prize"), "--sort: unknown value 'prize'; did you mean 'price'"),
        (("--format", "xml"), "--format: unknown value 'xml'"),
        (("--limit", "0"), "--limit: must be at least 1"),
        (("--provider", "azur"), "--provider: unknown provider 'azur'"),
        (("--accelerator", "H10O"), "--accelerator: no price for 'H10O'; did you mean 'H100'"),
        (("--region", "useast1"), "--region: unknown region 'useast1'; did you mean"),
        (("--as-of", "yesterday"), "--as-of: must be a day"),
        (("--as-of", "2999-01-01"), "--as-of: 2999-01-01 is in the future"),
        (("--as-of", "2024-12-22"), "on or before 2024-12-22; the first is of 2024-12-23 (gcp TPU v5e"),
        (("--file", "nowhere.csv"), "--file: nowhere.csv: cannot be read"),
        (("--accelerator", "T4", "--kind", "serverless"), "no row of the price list fits T4 together"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_bad_option_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = bench("prices", "hardware", *arguments)
    refused(done, words)
    assert len(done.stderr.splitlines()) == 1


def test_a_bad_file_reaches_the_command_as_one_line(tmp_path: Path) -> None:
    path = _file(tmp_path, MINE.replace("16.00", "nan"))
    done = bench("prices", "hardware", "--file", path)
    refused(done, f"--file: {path}:2: usd_per_hour_on_demand: must be a finite number")
    assert len(done.stderr.splitlines()) == 1
