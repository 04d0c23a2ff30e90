"""The frontier over the level of a load: who is on it, and the highest level within the objectives."""

from typing import Any

import pytest

from bench.metrics.serving import ServingFigures
from bench.metrics.serving.columns import fold
from bench.metrics.serving.figures import over, run_figures
from bench.metrics.serving.frontier import Point, decide, family, frontier, frontiers, level_of, weakest
from bench.metrics.serving.slo import parse
from bench.schema import Cell, Ramp
from tests.serving_requests import served_cell, serving, steady_load


def _point(level: float, user: float | None, output: float, met: bool | None = True, fatal: bool = False) -> Point:
    return Point(f"c{level:g}", level, user, output, None, None, met, met, fatal)


def _figures(cell: Cell, **said: Any) -> ServingFigures:
    assert cell.traffic is not None
    run = run_figures(fold(steady_load(**said)), serving(), cell.traffic, (parse("ttft<=60ms"), parse("tpot<=1s")))
    return over([run], [serving()], cell)


def test_the_front_is_what_nothing_beats() -> None:
    points = [_point(1, 100, 100), _point(2, 90, 180), _point(4, 80, 170), _point(8, 40, 300), _point(16, None, 400)]
    found = frontier(points[::-1])
    assert [one.level for one in found.points] == [1, 2, 4, 8, 16]
    assert [one.level for one in found.front] == [1, 2, 8]


def test_the_best_is_the_highest_below_which_all_met() -> None:
    assert frontier([_point(1, 9, 9), _point(2, 8, 16), _point(4, 1, 20, met=False), _point(8, 1, 1)]).best == _point(
        2, 8, 16
    )
    assert frontier([_point(1, 9, 9, met=False)]).best is None
    assert frontier([_point(1, 9, 9, met=None)]).best is None
    assert frontier([_point(1, 9, 9), _point(2, 9, 18, fatal=True)]).best == _point(1, 9, 9)
    assert frontier([]).points == ()


def test_cells_that_differ_in_more_than_the_level_are_other_families() -> None:
    five, ten = served_cell(requests_per_s=5.0), served_cell(requests_per_s=10.0)
    bursty = served_cell(load="gamma", requests_per_s=5.0, burstiness=0.5)
    assert family(five) == family(ten) != family(bursty)
    found = frontiers([(ten, _figures(ten)), (five, _figures(five, per_s=5.0)), (bursty, _figures(bursty))])
    assert sorted(len(each.points) for each in found.values()) == [1, 2]
    assert [one.level for one in found[family(five)].points] == [5.0, 10.0]


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ({"load": "closed", "requests_per_s": None, "concurrency": 8}, 8),
        ({"load": "trace", "requests_per_s": None, "speed": 2.0}, 2),
        ({"ramp": Ramp(to=50, over_s=5)}, 50),
        ({"load": "trace", "requests_per_s": None}, 1),
    ],
)
def test_the_level_of_a_load(said: dict[str, Any], level: float) -> None:
    assert level_of(served_cell(**said).traffic) == level  # type: ignore[arg-type]


def test_a_decision_needs_every_objective() -> None:
    cell = served_cell()
    figures = _figures(cell)
    met, surely = decide(figures.objectives)
    assert met is True
    assert surely is not False
    assert decide(()) == (None, None)
    near = weakest(figures.objectives)
    assert near is not None
    assert near.slo.metric == "ttft_s"
