"""Time laws of matrix products on a GPU.

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
    both,
    ceil,
    choose,
    either,
    is_multiple,
    maximum,
    minimum,
    round_corner,
    round_up,
    where,
)
from simulator.timing.device import Device
from simulator.timing.efficiency import Factors
from simulator.timing.rows import answer_rows, select_rows
from simulator.timing.stream import load_narrowly, move_bytes

# Output tiles (token rows x weight columns) that matrix libraries use for half precision, by the most rows of a product
# that they are meant for. Tiles twice as high as what holds all rows are never the fastest.
LARGE_TILES = ((256, 128), (128, 256), (128, 128), (128, 64), (64, 128), (64, 64))
MENUS = ((16, ((16, 64),)), (32, ((32, 64),)), (64, ((64, 128), (64, 64))), (float("inf"), LARGE_TILES))
# Parts that k may be cut into, and the least depth of one part.
SPLITS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
LEAST_PART = 128
MAIN_LOOP_STEP = 32  # elements of k that one turn of a tile's main loop takes in
WIDENED_AT_ONCE = 64  # weights that the factor is stated for
PARTIAL_SUM_BYTES = 8  # a partial sum is written and read, four bytes each
# Products misaligned to this many bytes cannot use wide loads, and run on one general kernel of this tile.
ALIGNMENT_BYTES = 16
MISALIGNED_TILES = ((128, 128),)
SKINNY_ROWS = 32  # products of so few rows only stream their operands, however these are aligned
Tile = tuple[int, int]
Menu = tuple[Tile, ...]


class Tiling(NamedTuple):
    """A product cut into tiles of one size: how many, and seconds of a main loop along all of k without padding, of
    writing a wave, and of streaming all bytes.
    """

    tiles: Number
    whole_s: Number
    writing_s: Number
    streaming_s: Number


def time_linear(operator: Operator, device: Device, f: Factors) -> Number:
    """A weight matrix applied to tokens: the fastest tile and split."""
    return answer_rows(time_one_linear, operator, device, f)


def time_one_linear(operator: Operator, device: Device, f: Factors) -> Number:
    """``time_linear`` of numbers or of one-dimensional arrays."""
    if device.weight_share == 1 or device.widens_above == float("inf"):
        return time_product(operator, device, f)
    return choose(
        operator.m > device.widens_above,
        lambda: time_widening(operator, device, f),
        lambda: time_product(operator, device, f),
    )


def time_product(operator: Operator, device: Device, f: Factors) -> Number:
    """The product alone, with wide loads or, where these do not fit its dimensions, without."""
    step = ALIGNMENT_BYTES // device.element_bytes
    aligned = both(is_multiple(operator.n, step), is_multiple(operator.k, step))
    product = choose(
        either(aligned, operator.m <= SKINNY_ROWS),
        lambda: time_tiled(operator, device, f),
        lambda: time_menu(operator, MISALIGNED_TILES, device, f, f.misaligned_slowdown),
    )
    if device.narrow_loads and device.weight_share == 1:
        product = where(operator.m <= 1, maximum(product, load_narrowly(operator.weight_bytes, device, f)), product)
    return f.kernel_latency_cycles / device.clock_hz + product


def time_widening(operator: Operator, device: Device, f: Factors) -> Number:
    """A kernel that reads narrow weights and writes wide ones, then the product with these."""
    wide = operator.n * operator.k * device.element_bytes
    product = time_product(operator._replace(weight_bytes=wide), device._replace(weight_share=1.0), f)
    return f.kernel_latency_cycles / device.clock_hz + move_bytes(operator.weight_bytes + wide, device, f) + product


def time_grouped(operator: Operator, device: Device, f: Factors) -> Number:
    """Several weight matrices, each with its own tokens, whose tiles share the waves."""
    return answer_rows(time_one_grouped, operator, device, f)


def time_one_grouped(operator: Operator, device: Device, f: Factors) -> Number:
    """``time_grouped`` of numbers or of one-dimensional arrays."""
    slower = f._replace(matrix_efficiency=f.matrix_efficiency / f.grouped_slowdown)
    product = time_tiled(operator, device._replace(splits_k=False), slower)
    return f.kernel_latency_cycles / device.clock_hz + product


def time_batched(operator: Operator, device: Device, f: Factors) -> Number:
    """Many small products at once, as in unfused attention: their tiles share the waves, and few rows only stream."""
    return answer_rows(time_one_batched, operator, device, f)


def time_one_batched(operator: Operator, device: Device, f: Factors) -> Number:
    """``time_batched`` of numbers or of one-dimensional arrays."""
    product = choose(
        operator.m <= SKINNY_ROWS,
        lambda: time_streamed(operator, device, f),
        lambda: time_tiled(operator, device._replace(splits_k=False), f),
    )
    return f.kernel_latency_cycles / device.clock_hz + product


def time_streamed(op: Operator, device: Device, f: Factors) -> Number:
    """Products of so few rows that no tile is worth its while: a roofline.

    Query heads that share keys read them once each, from the cache but for the first.
    """
    streaming = op.bytes_moved / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    cached = op.kv_bytes * op.group / (f.cache_bandwidth_ratio * device.bandwidth_bytes_per_s)
    reading = where(op.group > 1, maximum(streaming, cached), streaming)
    return round_corner(reading, op.flops / (f.matrix_efficiency * device.peak_flops_per_s))


def time_tiled(op: Operator, device: Device, f: Factors) -> Number:
    """Seconds of a product by the tiles that its number of rows has."""
    if not isinstance(op.m, np.ndarray):
        menu = next(menu for most, menu in MENUS if op.m <= most)
        return time_menu(op, menu, device, f, 1.0)
    parts, fewer = [], 0.0
    for most, menu in MENUS:
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
    are widened on the vector units meanwhile. A wave writes its tiles when its main loops are through, all at the same
    time. Products with fewer tiles than the device has units may be split.
    """
    seconds_per_byte = 1 / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    streaming = op.bytes_moved * seconds_per_byte
    loading, multiplying = f.balanced_tile_side / 2, 1 / f.matrix_efficiency
    per_element = 2 * slowdown * op.k / device.unit_flops_per_s
    padding = round_up(op.k, MAIN_LOOP_STEP) / op.k
    writing = device.element_bytes * device.units * seconds_per_byte
    widening = op.k * f.widening_cycles / (WIDENED_AT_ONCE * device.clock_hz)
    best = None
    for rows, columns in menu:
        area, tiles = rows * columns, op.batch * ceil(op.m / rows) * ceil(op.n / columns)
        whole = per_element * area * round_corner(multiplying, loading * (device.weight_share / rows + 1 / columns))
        if device.weight_share < 1:
            whole = round_corner(whole, widening * columns)
        waves = ceil(tiles / device.units)
        seconds = round_corner(waves * (whole * padding + writing * area), streaming)
        best = seconds if best is None else minimum(best, seconds)
        if device.splits_k:
            best = try_splits(best, Tiling(tiles, whole, writing * area, streaming), op, device, f)
    return best


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
    seconds_per_byte = 1 / (f.matrix_bandwidth_efficiency * device.bandwidth_bytes_per_s)
    starting = f.split_latency_cycles / device.clock_hz
    sums_s = f.split_traffic * PARTIAL_SUM_BYTES * op.batch * op.m * op.n * seconds_per_byte
    best: Number = float("inf")
    for parts in SPLITS:
        deep = op.k >= parts * LEAST_PART
        if deep is False:
            break
        depth = round_up(op.k / parts, MAIN_LOOP_STEP) / op.k  # of a part, as a share of k
        waves = ceil(tiling.tiles * parts / device.units)
        adding = starting + parts * sums_s
        seconds = round_corner(waves * (tiling.whole_s * depth + tiling.writing_s), tiling.streaming_s) + adding
        best = minimum(best, seconds if deep is True else where(deep, seconds, float("inf")))
    return best
