"""Strict reading of YAML and JSON: plain values with the line of every key, or one line of refusal."""

import difflib
import json
from pathlib import Path
from typing import Any

import yaml

from simulator.errors import InputError
from simulator.specfile.spec import KeyPath, Spec, describe_value, error_at

# libyaml is 15 times faster where PyYAML was built with it.
_Loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("map", "seq", "str", "int", "float", "bool", "null", "timestamp")}


def read_spec(path: Path) -> Spec:
    """Read a spec: JSON when the name ends in ``.json``, YAML otherwise.

    Raises:
        InputError: the file is missing, unreadable, empty, malformed, not a mapping, or gives a key twice.
    """
    text = _read_text(path)
    try:
        return _read_json(path, text) if path.suffix == ".json" else _read_yaml(path, text, _Loader)
    except RecursionError:
        raise InputError(f"{path}: is nested too deeply, or an alias contains itself") from None


def _read_text(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file{_name_siblings(path)}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
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
        data = json.loads(text)
    except ValueError as error:  # JSONDecodeError, or an integer of thousands of digits
        problem, line = getattr(error, "msg", str(error)), getattr(error, "lineno", 1)
        raise error_at(path, line, (), f"not valid JSON: {problem}") from None
    # JSON is YAML, tabs apart, with other rules for numbers: this pass finds lines and repeated keys. Not by libyaml,
    # which refuses the surrogate pairs of JSON's "\ud83d\ude00".
    return Spec(path, data, _read_yaml(path, text.replace("\t", " "), yaml.SafeLoader).lines)


def _read_yaml(path: Path, text: str, loader_kind: type[Any]) -> Spec:
    try:
        loader = loader_kind(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        raise _explain_syntax(path, text, error) from None
    reader = _NodeReader(path, loader)
    data = reader.value(root, ()) if root is not None else None
    if not isinstance(data, dict):
        line = reader.lines.get((), 1)
        raise error_at(path, line, (), f"{describe_value(data)}; a spec is a mapping of keys to values")
    return Spec(path, data, reader.lines)


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

    def value(self, node: yaml.Node, at: KeyPath) -> object:
        self.lines.setdefault(at, node.start_mark.line + 1)
        if node.tag not in _PLAIN_TAGS:
            raise self.error(node, at, f"tag {node.tag!r} is not allowed; write plain YAML")
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*at, index)) for index, item in enumerate(node.value)]
        if node.tag == f"{_TAG}timestamp":
            return node.value  # a date stays the text it is in JSON
        try:
            plain: object = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError):
            raise self.error(node, at, f"{node.value!r} cannot be read as {node.tag.removeprefix(_TAG)}") from None
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
        for base in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):  # the first one wins
            if not isinstance(base, yaml.MappingNode):
                raise self.error(base, at, "'<<' takes a mapping or a list of mappings")
            data |= self.mapping(base, at)
        return data

    def error(self, node: yaml.Node, at: KeyPath, what: str) -> InputError:
        return error_at(self.path, node.start_mark.line + 1, at, what)
