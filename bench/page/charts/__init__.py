"""The charts of a report: each a Vega-Lite specification, with its data beside it."""

from dataclasses import replace

from bench.entries.entry import Report
from bench.entries.priced import Asked
from bench.page.charts import (
    break_even,
    cost_by_precision,
    cost_load,
    cost_quality,
    cost_speed,
    energy,
    latency,
    memory,
    roofline,
)
from bench.page.charts.chart import Chart
from bench.page.charts.naming import Naming

__all__ = ["Chart", "charts"]

_AS_MEASURED = Asked()


def charts(report: Report, asked: Asked = _AS_MEASURED, api: str | None = None) -> list[Chart]:
    """Those that the report has data for, in the order of a page.

    `asked`: price, utilisation and mix of the dollars; `api`: the one to compare with, None: the cheapest. Rows whose
    verdict says that their figures mean nothing are in none of them.
    """
    report = replace(report, entries=tuple(one for one in report.entries if one.is_believable))
    naming = Naming.of(report.entries)
    found = (
        cost_by_precision.chart(report, naming, asked, api),
        cost_quality.chart(report, naming, asked),
        cost_speed.chart(report, naming, asked),
        break_even.chart(report, naming, asked, api),
        cost_load.chart(report, naming, asked),
        roofline.chart(report, naming),
        latency.chart(report, naming, "ttft_s"),
        latency.chart(report, naming, "tpot_s"),
        memory.chart(report, naming),
        energy.chart(report, naming),
    )
    return [replace(one, about=naming.about) for one in found if one is not None]
