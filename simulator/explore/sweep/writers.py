"""A sweep as a file that is larger than memory: parts, one a chunk, joined into CSV or Parquet at the end.

Parts stand in the folder ``FILE.parts``, each whole or not at all, beside a manifest with a hash of the question. An
interrupted sweep goes on from those that are there. On the way there they take about 100 bytes a row of the disk.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ImpossibleError, InputError
from simulator.explore.sweep.csv_text import write_header, write_rows
from simulator.explore.sweep.evaluate import ChunkAnswer
from simulator.explore.sweep.external_sort import sort_tables
from simulator.explore.sweep.filters import Table, find_rows, join_tables, reduce_table
from simulator.explore.sweep.parquet_file import holds_columns, require_writer, write_parquet
from simulator.explore.sweep.plan import Plan
from simulator.explore.sweep.sweep import Progress, Tally
from simulator.explore.sweep.workers import run_chunks
from simulator.specfile import check_target, write_whole
from simulator.textfile import parse_json, read_text

SCHEMA = "roofcast/sweep-parts/1"
MANIFEST = "manifest.json"
ABOUT = "about the chunk"  # beside the columns of a part: JSON
MOST_HEADER = 2**16  # letters
STREAMED = (".csv", ".parquet")


class Written(NamedTuple):
    """Rows of a file, points of the sweep, and what was left out for which reason."""

    rows: int
    points: int
    left_out: dict[str, int]


def write_sweep(
    plan: Plan,
    out: Path,
    resume: bool = False,
    jobs: int = 1,
    dask: str | None = None,
    progress: Progress | None = None,
) -> Written:
    """Answer a plan into a ``.csv`` or ``.parquet`` file, with memory for a few chunks.

    Raises:
        InputError: another suffix, no writer of Parquet, a file that cannot be written, or parts of another question.
        ImpossibleError: no point is possible.
    """
    form = out.suffix.lower()
    if form not in STREAMED:
        raise InputError(f"{out}: a sweep is written to .csv or .parquet")
    if form == ".parquet":
        require_writer()
    parts = Parts(check_target(out), plan)
    if resume:
        check_own(out, plan)
    parts.open(resume)
    tally = Tally(plan, progress)
    there = parts.list_chunks()
    for chunk in there:
        tally.add(parts.describe(chunk))

    def list_missing() -> Iterator[int]:
        return (chunk for chunk in range(plan.chunks) if chunk not in there)

    answers = tally.follow(run_chunks(plan, list_missing(), jobs, dask))
    try:
        for chunk, answer in zip(list_missing(), answers, strict=True):
            parts.save(chunk, answer)
    finally:
        parts.remove_if_empty()
    try:
        tally.check()
    except ImpossibleError:
        parts.remove()
        raise
    rows = join_parts(parts, plan)
    parts.remove()
    return Written(rows, plan.points, dict(tally.left_out))


def check_own(out: Path, plan: Plan) -> None:
    """Refuse to go on over a file that no sweep of this question wrote, which its columns tell.

    Raises:
        InputError: it is empty, or has others.
    """
    if not out.exists():
        return
    if not out.stat().st_size:
        raise InputError(f"{out}: is empty, and so no file of a sweep; delete it, or write elsewhere")
    try:
        if out.suffix.lower() == ".parquet":
            own = holds_columns(out, plan.shown)
        else:
            with out.open(encoding="utf-8") as file:
                own = file.readline(MOST_HEADER).rstrip("\n").split(",") == list(plan.shown)
    except (OSError, ValueError):
        own = False
    if not own:
        raise InputError(f"{out}: is no file of this sweep; write elsewhere, or over it with --force and no --resume")


def hash_question(plan: Plan) -> str:
    """A hash of everything that the answer depends on: the grid, the specs behind its names, what is kept."""
    try:
        release = version("roofcast")
    except PackageNotFoundError:
        release = "unknown"
    return hashlib.sha256(repr((release, plan)).encode()).hexdigest()


class Parts:
    """The folder of the parts of one file."""

    def __init__(self, target: Path, plan: Plan) -> None:
        self.target = target
        self.folder = target.with_name(target.name + ".parts")
        self.manifest: dict[str, Any] = {"schema": SCHEMA, "question": hash_question(plan), "chunks": plan.chunks}

    def open(self, resume: bool) -> None:
        """Make the folder, or take up the one that is there.

        Raises:
            InputError: there is one, of another question or without ``resume``.
        """
        there = self.folder / MANIFEST
        if not self.folder.exists() or self.was_only_begun():
            try:
                self.folder.mkdir(exist_ok=True)
            except OSError as error:
                raise InputError(f"{self.folder}: cannot be made: {error.strerror}") from None
            write_whole(there, json.dumps(self.manifest, indent=2) + "\n")
            return
        try:
            manifest = parse_json(read_text(there))
        except (InputError, ValueError):
            raise InputError(f"{self.folder}: is no folder of parts of a sweep; delete it or write elsewhere") from None
        if not resume:
            raise InputError(f"{self.folder}: holds an unfinished sweep; --resume goes on with it, or delete it")
        if manifest != self.manifest:
            raise InputError(f"{self.folder}: holds parts of another question; ask the same one, or delete it")

    def was_only_begun(self) -> bool:
        """Whether nothing stands in the folder but what a process leaves that is killed as it makes it."""
        return self.folder.is_dir() and all(one.suffix == ".tmp" for one in self.folder.iterdir())

    def find(self, chunk: int) -> Path:
        """Where the part of a chunk stands."""
        return self.folder / f"{chunk:08d}.npz"

    def save(self, chunk: int, answer: ChunkAnswer) -> None:
        """Write a part.

        Raises:
            InputError: it cannot be written.
        """
        about: dict[str, Any] = {"points": answer.points, "left_out": answer.left_out, "texts": {}}
        columns = dict(answer.table)
        for name, column in answer.table.items():
            if column.dtype == object:
                about["texts"][name], columns[name] = encode_texts(column)
        content = io.BytesIO()
        np.savez(content, allow_pickle=False, **{ABOUT: np.array(json.dumps(about))}, **columns)
        write_whole(self.find(chunk), content.getvalue())

    def list_chunks(self) -> set[int]:
        """Chunks whose parts are there.

        Raises:
            InputError: a file that is no part of this sweep.
        """
        chunks = set()
        for path in sorted(self.folder.glob("*.npz")):
            chunk = int(path.stem) if path.stem.isdecimal() else self.manifest["chunks"]
            if chunk >= self.manifest["chunks"] or path != self.find(chunk):
                raise InputError(f"{path}: is no part of this sweep; move it away")
            chunks.add(chunk)
        return chunks

    @contextmanager
    def load(self, chunk: int) -> Iterator[Any]:
        """The content of a part.

        Raises:
            InputError: it is empty, cut off or not a part.
        """
        path = self.find(chunk)
        try:
            with np.load(path, allow_pickle=False) as content:
                yield content
        except (OSError, ValueError, LookupError, TypeError, EOFError, BadZipFile, zlib.error):
            size = path.stat().st_size if path.is_file() else 0
            problem = "is cut off or no part of a sweep" if size else "is empty"
            raise InputError(f"{path}: {problem}; delete it, and --resume works it out again") from None

    def describe(self, chunk: int) -> ChunkAnswer:
        """A part without its rows."""
        with self.load(chunk) as content:
            about = parse_json(str(content[ABOUT]))
            return ChunkAnswer({}, about["points"], about["left_out"])

    def read(self, names: Iterable[str]) -> Iterator[Table]:
        """Some columns of all parts, one part after the other."""
        for chunk in range(self.manifest["chunks"]):
            with self.load(chunk) as content:
                texts = parse_json(str(content[ABOUT]))["texts"]
                columns = {name: content[name] for name in names}
                table = {
                    name: np.array(texts[name], dtype=object)[column] if name in texts else column
                    for name, column in columns.items()
                }
            yield table

    def remove_if_empty(self) -> None:
        """Delete the folder where it has no part to go on from."""
        if not any(self.folder.glob("*.npz")):
            self.remove()

    def remove(self) -> None:
        """Delete the folder, at once as far as its name goes: a half of it would stand in the way of the next sweep."""
        away = self.folder.with_name(f".{os.urandom(8).hex()}.tmp")
        with suppress(OSError):
            self.folder.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def encode_texts(column: NDArray[Any]) -> tuple[list[str], NDArray[np.int32]]:
    """The different texts of a column, and the place of each row's among them."""
    texts = column.tolist()
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return list(places), np.array([places[text] for text in texts], dtype=np.int32)


