"""Board power from how much of a device is in use: a straight line in the two utilisations, bent below the limit."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.costs.request import RequestPasses
from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.numbers import Number
from simulator.timing.device import Device
from simulator.timing.passes import PassTime
from simulator.timing.request import RequestTime

CAP_EXPONENT = 8.0  # how sharply the governor holds the board at its limit; 8 leaves 92% at a load of exactly 1


@dataclass(frozen=True)
class PowerShares:
    """What a load is made of, each as a share of the thermal design power (dimensionless).

    ``idle``: a board whose clocks are up and that hardly works. ``compute``: added at the full dense peak of matrix
    products. ``memory``: added at the full bandwidth of the data sheet. Their sum may pass 1: no kernel is at both
    peaks, and what passes 1 is held at the limit by lower clocks.
    """

    idle: float
    compute: float
    memory: float


# Fitted to bf16 matrix products on an H200 (vLLM 0.22.0; NVIDIA AIConfigurator's table of latency and mean board power,
# Apache-2.0): 200 random rows of kernels of 30 us and more over operands past the cache, seed 0. Such kernels are met
# with a median error of 2% and a mean one of 10%; shorter ones are read low by a slow meter, and over all 35,542 rows
# not fitted the errors are 15% and 37%. `roofcast calibrate power DIR` fits them again and prints the errors.
SHARES = PowerShares(idle=0.20, compute=1.36, memory=0.69)


def find_load(compute: Number, memory: Number, shares: PowerShares = SHARES) -> Number:
    """Load before the limit, as a share of TDP, for the shares of peak FLOP/s and of bandwidth in use."""
    return shares.idle + shares.compute * compute + shares.memory * memory


def cap_load(load: Number) -> Number:
    """Board power as a share of TDP: the load, smoothly held below 1; a p-norm of ``load`` and the limit."""
    return (load**-CAP_EXPONENT + 1) ** (-1 / CAP_EXPONENT)


def find_power(compute: Number, memory: Number, tdp_w: float, shares: PowerShares = SHARES) -> Number:
    """Board power of one device, watts, at shares of its peak FLOP/s and of its bandwidth."""
    return tdp_w * cap_load(find_load(compute, memory, shares))


def find_pass_power(passed: PassTime, device: Device, tdp_w: float, shares: PowerShares = SHARES) -> Number:
    """Mean board power of a device while it runs a pass, watts: all FLOPs and bytes of the pass over its time."""
    flops = sum(count * operator.flops for operator, count, _ in passed.operators)
    moved = sum(count * operator.bytes_moved for operator, count, _ in passed.operators)
    compute = flops / (passed.seconds * device.peak_flops_per_s)
    memory = moved / (passed.seconds * device.bandwidth_bytes_per_s)
    return find_power(compute, memory, tdp_w, shares)


def find_energy(
    request: RequestTime, passes: RequestPasses, device: Device, deployment: Deployment, tdp_w: float
) -> Number:
    """Energy of the boards of all devices for one batch, joules; the host and the building are not in it.

    Each of M micro-batches keeps one of the pp stages of a replica busy at a time, so the prefill, which lasts for 1 +
    (M - 1)/pp times that of one, has M times that of one busy, and the other stages stand idle. A decode pass has
    min(M, pp) of them busy. All replicas are taken to have as many requests as the fullest.
    """
    d, parts = deployment, passes.micro_batches
    phases = (
        (request.prefill_s, parts / passes.filling, request.prefill),
        (request.decode_s, parts / passes.turns, request.decode),
    )
    idle_w = find_power(0.0, 0.0, tdp_w)
    joules = sum(
        seconds * (busy * find_pass_power(passed, device, tdp_w) + (d.pp - busy) * idle_w)
        for seconds, busy, passed in phases
    )
    return d.dp * d.tp * joules


def find_tdp(hardware: Hardware) -> float:
    """Thermal design power of a device, watts.

    Raises:
        InputError: the data sheet gives none.
    """
    if hardware.power is None:
        raise InputError(f"{hardware.id}: no power.tdp in its data sheet, so its energy is not known")
    return hardware.power.tdp
