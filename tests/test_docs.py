"""The pages and the help are true: their commands run and print what is shown, and their tables are complete."""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import pytest
import torch
from click.testing import CliRunner

import simulator
from cli import app
from simulator.costs.formulas import SYMBOLS
from simulator.timing.priors import list_factors

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^(?P<ticks>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=ticks)$", re.DOTALL | re.MULTILINE)
DATA_PATH = re.compile(r"\"?\$\{?ROOFCAST_DATA\}?\"?|(\.\./)*shared/data")


class Shown(NamedTuple):
    """A command on a page, and the block of output below it where there is one."""

    page: Path
    command: str
    output: str | None


def list_shown(page: Path) -> list[Shown]:
    """The commands of a page in its order."""
    blocks = list(FENCE.finditer(page.read_text()))
    shown = []
    for block, after in zip(blocks, [*blocks, None][1:], strict=True):
        if block["language"] not in ("console", "bash"):
            continue
        lines = re.sub(r"\\\n\s*", "", block["text"]).splitlines()
        commands = [line.removeprefix("$ ") for line in lines if re.match(r"(\$ )?roofcast ", line)]
        follows = after is not None and after["language"] == "text"
        between = page.read_text()[block.end() : after.start()] if after is not None else ""
        output = after["text"] if after is not None and follows and not between.strip() else None
        shown += [Shown(page, command, output if len(commands) == 1 else None) for command in commands]
    return shown


def list_commands(command: click.Command, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The words of every command that is not a group."""
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    parts = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [words for name, part in parts if part is not None for words in list_commands(part, (*path, name))]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each page that looks like the repository's root, where what its commands write may stay."""
    made = {}
    for page in [*(page.name for page in PAGES), "help"]:
        made[page] = tmp_path_factory.mktemp(page.partition(".")[0])
        for entry in ROOT.iterdir():
            if entry.is_dir() and not entry.name.startswith("."):
                (made[page] / entry.name).symlink_to(entry)
    return made


@pytest.fixture(scope="session")
def shell_path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A search path on which ``roofcast`` is this checkout's."""
    folder = tmp_path_factory.mktemp("bin")
    command = folder / "roofcast"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cli "$@"\n')
    command.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


LONG = pytest.mark.long
FILE = re.compile(r"(?<= )[\w-]+\.(?:csv|json|yaml)(?= |$)")
OF_A_SHELL = re.compile(r"[|&;<>$`*]")
MINUTES = re.compile(r"roofcast (calibrate (cross-validate|fit|power|run)|denoise) ")


def is_long(command: str) -> bool:
    """Whether a command measures or fits, which takes from ten seconds to minutes."""
    return MINUTES.search(f"{command} ") is not None


SHOWN = [shown for page in PAGES for shown in list_shown(page)]
MADE = {  # files that long commands of a page name, which others on it read
    page: {word for one in SHOWN if one.page == page and is_long(one.command) for word in FILE.findall(one.command)}
    for page in PAGES
}


def run_here(command: str) -> str:
    """What a command prints that needs no shell; a process of its own would load everything anew."""
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert (done.exit_code, done.exception) == (0, None)
    return done.stdout


def run_in_shell(command: str, shell_path: str) -> str:
    """What a line of a shell prints."""
    environment = {"PATH": shell_path, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param(
            shown, marks=LONG if is_long(shown.command) or MADE[shown.page] & set(shown.command.split()) else ()
        )
        for shown in SHOWN
    ],
    ids=lambda shown: f"{shown.page.name}: {shown.command[:60]}",
)
def test_a_command_on_a_page_runs_and_prints_what_is_shown(
    shown: Shown,
    folders: dict[str, Path],
    shell_path: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command = shown.command
    if DATA_PATH.search(command):
        data = shlex.quote(str(request.getfixturevalue("data_folder")))
        command = DATA_PATH.sub(lambda _: data, command)
    monkeypatch.chdir(folders[shown.page.name])
    stdout = run_in_shell(command, shell_path) if OF_A_SHELL.search(command) else run_here(command)
    printed = {line.rstrip() for line in stdout.splitlines()}
    claimed = [line.rstrip() for line in (shown.output or "").splitlines()]
    assert [line for line in claimed if line not in printed and line.strip(" .…")] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "```python" in page.read_text()], ids=lambda page: page.stem
)
def test_the_python_of_a_page_runs_and_prints_what_is_shown(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    text = page.read_text()
    blocks = list(FENCE.finditer(text))
    names: dict[str, object] = {}
    for block, after in zip(blocks, [*blocks, None][1:], strict=True):
        if block["language"] != "python":
            continue
        for library in re.findall(r"^import (pandas|polars)$", block["text"], flags=re.MULTILINE):
            pytest.importorskip(library)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block["text"], names)
        shown = after is not None and after["language"] == "text" and not text[block.end() : after.start()].strip()
        assert printed.getvalue().splitlines() == (after["text"].splitlines() if after is not None and shown else [])


