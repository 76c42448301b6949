"""A profile as people read it: all of its factors, its own check, and a picture of the rows it was fitted to."""

import shutil
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner

from cli import app, main

ROOT = Path(__file__).resolve().parents[1]
NAME = "a100-sxm-80gb--megatron-lm-2022"
SHIPPED = ROOT / "calibration" / "profiles" / f"{NAME}.yaml"
ROWS = ROOT / "calibration" / "tables" / "narayanan-2023-a100-30-rows.csv"


def show(*arguments: str) -> str:
    """Show a profile in this process; return what is printed."""
    result = CliRunner().invoke(app, ["calibrate", "show", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def find_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that showing a profile fails with."""
    monkeypatch.setattr(sys, "argv", ["roofcast", "calibrate", "show", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed, told = capsys.readouterr()
    assert (printed, stopped.value.code, told.count("\n")) == ("", 2, 1)
    return told.removeprefix("roofcast: ").strip()


@pytest.fixture
def content() -> dict[str, Any]:
    """The shipped profile's file, as any reader of YAML sees it."""
    data: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())
    return data


@pytest.fixture
def mine(tmp_path: Path, content: dict[str, Any]) -> Path:
    """The shipped profile as somebody's own, whose table is elsewhere."""
    content["provenance"]["table"] = "my-rows.csv"
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_every_fitted_factor_is_shown_with_its_value_its_error_and_its_prior(content: dict[str, Any]) -> None:
    lines = {cells[0]: cells[1:] for cells in map(str.split, show(NAME, "--all").splitlines()) if cells}
    for name, factor in content["factors"].items():
        words, wanted = lines[name], [factor["standard_error"], factor["prior_standard_error"]]
        assert [word for word in words if "±" in word] == [f"±{100 * error:.0f}%" for error in wanted]
        if factor["unit"] in ("1", "cycles", "elements"):  # others have a prefix
            assert float(words[0]) == pytest.approx(factor["value"], rel=1e-3)
            assert float(words[len(words) // 2]) == pytest.approx(factor["prior"], rel=1e-3)
    assert "matrix_efficiency" in lines
    assert "attention_efficiency" not in lines  # the stack has no fused attention


def test_the_check_is_shown_with_the_rows_and_models_it_rests_on(content: dict[str, Any]) -> None:
    head, _, shown = show(NAME).partition("Requests that were not fitted")
    check, provenance = content["check"], content["provenance"]
    for text in (f"{check['rows']:,}", check["table"], f"{100 * check['mape']:.1f}%", *check["models"]):
        assert text in shown
    assert provenance["table_sha256"] in head
    assert f"{provenance['rows']} rows of {provenance['table']}" in head


@pytest.mark.parametrize("form", ["json", "csv", "md"])
def test_no_form_leaves_out_a_factor(form: str, content: dict[str, Any]) -> None:
    text = show(NAME, "-o", form)
    assert [name for name in content["factors"] if name not in text] == []


def test_a_plot_is_a_picture_of_the_fitted_rows_with_both_axes_named(tmp_path: Path) -> None:
    picture = tmp_path / "fit.svg"
    assert show(NAME, "--plot", str(picture)) == show(NAME)
    drawn = picture.read_text()
    assert ElementTree.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    # Letters are drawn as shapes, with their text in a comment before them.
    for label in (
        "measured (ms)",
        "predicted (ms)",
        "prefill (",
        "request (",
        "Measured and predicted: profile ",
    ):
        assert f"<!-- {label}" in drawn


def test_a_plot_of_ones_own_profile_takes_the_table_beside_it_or_the_named_one(mine: Path) -> None:
    picture = mine.with_name("fit.png")
    show(str(mine), "--table", str(ROWS), "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")
    shutil.copy(ROWS, mine.with_name("my-rows.csv"))
    picture.unlink()
    show(str(mine), "--plot", str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["fit.pdf", "fit", "fit.SVG.txt"])
def test_a_picture_of_another_ending_is_refused(name: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    path = tmp_path / name
    assert find_error(monkeypatch, capsys, NAME, "--plot", str(path)) == f"{path}: a picture ends in .svg or .png"
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_not_drawn_into_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    path = tmp_path / "none" / "fit.svg"
    told = find_error(monkeypatch, capsys, NAME, "--plot", str(path))
    assert told == f"{path}: cannot be written: there is no folder {path.parent}"


def test_a_plot_without_the_table_asks_for_it(mine: Path, monkeypatch: Any, capsys: Any) -> None:
    told = find_error(monkeypatch, capsys, str(mine), "--plot", str(mine.with_name("fit.svg")))
    assert told == f"{NAME}: its tidy table my-rows.csv is not beside it; name it with --table"
    assert [path.name for path in mine.parent.iterdir()] == ["mine.yaml"]
    assert "my-rows.csv" in show(str(mine))  # no table is needed to show the factors


def test_a_table_of_another_device_is_refused(mine: Path, monkeypatch: Any, capsys: Any) -> None:
    other = mine.with_name("other.csv")
    other.write_text(ROWS.read_text().replace("a100-sxm-80gb", "h100-sxm-80gb"))
    picture = mine.with_name("fit.svg")
    told = find_error(monkeypatch, capsys, str(mine), "--table", str(other), "--plot", str(picture))
    assert told.startswith("no row of the table is left after selection; it has rows of h100-sxm-80gb / ")
    assert not picture.exists()


@pytest.mark.parametrize("schema", ["roofcast/profile/0", "roofcast/profile/99"])
def test_a_profile_of_another_schema_is_refused(
    schema: str, mine: Path, content: dict[str, Any], monkeypatch: Any, capsys: Any
) -> None:
    mine.write_text(yaml.safe_dump(content | {"schema": schema}))
    told = find_error(monkeypatch, capsys, str(mine))
    assert told == (
        f"{mine}: schema is '{schema}'; this version reads '{yaml.safe_load(SHIPPED.read_text())['schema']}', "
        "so fit the profile again"
    )
