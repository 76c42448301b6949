"""Rows of measurements from a file or folder of any format, by the ids that ship."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from calibration.readers import READERS, SAME_AS
from calibration.readers.content import Content, find_json_lines, read_content
from calibration.readers.op_table import is_op_folder
from calibration.readers.runs import Run, Told
from calibration.readers.settle import Settled, settle_row, settle_runs
from calibration.readers.vllm_asked import join_records
from simulator.errors import InputError, unknown_name
from simulator.inputs.measurements import Measurement

MOST_FILES = 10_000
NAMED = 3  # files that are named in an error or note


def read_rows(
    path: Path, reader: str | None, told: Told, say: Callable[[str], None] = lambda note: None
) -> list[Measurement]:
    """Read measurements with a reader by name, or with the one that recognises the file.

    A folder may hold many files, of one tool. ``say`` is given a line on each thing that was taken, put in or left out.

    Raises:
        InputError: no such reader, a file that no reader or not the named one recognises, files of several tools in a
            folder, or what a reader raises.
    """
    name = None if reader is None else SAME_AS.get(reader, reader)
    if name is not None and name not in READERS:
        raise unknown_name("reader", name, [*READERS, *SAME_AS])
    settled = Settled()
    if path.is_dir() and name != "op-table" and not is_op_folder(path):
        name, contents = choose_files(path, name, settled)
    else:
        contents = [Content(path, "") if path.is_dir() else read_file(path)]
        name = check_reader(contents[0], name)
    runs = [one for content in contents for one in READERS[name].read(content, told)]
    found = settle_runs([one for one in runs if isinstance(one, Run)], told)
    rows = [settle_row(one, found) for one in runs if not isinstance(one, Run)] + found.rows
    if told.identical_prompts:
        rows = [replace(row, identical_prompts=not row.operator) for row in rows]
    if not rows:
        raise InputError(f"{path}: nothing to read{': ' + '; '.join(found.notes) if found.notes else ''}")
    for note in settled.notes + found.notes:
        say(note)
    return rows


def read_file(path: Path) -> Content:
    """A file as readers see it: results that are in parts, or in lines of JSON among others, put together.

    Raises:
        InputError: what ``read_content`` raises.
    """
    content = join_records(read_content(path))
    if content.objects or recognise(content) is not None:
        return content
    lines = find_json_lines(content)
    return lines if lines.objects and recognise(lines) is not None else content


def check_reader(content: Content, name: str | None) -> str:
    """The reader of a file: the named one where it is given, and recognises the file.

    Raises:
        InputError: it does not, or none does.
    """
    found = recognise(content)
    if name is not None and not READERS[name].recognise(content):
        other = f"; it looks like one of {found}" if found else ""
        raise InputError(f"{content.path}: not a file of {name}{other}")
    if name is None and found is None:
        raise InputError(f"{content.path}: no reader recognises it; --reader takes {', '.join(READERS)}")
    return name or found or ""


def recognise(content: Content) -> str | None:
    """The first reader that recognises a file; None where none does."""
    return next((name for name, reader in READERS.items() if reader.recognise(content)), None)


def choose_files(folder: Path, name: str | None, settled: Settled) -> tuple[str, list[Content]]:
    """The files of a folder that one reader reads; the others are told of in a note.

    Raises:
        InputError: files of several tools, or of none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    if len(paths) > MOST_FILES:
        raise InputError(f"{folder}: {len(paths):,} files; at most {MOST_FILES:,} are read")
    found: dict[str, list[Content]] = {}
    others: list[str] = []
    for path in paths:
        content = read_if_text(path)
        known = None if content is None else recognise(content)
        if content is not None and name is not None and READERS[name].recognise(content):
            known = name
        if content is None or known is None or (name is not None and known != name):
            others.append(str(path.relative_to(folder)))
        else:
            found.setdefault(known, []).append(content)
    if not found:
        raise InputError(f"{folder}: none of its {len(paths)} files is {f'of {name}' if name else 'of a known tool'}")
    if len(found) > 1:
        each = "; ".join(f"{tool}: {files[0].path.name}" for tool, files in found.items())
        raise InputError(f"{folder}: files of several tools ({each}); name one with --reader")
    if others:
        more = "" if len(others) <= NAMED else f" and {len(others) - NAMED} more"
        settled.say(f"{len(others)} files of {folder} are left out: {', '.join(others[:NAMED])}{more}")
    chosen, contents = found.popitem()
    twins = {content.path: READERS[chosen].find_twin(content.path) for content in contents}
    return chosen, [content for content in contents if twins[content.path] not in twins]


def read_if_text(path: Path) -> Content | None:
    """A file of a folder; None where it is no text, which a folder may hold beside results.

    Raises:
        InputError: JSON that is broken, or empty where its name says that it is a result.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if b"\0" in start or not start.strip():
        return None
    try:
        start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:
            return None
    return read_file(path)
