"""A file as readers see it: its text, and the JSON objects in it; and how they take numbers out of it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import InputError
from simulator.textfile import parse_json, read_text

MOST_COUNT = 1e12
# How a JSON file begins; lines of a log may begin with a bracket too, but not with one of these behind it.
JSON_START = re.compile(r"\s*(?:\{\s*(?:[\"}]|$)|\[\s*(?:[{\]]|$))")


@dataclass(frozen=True)
class Content:
    """A file, read. ``objects``: the JSON objects in it with their places, of one document or one a line."""

    path: Path
    text: str
    objects: tuple[tuple[str, dict[str, Any]], ...] = ()


def read_content(path: Path) -> Content:
    """Read a file.

    Raises:
        InputError: no such file, not text, too large, empty, or JSON that is cut off or broken.
    """
    text = read_text(path)
    if not text.strip():
        raise InputError(f"{path}: the file is empty")
    return Content(path, text, tuple(parse_objects(path, text)) if JSON_START.match(text) else ())


def parse_objects(path: Path, text: str) -> list[tuple[str, dict[str, Any]]]:
    """The objects of one JSON document, or of one a line.

    Raises:
        InputError: neither.
    """
    try:
        return list_objects(str(path), parse_json(text))
    except ValueError as error:
        problem = error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    found = []
    for number, line in lines:
        try:
            found += list_objects(f"{path}:{number}", parse_json(line))
        except ValueError as error:
            # One document over several lines fails in its first line too: then the document's error is the one to tell.
            told = problem if number == lines[0][0] else error
            raise InputError(f"{path}: not valid JSON ({describe_json(told, number)}); is it cut off?") from None
    return found


def find_json_lines(content: Content) -> Content:
    """A log as its lines that are JSON objects, with their places; such as are broken are part of the log."""
    found = []
    for number, line in enumerate(content.text.splitlines(), start=1):
        if not line.startswith("{") or not line.rstrip().endswith("}"):
            continue
        try:
            found += list_objects(f"{content.path}:{number}", parse_json(line))
        except ValueError:
            continue
    return Content(content.path, content.text, tuple(found))


def describe_json(error: BaseException, number: int) -> str:
    """What a parser says, with the line of the file."""
    line = error.lineno if isinstance(error, json.JSONDecodeError) and error.lineno > 1 else number
    return f"line {line}: {getattr(error, 'msg', error)}"


def list_objects(where: str, document: Any) -> list[tuple[str, dict[str, Any]]]:
    """A document's objects: itself, or the items of a list that are objects."""
    if isinstance(document, dict):
        return [(where, document)]
    items = document if isinstance(document, list) else []
    return [(f"{where}[{place}]", item) for place, item in enumerate(items) if isinstance(item, dict)]


def split_rows(content: Content) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV file that are not blank, each with the number of its line.

    Raises:
        InputError: it is not CSV.
    """
    lines = csv.reader(io.StringIO(content.text.lstrip()))
    try:
        for cells in lines:
            if cells:
                yield lines.line_num, cells
    except csv.Error as error:
        raise InputError(f"{content.path}:{lines.line_num}: not valid CSV: {error}") from None


def read_header(content: Content) -> list[str]:
    """The first row of a CSV file, where it is one."""
    line = content.text.lstrip().partition("\n")[0].rstrip("\r")
    if len(line) >= csv.field_size_limit() or "\r" in line:
        return []
    return next(csv.reader([line]), [])


def has_keys(content: Content, *names: str) -> bool:
    """Whether there are objects, and each has these keys."""
    return bool(content.objects) and all(all(name in found for name in names) for _, found in content.objects)


def take_number(where: str, found: Mapping[str, Any], *names: str) -> float | None:
    """The number under the first of these keys that is there and not null; text that is a number counts.

    Raises:
        InputError: it is no number, or not finite.
    """
    for name in names:
        value = found.get(name)
        if value is not None:
            return parse_finite(where, name, value)
    return None


def need_number(where: str, found: Mapping[str, Any], *names: str) -> float:
    """The number under the first of these keys that is there.

    Raises:
        InputError: there is none, or it is no finite number.
    """
    number = take_number(where, found, *names)
    if number is None:
        raise InputError(f"{where}: {names[0]} is missing")
    return number


def take_count(where: str, found: Mapping[str, Any], *names: str) -> int | None:
    """A number of tokens, requests or devices; None where it is not there.

    Raises:
        InputError: it is no whole number of 0 to 10^12.
    """
    number = take_number(where, found, *names)
    if number is None:
        return None
    if not 0 <= number <= MOST_COUNT or number != int(number):
        raise InputError(f"{where}: {names[0]} is {number:g}; it must be a whole number of at least 0")
    return int(number)


def need_count(where: str, found: Mapping[str, Any], *names: str) -> int:
    """The same where it has to be there.

    Raises:
        InputError: it is missing, or none.
    """
    count = take_count(where, found, *names)
    if count is None:
        raise InputError(f"{where}: {names[0]} is missing")
    return count


def need_positive(where: str, found: Mapping[str, Any], *names: str) -> float:
    """A number above zero.

    Raises:
        InputError: it is missing, or none.
    """
    number = need_number(where, found, *names)
    if number <= 0:
        raise InputError(f"{where}: {names[0]} is {number:g}; it must be above zero")
    return number


def parse_finite(where: str, name: str, value: Any) -> float:
    """A finite number; commas between thousands are read over.

    Raises:
        InputError: it is none.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = float(value.replace(",", "") if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where}: {name} is {short(value)}; it must be a number") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: {name} is {short(value)}; it must be finite")
    return number


