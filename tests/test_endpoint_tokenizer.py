"""Prompts have the length that was asked for: by the local tokenizer, and by the usage of a real llama.cpp server."""

import os
import random
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import orjson
import pytest

from bench.client.transport import StreamTransport
from bench.endpoint.access import target
from bench.endpoint.asked import Answer, Asker
from bench.endpoint.bodies import Bodies
from bench.endpoint.probe import probe
from bench.endpoint.tokenizer import FILE, LocalTokenizer, find
from bench.endpoint.vocabulary import agrees, vocabulary
from bench.errors import InputError
from bench.loads import Vocabulary
from bench.models import builtin
from bench.schema import Capabilities, Endpoint, Model
from tests.commands import ROOT

NAME = "smollm2-135m"
BUILTIN = Model(source=f"builtin:{NAME}")
SERVED = Model(source="served")


@pytest.fixture(scope="module")
def smollm() -> LocalTokenizer:
    return LocalTokenizer(builtin.ensure(NAME, print) / FILE)


def row(words: Vocabulary, tokens: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(words.words, k=tokens))


# --- on this machine


def test_rows_of_words_have_as_many_tokens_as_words(smollm: LocalTokenizer) -> None:
    assert len(smollm.words) >= 1000
    draw = random.Random(1)
    for tokens in (1, 2, 3, 17, 128, 777):
        text = "".join(draw.choices(smollm.words, k=tokens))
        assert smollm.count(text) == smollm.count(text.strip()) == tokens
    assert all(word[0] == " " and word[1:].isalpha() and word.islower() for word in smollm.words)


def test_special_tokens_are_left_out(smollm: LocalTokenizer) -> None:
    import tokenizers

    whole = tokenizers.Tokenizer.from_file(str(smollm.path))
    special = set(whole.get_added_tokens_decoder())
    assert special
    assert not special & set(smollm.ids)
    assert len(smollm.ids) == whole.get_vocab_size() - len(special)


def sentencepiece(path: Path, merges_blanks: bool) -> LocalTokenizer:
    """A tokenizer that writes blanks as SentencePiece does and puts one before each text; a pair may become one."""
    import tokenizers
    from tokenizers import decoders, models, normalizers

    letters = "▁abcdef"
    pairs = [("▁", "a"), ("▁a", "b"), ("▁", "c"), ("▁c", "d"), ("▁", "e"), ("▁e", "f")]
    pairs += [("▁ab", "▁cd")] if merges_blanks else []
    vocabulary = {one: at for at, one in enumerate([*letters, *("".join(pair) for pair in pairs)])}
    made = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Metaspace()
    made.save(str(path))
    return LocalTokenizer(path)


def test_words_that_melt_into_their_neighbours_are_dropped(tmp_path: Path) -> None:
    kept = sentencepiece(tmp_path / "a.json", merges_blanks=False)
    assert kept.words == (" ab", " cd", " ef")
    assert kept.count("".join(kept.words * 5)) == 15 + 1  # with the blank that this vocabulary puts before a text
    assert sentencepiece(tmp_path / "b.json", merges_blanks=True).words == (" ef",)


@pytest.mark.parametrize(
    ("endpoint", "model"),
    [
        (Endpoint(), BUILTIN),
        (Endpoint(), Model(source=str(builtin.folder(NAME)))),
        (Endpoint(), Model(source=str(builtin.gguf_file(NAME)))),
        (Endpoint(tokenizer=f"builtin:{NAME}"), SERVED),
        (Endpoint(tokenizer=str(builtin.folder(NAME))), SERVED),
        (Endpoint(tokenizer=str(builtin.folder(NAME) / FILE)), SERVED),
        (Endpoint(model=str(builtin.folder(NAME))), SERVED),
    ],
)
def test_the_tokenizer_is_found(endpoint: Endpoint, model: Model, smollm: LocalTokenizer) -> None:
    said: list[str] = []
    found = find(endpoint, model, said.append)
    assert found is not None
    assert found.count(" hello world") == 2
    assert said == []


def test_no_tokenizer_is_said_and_a_wrong_one_is_an_error(tmp_path: Path) -> None:
    said: list[str] = []
    for endpoint, model in (
        (Endpoint(), SERVED),
        (Endpoint(model="gpt-9"), SERVED),
        (Endpoint(), Model(source="nobody/nothing")),
        (Endpoint(), Model(source=str(tmp_path))),
    ):
        assert find(endpoint, model, said.append) is None
    assert len(said) == 4
    for name in ("nobody/nothing", str(tmp_path), "builtin:what"):
        with pytest.raises(InputError, match=r"^tokenizer: no tokenizer\.json of"):
            find(Endpoint(tokenizer=name), SERVED, said.append)
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(InputError, match="not a tokenizer"):
        find(Endpoint(tokenizer=str(tmp_path)), SERVED, said.append)
    assert find(Endpoint(), Model(source=str(tmp_path)), said.append) is None
    assert "not a tokenizer" in said[-1]


