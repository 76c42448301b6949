"""``calibrate run --device cuda`` on a device that is not there: planted decoders are found, and faults cost a case.

Times come from the project's own laws (``fake_cuda``), so nothing here says how well these laws hold on a GPU.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from click.testing import CliRunner
from fake_cards import CARDS
from fake_cuda import Costs, FakeCuda, install_card, plant_factors
from fake_nvml import MIB, FakeNvml

from calibration.fit.from_table import Fitted
from calibration.measure import run, stopwatch
from calibration.measure.benchmarks import attention, collectives, decoder, elementwise, gemm, suite
from calibration.measure.session import run_benchmarks
from calibration.measure.sheet import choose_dtypes
from cli import app
from simulator import predict
from simulator.errors import InputError
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement, read_table
from simulator.timing.profile import load_profile

Run = decoder.Run
EAGER, GRAPH = "pytorch-eager", "pytorch-graph"
NO_PERMISSION = 4


MODEL = """id: {id}
name: {id}
architecture:
  hidden_size: {width}
  num_hidden_layers: 1
  num_attention_heads: 16
  intermediate_size: {width}
  vocab_size: {vocabulary}
  max_position_embeddings: 2048
  position_embedding: learned
  tie_word_embeddings: true
  gated_mlp: false
  parallel_residual: false
  norms_per_layer: 2
  norm_bias: true
  embedding_norm: false
  attention_bias: false
  attention_output_bias: false
  mlp_bias: false
  lm_head_bias: false
"""


@pytest.fixture(autouse=True)
def small_suite(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A suite of decoders of one layer, looked at as briefly as a fit can do with."""
    folder = tmp_path_factory.mktemp("models")
    paths = []
    for place, (width, vocabulary) in enumerate([(2048, 8192), (1024, 16384), (2560, 8192), (1536, 32768)]):
        paths.append(folder / f"one-layer-{place}.yaml")
        paths[-1].write_text(MODEL.format(id=f"one-layer-{place}", width=width, vocabulary=vocabulary))
    fitted, *checked = map(str, paths)
    monkeypatch.setitem(gemm.CUDA_SHAPES, "quick", ([(4096, 4096), (1536, 1024)], [1, 128, 2048]))
    monkeypatch.setitem(gemm.HEADS, "quick", ([], []))
    shapes = attention.SHAPES["cuda", "quick"]
    monkeypatch.setitem(attention.SHAPES, ("cuda", "quick"), shapes[:2] + shapes[4:6])
    monkeypatch.setitem(elementwise.CUDA_SHAPES, "quick", [(1, 4096), (2048, 4096)])
    kernels = {name: elementwise.KERNELS[name] for name in ("layer norm", "residual")}
    monkeypatch.setattr(elementwise, "KERNELS", kernels)
    monkeypatch.setattr(decoder, "CUDA_FIT", [Run(fitted, "", 32, 512), Run(fitted, "", 1, 128)])
    monkeypatch.setattr(decoder, "CUDA_CHECK", [Run(model, "", 32, 512) for model in checked])
    monkeypatch.setattr(decoder, "QUICK_OUTPUT", 2)
    for name, value in {"MOST_CALLS": 8, "CUDA_BATCH": 2, "OVERHEAD_SAMPLES": 3, "FEWEST": 2, "HOST_CALLS": 5}.items():
        monkeypatch.setattr(stopwatch, name, value)
    monkeypatch.setattr(run, "wait_for_quiet", lambda budget_s, say: 0.0)
    monkeypatch.setattr(run, "read_ticks", lambda: None)
    monkeypatch.setattr(run, "find_others_share", lambda since: 0.0)


