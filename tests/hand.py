"""A device of round numbers, for values that are worked out by hand: a fit absorbs a factor of two, these do not.

The device has 10 units at 1 GHz, a peak of 10 TFLOP/s (1 TFLOP/s a unit) and memory of 1 TB/s; a number has two bytes.
"""

from __future__ import annotations

from typing import Any

import pytest

from simulator.inputs.stack import DecodeKernel
from simulator.timing.device import LIBRARY_TILING, Device, GroupLinks
from simulator.timing.factors import Factors
from simulator.timing.learned import Traits
from simulator.timing.passes import Machine
from simulator.timing.priors import list_factors

US = 1e-6
LINK = 1e11  # bytes per second
HUGE = 1e30  # an efficiency that leaves nothing of a time


def link_devices(tp: int, ep: int = 4, direct: int = 0) -> GroupLinks:
    """Links of 0.1 TB/s within a layer, half of it to the experts and a quarter to the next stage."""
    return GroupLinks(LINK, LINK / 2, LINK / 4, tp, ep, direct)


def make_device(**other: Any) -> Device:
    """The device of the module's docstring, where nothing else is said."""
    facts: dict[str, Any] = {
        "traits": Traits("gpu"),
        "peak_flops_per_s": 1e13,
        "wide_peak_flops_per_s": 1e13,
        "prompt_peak_flops_per_s": 1e13,
        "bandwidth_bytes_per_s": 1e12,
        "units": 10,
        "clock_hz": 1e9,
        "power_w": float("inf"),
        "cache_bytes": 1e6,
        "element_bytes": 2,
        "cache_number_bytes": 2,
        "weight_share": 1.0,
        "dequantizes_above": float("inf"),
        "stripes_narrow": False,
        "load_bytes": 0,
        "own_products": False,
        "splits_k": False,
        "decode_kernel": DecodeKernel(parts="one"),
        "skinny_rows": 32,
        "held_share": 1.0,
        "instruction_rows": 1,
        "loads_ahead": True,
        "spills_narrow_heads": False,
        "tiling": LIBRARY_TILING,
        "vector_rows": 1,
        "unpacked_rows": 1,
        "links": link_devices(1),
    }
    if "kind" in other:
        other["traits"] = Traits(other.pop("kind"))
    return Device(**facts | other)


def make_factors(**known: float) -> Factors:
    """Factors of one, latencies of nothing and operands that load at once, where nothing else is said.

    A message crosses a device's own memory three times in a ring, a softmax counts as 32 elements of a head, three
    blocks share a unit, and one device's queue of kernels rounds off with sharpness 12.
    """
    ones = {factor.name: 1.0 if factor.unit == "1" else 0.0 for factor in list_factors().values()}
    counts = {"ring_memory_passes": 3.0, "softmax_elements": 32.0, "resident_blocks": 3.0, "queue_overlap": 12.0}
    return Factors(**ones | counts | {"cache_bytes_per_cycle": HUGE} | known)


def make_machine(tp: int, **known: float) -> Machine:
    """The device among others."""
    return Machine(make_device(links=link_devices(tp)), make_factors(**known))


def us(seconds: Any) -> Any:
    """Microseconds that may differ by rounding alone."""
    return pytest.approx(seconds * US, rel=1e-9)
