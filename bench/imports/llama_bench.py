"""llama-bench of llama.cpp: `-o json` and `-o jsonl`. Definitions are those of its source, tools/llama-bench.

It times tests, not requests. `pp S` is a prefill of S random tokens up to the logits of the last one; `tg N` are N
decode steps of one random token each, from an empty context or after `-d` tokens, nothing sampled; `pg S,N` is one
after the other on one clock. Repetitions are of one process, so they give no interval (a new process is a replicate).

A `pp` and a `tg` test with the same settings are put together as requests of S tokens in and N out: where there is a
`tg` at the depth where that prompt ends, with it, else with the one that begins where the prompt does, and a doubt.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import InputError
from bench.imports.found import Found
from bench.imports.llama_settings import Settings, settings
from bench.imports.values import Values, document, lines, peek, peek_line
from bench.schema import Imported, ImportedDoubt, ImportedFigure

TOOL = "llama-bench"

_TELLING = ("model_filename", "model_type", "n_prompt", "n_gen", "avg_ns")
_LEFT_OUT = {
    "avg_ts, stddev_ts, samples_ts": "mean of the rates of single repetitions; ours is tokens over the median time",
    "stddev_ns": "of repetitions in one process, which are no replicates: no interval is made of it",
}
_NO_SAMPLING = "times have no sampling in them: llama-bench feeds random tokens and chooses none"
_ONE_STEP = (
    "N generated tokens are N decode steps after the prompt, one more than a request of N tokens needs, whose first "
    "token comes out of the prompt: rates are lower by at most 1/N"
)


@dataclass(frozen=True)
class _Test:
    """One test: `prompt` tokens in and `generated` steps after `depth` tokens that were there, timed `n` times."""

    prompt: int
    generated: int
    depth: int
    time_s: float
    n: int
    said: str
    began: str | None
    of: Settings

    @property
    def name(self) -> str:
        """As llama-bench's own table has it: pp512, tg128 @ d4096."""
        both = self.prompt and self.generated
        kind = f"pp{self.prompt}+tg{self.generated}" if both else f"pp{self.prompt}" if self.prompt else ""
        return (kind or f"tg{self.generated}") + (f" @ d{self.depth}" if self.depth else "")


def claims(text: str, name: str) -> bool:  # noqa: ARG001
    """By the keys of its first test, also where the end of the file is missing; its CSV too, to say what to do."""
    if text.lstrip()[:1] not in ("[", "{"):
        return text.lstrip().startswith("build_commit,") and "model_filename" in text.split("\n", 1)[0]
    whole, first = peek(text), peek_line(text)
    head = whole[0] if isinstance(whole, list) and whole else first if isinstance(first, dict) else None
    if isinstance(head, dict):
        return head.keys() >= set(_TELLING)
    return whole is None and all(f'"{key}"' in text[:5000] for key in ("model_filename", "model_type", "n_gen"))


def read(file: Path, text: str) -> list[Found]:
    """Requests that the tests can be put together to, and the tests that stand alone.

    Raises InputError for what is no such file, a broken one, and a test with a time of zero or less.
    """
    groups: dict[tuple[Any, ...], list[_Test]] = defaultdict(list)
    for values in _objects(file, text):
        test = _test(values)
        groups[test.of.key].append(test)
    return [found for tests in groups.values() for found in _cells(_once(tests))]


def _objects(file: Path, text: str) -> Iterator[Values]:
    start = text.lstrip()[:1]
    if start not in ("[", "{"):
        raise InputError(f"{file}: no JSON; run llama-bench with -o json or -o jsonl, which hold every repetition")
    if start == "[" and text.rstrip()[-1:] not in ("]",):
        ended = text.rstrip().endswith("}")
        rest = "add ] at its end to read the tests that were finished, or run it again" if ended else "run it again"
        raise InputError(f"{file}: ends in the middle, at byte {len(text.encode())}: llama-bench was stopped; {rest}")
    if start == "[":
        said = document(file, text)
        if not isinstance(said, list):
            raise InputError(f"{file}: no list of tests; name the file that llama-bench -o json wrote")
        yield from (Values(file, one, f"[{index}]") for index, one in enumerate(said))
        return
    whole = peek(text)  # one test alone, spread over lines
    found = [whole] if isinstance(whole, dict) else lines(file, text)
    yield from (Values(file, one, f"test {number}") for number, one in enumerate(found, 1))


def _test(of: Values) -> _Test:
    prompt, generated = of.count("n_prompt"), of.count("n_gen")
    if not prompt and not generated:
        raise of.error("n_prompt", "0, and n_gen too: a test of nothing; run it again with -p and -n")
    if of.said.get("embeddings") in (True, 1, "1"):
        raise of.error("embeddings", "a test of embeddings, which generates nothing; leave --embeddings out")
    times_ns = of.numbers("samples_ns")
    for index, one in enumerate(times_ns):
        if one <= 0:
            raise of.error(f"samples_ns[{index}]", "must be above 0; the clock did not move: run it again")
    if not times_ns and of.number("avg_ns") <= 0:
        raise of.error("avg_ns", "must be above 0; run it again")
    return _Test(
        prompt=prompt,
        generated=generated,
        depth=of.count_or_none("n_depth") or 0,
        time_s=(median(times_ns) if times_ns else of.number("avg_ns")) / 1e9,
        n=max(1, len(times_ns)),
        said="median(samples_ns)" if times_ns else "avg_ns",
        began=of.text("test_time") or None,
        of=settings(of),
    )


