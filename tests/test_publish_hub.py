"""A published folder pushed by the Hub's real client, to a stand-in on loopback that keeps what arrives."""

import base64
import gzip
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from bench.errors import InputError
from bench.publish import hub, manifest

TOKEN = "hf_" + "aB3" * 12
NAME = "somebody/llm-costs"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the stand-in holds and was asked. `lfs`: endings of files that it wants as large ones."""

    port: int = 0
    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    summaries: list[str] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)
    lfs: tuple[str, ...] = ()
    refuses: int | None = None
    nonsense: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def files(self) -> dict[str, bytes]:
        return self.repos[NAME]


class Handler(BaseHTTPRequestHandler):
    """create_repo, tree, validate-yaml, preupload, commit, and git-lfs' batch, upload and verify."""

    def __init__(self, held: Hub, *arguments: Any) -> None:
        self.held = held
        super().__init__(*arguments)

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if not self._may():
            return
        path = self.path.partition("?")[0]
        if path.startswith(f"/api/datasets/{NAME}/tree/"):
            names = self.held.files.items()
            self._send([{"type": "file", "path": name, "size": len(data), "oid": "0" * 40} for name, data in names])
        else:
            self._send({"error": "not found"}, 404)

    def do_PUT(self) -> None:
        """Where the batch told the client to put an object; the address alone is the right to do it."""
        self.held.objects[self.path.rpartition("/")[2]] = self._body()
        self._send({})

    def do_POST(self) -> None:
        body = self._body()
        if not self._may():
            return
        path = self.path.partition("?")[0]
        if path == "/api/repos/create":
            said = json.loads(body)
            self.held.created.append(said)
            name = f"{said['organization']}/{said['name']}"
            known = name in self.held.repos
            self.held.repos.setdefault(name, {})
            self._send({"url": f"{self.held.url}/datasets/{name}"}, 409 if known else 200)
        elif path == "/api/validate-yaml":
            header = json.loads(body)["content"].split("---\n")[1]
            self._send({"errors": [] if isinstance(yaml.safe_load(header), dict) else ["no header"], "warnings": []})
        elif path == f"/api/datasets/{NAME}/preupload/main":
            modes = [
                {
                    "path": one["path"],
                    "uploadMode": "lfs" if one["path"].endswith(self.held.lfs or ("//",)) else "regular",
                    "shouldIgnore": False,
                }
                for one in json.loads(body)["files"]
            ]
            self._send({"files": modes})
        elif path == f"/datasets/{NAME}.git/info/lfs/objects/batch":
            self._send({"transfer": "basic", "objects": [self._lfs(one) for one in json.loads(body)["objects"]]})
        elif path == "/verify":
            said = json.loads(body)
            self._send({}, 200 if len(self.held.objects[said["oid"]]) == said["size"] else 400)
        elif path == f"/api/datasets/{NAME}/commit/main":
            for line in body.splitlines():
                self._commit(**json.loads(line))
            self._send({"commitUrl": f"{self.held.url}/datasets/{NAME}/commit/{COMMIT}", "commitOid": COMMIT})
        else:
            self._send({"error": "not found"}, 404)

    def _lfs(self, one: dict[str, Any]) -> dict[str, Any]:
        actions = {
            "upload": {"href": f"{self.held.url}/objects/{one['oid']}"},
            "verify": {"href": f"{self.held.url}/verify"},
        }
        return {"oid": one["oid"], "size": one["size"], "actions": actions}

    def _commit(self, key: str, value: dict[str, Any]) -> None:
        if key == "header":
            self.held.summaries.append(value["summary"])
        elif key == "file":
            self.held.files[value["path"]] = base64.b64decode(value["content"])
        elif key == "lfsFile":
            data = self.held.objects[value["oid"]]
            assert hashlib.sha256(data).hexdigest() == value["oid"]
            self.held.files[value["path"]] = data
        elif key == "deletedFile":
            del self.held.files[value["path"]]

    def _may(self) -> bool:
        self.held.tokens.add(self.headers.get("Authorization"))
        if self.held.nonsense:
            self._send(["welcome to a home page"])
            return False
        if self.held.refuses is not None:
            self._send({"error": "you may not"}, self.held.refuses)
            return False
        return True

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            data = b""
            while size := int(self.rfile.readline(), 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _send(self, said: Any, status: int = 200) -> None:
        data = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The stand-in; the client may use the network, which here ends at loopback, and has no login."""
    found = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, found))
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", os.devnull)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As `bench publish` leaves it, as far as pushing knows."""
    place = tmp_path / "xeon-2cpu"
    (place / "runs" / "quick").mkdir(parents=True)
    (place / "charts").mkdir()
    (place / "README.md").write_text("# What a million tokens cost\n")
    (place / "table.csv").write_text("model,usd_per_mtok\na,0.1\n")
    (place / "runs" / "quick" / "records.jsonl").write_text('{"schema_version":1}\n')
    (place / "charts" / "cost.png").write_bytes(b"\x89PNG\r\n" + bytes(range(256)) * 40)
    manifest.write(place, {"runs": {"quick": 1}, "licence": "cc-by-4.0"})
    return place


def push(held: Hub, folder: Path, **how: Any) -> hub.Pushed:
    return hub.push(folder, NAME, endpoint=held.url, **how)


def test_what_arrives_is_the_folder_byte_for_byte(held: Hub, folder: Path) -> None:
    done = push(held, folder, private=True)
    assert done == hub.Pushed(f"{held.url}/datasets/{NAME}", COMMIT)
    assert [(one["type"], one["name"], one["visibility"]) for one in held.created] == [
        ("dataset", "llm-costs", "private")
    ]
    assert held.tokens == {f"Bearer {TOKEN}"}
    local = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert held.files.keys() == local.keys()
    changed = {name for name in local if held.files[name] != local[name]}
    assert changed == {"README.md", "MANIFEST.json"}
    said = json.loads(held.files["MANIFEST.json"])
    for name, one in said["files"].items():
        assert one == {"bytes": len(held.files[name]), "sha256": hashlib.sha256(held.files[name]).hexdigest()}
    assert said["licence"] == "cc-by-4.0"


def test_the_card_says_licence_tags_and_where_the_data_is(held: Hub, folder: Path) -> None:
    push(held, folder)
    _, header, text = held.files["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(header) == {
        "license": "cc-by-4.0",
        "tags": ["llm-cost-bench", "benchmark"],
        "pretty_name": "What a million tokens cost on xeon-2cpu",
        "configs": [{"config_name": "default", "data_files": "table.csv"}],
    }
    assert text.strip() == (folder / "README.md").read_text().strip()
    assert "license" not in hub.card(None, "x")


@pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")  # the client's own way of calling its transport
def test_large_files_go_the_way_that_the_hub_asks_for(held: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    held.lfs = (".png",)
    push(held, folder)
    data = (folder / "charts" / "cost.png").read_bytes()
    assert held.objects == {hashlib.sha256(data).hexdigest(): data}
    assert held.files["charts/cost.png"] == data


def test_a_second_push_renews_it_and_leaves_a_person_s_own_files(held: Hub, folder: Path) -> None:
    held.repos[NAME] = {
        "charts/gone.svg": b"old",
        "runs/old/records.jsonl": b"old",
        "thesis.md": b"mine",
        ".gitattributes": b"",
    }
    push(held, folder)
    assert "charts/gone.svg" not in held.files
    assert "runs/old/records.jsonl" not in held.files
    assert held.files["thesis.md"] == b"mine"
    assert held.files["table.csv"] == (folder / "table.csv").read_bytes()


def refused(call: Any) -> str:
    with pytest.raises(InputError) as caught:
        call()
    assert len(caught.value.lines) == 1
    assert "\n" not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "does not know this token (401)"),
        (403, "may not write somebody/llm-costs (403)"),
        (404, "(404)"),
        (400, "(400)"),
    ],
)
def test_a_refusal_is_one_line(status: int, said: str, held: Hub, folder: Path) -> None:
    held.refuses = status
    assert said in refused(lambda: push(held, folder))
    assert held.repos == {}


