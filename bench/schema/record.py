"""Derived and stored: a point of the matrix, a job, and the line of the journal that it becomes."""

import hashlib
import json
from typing import Any

from pydantic import Field

from bench.schema.choices import Model, Protocol, RunnerChoice, Workload
from bench.schema.imported import Imported
from bench.schema.machine import Environment
from bench.schema.measured import Measurement
from bench.schema.noun import SCHEMA_VERSION, Ending, Noun, Purpose, Status
from bench.schema.precision import Precision
from bench.schema.quality import Profile, QualityInput, QualityPass, Scored
from bench.schema.serving import Allowance, Serving
from bench.schema.traffic import Traffic


class Cell(Noun):
    """A point of the matrix. `cell_id` hashes what differs from the defaults, so that a new field keeps old ids."""

    cell_id: str = ""
    model: Model
    precision: Precision
    runner: RunnerChoice
    workload: Workload
    traffic: Traffic | None = Field(
        None, description="the load of a cell that is served; `workload` then holds its mean lengths and batch_size 1"
    )
    quality: QualityPass | None = Field(
        None, description="of a cell that is scored and not timed; `workload` then is one window of the text"
    )
    protocol: Protocol = Protocol()
    arm: int = Field(1, ge=1, description="which of several equal cells; see Sweep.arms")

    def identified(self, changed_options: dict[str, Any]) -> "Cell":
        """This cell with its id. `changed_options`: the runner options that differ from that runner's defaults."""
        said = self.model_dump(mode="json", exclude_defaults=True, exclude={"cell_id"})
        said["runner"] = {"name": self.runner.name, **({"options": changed_options} if changed_options else {})}
        if self.runner.python is not None:
            said["runner"]["python"] = self.runner.python
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return self.model_copy(update={"cell_id": hashlib.sha256(canonical.encode()).hexdigest()[:12]})


class Job(Noun):
    """One replicate of one cell: what a child process is asked to do."""

    cell: Cell
    replicate: int = Field(ge=0)
    record_id: str = ""
    purpose: Purpose = "time"
    quality: QualityInput | None = None
    folder: str | None = Field(None, description="the run's folder, where the trace of a run under load is written")
    allowance: Allowance | None = Field(None, description="of money, for a run under load at a paid endpoint")


class Stop(Noun):
    """Why no replicate follows: stands in the last record of a cell."""

    ending: Ending
    half_width: float | None = Field(
        None, description="the widest 95 % half-width of the headline rates, as a share; null with one replicate"
    )
    target: float


class Failure(Noun):
    """Why there is no measurement."""

    reason: str
    remedy: str | None = None
    exit_code: int | None = None
    log_tail: tuple[str, ...] = ()


class Record(Noun):
    """One line of the journal: a cell, where it ran, and what was measured or why not."""

    schema_version: int = SCHEMA_VERSION
    record_id: str
    replicate: int
    status: Status
    error: Failure | None = None
    started_at: str
    elapsed_s: float | None = None
    cell: Cell
    environment: Environment
    measurement: Measurement | None = None
    serving: Serving | None = Field(None, description="instead of a measurement, of a cell under load")
    purpose: Purpose = Field("time", description="what the child was for; only the times of `time` are figures")
    scored: Scored | None = Field(None, description="instead of a measurement, of a quality pass")
    profile: Profile | None = Field(None, description="instead of a measurement, of a profile of this cell")
    imported: Imported | None = Field(None, description="instead of a measurement, of another tool's result")
    spent_usd: float | None = Field(None, description="at a paid endpoint, by a run under load that failed")
    command: str | None = Field(None, description="what to type to measure this cell again")
    stop: Stop | None = None
    machine: str | None = Field(None, description="of a fleet: which of the config's machines it ran on")
    node: str | None = Field(None, description="of a cluster: the node, by a number of its own, no name or address")
