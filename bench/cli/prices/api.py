"""`bench prices api`: what tokens cost at APIs, today or on another day, and what each source says of it."""

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bench.cost.api_prices import ApiModel
    from bench.cost.apis.quote import Quote
    from bench.cost.tariff import Tariff

NONE = "–"
FORMATS = ("table", "md", "csv", "json")
USUALLY_EMPTY = ("cached", "batch in/out", "tiers", "note")
RIGHT = ("models", "$/Mtok in", "cached", "out", "batch in/out", "days old")
WHOLE = ("provider", "since", "confirmed", "basis")
"""Short cells that are not folded."""
STACKED = (("since", "confirmed"), ("source", "note"), ("basis", "days old"))
"""On a narrow screen the second one stands below the first."""


def add_to(app: typer.Typer) -> None:
    app.command(name="api", epilog="Example: bench prices api openai/gpt-4o --as-of 2024-06-01")(api)


def api(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help="Providers, or models as provider/model (with @batch behind for batch prices); none: all providers.",
            show_default=False,
        ),
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="Prices of this day, YYYY-MM-DD, instead of today's.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option(help="A file of API prices in litellm's format; it wins.", show_default=False)
    ] = None,
    search: Annotated[str | None, typer.Option(help="Only models with this in their name.")] = None,
    form: Annotated[str, typer.Option("--format", "-f", help="table, md, csv or json.")] = "table",
) -> None:
    """Show API token prices with date and source: of providers, or of one model from every source."""
    from bench.cost import api_prices
    from bench.errors import InputError, nearest

    if form not in FORMATS:
        raise InputError(f"--format: unknown format {form!r}; {nearest(form, FORMATS)}")
    day, files = _day(as_of), tuple(file or ())
    if not names and search is None:
        print(_providers_json(files) if form == "json" else _printed(*_providers(files), form), end="")
        return
    single = [name for name in names or () if "/" in name]
    listed = [name for name in names or () if "/" not in name]
    found = [api_prices.listed(name, day, files) for name in single]
    if form in ("table", "md"):
        for model in found:
            print("\n".join(_details(model, day, files, form)) + "\n")
        if single and not listed and search is None:
            return
    if listed or search is not None:
        _warn_of_left_out(files)
        found += list(_models(listed or api_prices.providers(files), search, day, files))
    if form == "json":
        print(_json(found, {model.name for model in found[: len(single)]}, day, files))
    else:
        rows = found[len(single) :] if form in ("table", "md") else found
        print(_printed(*_rows(rows, day, files), form), end="")


def _warn_of_left_out(files: Sequence[Path]) -> None:
    from bench.cli import warn
    from bench.cost.apis import litellm

    for path in files:
        left_out = litellm.read(path).left_out
        if left_out:
            first = next(iter(left_out.values()))
            warn(f"{path}: {len(left_out)} text models in it have no usable price, such as {first}")


def _day(text: str | None) -> date | None:
    import re
    from datetime import UTC, datetime

    from bench.errors import InputError

    if text is None:
        return None
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError(text)
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"--as-of: {text!r} is no day; write YYYY-MM-DD") from None
    today = datetime.now(UTC).date()
    if day > today:
        raise InputError(f"--as-of: {day} is in the future; prices are known up to today, {today}")
    return day


def _providers(files: Sequence[Path]) -> tuple[list[str], list[tuple[str, ...]]]:
    from bench.cost import api_prices
    from bench.cost.apis.genai import ALIASES

    lines: list[tuple[str, ...]] = []
    for provider in api_prices.providers(files):
        also = ", ".join(sorted(name for name, meant in ALIASES.items() if meant == provider))
        lines.append((provider, str(len(api_prices.models(provider, files))), also or NONE))
    return ["provider", "models", "also called"], lines


def _providers_json(files: Sequence[Path]) -> str:
    import json

    headings, lines = _providers(files)
    rows = [(provider, int(count), None if also == NONE else also) for provider, count, also in lines]
    return json.dumps([dict(zip(headings, row, strict=True)) for row in rows], indent=1, ensure_ascii=False) + "\n"


