"""Where requests go, and the key: from the environment alone, and in no text that is shown."""

import base64
import json
import traceback
from urllib.parse import quote, quote_plus

import pytest

from bench.client import Target
from bench.endpoint.access import redacted, target, url
from bench.errors import InputError
from bench.schema import Endpoint

KEY = "sk-can/ary+0123456789\\abcXYZ=="


@pytest.fixture
def keyed(monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setenv("CANARY", f" {KEY}\n")
    monkeypatch.setenv("OTHER", "0ther-secret-value")
    headers = {"x-other": "${OTHER}", "X-Title": "a benchmark"}
    return target(Endpoint(base_url="https://api.example.com/v1", key_env="CANARY", headers=headers), "https://h/v1")


@pytest.mark.parametrize(
    ("base_url", "api", "path", "port", "tls"),
    [
        ("http://127.0.0.1:8000/v1", "chat", "/v1/chat/completions", 8000, False),
        ("http://127.0.0.1:8000", "completions", "/v1/completions", 8000, False),
        ("https://api.example.com/", "chat", "/v1/chat/completions", 443, True),
        ("http://h/openai/v1/", "chat", "/openai/v1/chat/completions", 80, False),
        ("http://[::1]:9/api/v3", "completions", "/api/v3/completions", 9, False),
    ],
)
def test_the_path_of_the_url_is_kept(base_url: str, api: str, path: str, port: int, tls: bool) -> None:
    found = target(Endpoint.model_validate({"base_url": base_url, "api": api}), base_url)
    assert (found.path, found.port, found.tls) == (path, port, tls)
    assert url(found, found.path).startswith(base_url.rstrip("/"))


def test_key_and_references_come_from_the_environment(keyed: Target) -> None:
    assert dict(keyed.headers) == {
        "Authorization": f"Bearer {KEY}",
        "x-other": "0ther-secret-value",
        "X-Title": "a benchmark",
    }
    for shown in (repr(keyed), str(keyed), f"{keyed}"):
        assert "canary" not in shown.lower()
        assert "ary+0123" not in shown
        assert "secret" not in shown


@pytest.mark.parametrize(("value", "why"), [(None, "is not set"), ("", "is not set"), (" a\nb", "a line break")])
def test_an_environment_without_a_key_is_one_line(value: str | None, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANARY", raising=False)
    if value is not None:
        monkeypatch.setenv("CANARY", value)
    for endpoint in (Endpoint(key_env="CANARY"), Endpoint(headers={"x-key": "${CANARY}"})):
        with pytest.raises(InputError, match=why) as caught:
            target(endpoint, "http://h/v1")
        assert "CANARY" in caught.value.lines[0]


WRITTEN = {
    "plain": KEY,
    "with its scheme": f"Bearer {KEY}",
    "in other capitals": KEY.swapcase(),
    "in a URL": quote(KEY, safe=""),
    "in a form": quote_plus(KEY),
    "in JSON": json.dumps({"got": KEY}),
    "in JSON with escaped slashes": json.dumps(KEY).replace("/", "\\/"),
    "in base64": base64.b64encode(KEY.encode()).decode(),
    "after a user in base64": base64.b64encode(b"me:" + KEY.encode()).decode(),
    "after a colon in base64": base64.b64encode(b":" + KEY.encode()).decode(),
    "in base64 for URLs": base64.urlsafe_b64encode(KEY.encode()).decode(),
    "its first half": KEY[:14],
    "its last half": KEY[14:],
    "masked by the server": f"{KEY[:5]}{'*' * 20}{KEY[-4:]}",
    "another secret": "0ther-secret-value",
}


@pytest.mark.parametrize("how", WRITTEN)
def test_a_key_is_taken_out_however_it_is_written(keyed: Target, how: str) -> None:
    text = redacted(f"Incorrect key provided: {WRITTEN[how]} (see https://example.com/keys)", keyed)
    assert text.startswith("Incorrect key provided: ")
    assert text.endswith(" (see https://example.com/keys)")
    assert "[key]" in text
    for secret in (KEY, "0ther-secret-value"):
        for form in (secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()):
            for at in range(len(form) - 7):
                assert form[at : at + 8].lower() not in text.lower()


def test_what_is_no_key_is_left_alone(keyed: Target) -> None:
    text = "model 'a benchmark' not found; ask for another one **here**"
    assert redacted(text, keyed) == text
    assert redacted("EMPTY", Target("h", 80, False, "/v1")) == "EMPTY"


def test_a_short_key_does_not_blot_out_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY", "abc")
    found = target(Endpoint(key_env="CANARY"), "http://h/v1")
    assert redacted("key abc is not in abcdef", found) == "key [key] is not in abcdef"


def test_a_target_without_a_list_of_secrets_is_redacted_by_its_headers() -> None:
    plain = Target("h", 80, False, "/v1", headers=(("Authorization", f"Bearer {KEY}"), ("X-Title", "completions")))
    assert redacted(f"no such key: {KEY} in completions", plain) == "no such key: [key] in completions"


def test_no_traceback_holds_a_key(keyed: Target) -> None:
    try:
        raise RuntimeError(f"while asking {keyed!r}")
    except RuntimeError:
        assert "canary" not in traceback.format_exc().replace("CANARY", "")
        assert "ary+0123" not in traceback.format_exc()
