"""The page's dollars and sentence, by its own scripts in a real browser, against the vectors that Python holds to."""

import math
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import bench
from tests.browser import Seen
from tests.entry_dollars import vectors

STATIC = Path(bench.__file__).parent / "page" / "static"
SCRIPTS = ("dollars.js", "headline.js", "numbers.js")
REL = 1e-12

EVALUATE = """(data) => {
  const parts = ["input", "cached", "output"];
  return data.vectors.map(({ priced: name, asked }) => {
    const of = data.priced[name];
    return {
      usd: Dollars.usdPerMtok(of, asked),
      machine: Dollars.machineUsdPerMtok(of, asked),
      beside: Dollars.besideUsdPerMtok(of, asked),
      floor: Dollars.floorUsdPerMtok(of, asked),
      parts: Object.fromEntries(parts.map((part) => [part, Dollars.partUsdPerMtok(of, part, asked)])),
      utilisation: Dollars.utilisation(of, asked),
      usd_per_hour: Dollars.usdPerHour(of, asked),
      cheapest: Dollars.cheapest(of, asked)?.api ?? null,
      apis: Object.fromEntries(of.apis.map((api) => [api.api, {
        usd: Dollars.apiUsdPerMtok(of, api, asked),
        ratio: Dollars.ratio(of, api, asked),
        break_even: Dollars.breakEven(of, api, asked),
      }])),
    };
  });
}"""


@pytest.fixture
def page(seen: Seen) -> Page:
    """An empty page with the scripts in it, as one script, as the document has them."""
    seen.page.add_script_tag(content="\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS))
    return seen.page


def agrees(found: Any, expected: Any, where: str) -> None:
    """Plain data; numbers to 1e-12, and what is infinite stands as null in the file."""
    if isinstance(expected, dict):
        assert found is not None, where
        assert found.keys() == expected.keys(), where
        for key in expected:
            agrees(found[key], expected[key], f"{where}.{key}")
    elif expected is None or isinstance(expected, str):
        assert found == expected or (expected is None and found == math.inf), where
    else:
        assert found == pytest.approx(expected, rel=REL, abs=0), where


def test_the_browser_computes_what_python_does(page: Page) -> None:
    found = page.evaluate(EVALUATE, vectors())
    assert len(found) == len(vectors()["vectors"]) >= 60
    for number, (one, vector) in enumerate(zip(found, vectors()["vectors"], strict=True)):
        agrees(one, vector["expected"], f"{number} {vector['priced']} {vector['asked']}")


def test_the_browser_says_what_python_says(page: Page) -> None:
    texts = page.evaluate(
        "(data) => data.headlines.map(({ entries, asked, api }) => "
        "Headline.headline(entries.map((name) => data.entries[name]), { ...asked, machine: null, api }))",
        vectors(),
    )
    for text, one in zip(texts, vectors()["headlines"], strict=True):
        assert text == one["text"], one["entries"]


def test_the_browser_writes_numbers_as_python_does(page: Page) -> None:
    texts = page.evaluate(
        "(all) => all.map(({ of, value, digits }) => digits ? Numbers[of](value, digits) : Numbers[of](value))",
        vectors()["formats"],
    )
    for text, one in zip(texts, vectors()["formats"], strict=True):
        assert text == one["text"], one


def test_a_price_per_hour_may_be_meant_for_one_machine(page: Page) -> None:
    state = {"usd_per_hour": 2.0, "machine": "a", "utilisation": 0.5, "mix": None, "api": None}
    asked = page.evaluate(
        "([rows, state]) => rows.map((row) => Dollars.asked(row, state))", [[{"machine": "a"}, {"machine": "b"}], state]
    )
    assert [one["usd_per_hour"] for one in asked] == [2.0, None]
    assert [one["utilisation"] for one in asked] == [0.5, 0.5]


FAULTS: tuple[tuple[dict[str, Any], str | None], ...] = (
    ({"usd_per_hour": 2.0, "utilisation": 1.0, "mix": [3, 1]}, None),
    ({"usd_per_hour": None, "utilisation": None, "mix": None}, None),
    ({"usd_per_hour": 0.0}, "usd_per_hour"),
    ({"utilisation": 1.5}, "utilisation"),
    ({"mix": [3, 0]}, "mix"),
    ({"mix": [math.nan, 1]}, "mix"),
)


def test_the_browser_refuses_what_python_refuses(page: Page) -> None:
    for asked, wrong in FAULTS:
        said = page.evaluate("(asked) => Dollars.fault(asked)", asked)
        assert said is None if wrong is None else said.startswith(wrong), asked
