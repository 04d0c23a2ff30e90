"""Any server that speaks OpenAI's HTTP dialect, running already or started on this machine.

It loads and generates nothing: requests go out under a load, and `bench/measure/serving/` holds the clock. Here are its
options alone, and what can be said of them before anything runs. A key is never an option: an option is stored in each
record, so an option names the environment variable that holds the key.
"""

import math
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar, NoReturn
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from bench.errors import UnsupportedError
from bench.runners import OnStep
from bench.schema import PRECISIONS, Endpoint, Environment, Model, ModelFacts, Precision

OURS = frozenset(
    {
        *("model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens"),
        *("ignore_eos", "min_tokens", "generation_config", "n", "best_of", "echo"),
    }
)
"""Keys of a request that the load sets, or that would make its counts wrong."""

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REFERENCE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_SECRET_NAME = re.compile(r"auth|key|token|secret|cookie|password|credential|signature", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"(sk|pk|rk|hf|gsk|xai|nvapi|fw|tgp|csk|r8|pplx|key|ghp|ya29|eyJ)[-_.][\w.-]{6,}|eyJ[\w-]{10,}|AIza[\w-]{10,}"
    r"|bearer\s|basic\s",
    re.IGNORECASE,
)
_KEY_NAME = re.compile(r"(openai_?)?api_?key|key|token|password|authorization", re.IGNORECASE)
_SET_BY_US = frozenset({"host", "content-length", "content-type", "connection", "transfer-encoding", "accept-encoding"})
_SCHEME_WORDS = re.compile(r"\s*(bearer|basic|token|apikey|key)?\s*", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"(api_?key|secret|password|credentials?|(?<![a-z])token|(?<![a-z])key)$", re.IGNORECASE)
_SECRET_OPTION = re.compile(r"--?[\w-]*(api-?key|token|password|secret)(=.*)?", re.IGNORECASE)
NAME_IT = "name the environment variable with key_env"
EXPORT_IT = "export it before `bench run`: the server inherits the environment (such as VLLM_API_KEY, LLAMA_API_KEY)"
DIVIDE = frozenset(
    {
        *("--tensor-parallel-size", "-tp", "--tp", "--tp-size", "--tp_size", "--num-shard"),
        *("--pipeline-parallel-size", "-pp", "--pp", "--pp-size", "--pp_size"),
        *("--data-parallel-size", "-dp", "--dp", "--dp-size"),
    }
)
"""Words of vLLM, SGLang, TensorRT-LLM and TGI before the number of devices (docs/servers.md); several multiply."""
LONGEST_S = 30 * 24 * 3600
"""For one request, or for a server to start: beyond, a number is a slip."""


