"""Profiles: of the real built-in model, of a layer that unpacks its weights with ordinary operators, of programmed
events as a GPU gives them, and the pass that asks a runner for one."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.autograd import DeviceType

from bench.errors import UnsupportedError
from bench.measure.profile import MOST_TOKENS, profile
from bench.runners.fake import FakeRunner
from bench.runners.transformers import Options, TransformersRunner, operators
from bench.runners.transformers import profile as profiles
from bench.schema import Cell, FourBit, Job, Model, ModelFacts, Plain, Precision, Profile, RunnerChoice, Workload
from tests import samples

pytestmark = pytest.mark.usefixtures("one_thread")

BUILTIN = Model(source="builtin:smollm2-135m")
NEW_TOKENS = 3


def _cell(precision: Precision, batch_size: int = 1, new_tokens: int = NEW_TOKENS, cached: int = 0) -> Cell:
    return Cell(
        model=BUILTIN,
        precision=precision,
        runner=RunnerChoice(name="transformers"),
        workload=Workload(batch_size=batch_size, input_tokens=96, output_tokens=new_tokens, cached_tokens=cached),
    ).identified({})


def _profiled(precision: Precision) -> Profile:
    runner = TransformersRunner(BUILTIN, precision, Options())
    return profile(Job(cell=_cell(precision), replicate=0), runner, lambda *_: None)


@pytest.fixture(scope="module")
def bf16() -> Profile:
    return _profiled(Plain(name="bf16"))


@pytest.fixture(scope="module")
def nf4() -> Profile:
    return _profiled(FourBit(name="nf4"))


def test_products_are_the_most_of_a_plain_prefill(bf16: Profile) -> None:
    spent = bf16.prefill.by_kind_s
    assert max(spent, key=lambda kind: spent[kind]) == "product"
    assert bf16.prefill.operators[0].name == "aten::mm"
    assert "dequantise" not in spent
    assert bf16.notes == ()


def test_the_layers_of_a_quantised_level_show(nf4: Profile) -> None:
    assert nf4.decode is not None
    for phase in (nf4.prefill, nf4.decode):
        assert phase.by_kind_s["dequantise"] > 0
        assert any(one.name.startswith("bitsandbytes::") for one in phase.operators)
    assert nf4.notes == ()


@pytest.mark.parametrize("level", ["bf16", "nf4"])
def test_kinds_add_up_to_the_busy_time_within_the_wall(level: str, request: pytest.FixtureRequest) -> None:
    found: Profile = request.getfixturevalue(level)
    assert found.device == "cpu"
    assert found.decode is not None
    assert (found.prefill.steps, found.decode.steps) == (1, NEW_TOKENS - 1)
    for phase in (found.prefill, found.decode):
        assert sum(phase.by_kind_s.values()) == pytest.approx(phase.busy_s)
        assert 0 < phase.busy_s <= phase.wall_s
        assert sum(one.self_s for one in phase.operators) <= phase.busy_s * (1 + 1e-9)
        assert len(phase.operators) == profiles.SHOWN
        assert [one.self_s for one in phase.operators] == sorted((one.self_s for one in phase.operators), reverse=True)
        layers = 30  # seven products each, and the output head
        assert phase.calls > phase.steps * (7 * layers + 1)


class Unpacks(torch.nn.Module):  # type: ignore[misc]
    """A linear layer whose weights are integers with one scale, unpacked by the operators that any layer uses."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("packed", torch.randint(-8, 8, (256, 256), dtype=torch.int8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.packed.to(torch.float32) * 0.01)


def test_what_a_quantised_layer_does_beside_its_product_is_dequantising() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(256, 256), Unpacks(), torch.nn.SiLU())
    assert profiles.quantised_layers(network) == [network[1]]

    class Once:
        compiled = False

        @torch.inference_mode()  # type: ignore[untyped-decorator]
        def generate(self, prompts: Any, output_tokens: int, on_step: Any) -> None:
            network(torch.zeros(4, 256))
            on_step(1)

    found = profiles.profile(network, Once(), [[0]], 1, samples.facts())  # type: ignore[arg-type]
    kinds = {(one.name, one.kind) for one in found.prefill.operators}
    assert {("aten::copy_", "dequantise"), ("aten::mul", "dequantise"), ("aten::silu", "elementwise")} <= kinds
    assert ("aten::mm", "product") in kinds
    assert found.decode is None
    assert not network[1]._forward_hooks  # nothing is left behind


def _event(name: str, start: float, end: float, gpu: bool = False, **more: Any) -> SimpleNamespace:
    """What torch's profiler calls a FunctionEvent; times in microseconds."""
    span = SimpleNamespace(start=start, end=end, elapsed_us=lambda: end - start)
    said = {"id": 0, "cpu_parent": None, "linked_correlation_id": 0, "is_user_annotation": False}
    device = DeviceType.CUDA if gpu else DeviceType.CPU
    return SimpleNamespace(**{"name": name, "time_range": span, "device_type": device, **said, **more})


