"""Choices of cost as a program says them: every way means the same, and what cannot be is refused in one line."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bench
from bench.api import costs
from bench.entries.priced import Asked
from bench.schema import CostChoices
from tests import entries_samples, levels_samples, serving_samples

COST = {"usd_per_hour": 2.0, "utilisation": 0.5, "apis": ["openai/gpt-5-nano"]}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> bench.Run:
    """Three levels at three sizes."""
    return bench.load(levels_samples.run(tmp_path_factory.mktemp("choices") / "levels", levels_samples.speed()))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cell under load, two replicates."""
    folder = tmp_path_factory.mktemp("choices")
    return serving_samples.stored(folder, [serving_samples.served(folder, replicate=number) for number in range(2)])


def test_prices_of_ones_own(run: bench.Run) -> None:
    costs = run.costs({"mine/one": (0.1, 0.4), "mine/two": {"input": 0.1, "cached": 0.02, "output": 0.4}})
    priced = costs.dropna(subset=["api"])
    assert set(priced["api"]) == {"mine/one", "mine/two"}
    expected = (64 * 0.1 + 9 * 0.4) / 73
    assert priced["api_usd_per_mtok"].to_list() == pytest.approx([expected] * len(priced))
    again = run.costs({"usd_per_hour": 2.0, "apis": {"mine/one": (0.1, 0.4)}}).dropna(subset=["api"])
    assert set(again["api"]) == {"mine/one"}
    assert set(again["usd_per_hour"]) == {2.0}
    kept = run.at({"mine/one": (0.1, 0.4)})
    assert set(kept.costs(usd_per_hour=2.0)["api"].dropna()) == {"mine/one"}
    assert set(kept.costs(apis="openai/gpt-5-nano")["api"].dropna()) == {"openai/gpt-5-nano"}
    ratio = priced["usd_per_mtok"] / priced["api_usd_per_mtok"]
    assert priced["ratio"].to_list() == pytest.approx(ratio.to_list(), rel=1e-12)


def test_ones_own_prices_are_used_as_a_known_api_s_are(run: bench.Run, loaded: Path) -> None:
    """The same prices under another name: the same dollars, of a batch and of a load with cached prompts."""
    for one in (run, bench.load(loaded)):
        known = one.costs(apis=["groq/llama-3.1-8b-instant"], usd_per_hour=1.0).dropna(subset=["api"])
        first = known.iloc[0]
        prices = {
            "input": float(first["api_input_usd_per_mtok"]),
            "cached": float(first["api_cached_usd_per_mtok"]),
            "output": float(first["api_output_usd_per_mtok"]),
        }
        own = one.costs(apis={"own": prices}, usd_per_hour=1.0).dropna(subset=["api"])
        for name in ("api_usd_per_mtok", "ratio", "break_even_utilisation", "ratio_high"):
            assert own[name].to_list() == pytest.approx(known[name].to_list(), rel=1e-12), name


def test_every_way_to_say_choices(run: bench.Run, tmp_path: Path) -> None:
    file = tmp_path / "cost.yaml"
    file.write_text("cost: {usd_per_hour: 2.0, utilisation: 0.5, apis: [openai/gpt-5-nano]}\n")
    said = [
        run.costs(COST),
        run.costs(CostChoices(usd_per_hour=2.0, utilisation=0.5, apis=("openai/gpt-5-nano",))),
        run.costs(file),
        run.costs(str(file)),
        run.costs(usd_per_hour=2.0, utilisation=0.5, apis="openai/gpt-5-nano"),
        run.at(usd_per_hour=9.0).at(COST).costs(),
        run.at(usd_per_hour=2.0, apis="openai/gpt-5-nano").at(utilisation=0.5).costs(),
    ]
    for other in said[1:]:
        pd.testing.assert_frame_equal(said[0], other)
    owned = run.costs(owned={"capex_usd": 31000, "life_years": 4, "financing_rate": 0.1})
    assert owned["usd_per_hour"].dropna().iloc[0] == pytest.approx(31000 * 0.1 / (1 - 1.1**-4) / 8760)
    assert run.costs(as_of=date(2026, 11, 1), usd_per_hour=1.0)["api"].notna().sum() == 27


