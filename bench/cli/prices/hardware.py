"""`bench prices hardware`: the hourly prices that come with the package, filtered and sorted, with date and source."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import date

    from bench.cost.hardware_prices import HardwarePrice

FORMATS = ("table", "md", "csv", "json")
SORTS = ("accelerator", "price", "provider", "date")
NARROW = ("accelerator", "n", "$/h\neach", "spot\n$/h each", "offer", "as of", "grade", "flags")
"""On a narrow screen: units below their number, where an offer stands below its name, its kind below its day."""
GRADES = (
    "grades: A the vendor's own, B transcribed by a third party, C one weak source; only dated on-demand prices of "
    "grade A or B are ever a default"
)
HEADINGS = (
    *("accelerator", "n", "$/h each", "spot $/h each", "unit", "provider", "instance", "region"),
    *("as of", "kind", "grade", "source", "flags"),
)
ALIGNED = ("left", "right", "right", "right", *["left"] * 7, "right", "left")
NONE = "–"


def add_to(app: typer.Typer) -> None:
    app.command(
        name="hardware", epilog="Example: bench prices hardware --accelerator H100 --kind spot --sort price --limit 10"
    )(hardware)


def hardware(
    accelerator: Annotated[
        str | None, typer.Option(help="Only rows whose accelerator contains this; CPU for none.")
    ] = None,
    provider: Annotated[str | None, typer.Option(help="Only rows of this provider.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="on_demand, spot, reserved, managed, serverless, analyst or blog.")
    ] = None,
    grade: Annotated[str, typer.Option(help="At least this grade: A, B or C.")] = "C",
    region: Annotated[str | None, typer.Option(help="Only regions whose name contains this.")] = None,
    sort: Annotated[str, typer.Option(help="By accelerator, price, provider or date (newest first).")] = "accelerator",
    limit: Annotated[int | None, typer.Option(help="Show the first so many.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Prices of this day, YYYY-MM-DD; undated rows are left out.")
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A CSV file of your own prices to add; repeat for more.")
    ] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="table, md, csv or json.")] = "table",
) -> None:
    """Show hourly hardware prices, on demand and on spot, by device or vCPU, with date, kind and grade."""
    from bench.cost import hardware_prices
    from bench.errors import InputError

    for option, value, known in (
        ("--kind", kind, tuple(hardware_prices.KINDS)),
        ("--grade", grade, hardware_prices.GRADES),
        ("--sort", sort, SORTS),
        ("--format", form, FORMATS),
    ):
        _one_of(option, value, known)
    if limit is not None and limit < 1:
        raise InputError(f"--limit: must be at least 1 (got {limit})")
    files = tuple(str(path) for path in file or ())
    try:
        hardware_prices.rows(files)
    except InputError as error:
        raise InputError(f"--file: {error.lines[0]}") from None
    if provider is not None:
        try:
            hardware_prices.check_provider(provider, files)
        except InputError as error:
            raise InputError(f"--provider: {error.lines[0]}") from None
    day = _day(as_of)

    def matching(on: "date | None") -> "list[HardwarePrice]":
        return [
            row
            for row in _of_kind(kind, on, files)
            if (provider is None or row.provider == provider)
            and (accelerator is None or accelerator.lower() in row.accelerator.lower())
            and (region is None or region.lower() in row.region.lower())
            and row.letter[0] <= grade
        ]

    found = matching(day)
    if not found:
        raise _nothing(accelerator, region, kind, day, matching(None), files)
    found.sort(key=_order(sort, kind))
    _print(found[:limit], found, kind, day, form)


def _of_kind(kind: str | None, on: "date | None", files: tuple[str, ...]) -> "Sequence[HardwarePrice]":
    from bench.cost import hardware_prices

    if kind is None:
        return hardware_prices.listed(on, files)
    return [offer.row for offer in hardware_prices.current(kind, on, files)]


def _one_of(option: str, value: str | None, known: Sequence[str]) -> None:
    from bench.errors import InputError, nearest

    if value is not None and value not in known:
        raise InputError(f"{option}: unknown value {value!r}; {nearest(value, known)}")


def _day(text: str | None) -> "date | None":
    from datetime import UTC, date, datetime

    from bench.errors import InputError

    if text is None:
        return None
    try:
        found = date.fromisoformat(text)
        if str(found) != text:
            raise ValueError  # 20261001 is a date by ISO 8601 too
    except ValueError:
        raise InputError(f"--as-of: must be a day, YYYY-MM-DD (got {text!r})") from None
    if found > (today := datetime.now(UTC).date()):
        raise InputError(f"--as-of: {found} is in the future; the last day that has prices is today, {today}")
    return found


def _nothing(
    accelerator: str | None,
    region: str | None,
    kind: str | None,
    on: "date | None",
    later: "Sequence[HardwarePrice]",
    files: tuple[str, ...],
) -> Exception:
    """Why the table would be empty."""
    from bench.cost import hardware_prices
    from bench.errors import InputError, nearest

    what = accelerator or "these options"
    dated = [row for row in later if row.day(kind == "spot") is not None]
    if on is not None and dated:
        first = min(dated, key=lambda row: str(row.day()))
        return InputError(
            f"--as-of: the price list has no price for {what} on or before {on}; the first is of {first.day()} "
            f"({first.provider} {first.instance})"
        )
    rows = hardware_prices.rows(files)
    if accelerator is not None and not any(accelerator.lower() in row.accelerator.lower() for row in rows):
        known = hardware_prices.part_names(files)
        return InputError(f"--accelerator: no price for {accelerator!r}; {nearest(accelerator, known)}")
    if region is not None and not any(region.lower() in row.region.lower() for row in rows):
        return InputError(
            f"--region: unknown region {region!r}; {nearest(region, {row.region for row in rows} - {''})}"
        )
    return InputError(f"no row of the price list fits {what} together; leave one of --kind, --grade, --region out")


# --- order and figures


def _usd(row: "HardwarePrice", spot: bool) -> float | None:
    """USD per hour of one device or vCPU."""
    whole = row.spot_usd_per_hour if spot else row.usd_per_hour
    return None if whole is None else whole / (row.units or 1)


def _order(sort: str, kind: str | None) -> "Callable[[HardwarePrice], tuple[Any, ...]]":
    def price(row: "HardwarePrice") -> float:
        return _usd(row, kind == "spot") or _usd(row, kind != "spot") or 0.0

    def key(row: "HardwarePrice") -> tuple[Any, ...]:
        day = row.day()
        first: dict[str, tuple[Any, ...]] = {
            "accelerator": (),
            "price": (price(row),),
            "provider": (row.provider,),
            "date": (0 if day is None else -day.toordinal(),),
        }
        return (*first[sort], row.accelerator, price(row))

    return key


def _summary(found: "Sequence[HardwarePrice]", kind: str | None) -> list[dict[str, Any]]:
    """Number, least, lower median and most, for each unit on its own: a vCPU-hour is no device-hour."""
    lines = []
    for unit in ("device", "vCPU", "instance"):
        for spot in (False, True):
            each = sorted(usd for row in found if row.unit == unit and (usd := _usd(row, spot)) is not None)
            if each and (kind is None or spot == (kind == "spot")):
                middle = each[(len(each) - 1) // 2]
                lines.append(
                    {
                        "unit": unit,
                        "price": "spot" if spot else kind or "list",
                        "offers": len(each),
                        "min_usd_per_unit_hour": each[0],
                        "median_usd_per_unit_hour": middle,
                        "max_usd_per_unit_hour": each[-1],
                    }
                )
    return lines


# --- formats


def _print(
    shown: "Sequence[HardwarePrice]",
    found: "Sequence[HardwarePrice]",
    kind: str | None,
    as_of: "date | None",
    form: str,
) -> None:
    from datetime import UTC, datetime

    from bench.cli.prices.screen import filled

    on = as_of or datetime.now(UTC).date()
    summary = _summary(found, kind)
    if form == "json":
        offers = [_typed(_fields(row, on)) for row in shown]
        whole = {"as_of": str(on), "matching": len(found), "summary": summary, "offers": offers}
        print(json.dumps(whole, indent=1, ensure_ascii=False))
    elif form == "csv":
        _print_csv([_fields(row, on) for row in shown])
    else:
        _print_table(shown, on, form)
        print()
        if len(shown) < len(found):
            print(f"the first {len(shown)} of {len(found)} rows; of all of them:")
        for line in summary:
            said = (
                f"{line['offers']} {line['price']} prices by the {line['unit']}: "
                f"min ${line['min_usd_per_unit_hour']:.4g}, median ${line['median_usd_per_unit_hour']:.4g}, "
                f"max ${line['max_usd_per_unit_hour']:.4g} an hour"
            )
            print(said if form == "md" else filled(said))


def _fields(row: "HardwarePrice", on: "date") -> dict[str, Any]:
    """The columns of the list as they stand there, and what is derived from them."""
    from bench.cost import hardware_prices
    from bench.cost.price_file import COLUMNS

    return {
        **{name: row.raw.get(name, "") for name in COLUMNS},
        "kind": row.kind,
        "unit": row.unit,
        "usd_per_unit_hour_on_demand": _usd(row, False),
        "usd_per_unit_hour_spot": _usd(row, True),
        "flags": hardware_prices.all_flags(row, on),
    }


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Numbers as numbers, and null for what the list leaves empty."""
    as_number = dict.fromkeys(("accel_count", "vcpus"), int)
    kinds = {**as_number, **dict.fromkeys(("mem_gib", "usd_per_hour_on_demand", "usd_per_hour_spot"), float)}
    return {
        name: None if value == "" else kinds[name](value) if name in kinds else value for name, value in fields.items()
    }


