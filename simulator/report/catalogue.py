"""Answers of ``models`` and ``hardware``: lists, cards and checks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from simulator.errors import InputError
from simulator.explore.check import check_hardware, check_model
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import (
    HARDWARE_FOLDER,
    MODEL_FOLDER,
    find_file,
    list_ids,
    load_hardware,
    load_model,
)
from simulator.inputs.search import MEMORY_UNITS, PARAMETER_UNITS, Entry, answers_to
from simulator.report.output import OutputForm, find_width, fold_prose, format_json, format_rows, format_table
from simulator.report.specs import (
    DERIVED,
    compare_facts,
    differ,
    format_card,
    hardware_entry,
    hardware_facts,
    hardware_line,
    hardware_row,
    model_entry,
    model_facts,
    model_line,
    model_row,
    write_count,
    write_fact,
)
from simulator.report.table import GAP, find_need, lay_out, lay_out_parts
from simulator.timing.software import rank_profiles

WORDS = {"memory": "memory technology", "memory_bytes": "memory", "l2_bytes": "L2 cache"}
MOST_PROFILES = 3  # of one screen
MOST_LISTED = 34  # rows of one screen
MOST_LINES = 38  # of names alone
MOST_FEW = 4  # names that have a line of their own
CALLED = {"models": "models", "hardware": "devices"}
EXAMPLES = {"models": "qwen3", "hardware": "nvidia hopper"}
LEAST_COLUMN = 12  # letters of a number with its unit


class Catalogue(NamedTuple):
    """One kind of spec: its ids, and how it is loaded, shown and checked."""

    ids: list[str]
    load: Callable[[str], Any]
    entry: Callable[[Any], Entry]
    units: Mapping[str, float]
    row: Callable[[Any], dict[str, Any]]
    line: Callable[[Any], dict[str, Any]]
    facts: Callable[[Any], dict[str, Any]]
    check: Callable[[str], list[str]]


def open_catalogue(kind: str) -> Catalogue:
    """Return the catalogue of ``models`` or ``hardware``."""
    if kind == "models":
        ids, units = list_ids(MODEL_FOLDER), PARAMETER_UNITS
        return Catalogue(ids, load_model, model_entry, units, model_row, model_line, model_facts, check_model)
    ids, units = list_ids(HARDWARE_FOLDER), MEMORY_UNITS
    written = (hardware_entry, units, hardware_row, hardware_line, hardware_facts)
    return Catalogue(ids, load_hardware, *written, check_hardware)


def report_list(kind: str, query: Sequence[str], form: OutputForm, everything: bool = False) -> str:
    """The specs of a kind that answer to some words, or all of them, one row each.

    A table of more than a screen is the names alone, unless everything is asked for.

    Raises:
        InputError: none answers.
    """
    catalogue = open_catalogue(kind)
    specs = [catalogue.load(name) for name in catalogue.ids]
    found = [spec for spec in specs if answers_to(catalogue.entry(spec), query, catalogue.units)]
    if not found:
        raise InputError(f"{kind} list: nothing answers to {' '.join(query)!r} (roofcast {kind} list shows all)")
    if form == "table" and len(found) > MOST_LISTED and not everything:
        return format_names(kind, found)
    if form in ("table", "md"):
        return format_rows([catalogue.line(spec) for spec in found], form, {})
    rows = [catalogue.row(spec) for spec in found]
    return format_rows(rows, form, {"schema": f"roofcast/{kind}/1", kind: rows})


def format_names(kind: str, specs: Sequence[Any]) -> str:
    """Names of many specs, devices by their makers and models by the first word of their names."""
    groups: dict[str, list[str]] = {}
    for spec in specs:
        word = spec.vendor if isinstance(spec, Hardware) else re.split(r"[-\d]", spec.id)[0]
        groups.setdefault(word, []).append(spec.id)
    few = [name for names in groups.values() if len(names) < MOST_FEW for name in names]
    more = f"{len(specs)} {CALLED[kind]}; with sizes: --all, or words: roofcast {kind} list {EXAMPLES[kind]}"
    for most in range(MOST_LISTED, 0, -1):  # lines of a family, the fewer the more there are
        lines = [shorten_names(names, most) for names in groups.values() if len(names) >= MOST_FEW]
        shown = fold_prose("\n".join([*lines, *([", ".join(few)] if few else []), "", more]))
        if shown.count("\n") < MOST_LINES:
            break
    return shown


def shorten_names(names: Sequence[str], most: int) -> str:
    """Names in a row that folds to at most so many lines, and how many are left out."""
    for kept in range(len(names), 0, -1):
        left = f", and {len(names) - kept} more" if kept < len(names) else ""
        row = ", ".join(names[:kept]) + left
        if fold_prose(row).count("\n") < most:
            break
    return row


def report_card(kind: str, name: str, form: OutputForm, everything: bool = False) -> str:
    """All facts of one spec; for people what says most, unless everything is asked for."""
    catalogue = open_catalogue(kind)
    spec = catalogue.load(name)
    facts = catalogue.facts(spec)
    profiles = list_profiles(spec) if isinstance(spec, Hardware) else []
    if form == "table":
        listed = profiles if everything else profiles[:MOST_PROFILES]
        shown = format_table(listed, "Profiles that can be carried here, the default first") if listed else ""
        return fold_prose(f"{format_card(facts, everything)}\n\n{shown}".strip())
    if form == "json":
        return format_json(
            {"schema": f"roofcast/{kind}/1", kind: [facts | {"profiles": profiles} if profiles else facts]}
        )
    return format_rows([{"fact": key, "value": value} for key, value in facts.items()], form, {})


def list_profiles(hardware: Hardware) -> list[dict[str, Any]]:
    """Shipped profiles that a device can be answered by, and the error that carrying each with its own stack adds."""
    return [
        {
            "profile": one.profile.id,
            "differs": "; ".join(move.words for move in one.moves) or "nothing",
            "added_error": one.error,
        }
        for one in rank_profiles(hardware)
    ]


def report_comparison(kind: str, names: Sequence[str], form: OutputForm, everything: bool = False) -> str:
    """Facts of several specs side by side; for people those that differ, unless everything is asked for.

    Raises:
        InputError: no such spec, or one named twice.
    """
    catalogue = open_catalogue(kind)
    cards = [catalogue.facts(catalogue.load(name)) for name in names]
    ids = [card["id"] for card in cards]
    if len(set(ids)) < len(ids):
        raise InputError(f"{kind} compare: {max(ids, key=ids.count)} is named twice")
    rows = compare_facts(cards)
    if form == "table" and not everything:
        shown = [row for row in rows if differ(row, ids) and not row["fact"].startswith(("name", *DERIVED))]
        cells = [[write_name(row["fact"]), *(write_short(row["fact"], row[name]) for name in ids)] for row in shown]
        table = lay_out_beside(["fact", *ids], cells)
        return f"{table}\n\n{len(rows) - len(shown)} facts are the same or follow from these; with ratios: --all"
    if form in ("table", "md"):
        written = [write_row(row, ids) for row in rows]
        return format_rows(written, form, {})
    return format_rows(rows, form, {"schema": f"roofcast/{kind}-comparison/1", kind: cards})


def lay_out_beside(header: list[str], cells: list[list[str]]) -> str:
    """A table whose columns stay beside each other, with texts folded, where each has room for a number."""
    needs = [find_need([row[0] for row in (header, *cells)]), *(max(len(name), LEAST_COLUMN) for name in header[1:])]
    numeric = [False] * len(header)
    if sum(needs) + len(GAP) * (len(header) - 1) < find_width():
        return lay_out(header, cells, numeric, find_width() + 1, needs)
    return lay_out_parts(header, cells, numeric, find_width(), keys=1)


def write_name(key: str) -> str:
    """A fact in words, without the unit that its values have."""
    if key in WORDS:
        return WORDS[key]
    for unit in ("_bytes_per_s", "_flops_per_s", "_bytes", "_hz", "_w"):
        key = key.removesuffix(unit)
    return key.replace("_", " ")


def write_short(key: str, value: Any) -> str:
    """A fact in few letters."""
    return write_count(value) if key.endswith("parameters") and value is not None else write_fact(key, value)


def write_row(row: dict[str, Any], ids: list[str]) -> dict[str, Any]:
    """A row of a comparison with its facts as text, in the units people use."""
    return {key: write_fact(row["fact"], value) if key in ids else value for key, value in row.items()}


def report_check(kind: str, names: Sequence[str], form: OutputForm) -> tuple[str, int]:
    """The result of checking specs (all where none is named), and how many failed."""
    catalogue = open_catalogue(kind)
    rows = []
    for name in names or catalogue.ids:
        problems = find_problems(catalogue, name)
        rows.append({"spec": name, "passed": not problems, "problems": "; ".join(problems)})
    failed = sum(not row["passed"] for row in rows)
    if form == "table" and len(rows) > MOST_LISTED:
        table = format_table([row for row in rows if not row["passed"]])
        return f"{len(rows) - failed} of {len(rows)} {CALLED[kind]} pass\n\n{table}".strip(), failed
    return format_rows(rows, form, {"schema": f"roofcast/{kind}-check/1", "checks": rows}), failed


def find_problems(catalogue: Catalogue, name: str) -> list[str]:
    """What is wrong with one spec; a file that cannot be read is one problem.

    Raises:
        InputError: neither a file nor a name.
    """
    if find_file(name) is None:
        return catalogue.check(name)
    try:
        return catalogue.check(name)
    except InputError as error:
        return [str(error)]
