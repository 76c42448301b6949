"""What could serve a model: every device in every format that it has, in every layout that divides the model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simulator.costs.footprint import count_weight_bytes
from simulator.errors import InputError
from simulator.explore.recommend.wish import OWN, Wish
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.deployment import Deployment
from simulator.inputs.formats import FORMATS, find_format
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.inputs.stack_support import find_obstacle, list_formats_asked
from simulator.inputs.workload import Workload
from simulator.metrics.capacity import find_usable_bytes
from simulator.metrics.layout import describe_deployment, find_most_linked
from simulator.prediction import Question, resolve
from simulator.serving.setup import find_scheduler
from simulator.timing.profile import Profile
from simulator.timing.software import choose_software

NARROWER = ("fp8", "int8", "nvfp4")  # that a checkpoint of 16 bits is also served in, where the device computes in them
WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32, 40, 48, 56, 64, 72)
DEPTHS = (1, 2, 3, 4, 6, 8)  # stages of a pipeline


class Cell(NamedTuple):
    """One device, format and layout of a replica."""

    question: Question
    format: str

    @property
    def device(self) -> str:
        """The device's id."""
        return self.question.hardware.id

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.question.work.deployment.devices

    @property
    def layout(self) -> str:
        """Sizes of the layout."""
        d = self.question.work.deployment
        sizes = {"pp": d.pp, "ep": d.ep}
        return ", ".join([f"tp {d.tp}", *(f"{name} {size}" for name, size in sizes.items() if size > 1)])

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others of the same stack."""
        return (f"{self.device} {self.question.work.stack.id}", self.format, self.layout)

    def count_devices(self, replicas: int) -> int:
        """Devices of so many replicas."""
        return self.devices * replicas

    def describe(self, replicas: int) -> str:
        """What one would rent: devices, format and layout of a replica."""
        return f"{self.count_devices(replicas)} x {self.device}, {self.format}, {self.layout}"

    def describe_formats(self) -> str:
        """Formats of the weights in short."""
        named = describe_deployment(self.question.work.deployment)
        return str(named["weight_dtype"])


class LeftOut(NamedTuple):
    """A device, or a format of it, that nothing can be said of, and why."""

    device: str
    reason: str


def list_cells(wish: Wish) -> tuple[list[Cell], list[LeftOut]]:
    """Everything that could be, whether or not it fits; and devices that nothing can be said of."""
    cells: list[Cell] = []
    left: list[LeftOut] = []
    own = list_formats_asked(None, wish.model.formats if wish.formats is None else None)
    for hardware in wish.devices:
        for named in wish.stacks:
            try:
                profile, stack = choose_software(hardware, named, wish.calibration, wish.model)
                obstacle = find_obstacle(stack, wish.model.architecture, own, hardware)
                if obstacle is not None:
                    raise InputError(obstacle)
                scheduler = find_scheduler(stack)
                if scheduler.policy == "static":
                    raise InputError(f"{stack.name} runs static batches, which have no steady state")
                found = list(list_device_cells(wish, hardware, profile, stack))
            except InputError as error:
                left.append(LeftOut(hardware.id, str(error).split("; -s takes")[0]))
                continue
            if not found:
                left.append(LeftOut(hardware.id, "no layout divides the model, in any format asked for"))
            cells += found
    return cells, left


def list_device_cells(wish: Wish, hardware: Hardware, profile: Profile | None, stack: Stack) -> Iterator[Cell]:
    """Formats and layouts of one device; those that its memory surely cannot hold are not tried."""
    workload = Workload(wish.load.prompt_tokens, wish.load.output_tokens, 1)
    for name in list_formats(wish.model, hardware, wish.formats):
        for tp, pp, ep in list_sizes(wish, hardware):
            try:
                deployment = choose_deployment(name, hardware, tp, pp, ep, wish.kv_dtype)
                question = resolve(wish.model, hardware, profile or "none", stack, deployment, workload)
            except InputError:
                continue
            if question.obstacle is not None:
                continue
            a, d = question.work.architecture, question.work.deployment
            if float(count_weight_bytes(a, d, stack)) < float(find_usable_bytes(hardware, stack)):
                yield Cell(question, name)


def list_formats(model: ModelSpec, hardware: Hardware, asked: Sequence[str] | None) -> list[str]:
    """Formats to try: those asked for, else the checkpoint's own and, of one of 16 bits, narrower ones.

    Raises:
        InputError: a format that does not exist.
    """
    if asked is not None:
        return [name if name == OWN else find_format(name, "formats") for name in asked]
    narrow = model.formats is not None and model.formats.parts
    peaks = hardware.compute.matrix_peak
    there = [] if narrow else [name for name in NARROWER if FORMATS[name].math in peaks]
    if "fp8" in there:
        there = [name for name in there if name != "int8"]
    return [OWN, *there]


def choose_deployment(
    name: str, hardware: Hardware, tp: int, pp: int, ep: int, kv_dtype: str | None
) -> Deployment:  # fmt: skip
    """A replica in a format: computed in where the device can, else weights alone."""
    if name == OWN:
        return Deployment(tp, pp, 1, ep, kv_dtype=kv_dtype)
    computed = FORMATS[name].math in hardware.compute.matrix_peak
    return Deployment(
        tp, pp, 1, ep, dtype=name if computed else None, weight_dtype=None if computed else name, kv_dtype=kv_dtype
    )


def list_sizes(wish: Wish, hardware: Hardware) -> Iterator[tuple[int, int, int]]:
    """Tensor-, pipeline- and expert-parallel sizes of one replica: layers shared within a node, stages over it."""
    node = find_most_linked(hardware)
    most = min(wish.most_devices, node * wish.most_nodes)
    experts = wish.model.architecture.num_experts is not None
    for tp in WIDTHS:
        if tp > min(node, most):
            break
        for pp in DEPTHS:
            if tp * pp > most or (tp * pp > node and tp * pp % node):
                continue
            yield tp, pp, 1
            if experts and tp > 1:
                yield tp, pp, tp
