"""How prices are written in a user's file: plain decimal numbers, because any other reading would be a guess."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import price_file
from bench.errors import InputError

HEADER = "provider,instance,accelerator,accel_count,usd_per_hour_on_demand,usd_per_hour_spot,mem_gib,as_of,source"


def read(folder: Path, on_demand: str, spot: str = "", mem_gib: str = "") -> price_file.HardwarePrice:
    path = folder / "mine.csv"
    path.write_text(f"{HEADER}\nmine,box,H100,8,{on_demand},{spot},{mem_gib},2026-11-01,bill\n", encoding="utf-8")
    (row,) = price_file.read(price_file.stamp(str(path)))
    price_file.read.cache_clear()
    return row


@pytest.mark.parametrize("text", ["1_0", "1_6.0_0", "１６.00", "١٦", "1e1", "+16", "0x10", "16٫5"])
def test_what_is_no_plain_number_is_refused(tmp_path: Path, text: str) -> None:
    """Python would read 1_0 and full-width digits as numbers."""
    for place in ("on_demand", "spot", "mem_gib"):
        with pytest.raises(InputError) as caught:
            read(tmp_path, **{"on_demand": "16", place: text})
        (line,) = caught.value.lines
        assert line.startswith(f"{tmp_path / 'mine.csv'}:2: ")
        assert place in line
        assert f"(got {text!r})" in line


@pytest.mark.parametrize(("text", "usd"), [("16", 16.0), ("16.", 16.0), (".5", 0.5), ("0016.50", 16.5), (" 2.5 ", 2.5)])
def test_plain_numbers_are_read(tmp_path: Path, text: str, usd: float) -> None:
    assert read(tmp_path, text).usd_per_hour == usd


@given(st.decimals("0.0001", "99999", places=4))
@settings(deadline=None, max_examples=60)
def test_every_decimal_comes_back(tmp_path_factory: pytest.TempPathFactory, usd: object) -> None:
    assert read(tmp_path_factory.mktemp("prices"), f"{usd:f}").usd_per_hour == float(str(usd))


def test_days_have_plain_digits(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(f"{HEADER}\nmine,box,H100,8,16,,,２０２６-11-01,bill\n", encoding="utf-8")
    with pytest.raises(InputError, match="as_of: must be a day"):
        price_file.read(price_file.stamp(str(path)))
