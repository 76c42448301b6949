"""The cost laws as people read them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from simulator.costs.formulas import COLUMNS, SYMBOLS, Formula, derive_formulas, read_values
from simulator.errors import InputError
from simulator.inputs.architecture import SMALLEST, Architecture
from simulator.inputs.library import load_model, load_stack
from simulator.report.output import (
    OutputForm,
    find_width,
    fold_prose,
    format_json,
    format_markdown,
    format_rows,
    format_table,
)
from simulator.report.table import READABLE, lay_out

TOTAL = "total"
COUNTED = ("operator", "times", "prefill", "decode")
PLAIN_GPT = Architecture(**SMALLEST, position_embedding="learned", tie_word_embeddings=True)


def report_formulas(
    model: str | None,
    stack: str,
    notation: str,
    given: Mapping[str, str],
    form: OutputForm,
    operators: bool = False,
) -> str:
    """Every operator's costs, with numbers put in for the symbols that are given.

    A table has the FLOPs of the operators that have some, unless all of them and all costs are asked for.

    Raises:
        InputError: an unknown name, a value that is not a whole number, or SymPy is not installed.
    """
    if find_spec("sympy") is None:
        raise InputError("formulas need SymPy: pip install 'roofcast[formulas]'")
    numbers = {name: read_number(name, text) for name, text in given.items() if name != "model"}
    valued = load_model(given["model"]) if "model" in given else None
    software = load_stack(stack)
    spec = load_model(model) if model else valued
    architecture = PLAIN_GPT if spec is None else software.build(spec.architecture, spec.id)
    values = read_values(None if valued is None else software.build(valued.architecture, valued.id), numbers)
    formulas = derive_formulas(architecture, software, values)
    rows = [write_formula(formula, notation) for formula in formulas]
    symbols = [{"symbol": symbol, "name": name, "meaning": text} for symbol, (name, text) in SYMBOLS.items()]
    if form == "json":
        return format_json({"schema": "roofcast/formulas/1", "symbols": symbols, "operators": rows})
    if form == "csv":
        return format_rows(rows, form, {})
    if form == "table" and not operators:
        return format_flops(rows)
    write = format_table if form == "table" else format_markdown
    rows = [{key: write_count(value) for key, value in row.items()} for row in rows]
    notes = "Costs are of one device, once; `times` is how often the operator runs in a pass."
    return "\n\n".join([write(rows), notes, write(symbols)])


def format_flops(rows: Sequence[Mapping[str, Any]]) -> str:
    """FLOPs by operator on one screen, with the symbols that occur in them."""
    counted = [row for row in rows if row["flops"] != 0]
    shown: dict[str, dict[str, str]] = {}
    for row in sorted(counted, key=lambda row: bool(row["operator"] == TOTAL)):
        line = shown.setdefault(row["operator"], dict.fromkeys(COUNTED, "") | {"operator": row["operator"]})
        line |= {"times": write_count(row["times"]), row["phase"]: write_count(row["flops"])}
    used = set(re.findall("[A-Za-z]+", " ".join(" ".join(list(line.values())[1:]) for line in shown.values())))
    symbols = ", ".join(f"{symbol} {name}" for symbol, (name, _) in SYMBOLS.items() if symbol in used)
    cells = [[line[name] for name in COUNTED] for line in shown.values()]
    # The phases stay beside each other, since an operator is mostly the same law in both.
    needs = [max(map(len, texts)) for texts in zip(COUNTED[:2], *(row[:2] for row in cells), strict=True)]
    lines = [
        *([f"Symbols: {symbols}"] if symbols else []),
        "FLOPs are of one device, once; times: how often the operator runs in a pass.",
        f"{len(rows) - len(counted)} rows without FLOPs, and bytes of weights, activations, cache and messages: "
        "--operators",
    ]
    table = lay_out(COUNTED, cells, [False] * len(COUNTED), find_width() + 1, [*needs, READABLE, READABLE])
    return fold_prose("\n\n".join([table, "\n".join(lines)]))


def write_count(value: Any) -> str:
    """A number or an expression as text."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def read_number(name: str, text: str) -> float:
    """A number from the command line.

    Raises:
        InputError: it is not one.
    """
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--at: {name} is '{text}'; it must be a number") from None


def write_formula(formula: Formula, notation: str) -> dict[str, Any]:
    """One row: a number where nothing is left to put in, else the expression as text or LaTeX."""
    row: dict[str, Any] = {"phase": formula.phase, "operator": formula.operator}
    row["times"] = write_expression(formula.times, notation)
    return row | {name: write_expression(formula.costs[name], notation) for name in COLUMNS}


def write_expression(expression: Any, notation: str) -> Any:
    """An expression as text or LaTeX, and a plain number where it has no symbol left."""
    import sympy

    if expression.is_number:
        return int(expression) if expression.is_integer else float(expression)
    return sympy.latex(expression) if notation == "latex" else str(expression)
