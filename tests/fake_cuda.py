"""A CUDA device that is not there: tensors have shapes and no numbers, and time is what laws say for planted factors.

``install_card`` replaces what the benchmarks use of ``torch.cuda``, ``torch.Generator``, ``time`` and ``pynvml``.
Tensors of the device live on torch's meta device, so models of any size "run" at once. Host and device each have a
clock: issuing a kernel takes the host ``launch_s``, the device starts it when it is issued and the one before is done;
events and ``synchronize`` read and join the clocks. Memory is counted, and too much of it is torch's own error.
"""

from __future__ import annotations

import math
import random
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from fake_cards import CARDS
from fake_nvml import FakeNvml
from torch.overrides import TorchFunctionMode, resolve_name

from calibration.fit.operators import build_operators
from calibration.measure.benchmarks import bench
from calibration.measure.device import Accelerator
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.operator_text import KINDS
from simulator.inputs.stack import Stack
from simulator.prediction import describe_machine
from simulator.timing.device import find_traits
from simulator.timing.factors import Factors
from simulator.timing.passes import time_operator
from simulator.timing.priors import as_factors, choose_priors, list_factors

NAMES = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "fp32"}
COUNTED_BYTES = 1 << 20  # of a tensor, from which its memory is counted
PRODUCTS = ("linear", "bmm", "scaled_dot_product_attention")
MAKING = frozenset((*PRODUCTS, "layer_norm", "gelu", "silu", "normalize", "add", "mul", "addcmul", "roll", "embedding"))
VIEWING = frozenset(("view", "transpose", "chunk", "__getitem__", "numel", "element_size", "__len__"))
OF_ATTENTION = ("sequences", "queries", "context", "heads", "kv_heads", "head_size")


@dataclass
class Costs:
    """Seconds that no law has, and the noise of a kernel as a log standard deviation."""

    python_s: float = 1e-6  # host: one call of torch from Python
    event_s: float = 1e-6  # host: one event
    event_gap_s: float = 1e-6  # device: between an event and the kernel behind it
    graph_host_s: float = 8e-6  # host: one replay
    graph_gap_s: float = 5e-6  # device: start of a graph
    noise: float = 0.02


def plant_factors(hardware: Hardware, stack: Stack, seed: int) -> Factors:
    """Factors half a spread about their priors, and a host as plain torch may have it."""
    rng, meanings = random.Random(seed), list_factors()
    values = {}
    for name, prior in choose_priors(find_traits(hardware), stack).items():
        drawn = prior.value * math.exp(0.5 * prior.spread * rng.gauss(0, 1))
        values[name] = min(max(drawn, 1.01 * meanings[name].low), 0.99 * meanings[name].high)
    values |= {"launch_s": 4.5e-6}
    return Factors(**values)


