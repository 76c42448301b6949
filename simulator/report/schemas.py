"""JSON Schemas of the files that people write, made of the dataclasses that read them, for editors.

``python -m simulator.report.schemas docs/schemas`` writes them. What two fields together must hold, and what a name
must be of, stays with the reader.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from simulator.inputs.architecture import ModelSpec
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack
from simulator.metrics.rate_file import RateFile
from simulator.specfile import write_whole
from simulator.studies.names import Layouts
from simulator.timing.profile import Profile

KINDS: dict[str, type[Any]] = {
    "hardware": Hardware,
    "stack": Stack,
    "model": ModelSpec,
    "profile": Profile,
    "layouts": Layouts,
    "rates": RateFile,
}
DIALECT = "https://json-schema.org/draft/2020-12/schema"


def make_schemas() -> dict[str, str]:
    """The text of each schema by the name of its file."""
    from pydantic import TypeAdapter

    schemas = {name: TypeAdapter(kind).json_schema() for name, kind in KINDS.items()}
    return {
        f"{name}.json": json.dumps({"$schema": DIALECT, "title": f"Roofcast {name}"} | schema, indent=1) + "\n"
        for name, schema in schemas.items()
    }


def main() -> None:
    """Write the schemas into the folder that is named."""
    for name, text in make_schemas().items():
        write_whole(Path(sys.argv[1], name), text)


if __name__ == "__main__":
    main()