class Options(Endpoint):
    """Where requests go, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _hold_no_key(cls, given: Any) -> Any:
        """First of all, so that no other message repeats what was given: a person may have written a key there."""
        if not isinstance(given, Mapping):
            return given
        if any(isinstance(name, str) and _KEY_NAME.fullmatch(name) for name in given):
            _refuse((), f"a key must not stand in a file: {NAME_IT}")
        _check_headers(given.get("headers"))
        _check_variable(given.get("key_env"))
        _check_url(given.get("base_url"))
        _check_body(given.get("body"))
        _check_server(given.get("server"))
        return {**given, "server": _as_tuples(given["server"])} if given.get("server") is not None else given

    @model_validator(mode="after")
    def _not_contradictory(self) -> "Options":
        if self.base_url is None and self.server is None:
            raise ValueError("needs base_url (a server that runs already) or server (one to start); add one of them")
        if self.base_url is not None and self.server is not None:
            _refuse(("base_url",), "contradicts server: one names a running server, the other starts one; remove one")
        if self.prompt_form == "ids" and self.api == "chat":
            _refuse(("prompt_form",), "token ids go with api: completions only; chat messages are text")
        if self.server is not None and self.ca_file is not None:
            _refuse(("ca_file",), "does nothing for a server on this machine, which speaks plain HTTP; remove it")
        if self.ca_file is not None and (self.base_url or "").startswith("http://"):
            _refuse(("ca_file",), "does nothing for http://; remove it, or write https:// in base_url")
        for key in ("model", "tokenizer", "ca_file"):
            if getattr(self, key) == "":
                _refuse((key,), "must not be empty; leave it out")
        too_long = f"must be {LONGEST_S} s (30 days) or less"
        if self.timeout_s > LONGEST_S:
            _refuse(("timeout_s",), too_long)
        if self.server is not None and self.server.start_timeout_s > LONGEST_S:
            _refuse(("server", "start_timeout_s"), too_long)
        if self.key_env is not None and any(name.lower() == "authorization" for name in self.headers):
            _refuse(("headers",), "Authorization is what key_env makes; remove one of the two")
        return self


class OpenAIRunner:
    """One endpoint with these options."""

    Options: ClassVar[type[BaseModel]] = Options
    ENGINE: ClassVar[Sequence[str]] = ()
    PACKAGES: ClassVar[Sequence[str]] = ("httptools", "orjson")

    def __init__(self, model: Model, precision: Precision, options: BaseModel) -> None:
        assert isinstance(options, Options)
        self._options = options

    def endpoint(self) -> Endpoint:
        """Its options, checked."""
        return self._options

    @classmethod
    def room_bytes(cls, options: BaseModel, environment: Environment) -> int | None:
        return None

    @classmethod
    def devices(cls, options: BaseModel) -> int | None:
        """None of the accelerators for a server on another machine, which this one only asks; of one that is started as
        many as the words of its command divide the model over.
        """
        assert isinstance(options, Options)
        host = urlsplit(options.base_url or "").hostname or "localhost"
        is_here = host in ("localhost", "::1") or host.startswith("127.")
        if not is_here:
            return 0
        count = 1 if options.server is None else _divided((*(options.server.command or ()), *options.server.args))
        return count if count > 1 else None

    @classmethod
    def precisions(cls, environment: Environment) -> dict[str, str | None]:
        return dict.fromkeys(PRECISIONS)

    def load(self) -> ModelFacts:
        self._refuse_batches()

    def generate(
        self, prompts: Sequence[Sequence[int]], output_tokens: int, on_step: OnStep
    ) -> Sequence[Sequence[int]]:
        self._refuse_batches()

    def out_of_memory(self, error: BaseException) -> bool:
        return False

    def _refuse_batches(self) -> NoReturn:
        raise UnsupportedError(
            "an endpoint serves requests and runs no static batches", "give the workload a `load`, such as load: closed"
        )


def _divided(words: Sequence[str]) -> int:
    """Over how many devices these words of a command divide a model."""
    count = 1
    for word, following in pairwise([*words, ""]):
        name, _, value = word.partition("=")
        number = value or following
        count *= int(number) if name in DIVIDE and number.isdecimal() and int(number) > 0 else 1
    return count


Runner = OpenAIRunner


def _check_headers(headers: Any) -> None:
    if headers is None:
        return
    if not isinstance(headers, Mapping):
        _refuse(("headers",), "must be a mapping of keys")
    for name, value in headers.items():
        where = ("headers", str(name))
        if not isinstance(name, str) or not _HEADER.fullmatch(name):
            _refuse(("headers",), "holds a name that HTTP does not allow; letters, digits and '-' make one")
        if not isinstance(value, str):
            _refuse(where, "must be text; write it in quotes")
        if name.lower() in _SET_BY_US:
            _refuse(where, "is set by the client; remove it")
        if any(ord(one) < 32 or ord(one) > 126 for one in value):
            _refuse(where, "must be one line of ASCII text")
        literal = _REFERENCE.sub("", value)
        if literal != value and _SCHEME_WORDS.fullmatch(literal):
            continue
        if _SECRET_NAME.search(name) or _SECRET_VALUE.search(literal):
            how = NAME_IT if name.lower() == "authorization" else f"{NAME_IT}, or write ${{NAME}} for it"
            _refuse(where, f"a key must not stand in a file: {how}")


def _check_variable(name: Any) -> None:
    if not isinstance(name, str):
        return
    if not _VARIABLE.fullmatch(name) or _SECRET_VALUE.match(name):
        _refuse(
            ("key_env",),
            "must be the name of an environment variable, such as OPENAI_API_KEY, and not the key itself; "
            "export the key under a name and write the name here",
        )


def _check_url(url: Any) -> None:
    if not isinstance(url, str):
        return
    example = "such as http://127.0.0.1:8000/v1"
    where = ("base_url",)
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        _refuse(where, f"is no URL: its host or port cannot be read; write it {example}")
    if parts.username is not None or parts.password is not None:
        _refuse(where, f"must not hold a user name or password; {NAME_IT}")
    if parts.scheme not in ("http", "https"):
        _refuse(where, f"must begin with http:// or https://, {example}")
    if not host or port == 0 or re.search(r"[\s\x00-\x1f\x7f]", url):
        _refuse(where, f"must name a host and nothing but ASCII without blanks, {example}")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        _refuse(where, "must not hold a query or fragment; put fields into body, and a key into key_env")
    ending = re.search(r"/((chat/)?completions|models|responses)/*$", parts.path)
    if ending is not None:
        _refuse(where, f"must end before {ending[0]}, which is added (see `api`); write it {example}")


def _check_body(body: Any) -> None:
    if not isinstance(body, Mapping):
        return
    for name, value in body.items():
        where = ("body", str(name))
        if name in OURS:
            _refuse(where, "is set by the load (output_tokens, ignore_eos, stream, model and the like); remove it")
        named = re.search(r"api.?key|secret|password|authorization|access.?token", str(name), re.IGNORECASE)
        if named or (isinstance(value, str) and _SECRET_VALUE.match(value)):
            _refuse(where, f"a key must not stand in a file: {NAME_IT}")
        problem = _not_json(value)
        if problem is not None:
            _refuse(where, problem)


def _not_json(value: Any) -> str | None:
    """What in a value cannot be sent as JSON: a number that is none, or what YAML reads as a day."""
    if isinstance(value, Mapping):
        return next((found for one in value.values() if (found := _not_json(one)) is not None), None)
    if isinstance(value, list):
        return next((found for one in value if (found := _not_json(one)) is not None), None)
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is no JSON number; leave it out, or write null to leave it to the server"
    if value is None or isinstance(value, str | int | float):
        return None
    return f"{value} is no JSON value; write it in quotes"


def _check_server(server: Any) -> None:
    """Its environment and its words are stored with the cell, so they hold no key."""
    if not isinstance(server, Mapping):
        return
    env = server.get("env")
    for name, value in env.items() if isinstance(env, Mapping) else ():
        if _SECRET_VARIABLE.search(str(name)) or (isinstance(value, str) and _SECRET_VALUE.match(value)):
            _refuse(("server", "env", str(name)), f"a key must not stand in a file: {EXPORT_IT}")
    for key in ("command", "args"):
        words = server.get(key)
        for word in words if isinstance(words, list | tuple) else ():
            if isinstance(word, str) and (_SECRET_OPTION.fullmatch(word) or _SECRET_VALUE.match(word)):
                _refuse(("server", key), f"a key must not stand in a file: {EXPORT_IT}")
    if server.get("command") in ([], ()):
        _refuse(("server", "command"), "empty list: name a program, or leave it out for the engine's own")
    for key in ("health_path", "metrics_path"):
        path = server.get(key)
        if isinstance(path, str) and not re.fullmatch(r"/[!-~]*", path):
            _refuse(("server", key), f"must be a path such as {'/health' if key == 'health_path' else '/metrics'}")


def _as_tuples(server: Any) -> Any:
    """Lists of a config as the noun has them; the reader is strict about kinds."""
    if not isinstance(server, Mapping):
        return server
    return {key: tuple(value) if isinstance(value, list) else value for key, value in server.items()}


def _refuse(where: tuple[str, ...], message: str) -> NoReturn:
    """A mistake at a key, without what was given there: it may be a key."""
    problem = InitErrorDetails(type=PydanticCustomError("endpoint", "{said}", {"said": message}), loc=where, input={})
    raise ValidationError.from_exception_data("Options", [problem])
