"""Synthetic prompts are exact in length, all different from their first tokens on, and share what they are told to."""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.loads import Vocabulary
from bench.loads.plan import plan
from bench.loads.prompts import writer
from bench.loads.streams import salt
from bench.schema import Lengths, SharedPrefix, Traffic

IDS = Vocabulary(source="ids", ids=range(5, 21_005))
WORDS = Vocabulary(source="tokenizer", words=[f" w{i}" for i in range(21_000)])


def traffic(**more: object) -> Traffic:
    return Traffic.model_validate({"load": "closed", "concurrency": 1, "input_tokens": 64, "output_tokens": 8, **more})


def prompts(one: Traffic, n: int, vocabulary: Vocabulary = IDS, replicate: int = 0) -> list[Sequence[object]]:
    sessions = itertools.islice(plan(one, vocabulary, replicate).slice(0, 1), n)
    contents = [turn.content for session in sessions for turn in session.turns]
    return [content.split() if isinstance(content, str) else content for content in contents]


def perfect_cache(requests: Iterable[Sequence[object]]) -> list[tuple[int, int]]:
    """Tokens of each request, and how many of them a cache without limits, in blocks of one token, already holds."""
    root: dict[object, dict[object, object]] = {}
    found = []
    for tokens in requests:
        at: dict[object, object] = root  # type: ignore[assignment]
        held = 0
        for place, token in enumerate(tokens):
            if token in at:
                held = place + 1
            at = at.setdefault(token, {})  # type: ignore[assignment]
        found.append((len(tokens), held))
    return found


def test_no_two_prompts_begin_alike_whatever_replicate_or_seed_or_cell() -> None:
    cells = [
        (traffic(seed=seed, concurrency=level), replicate)
        for seed in (0, 1)
        for level in (1, 8)
        for replicate in (0, 1)
    ]
    every = [tuple(prompt[:3]) for one, replicate in cells for prompt in prompts(one, 1_000, IDS, replicate)]
    assert len(set(every)) == len(every) == 8_000
    # Any 1,000 in a row differ from the first token on.
    assert len({prompt[0] for prompt in prompts(traffic(), 1_000)}) == 1_000


@given(size=st.integers(2, 40_000), seed=st.integers(0, 2**70), replicate=st.integers(0, 1023))
@settings(max_examples=40, deadline=None)
def test_the_first_tokens_are_a_number_in_any_vocabulary(size: int, seed: int, replicate: int) -> None:
    write = writer(Vocabulary(source="ids", ids=range(size)), seed, replicate)
    begun = [tuple(write.fresh(number, 60)[0][: write.unique_entries]) for number in range(300)]
    other = writer(Vocabulary(source="ids", ids=range(size)), seed, (replicate + 1) % 1024)
    begun += [tuple(other.fresh(number, 60)[0][: other.unique_entries]) for number in range(300)]
    assert len(set(begun)) == 600
    assert size**write.unique_entries >= 2**43


@pytest.mark.parametrize("tokens", [4, 16, 128, 5000])
def test_lengths_are_exact(tokens: int) -> None:
    one = traffic(input_tokens=tokens)
    assert {len(prompt) for prompt in prompts(one, 20)} == {tokens}
    assert {len(prompt) for prompt in prompts(one, 20, WORDS)} == {tokens}


def test_the_template_and_longer_words_are_taken_off() -> None:
    worded = Vocabulary(source="estimate", words=WORDS.words, tokens_per_word=1.3, overhead_tokens=11)
    first, second = next(plan(traffic(input_tokens=200, turns=2), worded, 0).slice(0, 1)).turns
    assert (len(str(first.content).split()), first.input_tokens) == (round(189 / 1.3), 188)
    assert (len(str(second.content).split()), second.input_tokens) == (round(200 / 1.3), 200)


def test_drawn_lengths_are_followed_and_never_below_what_makes_a_prompt_unique() -> None:
    lengths = Lengths(shape="exponential", mean=12, most=40)
    drawn = [len(prompt) for prompt in prompts(traffic(input_tokens=lengths), 400)]
    assert min(drawn) == 3
    assert max(drawn) == 40
    assert len(set(drawn)) > 20


