"""A device as its data sheet describes it. Facts only: an efficiency has no place here."""

from __future__ import annotations

from typing import Any, Literal

from simulator.errors import InputError
from simulator.inputs.architecture import Source
from simulator.specfile import spec_dataclass
from simulator.units import Bytes, BytesPerSecond, FlopsPerSecond, Hertz, Watts

NARROW = ("fp8", "int8", "int4")  # formats of arithmetic in which weights may be stored where there is none


@spec_dataclass
class Compute:
    """Arithmetic units. Peaks are dense rates by data type; ``fp16/fp16`` is of sums in fp16 where that is faster."""

    units: int  # streaming multiprocessors of a GPU, cores of a CPU
    clock: Hertz
    matrix_peak: dict[str, FlopsPerSecond]
    vector_peak: dict[str, FlopsPerSecond] | None = None

    def __post_init__(self) -> None:
        """Refuse a file that says there is no unit."""
        if isinstance(self.units, int) and self.units < 1:
            raise ValueError(f"units is {self.units}; it must be at least 1")


@spec_dataclass
class Memory:
    """Main memory and the last cache before it."""

    capacity: Bytes
    bandwidth: BytesPerSecond
    l2_capacity: Bytes
    technology: str | None = None


@spec_dataclass
class Link:
    """A link of one device, over all its lanes."""

    bandwidth: BytesPerSecond
    direction: Literal["each way", "both ways together"]
    technology: str | None = None
    max_devices: int | None = None

    def __post_init__(self) -> None:
        """Refuse a file that says the link reaches no device."""
        if self.max_devices is not None and self.max_devices < 1:
            raise ValueError(f"max_devices is {self.max_devices}; it must be at least 1")

    @property
    def bandwidth_each_way(self) -> float:
        """Bandwidth in one direction, bytes per second."""
        return self.bandwidth if self.direction == "each way" else self.bandwidth / 2


@spec_dataclass
class Links:
    """Links by reach: to the devices of the same node, to other nodes (one device's share), and to the host."""

    node: Link | None = None
    network: Link | None = None
    host: Link | None = None


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
    release_date: str | None = None
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
        """Slowest link that a group of devices needs: of a node, or between nodes where one node is too small.

        Raises:
            InputError: the device has none, so it cannot share a model with so many.
        """
        node = None if self.links is None else self.links.node
        network = None if self.links is None else self.links.network
        if node is not None and devices <= (node.max_devices or devices):
            return node
        if network is not None:
            return network
        if node is None:
            raise InputError(
                f"{self.id}: no link between devices (links.node) in its data sheet, so it can only work alone"
            )
        raise InputError(
            f"a node of {self.id} links {node.max_devices} devices, {devices} are to work together, and its data sheet "
            "has no link between nodes (links.network)"
        )
