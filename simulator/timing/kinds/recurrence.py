"""Recurrences of prompts and of tokens: chunks handed on, scans token after token, and updates of a state.

No profile was fitted to a model with such layers: the priors say what the kernels must do, and widely.
"""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, maximum
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import shared
from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.memory import time_activations, time_latency

SCAN_EFFICIENCY = Factor(
    "scan_efficiency",
    *("1", 0.01, 1.0),
    "share of the dense matrix peak that the products of a recurrence's chunks reach over a prompt",
    Prior(0.25, 0.6, "products of 64 rows with decays and a solve between them; fused attention reaches twice as much"),
)
CHUNK_STEP = Factor(
    "chunk_step_cycles",
    *("cycles", 10.0, 1e6),
    "time in which a recurrence hands its states on from one chunk of a prompt to the next",
    Prior(3000.0, 0.7, "operands from memory, some 700 cycles, and two products of 64 rows that wait for each other"),
)
SCAN_ELEMENTS = Factor(
    "scan_elements_per_cycle",
    *("1", 0.1, 1e3),
    "numbers of a state that a unit takes one token on in a cycle, in a scan token after token",
    Prior(12.0, 0.6, "an exponential each, of which a multiprocessor makes 16 a cycle from A100 to B200"),
)
STATE_EFFICIENCY = Factor(
    "state_efficiency",
    *("1", 0.05, 1.0),
    "share of the memory bandwidth at which one token of each sequence reads and writes its state",
    Prior(0.6, 0.4, "between a copy, 0.8, and blocks that wait for their part of a state before they change it"),
)


def time_chunks(op: Operator, device: Device, f: Factors) -> Number:
    """Chunks of ``m`` tokens of a prompt, ``n`` of them one after the other (Dao and Gu 2024, arXiv 2405.21060).

    The products of all chunks and heads are a roofline, and no shorter than the chain that hands the states on:
    launches x t0 + max(FLOPs / (eta_c P), bytes / (eta_s B), n kappa / clock).
    """
    computing = op.flops / (f.scan_efficiency * device.peak_flops_per_s)
    moving = op.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    chain = op.n * f.chunk_step_cycles / device.clock_hz
    return op.launches * f.kernel_latency_s + maximum(maximum(computing, moving), chain)


def time_scan(op: Operator, device: Device, f: Factors) -> Number:
    """A scan of ``m`` tokens one after the other over ``k`` numbers of states (Gu and Dao 2023, arXiv 2312.00752).

    launches x t0 + max(m k / (sigma U clock), bytes / (eta_s B)).
    """
    working = op.m * op.k / (f.scan_elements_per_cycle * device.units * device.clock_hz)
    moving = op.bytes_moved / (f.stream_efficiency * device.bandwidth_bytes_per_s)
    return op.launches * f.kernel_latency_s + maximum(working, moving)


def time_update(op: Operator, device: Device, f: Factors) -> Number:
    """One token of each sequence: its state is read, changed and written; launches x t0 + bytes / (eta_u B)."""
    return op.launches * f.kernel_latency_s + op.bytes_moved / (f.state_efficiency * device.bandwidth_bytes_per_s)


def time_chunks_on_cpu(op: Operator, device: Device, f: Factors) -> Number:
    """Small products one after the other, with operands in the caches."""
    multiplying = op.flops / (f.scan_efficiency * device.peak_flops_per_s)
    return time_latency(op.launches, device, f) + time_activations(op.bytes_moved, device, f) + multiplying


LATENCY = (shared.KERNEL_LATENCY,)
CHUNK_SCAN = Kind(
    "chunk_scan",
    time_chunks,
    time_chunks_on_cpu,
    (*LATENCY, SCAN_EFFICIENCY, CHUNK_STEP, shared.STREAM_EFFICIENCY),
    (*LATENCY, SCAN_EFFICIENCY, shared.ACTIVATION_BANDWIDTH),
)
TOKEN_SCAN = Kind(
    "token_scan",
    time_scan,
    time_scan,
    (*LATENCY, SCAN_ELEMENTS, shared.STREAM_EFFICIENCY),
    (*LATENCY, SCAN_ELEMENTS, shared.STREAM_EFFICIENCY),
)
STATE_UPDATE = Kind(
    "state_update", time_update, time_update, (*LATENCY, STATE_EFFICIENCY), (*LATENCY, STATE_EFFICIENCY)
)
