"""What every test stands on."""

import os
from collections.abc import Iterator, Sequence

import pytest

from bench.hardware import stored
from bench.schema import Ceiling, Ceilings
from bench.sensors import environment
from tests.browser import chromium, seen

__all__ = ["chromium", "seen"]

ALONE = {
    *("test_cached_prompts", "test_compare", "test_hardware", "test_offline", "test_peer_defects"),
    *("test_readme", "test_runner_contract", "test_selftest", "test_sensors", "test_transformers"),
    *("test_cluster", "test_profile"),
    *(
        "test_client_truth",
        "test_find_max",
        "test_load_faults",
        "test_selftest_load",
        "test_servers_real",
        "test_under_load",
    ),
}
"""Files whose tests time something, or run an engine that wants every core: nothing else runs beside them."""

ALONE_TESTS = {"test_the_parent_sleeps_while_a_child_is_timed"}
"""Of other files."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Mark what must run alone; `scripts/test` runs the rest on two cores."""
    for item in items:
        if item.path.stem in ALONE or item.name in ALONE_TESTS:
            item.add_marker("alone")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """torch on one thread: two that wait for each other beside a busy neighbour take ten times longer."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A data folder of the tests' own, with ceilings that were invented, so that no run measures them first.

    Tests of ceilings, and the README's commands, use folders of their own and measure.
    """
    before = os.environ.get("XDG_DATA_HOME")
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data-home"))
    here = environment.detect()
    invented = Ceiling(device="cpu", read_bytes_per_s=1e12, copy_bytes_per_s=1e12, gemm_flops_per_s={"bf16": 1e14})
    stored.save(
        Ceilings(
            hardware=here.hardware(), measured_at="2026-11-22T00:00:00+00:00", environment=here, devices=(invented,)
        )
    )
    yield
    if before is None:
        del os.environ["XDG_DATA_HOME"]
    else:
        os.environ["XDG_DATA_HOME"] = before
