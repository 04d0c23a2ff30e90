"""Generations over vLLM's engine: rows go in as token ids, steps are counted as they come out."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.errors import UnsupportedError
from bench.runners import OnStep


class Loop:
    """The engine of a loaded `LLM`, one generation after another."""

    def __init__(self, llm: Any) -> None:
        self.llm = llm
        self._engine = llm.llm_engine
        settings = self._engine.vllm_config
        self._most_rows: int = settings.scheduler_config.max_num_seqs
        self._cache_tokens: int | None = getattr(settings.cache_config, "kv_cache_size_tokens", None)
        self._block_tokens: int = settings.cache_config.block_size or 1
        self._begun = 0

    def together(self, prompts: Sequence[Sequence[int]], new: int, on_step: OnStep) -> list[list[int]]:
        """All rows from the first step on. A step is reported when its last row has its token.

        A prompt that is divided among steps lets other rows run ahead, so rows are counted and not steps. Raises
        UnsupportedError where the rows cannot all be in the engine at once.
        """
        self._check_all_fit(prompts, new)
        rows: list[list[int]] = [[] for _ in prompts]
        reported = 0
        for row, tokens in self._steps(prompts, new):
            if row is not None:
                rows[row] += tokens
                continue
            least = min(map(len, rows))
            while reported < least:
                reported += 1
                on_step(len(rows))
        return rows

    def as_scheduled(self, prompts: Sequence[Sequence[int]], new: int, on_step: OnStep) -> list[list[int]]:
        """As many rows at once as the engine takes; each step reports how many got a token."""
        rows: list[list[int]] = [[] for _ in prompts]
        given = 0
        for row, tokens in self._steps(prompts, new):
            if row is not None:
                rows[row] += tokens
                given += bool(tokens)
            elif given:
                on_step(given)
                given = 0
        return rows

    def _steps(self, prompts: Sequence[Sequence[int]], new: int) -> Iterator[tuple[int | None, Sequence[int]]]:
        """(row, its new tokens) for every row that got some, then (None, ()) at the end of each step."""
        from vllm.sampling_params import RequestOutputKind, SamplingParams

        params = SamplingParams(
            temperature=0.0, max_tokens=new, ignore_eos=True, detokenize=False, output_kind=RequestOutputKind.DELTA
        )
        places = {f"{self._begun}-{row}": row for row in range(len(prompts))}
        self._begun += 1
        for name, row in places.items():
            self._engine.add_request(name, {"type": "token", "prompt_token_ids": list(prompts[row])}, params)
        step: Callable[[], list[Any]] = self._engine.step
        while self._engine.has_unfinished_requests():
            for output in step():
                yield places[output.request_id], output.outputs[0].token_ids
            yield None, ()

    def _check_all_fit(self, prompts: Sequence[Sequence[int]], new: int) -> None:
        count = len(prompts)
        if count > self._most_rows:
            raise UnsupportedError(
                f"a static batch of {count} rows needs them all at once, and vLLM takes {self._most_rows} "
                "(max_num_seqs)",
                f"max_num_seqs: {count} in the runner's options, or scheduling: continuous in the workload",
            )
        blocks = sum(-(-(len(row) + new) // self._block_tokens) for row in prompts)
        needed = blocks * self._block_tokens  # no two rows share a block
        if self._cache_tokens is not None and needed > self._cache_tokens:
            raise UnsupportedError(
                f"a static batch of {needed} tokens does not fit into a KV cache of {self._cache_tokens}",
                "a larger kv_cache_gib or gpu_memory_utilization, or scheduling: continuous in the workload",
            )
