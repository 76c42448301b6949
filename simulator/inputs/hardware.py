"""A device as its data sheet describes it. Facts only: an efficiency has no place here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from simulator.errors import InputError
from simulator.inputs.architecture import Source
from simulator.numbers import maximum
from simulator.specfile import Devices, Range, spec_dataclass
from simulator.units import Bytes, BytesPerSecond, FlopsPerSecond, Hertz, Watts

NARROW = ("fp8", "int8", "int4")  # formats of arithmetic in which weights may be stored where there is none


@spec_dataclass
class Compute:
    """Arithmetic units. Peaks are dense rates by data type; ``fp16/fp16`` is of sums in fp16 where that is faster."""

    units: Annotated[int, Range(1, 10**7)]  # streaming multiprocessors of a GPU, cores of a CPU
    clock: Hertz  # at which the peaks are stated: the boost clock of a GPU
    matrix_peak: dict[str, FlopsPerSecond]
    vector_peak: dict[str, FlopsPerSecond] | None = None
    generation: str | None = None  # its maker's name of the design, such as Hopper
    capability: str | None = None  # what compilers build for: 9.0 of CUDA, gfx942 of ROCm, avx512 of a CPU
    matrix_units: bool = True  # units that multiply small matrices at once; else products run on the vector lanes
    # FLOP that a unit multiplies in a cycle in 16 bits by its design, where the device is held below it.
    design_flops_per_cycle: Annotated[float, Range(1, 10**6)] | None = None
    clock_limit: Hertz | None = None  # the highest that the driver sets, where it is not ``clock``


@spec_dataclass
class Memory:
    """Main memory and the last cache before it.

    ``capacity`` is what the driver reports, or the data sheet's figure where no source has the driver's. Programs find
    less: ``withheld`` is the difference, 0 where no source has it. ``checked_inside``: what corrects its errors lies in
    the memory itself, where it takes a sixteenth of the room, and bandwidth.
    """

    capacity: Bytes
    bandwidth: BytesPerSecond
    l2_capacity: Bytes
    technology: str | None = None
    withheld: Bytes = 0.0
    checked_inside: bool = False

    @property
    def given(self) -> Any:
        """Bytes that programs find; at least one, so that shares of it stay above 0."""
        return maximum(self.capacity - self.withheld, 1.0)


@spec_dataclass
class Link:
    """A link of one device, over all its lanes.

    Forms: on a ``switch`` a device reaches any other over all its lanes; in a ``mesh`` every two devices have their own
    link, an equal part of the lanes; in a ``partial mesh`` some pairs have none, as in a DGX-1; ``pairs`` are
    bridged two by two; on a ``bus`` devices meet in the host's PCIe; in a ``torus`` a device has a link to each of its
    neighbours alone.
    """

    bandwidth: BytesPerSecond
    direction: Literal["each way", "both ways together"]
    technology: str | None = None
    max_devices: Devices | None = None  # that it reaches
    form: Literal["switch", "mesh", "partial mesh", "pairs", "bus", "torus"] | None = None
    nics: Devices | None = None  # network cards of a node, where the link is between nodes
    shared_by: Devices | None = None  # devices of the node that share them; ``bandwidth`` is the part of each

    def __post_init__(self) -> None:
        """Refuse a file that says half of a set of network cards."""
        if (self.nics is None) != (self.shared_by is None):
            raise ValueError("nics and shared_by are given together, or neither")

    @property
    def bandwidth_each_way(self) -> float:
        """Bandwidth in one direction, bytes per second."""
        return self.bandwidth if self.direction == "each way" else self.bandwidth / 2

    def find_bandwidth(self, devices: int) -> float:
        """What one of a group has in one direction to the others, bytes per second: in a mesh the lanes to them."""
        if self.form != "mesh" or self.max_devices is None or devices > self.max_devices:
            return self.bandwidth_each_way
        return self.bandwidth_each_way * (devices - 1) / (self.max_devices - 1)

    def reaches(self, devices: int) -> bool:
        """Whether so many devices can share it."""
        return devices <= (self.max_devices or devices)


@spec_dataclass
class Links:
    """Links by reach: to the devices of the same node, to other nodes (one device's share), and to the host.

    A ``host`` link of the form ``bus`` also joins devices of one host that no link of a node joins.
    """

    node: Link | None = None
    network: Link | None = None
    host: Link | None = None

    @property
    def within_node(self) -> list[Link]:
        """Links between devices of one node, the fastest first."""
        return [one for one in (self.node, self.host) if one is not None and (one is self.node or one.form == "bus")]


@spec_dataclass
class Power:
    """Board power, watts."""

    tdp: Watts


@spec_dataclass
class Hardware:
    """One device file."""

    id: str
    name: str
    vendor: str
    kind: Literal["gpu", "cpu", "accelerator"]
    compute: Compute
    memory: Memory
    aliases: list[str] | None = None
    reported_as: list[str] | None = None  # as torch, nvidia-smi, rocm-smi and llama.cpp print it
    release_date: str | None = None
    segment: Literal["consumer"] | None = (
        None  # the market that its maker sells it to, where that is not the data centre
    )
    links: Links | None = None
    power: Power | None = None
    sources: list[Source] | None = None

    def peak_flops_per_s(self, dtype: str) -> Any:
        """Dense matrix peak for one data type, FLOP/s.

        Raises:
            InputError: the data sheet gives none; it is never guessed from another type.
        """
        try:
            return self.compute.matrix_peak[dtype]
        except KeyError:
            known = ", ".join(self.compute.matrix_peak)
            alone = f"; --weight-dtype {dtype} stores weights alone so" if dtype in NARROW else ""
            raise InputError(f"{self.id}: no {dtype} matrix peak in its data sheet (it has {known}){alone}") from None

    def find_link(self, devices: int) -> Link:
        """Slowest link that a group of devices needs: of a node, of its bus, or between nodes where one is too small.

        Raises:
            InputError: the device has none, so it cannot share a model with so many.
        """
        links = self.links or Links()
        within = [link for link in links.within_node if link.reaches(devices)]
        if within:
            return within[0]
        if links.network is not None:
            return links.network
        if not links.within_node:
            raise InputError(
                f"{self.id}: no link between devices (links.node, or a bus) in its data sheet, so it only works alone"
            )
        raise InputError(
            f"a node of {self.id} links {self.most_in_node} devices, {devices} are to work together, and its data "
            "sheet has no link between nodes (links.network)"
        )

    @property
    def most_in_node(self) -> int | None:
        """Most devices that links within a node join: 1 where there is no such link, None where no limit is stated."""
        reaches = [link.max_devices for link in (self.links or Links()).within_node]
        if any(most is None for most in reaches):
            return None
        return max((1, *(most for most in reaches if most is not None)))
