"""The page as text: what is in it without a script, what its policy allows, and that nothing of a record is markup."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench.entries.entry import Entry, Note, Origin, Report
from bench.metrics.verdict import Reason
from bench.page import appendix, columns, document, first_rows, key_figures, payload
from tests.entries_samples import HOSTILE, api, entry, failed, many, priced, report

DOUBT = Reason("busy", "other work ran", "stop it and run again")
FATAL = Reason("clock", "a second clock disagrees", "fix the clock", fatal=True)


class Read(HTMLParser):
    """Scripts, styles, addresses and the text that a reader sees, as a browser's parser splits them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.policy = ""
        self.shown = ""
        self._open: dict[str, str | None] | None = None
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href")]
        self.handlers += [name for name in given if name.startswith("on")]
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(given["content"])
        self._inside = tag if tag in ("script", "style") else self._inside
        if tag == "script":
            self.scripts.append((given, ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag in ("script", "style") else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            given, before = self.scripts[-1]
            self.scripts[-1] = (given, before + data)
        elif not self._inside:
            self.shown += data

    def data(self, id: str) -> Any:
        return json.loads(next(text for given, text in self.scripts if given.get("id") == id))


def rendered(entries: list[Entry], **changed: Any) -> Read:
    return Read(document.render(report(entries, **changed)))


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_alone() -> None:
    page = rendered([entry(), failed()])
    assert page.policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "eval" not in page.policy
    assert not page.handlers
    assert all(one.startswith(("#", "data:")) for one in page.addresses), page.addresses
    programs = [text for given, text in page.scripts if given.get("type") != "application/json"]
    assert len(programs) == 3  # the theme, the charts' library, ours
    for text in programs:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.policy


def test_without_scripts_answer_rows_and_small_print_are_there() -> None:
    doubtful = entry(key="d", verdict=(DOUBT,))
    imported = entry(
        key="i", kind="imported", machine="other", origin=Origin("GuideLLM", file="a.json"), priced=None,
        no_dollars_because="nobody knows the hour's price",
    )  # fmt: skip
    shown = " ".join(rendered([entry(), doubtful, imported, failed()], warnings=("a line is damaged",)).shown.split())
    for text in (
        "Self-hosting smollm2-135m at bf16 costs $0.13–$0.15 per Mtok.",
        "2 of 4",
        "1 doubtful",
        "1 failed or without meaning",
        "busy: other work ran: stop it and run again",
        "oom: it needs 32 GB and there are 24; choose a smaller batch",
        "no dollars: nobody knows the hour's price",
        "(from GuideLLM)",
        "a line is damaged",
        "Sample CPU; 4 of 4 logical CPUs usable",
        "torch 2.13.0",
        "not recorded: another tool measured there",
        "bench run configs/quickstart.yaml --only smollm2-135m,bf16",
        "Scripts are off",
        "confirmed 2026-11-01",
    ):  # fmt: skip
        assert text in shown, text


def test_the_static_table_has_the_dollars_of_the_row() -> None:
    heads, lines = first_rows.table([entry(seconds=5000.0)], leaderboard=False)
    cells = dict(zip([one.id for one in heads], lines[0].cells, strict=True))
    # $0.10 an hour × 5000 s / 3600 s; against $0.08/$0.05 for 128 in and 64 out, $0.06
    assert cells["usd_per_mtok"] == "0.139 ±5%"
    assert cells["ratio"] == "2.31× ±5%"
    assert cells["break_even"] == "never"
    assert cells["verdict"] == "VALID"


def test_a_leaderboard_has_the_machine_first() -> None:
    assert [one.id for one in columns.ordered(leaderboard=True)][:4] == ["place", "number", "machine", "model"]
    assert sorted(one.id for one in columns.ordered(True)) == sorted(["place", *(one.id for one in columns.COLUMNS)])


def test_key_figures_are_those_of_the_row_that_the_headline_is_about() -> None:
    dear, cheap = entry(key="a", seconds=9000.0), entry(key="b", seconds=900.0, precision="nf4")
    strip = {one.id: one for one in key_figures.of([dear, cheap, failed()])}
    assert strip["cheapest"].value == "$0.0250"
    assert "nf4" in strip["cheapest"].lines[1]
    assert strip["api"].value == "$0.0600"
    assert strip["break-even"].value == "42%"
    assert strip["rows"].value == "2 of 3"
    meaningless = replace(cheap, verdict=(FATAL,), priced=None)
    assert [one.id for one in key_figures.of([meaningless])] == ["rows"]


def test_what_is_hostile_is_text() -> None:
    long = "x" * 10_000
    entries = [
        entry(key="a", model=HOSTILE, precision=HOSTILE, command=HOSTILE, hardware=HOSTILE, machine="m2"),
        failed(key="b", model=long, failure=HOSTILE, remedy="</script><script>alert(1)</script>"),
    ]
    text = document.render(
        report(entries, title=HOSTILE, headline=HOSTILE, warnings=(HOSTILE,), notes=(Note(HOSTILE),), runs=(HOSTILE,))
    )
    assert "<script>alert" not in text
    assert "\u202e" not in text
    page = Read(text)
    assert len([1 for given, _ in page.scripts if given.get("type") != "application/json"]) == 3
    assert "⟨U+202E⟩" in page.shown
    assert "<script>alert" in page.shown
    assert page.data("payload")["headline"] == HOSTILE
    assert page.shown.count("x" * 100) <= 3  # its beginning in a cell, not the whole


def test_half_of_a_surrogate_pair_can_be_written(tmp_path: Path) -> None:
    document.write(report([entry(model="a\ud800b")]), tmp_path / "page.html")
    assert "a⟨U+D800⟩b" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("entries", [[], [failed()], [entry()]], ids=["none", "only failures", "one"])
def test_few_rows_are_a_page_too(entries: list[Entry]) -> None:
    page = rendered(entries, headline="" if not entries else "x")
    assert page.data("payload")["count"] == len(entries)
    assert ("There are no rows" in page.shown) == (not entries)


def test_sources_are_listed_once_and_stale_ones_are_flagged() -> None:
    old = api("old/model", stale=True, confirmed=date(2026, 1, 2))
    entries = [entry(key="a", priced=priced(apis=(api(), old))), entry(key="b", priced=priced(apis=(api(), old)))]
    found = appendix.api_sources(entries)
    assert [(one.what, one.rows) for one in found] == [("old/model", 2), ("openai/gpt-5-mini", 2)]
    assert found[0].flags
    assert not found[1].flags
    assert found[0].days == "confirmed 2026-01-02"
    assert [(one.price, one.rows) for one in appendix.hourly_sources(entries)] == [("$0.100", 2)]


def test_notes_and_commands_name_rows() -> None:
    entries = [entry(key=one) for one in "abc"] + [failed(key="d", command=None)]
    made = report(entries, notes=(Note("all of them"), Note("some", about=("a", "c", "gone"))))
    assert [(one.text, one.about) for one in appendix.notes(made)] == [("all of them", ""), ("some", "rows 1, 3")]
    assert appendix.commands(entries) == [("bench run configs/quickstart.yaml --only smollm2-135m,bf16", "rows 1–3")]


def test_every_term_of_the_table_is_defined() -> None:
    defined = {name for name, _ in appendix.DEFINITIONS}
    assert {one.heading for one in columns.COLUMNS if one.numeric} - {"Row"} <= defined | {"Utilisation"}
    assert all(meaning.endswith(".") for _, meaning in appendix.DEFINITIONS)


def test_of_many_rows_what_dollars_are_computed_from_keeps_its_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "MANY_ROWS", 0)
    one = entry(priced=priced(1234.56789), measured_at="a")
    columns_ = dict(payload.rows([replace(one, level=1234.56789)])[3])
    assert "1234.56789" in payload.safe_json(columns_["priced"])
    assert columns_["level"] == ["c", 1234.57]


def test_a_script_cannot_end_its_element() -> None:
    made = document._script("a = '</script>' + '<!--';\r\n")
    assert "</script" not in made
    assert "<!--" not in made
    assert "\r" not in made


def test_what_repeats_is_stored_once() -> None:
    one, hundred = (len(payload.safe_json(payload.rows(of.entries))) for of in (many(1), many(100)))
    assert hundred < 25 * one
    assert not re.search(r"\d\.\d{12}", payload.safe_json(payload.rows(many(50).entries)))


def test_two_hundred_rows_are_under_three_megabytes() -> None:
    assert len(document.render(different(200)).encode()) < 3e6


@pytest.mark.slow
def test_ten_thousand_rows_are_under_ten_megabytes() -> None:
    assert len(document.render(different(10_000)).encode()) < 10e6


def different(count: int) -> Report:
    """So many rows of which no two have a figure in common."""
    of = many(count)
    entries = [
        one if one.priced is None
        else entry(**{name: getattr(one, name) for name in SAME}, seconds=2000.0 + 1.23456789 * index)
        for index, one in enumerate(of.entries)
    ]  # fmt: skip
    return replace(of, entries=tuple(entries))


SAME = ("key", "cell_id", "model", "precision", "batch_size", "machine", "hardware", "command")