def test_a_server_that_is_no_hub_is_one_line(held: Hub, folder: Path) -> None:
    held.nonsense = True
    assert "answers unlike the Hub" in refused(lambda: push(held, folder))


def test_nobody_there_is_one_line(held: Hub, folder: Path) -> None:
    line = refused(lambda: hub.push(folder, NAME, endpoint="http://127.0.0.1:9"))
    assert "http://127.0.0.1:9 cannot be reached" in line


def test_without_a_token_nothing_is_sent(held: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert "put one into the environment variable HF_TOKEN" in refused(lambda: push(held, folder))
    assert "hf auth login" in refused(lambda: hub.push(folder, NAME))
    assert "variable MY_TOKEN" in refused(lambda: push(held, folder, token_env="MY_TOKEN"))  # noqa: S106
    assert held.tokens == set()
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    push(held, folder, token_env="MY_TOKEN")  # noqa: S106
    assert held.tokens == {f"Bearer {TOKEN}"}


def test_a_login_is_sent_to_no_other_hub(
    held: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "login").write_text(TOKEN)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "login"))
    assert hub.check(NAME) == TOKEN
    assert "no token to write with" in refused(lambda: push(held, folder))


def test_offline_mode_is_said(held: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in refused(lambda: push(held, folder))


@pytest.mark.parametrize("name", ["llm-costs", "a/b/c", "some body/x", "", "a/b--c"])
def test_a_dataset_has_an_owner_and_a_name(name: str, held: Hub, folder: Path) -> None:
    assert refused(lambda: hub.push(folder, name, endpoint=held.url)).startswith("--push: ")


def test_an_endpoint_is_a_url(held: Hub, folder: Path) -> None:
    assert "--endpoint: 'hub.example' is no URL" in refused(lambda: hub.push(folder, NAME, endpoint="hub.example"))


def test_a_folder_is_looked_through_once_more(held: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_SECRET", "open sesame please")
    (folder / "table.csv").write_text("model\nopen sesame please\n")
    assert "table.csv:2: the value of OTHER_SECRET" in refused(lambda: push(held, folder))
    assert held.tokens == set()


def test_only_a_publication_is_pushed(held: Hub, tmp_path: Path) -> None:
    assert "no publication of ours" in refused(lambda: push(held, tmp_path))