def test_a_sweep_is_columns_of_one_length_as_table_libraries_take_them() -> None:
    table = simulator.sweep("gptj-6b", ["a100-sxm-80gb", "h100-sxm-80gb"], "none", tp=[1, 2], batch_size="1-8*2")
    assert len(table) == 16
    assert {type(column) for column in table.columns.values()} == {np.ndarray}
    assert {column.shape for column in table.columns.values()} == {(16,)}
    texts = [column for column in table.columns.values() if column.dtype.kind not in "biuf"]
    assert all(isinstance(value, str) for column in texts for value in column)


def test_the_chip_on_its_page_is_the_file_that_its_commands_read() -> None:
    (shown,) = (
        block["text"]
        for block in FENCE.finditer((ROOT / "docs" / "hypothetical-hardware.md").read_text())
        if block["language"] == "yaml"
    )
    assert shown == (ROOT / "docs" / "examples" / "paper-chip.yaml").read_text()


def test_the_pages_show_commands_at_all() -> None:
    verbs = {shlex.split(shown.command)[1] for shown in SHOWN}
    assert {"predict", "validate", "calibrate", "formulas"} <= verbs
    assert any(shown.output for shown in SHOWN if shown.page.name == "README.md")


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=LONG if is_long(f"roofcast {' '.join(path)}") else ()) for path in list_commands(app)],
    ids=" ".join,
)
def test_the_help_of_a_command_has_examples_that_run(
    path: tuple[str, ...], folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders["help"])
    monkeypatch.setattr("simulator.page.serve.serve", lambda host, port, say: say(f"http://{host}:{port}/"))
    monkeypatch.setattr("click.launch", lambda address: 0)
    helped = CliRunner().invoke(app, [*path, "--help"])
    assert helped.exit_code == 0
    found = re.search(r"^ *Examples?:\n(?P<lines>(?: +\S.*\n?)+)", helped.stdout, flags=re.MULTILINE)
    assert found is not None
    examples = [shlex.split(line) for line in re.sub(r"\\\n\s*", "", found["lines"]).splitlines()]
    for command, *arguments in examples:
        assert command == "roofcast"
        assert tuple(arguments[: len(path)]) == path
        done = CliRunner().invoke(app, arguments)
        if path == ("hardware", "new") and "--device" in arguments and not torch.cuda.is_available():
            assert "no device cuda" in str(done.exception)
            continue
        assert (done.exit_code, done.exception) == (0, None)
        assert done.stdout or Path(arguments[arguments.index("--out") + 1]).stat().st_size


def read_tables(page: Path) -> list[list[list[str]]]:
    """The tables of a page, each a list of rows of cells; the rule below the header is left out."""
    tables = re.findall(r"(?:^\|.*\|\n)+", page.read_text(), flags=re.MULTILINE)
    rows = [[[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()] for table in tables]
    return [[table[0], *table[2:]] for table in rows]


def test_the_nomenclature_has_every_symbol_with_its_name_and_meaning() -> None:
    (table,) = [table for table in read_tables(ROOT / "docs" / "nomenclature.md") if table[0][0] == "symbol"]
    stated = {row[0].strip("`"): (row[1].strip("`"), row[2]) for row in table[1:]}
    assert all(row[0].startswith("`") and row[1].startswith("`") for row in table[1:])
    assert stated == SYMBOLS


def test_the_nomenclature_has_every_factor_with_its_unit() -> None:
    (table,) = [table for table in read_tables(ROOT / "docs" / "nomenclature.md") if table[0][0] == "factor"]
    assert {row[0]: row[1] for row in table[1:]} == {
        f"`{name}`": meaning.unit for name, meaning in list_factors().items()
    }


def list_anchors(page: Path) -> set[str]:
    """The anchors that a renderer gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_name_only_files_and_headings_that_there_are() -> None:
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)#?([^)\s]*)\)", page.read_text()):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in list_anchors(file), f"{page.name} links to {target}#{anchor}"


def test_the_index_has_every_page_once() -> None:
    index = ROOT / "docs" / "README.md"
    linked = re.findall(r"^- \[([^]]+)\]\((?P<at>[^)]+)\)", index.read_text(), flags=re.MULTILINE)
    there = [page.name for page in PAGES[1:] if page != index] + ["notebooks/questions.ipynb"]
    assert sorted(name for name, at in linked) == sorted(there)
