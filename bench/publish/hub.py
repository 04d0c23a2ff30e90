"""A published folder as a dataset on the Hugging Face Hub, by the Hub's own client.

One dataset holds one folder. What goes up is the folder, byte for byte, but for two files: the README gets the header
that the Hub reads (licence, tags, which file is the data), and the manifest says so. The token comes from the
environment or from the client's login and is never an argument; a login belongs to huggingface.co alone and is sent to
no other endpoint.
"""

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.errors import InputError
from bench.publish import manifest, privacy
from bench.publish.escaping import line

TAGS = ("llm-cost-bench", "benchmark")
OWN = ("runs/*", "charts/*")
"""Files of an older publication that go where the new one has no such file."""

TOKEN_ENV = "HF_TOKEN"  # noqa: S105 - the name of a variable
PUBLIC_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Pushed:
    """Where it is now."""

    url: str
    commit: str


def push(
    folder: Path,
    repo_id: str,
    *,
    private: bool = False,
    endpoint: str | None = None,
    token_env: str | None = None,
    ignored: tuple[str, ...] = (),
) -> Pushed:
    """Upload a published folder to the dataset `repo_id` (owner/name), which is made where there is none.

    `ignored` is `privacy.check`'s. Raises InputError, one line: no publication, a secret in it, no token, no right to
    write, an endpoint that is none, no network.
    """
    stored = manifest.read(folder)
    if stored is None:
        raise InputError(f"{folder}: no publication of ours; run `bench publish` first")
    token = check(repo_id, endpoint, token_env)
    findings = privacy.check(folder, ignored)
    if findings:
        raise InputError(*(one.text() for one in findings))
    with tempfile.TemporaryDirectory(prefix="bench-push-") as place:
        stage = Path(place) / "dataset"
        shutil.copytree(folder, stage)
        text = (folder / "README.md").read_text(encoding="utf-8")
        (stage / "README.md").write_text(card(stored.get("licence"), folder.name) + text, encoding="utf-8")
        said = {key: value for key, value in stored.items() if key not in ("schema_version", "tool", "files")}
        manifest.write(stage, said)
        return _sent(stage, repo_id, private, endpoint, token)


def check_name(repo_id: str) -> None:
    """Raises InputError for what names no dataset; needs neither a token nor a network."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise InputError(f"--push: {line(str(error))}") from None
    if repo_id.count("/") != 1:
        raise InputError(f"--push: {repo_id!r} is no owner/dataset; name both, such as your-name/llm-costs")


def check(repo_id: str, endpoint: str | None = None, token_env: str | None = None) -> str:
    """The token, where all that can be known beforehand is well. Raises InputError else, so before any work is done."""
    from huggingface_hub import constants

    check_name(repo_id)
    if endpoint is not None and not endpoint.startswith(("https://", "http://")):
        raise InputError(f"--endpoint: {endpoint!r} is no URL; it begins with https://")
    if constants.HF_HUB_OFFLINE:
        raise InputError(
            "--push: HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids the Hub's client the network; unset it"
        )
    token = _token(token_env, endpoint)
    if not token:
        name = token_env or TOKEN_ENV
        login = "" if token_env or _foreign(endpoint) else ", or log in with `hf auth login`"
        raise InputError(f"--push: no token to write with; put one into the environment variable {name}{login}")
    return token


def _token(token_env: str | None, endpoint: str | None) -> str | None:
    if token_env is not None or _foreign(endpoint):
        return os.environ.get(token_env or TOKEN_ENV) or None
    from huggingface_hub import get_token

    return os.environ.get(TOKEN_ENV) or get_token()


def _foreign(endpoint: str | None) -> bool:
    """Whether it is another hub than the one that a login is for."""
    return endpoint is not None and endpoint.rstrip("/") != PUBLIC_HUB


def card(licence: str | None, name: str) -> str:
    """The header of a dataset's README, as the client writes it: licence, tags, and table.csv as the data."""
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        license=licence,
        tags=list(TAGS),
        pretty_name=f"What a million tokens cost on {name}",
        configs=[{"config_name": "default", "data_files": "table.csv"}],
    )
    return f"---\n{data.to_yaml()}\n---\n\n"


def _sent(stage: Path, repo_id: str, private: bool, endpoint: str | None, token: str) -> Pushed:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    api = HfApi(endpoint=endpoint, token=token)
    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        url = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(
            folder_path=stage,
            repo_id=repo_id,
            repo_type="dataset",
            commit_message="Results by bench publish",
            delete_patterns=list(OWN),
        )
        return Pushed(str(url), commit.oid)
    except HfHubHTTPError as error:
        raise InputError(_refused(error, repo_id, api.endpoint)) from None
    except (HTTPError, OSError) as error:
        reason = line(str(error) or type(error).__name__)
        raise InputError(
            f"--push: {api.endpoint} cannot be reached ({reason}); the folder itself is complete"
        ) from None
    except (ValueError, KeyError, TypeError, RuntimeError) as error:
        if isinstance(error.__cause__, HfHubHTTPError):  # one large file was refused
            raise InputError(_refused(error.__cause__, repo_id, api.endpoint)) from None
        reason = line(": ".join(str(one) for one in (error, error.__cause__) if one) or type(error).__name__)
        raise InputError(f"--push: {api.endpoint} answers unlike the Hub ({reason}); is --endpoint right?") from None
    finally:
        if not quiet:
            enable_progress_bars()


def _refused(error: Exception, repo_id: str, endpoint: str) -> str:
    """One line for a status that is no success."""
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if status == 401:
        return f"--push: {endpoint} does not know this token (401); make one at {endpoint}/settings/tokens"
    if status == 403:
        return f"--push: this token may not write {repo_id} (403); it needs the right to write, and the owner's name"
    if status == 404:
        return f"--push: {endpoint} has no such place for datasets (404); is --endpoint right?"
    said = getattr(error, "server_message", None) or _message(response) or str(error)
    return f"--push: {endpoint} refused ({status}): {line(said)}"


def _message(response: object) -> str | None:
    try:
        found = json.loads(getattr(response, "content", b"")).get("error")
    except (ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None
