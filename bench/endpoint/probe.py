"""What a server does, found out by a few tiny requests before the load, and put on record.

At most `MOST` requests of at most 16 tokens each. Prompts are random rows of common words, so that no cache knows them.
What a server refuses or ignores is given up with a note in its own words; only a server that answers nothing at all is
an error. A refused request costs nothing on a paid endpoint; what the others may have cost is counted.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.client import Target, Transport
from bench.endpoint import listing
from bench.endpoint.access import is_loopback, redacted, url
from bench.endpoint.asked import Answer, Asker
from bench.endpoint.bodies import EXACT, sampling
from bench.endpoint.refusals import refusal
from bench.endpoint.words import WORDS
from bench.errors import InputError
from bench.schema import Capabilities, Endpoint

MOST = 8
MOST_TO_BE_HEARD = 6
"""Of them, until a first one is answered."""
NEW = 16
"""Tokens asked for: more than a model says that was asked for one word."""
SHORT, LONG = 8, 72
"""Words of the two prompts whose difference tells how many tokens a word is."""
ONE_WORD = ("please", "answer", "with", "only", "one", "word", "yes")
"""Ends every prompt, in words of the same kind: an answer that is longer than this asks for ignored its end."""
IDS = (1000, 2500, 5000, 7500, 10_000, 12_500, 15_000, 19_999)
"""Token ids that every vocabulary of 20,000 and more has, and that are special in none that is known."""

ANY_NAME = "default"
"""Asked for where none is known: some servers take any name, and one says which is its own."""

_PINNED = re.compile(r"pinned to '([^']+)'")


def probe(endpoint: Endpoint, target: Target, transport: Transport, say: Callable[[str], None]) -> Capabilities:
    """What the endpoint can do.

    Raises InputError in one line where it refuses everything: unreachable, wrong key, no such model or path, not ready.
    """
    found = _Probe(endpoint, target, transport).run()
    say(
        f"the probe took {found.probe_requests} requests, {found.probe_input_tokens} tokens in "
        f"and {found.probe_output_tokens} out"
    )
    return found


@dataclass
class _Probe:
    endpoint: Endpoint
    target: Target
    transport: Transport
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    exact: str | None = "ignore_eos"
    limit: str = "max_tokens"
    streams: bool = True
    no_cache: bool = False
    is_strict: bool = False
    """It checks fields as FastAPI does (422), and so may be transformers, which has a field of its own."""
    model: str = ""

    def run(self) -> Capabilities:
        self.asker = Asker(self.transport, self.target, self.endpoint.timeout_s)
        self.streams = self.endpoint.stream
        self.where = url(self.target, self.target.path)
        self.listing = listing.listed(self.target)
        listed_at = url(self.target, self.target.path.removesuffix("/completions").removesuffix("/chat") + "/models")
        known = self.endpoint.model or listing.chosen(self.listing, listed_at)
        if known is None and len(self.listing.names) > 1 and not is_loopback(self.where):
            raise listing.several(self.listing, listed_at)
        self.model = known or ANY_NAME
        first = self._be_heard(None if known else listing.several(self.listing, listed_at))
        if self.streams and not first.is_stream:
            self.streams = False
            self.notes.append(
                "no stream: the server answered with one JSON document, so there is no time to first token"
            )
        is_llama = first.timings
        self.no_cache = is_llama
        second = self._ask(self._prompt(LONG), exact=None) if self._may_ask("length of a word") else None
        if second is not None and not second.worked:
            self.notes.append(f"a second request failed ({second.message}): tokens of a word are not known")
            self.no_cache, second = False, None
        per_word, overhead = self._lengths(first, second)
        exact = self._exact(first, second)
        token_ids = self._token_ids()
        if first.usage is None:
            self.notes.append("no usage in the answer: tokens are counted by chunks or by a local tokenizer")
        return Capabilities(
            served_model=self.model,
            server=redacted(self.listing.server or first.headers.get("server", ""), self.target) or None,
            streams=self.streams,
            usage_chunk=first.usage is not None and self.streams,
            usage_per_chunk=self.streams and first.usages >= first.token_events > 1,
            exact_length=exact,
            token_ids=token_ids,
            limit_field="max_completion_tokens" if self.limit == "max_completion_tokens" else "max_tokens",
            cached_tokens=_tells_cached(first) or (second is not None and _tells_cached(second)),
            tokens_per_word=per_word,
            overhead_tokens=overhead,
            engine_timings=first.timings,
            refused_fields=tuple(self.refused),
            prompt_cache_switch=self.no_cache,
            probe_requests=self.asker.requests,
            probe_input_tokens=self.asker.input_tokens,
            probe_output_tokens=self.asker.output_tokens,
            notes=tuple(self.notes),
        )

    # --- one request

    def _ask(self, prompt: Any, exact: str | None) -> Answer:
        endpoint = self.endpoint
        fields: dict[str, Any] = {"model": self.model, **sampling(endpoint, self.refused), self.limit: NEW}
        if endpoint.api == "chat":
            fields["messages"] = [{"role": "user", "content": prompt}]
        else:
            fields["prompt"] = prompt
        if self.streams:
            fields["stream"] = True
            if "stream_options" not in self.refused:
                options = {"include_usage": True, "continuous_usage_stats": True}
                fields["stream_options"] = {key: value for key, value in options.items() if key not in self.refused}
        if exact == "generation_config":
            fields[exact] = f'{{"max_new_tokens":{NEW},"min_new_tokens":{NEW}}}'
        elif exact is not None:
            fields[exact] = NEW if exact in EXACT else True
        if self.no_cache:
            fields.setdefault("cache_prompt", False)
        return self.asker.ask(fields, most_tokens=NEW, most_input=3 * len(prompt))

    def _prompt(self, words: int) -> str:
        """A row of words that nobody sent before."""
        drawn = random.SystemRandom().choices(WORDS, k=words)
        return "".join(f" {word}" for word in [*drawn, *ONE_WORD])

    def _may_ask(self, what: str) -> bool:
        if self.asker.requests < MOST:
            return True
        self.notes.append(f"not tried, because {MOST} requests were used up: {what}")
        return False

    # --- until something is answered

    def _be_heard(self, unnamed: InputError | None) -> Answer:
        """The first answer, after giving up what the server refuses."""
        while True:
            answer = self._ask(self._prompt(SHORT), self.exact)
            if answer.worked:
                if unnamed is not None and len(self.listing.names) > 1 and self.model == ANY_NAME:
                    raise unnamed  # it takes any name: which of its models answered is anyone's guess
                return answer
            if self.asker.requests >= MOST_TO_BE_HEARD or not self._gave_way(answer):
                if unnamed is not None and answer.status in (400, 404, 422, 500):
                    raise unnamed
                raise refusal(answer, self.endpoint, self.where, self.model)

    def _gave_way(self, answer: Answer) -> bool:
        """Whether there was something to give up that may help."""
        if answer.failure is not None or answer.status not in (200, 400, 404, 422, 500, 501):
            return False
        said = answer.message
        pinned = _PINNED.search(said)
        if pinned is not None and self.endpoint.model is None and pinned[1] != self.model:
            self.model = pinned[1]
            return True
        if answer.status == 404:
            return False
        if self.limit == "max_tokens" and "max_completion_tokens" in said:
            self._note("max_completion_tokens is sent instead of max_tokens", answer)
            self.limit = "max_completion_tokens"
            return True
        named = [name for name in self._given_up_in_order() if re.search(rf"\b{name}\b", said)]
        if "continuous_usage_stats" in named and "stream_options" in named:
            named.remove("stream_options")  # it is only where the other one stood
        if named:
            self._give_up(named, answer)
        elif self._given_up_in_order():
            self._give_up(self._given_up_in_order()[:1], answer)
        else:
            return False
        return True

    def _given_up_in_order(self) -> list[str]:
        """What may still be left out, the least usual first."""
        names = [self.exact] if self.exact is not None else []
        if self.streams:
            names += ["continuous_usage_stats", "stream_options"]
        if "temperature" not in self.endpoint.body:
            names.append("temperature")
        if self.streams:
            names.append("stream")
        return [name for name in names if name not in self.refused]

    def _give_up(self, names: Sequence[str], answer: Answer) -> None:
        self._note(f"{', '.join(names)} left out", answer)
        for name in names:
            if name == self.exact:
                self.exact = None
                self.is_strict = answer.status == 422
                if "continuous_usage_stats" in self._given_up_in_order():
                    self.refused.append("continuous_usage_stats")  # no more a part of OpenAI's dialect
            elif name == "stream":
                self.streams = False
            self.refused.append(name)

    def _note(self, what: str, answer: Answer) -> None:
        self.notes.append(f"{what}: the server said {answer.status} ({answer.message})")

    # --- what the answers show

    def _lengths(self, short: Answer, long: Answer | None) -> tuple[float | None, int | None]:
        """Tokens a word of synthetic text, and what the server adds to each prompt."""
        few = short.count("prompt_tokens")
        many = None if long is None else long.count("prompt_tokens")
        if few is None or many is None:
            return None, None
        per_word = (many - few) / (LONG - SHORT)
        if not 0.2 < per_word < 10:
            self.notes.append(f"the usage is odd: {few} and {many} prompt tokens for {SHORT} and {LONG} words and some")
            return None, None
        return per_word, max(0, round(few - per_word * (SHORT + len(ONE_WORD))))

    def _exact(self, first: Answer, control: Answer | None) -> str | None:
        """By which field answers get exactly their length, seen where one without it is shorter."""
        alone = None if control is None else _tokens(control)
        if self.exact is not None:
            got = _tokens(first)
            if got == NEW:
                if alone == NEW:
                    self.notes.append(
                        f"{self.exact} was taken, but this model does not end by itself within {NEW} tokens: "
                        "that answers get their whole length was not seen"
                    )
                return self.exact
            self.notes.append(f"{self.exact} was taken and ignored: {_came(got)} of {NEW} tokens came")
            if got is not None and got > NEW:
                self.notes.append(f"the server ignores {self.limit}: answers may be longer than asked for")
                return None
            others = ["min_tokens"]
        else:
            others = ["generation_config"] if self.is_strict else []
        for other in others:
            if not self._may_ask(other):
                break
            answer = self._ask(self._prompt(SHORT), other)
            if answer.worked and _tokens(answer) == NEW:
                return other
            came = f"{_came(_tokens(answer))} of {NEW} tokens came" if answer.worked else answer.message
            self.notes.append(f"{other} does not help either: {came}")
        self.notes.append("answers cannot be made to have their whole length: they end where the model ends them")
        return None

    def _token_ids(self) -> bool:
        """Whether prompts can be token ids, and are taken as they are."""
        if self.endpoint.api == "chat" or self.endpoint.prompt_form == "text" or not self._may_ask("token ids"):
            return False
        drawn = [one + random.SystemRandom().randrange(500) for one in IDS[:-1]]
        answer = self._ask([*drawn, IDS[-1]], exact=None)
        counted = answer.count("prompt_tokens")
        if answer.worked and counted in (len(IDS), None):
            return True
        why = f"{counted} tokens for {len(IDS)} ids" if answer.worked else f"{answer.status}: {answer.message}"
        self.notes.append(f"prompts are text, because token ids are not taken as they are ({why})")
        return False


def _tokens(answer: Answer) -> int | None:
    """Of the answer; by its events where there is no usage, and each may then hold several."""
    counted = answer.count("completion_tokens")
    return counted if counted is not None else (answer.token_events or None)


def _came(count: int | None) -> str:
    return "nobody knows how many" if count is None else str(count)


def _tells_cached(answer: Answer) -> bool:
    usage = answer.usage or {}
    details = usage.get("prompt_tokens_details")
    return (isinstance(details, dict) and "cached_tokens" in details) or "prompt_cache_hit_tokens" in usage
