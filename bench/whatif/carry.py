"""A measured row on other hardware: does it fit, how fast would it be, and what would its tokens cost. An estimate."""

from dataclasses import dataclass, replace

from bench.cost import dollars, owned
from bench.cost.hourly import HourlyRate
from bench.errors import InputError
from bench.hardware import division
from bench.metrics import roofline
from bench.metrics.statistics import Estimate
from bench.schema import CostChoices, OneOff, Workload
from bench.whatif import at_api
from bench.whatif import source as sources
from bench.whatif import target as targets
from bench.whatif.at_api import ApiRequest
from bench.whatif.fit import MOST, Fit, fit, needed_bytes
from bench.whatif.projection import Ranged, Speeds, shares, speeds, total
from bench.whatif.source import Source
from bench.whatif.target import Target

GB = 1e9
NO_COMMUNICATION = (
    "Several devices: their rates are added with no loss (of a row whose own devices took turns, they do so again); "
    "communication between them is not modelled, so real ones are slower."
)


@dataclass(frozen=True)
class AtApi:
    """The same request at an API. `full_load_share` is the break-even utilisation, also where it is above 1 (never).

    `ratio` is the estimate at the assumed utilisation over the API's price; both have the one-off costs in them.
    `full_load_share` is None where those alone are more than the API asks.
    """

    request: ApiRequest
    ratio: Estimate
    full_load_share: Estimate | None

    @property
    def api(self) -> str:
        return self.request.name

    @property
    def usd_per_request(self) -> float:
        return self.request.usd_per_request

    @property
    def break_even(self) -> float | None:
        """The utilisation from which the hardware is cheaper; None: never."""
        share = self.full_load_share
        return None if share is None or share.value > 1 else share.value


@dataclass(frozen=True)
class Bill:
    """Estimated dollars; `limit` of each is the floor of that hardware. Input and output add up to the bill.

    Input is a million uncached prompt tokens. The one-off cost is in the comparison with APIs alone.
    """

    rate: HourlyRate
    utilisation: float
    input_usd_per_mtok: Ranged | None
    output_usd_per_mtok: Ranged | None
    blended_usd_per_mtok: Ranged
    usd_per_request: Ranged
    one_off: OneOff | None
    one_off_usd_per_request: float
    apis: tuple[AtApi, ...]

    def cheapest_api(self) -> AtApi | None:
        return min(self.apis, key=lambda one: one.usd_per_request, default=None)


@dataclass(frozen=True)
class Ratios:
    """Estimate over measurement, where the same cell was measured on the target. Dollars at the same hourly price."""

    measured: Source
    ttft: float | None
    tpot: float | None
    usd_per_mtok: float | None


@dataclass(frozen=True)
class Projected:
    """One row on one target. `reasons` say what is missing and why, `warnings` what to doubt in what is there."""

    source: Source
    target: Target
    fit: Fit | None = None
    speeds: Speeds | None = None
    bill: Bill | None = None
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    ratios: Ratios | None = None


@dataclass(frozen=True)
class Asked:
    """What a person may choose: prices, the number of devices, and how much of their memory may be used."""

    choices: CostChoices
    devices: int | None = None
    memory_share: float = 0.9


def carried(source: Source, target: Target, asked: Asked, batch: Workload | None = None) -> Projected:
    """A row on a target; what cannot be said is missing, with its reason. `batch`: other lengths to make room for."""
    refused = sources.refusal(source)
    if refused is not None:
        return Projected(source, target, reasons=(refused,))
    row, figures, of = source.row, source.figures, sources.shape(source.row)
    work = figures.roofline.work
    assert of is not None
    assert work is not None
    assert source.ceiling is not None
    own = row.cell.workload
    needed = needed_bytes(of, figures.facts, row.cell.precision, batch or own)
    if target.whole:
        room = Fit(needed, None, 1)
    else:
        room = fit(needed, target.memory_bytes, asked.memory_share, asked.devices, target.most)
    found = Projected(source, target, room, warnings=_warnings(source, target))
    if room.devices is None:
        return replace(found, reasons=(does_not_fit(room, target, asked),))
    kind = roofline.product_type(row.cell.precision, figures.facts)
    assert figures.ttft_s is not None  # a row without it was refused: its roofline has no work
    reached = shares(figures.roofline, work, figures.ttft_s, figures.tpot_s, source.ceiling, kind)
    alike = division.of_alike(target.ceiling, room.devices, division.of(figures.facts))
    timed = speeds(work, own, reached, alike, 1, kind)
    found = replace(found, speeds=timed, reasons=_missing(source, target, timed, kind))
    if not target.whole and room.usable_bytes is None:
        unknown = f"the memory of {target.name} is not known: whether it fits was not checked"
        found = replace(found, warnings=(*found.warnings, unknown))
    if timed.ttft_s is None or timed.e2el_s is None:
        return found
    try:
        return replace(found, bill=_bill(source, target, room.devices, timed, asked.choices))
    except InputError as error:
        return replace(found, reasons=(*found.reasons, f"no dollars: {error.lines[0]}"))


