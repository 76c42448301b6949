"""What the time laws need of a data sheet, of the kernel library and of the layout, for one number format."""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.operators import Operator
from simulator.inputs.deployment import Deployment
from simulator.inputs.formats import FORMATS
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import DecodeKernel, Stack
from simulator.numbers import Number
from simulator.timing.learned import Traits, describe_traits

# NVIDIA, PTX ISA 8.5, by what compilers build for: wgmma, which multiplies 64 rows at once, is of 9.0 alone (mma takes
# 16, less than any tile); cp.async, which copies into shared memory behind the back of the registers, begins with 8.0.
INSTRUCTION_ROWS = {"9.0": 64}
# The instruction that kernels of matrix products and attention are written for, where it is not mma, which all others
# of NVIDIA share, 8.6 and 8.9 with their consumer successors 12.0 and 12.1 (PTX ISA 8.7, wgmma and tcgen05).
MATRIX_INSTRUCTIONS = {"9.0": "wgmma", "10.0": "tcgen05", "10.1": "tcgen05", "10.3": "tcgen05"}
# Rows of fp32 that torch's matrix library (oneMKL) takes as fast as they come, and without packing: its loops for
# few rows are of vectors of 512 bits alone, as times on a Xeon with them and on an EPYC without them show.
VECTOR_ROWS, UNPACKED_ROWS = {"avx512": 3}, {"avx512": 15}
# Where products of 8 bits are of the mma instruction, whose results are in registers.
SPILLING_NARROW = frozenset({"8.9", "12.0", "12.1"})
LOADING_IN_TURN = frozenset({"6.0", "6.1", "7.0", "7.5"})
NARROW_KINDS = frozenset({"linear", "grouped"})
PROMPTS = "prefill_attention"


# Of kernels that multiply 128 rows at once, whatever the product has: the tiles of the others' menu that are as high.
FULL_TILES = ((256, 128), (128, 256), (128, 128), (128, 64))


class Tiling(NamedTuple):
    """Tiles (token rows x weight columns) of a format's products; None: a library's, by the rows of a product.

    ``turns``: a turn of the main loop takes some least time, however small the tile is.
    """

    menu: tuple[tuple[int, int], ...] | None
    turns: bool


LIBRARY_TILING = Tiling(None, turns=False)


PEERS_ON_BUS = 2  # devices that reach each other over PCIe without the host


class PeerGroup(NamedTuple):
    """Devices that a message is between: how many, one's link in one direction, the nodes that they are on, and how
    many take turns on a link: more than two that meet in one host's PCIe.
    """

    devices: int
    link_bytes_per_s: Number
    nodes: int
    taking_turns: int = 1


class GroupLinks(NamedTuple):
    """One device's links in one direction, bytes per second, to the groups that it works in.

    ``tp`` devices share a layer and ``ep`` the experts; a stage of a pipeline sends to the next. Each group is on so
    many nodes. ``direct_reduce_bytes`` is the largest all-reduce that reads the peers' memory. ``on_bus``:
    devices of a node meet in its host's PCIe.
    """

    layer_bytes_per_s: Number
    expert_bytes_per_s: Number
    stage_bytes_per_s: Number
    tp: int
    ep: int
    direct_reduce_bytes: int
    layer_nodes: int = 1
    expert_nodes: int = 1
    stage_nodes: int = 1
    on_bus: bool = False

    def find_group(self, kind: str) -> PeerGroup:
        """The devices that a kind of message is between."""
        if kind == "send":
            return PeerGroup(2, self.stage_bytes_per_s, self.stage_nodes)
        if kind == "all_to_all":
            return PeerGroup(self.ep, self.expert_bytes_per_s, self.expert_nodes, self.count_turns(self.ep))
        return PeerGroup(self.tp, self.layer_bytes_per_s, self.layer_nodes, self.count_turns(self.tp))

    def count_turns(self, devices: int) -> int:
        """Devices that take turns: two exchange what they send directly, the messages of more cross the host."""
        return devices if self.on_bus and devices > PEERS_ON_BUS else 1