def test_another_mix(run: bench.Run) -> None:
    costs = run.costs(mix="3:1", usd_per_hour=1.0).dropna(subset=["api"])
    assert set(costs["mix"]) == {"3:1"}
    parts = run.at(usd_per_hour=1.0).table().set_index("key")
    first = costs.iloc[0]
    of = parts.loc[first["key"]]
    blended = (3 * of["input_usd_per_mtok"] + of["output_usd_per_mtok"]) / 4
    assert first["machine_usd_per_mtok"] == pytest.approx(blended, rel=1e-9)
    pd.testing.assert_frame_equal(costs, run.costs(mix=(3, 1), usd_per_hour=1.0).dropna(subset=["api"]))
    with pytest.raises(bench.InputError, match="mix: '3:0' is no blend"):
        run.costs(mix="3:0")
    with pytest.raises(bench.InputError, match="mix: must be a pair"):
        run.costs(mix=(1, 2, 3))  # type: ignore[arg-type]


def test_why_there_are_no_dollars_is_said() -> None:
    unknown = entries_samples.entry(priced=entries_samples.priced(usd_per_hour=1.0))
    assert unknown.priced is not None
    unknown = replace(unknown, priced=replace(unknown.priced, usd_per_hour=None, mixing=None))
    for asked, why in (
        (Asked(), "nobody knows what its hour costs"),
        (Asked(usd_per_hour=1.0, mix=(3, 1)), "what this mix takes cannot be told"),
        (Asked(usd_per_hour=1.0), None),
    ):
        assert {line["no_dollars_because"] for line in costs.lines(unknown, asked, "")} == {why}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"utilisation": 2.0}, r"^utilisation: must be less than or equal to 1 \(got 2.0\)$"),
        ({"usd_per_hour": -1.0}, r"^usd_per_hour: must be greater than 0 \(got -1.0\)$"),
        ({"usd_per_hour": "2"}, r"^usd_per_hour: must be a valid number \(got '2'\); write 2$"),
        ({"usd_per_hours": 1.0}, r"^usd_per_hours: unknown key; did you mean 'usd_per_hour'"),
        ({"apis": ["openai/gpt-5-nanno"]}, r"^apis\[0\]: unknown model 'gpt-5-nanno' at openai; did you mean"),
        ({"apis": []}, "^apis: empty list: name at least one"),
        ({"apis": {}}, "^apis: empty; name at least one"),
        ({"apis": {"x": (1.0,)}}, "^prices of 'x': must be a pair"),
        ({"apis": {"x": (1.0, -2.0)}}, "^prices of 'x': out: must be a number of dollars from 0 on"),
        ({"apis": {"x": {"input": 1.0}}}, "^prices of 'x': output: missing"),
        ({"apis": {"x": {"input": 1.0, "outptu": 2.0}}}, "^prices of 'x': unknown key 'outptu'; did you mean 'output'"),
        ({"as_of": "20260101"}, "^as_of: must be a day such as 2026-01-31"),
        ({"owned": {"capex": 1.0}}, "owned.capex: unknown key; did you mean 'capex_usd'"),
        ({"usd_per_hour": 1.0, "provider": "aws"}, "^provider: contradicts usd_per_hour"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_choices_that_cannot_be(run: bench.Run, said: dict[str, Any], message: str) -> None:
    with pytest.raises(bench.InputError, match=message):
        run.costs(**said)
    with pytest.raises(bench.InputError, match=message):
        run.costs(said)


def test_prices_that_are_neither_choices_nor_apis(run: bench.Run, tmp_path: Path) -> None:
    with pytest.raises(bench.InputError, match="prices: must be a mapping"):
        run.costs(3)  # type: ignore[arg-type]
    with pytest.raises(bench.InputError, match=r"^prices of 'mine/x': must be a pair"):
        run.costs({"mine/x": 1.0})
    with pytest.raises(bench.InputError, match=r"nowhere\.yaml: no such file"):
        run.costs(tmp_path / "nowhere.yaml")
