"""Matrix products on a GPU as tiles and waves, which the laws of linear, grouped and batched operators share.

A product is cut into output tiles; tiles run in waves, one tile a multiprocessor, and the last wave takes as long as a
full one (NVIDIA, Matrix Multiplication Background User's Guide, sections 'Tile Quantization' and 'Wave Quantization').
A product with too few tiles for the device may be split along k as well (Osama et al. 2023, arXiv 2301.03598, section
3). The library picks what is fastest, so the law takes the least over a menu.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simulator.costs.operators import Operator
from simulator.numbers import (
    Number,
    ceil,
    maximum,
    minimum,
    power,
    round_corner,
    round_up,
    where,
)
from simulator.timing.device import Device
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import shared
from simulator.timing.kinds.memory import find_byte_time, stream_operands
from simulator.timing.rows import select_rows

# Output tiles (token rows x weight columns) that matrix libraries use for half precision, by the most rows of a product
# that they are meant for. Tiles twice as high as what holds all rows are never the fastest.
LARGE_TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64))
MENUS = ((16, ((16, 64),)), (32, ((32, 64),)), (64, ((64, 128), (64, 64))), (float("inf"), LARGE_TILES))
# Parts that k may be cut into, and the least depth of one part.
SPLITS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
LEAST_PART = 128
TURN_BYTES = 128  # of a row or column that the turns with scales are stated for
MAIN_LOOP_STEP = 32  # elements of k that one turn of a tile's main loop takes in
DEQUANTIZED_AT_ONCE = 64  # weights that the factor is stated for
ENERGY_CLOCK_HZ = 2e9  # that ``flop_energy_j`` is stated for
PARTIAL_SUM_BYTES = 8  # a partial sum is written and read, four bytes each
Tile = tuple[int, int]
Menu = tuple[Tile, ...]

BALANCED_TILE = Factor(
    "balanced_tile_side",
    *("elements", 0.5, 500.0),
    "side of the square output tile whose operands take as long to load as to multiply",
    Prior(105.0, 0.3, "64x64 tiles are slower than 128x128 ones; fits gave 90 to 115, and 164 on B200"),
)
SPLIT_LATENCY = Factor(
    "split_latency_s",
    *("s", 1e-8, 1e-4),
    "start of the kernel that adds up the parts of a product split along k",
    Prior(2.5e-6, 0.3, "a kernel's latency; 2.0 to 3.1 us on five devices"),
)
SPLIT_TRAFFIC = Factor(
    "split_traffic",
    *("1", 0.01, 1.0),
    "share of the partial sums' writes and reads that costs memory time; the cache hides the rest",
    Prior(0.5, 0.5, "some of the partial sums stay in the cache"),
)
DEQUANTIZE = Factor(
    "dequantize_cycles",
    *("cycles", 0.05, 100.0),
    "time in which a unit dequantizes 64 weights that are narrower than what they multiply",
    Prior(3.0, 0.6, "a conversion and a scale or two a weight, on 64 lanes of a multiprocessor"),
)
SCALED_TURN = Factor(
    "scaled_turn_cycles",
    *("cycles", 10.0, 1e4),
    "least time in which a tile takes in 128 bytes of k of numbers of 8 bits with scales of their own",
    Prior(190.0, 0.4, "products of few tiles: 270 on H100 and 180 on B200, fits 180 to 210"),
)
FOUR_BIT_TURN = Factor(
    "four_bit_turn_cycles",
    *("cycles", 10.0, 1e4),
    "least time in which a tile takes in 128 bytes of k of numbers of 4 bits",
    Prior(790.0, 0.4, "products of few tiles on B200: 1.8 ns a number; a memory latency, sixteen scales a row"),
)
TILE_FACTORS = (
    *(shared.MATRIX_EFFICIENCY, shared.MATRIX_BANDWIDTH),
    *(BALANCED_TILE, SPLIT_LATENCY, SPLIT_TRAFFIC, DEQUANTIZE, SCALED_TURN, FOUR_BIT_TURN),
    *(shared.FLOP_ENERGY, shared.CACHE_BYTES),
)


class Tiling(NamedTuple):
    """A product cut into tiles of one size: how many, and seconds of a main loop along all of k without padding, of
    writing a wave, and of streaming all bytes.
    """

    tiles: Number
    whole_s: Number
    writing_s: Number
    streaming_s: Number


def time_tiled(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a product by the tiles that its number of rows has.

    None is smaller than a matrix instruction, but that of weights which are dequantized first, which are its rows.
    """
    if device.tiling.menu is not None:
        return time_menu(op, device.tiling.menu, device, f, 1.0)
    menus = [(most, menu) for most, menu in MENUS if most >= device.instruction_rows or device.weight_share < 1]
    if not isinstance(op.m, np.ndarray):
        menu = next(menu for most, menu in menus if op.m <= most)
        return time_menu(op, menu, device, f, 1.0)
    parts, fewer = [], 0.0
    for most, menu in menus:
        inside = np.flatnonzero((op.m > fewer) & (op.m <= most))
        if inside.size:
            chosen, serving = select_rows(inside, op.m.size, op, device)
            parts.append((inside, time_menu(chosen, menu, serving, f, 1.0)))
        fewer = most
    seconds = np.empty((*parts[0][1].shape[:-1], op.m.size))
    for inside, part in parts:
        seconds[..., inside] = part
    return seconds


