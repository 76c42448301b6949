"""Whether a spec file is complete: every number has a source, and a model counts to its published size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from simulator.costs.parameters import count_parameters
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.library import HARDWARE_FOLDER, MODEL_FOLDER, find_by_name, find_file, load_hardware, load_model
from simulator.specfile import read_spec

PUBLISHED_TOLERANCE = 0.01
IDENTITY = {"id", "name", "aliases", "sources", "vendor", "kind"}


def check_model(name: str) -> list[str]:
    """Return what is wrong with a model file; nothing where all is well.

    Raises:
        InputError: no such model, or a file that cannot be read.
    """
    path = find_file(name) or find_by_name("model", name, MODEL_FOLDER)
    spec = load_model(name)
    problems = [] if path.is_dir() or path.suffix == ".json" else list_unsourced(path)
    deviation = find_deviation(spec)
    if deviation is not None and abs(deviation) > PUBLISHED_TOLERANCE:
        problems.append(f"{path.name}: counts to {100 * deviation:+.2f}% of the published parameters")
    return problems


def check_hardware(name: str) -> list[str]:
    """Return what is wrong with a device file; nothing where all is well.

    Raises:
        InputError: no such device, or a file that cannot be read.
    """
    load_hardware(name)
    return list_unsourced(find_file(name) or find_by_name("hardware", name, HARDWARE_FOLDER))


def find_deviation(spec: ModelSpec) -> float | None:
    """Relative difference of counted from published parameters; None where no size is published."""
    if spec.published_parameters is None:
        return None
    return float(count_parameters(spec.architecture) / spec.published_parameters - 1)


def list_unsourced(path: Path) -> list[str]:
    """Return one line for each number of the file that no source gives."""
    data: dict[str, Any] = read_spec(path).data
    given = [key for source in data.get("sources") or () for key in source.get("gives", ())]
    facts = {key: value for key, value in data.items() if key not in IDENTITY}
    return [
        f"{path.name}: {key} has no source"
        for key in list_leaves(facts, "")
        if not any(key == prefix or key.startswith(prefix + ".") for prefix in given)
    ]


def list_leaves(data: dict[str, Any], prefix: str) -> Iterator[str]:
    """Yield the dotted path of every value."""
    for key, value in data.items():
        if isinstance(value, dict):
            yield from list_leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
