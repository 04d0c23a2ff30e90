"""From seconds and an hourly rate to dollars, and whose hourly rate it is."""

import csv
import re
from dataclasses import replace
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.cost import hardware_prices, hourly
from bench.cost.dollars import MTOK, bill_usd, break_even_utilisation, per_mtok, split
from bench.errors import InputError
from bench.schema import Accelerator, CostChoices
from tests.samples import H100, environment, facts

unhurried = settings(deadline=None, max_examples=60)
prices = st.floats(min_value=1e-4, max_value=1e4)
seconds = st.floats(min_value=1e-6, max_value=1e6)
shares = st.floats(min_value=0.01, max_value=1.0)
counts = st.integers(min_value=1, max_value=10_000_000)


# --- dollars -----------------------------------------------------------------------------------------------------


def test_a_thousand_tokens_a_second_at_three_sixty_an_hour() -> None:
    """$0.001 a second for 1000 tokens is $1.00 a million."""
    assert per_mtok(bill_usd(3.6, 1.0, 1.0), 1000) == pytest.approx(1.0, rel=1e-12)


@unhurried
@given(prices, seconds, shares)
def test_twice_the_price_is_twice_the_bill(price: float, time: float, share: float) -> None:
    """And twice the time as well."""
    once = bill_usd(price, time, share)
    assert bill_usd(2 * price, time, share) == pytest.approx(2 * once, rel=1e-12)
    assert bill_usd(price, 2 * time, share) == pytest.approx(2 * once, rel=1e-12)


@unhurried
@given(prices, seconds, shares)
def test_half_the_utilisation_doubles_the_bill(price: float, time: float, share: float) -> None:
    """Idle hours are paid for by the tokens of the busy ones."""
    assert bill_usd(price, time, share / 2) == pytest.approx(2 * bill_usd(price, time, share), rel=1e-12)


@unhurried
@given(prices, st.floats(min_value=0.0, max_value=0.999), counts, counts)
def test_the_parts_add_up_to_the_bill(bill: float, prefill: float, prompt: int, new: int) -> None:
    """Price of input × its tokens + price of output × its tokens, and the blended price × all of them."""
    parts = split(bill, prefill, prompt, new)
    assert parts.input_usd_per_mtok is not None
    assert parts.output_usd_per_mtok is not None
    total = (parts.input_usd_per_mtok * prompt + parts.output_usd_per_mtok * new) / MTOK
    assert total == pytest.approx(bill, rel=1e-12)
    assert parts.blended_usd_per_mtok * (prompt + new) / MTOK == pytest.approx(bill, rel=1e-12)


@unhurried
@given(prices, counts, counts)
def test_a_batch_without_decode_has_no_split(bill: float, prompt: int, new: int) -> None:
    """All of the time is prefill: there is a bill, and nothing by which to attribute a part to output."""
    parts = split(bill, 1.0, prompt, new)
    assert (parts.input_usd_per_mtok, parts.output_usd_per_mtok) == (None, None)
    assert parts.blended_usd_per_mtok * (prompt + new) / MTOK == pytest.approx(bill, rel=1e-12)


@unhurried
@given(prices, prices)
def test_break_even_times_the_api_is_the_own_cost(own: float, api: float) -> None:
    """At that utilisation both cost the same; where even full load is dearer there is none."""
    share = break_even_utilisation(own, api)
    if own > api:
        assert share is None
    else:
        assert share is not None
        assert 0 < share <= 1
        assert share * api == pytest.approx(own, rel=1e-12)


def test_a_free_api_is_never_beaten() -> None:
    """No division by zero, no break-even."""
    assert break_even_utilisation(0.001, 0.0) is None


# --- the price list ----------------------------------------------------------------------------------------------


def _raw() -> list[dict[str, str]]:
    text = files("bench.data").joinpath(hardware_prices.LIST).read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_every_line_of_the_list_is_a_row_with_a_source() -> None:
    """Nothing is dropped on reading; a price without a source is a rumour."""
    raw, rows = _raw(), hardware_prices.rows()
    assert len(rows) == len(raw) > 100
    for line, row in zip(raw, rows, strict=True):
        assert None not in line, f"too many fields: {line}"
        assert row.provider
        assert row.instance
        assert row.accelerator
        assert row.source.strip(), f"{row.provider} {row.instance}: no source"
        assert row.as_of, f"{row.provider} {row.instance}: no date"
        assert row.grade[:1] in "ABC"
        assert row.usd_per_hour is None or row.usd_per_hour > 0
        assert row.units >= 1


