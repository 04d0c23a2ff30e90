"""What all nouns share."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1


DEFAULT_RUNNER = "transformers"


Status = Literal["ok", "oom", "timeout", "unsupported", "crashed", "invalid", "lost"]
"""lost: the machine died, or could no longer be reached, while it measured; that says nothing of the cell."""

Purpose = Literal["time", "quality", "profile"]
Ending = Literal["target", "budget", "max-replicates", "failures", "hopeless"]


class Noun(BaseModel):
    """A frozen value; unknown keys are ignored unless the reader forbids them."""

    model_config = ConfigDict(frozen=True, extra="ignore")
