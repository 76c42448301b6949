"""Matrix products with narrow weights as stripes over all units (Frantar et al. 2024, MARLIN, arXiv 2408.11743).

The turns of all tiles' main loops stand in one row, column of tiles after column, and every unit takes an equal stretch
of it. A stretch ends anywhere in a tile, so the units that share one add up its parts: each waits at a lock for the one
before it, adds its own sums to what it finds in the cache, and lets the next one go.
"""

from __future__ import annotations

from simulator.costs.operators import Operator
from simulator.numbers import Number, ceil, maximum, minimum, round_corner, round_up, where
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds.memory import find_byte_time
from simulator.timing.kinds.tiles import DEQUANTIZED_AT_ONCE, find_throttling

# Tiles (token rows x weight columns) of few rows and of more, and the elements of k that a stretch is a multiple of: a
# group of scales (vLLM, csrc/quantization/gptq_marlin/gptq_marlin.cu, small_batch_ and large_batch_thread_configs).
FEW_ROWS, FEW_ROWS_COLUMNS = 16, 128
MOST_ROWS, MANY_ROWS_COLUMNS = 64, 256
TURN_DEPTH = 128

RELAY_LATENCY = Factor(
    "relay_latency_s",
    *("s", 5e-8, 1e-5),
    "time in which a unit hands the sums of a tile on to the next one in a product that runs as stripes",
    Prior(1.2e-6, 0.4, "a lock polled, sums read and written, a fence, a lock set: five trips to the cache of 250 ns"),
)


def time_stripes(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a product with narrow weights that runs as stripes, without its latency.

    ``corner(turns x turn + output, bytes) + hand_overs x relay``: a turn is ``TURN_DEPTH`` of k, in which a tile
    multiplies, loads and dequantizes as in ``tiles.time_menu``. Tiles are ``depth`` turns deep, and a unit takes
    ``turns = ceil(tiles x depth / units)`` of them all: at most ``ceil((depth - 1) / turns) + 1`` units meet in one.
    """
    seconds_per_byte = find_byte_time(op, device, f, f.matrix_bandwidth_efficiency)
    rows = minimum(round_up(op.m, FEW_ROWS), MOST_ROWS)
    columns = where(op.m <= FEW_ROWS, FEW_ROWS_COLUMNS, MANY_ROWS_COLUMNS)
    tiles, depth = op.batch * ceil(op.m / MOST_ROWS) * ceil(op.n / columns), ceil(op.k / TURN_DEPTH)
    turns = maximum(ceil(tiles * depth / device.units), 1)
    multiplying, loading = 1 / f.matrix_efficiency, f.balanced_tile_side / 2 * device.held_share
    per_element = 2 * TURN_DEPTH * find_throttling(device, f) / device.unit_flops_per_s
    turn = (
        per_element * rows * columns * round_corner(multiplying, loading * (device.weight_share / rows + 1 / columns))
    )
    dequantizing = TURN_DEPTH * columns * f.dequantize_cycles / (DEQUANTIZED_AT_ONCE * device.clock_hz)
    writing = device.element_bytes * op.batch * op.m * op.n * seconds_per_byte
    working = turns * round_corner(turn, dequantizing) + writing
    hand_overs = ceil(maximum(depth - 1, 0) / turns)
    return round_corner(working, op.bytes_moved * seconds_per_byte) + hand_overs * f.relay_latency_s
