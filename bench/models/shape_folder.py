"""A folder that stands for a shape: for engines that make random weights themselves, and servers that want text too.

The tokenizer is as made up as the weights: a byte of text is a token, and every other number of the vocabulary is a
word of its own, so that whatever the model says has a text.
"""

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

from bench.errors import InputError, UnsupportedError
from bench.gguf_files.shapes import BYTES, byte_letters
from bench.models import builtin, catalogue
from bench.schema import Model

CHAT = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def ensure(model: Model) -> Path:
    """The folder of a shape, in the user's cache: config, and a tokenizer where the vocabulary has room for one.

    Made where it is missing, and named by its config. Raises UnsupportedError where the config does not name its class,
    InputError when the cache cannot be written.
    """
    settings = catalogue.config(model)
    assert settings is not None
    if not settings.get("architectures"):
        raise UnsupportedError(
            "the config names no class (architectures), and engines know models by it",
            "add a line such as architectures: [LlamaForCausalLM] to the config.json",
        )
    text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    folder = builtin.cache_folder() / "shapes" / f"{settings['model_type']}-{digest}"
    files = {"config.json": text}
    if has_tokenizer(settings):
        files["tokenizer.json"] = json.dumps(tokenizer(settings["vocab_size"]))
        files["tokenizer_config.json"] = json.dumps(
            {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT, "model_max_length": 1_000_000_000}
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if not (folder / name).is_file():
                with tempfile.NamedTemporaryFile("w", dir=folder, delete=False, encoding="utf-8") as draft:
                    draft.write(content)
                Path(draft.name).replace(folder / name)  # whole or not at all, though two may write it at a time
    except OSError as error:
        raise InputError(
            f"{folder}: cannot keep a shape's files there ({error.strerror}); set BENCH_CACHE to another folder"
        ) from None
    return folder


def has_tokenizer(settings: dict[str, Any]) -> bool:
    """Whether each byte can have a number of its own."""
    return isinstance(settings.get("vocab_size"), int) and settings["vocab_size"] >= BYTES


def tokenizer(size: int) -> dict[str, Any]:
    """A tokenizer.json of so many tokens: GPT-2's letters for bytes, then words that no text is made of.

    >>> made = tokenizer(258)
    >>> len(made["model"]["vocab"]), made["model"]["vocab"]["Ġw257"]
    (258, 257)
    """
    vocabulary = [*byte_letters(), *(f"Ġw{number}" for number in range(BYTES, size))]
    return {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "model": {"type": "BPE", "vocab": {token: number for number, token in enumerate(vocabulary)}, "merges": []},
    }