def test_what_prompts_are_made_of(smollm: LocalTokenizer, tmp_path: Path) -> None:
    able = Capabilities(served_model="m", tokens_per_word=1.0, overhead_tokens=30, token_ids=True)
    chat, texts = Endpoint(), Endpoint(api="completions")
    found = vocabulary(chat, able, smollm)
    assert (found.source, found.overhead_tokens, found.tokens_per_word) == ("tokenizer", 30, 1.0)
    assert found.words == smollm.words
    assert vocabulary(texts, able, smollm).ids == smollm.ids
    assert vocabulary(texts, able, None).source == "ids"
    assert vocabulary(texts.model_copy(update={"prompt_form": "text"}), able, smollm).source == "tokenizer"
    assert vocabulary(texts, able, smollm, turns=3).source == "tokenizer"
    other = able.model_copy(update={"tokens_per_word": 1.3})
    assert not agrees(other, smollm)
    found = vocabulary(chat, other, smollm)
    assert (found.source, found.tokens_per_word) == ("estimate", 1.3)
    assert vocabulary(chat, able, None).source == "estimate"
    ids = texts.model_copy(update={"prompt_form": "ids"})
    with pytest.raises(InputError, match="takes no token ids"):
        vocabulary(ids, able.model_copy(update={"token_ids": False}), smollm)
    with pytest.raises(InputError, match="conversations hold answers"):
        vocabulary(ids, able, smollm, turns=2)


# --- on a real server

SERVER = """
import sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.port = sys.argv[1], int(sys.argv[2])
p.n_parallel, p.n_ctx, p.warmup, p.cpuparams.n_threads = 1, 1024, False, 1
server = xllamacpp.Server(p)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def llama(smollm: LocalTokenizer) -> Iterator[str]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    words = [sys.executable, "-c", SERVER, str(builtin.gguf_file(NAME)), str(port)]
    running = subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, "HF_HUB_OFFLINE": "1"}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        until = monotonic() + 60
        while not _is_ready(port):
            assert running.poll() is None
            assert monotonic() < until
            sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        running.kill()
        running.wait()
        if running.stdin is not None:
            running.stdin.close()


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def asked(base_url: str, endpoint: Endpoint, found: Capabilities, content: Any, tokens: int) -> Answer:
    to = target(endpoint, base_url)
    transport = StreamTransport(to)
    try:
        body = Bodies(endpoint, found, ignore_eos=True, caching=False).body([content], tokens)
        return Asker(transport, to, 60).ask(orjson.loads(body), tokens, tokens)
    finally:
        transport.close()


@pytest.mark.parametrize(
    ("api", "form", "source"),
    [("chat", "auto", "tokenizer"), ("completions", "text", "tokenizer"), ("completions", "auto", "ids")],
)
def test_a_real_server_counts_what_was_asked(
    llama: str, smollm: LocalTokenizer, api: str, form: str, source: str
) -> None:
    endpoint = Endpoint.model_validate({"base_url": llama, "api": api, "prompt_form": form})
    to = target(endpoint, llama)
    transport = StreamTransport(to)
    found = probe(endpoint, to, transport, lambda _: None)
    transport.close()
    assert (found.exact_length, found.prompt_cache_switch, found.engine_timings) == ("ignore_eos", True, True)
    assert (found.tokens_per_word, found.token_ids) == (1.0, source == "ids")
    assert found.server is not None
    assert found.server.startswith("llama.cpp")
    words = vocabulary(endpoint, found, smollm)
    assert words.source == source
    wanted = 64
    in_words = row(words, wanted - words.overhead_tokens, 3) if words.words else ""
    content: Any = in_words or random.Random(3).choices(words.ids, k=wanted)
    for _ in range(2):  # with a prompt cache, all of the second one would be in it
        answer = asked(llama, endpoint, found, content, 5)
        assert (answer.count("prompt_tokens"), answer.count("completion_tokens")) == (wanted, 5)
        details = (answer.usage or {}).get("prompt_tokens_details", {})
        assert details.get("cached_tokens") == 0
