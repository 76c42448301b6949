"""The number formats of an answer: those asked for, else the checkpoint's own, as far as the device computes in them.

A format that the device has no arithmetic for is one of storage there: its weights are widened, as engines do with fp8
weights on an A100 and fp4 ones on an H100 (Marlin kernels of vLLM, ``docs/features/quantization/README.md``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulator.inputs.checkpoint import CheckpointFormats, PartFormat
from simulator.inputs.deployment import USUAL_DTYPE, Deployment
from simulator.inputs.formats import FORMATS
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import Stack

WIDE_DTYPES = (USUAL_DTYPE, "fp16", "fp32", "tf32")  # the one that engines take first stands first


def settle_formats(
    deployment: Deployment, own: CheckpointFormats | None, hardware: Hardware, stack: Stack
) -> Deployment:
    """Put in the formats that nobody asked for.

    With a ``dtype`` that is asked for, the options alone say what holds. A ``weight_dtype`` replaces the checkpoint's
    weights and the formats of their inputs, a ``kv_dtype`` that of its cache.
    """
    d = deployment
    if d.dtype is not None:
        return d
    named = CheckpointFormats() if own is None else own
    wide, why = find_wide(named.dtype, hardware, stack)
    origin = f"{wide} by default" if own is None else f"the checkpoint's own ({own.origin or 'as it is published'})"
    asked = [what for what, name in (("weights", d.weight_dtype), ("cache", d.kv_dtype)) if name is not None]
    said = [*([f"{' and '.join(asked)} as asked"] if asked else []), origin, *([why] if why else [])]
    cache = d.kv_dtype or named.kv_dtype
    if d.weight_dtype is not None or not named.parts:
        return replace(d, dtype=wide, kv_dtype=cache, formats_from="; ".join(said))
    parts: dict[str, Any] = {name: fit_part(part, hardware) for name, part in named.parts.items()}
    settled = replace(named, dtype=wide, **parts)
    lost = {str(part.inputs) for name, part in named.parts.items() if part.inputs != parts[name].inputs}
    said += [f"computed in {wide}, since the data sheet has no {FORMATS[name].math} peak" for name in sorted(lost)]
    return replace(d, dtype=settled.inputs or wide, kv_dtype=cache, own=settled, formats_from="; ".join(said))


def find_wide(dtype: str, hardware: Hardware, stack: Stack) -> tuple[str, str]:
    """The format of activations and why it is not the named one: what the stack, or else the device, computes in."""
    peaks = hardware.compute.matrix_peak
    if stack.accumulates_fp16 and dtype == USUAL_DTYPE and "fp16" in peaks:
        return "fp16", "fp16 is what the stack computes in"
    found = next((one for one in (dtype, *WIDE_DTYPES) if FORMATS[one].math in peaks), dtype)
    return found, "" if found == dtype else f"{found}, since the data sheet has no {FORMATS[dtype].math} peak"


def fit_part(part: PartFormat, hardware: Hardware) -> PartFormat:
    """A part as the device computes it: with inputs left wide where it has no arithmetic for their format."""
    there = part.inputs is None or FORMATS[part.inputs].math in hardware.compute.matrix_peak
    return part if there else replace(part, inputs=None)