def _models(
    providers: Sequence[str], search: str | None, day: date | None, files: Sequence[Path]
) -> "Iterator[ApiModel]":
    """Every model that has a price on that day; a warning says how many have none."""
    from bench.cli import warn
    from bench.cost import api_prices
    from bench.errors import InputError, nearest

    every = [(provider, model) for provider in providers for model in api_prices.models(provider, files)]
    names = [f"{provider}/{model}" for provider, model in every if search is None or search.lower() in model.lower()]
    if search is not None and not (search.strip() and names):
        raise InputError(f"--search: no model has {search!r} in its name; {nearest(search, (one for _, one in every))}")
    priced = [name for name in names if _is_priced(name, day, files)]
    if not priced:
        raise InputError(f"--as-of: none of {len(names)} models has a known price on {_on(day)}; try a later day")
    if len(priced) < len(names):
        warn(f"{len(names) - len(priced)} of {len(names)} models have no usable price on {_on(day)}")
    yield from (api_prices.listed(name, day, files) for name in priced)


def _is_priced(name: str, day: date | None, files: Sequence[Path]) -> bool:
    """False as well where a file holds the model in a way that cannot be used: asked for alone, it is said why."""
    from bench.cost import api_prices
    from bench.errors import InputError

    try:
        return bool(api_prices.opinions(name, day, files))
    except InputError:
        return False


def _rows(
    models: "Sequence[ApiModel]", day: date | None, files: Sequence[Path]
) -> tuple[list[str], list[tuple[str, ...]]]:
    headings = ["API", "$/Mtok in", "cached", "out", "batch in/out", "tiers", "since", "confirmed", "source", "note"]
    lines: list[tuple[str, ...]] = []
    for model in models:
        quote = model.quote
        notes = ["old"] if quote.stale(_on(day)) else []
        notes += ["sources disagree"] if model.disagreement() else []
        lines.append(
            (
                model.name,
                *_prices(quote.tariff),
                _batch(model, day, files),
                _tiers(quote.tariff),
                str(quote.valid_from or NONE),
                str(quote.confirmed or NONE),
                quote.source,
                ", ".join(notes) or NONE,
            )
        )
    return headings, lines


def _details(model: "ApiModel", day: date | None, files: Sequence[Path], form: str) -> Iterator[str]:
    """One model: what each source says of the day, what to know about it, and every price over time."""
    from bench.cli.prices.screen import filled
    from bench.cost import api_prices

    on = _on(day)
    yield f"{'## ' if form == 'md' else ''}{model.name} on {on}\n"
    headings = ["source", "$/Mtok in", "cached", "out", "tiers", "since", "basis", "confirmed", "days old"]
    lines = []
    for quote in (model.quote, *model.others):
        age = quote.age_days(on)
        lines.append(
            (quote.source, *_when(quote), NONE if age is None else f"{age}{' (old)' if quote.stale(on) else ''}")
        )
    yield _printed(headings, lines, form)
    batch = _batch(model, day, files)
    if batch != NONE:
        yield f"batch: {batch} $/Mtok in/out ({model.name}@batch)"
    fee = model.tariff.usd_per_request
    if fee:
        yield f"a request costs {api_prices.usd(fee)} besides its tokens"
    yield from (note if form == "md" else filled(note, "  ") for note in model.notes(on))
    yield "\nevery price that is known\n"
    before = ["since", "$/Mtok in", "cached", "out", "tiers", "basis", "confirmed", "source"]
    yield _printed(
        before,
        [
            (
                str(one.valid_from or NONE),
                *_prices(one.tariff),
                _tiers(one.tariff),
                one.basis,
                str(one.confirmed or NONE),
                one.source,
            )
            for one in api_prices.history(model.name, files)
        ],
        form,
    ).rstrip("\n")


def _when(quote: "Quote") -> tuple[str, ...]:
    return (
        *_prices(quote.tariff),
        _tiers(quote.tariff),
        str(quote.valid_from or NONE),
        quote.basis,
        str(quote.confirmed or NONE),
    )


def _on(day: date | None) -> date:
    from datetime import UTC, datetime

    return day or datetime.now(UTC).date()


def _prices(tariff: "Tariff") -> tuple[str, str, str]:
    """Input, cached and output of the lowest tier; no cached price where it is the input price."""
    from bench.cost.api_prices import usd

    tier = tariff.tiers[0]
    cached = NONE if tier.cached == tier.input else usd(tier.cached)[1:]
    return usd(tier.input)[1:], cached, usd(tier.output)[1:]


