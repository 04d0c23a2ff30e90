"""Billed usage against a local count: totals, what explains them, and dollars."""

import pytest

from bench.metrics.serving.billed import compare
from bench.schema import Request


def request(billed: tuple[int | None, int | None], local: tuple[int | None, int | None], **more: object) -> Request:
    made = Request(index=0, count_source="usage", finish="length")
    made.input_tokens, made.output_tokens = billed
    made.local_input_tokens, made.local_output_tokens = local
    for name, value in more.items():
        setattr(made, name, value)
    return made


def test_equal_counts_leave_nothing() -> None:
    found = compare([request((110, 20), (110, 20))] * 3, usd_per_input_token=1e-6, usd_per_output_token=4e-6)
    assert found is not None
    assert (found.requests, found.left_out) == (3, 0)
    assert (found.input.billed, found.input.local, found.input.difference) == (330, 330, 0)
    assert (found.output.difference, found.usd_difference, found.usd_unexplained) == (0, 0.0, 0.0)


def test_template_reasoning_and_ends_are_explained() -> None:
    runs = [
        request((130, 121), (100, 20), reasoning_tokens=100, finish="stop"),
        request((160, 20), (100, 20), turn=1),
    ]
    found = compare(runs, overhead_tokens=30, usd_per_input_token=1.0, usd_per_output_token=2.0)
    assert found is not None
    assert (found.input.difference, found.input.explained, found.input.unexplained) == (90, 90, 0)
    assert (found.output.difference, found.output.unexplained) == (101, 0)
    assert (found.usd_difference, found.usd_unexplained) == (90 + 202, 0)


def test_what_is_not_explained_is_said_in_tokens_and_dollars() -> None:
    found = compare([request((150, 25), (100, 20))], 30, usd_per_input_token=1.0, usd_per_output_token=2.0)
    assert found is not None
    assert (found.input.unexplained, found.output.unexplained) == (20, 5)
    assert found.usd_unexplained == 30
    assert found.input.share == pytest.approx(0.2)
    less = compare([request((90, 18), (100, 20))], 30)
    assert less is not None
    assert (less.input.unexplained, less.output.unexplained) == (-10, -2)
    assert less.usd_difference is None


def test_requests_without_both_counts_are_counted_as_left_out() -> None:
    runs = [
        request((100, 20), (None, 20)),
        request((None, None), (100, 20)),
        request((100, 20), (100, 20), count_source="chunks"),
        request((100, 20), (100, 20), status="cut"),
    ]
    assert compare(runs) is None
    found = compare([*runs, request((7, 8), (7, 8))])
    assert found is not None
    assert (found.requests, found.left_out) == (1, 3)
