"""``hardware new --like``: the data sheet of a device that does not exist, begun with the numbers of one that does."""

from __future__ import annotations

from pathlib import Path

from simulator.inputs.hardware import Hardware, Link
from simulator.inputs.library import load_hardware
from simulator.specfile import write_whole

SHEET = """\
# A device of your own, begun with the numbers of {device.id}: change what is to differ.
# What is marked optional may go; a bound needs the rest. Peaks are dense, of each format that it multiplies in.
id: {id}
name: {id}
vendor: own
kind: {device.kind}
compute:
  units: {device.compute.units}
  clock: {clock:g} MHz
  matrix_peak:
{peaks}
memory:
  capacity: {capacity:g} GB
  bandwidth: {bandwidth:g} GB/s
  l2_capacity: {l2:g} MB
{more}sources:
  - title: Design target
    gives: [{gives}]
"""
LINK = """\
    bandwidth: {bandwidth:g} GB/s
    direction: each way
"""


def write_own_sheet(like: str, out: Path) -> str:
    """Write a data sheet with the numbers of a device, and return how to ask about it.

    Raises:
        InputError: no such device, or no place to write.
    """
    write_whole(out, format_sheet(load_hardware(like), out.stem))
    return f"{out} has the numbers of {like}; change them, then: roofcast predict -m llama-3.1-8b -H {out}"


def format_sheet(device: Hardware, name: str) -> str:
    """The text of the sheet."""
    more, gives = "", ["compute", "memory"]
    links = {} if device.links is None else {"node": device.links.node, "network": device.links.network}
    listed = [format_link(reach, link) for reach, link in links.items() if link is not None]
    if listed:
        more += "links:  # optional: to other devices\n" + "".join(listed)
        gives.append("links")
    if device.power is not None:
        more += f"power:  # optional: energy and carbon\n  tdp: {device.power.tdp:g} W\n"
        gives.append("power")
    return SHEET.format(
        device=device,
        id=name,
        clock=device.compute.clock / 1e6,
        peaks="\n".join(f"    {dtype}: {peak / 1e12:g} TFLOP/s" for dtype, peak in device.compute.matrix_peak.items()),
        capacity=device.memory.capacity / 1e9,
        bandwidth=device.memory.bandwidth / 1e9,
        l2=device.memory.l2_capacity / 1e6,
        more=more,
        gives=", ".join(gives),
    )


def format_link(reach: str, link: Link) -> str:
    """The lines of one link."""
    text = f"  {reach}:\n" + LINK.format(bandwidth=link.bandwidth_each_way / 1e9)
    text += "" if link.form is None else f"    form: {link.form}\n"
    text += "" if link.max_devices is None else f"    max_devices: {link.max_devices}\n"
    return text + ("" if link.nics is None else f"    nics: {link.nics}\n    shared_by: {link.shared_by}\n")