class Stage:
    """Runs of the command on a card, with what was said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, out: Path) -> None:
        self.monkeypatch, self.out = monkeypatch, out
        self.said: list[str] = []
        self.nvml = FakeNvml()

    def run(
        self,
        card: str = "a100-sxm-80gb",
        stack: str = EAGER,
        setup: Callable[[FakeCuda], object] = lambda fake: None,
        costs: Costs | None = None,
        **changes: Any,
    ) -> Fitted:
        self.said.clear()
        hardware = load_hardware(card)
        self.nvml.clock_mhz = int(hardware.compute.clock / 1e6)
        factors = plant_factors(hardware, load_stack(stack), 1)
        settings: dict[str, Any] = {
            "suite": "quick",
            "budget_s": 600.0,
            "seed": 0,
            "hardware": None,
            "resume": False,
            "dry_run": False,
        }
        with ExitStack() as block:
            fake = block.enter_context(install_card(self.monkeypatch, card, stack, factors, costs, self.nvml))
            setup(fake)
            return run_benchmarks(
                "cuda", stack=stack, out=self.out, form="table", command="", say=self.said.append, **settings | changes
            )

    @property
    def rows(self) -> list[Measurement]:
        return read_table(self.out.with_suffix(".csv"))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Stage]:
    with monkeypatch.context() as patches:
        yield Stage(patches, tmp_path / "gpu.yaml")


def test_eager_decoders_are_found_whatever_lies_between_two_events(stage: Stage) -> None:
    """2.5 us between an event and the kernel behind it are as much as a small kernel takes."""
    fitted = stage.run(costs=Costs(event_gap_s=2.5e-6, noise=0.0))
    profile = load_profile(stage.out)
    assert profile.check is not None
    assert profile.check.median_ape < 0.05
    assert profile.hardware == "a100-sxm-80gb"
    assert fitted.verdict is None or not fitted.verdict.refused
    assert any("2.5 us are taken off" in line for line in stage.said)
    assert stage.said[-1].startswith("use it: roofcast predict -m pythia-160m -H a100-sxm-80gb ")
    smallest = min(row.value for row in stage.rows if row.phase == "elementwise")
    planted = plant_factors(load_hardware("a100-sxm-80gb"), load_stack(EAGER), 1)
    assert smallest == pytest.approx(float(planted.kernel_latency_s), rel=0.05)


@pytest.mark.long  # the same as eager but for the capture; ``benchmarks.fake_gpu`` has it too
def test_graphs_are_replayed_one_a_token_and_are_found(stage: Stage) -> None:
    stage.run(stack=GRAPH, costs=Costs(graph_gap_s=6e-6))
    check = load_profile(stage.out).check
    assert check is not None
    assert check.median_ape < 0.06


def raise_in(kernel: str, error: Exception, times: int = 10**9) -> Callable[[FakeCuda], None]:
    """A fault of one kind of kernel."""

    def setup(fake: FakeCuda) -> None:
        left = [times]

        def fail(name: str) -> None:
            if name == kernel and left[0] > 0:
                left[0] -= 1
                raise error

        fake.before_kernel = fail

    return setup


def test_what_fails_is_left_out_and_what_cannot_be_seen_in_any_error_is_doubted(stage: Stage) -> None:
    """One kernel has no memory, a sensor refuses, the power is at its limit, and others take two fifths of the time."""

    def setup(fake: FakeCuda) -> None:
        fake.slow = lambda: 1.7
        raise_in("bmm", torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))(fake)

    stage.nvml.bits, stage.nvml.processes = 0x4, 2
    stage.nvml.fails = {"nvmlDeviceGetPowerUsage": NO_PERMISSION}
    fitted = stage.run(setup=setup)
    assert [line for line in stage.said if "left out, out of memory" in line] == [
        "batched batch=32 m=64 n=512 k=64 bf16: left out, out of memory"
    ]
    assert stage.out.with_suffix(".failed.txt").read_text() == "batched batch=32 m=64 n=512 k=64 bf16: out of memory\n"
    assert sum("nvmlDeviceGetPowerUsage" in line for line in stage.said) == 1
    assert "rows ran at the limit of the power or of the board and are kept" in fitted.report
    for row in stage.rows:
        assert (row.power_w, row.throttled) == (None, "software power cap")
        assert row.clock_hz == pytest.approx(1.41e9)
    assert load_profile(stage.out).check is not None
    assert fitted.verdict is not None
    assert any("of the data sheet's bandwidth" in doubt for doubt in fitted.verdict.doubts)
    assert "1 other process computed on the device" in fitted.verdict.doubts


def test_a_lost_device_ends_the_measuring_and_resume_goes_on_behind_it(stage: Stage) -> None:
    def lose(fake: FakeCuda) -> None:
        def fail(name: str) -> None:
            if name == "bmm":
                fake.is_lost = True
                fake.check_alive()

        fake.before_kernel = fail

    def start(**changes: Any) -> int:
        with suppress(InputError):  # the few cases before it may have been no decoder
            stage.run(setup=lose, **changes)
        assert any("the device failed (CUDA error: unspecified launch failure" in line for line in stage.said)
        return len(stage.rows)

    first = start()
    second = start(resume=True)
    assert first < second  # the case that takes the device with it comes last now
    assert {row.phase for row in stage.rows} >= {"linear", "decode", "prefill", "stream"}
    verdict = load_profile(stage.out).verdict
    assert verdict is not None
    assert any(doubt.startswith("the device failed: ") for doubt in verdict.doubts)


def take_first(count: int) -> Callable[..., Any]:
    """The suite cut off after a few cases."""
    real = suite.run_suite
    return lambda cases, *rest: real(list(cases)[:count], *rest)


def test_a_run_of_few_cases_is_refused_and_every_answer_says_so(stage: Stage) -> None:
    stage.monkeypatch.setattr(run, "run_suite", take_first(22))
    fitted = stage.run()
    assert fitted.verdict is not None
    assert any(reason.startswith("22 of ") for reason in fitted.verdict.refused)
    assert not any(line.startswith("use it") for line in stage.said)
    refused = predict("pythia-160m", "a100-sxm-80gb", stage.out, prompt_tokens=128, output_tokens=8)
    assert refused.carried[0].startswith("refused by its own calibration (22 of ")
    assert float(refused.e2e_s_high / refused.e2e_s_low) > 1.9


@pytest.mark.parametrize("id_", CARDS)
def test_a_dry_run_names_the_sheet_and_the_type_of_each_card(stage: Stage, id_: str) -> None:
    report = stage.run(id_, dry_run=True).report.splitlines()
    assert report[0] == f"data sheet: {id_}"
    dtype = "fp16" if id_ in ("t4-16gb", "v100-sxm-32gb") else "bf16"
    assert f"host launches=1 {dtype}" in report
    assert list(stage.out.parent.iterdir()) == []


def test_a_card_of_fp32_alone_or_of_slow_halves_is_measured_in_fp32() -> None:
    turing = load_hardware("t4-16gb")
    alone = dict(turing.compute.matrix_peak) | {"fp16": 1e11}
    turing.compute.matrix_peak.clear()
    turing.compute.matrix_peak.update(alone)
    assert choose_dtypes(turing, (7, 5)) == ["fp32"]


def test_a_device_with_too_little_memory_is_refused_before_it_is_measured(stage: Stage) -> None:
    with pytest.raises(InputError, match=r"GB of the device are free, which is enough for 0 of the models"):
        stage.run(setup=lambda fake: setattr(fake, "used", fake.free_bytes - 20 * MIB), dry_run=True)


def test_a_device_that_torch_has_no_kernels_for_is_one_line(stage: Stage) -> None:
    """As where a build has dropped a generation: it is seen by the first kernel."""
    missing = torch.AcceleratorError(
        "CUDA error: no kernel image is available for execution on the device\nFor debugging"
    )
    with pytest.raises(InputError, match=r"runs nothing on this device: CUDA error: no kernel image .* device$"):
        stage.run(setup=raise_in("zeros", missing))
    assert list(stage.out.parent.iterdir()) == []


class Hung:
    """Processes of a group that do not end."""

    processes: ClassVar[list[Any]] = []

    def join(self, left: float) -> bool:
        return False


def test_a_group_that_hangs_costs_its_sizes_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def spawn(target: Any, given: Any, nprocs: int, join: bool) -> Hung:
        given[-1].send((64, [1e-5]))  # what was timed before
        return Hung()

    started: list[int] = []
    real = collectives.time_all_reduces

    def time_briefly(device_kind: str, sizes: Any, tp: int, dtype: str) -> Any:
        started.append(1)
        return real(device_kind, sizes, tp, dtype, limit_s=0.01)

    monkeypatch.setattr(torch.multiprocessing, "spawn", spawn)
    monkeypatch.setattr(collectives, "time_all_reduces", time_briefly)
    group = collectives.Group("cuda", 2, "bf16", (64, 128))
    assert group.time(64) == [1e-5]
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"^the 2 processes of the group took more than 0.01 s$"):
            group.time(128)
    assert len(started) == 1


class Failed(Hung):
    """Processes of a group of which one has failed, in the midst of what it sent."""

    def join(self, left: float) -> bool:
        raise RuntimeError("-- Process 1 terminated\nncclUnhandledCudaError: Call to CUDA function failed.")


def test_a_rank_that_fails_costs_what_it_had_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def spawn(target: Any, given: Any, nprocs: int, join: bool) -> Failed:
        given[-1].send((64, [1e-5]))
        os.write(given[-1].fileno(), b"\0\0\0\x40 cut")  # 64 bytes that do not come
        return Failed()

    monkeypatch.setattr(torch.multiprocessing, "spawn", spawn)
    group = collectives.Group("cuda", 2, "bf16", (64, 128))
    assert group.time(64) == [1e-5]
    with pytest.raises(RuntimeError, match=r"^a process of the group failed: ncclUnhandledCudaError: Call to CUDA "):
        group.time(128)


def test_a_new_sheet_has_what_the_driver_reports_and_is_read_once_the_peaks_are_filled_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A laptop's card: fewer units than the desktop's of the same name, so peaks by units and clock are reminders."""
    monkeypatch.setitem(
        CARDS, "rtx-4090", CARDS["rtx-4090"]._replace(name="NVIDIA GeForce RTX 4090 Laptop GPU", units=76)
    )
    out = tmp_path / "mine.yaml"
    with install_card(monkeypatch, "rtx-4090"):
        assert CliRunner().invoke(app, ["hardware", "new", "--out", str(out)]).exception is None
    text = out.read_text()
    assert "  # bandwidth: ? GB/s" in text
    assert "    # bf16: ? TFLOP/s (as " in text
    with pytest.raises(InputError):
        load_hardware(out)
    filled = re.sub(r"    # bf16: .*", "    bf16: 90 TFLOP/s", text).replace("# bandwidth: ?", "bandwidth: 576")
    out.write_text(
        filled.replace("  # - title: ? the", "  - title: the")
        .replace("  #   url: ?", "    url: x")
        .replace("  #   gives", "    gives")
    )
    sheet = load_hardware(out)
    assert (sheet.compute.units, sheet.compute.capability, sheet.compute.clock) == (76, "8.9", 2.52e9)
    assert sheet.reported_as == ["NVIDIA GeForce RTX 4090 Laptop GPU"]
    assert sheet.memory.given == pytest.approx(24217 * MIB)
    assert sheet.power is not None
    assert sheet.power.tdp == 450
