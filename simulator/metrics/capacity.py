"""What a deployment has room for: bytes of each device, the largest batch and the longest request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from simulator.costs.footprint import Footprint, measure_footprint
from simulator.costs.request import Work
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.memory_ledger import suit_stack
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload

MOST = 2**40  # requests or tokens past which nobody asks


class Capacity(NamedTuple):
    """What fits, and how much more would.

    ``largest_batch`` is at the request's token counts and ``longest_context`` at its batch size, prompt and output
    together with the output as it is; 0 where not even one fits, None where memory sets no limit, as with windows in
    all layers. The longest context is also at most what a learned table of positions holds.
    """

    footprint: Footprint
    usable_bytes: float
    fits: bool
    largest_batch: int
    longest_context: int | None


def find_usable_bytes(hardware: Hardware, stack: Stack) -> Any:
    """Bytes of one device that a stack lets itself use: its share of what the driver gives to programs."""
    return hardware.memory.given * stack.memory_share


def measure_on(hardware: Hardware, a: Architecture, d: Deployment, stack: Stack, workload: Workload) -> Footprint:
    """The footprint of a request with the defaults that the stack takes on a device."""
    suited, request = suit_stack(stack, hardware), workload
    return measure_footprint(a, d, suited, request.prompt_tokens, request.output_tokens, request.batch_size)


def find_capacity(work: Work, hardware: Hardware) -> Capacity:
    """Measure one request against the memory of the device, and how far batch and context may grow."""
    request, stack = work.workload, work.stack
    prompt, output, batch = request.prompt_tokens, request.output_tokens, request.batch_size
    usable = float(find_usable_bytes(hardware, stack))

    def measure(prompt_tokens: float, batch_size: float) -> Footprint:
        return measure_on(hardware, *work._replace(workload=Workload(prompt_tokens, output, batch_size)))

    footprint = measure(prompt, batch)
    largest = find_largest(lambda size: measure(prompt, size).device_bytes <= usable)
    longest = find_largest(lambda tokens: measure(tokens, batch).device_bytes <= usable)
    return Capacity(footprint, usable, bool(footprint.device_bytes <= usable), largest, find_context(work, longest))


def find_context(work: Work, prompt_tokens: int) -> int | None:
    """Tokens of the longest prompt that fits with the output after it; None where memory sets no limit."""
    a = work.architecture
    positions = int(a.max_position_embeddings) if a.position_embedding == "learned" else None
    if prompt_tokens == MOST:
        return positions
    reached = prompt_tokens + int(work.workload.output_tokens) - 1 if prompt_tokens else 0
    return reached if positions is None else min(reached, positions)


def find_largest(fits: Callable[[float], Any]) -> int:
    """The largest whole number that fits, where less of it always fits too; 0 where 1 does not."""
    if not fits(1.0):
        return 0
    fitting, too_many = 1, 2
    while fits(float(too_many)):
        fitting, too_many = too_many, 2 * too_many
        if too_many > MOST:
            return MOST
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        fitting, too_many = (middle, too_many) if fits(float(middle)) else (fitting, middle)
    return fitting
