"""The columns of the page's table: what each is called and what it means. Their values are made in the browser
(`bench/page/static/columns.js`) and, for a reader without scripts, by `bench/page/first_rows.py`."""

from dataclasses import dataclass

SETS = {
    "essential": "Essential",
    "speed": "Speed",
    "dollars": "Dollars",
    "quality": "Quality",
    "all": "All columns",
}


@dataclass(frozen=True)
class Column:
    """`id` is the heading in CSV; `sets` are those of `SETS` that show it, "all" apart, which shows every one."""

    id: str
    heading: str
    unit: str
    meaning: str
    sets: tuple[str, ...]
    numeric: bool = True


_E, _S, _D, _Q = "essential", "speed", "dollars", "quality"
_EVERY = (_E, _S, _D, _Q)

COLUMNS = (
    Column("number", "Row", "", "Place of the row in the report; notes name rows by it.", _EVERY),
    Column("model", "Model", "", "What generated; weights that are random say so.", _EVERY, False),
    Column("precision", "Precision", "", "The type or the level of quantisation of the weights.", _EVERY, False),
    Column("runner", "Runner", "", "The engine or the server, with options that tell rows apart.", (_S, _D, _Q), False),
    Column("machine", "Machine", "", "The hardware that it ran on.", _EVERY, False),
    Column("workload", "Workload", "", "Batch or load, and the tokens of one request.", _EVERY, False),
    Column(
        "verdict",
        "Verdict",
        "",
        "Whether to believe the row: VALID, or codes of what speaks against it.",
        _EVERY,
        False,
    ),
    Column(
        "usd_per_mtok",
        "$/Mtok",
        "",
        "Dollars for a million tokens, input and output together, in the mix of the "
        "row or the one that was asked for: price of an hour × machine seconds / (3600 × utilisation), and what is "
        "paid beside the hour.",
        (_E, _D, _Q),
    ),
    Column(
        "ratio",
        "vs API",
        "",
        "Dollars here over dollars at the API for the same tokens; below 1 is cheaper here.",
        (_E, _D, _Q),
    ),
    Column(
        "break_even",
        "Break-even",
        "utilisation",
        "The utilisation from which on self-hosting is cheaper than the "
        "API; never: not even at full load; a question mark: the interval reaches to both sides.",
        (_E, _D),
    ),
    Column("api", "API", "", "The API that the row is compared with.", (_D,), False),
    Column("api_usd_per_mtok", "API $/Mtok", "", "What that API asks for the same tokens.", (_D,)),
    Column(
        "input_usd_per_mtok",
        "$/Mtok in",
        "",
        "The part of the bill that uncached input made, a million of its tokens.",
        (_D,),
    ),
    Column("cached_usd_per_mtok", "$/Mtok cached", "", "The same of cached input, where a fit tells it apart.", (_D,)),
    Column("output_usd_per_mtok", "$/Mtok out", "", "The same of output.", (_D,)),
    Column(
        "good_usd_per_mtok",
        "$/Mtok good",
        "",
        "The whole bill over the tokens of requests that met every objective.",
        (_D,),
    ),
    Column(
        "floor_usd_per_mtok",
        "Floor",
        "$/Mtok",
        "The dollars if prefill and decode ran at the physical limit of the device.",
        (_D,),
    ),
    Column(
        "electricity_usd_per_mtok",
        "Electricity",
        "$/Mtok",
        "Measured joules at the stated price of a kWh; never added to a rented hour.",
        (_D,),
    ),
    Column("usd_per_hour", "Hour", "USD", "Price of all that the row used, for an hour.", (_D,)),
    Column("utilisation", "Utilisation", "", "Share of the paid hours that serve: an assumption.", (_D,)),
    Column("output_tokens_per_s", "Output", "tok/s", "New tokens a second, of the whole system.", (_E, _S)),
    Column(
        "tokens_per_s_per_user",
        "Per user",
        "tok/s",
        "1 / time per output token: how fast one user sees text.",
        (_E, _S, _Q),
    ),
    Column(
        "ttft_s",
        "TTFT",
        "ms",
        "Time to first token: first token − start (under load: − sent, or − scheduled).",
        (_E, _S),
    ),
    Column("tpot_s", "TPOT", "ms", "Time per output token after the first.", (_S,)),
    Column("itl_s", "ITL", "ms", "Gap between consecutive tokens.", (_S,)),
    Column("e2el_s", "End to end", "s", "Last token − start.", (_S,)),
    Column("prefill_tokens_per_s", "Prefill", "tok/s", "Uncached prompt tokens over TTFT.", (_S,)),
    Column("decode_tokens_per_s", "Decode", "tok/s", "Batch over TPOT.", (_S,)),
    Column(
        "total_tokens_per_s", "In + out", "tok/s", "Prompt and output together; what $/Mtok is computed from.", (_S,)
    ),
    Column("requests_per_s", "Requests", "1/s", "Requests that succeeded, a second.", (_S,)),
    Column("goodput_requests_per_s", "Goodput", "1/s", "Requests that met every objective, a second.", (_S,)),
    Column("mbu", "MBU", "", "Bytes that a decode step must read, over time and peak bandwidth.", (_S,)),
    Column("mfu", "MFU", "", "FLOPs of the prefill, over time and peak rate.", (_S,)),
    Column(
        "decode_limit",
        "Decode limit",
        "",
        "What bounds decode on this device, and the share of that bound which was reached.",
        (_S,),
        False,
    ),
    Column("peak_bytes", "Peak", "GB", "Memory that is needed to run the row at all.", (_S, _Q)),
    Column("energy_j_per_output_token", "Energy", "J/token", "Joules of the timed rounds over output tokens.", (_S,)),
    Column("load_s", "Load", "s", "Weights into memory, on their device.", (_S,)),
    Column(
        "same_top_1",
        "Same top-1",
        "",
        "Share of tokens for which this level and the reference think the same one likeliest.",
        (_E, _Q),
    ),
    Column(
        "delta_nll",
        "ΔNLL",
        "nats",
        "Mean difference of −ln p a token to the reference level, ± a paired standard error.",
        (_Q,),
    ),
    Column(
        "kl_mean",
        "KL",
        "nats",
        "Mean KL divergence of the reference from this level, a token, ± a standard error.",
        (_Q,),
    ),
    Column(
        "bits_per_byte", "Bits per byte", "", "−log₂ p of the text over its bytes: independent of the tokenizer.", (_Q,)
    ),
    Column("perplexity", "Perplexity", "", "exp of the mean −ln p a token.", (_Q,)),
    Column("replicates", "Replicates", "", "New processes that were measured; intervals are over them.", (_S,)),
)


PLACE = Column(
    "place",
    "Place",
    "",
    "Group of rows that may be held against each other, and the place in it, at the prices that the leaderboard was "
    "made with; = shares it with the first of that place, ? has no interval.",
    _EVERY,
)
"""Of a leaderboard alone."""


def ordered(leaderboard: bool) -> tuple[Column, ...]:
    """All of them; a leaderboard has the place and the machine first."""
    if not leaderboard:
        return COLUMNS
    first = [one for one in COLUMNS if one.id in ("number", "machine")]
    return (PLACE, *first, *(one for one in COLUMNS if one not in first))
