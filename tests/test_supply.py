"""What is handed on: a wheel and an sdist that install and answer on every Python that is stated, and licences."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ("simulator", "calibration", "hardware_specs", "cli.py", "pyproject.toml", "README.md", "LICENSE")
PYTHONS = ("3.11", "3.12", "3.13")
CONSTRAINTS = dict.fromkeys(("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"), str(ROOT / "constraints.txt"))
BUILD = "import sys, setuptools.build_meta as b; print(getattr(b, sys.argv[2])(sys.argv[1]))"


def run(*words: str | Path, cwd: Path) -> str:
    """Run a program; what it prints. ``make`` names the constraints from the root, which is not where this runs."""
    environment = os.environ | CONSTRAINTS
    done = subprocess.run([*map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr[-2000:]}"
    return done.stdout


def find_python(version: str) -> Path | None:
    """An interpreter of a version that runs; None where this machine has none."""
    if sys.version.startswith(f"{version}."):
        return Path(sys.executable)
    named = shutil.which(f"python{version}")
    known = [*Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), *([Path(named)] if named else [])]
    return next((one for one in known if subprocess.run([one, "-c", "import venv"], check=False).returncode == 0), None)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist, built of a copy of the source."""
    tree, folder = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for name in SOURCE:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tree / name)
    for kind in ("build_wheel", "build_sdist"):  # apart: the second in one process finds nothing to do
        run(sys.executable, "-c", BUILD, folder, kind, cwd=tree)
    return folder


@pytest.mark.network
@pytest.mark.parametrize(("version", "kind"), [*((version, "whl") for version in PYTHONS), ("3.11", "tar.gz")])
def test_a_built_package_installs_and_answers(version: str, kind: str, dist: Path, tmp_path: Path) -> None:
    python = find_python(version)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")
    run(python, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    inside = tmp_path / "venv" / "bin"
    package = next(dist.glob(f"*.{kind}"))
    run(inside / "python", "-m", "pip", "install", "-q", package, cwd=tmp_path)
    run(inside / "python", "-m", "pip", "check", cwd=tmp_path)
    assert "roofcast" in run(inside / "roofcast", "--version", cwd=tmp_path)
    answer = run(inside / "roofcast", "predict", "-m", "gptj-6b", "-H", "a100-sxm-80gb", "-o", "json", cwd=tmp_path)
    assert '"basis": "' in answer


def test_the_pythons_that_are_tried_are_the_ones_that_are_stated() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert re.findall(r'Python :: (3\.\d+)"', text) == list(PYTHONS)
    assert f'requires-python = ">={PYTHONS[0]}"' in text


def test_every_pinned_package_has_its_hashes() -> None:
    """But torch, of which each index has builds of its own."""
    pinned = re.findall(r"^([\w.-]+==\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    text = (ROOT / "constraints-hashes.txt").read_text()
    hashed = re.findall(r"^([\w.-]+==\S+) \\\n    --hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    names = sorted(name.lower().replace("_", "-") for name in pinned if not name.startswith("torch=="))
    assert sorted(name.lower().replace("_", "-") for name in hashed) == names


def test_every_dependency_has_its_licence_listed() -> None:
    pinned = re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    listed = re.findall(
        r"^\| (?!package )([\w.-]+) \| [^|]*\w[^|]* \|", (ROOT / "docs" / "licences.md").read_text(), re.MULTILINE
    )
    assert sorted(pinned, key=str.lower) == sorted(listed, key=str.lower)