def short(value: Any) -> str:
    """A value as it stands, cut where it is long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def take_text(found: Mapping[str, Any], *names: str) -> str | None:
    """The text under the first of these keys that is there and not empty; None where there is none."""
    for name in names:
        value = found.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def take_rate(where: str, found: Mapping[str, Any], name: str) -> float | None:
    """Requests a second as tools write them: ``inf``, or none, is as fast as the concurrency lets them; that is None.

    Raises:
        InputError: it is no number above zero.
    """
    value = found.get(name)
    if value is None or str(value).strip().lower() in ("inf", "infinity", "none", "not set", "-1"):
        return None
    rate = parse_finite(where, name, value)
    if rate <= 0:
        raise InputError(f"{where}: {name} is {short(value)}; it must be above zero")
    return rate


def find_nested(document: Any, wanted: Callable[[str, Any], bool]) -> Any:
    """The first value in nested objects and lists whose key and value are wanted, those nearest the top first; or None.

    Tools have moved their own settings about within their files from version to version.
    """
    level = [document]
    while level:
        below: list[Any] = []
        for node in level:
            if not isinstance(node, dict | list):
                continue
            for key, value in node.items() if isinstance(node, dict) else (("", item) for item in node):
                if wanted(key, value):
                    return value
                if isinstance(value, dict | list):
                    below.append(value)
        level = below
    return None


MOST_LABEL = 1000  # letters
MOST_ARGUMENTS = 20_000
LABEL = re.compile(r"^(?:.*?\]\s+)?\s*([A-Za-z][^:|{}\"]{1,60}?)\s*:\s+(\S.*?)\s*$")


QUOTE = re.compile(r"^[\s>]*")


def strip_quote(line: str) -> str:
    """A line of a text that was pasted, without its margin: spaces, and the marks of a quotation."""
    return QUOTE.sub("", line, count=1).rstrip()


def read_labels(text: str) -> dict[str, str]:
    """Lines of a printed summary, ``Mean TTFT (ms):   420.00``, by label; of a label printed twice the last."""
    found = {}
    for line in text.splitlines():
        matched = LABEL.match(line) if len(line) <= MOST_LABEL else None  # a longer one is no line of a summary
        if matched:
            found[" ".join(matched[1].split())] = matched[2]
    return found


ARGUMENT = re.compile(r"[(\s,]([a-z]\w*)=('[^']*'|\"[^\"]*\"|[^,()\[\]{}\s]+)")


def read_arguments(text: str) -> dict[str, str]:
    """What a tool was asked for, where it printed that: ``Namespace(model='x', max_concurrency=16, ...)``.

    Of a name that stands twice the first; None is as if it did not stand there. Of several such lines the last.
    """
    lines = [line for line in text.splitlines() if "Namespace(" in line]
    found: dict[str, str] = {}
    for name, value in ARGUMENT.findall(lines[-1].partition("Namespace")[2][:MOST_ARGUMENTS]) if lines else ():
        if value != "None":
            found.setdefault(name, value.strip("'\""))
    return found
