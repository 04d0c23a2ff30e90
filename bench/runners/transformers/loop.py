"""Prefill and decode, one forward a step. No clock: `on_step` is called when a step's tokens are on the host."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache, StaticCache
from transformers.cache_utils import DynamicLayer, StaticLayer

from bench.errors import UnsupportedError
from bench.runners.transformers import kv_cache as kv
from bench.schema import KvCache


@dataclass(frozen=True)
class _Prefix:
    """Keys and values of the first tokens of these prompts."""

    prompts: Sequence[Sequence[int]]
    tokens: int
    cache: Cache


class Loop:
    """Greedy generation of exactly N tokens a row over one network; the static cache is kept between calls.

    `kv_cache`: pack keys and values, which is a kind of cache of its own. `inference_mode`: False for weights that
    fail under it; `torch.no_grad` then does.
    """

    def __init__(
        self,
        network: Any,
        cache: str,
        compile: bool,
        compile_mode: str,
        kv_cache: KvCache | None = None,
        inference_mode: bool = True,
    ) -> None:
        self._kept = kv_cache
        self._inference_mode = inference_mode
        if kv_cache is not None:
            _check_packed(network, cache, compile, kv_cache)
            self._inference_mode = inference_mode and not kv.needs_no_grad(kv_cache)
        can_be_static = kv_cache is None and bool(getattr(network, "_can_compile_fullgraph", False))
        if cache == "static" and not can_be_static:
            raise UnsupportedError(
                f"{type(network).__name__} cannot use a static cache in this transformers", "use cache: auto or dynamic"
            )
        self.cache_kind = "static" if can_be_static and cache in ("auto", "static") else "dynamic"
        if compile and self.cache_kind == "dynamic":
            raise UnsupportedError("torch.compile recompiles at every step with a dynamic cache", "use cache: static")
        if kv_cache is not None:
            self.cache_kind = kv.kind(kv_cache)
        self.compiled = compile
        self._network = network
        self._decode = torch.compile(network.forward, mode=compile_mode, dynamic=False) if compile else network
        takes = inspect.signature(type(network).forward).parameters
        self._takes_positions = "position_ids" in takes
        self._keeps_logits = "logits_to_keep" in takes
        self._static: StaticCache | None = None
        self._static_shape = (0, 0)
        self._prefix: _Prefix | None = None
        self._device = input_device(network)
        self._one_device = len(set((getattr(network, "hf_device_map", None) or {}).values())) <= 1

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: Callable[[int], None]
    ) -> list[list[int]]:
        """Tokens of shape (B, N)."""
        try:
            with self._no_gradients():
                return self._steps(prompts, output_tokens, on_step)
        finally:
            if self._static is not None:
                with self._no_gradients():
                    self._static.reset()  # after the last stamp: clearing the cache is no part of the next first token

    def keep_prefix(self, prompts: Sequence[Sequence[int]], cached_tokens: int) -> None:
        """Keys and values of the first tokens of each row, held for the next `generate` of these prompts.

        They stay in the dynamic cache: the static one takes all of them over after the prefill, as it does without.
        A cache that packs has packed them when `generate` begins.
        """
        self._prefix = None
        cache = self._growing()
        if self.cache_kind == "static":
            static = StaticCache(config=self._network.config, max_cache_len=len(prompts[0]))
            if not _same_kind(cache, static):
                raise UnsupportedError(
                    f"the static cache of {type(self._network).__name__} cannot take a prefix over",
                    "use cache: dynamic",
                )
        ids = torch.tensor([row[:cached_tokens] for row in prompts], device=self._device)
        extra = self._keep(cached_tokens - 1)
        with self._no_gradients():
            logits = self._network(input_ids=ids, past_key_values=cache, use_cache=True, **extra).logits
            self._greedy(logits).tolist()  # waits for the device
        self._prefix = _Prefix(prompts, cached_tokens, cache)

    def _no_gradients(self) -> Any:
        return torch.inference_mode() if self._inference_mode else torch.no_grad()

    def _growing(self) -> Cache:
        """An empty cache that grows with what it is given."""
        config = self._network.config
        return DynamicCache(config=config) if self._kept is None else kv.cache_for(config, self._kept)

    def _steps(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: Callable[[int], None]
    ) -> list[list[int]]:
        rows, length = len(prompts), len(prompts[0])
        prefix, self._prefix = self._prefix, None
        if prefix is not None and prefix.prompts != prompts:  # no more than identities are compared where they match
            prefix = None
        logits, cache = self._prefill(torch.tensor(prompts, device=self._device), length + output_tokens, prefix)
        step = self._greedy(logits)
        tokens = [step.tolist()]  # copies to the host and so waits for the device
        on_step(rows)
        extra = self._keep(0)
        for index in range(output_tokens - 1):
            if self._takes_positions:
                extra["position_ids"] = torch.full((1, 1), length + index, device=self._device)
            logits = self._decode(input_ids=step.unsqueeze(1), past_key_values=cache, use_cache=True, **extra).logits
            step = self._greedy(logits)
            tokens.append(step.tolist())
            on_step(rows)
        return [list(row) for row in zip(*tokens, strict=True)]

    def _prefill(self, ids: torch.Tensor, total: int, prefix: _Prefix | None) -> tuple[torch.Tensor, Any]:
        """Logits of the last prompt position, and the cache to decode with.

        The prompt goes through a dynamic cache and its keys and values are then handed to the static one: attending to
        a static cache needs a mask over its whole length, which rules out the fast causal kernels. What is left of a
        prompt after its prefix attends to both, under a causal mask that the network makes from the cache's length.
        """
        known = 0 if prefix is None else prefix.tokens
        extra = self._keep(ids.shape[1] - known - 1)
        static = self._static_cache(ids.shape[0], total) if self.cache_kind == "static" else None
        prompt = self._growing() if prefix is None else prefix.cache
        if known:
            ids = ids[:, known:]
            if self._takes_positions:
                extra["position_ids"] = torch.arange(known, known + ids.shape[1], device=self._device).unsqueeze(0)
        if static is not None and not _same_kind(prompt, static):
            prompt = static  # sliding windows and the like keep other tokens in each kind of cache
        logits = self._network(input_ids=ids, past_key_values=prompt, use_cache=True, **extra).logits
        if static is None or prompt is static:
            return logits, prompt
        for source, target in zip(prompt.layers, static.layers, strict=True):
            target.update(source.keys, source.values)
            source.keys = source.values = None  # freed as it goes: never two whole caches at once
        return logits, static

    def _keep(self, position: int) -> dict[str, torch.Tensor]:
        """Logits of one position only, chosen by index and not by `logits_to_keep=1`.

        The number cuts a view out of the hidden states, and torch's bf16 product with some such views (short prompts)
        takes a path on CPUs that is up to hundreds of times slower: 4.3 s against 18 ms for the output head of Llama
        3.2 1B, 2 rows of 16 tokens. An index makes a copy first.
        """
        if not self._keeps_logits:
            return {}
        if not self._one_device:
            return {"logits_to_keep": 1}  # the last layer may lie on another device than an index made here
        return {"logits_to_keep": torch.tensor([position], device=self._device)}

    def _greedy(self, logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1].argmax(-1).to(self._device)

    def _static_cache(self, rows: int, tokens: int) -> StaticCache:
        if self._static is None or self._static_shape != (rows, tokens):
            self._static = StaticCache(config=self._network.config, max_cache_len=tokens)
            self._static_shape = (rows, tokens)
        return self._static


def _check_packed(network: Any, cache: str, compile: bool, kept: KvCache) -> None:
    """Raises UnsupportedError for what does not go with packed keys and values."""
    if cache == "static":
        raise UnsupportedError("quantised keys and values cannot lie in a static cache", "use cache: auto")
    if compile:
        raise UnsupportedError("torch.compile needs a static cache, which cannot be quantised", "use compile: false")
    kv.check(network, kept)


def _same_kind(dynamic: Cache, static: StaticCache) -> bool:
    """Whether every layer keeps all tokens in both caches, so that one can be handed to the other."""
    layers = len(static.layers)
    return (
        len(dynamic.layers) == layers
        and all(type(layer) is DynamicLayer for layer in dynamic.layers)
        and all(type(layer) is StaticLayer for layer in static.layers)
    )


def input_device(network: Any) -> torch.device:
    """Where token ids go: the embedding's device, or the one it is brought to when its weights are off-loaded."""
    embedding = network.get_input_embeddings()
    place = getattr(getattr(embedding, "_hf_hook", None), "execution_device", None)
    if place is None:
        place = embedding.weight.device
    return torch.device("cuda", place) if isinstance(place, int) else torch.device(place)