def _print_csv(lines: Sequence[dict[str, Any]]) -> None:
    import csv
    import sys

    out = csv.DictWriter(sys.stdout, list(lines[0]), lineterminator="\n")
    out.writeheader()
    out.writerows({**line, "flags": "; ".join(line["flags"])} for line in lines)


def _print_table(shown: "Sequence[HardwarePrice]", on: "date", form: str) -> None:
    from bench.cli.prices.screen import filled

    sources = list(dict.fromkeys(row.source for row in shown))
    lines = [_cells(row, on, sources.index(row.source) + 1) for row in shown]
    print(_markdown(lines) if form == "md" else _on_screen(lines), end="")
    print(f"\n{GRADES if form == 'md' else filled(GRADES)}")
    for number, source in enumerate(sources, 1):
        print(f"[{number}] {source}  " if form == "md" else filled(f"[{number}] {source}", "    "))


def _cells(row: "HardwarePrice", on: "date", source: int) -> tuple[str, ...]:
    """What stands under `HEADINGS`."""
    from bench.cost import hardware_prices

    return (
        row.accelerator,
        str(row.units or "?"),
        _money(_usd(row, False)),
        _money(_usd(row, True)),
        row.unit,
        row.provider,
        row.instance,
        row.region,
        str(row.day() or "undated"),
        row.kind,
        row.letter,
        f"[{source}]",
        ", ".join(hardware_prices.all_flags(row, on)),
    )


def _markdown(lines: Sequence[tuple[str, ...]]) -> str:
    from tabulate import tabulate

    return tabulate(lines, HEADINGS, "github", disable_numparse=True, colalign=ALIGNED) + "\n"


def _on_screen(lines: Sequence[tuple[str, ...]]) -> str:
    """In one line each where the terminal is wide enough; else some cells stand below each other."""
    from bench.cli.prices.screen import WIDE, drawn, widest, width

    right = [index for index, side in enumerate(ALIGNED) if side == "right"]
    whole = drawn(HEADINGS, lines, right, columns=WIDE)
    if widest(whole) <= width():
        return whole
    stacked = [
        (
            name,
            f"{count}\n{unit}",
            price,
            spot,
            "\n".join(text for text in (f"{provider} {instance}", region) if text),
            f"{day}\n{kind}",
            f"{grade}\n{source}",
            flags,
        )
        for name, count, price, spot, unit, provider, instance, region, day, kind, grade, source, flags in lines
    ]
    return drawn(NARROW, stacked, right=(1, 2, 3), whole=(5, 6))


def _money(usd: float | None) -> str:
    return NONE if usd is None else f"{usd:.4g}"