class Device(NamedTuple):
    """One device.

    ``traits``: its class (``simulator.timing.devices``), and what else decides its priors. ``power_w``: of the board,
    without end where no sheet says it. ``cache_bytes``: of the last cache. ``wide_peak_flops_per_s``: of products
    without weights, which no narrow format holds for. ``prompt_peak_flops_per_s``: of attention over prompts, which
    some kernels compute in the format of the cache. ``element_bytes`` of an
    activation, ``cache_number_bytes`` of a number in the KV cache. ``weight_share``: of the operator that it serves.
    ``dequantizes_above``: products of more tokens dequantize weights in memory first. ``stripes_narrow``: products with
    narrow weights run as stripes over all units. ``load_bytes`` that a thread of the stack's own kernels loads at a
    time; 0: enough of them. ``own_products``: those of matrices are among them. ``splits_k``: the matrix library may
    split a product along k.
    ``decode_kernel``: of attention of one new token. ``skinny_rows``: products of so few rows only stream
    their operands, however these are aligned. ``held_share``: rate of its matrix units over that of their design, which
    decides the tiles and how they are fed. ``instruction_rows`` that a matrix instruction takes, and ``loads_ahead``:
    units load the operands of a turn while they multiply those of the one before. ``spills_narrow_heads``: attention
    in 8 bits keeps its outputs in registers, which wide heads are too many for. Up to ``vector_rows`` of fp32 a CPU
    multiplies as fast as the weights come, up to ``unpacked_rows`` without packing them. ``tiling``: of products with
    weights in the format of the layers.
    """

    traits: Traits
    peak_flops_per_s: Number
    wide_peak_flops_per_s: Number
    prompt_peak_flops_per_s: Number
    bandwidth_bytes_per_s: Number
    units: Number
    clock_hz: Number
    power_w: Number
    cache_bytes: Number
    element_bytes: Number
    cache_number_bytes: Number
    weight_share: Number
    dequantizes_above: float
    stripes_narrow: bool
    load_bytes: int
    own_products: bool
    splits_k: bool
    decode_kernel: DecodeKernel
    skinny_rows: int
    held_share: Number
    instruction_rows: int
    loads_ahead: bool
    spills_narrow_heads: bool
    vector_rows: int
    unpacked_rows: int
    tiling: Tiling
    links: GroupLinks

    @property
    def kind(self) -> str:
        """Its class."""
        return self.traits.kind

    @property
    def unit_flops_per_s(self) -> Number:
        """Peak of one multiprocessor."""
        return self.peak_flops_per_s / self.units

    def serve(self, operator: Operator) -> Device:
        """The device as it is to one operator: with the peak of its format."""
        narrow = operator.narrow or (operator.kind in NARROW_KINDS and not operator.wide)
        other = self.prompt_peak_flops_per_s if operator.kind == PROMPTS else self.wide_peak_flops_per_s
        peak = self.peak_flops_per_s if narrow else other
        if peak is self.peak_flops_per_s and operator.weight_share == self.weight_share:
            return self
        return self._replace(peak_flops_per_s=peak, weight_share=operator.weight_share)


def describe_device(hardware: Hardware, deployment: Deployment, stack: Stack) -> Device:
    """Collect the numbers of one device for the formats and the layout of a deployment.

    Raises:
        InputError: the data sheet has no matrix peak for a format that is computed in, or no link that is needed.
    """
    math, wide = (find_math(hardware, dtype, stack) for dtype in (deployment.input_dtype, deployment.wide_dtype))
    peak = hardware.peak_flops_per_s(math)
    return Device(
        find_traits(hardware),
        peak,
        peak if wide == math else hardware.peak_flops_per_s(wide),
        hardware.peak_flops_per_s(find_prompt_math(hardware, deployment, stack)),
        hardware.memory.bandwidth,
        hardware.compute.units,
        hardware.compute.clock,
        float("inf") if hardware.power is None else hardware.power.tdp,
        hardware.memory.l2_capacity,
        deployment.activation_bytes,
        deployment.kv_bytes,
        1.0,
        float("inf") if stack.dequantizes_above is None else float(stack.dequantizes_above),
        hardware.compute.capability in (stack.stripes_narrow_on or ()),
        0 if hardware.kind == "cpu" else stack.load_bytes or 0,
        stack.own_products,
        stack.splits_products(deployment.layer_format),
        stack.find_decode_kernel(hardware.compute.capability, deployment.kv_bytes),
        stack.skinny_rows,
        find_held_share(hardware),
        INSTRUCTION_ROWS.get(hardware.compute.capability or "", 1),
        hardware.compute.capability not in LOADING_IN_TURN,
        hardware.compute.capability in SPILLING_NARROW,
        VECTOR_ROWS.get(hardware.compute.capability or "", 1),
        UNPACKED_ROWS.get(hardware.compute.capability or "", 1),
        find_tiling(hardware, deployment, stack),
        describe_links(hardware, deployment, stack),
    )