def does_not_fit(room: Fit, target: Target, asked: Asked) -> str:
    """The refusal in words: what is needed, and what there is."""
    assert room.usable_bytes is not None
    count = asked.devices or target.most or MOST
    has = count * room.usable_bytes
    many = f"{count} × " if count > 1 else ""
    share = f"{asked.memory_share:.0%} of {many}{target.name}"
    return f"does not fit: needs {room.needed_bytes / GB:.1f} GB of {has / GB:.1f} GB ({share})"


def _warnings(source: Source, target: Target) -> tuple[str, ...]:
    """What to doubt before any figure is there."""
    found = []
    measured_on = sources.vendor(source.row)
    if measured_on != target.vendor:
        found.append(
            f"measured on {_kind(measured_on)} and carried to {_kind(target.vendor)}: MBU and MFU of another kind of "
            "device carry over badly; measure it there, or treat this as a guess"
        )
    of = source.figures.roofline
    above = [name for name, share in (("MBU", of.mbu), ("MFU", of.mfu)) if share is not None and share.value > 1]
    if above:
        found.append(f"{' and '.join(above)} above 100% counts as 100%: the ceiling it was held against is too low")
    doubts = [reason.code for reason in source.row.verdict if reason.code != "above-ceiling"]
    if doubts:
        found.append(f"the measured row's verdict is {', '.join(doubts)}, and the estimate inherits that")
    return tuple(found)


def _kind(vendor: str) -> str:
    return "a CPU" if vendor == targets.CPU else f"{vendor} hardware"


def _missing(source: Source, target: Target, timed: Speeds, kind: str) -> tuple[str, ...]:
    """Why a figure is not there, or rests on less than the others do."""
    of, device = source.figures.roofline, target.ceiling
    found = []
    if of.mfu is None:
        found.append(f"no TTFT: MFU was not measured: {of.reason}")
    elif kind not in device.gemm_flops_per_s:
        found.append(f"no TTFT: the {kind} peak of {target.name} is not known")
    elif timed.ttft_s is None:
        found.append("no TTFT: MBU was not measured")
    steps = source.row.cell.workload.output_tokens > 1
    if steps and timed.tpot_s is None:
        found.append(f"no TPOT: MBU was not measured: {of.reason}")
    elif steps and timed.ttft_s is None:
        found.append("TPOT by bandwidth alone: whether arithmetic bounds decode there is not known")
    return tuple(found)


def _bill(source: Source, target: Target, devices: int, timed: Speeds, choices: CostChoices) -> Bill:
    """Dollars of the batch: its time at the hourly price, input and output by the time of their phase."""
    assert timed.ttft_s is not None
    assert timed.e2el_s is not None
    work = source.row.cell.workload
    if target.whole and target.usd_per_hour is None:
        raise InputError("the row that was measured there has no price")
    price = targets.rate(target, devices, choices, source.figures.facts)
    # A serverless machine is paid only while it serves: it has no idle hours.
    utilisation = 1.0 if price.kind == "serverless" else choices.utilisation
    per_second = dollars.bill_usd(price.usd_per_hour, 1.0, utilisation)
    uncached = work.batch_size * sources.uncached(source.row.cell)
    new = work.batch_size * work.output_tokens
    decode = timed.decode_s
    request = timed.e2el_s.times(per_second / work.batch_size)
    beside = one_off_usd(choices, work.input_tokens + work.output_tokens)
    return Bill(
        rate=price,
        utilisation=utilisation,
        # One output token has no decode to split the bill with.
        input_usd_per_mtok=None
        if decode is None or not uncached
        else timed.ttft_s.times(dollars.per_mtok(per_second, uncached)),
        output_usd_per_mtok=None if decode is None else decode.times(dollars.per_mtok(per_second, new)),
        blended_usd_per_mtok=timed.e2el_s.times(
            dollars.per_mtok(per_second, work.batch_size * work.input_tokens + new)
        ),
        usd_per_request=request,
        one_off=choices.one_off,
        one_off_usd_per_request=beside,
        apis=tuple(_against(one, request.estimate, utilisation, beside) for one in _requests(work, choices)),
    )


def one_off_usd(choices: CostChoices, tokens: int) -> float:
    """What a request of so many tokens bears of a cost that is paid once, in USD; 0 where there is none."""
    return 0.0 if choices.one_off is None else owned.one_off_usd_per_mtok(choices.one_off) * tokens / dollars.MTOK


def check_apis(source: Source, choices: CostChoices) -> None:
    """Raises InputError for an API that nothing can be compared with: once for all targets, and not as a reason."""
    _requests(source.row.cell.workload, choices)


def _requests(work: Workload, choices: CostChoices) -> list[ApiRequest]:
    return [
        at_api.request(name, work.input_tokens, work.cached_tokens, work.output_tokens, choices)
        for name in at_api.names(choices)
    ]


def _against(one: ApiRequest, own: Estimate, utilisation: float, beside: float) -> AtApi:
    """`own`: a request at the utilisation; `beside`: what it costs at any utilisation."""
    whole = total(own, Estimate(beside, beside, beside, own.n)) if beside else own
    left = one.usd_per_request - beside
    share = own.times(utilisation).times(1 / left) if left > 0 else None
    return AtApi(one, whole.times(1 / one.usd_per_request), share)