def _once(tests: Sequence[_Test]) -> list[_Test]:
    """A test that stands twice, as when files are put one behind the other, counts by the median of its times."""
    same: dict[tuple[int, int, int], list[_Test]] = defaultdict(list)
    for one in tests:
        same[one.prompt, one.generated, one.depth].append(one)
    return [
        each[0]
        if len(each) == 1
        else replace(
            each[0],
            time_s=median(one.time_s for one in each),
            n=sum(one.n for one in each),
            said=f"the median over {len(each)} tests of {each[0].said}",
        )
        for each in same.values()
    ]


def _cells(tests: Sequence[_Test]) -> Iterator[Found]:
    """Of tests with the same settings."""
    prompts = [one for one in tests if not one.generated]
    steps = [one for one in tests if not one.prompt]
    used: set[_Test] = set()
    for one in tests:
        if one.prompt and one.generated:
            yield _whole(one)
    for first in prompts:
        end = first.depth + first.prompt
        after = [one for one in steps if one.depth == end]
        matching = after or [one for one in steps if one.depth == first.depth]
        used |= set(matching)
        yield from (_composed(first, then, end) for then in matching)
        if not matching:
            yield _alone(first)
    yield from (_alone(one) for one in steps if one not in used)


def _whole(one: _Test) -> Found:
    """`-pg`: the request itself."""
    steps, tokens = one.generated, one.prompt + one.generated
    figures = {
        "e2el_s": _figure(one, one.time_s, f"{one.said} / 1e9"),
        "output_tokens_per_s": _figure(one, steps / one.time_s, f"n_gen / {one.said}"),
        "total_tokens_per_s": _figure(one, tokens / one.time_s, f"(n_prompt + n_gen) / {one.said}"),
        "requests_per_s": _figure(one, 1 / one.time_s, f"1 / {one.said}"),
    }
    return _found(one, (one,), figures, remarks=(_NO_SAMPLING, _ONE_STEP))


def _composed(first: _Test, then: _Test, end: int) -> Found:
    """A prompt and the decode after it, timed in tests of their own. `end`: tokens in the context after the prompt."""
    figures = _prefill(first) | _decode(then)
    doubts: tuple[ImportedDoubt, ...] = ()
    if then.depth != end:
        where = "an empty context" if not then.depth else f"a context of {then.depth} tokens"
        doubts = (
            ImportedDoubt(
                code="short-context",
                what=f"decode was timed from {where} ({then.name}), not after the prompt, where it is slower: "
                "the dollars are too low, by how much the file does not say",
                remedy=f"run llama-bench with -d {end} for -n {then.generated}, or with -pg",
            ),
        )
    remarks = (
        f"a request is put together of two tests, {first.name} and {then.name}: nothing was timed as a whole",
        _NO_SAMPLING,
        _ONE_STEP,
    )
    whole = replace(first, generated=then.generated, n=min(first.n, then.n))
    return _found(whole, (first, then), figures, remarks, doubts)


def _alone(one: _Test) -> Found:
    """A test whose other half is not in the file."""
    if one.prompt:
        return _found(one, (one,), _prefill(one), (_NO_SAMPLING, "only the prompt was timed: give -n too"))
    return _found(one, (one,), _decode(one), (_NO_SAMPLING, "only the decode was timed: give -p too"))


def _prefill(one: _Test) -> dict[str, ImportedFigure]:
    return {
        "prefill_tokens_per_s": _figure(one, one.prompt / one.time_s, f"n_prompt / {one.said} of {one.name}"),
        "ttft_s": _figure(one, one.time_s, f"{one.said} / 1e9 of {one.name}, without the choice of the token"),
    }


def _decode(one: _Test) -> dict[str, ImportedFigure]:
    rate, tpot = one.generated / one.time_s, one.time_s / one.generated
    return {
        "decode_tokens_per_s": _figure(one, rate, f"n_gen / {one.said} of {one.name}"),
        "tokens_per_s_per_user": _figure(one, rate, f"n_gen / {one.said} of {one.name}, one sequence"),
        "tpot_s": _figure(one, tpot, f"{one.said} / 1e9 / n_gen of {one.name}"),
    }


def _figure(one: _Test, value: float, said: str) -> ImportedFigure:
    return ImportedFigure(value=value, n=one.n, said=said)


def _found(
    one: _Test,
    of: Sequence[_Test],
    figures: Mapping[str, ImportedFigure],
    remarks: tuple[str, ...],
    doubts: tuple[ImportedDoubt, ...] = (),
) -> Found:
    setting = one.of
    began = min((test.began for test in of if test.began), default=None)
    imported = Imported(
        tool=TOOL,
        tool_version=setting.version,
        file="",
        sha256="",
        measured_at=began,
        engine=setting.engine,
        hardware=setting.hardware,
        figures=dict(figures),
        weights_bytes=setting.weights_bytes,
        left_out=_LEFT_OUT,
        remarks=(*remarks, *setting.remarks),
        doubts=doubts,
    )
    prompt = one.depth + one.prompt
    return Found(
        imported=imported,
        model=setting.model,
        precision=setting.precision,
        engine=setting.engine,
        batch_size=1,
        input_tokens=float(prompt) if prompt else None,
        cached_tokens=float(one.depth) if one.prompt else 0.0,
        output_tokens=float(one.generated) if one.generated else None,
        options={"tests": " and ".join(test.name for test in of), **setting.options},
        accelerators=setting.accelerators,
        cpu_model=setting.cpu_model,
        cpu_count=setting.cpu_count,
    )
