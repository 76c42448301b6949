"""The form of a question: labels, numbers with sliders, and lists of names to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from simulator.explore.solve import COUNTS, LAYOUTS
from simulator.inputs.formats import FORMATS
from simulator.inputs.library import HARDWARE_FOLDER, MODEL_FOLDER, PROFILE_FOLDER, STACK_FOLDER, list_ids
from simulator.page.questions import ASKS

GROUPS = ("What", "Request", "Load", "Layout", "More")
CLOSED = ("Layout", "More")
LAST = ("num_requests", "lengths")  # of their group
STEPS = (1, 1.5)  # of a slider, times powers of two
FOLDERS = {"models": MODEL_FOLDER, "hardware": HARDWARE_FOLDER, "stacks": STACK_FOLDER, "profiles": PROFILE_FOLDER}


@cache
def list_names(of: str) -> list[str]:
    """Names to choose from."""
    if of == "formats":
        return sorted(FORMATS)
    if of == "unknowns":
        return [
            *COUNTS,
            *LAYOUTS,
            "memory.bandwidth",
            "memory.capacity",
            "compute.units",
            "concurrency",
            "request_rate",
        ]
    return list_ids(FOLDERS[of]) + (["none"] if of == "profiles" else [])


def write_lists() -> str:
    """The lists that inputs offer."""
    lists = []
    for of in (*FOLDERS, "formats", "unknowns"):
        options = "".join(f'<option value="{escape(name, quote=True)}"></option>' for name in list_names(of))
        lists.append(f'<datalist id="list-{of}">{options}</datalist>')
    return "".join(lists)


def write_form(verb: str, given: Mapping[str, str]) -> str:
    """The fields of a verb in their groups, filled with what is given as text."""
    fields = ASKS[verb].model_fields
    parts = []
    for group in GROUPS:
        rows = {name: field for name, field in fields.items() if find_extra(field)["group"] == group}
        ordered = sorted(rows, key=lambda name: (find_extra(rows[name]).get("of") == "formats", name in LAST))
        inner = "".join(write_field(name, rows[name], given.get(name)) for name in ordered)
        if not inner:
            continue
        touched = any(name in given for name in rows)
        if group in CLOSED:
            parts.append(f"<details{' open' if touched else ''}><summary>{group}</summary>{inner}</details>")
        else:
            parts.append(f"<fieldset><legend>{group}</legend>{inner}</fieldset>")
    button = '<button type="submit" class="ask">Ask</button>'
    slow = ' data-slow="true"' if ASKS[verb].slow else ""
    head = f'<form id="question" method="get" action="/{verb}" data-verb="{verb}"{slow}>'
    return f"{head}{''.join(parts)}{button}</form>"


def find_extra(field: FieldInfo) -> dict[str, Any]:
    """Group and kind of a field."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict)
    return extra


def write_field(name: str, field: FieldInfo, given: str | None) -> str:
    """One labelled input; what is left blank is as usual."""
    extra, usual = find_extra(field), field.default
    text = escape(str(field.description), quote=True)
    label = f'<label for="{name}">{name.replace("_", " ")}</label><span class="about" id="about-{name}">{text}</span>'
    common = f'id="{name}" name="{name}" aria-describedby="about-{name}" title="{text}"'
    if isinstance(usual, bool):
        checked = " checked" if given in ("true", "on", "1", "True") else ""
        return f'<p class="row check"><input type="checkbox" value="true" {common}{checked}>{label}</p>'
    shown = "" if usual is None else str(usual)
    value = escape(shown if given is None else given, quote=True)
    if get_origin(field.annotation) is Literal:
        options = "".join(
            f"<option{' selected' if one == (given or shown) else ''}>{one}</option>"
            for one in get_args(field.annotation)
        )
        return f'<p class="row">{label}<select {common} data-usual="{shown}">{options}</select></p>'
    more = {"list": f"list-{extra['of']}" if "of" in extra else "", "data-excludes": extra.get("excludes", "")}
    if isinstance(usual, int | float) or "slider" in extra:
        more["inputmode"] = "numeric"
    more |= {"placeholder": text if usual is None else "", "data-usual": escape(shown, quote=True), "maxlength": "200"}
    others = "".join(f' {key}="{one}"' for key, one in more.items() if one)
    box = f'<input type="text" {common} value="{value}"{others} autocomplete="off" spellcheck="false">'
    return f'<p class="row">{label}{box}{write_slider(name, extra)}</p>'


def write_slider(name: str, extra: dict[str, Any]) -> str:
    """A slider beside an input, where it has one; the page shows it where it can move it."""
    if "slider" not in extra:
        return ""
    values = ",".join(map(str, list_steps(int(extra["slider"]))))
    said = f"{name.replace('_', ' ')}, slider"
    return f'<input type="range" data-for="{name}" data-values="{values}" aria-label="{said}" hidden>'


def list_steps(most: int) -> list[int]:
    """The places of a slider: powers of two and one and a half times them."""
    steps = {int(step * 2**power) for power in range(most.bit_length()) for step in STEPS}
    return sorted(step for step in steps if 1 <= step <= most)