def _gpu_events() -> Sequence[SimpleNamespace]:
    """A range of 100 µs with a product of 30, a dequantisation of 20, a kernel that nobody started, and one outside."""
    around = _event(profiles.PREFILL, 0, 100, id=1)
    layer = _event(profiles.LAYER, 1, 40, id=2, cpu_parent=around)
    product = _event("aten::mm", 2, 10, id=3, cpu_parent=layer)
    unpack = _event("mylib::mul", 12, 20, id=4, cpu_parent=layer)
    return [
        *(around, layer, product, unpack),
        _event("cudaLaunchKernel", 3, 4, id=77, linked_correlation_id=3, cpu_parent=product),
        _event(profiles.PREFILL, 5, 95, gpu=True, is_user_annotation=True),
        _event("nvjet_tst_64x8", 10, 40, gpu=True, linked_correlation_id=3),
        _event("k_mul", 40, 60, gpu=True, linked_correlation_id=4),
        _event("void at::native::vectorized_elementwise_kernel<4>", 60, 65, gpu=True),
        _event("surprise", 70, 71, gpu=True),
        _event("Memcpy DtoH", 200, 210, gpu=True),
    ]


def test_kernels_of_a_gpu_are_named_by_the_operator_that_started_them() -> None:
    found, unknown_s = profiles.phase(_gpu_events(), profiles.PREFILL, 1, "cuda")
    assert found.wall_s == pytest.approx(100e-6)
    assert found.busy_s == pytest.approx(56e-6)
    assert found.calls == 4
    kinds = {"product": 30e-6, "dequantise": 20e-6, "elementwise": 5e-6, "other": 1e-6}
    assert found.by_kind_s == pytest.approx(kinds)
    assert [one.name for one in found.operators][:2] == ["aten::mm", "mylib::mul"]
    assert unknown_s == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::_weight_int4pack_mm_for_cpu", "product"),
        ("aten::_int_mm", "product"),
        ("aten::_scaled_dot_product_flash_attention_for_cpu", "attention"),
        ("bitsandbytes::gemv_4bit", "product"),
        ("bitsandbytes::dequantize_4bit", "dequantise"),
        ("bitsandbytes::int8_vectorwise_quant", "dequantise"),
        ("bitsandbytes::int8_mm_dequant", "dequantise"),
        ("torchao::choose_qparams_affine", "dequantise"),
        ("quanto::unpack", "dequantise"),
        ("quanto::qbytes_mm", "product"),
        ("aten::_to_copy", "cast-copy"),
        ("aten::silu", "elementwise"),
        ("aten::transpose", "other"),
        ("MatMul8bitLt", "other"),
        ("Torch-Compiled Region: 0/0", None),
        ("somelib::surprise", None),
    ],
)
def test_operators_have_kinds_by_name(name: str, kind: str | None) -> None:
    assert operators.kind(name) == kind


def test_operators_that_nobody_knows_are_said() -> None:
    events = [_event(profiles.PREFILL, 0, 100, id=1, self_cpu_time_total=10)]
    events += [_event("lib::odd", 1, 60, cpu_parent=events[0], self_cpu_time_total=59)]
    events += [_event("aten::mm", 60, 90, cpu_parent=events[0], self_cpu_time_total=30)]
    found, unknown_s = profiles.phase(events, profiles.PREFILL, 1, "cpu")
    assert found.by_kind_s == pytest.approx({"other": 59e-6, "product": 30e-6})
    assert list(profiles._unknown_notes("prefill", unknown_s, found)) == [
        "66% of the prefill went to operators whose kind is not known here"
    ]


def test_a_runner_without_a_profiler_is_unsupported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(FakeRunner, "profile", raising=False)
    cell = samples.cell(runner=RunnerChoice(name="fake"))
    runner = FakeRunner(cell.model, cell.precision, FakeRunner.Options())
    with pytest.raises(UnsupportedError, match="fake cannot say which operators"):
        profile(Job(cell=cell, replicate=0), runner, lambda *_: None)


def test_the_fakes_profile_is_the_programmed_one() -> None:
    cell = samples.cell(runner=RunnerChoice(name="fake"))
    runner = FakeRunner(cell.model, cell.precision, FakeRunner.Options(prefill_s=0.01, step_s=0.002))
    found = profile(Job(cell=cell, replicate=0), runner, lambda *_: None)
    assert found.decode is not None
    assert found.decode.steps == MOST_TOKENS - 1
    assert found.decode.wall_s == pytest.approx(0.016)
    assert found.decode.by_kind_s == pytest.approx({"product": 0.008, "dequantise": 0.0032, "elementwise": 0.0016})
    assert found.prefill.wall_s == pytest.approx(0.01)


class Told:
    """A runner that writes down what it is asked."""

    ENGINE = ()

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def load(self) -> ModelFacts:
        return samples.facts()

    def generate(self, prompts: Any, output_tokens: int, on_step: Any) -> None:
        self.asked.append(("generate", len(prompts), output_tokens))

    def keep_prefix(self, prompts: Any, cached_tokens: int) -> None:
        self.asked.append(("keep", len(prompts[0]), cached_tokens))

    def profile(self, prompts: Any, output_tokens: int, facts: ModelFacts) -> str:
        self.asked.append(("profile", len(prompts), output_tokens))
        return "a profile"


def test_the_pass_is_warm_and_short_and_keeps_prefixes() -> None:
    runner, said = Told(), list[str]()
    cell = _cell(Plain(name="bf16"), batch_size=2, new_tokens=64, cached=32)
    found: Any = profile(Job(cell=cell, replicate=0), runner, lambda what, _: said.append(what))  # type: ignore[arg-type]
    assert found == "a profile"
    kept = ("keep", 96, 32)
    assert runner.asked == [kept, ("generate", 2, MOST_TOKENS), kept, ("profile", 2, MOST_TOKENS)]
    assert said == ["loading", "first generation", "profiling"]