def time_menu(op: Operator, menu: Menu, device: Device, f: Factors, slowdown: Number) -> Number:
    """Seconds of a product cut into tiles, along k too where the device splits: the least over the menu.

    A tile goes along k in turns of its main loop, in which it multiplies ``rows x columns`` and loads
    ``rows + columns`` operands, whichever is slower. The loading is stated relative to the multiplication, since
    devices with faster matrix units also feed them faster; weights narrower than the inputs load faster by as much, and
    are dequantized on the vector units meanwhile. Where the units are held below the rate of their design, what feeds
    them is not. Units that do not load ahead multiply and stream in turn, and loading is all in the streaming. Kernels
    of a stack's own whose numbers have scales in blocks wait for these in each turn, however small the tile is. A wave
    writes its tiles when its main loops are through, all at the same time. Products with fewer tiles than the device
    has units may be split.
    """
    seconds_per_byte = find_byte_time(op, device, f, f.matrix_bandwidth_efficiency)
    streaming = stream_operands(op, seconds_per_byte, device, f)
    loading, multiplying = device.held_share * f.balanced_tile_side / 2, 1 / f.matrix_efficiency
    per_element = 2 * slowdown * op.k * find_throttling(device, f) / device.unit_flops_per_s
    padding = round_up(op.k, MAIN_LOOP_STEP) / op.k
    writing = device.element_bytes * device.units * seconds_per_byte
    dequantizing = op.k * f.dequantize_cycles / (DEQUANTIZED_AT_ONCE * device.clock_hz)
    least = find_turns(op, device, f) if device.tiling.turns else 0.0
    best = None
    for rows, columns in menu:
        area, tiles = rows * columns, op.batch * ceil(op.m / rows) * ceil(op.n / columns)
        turn = multiplying
        if device.loads_ahead:
            turn = round_corner(multiplying, loading * (device.weight_share / rows + 1 / columns))
        whole = per_element * area * turn
        if device.weight_share < 1:
            whole = round_corner(whole, dequantizing * columns)
        if device.tiling.turns:
            whole = round_corner(whole, least)
        waves = ceil(tiles / device.units)
        seconds = join(waves * (whole * padding + writing * area), streaming, device)
        best = seconds if best is None else minimum(best, seconds)
        if device.splits_k:
            best = try_splits(best, Tiling(tiles, whole, writing * area, streaming), op, device, f)
    return best


def find_turns(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a main loop along all of k that only waits for the operands of each turn."""
    number_bytes = op.weight_bytes / (op.batch * op.n * op.k)
    turn = where(number_bytes < 1, f.four_bit_turn_cycles, f.scaled_turn_cycles)
    return op.k * number_bytes / TURN_BYTES * turn / device.clock_hz


def find_throttling(device: Device, f: Factors) -> Number:
    """How much slower than at the clock of the data sheet a device multiplies without a break, held to its power.

    A FLOP takes an energy that grows with the square of the clock, as the voltage grows with it, so power grows with
    its third power, and ``clock / peak clock = (power / (peak x energy at the peak clock))^(1/3)``, at most 1
    (Chandrakasan et al. 1992, doi 10.1109/4.126534). The energy is a factor, the board's power a fact.
    """
    energy = f.flop_energy_j * (device.clock_hz / ENERGY_CLOCK_HZ) ** 2
    return maximum(1.0, power(device.peak_flops_per_s * energy / device.power_w, 1 / 3))


def join(working: Number, streaming: Number, device: Device) -> Number:
    """Seconds of tiles and of streaming what they take in: at the same time where units load ahead, else in turn."""
    return round_corner(working, streaming) if device.loads_ahead else working + streaming


def try_splits(best: Number, tiling: Tiling, op: Operator, device: Device, f: Factors) -> Number:
    """The lesser of a time and of those with k cut into parts, where tiles are too few for the device."""
    few = tiling.tiles < device.units
    if not isinstance(few, np.ndarray):
        return minimum(best, time_splits(tiling, op, device, f)) if few else best
    places = np.flatnonzero(few)
    if not places.size:
        return best
    some, products, serving = select_rows(places, few.size, tiling, op, device)
    best[..., places] = np.minimum(best[..., places], time_splits(some, products, serving, f))
    return best


def time_splits(tiling: Tiling, op: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a product whose tiles are cut along k into the best number of parts, which are added up afterwards."""
    seconds_per_byte = find_byte_time(op, device, f, f.matrix_bandwidth_efficiency)
    starting = f.split_latency_s
    sums_s = f.split_traffic * PARTIAL_SUM_BYTES * op.batch * op.m * op.n * seconds_per_byte
    best: Number = float("inf")
    for parts in SPLITS:
        deep = op.k >= parts * LEAST_PART
        if deep is False:
            break
        depth = round_up(op.k / parts, MAIN_LOOP_STEP) / op.k  # of a part, as a share of k
        waves = ceil(tiling.tiles * parts / device.units)
        adding = starting + parts * sums_s
        seconds = join(waves * (tiling.whole_s * depth + tiling.writing_s), tiling.streaming_s, device) + adding
        best = minimum(best, seconds if deep is True else where(deep, seconds, float("inf")))
    return best
