"""A leaderboard's places, as the page shows them beside its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Place:
    """Where a row stands: `group` counts from 1, `heading` says what its rows share, `text` is "2=" or "5?"."""

    group: int
    heading: str
    text: str


def for_page(places: Sequence[Place | None]) -> dict[str, Any]:
    """Headings once, by the number of the group, and for each row [group, place] or null."""
    return {
        "headings": {str(one.group): one.heading for one in places if one is not None},
        "of": [None if one is None else [one.group, one.text] for one in places],
    }
