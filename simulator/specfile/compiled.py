"""Specs that ship, read and checked once and kept as plain data, as Python keeps the bytecode of its modules.

Reading YAML and checking it takes longer than a prediction, and loading the two libraries that do it longer than NumPy.
What a file was read as stands beside it in ``__pycache__`` (or under ``sys.pycache_prefix``) as JSON, with a hash of
the file and of the code that read it: where one of them is edited, the file is read anew. Where the folder cannot be
written, it is read every time.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from importlib.util import source_hash
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
CLASS, TUPLE = "(class)", "(tuple)"  # keys of what JSON has no form for; no field or key of a file is spelled so
HERE = os.path.dirname(__file__)
CODE = ("compiled.py", "ranges.py", "reading.py", "validation.py", "../units.py")
READERS = tuple(os.path.join(HERE, name) for name in CODE)


def read_compiled(source: Path, read: Callable[[Path], T]) -> T:
    """Return what ``read`` makes of a file, or of the YAML files of a folder, from its compiled form where that holds.

    Args:
        source: a file or folder of this project.
        read: a function of a module, pure but for the files. It returns numbers, text, lists, mappings with text for
            keys, tuples and dataclasses of these.
    """
    target, contents = find_compiled(source, read.__name__), read_contents(source)
    kept = load(target, contents)
    if kept is not None:
        answer: T = kept[0]
        return answer
    answer = read(source)
    save(target, contents, answer, read.__module__)
    return answer


def find_compiled(source: Path, what: str) -> Path:
    """Return where the compiled form of a file or folder stands."""
    is_file = source.suffix == ".yaml"
    folder = os.path.abspath(source.parent if is_file else source)
    if sys.pycache_prefix is None:
        folder = os.path.join(folder, "__pycache__")
    else:
        folder = os.path.join(sys.pycache_prefix, os.path.splitdrive(folder)[1].lstrip(os.sep))
    return Path(folder, f"{source.stem if is_file else '(all)'}.{what}.json")


def read_contents(source: Path) -> bytes:
    """Return the text of a file, or of the YAML files of a folder with their names; nothing where it is not there."""
    if source.suffix == ".yaml":
        return source.read_bytes() if source.is_file() else b""  # its reader says what is wrong
    names = sorted(name for name in os.listdir(source) if name.endswith(".yaml"))
    return b"".join(b"%s\n%s\n" % (name.encode(), Path(source, name).read_bytes()) for name in names)


def hash_all(contents: bytes, modules: Iterable[str]) -> str:
    """Return a hash of what is read and of the code that reads it: this package, and modules that are loaded."""
    code = [*READERS, *(str(sys.modules[name].__file__) for name in modules)]
    return source_hash(contents + b"".join(map(read_code, code))).hex()


@cache
def read_code(file: str) -> bytes:
    """Return the text of a file of code, which does not change under a running program."""
    return Path(file).read_bytes()


def load(target: Path, contents: bytes) -> tuple[Any] | None:
    """Return what is kept, in a tuple of one; None where nothing is, or it is of another text or code."""
    try:
        head, _, body = target.read_text(encoding="utf-8").partition("\n")
        about = json.loads(head)
        if about["hash"] != hash_all(contents, about["modules"]):
            return None
        return (json.loads(body, object_hook=unpack),)
    except (OSError, ValueError, LookupError, TypeError):  # never kept, or not by this code
        return None


def save(target: Path, contents: bytes, answer: object, module: str) -> None:
    """Keep an answer where that is possible."""
    modules = sorted({module, *list_modules(answer)})
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
    body = json.dumps(pack(answer), allow_nan=False, separators=(",", ":"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps({"hash": hash_all(contents, modules), "modules": modules}) + "\n" + body)
        os.replace(temporary, target)
    except OSError:  # a folder of somebody else's, a full disk: the file itself is there to be read
        temporary.unlink(missing_ok=True)


def pack(value: object) -> object:
    """Turn a value into what JSON holds.

    Raises:
        TypeError: it cannot be, or would come back as something else.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        return [pack(item) for item in value]
    if type(value) is tuple:
        return {TUPLE: [pack(item) for item in value]}
    if type(value) is dict and all(type(key) is str and key not in (CLASS, TUPLE) for key in value):
        return {key: pack(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        own = {field.name: pack(getattr(value, field.name)) for field in fields(value)}
        return {CLASS: f"{type(value).__module__}:{type(value).__qualname__}", **own}
    raise TypeError(f"{value!r} is no plain data")


def unpack(data: dict[str, Any]) -> Any:
    """Turn a JSON object back into the mapping, tuple or dataclass that it was."""
    if TUPLE in data:
        return tuple(data[TUPLE])
    if CLASS not in data:
        return data
    module, _, name = data.pop(CLASS).partition(":")
    made = object.__new__(getattr(sys.modules[module], name))
    made.__dict__.update(data)  # all fields, checked when the file was read by this very code
    return made


def list_modules(value: object) -> Iterator[str]:
    """Yield the modules of the dataclasses in a value."""
    if is_dataclass(value) and not isinstance(value, type):
        yield type(value).__module__
        value = [getattr(value, field.name) for field in fields(value)]
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from list_modules(item)