class FakeCuda:
    """The device: clocks, memory, and what is planted. ``before_kernel`` raises faults, ``slow`` makes it slower."""

    def __init__(self, card: Accelerator, hardware: str, stack: str, factors: Factors | None, costs: Costs) -> None:
        self.card, self.costs = card, costs
        self.hardware, self.stack = load_hardware(hardware), load_stack(stack)
        self.factors = factors or as_factors(choose_priors(find_traits(self.hardware), self.stack))
        self.host = self.device = 0.0
        self.launches = self.used = self.peak = 0
        self.devices = 1
        self.capturing: list[float] | None = None
        self.slow: Callable[[], float] = lambda: 1.0
        self.before_kernel: Callable[[str], object] = lambda name: None
        self.is_lost = False
        self.random = random.Random(0)
        self.known: dict[Any, float] = {}
        self.machines: dict[str, Any] = {}
        self.live: dict[int, list[int]] = {}
        self.seen: set[int] = set()

    def find_time(self, kind: str, dtype: torch.dtype, **sizes: float) -> float:
        """Seconds of a kernel by its law."""
        key = (kind, dtype, *sizes.items())
        if key not in self.known:
            name = NAMES.get(dtype, "bf16")
            if name not in self.hardware.compute.matrix_peak:  # of numbers that no product is of
                name = next(one for one in ("bf16", "fp16", "fp32") if one in self.hardware.compute.matrix_peak)
            deployment = Deployment(dtype=name)
            if name not in self.machines:
                machine = describe_machine(self.hardware, self.stack, deployment, None)
                self.machines[name] = machine._replace(factors=self.factors)
            text = "attention" if kind.endswith("attention") else kind
            given = dict.fromkeys(KINDS[text], 0.0) | sizes
            operators = build_operators(kind, given, deployment, self.stack)
            self.known[key] = sum(float(time_operator(one, self.machines[name])) for one in operators)
        return self.known[key]

    def launch(self, seconds: float, count: int, name: str) -> None:
        """Issue a kernel."""
        self.check_alive()
        self.before_kernel(name)
        self.launches += count
        seconds *= self.slow() * math.exp(self.costs.noise * self.random.gauss(0, 1))
        if self.capturing is not None:
            self.capturing.append(seconds)
            return
        self.host += count * float(self.factors.launch_s)
        self.device = max(self.device, self.host) + seconds

    def check_alive(self) -> None:
        """Refuse everything once the device is lost, as CUDA does."""
        if self.is_lost:
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")

    def synchronize(self, device: Any = None) -> None:
        """Wait for the device."""
        self.check_alive()
        if self.capturing is not None:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing")
        self.host = self.device = max(self.host, self.device)

    def watch(self, tensor: torch.Tensor) -> None:
        """Count the memory of a tensor until it is gone."""
        if tensor.device.type != "meta" or id(tensor) in self.seen:
            return
        storage = tensor.untyped_storage()
        if storage.nbytes() < COUNTED_BYTES:
            return
        key, size = storage._cdata, storage.nbytes()
        entry = self.live.setdefault(key, [0, size])
        if entry[0] == 0:
            self.used += size
            self.peak = max(self.peak, self.used)
        entry[0] += 1
        self.seen.add(id(tensor))
        weakref.finalize(tensor, self.forget, id(tensor), key)
        if self.used > self.free_bytes:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size / 2**30:.2f} GiB.")

    def forget(self, number: int, key: int) -> None:
        """A tensor is gone."""
        self.seen.discard(number)
        entry = self.live[key]
        entry[0] -= 1
        if not entry[0]:
            self.used -= entry[1]
            del self.live[key]

    @property
    def free_bytes(self) -> int:
        """What is free before anything is allocated: all but the context."""
        return int(self.card.memory_bytes - 0.45e9)

    def count_kernel(self, name: str, args: Any, kwargs: Any, inputs: list[Any], outputs: list[Any]) -> None:
        """Launch what a function of torch launches."""
        dtype = next((one.dtype for one in outputs + inputs if one.dtype in NAMES), torch.bfloat16)
        if name in ("linear", "mm", "matmul", "__matmul__"):
            x, w = inputs[:2]
            k, n = x.shape[-1], w.shape[0] if name == "linear" else w.shape[-1]
            return self.launch(self.find_time("linear", dtype, m=x.numel() // k, n=n, k=k), 1, name)
        if name == "bmm":
            (b, m, k), n = inputs[0].shape, inputs[1].shape[-1]
            return self.launch(self.find_time("batched", dtype, batch=b, m=m, n=n, k=k), 1, name)
        if name == "scaled_dot_product_attention":
            q, keys = inputs[:2]
            s, heads, count, size = q.shape
            context, kv = keys.shape[2], keys.shape[1]
            kind = "decode_attention" if count == 1 and context > 1 else "prefill_attention"
            launches = self.stack.count_attention_launches(kind[0] == "d")
            sizes = dict(zip(OF_ATTENTION, (s, count, context, heads, kv, size), strict=True))
            return self.launch(self.find_time(kind, dtype, **sizes), launches, name)
        moved, launches = sum_bytes(inputs) + sum_bytes(outputs), 1
        if name == "normalize":
            moved, launches = 3 * sum_bytes(inputs), 3
        elif name == "embedding":
            moved = 2 * sum_bytes(outputs)
        elif name in ("zeros", "arange"):
            moved = sum_bytes(outputs)
        elif name == "__setitem__":
            moved = 2 * sum_bytes([args[2]])
        elif name in ("zero_", "sum", "max"):
            moved = sum_bytes(inputs)
        elif name in ("add_", "copy_"):
            moved = 2 * sum_bytes(inputs[:1])
        is_stream = name in ("zero_", "copy_", "sum")
        kind, sizes = ("stream", {}) if is_stream else ("elementwise", {"launches": launches})
        return self.launch(self.find_time(kind, dtype, bytes=max(moved, 1), **sizes), launches, name)


class Redirect(TorchFunctionMode):
    """Puts the device's tensors on meta, and tells the fake of each kernel."""

    def __init__(self, fake: FakeCuda) -> None:
        super().__init__()
        self.fake = fake
        self.shapes: dict[Any, Any] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a function of torch on the meta device."""
        kwargs = dict(kwargs or {})
        if func is torch.device:
            return func(*args, **kwargs)
        name = name_function(func)
        if name in VIEWING:
            self.fake.host += self.fake.costs.python_s if self.fake.capturing is None else 0.0
            return func(*args, **kwargs)
        if name in ("__get__", "__set__"):
            return func(*args, **kwargs)
        if "device" in kwargs and is_cuda(kwargs["device"]):
            kwargs["device"] = "meta"
            kwargs.pop("generator", None)
        args = tuple("meta" if is_cuda(one) else one for one in args)
        out = self.run(func, name, args, kwargs)
        inputs = [one for one in (*args, *kwargs.values()) if isinstance(one, torch.Tensor)]
        outputs = [one for one in (out if isinstance(out, tuple | list) else [out]) if isinstance(one, torch.Tensor)]
        if not any(one.device.type == "meta" for one in inputs + outputs):
            return out
        fake = self.fake
        for one in outputs:
            fake.watch(one)
        fake.host += fake.costs.python_s if fake.capturing is None else 0.0
        in_place = name == "__setitem__" or (name.endswith("_") and not name.startswith("__"))
        if name == "empty" or not (outputs or in_place):
            return out
        if not in_place and inputs and outputs and shares_storage(outputs[0], inputs):
            return out  # a view
        fake.count_kernel(name, args, kwargs, inputs, outputs)
        return out

    def run(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        """A function on the meta device; of those that make one new tensor its shape is worked out once."""
        if name not in MAKING:
            return func(*args, **kwargs)
        given = (*args, *kwargs.values())
        key = (name, *((one.shape, one.dtype) if isinstance(one, torch.Tensor) else one for one in given))
        if key not in self.shapes:
            out = func(*args, **kwargs)
            if not isinstance(out, torch.Tensor) or out.device.type != "meta":
                return out
            self.shapes[key] = (out.shape, out.dtype)
        shape, dtype = self.shapes[key]
        return torch.empty(shape, dtype=dtype, device="meta")


@cache
def name_function(func: Any) -> str:
    """The last part of the name of a function of torch."""
    name: str = (resolve_name(func) or getattr(func, "__name__", "")).rpartition(".")[2]
    return name


def sum_bytes(tensors: list[Any]) -> int:
    """Bytes of tensors."""
    return sum(one.numel() * one.element_size() for one in tensors)


def is_cuda(value: Any) -> bool:
    """Whether a value names the device."""
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and value.partition(":")[0] == "cuda"


def shares_storage(out: torch.Tensor, inputs: list[Any]) -> bool:
    """Whether a tensor is a view of another."""
    place = out.untyped_storage()._cdata
    return any(place == one.untyped_storage()._cdata for one in inputs)


def make_parts(fake: FakeCuda) -> dict[str, Any]:
    """Stand-ins for the classes of ``torch.cuda``."""

    class FakeEvent:
        def __init__(self, enable_timing: bool = False) -> None:
            self.at = math.inf

        def record(self) -> None:
            fake.check_alive()
            fake.host += fake.costs.event_s
            self.at = fake.device = max(fake.device, fake.host)
            fake.device += fake.costs.event_gap_s

        def query(self) -> bool:
            return self.at <= fake.host

        def elapsed_time(self, end: Any) -> float:
            if fake.device > fake.host:
                raise RuntimeError("CUDA error: device not ready")
            return float(end.at - self.at) * 1e3

    class FakeStream:
        def wait_stream(self, other: Any) -> None: ...

    class FakeGraph:
        kernels: list[float] | None = None

        def pool(self) -> int:
            return 0

        def replay(self) -> None:
            fake.check_alive()
            if self.kernels is None:
                raise RuntimeError("Called CUDAGraph::replay without a preceding successful capture.")
            fake.host += fake.costs.graph_host_s
            fake.device = max(fake.device, fake.host) + fake.costs.graph_gap_s + fake.slow() * sum(self.kernels)

    @contextmanager
    def capture(graph: Any, pool: Any = None) -> Iterator[None]:
        fake.synchronize()
        fake.capturing = []
        try:
            yield
        finally:
            graph.kernels, fake.capturing = fake.capturing, None

    @contextmanager
    def use_stream(stream: Any) -> Iterator[None]:
        yield

    return {
        "Event": FakeEvent,
        "Stream": FakeStream,
        "stream": use_stream,
        "current_stream": FakeStream,
        "CUDAGraph": FakeGraph,
        "graph": capture,
    }


@contextmanager
def install_card(
    monkeypatch: pytest.MonkeyPatch,
    id_: str,
    stack: str = "pytorch-eager",
    factors: Factors | None = None,
    costs: Costs | None = None,
    nvml: FakeNvml | None = None,
) -> Iterator[FakeCuda]:
    """Make torch and NVML believe in a card for the length of a block."""
    fake = FakeCuda(CARDS[id_], id_, stack, factors, costs or Costs())
    card = fake.card
    properties = SimpleNamespace(
        name=card.name,
        major=card.capability[0],
        minor=card.capability[1],
        multi_processor_count=card.units,
        total_memory=card.memory_bytes,
        L2_cache_size=card.l2_bytes,
        uuid=card.uuid,
    )
    parts = make_parts(fake) | {
        "is_available": lambda: True,
        "device_count": lambda: fake.devices,
        "set_device": lambda device: None,
        "get_device_properties": lambda device=None: properties,
        "mem_get_info": lambda device=None: (fake.free_bytes - fake.used, card.memory_bytes),
        "synchronize": fake.synchronize,
        "empty_cache": fake.check_alive,
    }
    for name, part in parts.items():
        monkeypatch.setattr(torch.cuda, name, part)

    class FakeGenerator(torch.Generator):
        def __new__(cls, device: Any = "cpu") -> Any:
            return super().__new__(cls)

    monkeypatch.setattr(torch, "Generator", FakeGenerator)
    monkeypatch.setattr(bench, "MOST_COPIES", 64)
    for name in ("perf_counter", "monotonic"):
        monkeypatch.setattr(time, name, lambda: fake.host)
    monkeypatch.setitem(sys.modules, "pynvml", nvml or FakeNvml())
    with Redirect(fake):
        yield fake