def _tiers(tariff: "Tariff") -> str:
    from bench.cost.api_prices import usd

    texts = [f"{round(tier.above / 1000)}k: {usd(tier.input)[1:]}/{usd(tier.output)[1:]}" for tier in tariff.tiers[1:]]
    return "; ".join(texts) or NONE


def _batch(model: "ApiModel", day: date | None, files: Sequence[Path]) -> str:
    from bench.cost import api_prices

    if model.name.endswith(api_prices.BATCH):
        return NONE
    found = api_prices.opinions(model.name + api_prices.BATCH, day, files)
    if not found:
        return NONE
    into, _, out = _prices(found[0].quote.tariff)
    return f"{into}/{out}"


def _printed(headings: list[str], lines: Sequence[tuple[str, ...]], form: str) -> str:
    """A table; on the screen without the columns in which no line says anything."""
    import csv
    import io

    from tabulate import tabulate

    if form == "csv":
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerows([headings, *(["" if text == NONE else text for text in line] for line in lines)])
        return buffer.getvalue()
    kept = [
        place
        for place, heading in enumerate(headings)
        if heading not in USUALLY_EMPTY or any(line[place] != NONE for line in lines)
    ]
    shown = [[line[place] for place in kept] for line in lines]
    names = [headings[place] for place in kept]
    right = [index for index, name in enumerate(names) if name in RIGHT]
    if form == "md":
        sides = ["right" if index in right else "left" for index in range(len(names))]
        return tabulate(shown, names, "github", disable_numparse=True, colalign=sides if shown else None) + "\n"
    return _on_screen(names, shown, right)


def _on_screen(names: list[str], shown: list[list[str]], right: Sequence[int]) -> str:
    """In one line each where the terminal is wide enough; else dates, and source and note, stand below each other."""
    from bench.cli.prices.screen import WIDE, drawn, widest, width

    wide = drawn(names, shown, right, columns=WIDE)
    if widest(wide) <= width():
        return wide
    for upper, lower in STACKED:
        if upper in names and lower in names:
            first, second = names.index(upper), names.index(lower)
            shown = [
                [
                    f"{text}\n{line[second]}" if place == first else text
                    for place, text in enumerate(line)
                    if place != second
                ]
                for line in shown
            ]
            names = [f"{name}\n{lower}" if name == upper else name for name in names if name != lower]
    right = [index for index, name in enumerate(names) if name in RIGHT]
    whole = [index for index, name in enumerate(names) if name.partition("\n")[0] in WHOLE]
    broken = [
        name.replace("/Mtok ", "/Mtok\n").replace("batch ", "batch\n").replace("days ", "days\n") for name in names
    ]
    return drawn(broken, shown, right, whole)


def _json(models: "Sequence[ApiModel]", detailed: set[str], day: date | None, files: Sequence[Path]) -> str:
    """Prices as text, so that no digit is lost."""
    import json

    from bench.cost import api_prices

    on = _on(day)
    told = []
    for model in models:
        batch = api_prices.opinions(model.name + api_prices.BATCH, day, files) if "@" not in model.name else ()
        one: dict[str, Any] = {
            "name": model.name,
            "quote": _as_json(model.quote, on),
            "others": [_as_json(quote, on) for quote in model.others],
            "batch": _as_json(batch[0].quote, on) if batch else None,
            "disagreement": model.disagreement(),
            "notes": model.notes(on),
        }
        if model.name in detailed:
            one["history"] = [_as_json(quote, on) for quote in api_prices.history(model.name, files)]
        told.append(one)
    return json.dumps({"as_of": str(on), "models": told}, indent=1, ensure_ascii=False)


def _as_json(quote: "Quote", on: date) -> dict[str, Any]:
    return {
        "source": quote.source,
        "provider": quote.provider,
        "model_id": quote.model_id,
        "basis": quote.basis,
        "valid_from": None if quote.valid_from is None else str(quote.valid_from),
        "confirmed": None if quote.confirmed is None else str(quote.confirmed),
        "age_days": quote.age_days(on),
        "stale": quote.stale(on),
        "usd_per_request": f"{quote.tariff.usd_per_request:f}",
        "tiers": [
            {
                "above_prompt_tokens": max(tier.above, 0),
                "input_usd_per_mtok": f"{tier.input:f}",
                "cached_usd_per_mtok": f"{tier.cached:f}",
                "output_usd_per_mtok": f"{tier.output:f}",
            }
            for tier in quote.tariff.tiers
        ],
    }
