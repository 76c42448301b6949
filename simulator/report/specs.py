"""Models and devices as rows and as cards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any

from simulator.costs.footprint import count_kv_numbers, count_weight_bytes
from simulator.costs.parameters import count_active_parameters, count_parameters
from simulator.explore.check import find_deviation
from simulator.inputs.architecture import ModelSpec, Source
from simulator.inputs.deployment import Deployment
from simulator.inputs.formats import element_bytes
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_stack
from simulator.inputs.search import Entry, describe_words
from simulator.report.output import format_cell, format_table

USUAL: tuple[Any, ...] = (False, 0, 1, "none", [])  # facts that most models and devices have, and one screen leaves out
DERIVED = (
    "ridge_point_",
    "vector_peak_",
    "reported_as",
    "host_link",
    "formats_from",
    "deviation",
    "kv_cache_numbers",
    "memory_given",
)
MOST_ALIASES = 2
SHOWN_FORMATS = ("bf16", "fp8")  # of weights and cache on a model's card


def model_row(spec: ModelSpec) -> dict[str, Any]:
    """One line of the list of models."""
    a = spec.architecture
    return {
        "id": spec.id,
        "name": spec.name,
        "parameters": round(count_parameters(a)),
        "active_parameters": round(count_active_parameters(a)),
        "layers": a.num_hidden_layers,
        "hidden_size": a.hidden_size,
        "heads": a.num_attention_heads,
        "vocab_size": a.vocab_size,
        "aliases": spec.aliases or [],
    }


def model_line(spec: ModelSpec) -> dict[str, Any]:
    """The same for people, in 80 columns."""
    row = model_row(spec)
    counts = {key: write_count(row[f"{key}parameters"]) for key in ("", "active_")}
    return {"id": spec.id, "parameters": counts[""], "active": counts["active_"], "layers": row["layers"]}


def model_entry(spec: ModelSpec) -> Entry:
    """What of a model can be asked for: its names and its parameters."""
    return Entry(describe_words(spec.id, spec.name, spec.aliases), count_parameters(spec.architecture))


def write_count(number: float) -> str:
    """A number of parameters as people say it: 8.03B."""
    scale, unit = next(((size, unit) for size, unit in ((1e12, "T"), (1e9, "B")) if number >= size), (1e6, "M"))
    return f"{number / scale:.3g}{unit}"


def hardware_row(device: Hardware) -> dict[str, Any]:
    """One line of the list of devices."""
    within = () if device.links is None else device.links.within_node
    link = within[0] if within else None
    return {
        "id": device.id,
        "name": device.name,
        "fp16_flops_per_s": device.compute.matrix_peak.get("fp16"),
        "memory_bytes": device.memory.capacity,
        "bandwidth_bytes_per_s": device.memory.bandwidth,
        "link_each_way_bytes_per_s": None if link is None else link.bandwidth_each_way,
        "tdp_w": None if device.power is None else device.power.tdp,
        "aliases": device.aliases or [],
    }


def hardware_line(device: Hardware) -> dict[str, Any]:
    """The same for people, in 80 columns."""
    row, peaks = hardware_row(device), device.compute.matrix_peak
    values = {
        "memory": ("memory_bytes", row["memory_bytes"]),
        "bandwidth": ("bandwidth_bytes_per_s", row["bandwidth_bytes_per_s"]),
        "16-bit peak": ("fp16_flops_per_s", peaks.get("bf16", peaks.get("fp16"))),
        "link": ("link_each_way_bytes_per_s", row["link_each_way_bytes_per_s"]),
    }
    return {"id": device.id} | {heading: format_cell(*value) for heading, value in values.items()}


def hardware_entry(device: Hardware) -> Entry:
    """What of a device can be asked for: its names, maker, kind and design, and its memory."""
    design = (device.vendor, device.kind, device.compute.generation, device.compute.capability)
    words = describe_words(device.id, device.name, device.aliases, device.reported_as, *design)
    return Entry(words, device.memory.capacity)


def model_facts(spec: ModelSpec) -> dict[str, Any]:
    """Everything about a model, flat."""
    a = spec.architecture
    facts: dict[str, Any] = {"id": spec.id, "name": spec.name, "aliases": spec.aliases or []}
    facts |= {field.name: getattr(a, field.name) for field in fields(a)}
    facts |= {"num_key_value_heads": a.kv_heads, "head_dim": a.head_size}
    facts["layers"] = [f"{group.count} x {group.mixer} and {group.feed_forward}" for group in a.groups]
    facts["parameters"] = round(count_parameters(a))
    facts["active_parameters"] = round(count_active_parameters(a))
    facts["published_parameters"] = spec.published_parameters
    facts["deviation"] = find_deviation(spec)
    numbers = count_kv_numbers(a, Deployment(), 1)
    facts["kv_cache_numbers_per_token"] = round(numbers)
    facts |= {f"kv_cache_per_token_{dtype}_bytes": numbers * element_bytes(dtype) for dtype in SHOWN_FORMATS}
    facts |= {f"weights_{dtype}_bytes": facts["parameters"] * element_bytes(dtype) for dtype in SHOWN_FORMATS}
    if spec.formats is not None:
        own = Deployment(own=spec.formats)
        facts |= {"checkpoint_formats": spec.formats.label, "checkpoint_formats_from": spec.formats.origin}
        facts["kv_cache_per_token_checkpoint_bytes"] = numbers * element_bytes(spec.formats.kv_dtype or own.wide_dtype)
        facts["weights_checkpoint_bytes"] = count_weight_bytes(a, own, load_stack("ideal"))
    facts["note"] = spec.note
    facts["sources"] = describe_sources(spec.sources)
    return facts


def hardware_facts(device: Hardware) -> dict[str, Any]:
    """Everything about a device, flat, with the ridge point of each data type in FLOP per byte."""
    facts: dict[str, Any] = {"id": device.id, "name": device.name, "aliases": device.aliases or []}
    facts |= {"reported_as": device.reported_as or []}
    facts |= {"vendor": device.vendor, "kind": device.kind, "release_date": device.release_date}
    facts |= {"generation": device.compute.generation, "capability": device.compute.capability}
    facts |= {"units": device.compute.units, "clock_hz": device.compute.clock}
    facts |= {"clock_limit_hz": device.compute.clock_limit}
    for dtype, peak in device.compute.matrix_peak.items():
        facts[f"matrix_peak_{dtype}_flops_per_s"] = peak
    for dtype, peak in (device.compute.vector_peak or {}).items():
        facts[f"vector_peak_{dtype}_flops_per_s"] = peak
    for dtype, peak in device.compute.matrix_peak.items():
        facts[f"ridge_point_{dtype}_flop_per_byte"] = peak / device.memory.bandwidth
    facts |= {"memory": device.memory.technology, "memory_bytes": device.memory.capacity}
    facts |= {"memory_given_bytes": device.memory.given if device.memory.withheld else None}
    facts |= {"bandwidth_bytes_per_s": device.memory.bandwidth, "l2_bytes": device.memory.l2_capacity}
    for reach in ("node", "network", "host"):
        link = None if device.links is None else getattr(device.links, reach)
        if link is not None:
            facts |= {f"{reach}_link": link.technology, f"{reach}_link_each_way_bytes_per_s": link.bandwidth_each_way}
            facts |= {f"{reach}_link_form": link.form, f"{reach}_link_devices": link.max_devices}
            facts |= {f"{reach}_link_nics": link.nics}
    facts["tdp_w"] = None if device.power is None else device.power.tdp
    facts["sources"] = describe_sources(device.sources)
    return facts


def describe_sources(sources: Iterable[Source] | None) -> list[str]:
    """Sources as text, with what each gives."""
    return [f"{s.title}{f' <{s.url}>' if s.url else ''}: {', '.join(s.gives)}" for s in sources or ()]


def format_card(facts: dict[str, Any], everything: bool) -> str:
    """Facts for people: one line each, the sources below; or what says most, on one screen."""
    sources = facts["sources"]
    said = {key: value for key, value in facts.items() if key != "sources" and value is not None}
    if not everything:
        shown = {key: value for key, value in said.items() if value not in USUAL and not key.startswith(DERIVED)}
        shown["aliases"] = said["aliases"][:MOST_ALIASES]
        left = len(said) - len(shown)
        return f"{format_facts(shown)}\n\n{len(sources or ())} sources, {left} more facts: --all"
    lines = [format_facts(said), "", "Sources"]
    return "\n".join(lines + [f"  {source}" for source in sources or ["none given"]])


def format_facts(facts: dict[str, Any]) -> str:
    """Facts for people, one line each."""
    return format_table([{"fact": key, "value": write_fact(key, value)} for key, value in facts.items()])


def differ(row: dict[str, Any], names: Sequence[str]) -> bool:
    """Whether a fact is not the same of all."""
    return any(row[name] != row[names[0]] for name in names[1:])


def compare_facts(cards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a fact, a column a card, and how many times the first card's number each other's is."""
    names = [card["id"] for card in cards]
    rows = []
    for key in dict.fromkeys(key for card in cards for key in card):
        values = [card.get(key) for card in cards]
        if key in ("id", "sources", "aliases") or all(value is None for value in values):
            continue
        ratios = {f"{name} / {names[0]}": divide(value, values[0]) for name, value in zip(names, values, strict=True)}
        del ratios[f"{names[0]} / {names[0]}"]
        rows.append({"fact": key} | dict(zip(names, values, strict=True)) | ratios)
    return rows


def divide(value: Any, by: Any) -> float | None:
    """Ratio of two numbers; None where one is not a number above 0."""
    if any(isinstance(one, bool) or not isinstance(one, int | float) or one <= 0 for one in (value, by)):
        return None
    return float(value / by)


def write_fact(key: str, value: Any) -> str:
    """One fact as text, in the units people use."""
    if key.endswith("parameters") and value is not None:
        return f"{value:,.0f} ({value / 1e9:.4g} billion)"
    return format_cell(key, value)
