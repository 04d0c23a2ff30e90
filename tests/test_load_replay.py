"""Traces are replayed as they were recorded: times, lengths, and what their prompts share."""

import tracemalloc
from pathlib import Path

import pytest

from bench.errors import InputError
from bench.loads import Session, Vocabulary
from bench.loads.plan import nominal, plan
from bench.loads.replay import rows, summary
from bench.schema import Traffic

DATA = Path(__file__).parent / "data" / "load"
IDS = Vocabulary(source="ids", ids=range(5, 21_005))


def sessions(name: str, workers: int = 1, replicate: int = 0, **more: object) -> list[Session]:
    one = Traffic.model_validate({"load": "trace", "trace": str(DATA / name), **more})
    whole = plan(one, IDS, replicate)
    taken = [session for worker in range(workers) for session in whole.slice(worker, workers)]
    return sorted(taken, key=lambda session: session.index)


def shared(one: Session, other: Session) -> int:
    """Tokens that two prompts have in common at their start."""
    pairs = enumerate(zip(one.turns[0].content, other.turns[0].content, strict=False))
    lengths = min(len(one.turns[0].content), len(other.turns[0].content))
    return next((place for place, (a, b) in pairs if a != b), lengths)


def test_mooncake_times_and_lengths() -> None:
    found = sessions("mooncake.jsonl")
    assert [session.due_s for session in found] == pytest.approx([0, 0, 3.052, 4.5, 10])
    assert [len(session.turns[0].content) for session in found] == [1300, 1101, 1024, 700, 690]
    assert [session.turns[0].input_tokens for session in found] == [1300, 1101, 1024, 700, 690]
    assert [session.turns[0].output_tokens for session in found] == [52, 26, 17, 300, 8]


def test_mooncake_prompts_share_the_blocks_that_their_ids_share() -> None:
    a, b, c, d, e = sessions("mooncake.jsonl")
    assert shared(a, b) == 1024
    assert shared(a, c) == shared(b, c) == 512
    assert shared(a, d) == 0
    assert shared(d, e) == 690  # the same two blocks, of the last one a shorter piece


def test_mooncake_prompts_of_another_replicate_are_other_ones() -> None:
    assert shared(sessions("mooncake.jsonl")[0], sessions("mooncake.jsonl", replicate=1)[0]) == 0


def test_a_template_is_taken_off_the_end_and_prefixes_stay() -> None:
    one = Traffic(load="trace", trace=str(DATA / "mooncake.jsonl"))
    templated = Vocabulary(source="ids", ids=IDS.ids, overhead_tokens=20)
    a, b, *_ = plan(one, templated, 0).slice(0, 1)
    assert len(a.turns[0].content) == 1280
    assert shared(a, b) == 1024


def test_text_prompts_share_too() -> None:
    one = Traffic(load="trace", trace=str(DATA / "mooncake.jsonl"))
    words = Vocabulary(source="estimate", words=[f" w{i}" for i in range(9_000)], tokens_per_word=2)
    a, b, c, *_ = (str(session.turns[0].content).split() for session in plan(one, words, 0).slice(0, 1))
    assert len(a) == 650
    assert a[:512] == b[:512]
    assert a[:256] == c[:256]
    assert a[256] != c[256]


def test_burstgpt_leaves_out_what_failed() -> None:
    found = sessions("burstgpt.csv")
    assert [session.due_s for session in found] == [0, 40, 113.5, 200]
    assert [len(session.turns[0].content) for session in found] == [410, 1012, 95, 250]
    assert [session.turns[0].output_tokens for session in found] == [21, 230, 76, 173]
    assert len({session.turns[0].content[0] for session in found}) == 4
    assert summary(DATA / "burstgpt.csv").left_out == 2


def test_columns_are_found_by_name() -> None:
    found = sessions("burstgpt-sessions.csv")
    assert [(one.due_s, one.turns[0].input_tokens, one.turns[0].output_tokens) for one in found] == [
        (0.0, 10, 20),
        (3.0, 11, 21),
    ]


@pytest.mark.parametrize("name", ["mooncake.jsonl", "burstgpt.csv"])
def test_workers_partition_a_trace(name: str) -> None:
    assert sessions(name, workers=3) == sessions(name)
    assert sessions(name, workers=64) == sessions(name)


