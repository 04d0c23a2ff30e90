"""All the claims, in the order in which this project began with them."""

from collections.abc import Sequence
from datetime import date

from bench.claims import fast_hosts, gpt4_fall, ninety_below, self_hosting
from bench.claims.claim import Claim
from bench.report.rows import Row


def every(rows: Sequence[Row] = (), as_of: date | None = None, files: Sequence[str] = ()) -> list[Claim]:
    """The four claims over these measured rows, prices of a day (None: today), and a user's files of API prices."""
    return [
        gpt4_fall.claim(as_of, files),
        ninety_below.claim(as_of, files),
        self_hosting.claim(rows, as_of, files),
        fast_hosts.claim(rows, as_of, files),
    ]
