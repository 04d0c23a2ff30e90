"""What every test stands on."""

import os
from collections.abc import Iterator

import pytest

from bench.hardware import stored
from bench.schema import Ceiling, Ceilings
from bench.sensors import environment
from tests.browser import chromium, seen

__all__ = ["chromium", "seen"]


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
