"""Hub ids through the real client, against a hub on loopback that holds one tiny checkpoint."""

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from bench.models import hub as hub_files
from bench.schema import Model
from tests.commands import bench, lines

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "somebody/tiny-llama"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as the client asks for: repository information and files with ETag and commit."""

    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, body: bool) -> None:
        type(self).asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/models/{NAME}/tree/"):
            tree = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}  # noqa: S324
                for name, data in self.files.items()
            ]
            self._send(200, json.dumps(tree).encode(), body)
            return
        if path.startswith(f"/api/models/{NAME}"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
            self._send(200, json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings, "tags": []}).encode(), body)
            return
        for revision in ("main", COMMIT):
            prefix = f"/{NAME}/resolve/{revision}/"
            if path.startswith(prefix) and path.removeprefix(prefix) in self.files:
                self._send(200, self.files[path.removeprefix(prefix)], body)
                return
        code = "EntryNotFound" if f"/{NAME}/resolve/" in path else "RepoNotFound"
        self._send(404, b"", body, error=code)

    def _send(self, status: int, data: bytes, body: bool, error: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{hashlib.sha256(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the hub."""
    folder = tmp_path_factory.mktemp("checkpoint")
    shape = {"vocab_size": 256, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    AutoModelForCausalLM.from_config(
        LlamaConfig(**shape, num_attention_heads=4, max_position_embeddings=64), dtype=torch.float32
    ).save_pretrained(folder)
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()} | {"pytorch_model.bin": b"pickled"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def run(tmp_path: Path, hub: str, name: str, revision: str = "main") -> Any:
    config = tmp_path / "hub.yaml"
    config.write_text(
        f"models: {{source: {name}, revision: {revision}}}\nprecisions: fp32\nsampling: {{max_replicates: 1}}\n"
        "workloads: {input_tokens: 4, output_tokens: 3}\nprotocol: {rounds: 1, memory_pass: false}\n"
    )
    return bench(
        "run",
        config,
        "--out",
        tmp_path / "out",
        HF_ENDPOINT=hub,
        HF_HOME=str(tmp_path / "home"),
        HF_HUB_OFFLINE="0",
        HF_HUB_DISABLE_XET="1",
    )


@pytest.mark.parametrize("revision", ["main", pytest.param(COMMIT, marks=pytest.mark.slow)])
def test_a_hub_id_is_fetched_before_the_run_and_its_commit_recorded(tmp_path: Path, hub: str, revision: str) -> None:
    Hub.asked.clear()
    done = run(tmp_path, hub, NAME, revision)
    assert done.returncode == 0, done.stderr
    assert f"fetching {NAME}" in done.stderr
    (record,) = lines(tmp_path / "out")
    assert record["status"] == "ok"
    assert record["measurement"]["facts"]["weights_id"] == f"commit:{COMMIT}"
    assert any(one.startswith("GET") and one.endswith("model.safetensors") for one in Hub.asked)
    assert not any("pytorch_model.bin" in one for one in Hub.asked), "pickled weights were fetched unasked"


def test_an_unknown_hub_id_is_a_typed_record(tmp_path: Path, hub: str) -> None:
    done = run(tmp_path, hub, "somebody/nothing")
    assert done.returncode == 2
    assert "warning: somebody/nothing could not be fetched" in done.stderr
    (record,) = lines(tmp_path / "out")
    assert record["status"] == "unsupported"
    assert "check the id, the revision, the network and your access to it" in record["error"]["remedy"]
    assert "Traceback" not in done.stderr


def test_without_the_hub_children_do_not_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's client tries for half a minute; 27 cells that each did so would take a quarter of an hour."""
    said: list[str] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")  # and so restored afterwards
    hub_files.fetch(Model(source="nobody/nothing-here"), lambda: True, said.append)
    assert said == [
        "warning: nobody/nothing-here could not be fetched: no answer from the hub, and it is not in the cache"
    ]
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_all_parts_of_a_split_gguf_file_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda _, name, **__: asked.append(name))
    first = "q8/tiny-00001-of-00003.gguf"
    hub_files.fetch(Model(source="somebody/tiny", gguf_file=first), lambda: True, lambda _: None)
    assert asked == [f"q8/tiny-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