def join_parts(parts: Parts, plan: Plan) -> int:
    """Write the file from its parts, whole or not at all; the number of its rows."""
    tables: Iterable[Table]
    if plan.reduction.bounds_rows:
        tables = [reduce_all(parts.read(plan.needed), plan)]
    elif plan.reduction.order is not None:
        tables = sort_tables(parts.read, plan.needed, plan.reduction.order, parts.folder / "sorted")
    else:
        tables = parts.read(plan.needed)
    shown = ({name: table[name] for name in plan.shown} for table in tables)
    joined = parts.folder / "joined"
    write = write_parquet if parts.target.suffix.lower() == ".parquet" else write_csv
    rows = write(joined, shown)
    with joined.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(joined, parts.target)
    return rows


def reduce_all(tables: Iterable[Table], plan: Plan) -> Table:
    """The frontier, order and first rows of all tables, reduced one after the other."""
    kept: Table = {}
    for table in tables:
        kept = reduce_table(join_tables([kept, table] if kept else [table]), plan.reduction, final=False)
    return reduce_table(kept, plan.reduction)


def write_csv(path: Path, tables: Iterable[Table]) -> int:
    """Write tables one below the other as CSV, numbers in full precision and what is none as nothing."""
    rows = 0
    with path.open("wb") as file:
        for place, table in enumerate(tables):
            if place == 0:
                file.write(write_header(table))
            file.writelines(write_rows(table))
            rows += find_rows(table)
    return rows
