"""What a chart is: a Vega-Lite specification whose data stand beside it, the same for page, file and CSV."""

from dataclasses import dataclass
from typing import Any

Point = dict[str, Any]
"""One line of a chart's data: names of fields with their units, values that JSON can hold. What comes out of a record
is a value, never a field's name: Vega would parse a dot or a bracket in it."""


@dataclass(frozen=True)
class Chart:
    """One chart. `spec` reads `points` under the name "points"; `alt` says for a screen reader what is to be seen.

    `about` is what all rows of the report share, so that their names leave it out. `caption` says what was left out and
    how marks are to be read; `csv_columns` are the fields worth writing to a file; `follows`: there are dollars in it,
    and the browser makes its points anew for another price.
    """

    id: str
    title: str
    alt: str
    spec: dict[str, Any]
    points: list[Point]
    csv_columns: tuple[str, ...]
    follows: bool = False
    caption: str = ""
    about: str = ""
