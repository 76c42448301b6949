"""JSON Schemas: current, with a least and a most of every number, and of the same mind as the readers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import InputError
from simulator.inputs.library import HARDWARE_FOLDER, STACK_FOLDER, load_hardware, load_stack
from simulator.report.schemas import KINDS, make_schemas

ROOT = Path(__file__).resolve().parents[1]
SCHEMAS = {name: json.loads(text) for name, text in make_schemas().items()}


def list_parts(schema: Any, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of a schema with where it stands."""
    if isinstance(schema, dict):
        yield at, schema
    for key, value in schema.items() if isinstance(schema, dict) else enumerate(schema):
        if isinstance(value, dict | list):
            yield from list_parts(value, f"{at}/{key}")


def test_the_schemas_of_the_pages_are_current() -> None:
    for name, text in make_schemas().items():
        assert (ROOT / "docs" / "schemas" / name).read_text() == text, "python -m simulator.report.schemas docs/schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_number_has_a_least_and_a_most(name: str) -> None:
    open_ended = [
        at
        for at, part in list_parts(SCHEMAS[name])
        if part.get("type") in ("integer", "number")
        and not ("maximum" in part and ("minimum" in part or "exclusiveMinimum" in part))
    ]
    assert not open_ended


def test_the_schemas_know_every_key_that_ships() -> None:
    import yaml

    for kind, folder in (("hardware", HARDWARE_FOLDER), ("stack", STACK_FOLDER)):
        known = set(SCHEMAS[f"{kind}.json"]["properties"])
        for path in folder.glob("*.yaml"):
            assert set(yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))) <= known
    assert set(KINDS) == {name.removesuffix(".json") for name in SCHEMAS}


@pytest.mark.parametrize(
    ("shipped", "line", "changed", "problem"),
    [
        (
            "stack",
            "decode: 3}",
            "decode: -1000}",
            "attention_launches.decode: decode is -1000; it must be at least 0",
        ),
        ("stack", "memory_share: 0.9", "memory_share: 7", "memory_share is 7; it must be at most 1"),
        ("stack", "memory_share: 0.9", "prefill_chunk: 0", "prefill_chunk is 0; it must be at least 1"),
        ("stack", "gated_mlp: true", "gated_mlp: banana", "gated_mlp: 'banana' is text; needs true or false"),
        (
            "stack",
            "memory_share: 0.9",
            "cache_passes: -1",
            "cache_passes is -1; it must be at least",
        ),
        ("device", "  units: 108", "  units: 99999999999", "units is 99999999999; it must be at most 10000000"),
        (
            "device",
            "    max_devices: 8",
            "    max_devices: 8000000000000",
            "max_devices is 8000000000000; it must be at most",
        ),
        ("device", "  clock: 1410 MHz", "  clock: 1e-9 Hz", "'1e-9 Hz' is out of range; allowed are 1 to 1e+15 Hz"),
    ],
)
def test_a_number_out_of_its_range_is_one_line(
    shipped: str, line: str, changed: str, problem: str, tmp_path: Path
) -> None:
    folder, name = (STACK_FOLDER, "vllm-0.6") if shipped == "stack" else (HARDWARE_FOLDER, "a100-sxm-80gb")
    text = (folder / f"{name}.yaml").read_text()
    assert line in text
    (tmp_path / "own.yaml").write_text(text.replace(line, changed))
    with pytest.raises(InputError) as refused:
        (load_stack if shipped == "stack" else load_hardware)(tmp_path / "own.yaml")
    assert problem in str(refused.value)