def test_only_dated_list_prices_of_good_grade_are_a_default() -> None:
    """No analyst's estimate, no grade C, no undated row, whatever is detected; told from the raw fields."""
    refused = [
        row
        for row in hardware_prices.rows()
        if row.kind != "list_on_demand" or row.grade.startswith("C") or not re.fullmatch(r"\d{4}-\d\d-\d\d", row.as_of)
    ]
    assert any("SemiAnalysis" in row.provider for row in refused)
    assert any(row.grade.startswith("C") for row in refused)
    assert any("undated" in row.as_of for row in refused)
    offered = 0
    for name in {row.accelerator for row in hardware_prices.rows() if row.accelerators}:
        found = hardware_prices.for_accelerator(Accelerator(name=name), None)
        offered += len(found)
        assert not set(found) & set(refused), name
    assert offered > 50
    assert not set(hardware_prices.for_cpu(None)) & set(refused)


@pytest.mark.parametrize(
    ("change", "fit"),
    [
        ({}, True),
        ({"grade": "A- (vendor docs)"}, True),
        ({"grade": "C (one weak source)"}, False),
        ({"as_of": "undated snapshot"}, False),
        ({"as_of": "2026-08 survey"}, False),
        ({"kind": "tco_own_neocloud"}, False),
        ({"kind": "managed_endpoint"}, False),
        ({"usd_per_hour": None}, False),
    ],
)
def test_each_flaw_alone_rules_a_row_out(change: dict[str, Any], fit: bool) -> None:
    """A default must have a price, a date, a list behind it and a good grade."""
    (good,) = hardware_prices.for_cpu(None)
    assert good.comparable()
    assert replace(good, **change).comparable() is fit


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
    found = hardware_prices.for_accelerator(Accelerator(name=name, memory_bytes=int(memory_bytes)), None)
    assert found
    assert {row.accelerator for row in found} <= listed


def test_a_40_gb_a100_is_not_priced_as_an_80_gb_one() -> None:
    """a2-ultragpu and NC24ads hold the 80 GB part (Google's and Azure's documentation), whatever the row leaves out."""
    found = hardware_prices.for_accelerator(
        Accelerator(name="NVIDIA A100-SXM4-40GB", memory_bytes=42_400_000_000), None
    )
    instances = {row.instance for row in found}
    assert "p4d.24xlarge" in instances
    assert not instances & {"p4de.24xlarge", "a2-ultragpu-1g", "NC24ads_A100_v4"}


@pytest.mark.parametrize(
    ("name", "memory_bytes"),
    [
        ("NVIDIA GH200 144G HBM3e", 151.0e9),
        ("NVIDIA L40", 48.3e9),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", 17.2e9),
        ("NVIDIA H20", 102.0e9),
    ],
)
def test_a_part_that_sounds_alike_is_another(name: str, memory_bytes: float) -> None:
    """GH200 is not H200, L40 is not L40S: no row at all rather than a wrong one."""
    assert hardware_prices.for_accelerator(Accelerator(name=name, memory_bytes=int(memory_bytes)), None) == ()


def test_offers_stand_from_cheap_to_dear_and_the_middle_is_a_real_one() -> None:
    """By the price of one device, not of the instance."""
    found = hardware_prices.for_accelerator(H100, None)
    each = [row.usd_per_unit_hour() or 0.0 for row in found]
    assert len(each) > 5
    assert each == sorted(each)
    assert hardware_prices.middle(found) in found
    assert hardware_prices.middle(found[:1]) == found[0]
    assert hardware_prices.middle(found[:4]) == found[1]


def test_an_instance_of_eight_is_priced_by_the_device() -> None:
    """aws p5.48xlarge: $55.04 for eight H100."""
    found = hardware_prices.for_accelerator(H100, "aws")
    whole = [row for row in found if row.instance == "p5.48xlarge" and row.as_of == "2026-10-01"]
    assert [row.usd_per_unit_hour() for row in whole] == [pytest.approx(55.04 / 8)]
    assert {row.provider for row in found} == {"aws"}


def test_an_unknown_provider_is_answered_with_the_nearest() -> None:
    """A slip of the finger is not an empty list."""
    hardware_prices.check_provider("aws")
    with pytest.raises(InputError, match=r"unknown provider 'azur'.*did you mean 'azure'"):
        hardware_prices.check_provider("azur")