@pytest.mark.parametrize("vocabulary", [IDS, WORDS], ids=["ids", "words"])
def test_tokens_are_spread_evenly_and_do_not_repeat(vocabulary: Vocabulary) -> None:
    few = (
        Vocabulary(source="ids", ids=range(50))
        if vocabulary.ids
        else Vocabulary(source="tokenizer", words=WORDS.words[:50])
    )
    tails = [tuple(prompt[-40:]) for prompt in prompts(traffic(), 500, few)]
    assert len(set(tails)) == 500
    counts = np.unique(np.array(tails).ravel(), return_counts=True)[1]
    assert len(counts) == 50
    assert ((counts - 400) ** 2 / 400).sum() < 85  # χ² with 49 degrees of freedom, p = 0.001


def test_shared_prefixes_hit_as_often_as_asked() -> None:
    one = traffic(input_tokens=100, shared_prefix=SharedPrefix(hit_rate=0.6, pool=5))
    seen = perfect_cache(prompts(one, 600))
    share = sum(held for _, held in seen) / sum(tokens for tokens, _ in seen)
    assert share == pytest.approx(0.6 * (1 - 5 / 600), abs=0.002)
    assert sum(held < 60 for _, held in seen) == 5
    assert {tokens for tokens, _ in seen} == {100}


def test_shared_prefixes_of_drawn_lengths_come_close() -> None:
    lengths = Lengths(shape="lognormal", mean=100, cv=0.5, least=10, most=300)
    one = traffic(input_tokens=lengths, shared_prefix=SharedPrefix(hit_rate=0.5, pool=2))
    seen = perfect_cache(prompts(one, 600))[100:]
    share = sum(held for _, held in seen) / sum(tokens for tokens, _ in seen)
    assert share == pytest.approx(0.5, abs=0.02)


def test_replicates_do_not_share_their_prefixes() -> None:
    one = traffic(input_tokens=100, shared_prefix=SharedPrefix(hit_rate=0.6))
    both = [prompts(one, 1, IDS, replicate)[0] for replicate in (0, 1)]
    assert perfect_cache(both)[1] == (100, 0)


def test_without_a_prefix_a_perfect_cache_holds_nothing() -> None:
    for one in (traffic(), traffic(shared_prefix=SharedPrefix(hit_rate=0))):
        assert max(held for _, held in perfect_cache(prompts(one, 3_000))) == 0


def test_later_turns_are_new() -> None:
    session = list(itertools.islice(plan(traffic(turns=3, think_time_s=2), IDS, 0).slice(0, 1), 500))
    firsts = {tuple(turn.content[:3]) for one in session for turn in one.turns}
    assert len(firsts) == 1_500
    assert {one.turns[0].think_s for one in session} == {0.0}
    assert np.mean([one.turns[2].think_s for one in session]) == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize(
    ("more", "vocabulary", "words"),
    [
        ({"input_tokens": 2}, IDS, "input_tokens: 2 input tokens are too few"),
        ({"input_tokens": 12}, Vocabulary("tokenizer", words=WORDS.words, overhead_tokens=10), "chat template"),
        ({"input_tokens": 10, "shared_prefix": SharedPrefix(hit_rate=0.9)}, IDS, "hit_rate"),
        ({}, Vocabulary("file"), "name a tokenizer"),
    ],
)
def test_prompts_too_short_to_differ_are_refused(more: dict[str, object], vocabulary: Vocabulary, words: str) -> None:
    with pytest.raises(InputError, match=words) as said:
        plan(traffic(**more), vocabulary, 0)
    assert len(said.value.lines) == 1


def test_the_salt_knows_files_by_name_alone() -> None:
    here = Traffic(load="trace", trace="/one/place/trace.csv")
    there = Traffic(load="trace", trace="/another/trace.csv")
    assert salt(here) == salt(there) != salt(Traffic(load="trace", trace="/one/place/other.csv"))
