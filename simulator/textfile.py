"""The one way in which a file is opened to be read: regular, of bounded size, text, and JSON of bounded depth.

A named pipe would wait for a writer, ``/dev/zero`` never ends, a small packed file may unpack into all the memory, and
a parser that calls itself for each bracket leaves the stack. Each is refused here, in one line, before it costs time.
"""

from __future__ import annotations

import json
import math
import os
import stat
from pathlib import Path
from typing import Any

from simulator.errors import InputError

MOST_BYTES = 256 * 2**20  # of a file, unpacked
MOST_DEPTH = 64  # of lists and mappings in each other
MOST_WHOLE = 2**63 - 1  # that 64 bits hold
PACKED = ".gz"


def read_text(path: Path, problem: str = "cannot be read", most_bytes: int = MOST_BYTES) -> str:
    """Text of a file, unpacked where its name ends in ``.gz``; without a byte order mark.

    Raises:
        InputError: no regular file that can be read, larger than allowed, or not UTF-8; ``problem`` begins to say so.
    """
    try:
        content = read_bytes(path, most_bytes)
    except FileNotFoundError as error:
        raise InputError(f"{path}: {problem}: {error.strerror}") from None
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: {problem}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {problem}: not text in UTF-8 (byte {error.start})") from None


def read_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """Content of a regular file, unpacked where its name ends in ``.gz``.

    Raises:
        OSError, EOFError: it cannot be opened, or the packed part is cut off.
        ValueError: not a regular file, or larger than allowed.
    """
    # Asked of what was opened, and opened without waiting: nobody can put a pipe in its place in between.
    with open(path, "rb", opener=open_at_once) as file:
        if os.fstat(file.fileno()).st_size > most_bytes:
            raise ValueError(f"larger than {most_bytes >> 20} MiB")
        content = file.read(most_bytes + 1) if path.suffix != PACKED else unpack(file, most_bytes)
    if len(content) > most_bytes:
        raise ValueError(f"larger than {most_bytes >> 20} MiB")
    return content


def open_at_once(path: str, flags: int) -> int:
    """The number of an opened regular file or folder.

    Raises:
        ValueError: anything else, such as a named pipe or a device.
    """
    number = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(mode := os.fstat(number).st_mode) or stat.S_ISDIR(mode):  # Python itself refuses a folder
        return number
    os.close(number)
    raise ValueError("not a regular file")


def unpack(file: Any, most_bytes: int) -> bytes:
    """What a packed file holds, up to one byte past what is allowed.

    Raises:
        EOFError, OSError, ValueError: it is cut off, or not packed.
    """
    import gzip
    import zlib

    try:
        with gzip.open(file) as unpacked:
            return unpacked.read(most_bytes + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None


def parse_json(text: str) -> Any:
    """What a JSON document says, with no number that a float or 64 bits cannot hold and no deep nesting.

    Raises:
        ValueError: it is not JSON, or has one of these.
    """
    try:
        document = json.loads(text, parse_int=parse_whole, parse_float=parse_float, parse_constant=refuse_constant)
    except RecursionError:
        raise ValueError(f"nested more than {MOST_DEPTH} deep") from None
    if text.count("[") + text.count("{") > MOST_DEPTH and is_deep(document):
        raise ValueError(f"nested more than {MOST_DEPTH} deep")
    return document


def is_deep(document: Any) -> bool:
    """Whether lists and mappings are nested past ``MOST_DEPTH``; level by level, so that depth costs no stack."""
    level = [document]
    for _ in range(MOST_DEPTH + 1):
        level = [
            part
            for node in level
            if isinstance(node, dict | list)
            for part in (node.values() if isinstance(node, dict) else node)
            if isinstance(part, dict | list)
        ]
        if not level:
            return False
    return True


def parse_whole(text: str) -> int:
    """A whole number that 64 bits hold.

    Raises:
        ValueError: it is larger.
    """
    if len(text) > 20 or abs(number := int(text)) > MOST_WHOLE:
        raise ValueError(f"the whole number {shorten(text)} is past 2^63")
    return number


def parse_float(text: str) -> float:
    """A finite number.

    Raises:
        ValueError: no float holds it.
    """
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {shorten(text)} is past what a float holds")
    return number


def refuse_constant(text: str) -> float:
    """Python's parser reads NaN and Infinity, which JSON does not have: as what is no number.

    Tools write them where nothing was measured; who takes the value out refuses it, who does not need it goes on.
    """
    return float(text)


def shorten(text: str, most: int = 40) -> str:
    """A text as it stands, cut where it is long."""
    return text if len(text) <= most else f"{text[: most - 3]}..."
