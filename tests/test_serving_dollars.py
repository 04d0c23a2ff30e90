"""Dollars of cells under load, against arithmetic by hand: the hour, the objective, the sleep, the APIs, the bill."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from bench.cost import api_prices, serving
from bench.cost.api_prices import ApiModel
from bench.cost.billed import bill_estimate, probe_tokens
from bench.cost.duty import Duty
from bench.cost.hourly import HourlyRate
from bench.cost.mix import Mix, Mixing, Sums, bounds_of
from bench.cost.serving import Rates, allowance, machine_of
from bench.cost.tariff import Tariff, Tier
from bench.errors import InputError
from bench.metrics.serving.slo import parse
from bench.metrics.statistics import Estimate
from bench.report.serving import plain
from bench.report.serving.render import render_serving
from bench.report.serving.row import ServingDollars, ServingRow
from bench.report.serving.rows import serving_rows
from bench.schema import Capabilities, CostChoices, Lengths, Owned, Ramp, Request, ServerFacts, Traffic, Until
from tests.samples import H100, environment
from tests.serving_samples import CACHED, INPUT, OUTPUT, requests, served, served_cell

GROQ = "groq/llama-3.1-8b-instant"
NANO = "openai/gpt-5-nano"
USD_PER_S = 0.001
"""At $3.60 an hour."""


def _choices(**given: object) -> CostChoices:
    return CostChoices.model_validate({"usd_per_hour": 3.6, "apis": (GROQ,), **given})


def _row(folder: Path, choices: CostChoices, streams: int = 4, slo: str = "", **record: object) -> ServingRow:
    one = served(folder, cell=served_cell(streams), **record)  # type: ignore[arg-type]
    (found,) = serving_rows([one], folder, choices, tuple(parse(text) for text in slo.split()))
    return found


def _dollars(row: ServingRow) -> ServingDollars:
    assert row.dollars is not None, row.no_dollars_because
    return row.dollars


# --- the hour of a machine


def test_a_steady_rate_makes_the_dollars_that_one_works_out_by_hand(tmp_path: Path) -> None:
    """Four streams: 32 output and 200 prompt tokens, and two requests a second."""
    of = _dollars(_row(tmp_path, _choices()))
    assert of.at is not None
    assert of.at.blended_usd_per_mtok.value == pytest.approx(USD_PER_S * 1e6 / 232)
    assert of.at.all_in_usd_per_mtok_output.value == pytest.approx(USD_PER_S * 1e6 / 32)
    assert of.at.usd_per_1000_requests.value == pytest.approx(0.5)
    assert of.usd_per_mtok == of.at.blended_usd_per_mtok


@pytest.mark.parametrize("ratio", [1.0, 4.0, 7.5])
@pytest.mark.parametrize("utilisation", [1.0, 0.25])
def test_the_parts_add_up_to_the_bill(tmp_path: Path, ratio: float, utilisation: float) -> None:
    choices = _choices(attribution="ratio", price_ratio=ratio, utilisation=utilisation)
    of = _dollars(_row(tmp_path, choices)).at
    assert of is not None
    assert of.input_usd_per_mtok is not None
    assert of.cached_usd_per_mtok is not None
    assert of.output_usd_per_mtok is not None
    parts = (
        (INPUT - CACHED) * of.input_usd_per_mtok.value
        + CACHED * of.cached_usd_per_mtok.value
        + OUTPUT * of.output_usd_per_mtok.value
    ) / 1e6
    assert parts == pytest.approx(USD_PER_S / 2 / utilisation, rel=1e-12)  # two requests a second
    assert of.output_usd_per_mtok.value == pytest.approx(ratio * of.input_usd_per_mtok.value)


def test_twice_the_price_is_twice_every_dollar_and_the_interval_turns_around() -> None:
    rates = Rates(Estimate(1000.0, 900.0, 1200.0, 3), Estimate(200.0, 180.0, 240.0, 3), Estimate(2.0, 1.8, 2.4, 3))
    mix = Sums(10, 4000, 0, 1000)
    one, two = (serving.prices(rates, mix, usd, 1.0, 4.0) for usd in (3.6, 7.2))
    assert two.blended_usd_per_mtok.value == 2 * one.blended_usd_per_mtok.value
    assert one.blended_usd_per_mtok.low == pytest.approx(1000 / 1200)
    assert one.blended_usd_per_mtok.high == pytest.approx(1000 / 900)
    assert one.usd_per_1000_requests.low == pytest.approx(0.5 * 2.0 / 2.4)


def test_a_price_ratio_of_nothing_is_refused() -> None:
    rate = Estimate(1.0, None, None, 1)
    with pytest.raises(InputError, match="price_ratio"):
        serving.prices(Rates(rate, rate, rate), Sums(1, 1, 0, 1), 1.0, 1.0, 0.0)


def test_half_of_the_requests_within_the_objective_cost_twice_as_much(tmp_path: Path) -> None:
    """Every second request waits 0.7 s for its first token: its tokens still come in 2 s, and do not count."""

    late = requests(20)
    for one in late[::2]:
        assert one.sent_s is not None
        one.first_token_s, one.gaps_us = one.sent_s + 0.7, [86_666] * (OUTPUT - 1)
    row = _row(tmp_path, _choices(), 20, "ttft.p95<=600ms", of=late)
    of = _dollars(row)
    assert row.meets is False
    assert of.good is not None
    assert of.at is not None
    assert of.good.usd_per_1000_requests.value == pytest.approx(2 * of.at.usd_per_1000_requests.value, rel=0.02)
    assert of.good.all_in_usd_per_mtok_output.value == pytest.approx(2 * USD_PER_S * 1e6 / 160, rel=0.02)
    assert of.good.blended_usd_per_mtok.value == pytest.approx(2 * USD_PER_S * 1e6 / 1160, rel=0.02)


def test_without_objectives_nothing_is_good(tmp_path: Path) -> None:
    assert _dollars(_row(tmp_path, _choices())).good is None


def test_a_duty_cycle_pays_for_cold_starts_as_they_were_measured(tmp_path: Path) -> None:
    server = ServerFacts(engine="llama.cpp", load_s=1700.0, first_request_s=100.0)
    one = served(tmp_path, server=server)
    (row,) = serving_rows([one], tmp_path, _choices(), duty=(0.5, 73.0))
    of = _dollars(row)
    assert of.asleep is not None
    assert of.at is not None
    assert of.asleep.duty.cold_start_s == 1800.0
    assert of.asleep.blended_usd_per_mtok.value == pytest.approx(of.at.blended_usd_per_mtok.value / 0.9)
    assert of.asleep.usd_per_month == pytest.approx(3.6 * 365)
    assert of.asleep.capacity_requests_per_month.value == pytest.approx(2 * 3600 * 365 * 0.9)


def test_a_duty_cycle_needs_a_measured_start_and_a_machine_that_can_be_off(tmp_path: Path) -> None:
    (running,) = serving_rows([served(tmp_path)], tmp_path, _choices(), duty=(0.5, 73.0))
    assert "no cold start was measured" in str(_dollars(running).not_asleep_because)
    owned = Owned(capex_usd=10_000, life_years=4)
    choices = CostChoices(owned=owned, apis=(GROQ,))
    one = served(tmp_path, server=ServerFacts(engine="llama.cpp", load_s=10.0), replicate=1)
    (standing,) = serving_rows([one], tmp_path, choices, duty=(0.5, 73.0))
    assert "costs the same when it is off" in str(_dollars(standing).not_asleep_because)


def test_a_machine_that_is_paid_while_it_serves_has_no_duty_cycle() -> None:
    one = Estimate(1.0, None, None, 1)
    rates = Rates(one, one, one)
    at = serving.prices(rates, Sums(1, 1, 0, 1), 3.6, 1.0, 4.0)
    with pytest.raises(InputError, match="only while it serves"):
        serving.asleep(at, rates, HourlyRate(3.6, "as stated", "serverless"), 1.0, Duty(0.5))


# --- whose machine


def test_an_endpoint_elsewhere_has_no_dollars_until_somebody_says_what_it_costs(tmp_path: Path) -> None:
    silent = _row(tmp_path, CostChoices(apis=(GROQ,)), loopback=False)
    assert silent.dollars is None
    assert "--usd-per-hour" in str(silent.no_dollars_because)
    said = _row(tmp_path, _choices(), loopback=False)
    assert _dollars(said).whose.startswith("an endpoint elsewhere")
    assert _dollars(said).usd_per_mtok.value == pytest.approx(USD_PER_S * 1e6 / 232)


def test_this_machine_is_priced_by_what_serves_on_it(tmp_path: Path) -> None:
    gpu = environment([H100])
    own = served(tmp_path, server=ServerFacts(engine="vllm", load_s=30.0, accelerators=(H100,)), where=gpu).serving
    assert own is not None
    facts, said = machine_of(own, gpu)
    assert facts.accelerators == (H100,)
    assert "started" in said
    facts, said = machine_of(own.model_copy(update={"server": None}), gpu)
    assert facts.accelerators == (H100,)
    assert "all of its accelerators" in said
    facts, _ = machine_of(own.model_copy(update={"server": None}), environment())
    assert facts.placement == {"cpu": 0}


# --- APIs


def test_the_measured_mix_is_priced_token_by_token(tmp_path: Path) -> None:
    of = _dollars(_row(tmp_path, _choices()))
    tier = api_prices.lookup(GROQ).tariff.tiers[0]
    each = float((INPUT - CACHED) * tier.input + CACHED * tier.cached + OUTPUT * tier.output) / 1e6
    (api,) = of.apis
    assert api.usd_per_1000_requests == pytest.approx(1000 * each)
    assert api.usd_per_mtok == pytest.approx(1e6 * each / (INPUT + OUTPUT))
    assert api.ratio.value == pytest.approx(0.0005 / each)
    assert api.break_even is not None
    assert api.break_even.value == pytest.approx(0.0005 / each)
    assert api.break_even_utilisation is None


def test_break_even_does_not_hang_on_the_assumed_utilisation(tmp_path: Path) -> None:
    cheap = {"usd_per_hour": 0.01}
    full, half = (_dollars(_row(tmp_path, _choices(**cheap, utilisation=share))).cheapest for share in (1.0, 0.5))
    assert full is not None
    assert half is not None
    assert half.ratio.value == pytest.approx(2 * full.ratio.value)
    assert half.break_even_utilisation == pytest.approx(full.break_even_utilisation)
    assert 0 < (half.break_even_utilisation or 0) < 1


def test_a_one_off_stands_in_the_comparison_alone(tmp_path: Path) -> None:
    choices = _choices(one_off={"usd": 100.0, "mtok": 50.0})
    plain, more = _dollars(_row(tmp_path, _choices())), _dollars(_row(tmp_path, choices))
    assert more.at == plain.at
    assert more.usd_per_mtok.value == pytest.approx(plain.usd_per_mtok.value + 2.0)


def test_requests_are_priced_in_the_tier_of_their_own_size() -> None:
    """One price of the mean request would put all of them into one tier."""
    low, high = Tier(-1, Decimal(1), Decimal("0.1"), Decimal(4)), Tier(1000, Decimal(2), Decimal("0.2"), Decimal(8))
    tariff = Tariff((low, high), usd_per_request=Decimal("0.01"))
    mixing = Mixing(bounds_of([tariff]))
    every = [(1000, 500, 10), (1001, 0, 20), (100, 200, 30), (5000, 4000, 40)]
    for one in every:
        mixing.add(*one)
    by_hand = sum(tariff.request_usd(size - min(size, cached), min(size, cached), out) for size, cached, out in every)
    assert mixing.mix().usd(tariff) == by_hand
    with pytest.raises(ValueError, match="tiers"):
        Mix((), (Sums(1, 1, 0, 1),)).usd(tariff)


def test_more_of_the_prompt_may_be_assumed_cached() -> None:
    tariff = Tariff((Tier(-1, Decimal(1), Decimal("0.1"), Decimal(0)),))
    mix = Mix((), (Sums(1, 900_000, 100_000, 0),))
    assert mix.usd(tariff) == Decimal("0.91")
    assert mix.usd(tariff, cached_share=0.5) == Decimal("0.55")
    assert mix.usd(tariff, cached_share=0.05) == Decimal("0.91")


# --- the bill of a paid endpoint


def _paid(**given: object) -> CostChoices:
    return CostChoices.model_validate({"billed_as": NANO, "apis": (GROQ,), **given})


def test_the_bill_is_of_every_request_with_usage(tmp_path: Path) -> None:
    """Warm-up and failed requests are charged for; one that was refused is not."""

    def change(index: int) -> dict[str, object]:
        if index == 0:  # a warm-up request
            return {"output_tokens": 1000}
        if index == 30:
            return {"status": "stream-error", "output_tokens": 7}
        if index == 31:
            nothing: dict[str, object] = dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens"))
            return {**nothing, "status": "http", "count_source": None, "http_status": 429}
        return {}

    everything = requests(20, change)
    able = Capabilities(
        served_model="m", usage_chunk=True, probe_requests=3, probe_input_tokens=1000, probe_output_tokens=100
    )
    row = _row(tmp_path, _paid(), 20, of=everything, able=able, loopback=False)
    of = _dollars(row)
    assert of.bill is not None
    tariff = api_prices.lookup(NANO).tariff
    usual, n = tariff.request_usd(INPUT - CACHED, CACHED, OUTPUT), len(everything)
    exact = usual * (n - 3) + tariff.request_usd(INPUT - CACHED, CACHED, 1000)
    exact += tariff.request_usd(INPUT - CACHED, CACHED, 7) + tariff.request_usd(1000, 0, 100)
    assert of.bill.usd == pytest.approx(float(exact), rel=1e-12)
    assert of.bill.probe_usd == pytest.approx(float(tariff.request_usd(1000, 0, 100)))
    assert (of.bill.counted, of.bill.failed_counted, of.bill.uncounted) == (n - 1, 1, 0)
    assert of.at is None
    assert of.rate is None
    (api,) = of.apis
    assert api.break_even is None
    assert api.ratio.value == pytest.approx(of.usd_per_mtok.value / api.usd_per_mtok)


def test_what_was_spent_is_said_whatever_the_verdict(tmp_path: Path) -> None:
    """Most requests failed: no dollar can be made of the figures, and the bill comes all the same."""
    dead: dict[str, object] = {"status": "unfinished"}
    found = [served(tmp_path, requests(4, lambda index: dead if index % 8 else {}))]
    (row,) = serving_rows(found, tmp_path, _paid())
    assert (row.fatal, row.dollars) == ("errors", None)
    assert row.bill is not None
    each = api_prices.lookup(NANO).tariff.request_usd(INPUT - CACHED, CACHED, OUTPUT)
    assert row.bill.usd == pytest.approx(float(each) * len(requests(4)))
    line = plain.flat(row)
    assert (line["billed_usd"], line["usd_per_mtok"]) == (row.bill.usd, None)
    text = render_serving([row], "table", 120)
    assert "Billed as" in text
    assert "$/Mtok:" not in text
    (own,) = serving_rows(found, tmp_path, CostChoices(usd_per_hour=3.6))
    assert own.bill is None


def test_what_a_run_without_its_trace_cost_is_in_the_bill(tmp_path: Path) -> None:
    records = [served(tmp_path, replicate=number, spent_usd=0.5) for number in range(2)]
    (tmp_path / "traces" / f"{records[1].record_id}.jsonl.gz").unlink()
    (row,) = serving_rows(records, tmp_path, _paid())
    assert row.bill is not None
    assert row.bill.usd == pytest.approx(row.bill.requests_usd + 0.5)


def test_what_had_no_usage_is_no_bill_and_is_said(tmp_path: Path) -> None:
    guessed = requests(20, lambda index: {"count_source": "chunks"} if index < 10 else {})
    of = _dollars(_row(tmp_path, _paid(), 20, of=guessed))
    assert of.bill is not None
    assert of.bill.uncounted == 10
    usual = api_prices.lookup(NANO).tariff.request_usd(INPUT - CACHED, CACHED, OUTPUT)
    assert of.bill.estimated_usd == pytest.approx(float(10 * usual))


def test_billed_usage_is_held_against_a_local_tokenizer(tmp_path: Path) -> None:
    counted = requests(20, lambda _: {"local_input_tokens": 90, "local_output_tokens": 16})
    of = _dollars(_row(tmp_path, _paid(), 20, of=counted))
    assert of.checked is not None
    assert (of.checked.input.difference, of.checked.output.difference) == (10 * len(counted), 0)
    tier = api_prices.lookup(NANO).tariff.tiers[0]
    assert of.checked.usd_difference == pytest.approx(10 * len(counted) * float(tier.input) / 1e6)
    assert of.checked.usd_unexplained == of.checked.usd_difference
    assert _dollars(_row(tmp_path, _paid(), 20)).checked is None


def test_a_server_that_this_program_started_sends_no_bill(tmp_path: Path) -> None:
    row = _row(tmp_path, _paid(usd_per_hour=3.6), server=ServerFacts(engine="llama.cpp", load_s=1.0))
    assert _dollars(row).bill is None
    assert _dollars(row).at is not None


# --- before a run


def _api(*tiers: tuple[int, str, str]) -> ApiModel:
    usual = api_prices.lookup(GROQ)
    prices = tuple(Tier(above, Decimal(into), Decimal(into), Decimal(out)) for above, into, out in tiers)
    return replace(usual, quote=replace(usual.quote, tariff=Tariff(prices)))


def test_a_bill_is_estimated_at_mean_lengths_and_at_the_longest() -> None:
    lengths = Lengths(shape="normal", mean=1000, most=4000)
    traffic = Traffic(load="closed", concurrency=8, input_tokens=lengths, output_tokens=100, until=Until(requests=84))
    able = Capabilities(served_model="m", overhead_tokens=10, probe_requests=1, probe_input_tokens=0)
    found = bill_estimate(traffic, _api((-1, "1", "10"), (2000, "2", "20")), able)
    assert found.requests == 100  # with a warm-up of two rounds
    assert found.usd == pytest.approx(100 * (1010 * 1 + 100 * 10) / 1e6)
    assert found.most_usd == pytest.approx(100 * (4010 * 2 + 100 * 20) / 1e6)


def test_an_open_loop_is_estimated_by_rate_and_time_and_its_warm_up() -> None:
    api = _api((-1, "1", "1"))
    traffic = Traffic(load="poisson", requests_per_s=2, input_tokens=10, output_tokens=10, warmup_s=5)
    assert bill_estimate(traffic, api).requests == 130  # a minute is what ends a load that nothing else ends
    longer = traffic.model_copy(update={"until": Until(duration_s=100), "ramp": Ramp(to=4, over_s=10)})
    assert bill_estimate(longer, api).requests == 4 * 100 + 4 * 15
    few = traffic.model_copy(update={"until": Until(requests=10)})
    assert bill_estimate(few, api).requests == 20


def test_conversations_say_again_what_was_said() -> None:
    traffic = Traffic(load="closed", concurrency=1, input_tokens=10, output_tokens=5, turns=3, until=Until(requests=1))
    found = bill_estimate(traffic, _api((-1, "1", "1")))
    assert found.input_tokens == (10 + 25 + 40) / 3


def test_nobody_can_say_what_a_load_without_end_costs() -> None:
    api = _api((-1, "1", "1"))
    unbounded = bill_estimate(Traffic(load="closed", concurrency=4, input_tokens=1, output_tokens=1), api)
    assert unbounded.usd is None
    assert "until.requests" in unbounded.text()
    unknown = bill_estimate(Traffic(load="closed", concurrency=4, until=Until(requests=10)), api)
    assert "in a file" in unknown.text()
    assert unknown.probe_usd > 0


def test_an_allowance_has_the_dearest_price_of_each_kind() -> None:
    found = allowance(_api((-1, "1", "10"), (2000, "2", "8")), 5.0)
    assert found.usd == 5.0
    assert (found.usd_per_input_token, found.usd_per_output_token) == (2e-6, 1e-5)
    assert found.usd_per_cached_token == 2e-6
    assert found.usd_per_request == 0.0


def test_a_probe_that_never_was_has_no_tokens() -> None:
    assert probe_tokens(None) is None
    assert probe_tokens(Capabilities(served_model="m")) is None


def test_the_sums_of_a_trace_are_those_of_its_requests(tmp_path: Path) -> None:
    """More cached than asked is no more than all of it; a request without usage is in no mix."""

    def change(index: int) -> dict[str, object]:
        return {"cached_tokens": 500} if index % 2 else {}

    odd: list[Request] = requests(20, change)
    of = _dollars(_row(tmp_path, _choices(), 20, of=odd)).mix.whole
    assert of.requests == 600
    assert of.fresh == 300 * (INPUT - CACHED)
    assert of.cached == 300 * CACHED + 300 * INPUT
    assert of.output == 600 * OUTPUT
