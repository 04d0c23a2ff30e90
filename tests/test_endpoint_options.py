"""The options of runner `openai`: a mistake is one line with file, line and key, and never repeats a key."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench import runners
from bench.errors import InputError, UnsupportedError
from bench.models import catalogue
from bench.plan import read
from bench.runners.openai import OpenAIRunner, Options
from bench.schema import Endpoint, Model, Served
from tests.commands import ROOT

CANARY = "sk-canary-0123456789abcdef"


def said(tmp_path: Path, *lines: str) -> str:
    """What the reader says of a config whose runner has these lines."""
    path = tmp_path / "load.yaml"
    text = "models: shape:pythia-70m\nprecisions: served\nworkloads: {input_tokens: 8, output_tokens: 8}\nrunners:\n"
    path.write_text(text + "  - name: openai\n" + "".join(f"    {line}\n" for line in lines))
    with pytest.raises(InputError) as caught:
        read.sweep(path)
    assert len(caught.value.lines) == 1, caught.value.lines
    assert CANARY not in str(caught.value)
    return caught.value.lines[0].removeprefix(str(tmp_path)).lstrip("/")


URL = "base_url: http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("lines", "where", "what"),
    [
        ((), "5", "needs base_url"),
        ((URL, "server: {engine: llama.cpp}"), "6", "contradicts server"),
        (("base_url: ftp://h/v1",), "6", "must begin with http:// or https://"),
        (("base_url: http:///v1",), "6", "must name a host"),
        (("base_url: http://h:port/v1",), "6", "its host or port cannot be read"),
        ((f"base_url: https://me:{CANARY}@h/v1",), "6", "must not hold a user name or password"),
        ((f"base_url: https://h/v1?key={CANARY}",), "6", "must not hold a query"),
        (("base_url: https://h/v1/chat/completions",), "6", "must end before /chat/completions"),
        (("base_urll: http://h/v1",), "6", "did you mean 'base_url'?"),
        ((URL, f"headers: {{Authorization: Bearer {CANARY}}}"), "7", "name the environment variable with key_env"),
        (
            (URL, f"headers: {{x-api-key: {CANARY}}}"),
            "7",
            "name the environment variable with key_env, or write ${NAME}",
        ),
        ((URL, f"headers: {{X-Title: {CANARY}}}"), "7", "a key must not stand in a file"),
        ((URL, "headers: {api-key: 12345678}"), "7", "must be text; write it in quotes"),
        ((URL, f"headers: 'Authorization: {CANARY}'"), "7", "must be a mapping of keys"),
        ((URL, 'headers: {X-Title: "a\\nb"}'), "7", "must be one line of ASCII text"),
        ((URL, "headers: {Host: other}"), "7", "is set by the client"),
        ((URL, "headers: {Authorization: 'Bearer ${A}'}", "key_env: B"), "7", "Authorization is what key_env makes"),
        ((URL, f"key_env: {CANARY}"), "7", "must be the name of an environment variable"),
        ((URL, "key_env: hf_canary0123456789"), "7", "must be the name of an environment variable"),
        ((URL, f"api_key: {CANARY}"), "5", "name the environment variable with key_env"),
        ((URL, "body: {max_tokens: 5}"), "7", "is set by the load"),
        ((URL, f"body: {{api_key: {CANARY}}}"), "7", "a key must not stand in a file"),
        ((URL, "prompt_form: ids"), "7", "api: completions only"),
        ((URL, "api: chats"), "7", "must be 'chat' or 'completions'"),
    ],
)
def test_a_mistake_is_one_line_at_its_key(tmp_path: Path, lines: tuple[str, ...], where: str, what: str) -> None:
    found = said(tmp_path, *lines)
    assert found.startswith(f"load.yaml:{where}"), found
    assert what in found


def test_a_server_is_read_with_its_lists(tmp_path: Path) -> None:
    options = Options.model_validate({"server": {"engine": "llama.cpp", "args": ["-c", "4096"]}}, strict=True)
    assert options.server is not None
    assert options.server.args == ("-c", "4096")
    again = Options.model_validate(options.model_dump(mode="json"))  # as the child reads it
    assert again == options
    assert "did you mean 'args'?" in said(tmp_path, "server: {engine: llama.cpp, arg: [a]}")


def test_references_in_headers_are_kept_as_they_are_written() -> None:
    written = {"api-key": "${AZURE_KEY}", "Authorization": "Basic ${PAIR}", "X-Title": "a benchmark"}
    assert Options(base_url="https://h/v1", headers=written).headers == written


def test_the_runner_serves_and_runs_no_batches() -> None:
    runner = OpenAIRunner(Model(source="served"), Served(name="served"), Options(base_url="http://h/v1"))
    assert runners.serves(OpenAIRunner)
    assert runners.serves(runner)
    assert isinstance(runner, runners.Serves)
    assert not runners.serves(runners.find("fake"))
    assert isinstance(runner.endpoint(), Endpoint)
    for call in (runner.load, lambda: runner.generate([[1]], 1, lambda _: None)):
        with pytest.raises(UnsupportedError, match="give the workload a `load`"):
            call()


def test_options_are_light() -> None:
    code = "import bench.runners.openai, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert not {"torch", "transformers", "httpx", "httptools", "tokenizers", "numpy"} & set(done.stdout.split())


@pytest.mark.parametrize(("source", "label"), [("served", "served"), ("served:big-model", "big-model")])
def test_a_served_model_has_a_name_and_no_files(source: str, label: str, tmp_path: Path) -> None:
    model = catalogue.checked(Model(source=source), tmp_path)
    assert catalogue.kind(model) == "served"
    assert catalogue.config(model) is None
    assert catalogue.label(model) == label
    with pytest.raises(InputError, match="revision is for hub ids"):
        catalogue.checked(Model(source=source, revision="main"), tmp_path)
    with pytest.raises(InputError, match="needs a name after its colon"):
        catalogue.checked(Model(source="served:"), tmp_path)
