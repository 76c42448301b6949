"""What the time laws need of a data sheet and of the kernel library, for one data type."""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.operators import Operator
from simulator.inputs.deployment import Deployment
from simulator.inputs.formats import FORMATS
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.numbers import Number

NARROW_KINDS = frozenset({"linear", "grouped"})


class Device(NamedTuple):
    """One device.

    ``is_cpu``: its kernels and the host's work run in turn. ``wide_peak_flops_per_s``: of products without weights,
    which no narrow format holds for. ``weight_share``: size of a weight over that of the number it is multiplied with.
    ``widens_above``: products of more tokens widen narrow weights in memory. ``narrow_loads``: threads of the stack's
    own kernels load four bytes at a time. ``splits_k`` and ``splits_context``: the
    matrix library may split a product along k, and decode attention the tokens of a sequence.
    """

    is_cpu: bool
    peak_flops_per_s: Number
    wide_peak_flops_per_s: Number
    bandwidth_bytes_per_s: Number
    units: Number
    clock_hz: Number
    element_bytes: Number
    weight_share: Number
    widens_above: float
    narrow_loads: bool
    splits_k: bool
    splits_context: bool

    @property
    def unit_flops_per_s(self) -> Number:
        """Peak of one multiprocessor."""
        return self.peak_flops_per_s / self.units

    def serve(self, operator: Operator) -> Device:
        """The device as it is to one operator: with the peak of its format."""
        if operator.wide:
            return self._replace(peak_flops_per_s=self.wide_peak_flops_per_s, weight_share=1.0)
        if operator.kind in NARROW_KINDS or self.wide_peak_flops_per_s is self.peak_flops_per_s:
            return self
        return self._replace(peak_flops_per_s=self.wide_peak_flops_per_s)


def describe_device(hardware: Hardware, deployment: Deployment, stack: Stack) -> Device:
    """Collect the numbers of one device for the formats of a deployment.

    Raises:
        InputError: the data sheet has no matrix peak for a format that is computed in.
    """
    math, wide = (find_math(hardware, dtype, stack) for dtype in (deployment.dtype, deployment.wide_dtype))
    peak = hardware.peak_flops_per_s(math)
    return Device(
        hardware.kind == "cpu",
        peak,
        peak if wide == math else hardware.peak_flops_per_s(wide),
        hardware.memory.bandwidth,
        hardware.compute.units,
        hardware.compute.clock,
        deployment.activation_bytes,
        min(deployment.weight_bytes / deployment.input_bytes, 1.0),
        float("inf") if stack.widens_weights_above is None else float(stack.widens_weights_above),
        stack.narrow_loads and hardware.kind != "cpu",
        stack.splits_k,
        stack.splits_context,
    )


def find_math(hardware: Hardware, dtype: str, stack: Stack) -> str:
    """Key of the peak that products of a format run at; ``fp16/fp16`` is of those that are added up in fp16."""
    math = FORMATS[dtype].math or dtype
    narrow = f"{math}/fp16"
    return narrow if stack.accumulates_fp16 and narrow in hardware.compute.matrix_peak else math
