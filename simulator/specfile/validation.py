"""From plain values to a dataclass: checked strictly by pydantic, every mistake worded for the person who wrote it."""

import json
import math
import re
import reprlib
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from simulator.errors import InputError, nearest, suggest
from simulator.specfile.ranges import write
from simulator.specfile.spec import KeyPath, Spec, T, describe_value, name_key

MOST_NAMED = 3  # further keys that are wrong


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def build(spec: Spec, kind: type[T]) -> T:
    """Make a `spec_dataclass` of a spec. A ValueError from its ``__post_init__`` becomes an error of the spec.

    Raises:
        InputError: the first thing wrong in file order, and how many more there are.
    """
    try:
        # By way of JSON: only there does pydantic's strict mode take a list for a tuple, a mapping for a dataclass.
        built: T = _adapter(kind).validate_json(json.dumps(spec.data))  # type: ignore[arg-type]  # mypy: unhashable
    except ValidationError as error:
        raise _explain(spec, kind, error.errors(include_url=False)) from None
    return built


def _explain(spec: Spec, kind: type[Any], errors: list[ErrorDetails]) -> InputError:
    unknown = [error["loc"] for error in errors if error["type"] == "unexpected_keyword_argument"]
    misspelt = {(*loc[:-1], nearest(str(loc[-1]), _allowed_keys(kind, loc[:-1]))) for loc in unknown}
    by_place: dict[KeyPath, list[ErrorDetails]] = {}
    for error in errors:
        if error["type"] != "missing" or error["loc"] not in misspelt:
            by_place.setdefault(_find_place(spec.data, error["loc"])[0], []).append(error)
    # A misspelt key comes before those that are missing, one of which it may be meant for.
    is_misspelt = any(near is not None for *_, near in misspelt)
    first, *others = sorted(by_place, key=lambda at: (is_misspelt and _is_missing(by_place[at]), spec.line_of(at)))
    named = ", ".join(name_key(place) or "the file" for place in others[:MOST_NAMED])
    more = f" (and {len(others)} more: {named}{', ...' if len(others) > MOST_NAMED else ''})" if others else ""
    return spec.error(_word(spec, kind, first, by_place[first]) + more, first)


def _is_missing(errors: list[ErrorDetails]) -> bool:
    return all(error["type"] == "missing" for error in errors)


def _find_place(data: Any, loc: KeyPath) -> tuple[KeyPath, object]:
    """Return the part of a path that the file has (pydantic adds missing keys and union branches), and its value."""
    place: KeyPath = ()
    for part in loc:
        try:
            data = data[part]
        except (LookupError, TypeError):
            continue
        place = (*place, part)
    return place, data


_NEEDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
}


def _word(spec: Spec, kind: type[Any], at: KeyPath, errors: list[ErrorDetails]) -> str:
    """Say what is wrong with one key. It has several errors if several keys are missing in it or types are possible."""
    error, value = errors[0], _find_place(spec.data, at)[1]
    match error["type"]:
        case "unexpected_keyword_argument":
            return suggest("unknown key", str(at[-1]), _allowed_keys(kind, at[:-1]))
        case "missing":
            names = ", ".join(repr(each["loc"][-1]) for each in errors if each["type"] == "missing")
            return f"missing key{'s' if ',' in names else ''} {names}"
        case "greater_than" | "greater_than_equal" | "less_than_equal":
            return _word_range(str(next((part for part in reversed(at) if isinstance(part, str)), "")), value, error)
        case "value_error":
            return str(error["ctx"]["error"])
        case "literal_error" | "enum":
            allowed = [option.strip("'") for option in re.split(", | or ", error["ctx"]["expected"])]
            return suggest(f"unknown value {reprlib.repr(value)}", str(value), allowed)
    needs = [_NEEDS[each["type"]] for each in errors if each["type"] in _NEEDS]
    if not needs:
        return error["msg"].replace("Input", reprlib.repr(value), 1)
    number = _write_number(value, whole="a number" not in needs) if " number" in "".join(needs) else None
    if number is not None:
        return f"{value!r} is text{'' if spec.path.suffix == '.json' else ' in YAML'}; write {number}"
    in_quotes = " (write it in quotes)" if needs == ["text"] and isinstance(value, int | float) else ""
    return f"{describe_value(value)}; needs {' or '.join(dict.fromkeys(needs))}{in_quotes}"


def _word_range(name: str, value: object, error: ErrorDetails) -> str:
    words = {"gt": "above", "ge": "at least", "le": "at most"}
    kind, limit = next((words[key], end) for key, end in error["ctx"].items() if key in words)
    return f"{name} is {reprlib.repr(value)}; it must be {kind} {write(limit)}".lstrip()


def _write_number(value: object, whole: bool) -> str | None:
    """Return how YAML 1.1 writes the number that a text looks like (1e12 as 1.0e+12), None if it looks like none."""
    try:
        number = float(value) if isinstance(value, str) else math.nan
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return None
    mantissa, e, exponent = str(value).strip().lower().partition("e")
    if whole or not e:
        return f"{number:.0f}" if whole else mantissa
    return f"{mantissa}{'' if '.' in mantissa else '.0'}e{int(exponent):+d}"


def _allowed_keys(kind: Any, at: KeyPath) -> list[str]:
    """Return the fields of the dataclass at a place, looking through containers and ``| None``."""
    if is_dataclass(kind):
        if not at:
            return [each.name for each in fields(kind) if each.init]
        return _allowed_keys(get_type_hints(kind).get(str(at[0])), at[1:])
    inside = [argument for argument in get_args(kind) if argument not in (type(None), ...)]
    is_union = get_origin(kind) in (Union, UnionType)
    return _allowed_keys(inside[-1], at if is_union else at[1:]) if inside else []
