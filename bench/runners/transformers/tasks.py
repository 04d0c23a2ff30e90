"""The loaded network as lm-eval's language model: its tasks then ask the very weights that were scored and timed."""

import logging
from importlib.util import find_spec
from typing import Any

from bench.errors import UnsupportedError
from bench.runners.transformers import text
from bench.runners.transformers.loaded import Loaded
from bench.schema import Model

ROWS = 8
"""Of a batch of lm-eval's requests, which are short."""


def language_model(model: Model, loaded: Loaded, max_tokens: int | None = None) -> Any:
    """An `lm_eval.api.model.LM`. `max_tokens`: the longest row; what the network can read where it is None.

    Raises UnsupportedError where lm-eval is not installed, or where there is no tokenizer.
    """
    if find_spec("lm_eval") is None:
        raise UnsupportedError("tasks need lm-eval, which is not installed", "pip install llm-cost-bench[lm-eval]")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    from lm_eval.models.huggingface import HFLM

    return HFLM(
        pretrained=loaded.network, tokenizer=text.tokenizer(model), batch_size=ROWS, max_length=max_tokens, device=None
    )
