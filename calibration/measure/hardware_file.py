"""A device that was described here -> the file that predictions use."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import yaml

from simulator.inputs.hardware import Hardware
from simulator.specfile import write_whole


def write_hardware(path: Path, hardware: Hardware) -> None:
    """Write a device without links, whole or not at all.

    Raises:
        InputError: the folder is missing or not writable.
    """
    compute, memory = hardware.compute, hardware.memory
    data = {
        "id": hardware.id,
        "name": hardware.name,
        "vendor": hardware.vendor,
        "kind": hardware.kind,
        "compute": {
            "units": compute.units,
            "clock": f"{compute.clock / 1e6:.6g} MHz",
            "capability": compute.capability,
            "matrix_peak": {dtype: f"{peak / 1e9:.6g} GFLOP/s" for dtype, peak in compute.matrix_peak.items()},
        },
        "memory": {
            "capacity": f"{memory.capacity / 1e9:.6g} GB",
            "bandwidth": f"{memory.bandwidth / 1e9:.6g} GB/s",
            "l2_capacity": f"{memory.l2_capacity / 2**20:.6g} MiB",
        },
        "sources": [
            {key: value for key, value in asdict(source).items() if value is not None}
            for source in hardware.sources or []
        ],
    }
    write_whole(path, yaml.safe_dump(data, sort_keys=False, width=120))