def test_speed_rate_and_means() -> None:
    assert [session.due_s for session in sessions("burstgpt.csv", speed=4)] == [0, 10, 28.375, 50]
    one = Traffic(load="trace", trace=str(DATA / "burstgpt.csv"), speed=4)
    assert plan(one, IDS, 0).level(3) == pytest.approx(4 / 50)
    assert nominal(one) == (round(1767 / 4), 125)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("\0\1\2" * 50, "a binary file"),
        ("just words\n", "neither a Mooncake trace"),
        ('{"timestamp": 1, "input_length": 2\n', ":1: broken JSON"),
        ('{"timestamp": 1, "input_length": 2, "output_lenght": 3}\n', ":1: output_length is missing (did you mean"),
        ("[1]\n", ":1: not an object"),
        ('{"timestamp": "soon", "input_length": 2, "output_length": 3}\n', ":1: timestamp is 'soon', not a number"),
        ('{"timestamp": 1, "input_length": 2.5, "output_length": 3}\n', ":1: input_length is 2.5: write whole tokens"),
        ('{"timestamp": -1, "input_length": 2, "output_length": 3}\n', ":1: timestamp is -1: times start at 0"),
        ('{"timestamp": NaN, "input_length": 2, "output_length": 3}\n', ":1: timestamp is 'nan', not a number"),
        ('{"timestamp": 1, "input_length": 1e15, "output_length": 3}\n', "no request is so long"),
        ('{"timestamp": 1, "input_length": true, "output_length": 3}\n', ":1: input_length is 'True', not a number"),
        ('{"timestamp": 1, "input_length": 9, "output_length": 3, "hash_ids": 4}\n', ":1: hash_ids is no list"),
        ('{"timestamp": 1, "input_length": 9, "output_length": 3, "hash_ids": [1, 2, 3]}\n', "each must stand for 512"),
        (
            '{"timestamp": 9, "input_length": 2, "output_length": 3}\n\n{"timestamp": 8, "input_length": 2, '
            '"output_length": 3}\n',
            ":3: its time lies before that of the row above; sort the file",
        ),
        ("[" * 100_000 + "\n", ":1: broken JSON"),
        ('{"timestamp": 1, "input_length": 9, "output_length": 0}\n', "no request with input and output tokens"),
        ("Timestamp,Model,Request tokens\n", ":1: no column 'Response tokens'"),
        ("Timestamp,Request tokens,Response tokens\n1,2\n", ":2: only 2 columns"),
        ("Timestamp,Request tokens,Response tokens\n1,x,2\n", ":2: Request tokens is 'x', not a number"),
        ("Timestamp,Request tokens,Response tokens\n1,2,2\nsoon,2,2\n", ":3: Timestamp is 'soon'"),
        ("Timestamp,Request tokens,Response tokens\n", "no request with input and output tokens"),
    ],
)
def test_what_is_no_trace_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "trace"
    path.write_text(text)
    with pytest.raises(InputError) as said:
        summary(path)
    assert words in str(said.value)
    assert str(said.value).startswith(str(path))
    assert len(str(said.value).splitlines()) == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="name a"):
            summary(path)
    with pytest.raises(InputError, match="no such file"):
        plan(Traffic(load="trace", trace=str(tmp_path / "none")), IDS, 0)
    latin = tmp_path / "latin.csv"
    latin.write_bytes("Timestamp,Request tokens,Response tokens,M\xf6dell\n".encode("latin-1"))
    with pytest.raises(InputError, match=":1: not text in UTF-8"):
        summary(latin)


def test_the_wrong_format_is_named() -> None:
    with pytest.raises(InputError, match="is trace_format: burstgpt meant"):
        summary(DATA / "burstgpt.csv", "mooncake")
    with pytest.raises(InputError, match="is trace_format: mooncake meant"):
        next(rows(DATA / "mooncake.jsonl", "burstgpt"))


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    for name in ("burstgpt.csv", "mooncake.jsonl"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + (DATA / name).read_bytes().replace(b"\n", b"\r\n"))
        assert list(rows(path)) == list(rows(DATA / name))


def test_a_long_trace_is_not_held(tmp_path: Path) -> None:
    path = tmp_path / "long.csv"
    body = "".join(f"{i},ChatGPT,{i % 900 + 1},20,0,API log\n" for i in range(20_000))
    path.write_text("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + body)
    tracemalloc.start()
    try:
        assert summary(path).requests == 20_000
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
