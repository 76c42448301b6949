"""Strict reading of YAML and JSON: plain values with the line of every key, or one line of refusal."""

import difflib
from pathlib import Path
from typing import Any

import yaml

from simulator.errors import InputError
from simulator.specfile.spec import KeyPath, Spec, describe_value, error_at
from simulator.textfile import MOST_DEPTH, MOST_WHOLE, parse_json, read_text, shorten

# libyaml is 15 times faster where PyYAML was built with it.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
# What a spec may be at most. An alias stands for all that it names, so that nine lines of them are a billion values.
MOST_BYTES = 4 * 2**20
MOST_VALUES = 50_000
MOST_DIGITS = 100
MOST_SLOWLY_READ = 2**18  # letters that Python's own parser of YAML reads in a second
MOST_PLACED = 2**20  # letters of JSON in which the line of every key is looked for
_NUMBERS = (f"{_TAG}int", f"{_TAG}float")
_PLAIN_TAGS = {_TAG + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


def read_spec(path: Path) -> Spec:
    """Read a spec: JSON when the name ends in ``.json``, YAML otherwise.

    Raises:
        InputError: the file is missing, unreadable, empty, malformed, not a mapping, or gives a key twice.
    """
    text = _read_text(path)
    return _read_json(path, text) if path.suffix == ".json" else _read_yaml(path, text, _Loader)


def _read_text(path: Path) -> str:
    if not path.exists():
        raise InputError(f"{path}: no such file{_name_siblings(path)}")
    text = read_text(path, most_bytes=MOST_BYTES)
    if not text.strip():
        raise error_at(path, 1, (), "is empty; a spec is a mapping of keys to values")
    return text


def _name_siblings(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; there is no folder {path.parent}"
    siblings = sorted(entry.name for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml", ".json"))
    near = difflib.get_close_matches(path.name, siblings, n=3, cutoff=0.5)
    return f"; nearest there: {', '.join(near)}" if near else ""


def _read_json(path: Path, text: str) -> Spec:
    try:
        data = parse_json(text)
    except ValueError as error:
        problem, line = getattr(error, "msg", str(error)), getattr(error, "lineno", 1)
        raise error_at(path, line, (), f"not valid JSON: {problem}") from None
    # JSON is YAML, tabs apart, with other rules for numbers: this pass finds lines and repeated keys. Not by libyaml
    # where there are surrogate pairs as in JSON's "\ud83d\ude00", which it refuses.
    slowly = "\\u" in text
    if len(text) > (MOST_SLOWLY_READ if slowly else MOST_PLACED):
        return Spec(path, _require_mapping(path, data), {})
    return Spec(path, data, _read_yaml(path, text.replace("\t", " "), yaml.SafeLoader if slowly else _Loader).lines)


def _read_yaml(path: Path, text: str, loader_kind: type[Any]) -> Spec:
    try:
        _refuse_depth(path, text, loader_kind)
        loader = loader_kind(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise _explain_syntax(path, text, error) from None
    reader = _NodeReader(path, loader)
    data = reader.value(root, ()) if root is not None else None
    return Spec(path, _require_mapping(path, data, reader.lines.get((), 1)), reader.lines)


def _require_mapping(path: Path, data: object, line: int = 1) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise error_at(path, line, (), f"{describe_value(data)}; a spec is a mapping of keys to values")
    return data


def _refuse_depth(path: Path, text: str, loader_kind: type[Any]) -> None:
    """Refuse deep nesting by the parser's events, which call nothing in itself: libyaml's nodes overflow its stack."""
    depth = 0
    for event in yaml.parse(text, Loader=loader_kind):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_DEPTH:
            line = 1 if event.start_mark is None else event.start_mark.line + 1
            raise error_at(path, line, (), f"is nested more than {MOST_DEPTH} deep")


def _explain_syntax(path: Path, text: str, error: yaml.YAMLError) -> InputError:
    unprintable = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if unprintable is not None:
        line = text.count("\n", 0, unprintable.start()) + 1
        return error_at(path, line, (), f"not valid YAML: character {unprintable[0]!r} is not allowed")
    source = text.splitlines()
    marks = [getattr(error, name, None) for name in ("problem_mark", "context_mark")]
    # What is never closed is noticed at the end of the file; where it was opened is the line to look at.
    index = next((mark.line for mark in marks if mark is not None and mark.line < len(source)), 0)
    problem = "a tab; YAML is indented with spaces" if "\t" in source[index] else getattr(error, "problem", error)
    return error_at(path, index + 1, (), f"not valid YAML: {problem}")


class _NodeReader:
    """Turns YAML nodes into plain values and notes the line of each key.

    PyYAML would do it too, but keeps the last of two equal keys, takes keys that are not text, and forgets the lines.
    """

    def __init__(self, path: Path, loader: Any) -> None:
        self.path = path
        self.loader = loader
        self.lines: dict[KeyPath, int] = {}
        self.values = 0
        self.merging = 0  # merges in each other

    def count(self, node: yaml.Node, depth: int) -> None:
        """Count what aliases repeat too, and refuse what would never end."""
        self.values += 1
        if self.values > MOST_VALUES:
            raise self.error(node, (), f"has more than {MOST_VALUES} values, those that aliases repeat included")
        if depth + self.merging > MOST_DEPTH:
            raise self.error(node, (), f"is nested more than {MOST_DEPTH} deep, or an alias contains itself")

    def value(self, node: yaml.Node, at: KeyPath) -> object:
        self.count(node, len(at))
        self.lines.setdefault(at, node.start_mark.line + 1)
        if node.tag not in _PLAIN_TAGS:
            raise self.error(node, at, f"tag {node.tag!r} is not allowed; write plain YAML")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
        if node.tag == f"{_TAG}timestamp":
            return node.value  # a date stays the text it is in JSON
        kind = node.tag.removeprefix(_TAG)
        if node.tag in _NUMBERS and len(node.value) > MOST_DIGITS:
            raise self.error(node, at, f"{shorten(node.value)!r} is too long for a number")
        try:
            plain: object = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError, OverflowError):
            raise self.error(node, at, f"{shorten(node.value)!r} cannot be read as {kind}") from None
        if isinstance(plain, int) and abs(plain) > MOST_WHOLE:
            raise self.error(node, at, f"{shorten(node.value)} is past 2^63, the most that a whole number can be")
        return plain

    def mapping(self, node: yaml.MappingNode, at: KeyPath) -> dict[str, object]:
        data: dict[str, object] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                data |= self.merged(value, at)
        own: dict[str, int] = {}
        for key, value in node.value:
            if key.tag == f"{_TAG}merge":
                continue
            if not isinstance(key, yaml.ScalarNode):
                raise self.error(key, at, "a key is text, not a list or a mapping")
            here = (*at, key.value)
            if key.tag != f"{_TAG}str":
                raise self.error(key, at, f"key {key.value!r} is not text; write it in quotes")
            if key.value in own:
                raise self.error(key, here, f"given twice; first on line {own[key.value]}")
            own[key.value] = self.lines[here] = key.start_mark.line + 1
            data[key.value] = self.value(value, here)
        return data

    def merged(self, node: yaml.Node, at: KeyPath) -> dict[str, object]:
        data: dict[str, object] = {}
        self.merging += 1
        for base in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):  # the first one wins
            if not isinstance(base, yaml.MappingNode):
                raise self.error(base, at, "'<<' takes a mapping or a list of mappings")
            self.count(base, len(at))
            data |= self.mapping(base, at)
        self.merging -= 1
        return data

    def error(self, node: yaml.Node, at: KeyPath, what: str) -> InputError:
        return error_at(self.path, node.start_mark.line + 1, at, what)