def find_tiling(hardware: Hardware, deployment: Deployment, stack: Stack) -> Tiling:
    """The tiles of the kernels that a stack brings for a format, where it does not leave them to a library."""
    kind = (stack.quantizing or {}).get(deployment.layer_format)
    if kind is None:
        return LIBRARY_TILING
    if kind.one_tile is not None and hardware.compute.capability in (kind.one_tile_on or ()):
        rows, columns = kind.one_tile
        return Tiling(((rows, columns),), kind.waits_for_scales)
    return Tiling(FULL_TILES if kind.full_tiles else None, kind.waits_for_scales)


def find_held_share(hardware: Hardware) -> Number:
    """Share of its design's rate at which a device multiplies in 16 bits; 1 where its sheet tells of no difference."""
    one = hardware.compute
    if one.design_flops_per_cycle is None:
        return 1.0
    found: Number = hardware.peak_flops_per_s("bf16") / one.units / one.clock / one.design_flops_per_cycle
    return found


def find_traits(hardware: Hardware) -> Traits:
    """What decides the laws and priors of a device."""
    return describe_traits(hardware, classify(hardware))


def find_instruction(hardware: Hardware) -> str:
    """The matrix instruction that kernels are written for on a device."""
    return MATRIX_INSTRUCTIONS.get(hardware.compute.capability or "", "mma")


def classify(hardware: Hardware) -> str:
    """Class of a device, by which its laws and priors are chosen."""
    if hardware.kind == "gpu":
        return "gpu" if hardware.compute.matrix_units else "vector gpu"
    return "cpu" if hardware.kind == "cpu" else "systolic"


def find_math(hardware: Hardware, dtype: str, stack: Stack) -> str:
    """Key of the peak that products of a format run at; ``fp16/fp16`` is of those that are added up in fp16."""
    math = FORMATS[dtype].math or dtype
    narrow = f"{math}/fp16"
    return narrow if stack.accumulates_fp16 and narrow in hardware.compute.matrix_peak else math


def find_prompt_math(hardware: Hardware, deployment: Deployment, stack: Stack) -> str:
    """Key of the peak that attention over prompts runs at: of a cache of 8 bits where its kernels multiply in these."""
    if deployment.kv_bytes == 1 and hardware.compute.capability in (stack.narrow_prompts_on or ()):
        return find_math(hardware, "fp8", stack)
    return find_math(hardware, deployment.wide_dtype, stack)


def describe_links(hardware: Hardware, deployment: Deployment, stack: Stack) -> GroupLinks:
    """The links of the groups of a layout.

    Raises:
        InputError: the data sheet lacks a link that the layout needs.
    """
    d = deployment
    experts, stages = d.ep if d.expert_replicas > 1 else 1, d.tp * d.pp if d.pp > 1 else 1
    return GroupLinks(
        find_ring_bandwidth(hardware, d.tp),
        find_bandwidth(hardware, experts),
        find_bandwidth(hardware, stages),
        d.tp,
        d.ep,
        find_direct_bytes(hardware, stack, d.tp),
        count_nodes(hardware, d.tp),
        count_nodes(hardware, experts),
        min(count_nodes(hardware, stages), 2),
        hardware.links is not None and hardware.links.node is None and d.tp <= (hardware.most_in_node or d.tp),
    )


def find_direct_bytes(hardware: Hardware, stack: Stack, devices: int) -> int:
    """Largest all-reduce that reads the peers' memory, bytes; none does past one node."""
    node = None if hardware.links is None else hardware.links.node
    within = node is not None and devices <= (node.max_devices or devices)
    return int(stack.direct_reduce_bytes or 0) if within else 0


def count_nodes(hardware: Hardware, devices: int) -> int:
    """Nodes that so many devices fill; one where the data sheet does not say how many a node has."""
    return -(-devices // (hardware.most_in_node or devices))


def find_ring_bandwidth(hardware: Hardware, devices: int) -> float:
    """Bytes per second and direction of a ring over devices.

    Over nodes it enters and leaves each on one of its devices, by all network cards of the node: a library lays as many
    rings as there are, each with its part of the message (NVIDIA, NCCL, src/graph/search.cc). No ring is faster than
    the links within the nodes.

    Raises:
        InputError: the data sheet lacks the link.
    """
    each = find_bandwidth(hardware, devices)
    links = hardware.links
    if links is None or links.network is None or count_nodes(hardware, devices) == 1:
        return each
    inside = min((link.bandwidth_each_way for link in links.within_node[:1]), default=float("inf"))
    return min(each * (links.network.shared_by or 1), inside)


def find_bandwidth(hardware: Hardware, devices: int) -> float:
    """Bytes per second and direction that link a group of devices; no limit for a single one.

    Raises:
        InputError: the data sheet lacks the link.
    """
    return hardware.find_link(devices).find_bandwidth(devices) if devices > 1 else float("inf")
