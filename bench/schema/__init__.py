"""The nouns that cross a file or a process. Imports nothing of ours.

Units are SI and stand in the name (`_s`, `_bytes`, `_usd`, `_w`); milliseconds, gigabytes and millions of tokens exist
only in `bench/report/`. A record holds raw facts: no price, no percentile, no rounded unit. Whatever can be derived is
derived when a record is read, so a new price or a better formula needs no new run.

Models here ignore unknown keys, so that a record written by a newer version still loads. Configs are read with
`extra="forbid"` (`bench/plan/`), so that a misspelt key never becomes a silent default.
"""

from bench.schema.choices import (
    PRECISIONS,
    Checkpoint,
    FourBit,
    Int8,
    Model,
    Plain,
    Precision,
    Protocol,
    RunnerChoice,
    Sampling,
    Served,
    Sweep,
    Workload,
)
from bench.schema.cost import Attribution, CostChoices, OneOff, Owned, PriceKind
from bench.schema.machine import Accelerator, Ceiling, Ceilings, DeviceState, Edge, Environment
from bench.schema.measured import Energy, Measurement, Memory, ModelFacts, Round, Window
from bench.schema.noun import DEFAULT_RUNNER, SCHEMA_VERSION, Ending, Noun, Status
from bench.schema.record import Cell, Failure, Job, Record, Stop
from bench.schema.request import CountSource, Request, RequestStatus
from bench.schema.serving import (
    Allowance,
    Capabilities,
    ClientFacts,
    Ended,
    LengthSource,
    Live,
    ServerFacts,
    ServerSample,
    Serving,
)
from bench.schema.traffic import (
    Endpoint,
    Lengths,
    LoadKind,
    ManagedServer,
    Prompts,
    Ramp,
    SharedPrefix,
    Slo,
    SloMetric,
    Traffic,
    Until,
)

__all__ = [
    "DEFAULT_RUNNER",
    "PRECISIONS",
    "SCHEMA_VERSION",
    "Accelerator",
    "Allowance",
    "Attribution",
    "Capabilities",
    "Ceiling",
    "Ceilings",
    "Cell",
    "Checkpoint",
    "ClientFacts",
    "CostChoices",
    "CountSource",
    "DeviceState",
    "Edge",
    "Ended",
    "Ending",
    "Endpoint",
    "Energy",
    "Environment",
    "Failure",
    "FourBit",
    "Int8",
    "Job",
    "LengthSource",
    "Lengths",
    "Live",
    "LoadKind",
    "ManagedServer",
    "Measurement",
    "Memory",
    "Model",
    "ModelFacts",
    "Noun",
    "OneOff",
    "Owned",
    "Plain",
    "Precision",
    "PriceKind",
    "Prompts",
    "Protocol",
    "Ramp",
    "Record",
    "Request",
    "RequestStatus",
    "Round",
    "RunnerChoice",
    "Sampling",
    "Served",
    "ServerFacts",
    "ServerSample",
    "Serving",
    "SharedPrefix",
    "Slo",
    "SloMetric",
    "Status",
    "Stop",
    "Sweep",
    "Traffic",
    "Until",
    "Window",
    "Workload",
]