# --- the hourly rate ---------------------------------------------------------------------------------------------

ON_GPU = facts(placement={"cuda:0": 16_000_000_000})


def test_a_stated_price_wins() -> None:
    """It is for the whole machine: not multiplied by anything."""
    two = facts(placement={"cuda:0": 1, "cuda:1": 1})
    found = hourly.rate(CostChoices(usd_per_hour=4.2, provider="aws"), environment([H100, H100]), two)
    assert found.usd_per_hour == 4.2
    assert "as stated" in found.basis


@pytest.mark.parametrize("cpus", [1, 2, 64])
def test_a_cpu_machine_defaults_to_vcpus_of_aws_c5_xlarge(cpus: int) -> None:
    """$0.17 for four vCPUs, times the CPUs that the run may use; the sentence says so, with date and way out."""
    found = hourly.rate(CostChoices(), environment(cpus=cpus), facts())
    assert found.usd_per_hour == pytest.approx(0.17 / 4 * cpus, rel=1e-12)
    for word in (f"{cpus} CPUs", "aws c5.xlarge", "2026-09-06", "$0.17 for 4 vCPUs", "--usd-per-hour"):
        assert word in found.basis


def test_a_model_on_the_cpu_of_a_gpu_machine_pays_for_cpus() -> None:
    """What it was placed on counts, not what else the machine has."""
    found = hourly.rate(CostChoices(), environment([H100]), facts())
    assert found.usd_per_hour == pytest.approx(0.17)


def test_a_gpu_defaults_to_the_median_offer() -> None:
    """One H100: a price between the cheapest and the dearest, which are both said."""
    found = hourly.rate(CostChoices(), environment([H100]), ON_GPU)
    offers = [row.usd_per_unit_hour() or 0.0 for row in hardware_prices.for_accelerator(H100, None)]
    assert offers[0] < found.usd_per_hour < offers[-1]
    for word in ("1 × NVIDIA H100 80GB HBM3", f"${offers[0]:.2f}", f"${offers[-1]:.2f}", "--usd-per-hour"):
        assert word in found.basis


def test_two_gpus_cost_twice_one() -> None:
    """As many as hold weights; idle ones are not charged."""
    one = hourly.rate(CostChoices(), environment([H100, H100]), ON_GPU).usd_per_hour
    both = facts(placement={"cuda:0": 1, "cuda:1": 1, "cpu": 1})
    assert hourly.rate(CostChoices(), environment([H100, H100]), both).usd_per_hour == pytest.approx(2 * one)


def test_the_device_that_holds_the_weights_is_the_one_priced() -> None:
    """cuda:1 beside a cheap cuda:0."""
    cheap = Accelerator(name="Tesla T4", memory_bytes=15_800_000_000)
    on_second = facts(placement={"cuda:1": 16_000_000_000})
    found = hourly.rate(CostChoices(), environment([cheap, H100]), on_second)
    assert found.usd_per_hour == hourly.rate(CostChoices(), environment([H100]), ON_GPU).usd_per_hour
    assert H100.name in found.basis


def test_a_provider_names_its_own_offer() -> None:
    """runpod's H100, not the market's median."""
    found = hourly.rate(CostChoices(provider="crusoe"), environment([H100]), ON_GPU)
    assert found.usd_per_hour == pytest.approx(3.9)
    assert "crusoe" in found.basis


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


def test_a_provider_without_cpu_instances_names_the_way_out() -> None:
    """lambda rents GPUs only."""
    with pytest.raises(InputError, match="no CPU instance of lambda; give --usd-per-hour"):
        hourly.rate(CostChoices(provider="lambda"), environment(), facts())


def test_a_gpu_that_the_record_does_not_name_has_no_price() -> None:
    """Weights on cuda:0, and no device in the environment."""
    with pytest.raises(InputError, match="--usd-per-hour"):
        hourly.rate(CostChoices(), environment(), ON_GPU)


def test_a_slice_of_a_device_has_no_price() -> None:
    """A seventh of an H100 must not be billed as a whole one."""
    part = Accelerator(name="NVIDIA H100 80GB HBM3 MIG 1g.10gb", memory_bytes=10_000_000_000)
    assert hardware_prices.for_accelerator(part, None) == ()
