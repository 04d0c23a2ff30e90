"""Prompts from files: what is read, what is left out, and what is said of files that are wrong."""

import json
import tracemalloc
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.loads import Content, Vocabulary
from bench.loads.datasets import dataset
from bench.loads.plan import nominal, plan
from bench.schema import Prompts, Traffic

DATA = Path(__file__).parent / "data" / "load"
NONE = Vocabulary(source="file")


def traffic(file: Path, **more: object) -> Traffic:
    said = {"load": "closed", "concurrency": 1, "prompts": {"file": str(file)}, **more}
    return Traffic.model_validate(said)


def asked(one: Traffic, replicate: int = 0, most: int = 100) -> list[list[Content]]:
    found = []
    for session, _ in zip(plan(one, NONE, replicate).slice(0, 1), range(most), strict=False):
        found.append([turn.content for turn in session.turns])
    return found


def test_json_lines_of_every_shape() -> None:
    sessions = list(plan(traffic(DATA / "prompts.jsonl"), NONE, 0, count=len).slice(0, 1))
    turns = {str(session.turns[0].content)[:16]: session.turns[0] for session in sessions}
    assert len(sessions) == 5
    assert {turn.output_tokens for turn in turns.values()} == {40, 90, 24, 60, 5}
    chat = next(turn for turn in turns.values() if turn.output_tokens == 60)
    assert chat.content == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is a heap?"}]
    assert chat.input_tokens == len("Be brief.") + len("What is a heap?")
    ids = next(turn for turn in turns.values() if turn.output_tokens == 5)
    assert (ids.content, ids.input_tokens) == ([17, 4, 99, 1203], 4)
    assert [session.index for session in sessions] == list(range(5))


def test_duplicates_and_empty_ones_are_left_out_and_counted() -> None:
    found = dataset(DATA / "prompts.jsonl", "auto", 1, None)
    assert (len(found), found.duplicates, found.unusable) == (5, 1, 1)
    notes = plan(traffic(DATA / "prompts.jsonl"), NONE, 0).notes  # type: ignore[attr-defined]
    assert notes == (
        "1 records that begin like another one were left out of the prompts",
        "1 records without a question were left out of the prompts",
    )


def test_sharegpt_takes_the_first_question() -> None:
    found = asked(traffic(DATA / "sharegpt.json"))
    assert len(found) == 3
    assert ["How do I boil an egg?"] in found
    assert ["What is 7 × 8?"] in found
    system = [
        {"role": "system", "content": "You are a librarian."},
        {"role": "user", "content": "Welches Buch über Käfer?"},
    ]
    assert [system] in found


def test_sharegpt_conversations_have_turns() -> None:
    sessions = plan(traffic(DATA / "sharegpt.json", turns=2, think_time_s=1), NONE, 0, count=len).slice(0, 1)
    egg = next(session for session in sessions if len(session.turns) == 2)
    assert [turn.content for turn in egg.turns] == ["How do I boil an egg?", "And a softer one?"]
    assert [turn.output_tokens for turn in egg.turns] == [48, 13]
    assert egg.turns[0].think_s == 0 < egg.turns[1].think_s
    assert max(len(one) for one in asked(traffic(DATA / "sharegpt.json", turns=9))) == 3


def test_the_rate_counts_the_requests_of_conversations() -> None:
    one = traffic(DATA / "sharegpt.json", turns=9, load="constant", concurrency=None, requests_per_s=10)
    assert [session.due_s for session in plan(one, NONE, 0).slice(0, 1)] == pytest.approx([0, 5 / 30, 10 / 30])


def test_the_configs_lengths_come_before_the_files() -> None:
    sessions = plan(traffic(DATA / "prompts.jsonl", output_tokens=7), NONE, 0).slice(0, 1)
    assert {session.turns[0].output_tokens for session in sessions} == {7}


