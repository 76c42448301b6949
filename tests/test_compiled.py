"""What ships is kept as plain data: equal to what its file says, whatever is edited, and without the parsers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import InputError
from simulator.inputs import library
from simulator.metrics import rate_file
from simulator.specfile import build, compiled, read_spec, spec_dataclass
from simulator.specfile.compiled import read_compiled
from simulator.studies import names
from simulator.timing.profile import read_profile
from simulator.units import Seconds

Read = Callable[[Path], Any]
KINDS: tuple[tuple[Path, Read], ...] = (
    (library.MODEL_FOLDER, library.read_model),
    (library.HARDWARE_FOLDER, library.read_hardware),
    (library.STACK_FOLDER, library.read_stack),
    (library.PROFILE_FOLDER, read_profile),
)
SHIPPED: list[tuple[Path, Read]] = [(path, read) for folder, read in KINDS for path in sorted(folder.glob("*.yaml"))]
SHIPPED += [(folder, library.read_names) for folder, _ in KINDS]
SHIPPED += [
    (names.FOLDER / "helm_models.yaml", names.read_helm_file),
    (names.FOLDER / "layouts.yaml", names.read_layouts),
    (Path(rate_file.__file__).with_name("rates.yaml"), rate_file.read_rate_file),
]


@spec_dataclass
class Pause:
    length: Seconds
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.length > 60:
            raise ValueError("nobody waits so long")


def read_pause(path: Path) -> Pause:
    READ.append(path.name)
    return build(read_spec(path), Pause)


READ: list[str] = []


@pytest.fixture
def pause(tmp_path: Path) -> Path:
    READ.clear()
    path = tmp_path / "pause.yaml"
    path.write_text("length: 5 ms\nnotes: [a, b]\n")
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Compiled forms of this test alone, so that those there are do not answer for the code as it is."""
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path / "compiled"))
    return tmp_path / "compiled"


def test_all_that_ships_is_the_same_from_its_compiled_form(elsewhere: Path) -> None:
    for path, read in SHIPPED:
        checked = read(path)
        assert read_compiled(path, read) == checked
        kept = compiled.load(compiled.find_compiled(path, read.__name__), compiled.read_contents(path))
        assert kept is not None, path
        assert kept[0] == checked
        assert repr(kept[0]) == repr(checked)  # a float is no integer, a list no tuple


def test_a_file_is_read_once_and_kept_beside_it(pause: Path) -> None:
    expected = Pause(5e-3, ("a", "b"))
    assert read_compiled(pause, read_pause) == read_compiled(pause, read_pause) == expected
    assert READ == ["pause.yaml"]
    assert os.listdir(pause.parent / "__pycache__") == ["pause.read_pause.json"]


def test_an_edit_is_seen_at_once_even_of_the_same_size_and_time(pause: Path) -> None:
    read_compiled(pause, read_pause)
    before = pause.stat()
    pause.write_text(pause.read_text().replace("5 ms", "7 ms"))
    os.utime(pause, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert read_compiled(pause, read_pause).length == 7e-3
    pause.write_text("length: 5 min\n")
    for _ in range(2):
        with pytest.raises(InputError, match=r"pause.yaml:1: nobody waits so long"):
            read_compiled(pause, read_pause)
    pause.unlink()
    with pytest.raises(InputError, match="no such file"):
        read_compiled(pause, read_pause)


def test_an_edit_of_the_code_that_reads_is_seen_too(pause: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read_compiled(pause, read_pause)
    code = compiled.read_code
    monkeypatch.setattr(compiled, "read_code", lambda file: code(file) + b" " * file.endswith("test_compiled.py"))
    read_compiled(pause, read_pause)
    assert READ == ["pause.yaml"] * 2


def test_a_folder_is_read_anew_where_a_file_comes_goes_or_changes_its_name(tmp_path: Path, elsewhere: Path) -> None:
    def list_all() -> dict[str, list[str]]:
        return read_compiled(tmp_path, library.read_names)

    (tmp_path / "a.yaml").write_text("aliases: [One, two]\n")
    assert list_all() == list_all() == {"a": ["a", "one", "two"]}
    (tmp_path / "b.yaml").write_text("id: b\n")
    assert list_all() == {"a": ["a", "one", "two"], "b": ["b"]}
    (tmp_path / "a.yaml").rename(tmp_path / "c.yaml")
    assert list_all() == {"b": ["b"], "c": ["c", "one", "two"]}


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"hash": 1, "modules": ["nowhere"]}\n', "\N{SNOWMAN}"])
def test_what_stands_in_the_place_of_a_compiled_form_does_no_harm(pause: Path, content: str) -> None:
    target = compiled.find_compiled(pause, "read_pause")
    target.parent.mkdir()
    target.write_text(content)
    assert read_compiled(pause, read_pause) == read_compiled(pause, read_pause) == Pause(5e-3, ("a", "b"))
    assert READ == ["pause.yaml"]


def test_a_folder_that_cannot_be_written_is_read_every_time(pause: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)  # the tests may run as root, whom no folder refuses
    for _ in range(2):
        assert read_compiled(pause, read_pause) == Pause(5e-3, ("a", "b"))
    assert READ == ["pause.yaml"] * 2
    assert os.listdir(pause.parent / "__pycache__") == []


def test_what_is_no_plain_data_is_refused_not_kept_as_something_else() -> None:
    for value in ({1: "a"}, {compiled.CLASS: "a"}, {1, 2}, Path("a"), Pause):
        with pytest.raises(TypeError, match="is no plain data"):
            compiled.pack(value)


def test_a_prediction_of_what_ships_loads_neither_the_parsers_nor_a_terminal() -> None:
    code = """
import sys
import cli
sys.argv = ["roofcast", "predict", "-m", "gptj-6b", "-H", "a100-sxm-80gb", *sys.argv[1:]]
cli.main()
heavy = ("yaml", "pydantic", "rich", "sympy", "scipy", "torch", "matplotlib", "fastapi")
print([name for name in heavy if name in sys.modules])
"""
    for form in ("json", "csv", "md", "table"):
        for _ in range(2):  # the first may compile
            done = subprocess.run([sys.executable, "-c", code, "-o", form], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", form
