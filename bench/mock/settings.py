"""How the mock server behaves: each setting is an option of `bench mock-server` and a key of a request's `mock`."""

from typing import Literal

from pydantic import ConfigDict, Field

from bench.schema.noun import Noun

Usage = Literal["asked", "none", "final", "finish", "chunk", "wrong", "non-stream"]
Limit = Literal["any", "max_tokens", "max_completion_tokens"]
ExactBy = Literal["any", "ignore_eos", "min_tokens", "generation_config", "none"]
MOST_S = 86_400.0


class MockSettings(Noun):
    """Times in seconds. `_after` counts tokens: the fault comes where the next token would have come."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # When tokens come.
    ttft_s: float = Field(0.05, ge=0, le=MOST_S, description="from the whole request to the first token")
    ttft_s_per_input_token: float = Field(0.0, ge=0, le=10, description="added for each prompt token not cached")
    itl_s: float = Field(0.01, ge=0, le=MOST_S, description="from one token to the next")
    jitter: float = Field(0.0, ge=0, le=10, description="coefficient of variation of both (lognormal, same means)")
    slowdown: float = Field(0.0, ge=0, le=100, description="itl_s grows by this share with each other running stream")
    stall_after: int | None = Field(None, ge=0, description="tokens after which nothing comes for stall_s")
    stall_s: float = Field(3600.0, ge=0, le=MOST_S, description="with stall_after")

    # What an answer holds.
    tokens: int | None = Field(None, ge=0, le=10_000_000, description="default: as many as asked")
    chunk_tokens: int = Field(1, ge=1, le=100_000, description="tokens in each event")
    text: str = Field(" tok", min_length=1, description="of one token")
    role_chunk: bool = Field(True, description="chat: an event with the role alone, as soon as the request is taken up")
    empty_chunks: int = Field(0, ge=0, le=1000, description="events without a token before the first one")
    reasoning_tokens: int = Field(0, ge=0, description="chat: so many of the tokens, the first, are reasoning_content")
    tool_tokens: int = Field(0, ge=0, description="chat: so many of the tokens, the last, are a tool call")
    finish: bool = Field(True, description="a finish reason")
    done: bool = Field(True, description="[DONE] at the end")
    usage: Usage = Field(
        "asked",
        description="asked: as stream_options says; none; final: in an event of its own; finish: beside the finish "
        "reason; chunk: in each; wrong: final, with other numbers; non-stream: only where nothing is streamed",
    )
    template_tokens: int = Field(0, ge=0, description="added to the words of a prompt, as a chat template does")
    cached_share: float | None = Field(None, ge=0, le=1, description="share of the prompt said to be cached")
    prefix_cache: bool = Field(False, description="remember prompts by blocks of 16 words, and say what was cached")
    engine_timings: bool = Field(False, description="llama.cpp's timings in the last event")

    # How it is written.
    crlf: bool = Field(False, description="lines of the stream end with CR LF")
    multiline: bool = Field(False, description="each event's JSON stands in two data lines")
    comments: bool = Field(False, description="a comment line before each event")
    split_bytes: int | None = Field(None, ge=1, description="write in pieces of so many bytes, 0.2 ms apart")
    event_bytes: int | None = Field(None, ge=1, le=1 << 28, description="text of the first token's event")
    close: bool = Field(False, description="no chunked encoding: the end of the connection ends the answer")

    # What goes wrong.
    error_share: float = Field(0.0, ge=0, le=1, description="of the requests that get error_status")
    error_status: int = Field(500, ge=400, le=599)
    echo_key: bool = Field(False, description="repeat the Authorization header in the text of each error")
    error_after: int | None = Field(None, ge=0, description="tokens after which the stream holds an error")
    abort_after: int | None = Field(None, ge=0, description="tokens after which the connection is reset")
    fin_after: int | None = Field(None, ge=0, description="tokens after which it is closed in the middle of an event")
    endless: bool = Field(False, description="tokens come without end")
    malformed: Literal["none", "json", "http"] = Field("none", description="broken events, or no HTTP at all")
    redirect: str | None = Field(None, min_length=1, description="answer 307 with this address")

    # Dialects.
    strict: bool = Field(False, description="422 for fields that are not known, as transformers serve does")
    stream_options: bool = Field(True, description="taken; if not: 400")
    limit_field: Limit = Field("any", description="the one that is taken; the other: 400")
    ends_early: bool = Field(False, description="answers end at a random length, unless exact_by is asked for")
    exact_by: ExactBy = Field("any", description="what makes an answer's length exact, with ends_early")
    token_ids: bool = Field(True, description="completions take prompts as token ids; if not: 400")

    # Of the whole server.
    model: str = Field("mock", min_length=1, description="the one that it lists")
    slots: int | None = Field(None, ge=1, description="streams at once; other requests wait")
    starting_s: float = Field(0.0, ge=0, le=MOST_S, description="503 to everything for so long after the start")
    keep_alive_s: float | None = Field(None, gt=0, le=MOST_S, description="idle connections are closed after this")
    key_env: str | None = Field(None, description="environment variable with the only key that is let in; else 401")
    seed: int = Field(0, ge=0, description="of jitter, errors and random lengths")
    log_stamps: bool = Field(False, description="the truth log holds the time of each write")


SERVER_ONLY = ("model", "slots", "starting_s", "keep_alive_s", "key_env", "seed", "log_stamps")
"""What a request cannot choose for itself."""