def test_a_file_is_used_up_once_and_anew_where_asked(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {i}", "max_tokens": 3}) + "\n" for i in range(50)))
    once = asked(traffic(path))
    assert len(once) == len({str(one) for one in once}) == 50
    again = asked(traffic(path, prompts=Prompts(file=str(path), repeat=True)), most=150)
    assert len(again) == 150
    rounds = [[str(one) for one in again[start : start + 50]] for start in (0, 50, 100)]
    assert all(sorted(one) == sorted(rounds[0]) for one in rounds)
    assert rounds[0] != rounds[1] != rounds[2]


def test_replicates_begin_elsewhere_and_seeds_shuffle(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {i}", "max_tokens": 3}) + "\n" for i in range(1000)))
    begun = [{str(one) for one in asked(traffic(path), replicate, most=200)} for replicate in range(3)]
    assert not begun[0] & begun[1]
    assert not begun[0] & begun[2]
    assert not begun[1] & begun[2]
    assert asked(traffic(path)) == asked(traffic(path)) != asked(traffic(path, seed=1))


def test_workers_partition_a_file(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Question {i}", "max_tokens": 3}) + "\n" for i in range(57)))
    whole = plan(traffic(path), NONE, 0)
    alone = list(whole.slice(0, 1))
    for workers in (2, 5, 64):
        taken = [session for worker in range(workers) for session in whole.slice(worker, workers)]
        assert sorted(taken, key=lambda session: session.index) == alone


def test_means_of_a_file() -> None:
    assert nominal(traffic(DATA / "prompts.jsonl", output_tokens=64)) == (5, 64)  # 6, 5, 6, 6 and 4 tokens
    asked_tokens, answered = nominal(traffic(DATA / "sharegpt.json", turns=9))
    # Egg: 5, then 5 + 12 + 4, then 5 + 12 + 4 + 3 + 6; librarian 5 + 6; arithmetic 4; answers 12, 3, 2, 12, 1.
    assert asked_tokens == round((5 + 21 + 30 + 11 + 4) / 5)
    assert answered == round((12 + 3 + 2 + 12 + 1) / 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        (" \n\n", "the file is empty"),
        ("\0\1\2" * 50, "a binary file"),
        ('{"prompt": "a", "max_tokens": 1}\n{"prompt": "b"\n', ":2: broken JSON"),
        ('{"prompt": "a", "max_tokens": 1}\n[1]\n', ":2: not an object"),
        ('{"promt": "a", "max_tokens": 1}\n', ":1: no prompt in it (did you mean 'promt'?)"),
        ('{"prompt": "a", "max_tokens": 0}\n', ":1: max_tokens is '0'"),
        ('{"prompt": "a", "max_tokens": "many"}\n', ":1: max_tokens is 'many'"),
        ('{"prompt": 5, "max_tokens": 1}\n', ":1: prompt is neither a text nor a list of token ids"),
        ('{"prompt": "a"}\n', ":1: how long its answer may be stands nowhere; set output_tokens"),
        ('{"prompt": "\\ud800", "max_tokens": 1}\n', ":1: half a character"),
        ('{"messages": "hello", "max_tokens": 1}\n', ":1: messages is no list"),
        (
            '{"messages": [{"role": "user"}], "max_tokens": 1}\n',
            ":1: messages holds something without role and content",
        ),
        ('{"prompt": "", "max_tokens": 1}\n', "no record with a question in it"),
        ('{"prompt": ' + "[" * 100_000 + "\n", ":1: no value that can be read"),
        ("[]", "no record with a question in it"),
        ('[{"conversations": []}]', "no record with a question in it"),
        ('[\n{"conversations": [{"from": "human"}]}]', ":2: conversations holds something without from and value"),
        ('[\n{"conversations": [{"from": "human", "value": 4}]}]', ":2: value in conversations is no text"),
        ('[\n{"conversations": [{"from": "human", "value": "hi"}]}]', ":2: how long its answer"),
        ('[{"conversations": []},\n{"conversations"\n: [}]', ":3: broken JSON"),
        ('[{"conversations": []},\n', ":2: broken JSON"),
        ('[{"conversations": []}\n', ":2: broken JSON (the list has no end)"),
        ('[{"conversations": []} {}]', ":1: broken JSON (no comma after a record)"),
        ('[{"conversations": []},]', ":1: broken JSON (a comma before the end of the list)"),
        ('[{"conversations": []}] x', ":1: broken JSON (something stands after the end"),
        ("[" * 100_000, ":1: broken JSON"),
    ],
)
def test_what_is_no_file_of_prompts_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "prompts"
    path.write_text(text)
    with pytest.raises(InputError) as said:
        plan(traffic(path), NONE, 0)
    assert words in str(said.value)
    assert str(said.value).startswith(str(path))
    assert len(str(said.value).splitlines()) == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "packed").write_bytes(b"\x1f\x8b\x08\x00rest")
    (tmp_path / "latin").write_bytes(b'{"prompt": "K\xe4fer"}')
    (tmp_path / "listed").write_bytes(b'[{"prompt": "K\xe4fer"}]')
    for name, words in {
        "none": "cannot read it",
        "": "cannot read it",
        "packed": "unpack it first",
        "latin": ":1: not text in UTF-8",
        "listed": ":1: not text in UTF-8",
    }.items():
        with pytest.raises(InputError, match=words):
            plan(traffic(tmp_path / name), NONE, 0)


def test_the_wrong_format_is_named() -> None:
    with pytest.raises(InputError, match="not JSON Lines"):
        dataset(DATA / "sharegpt.json", "jsonl", 1, 5)
    with pytest.raises(InputError, match=r"begins with \["):
        dataset(DATA / "prompts.jsonl", "sharegpt", 1, 5)


def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "first one", "max_tokens": 3}\n{"prompt": "second", "max_tokens": 3}\n')
    whole = plan(traffic(path), NONE, 0)
    path.write_text("other\n")
    with pytest.raises(InputError, match="was changed"):
        list(whole.slice(0, 1))


@pytest.mark.parametrize("listed", [False, True], ids=["lines", "list"])
def test_a_large_file_is_not_held(tmp_path: Path, listed: bool) -> None:
    path = tmp_path / "large"
    said = "müßig " * 600
    records = [json.dumps({"prompt": f"{i} {said}", "max_tokens": 3}, ensure_ascii=False) for i in range(3_000)]
    path.write_text("[\n" + ",\n".join(records) + "\n]\n" if listed else "\n".join(records), encoding="utf-8")
    del records
    assert path.stat().st_size > 14_000_000
    tracemalloc.start()
    try:
        found = dataset(path, "auto", 1, None)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 3_000
    assert peak < 9 << 20  # a few chunks of a mebibyte, at four bytes a character at worst
    with found.opened() as record:
        assert str(record(2_999).asked[0]).startswith("2999 müßig")
