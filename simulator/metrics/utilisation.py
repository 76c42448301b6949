"""How much of a device a request uses."""

from __future__ import annotations

from simulator.costs.elementary import Number
from simulator.costs.model import Step, list_all, sum_flops
from simulator.timing.kernels import Device


def find_mfu(prefill: Step, prefill_s: Number, device: Device, pp: int) -> Number:
    """Model FLOPs utilisation of the prefill: its matrix FLOPs over what all devices could do in its time.

    Chowdhery et al. 2022 (arXiv 2204.02311), section 4.1. With a pipeline one stage works at a time.
    """
    return sum_flops(prefill) / (prefill_s * device.peak_flops_per_s * pp)


def find_mbu(decode: Step, tpot_s: Number, device: Device, pp: int) -> Number:
    """Model bandwidth utilisation of decode: weights and KV cache read a pass, over what the memories could deliver."""
    moved = sum(count * (operator.weight_bytes + operator.kv_bytes) for count, operator in list_all(decode))
    return moved / (tpot_s * device.bandwidth_bytes_per_s * pp)
