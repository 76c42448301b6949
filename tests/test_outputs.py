"""What commands write: whole, never over what they read, and over what is there only where they are told to."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from cli import app
from simulator.commands.options import Written
from simulator.errors import InputError
from simulator.explore.sweep.space import NAMES, SIZES, Space, build_space
from simulator.explore.sweep.sweep import make_plan
from simulator.explore.sweep.writers import Parts, write_sweep
from simulator.specfile import reserve

ROOT = Path(__file__).resolve().parents[1]
ROWS = str(ROOT / "calibration" / "tables" / "narayanan-2023-a100-30-rows.csv")
ASKED = ("-m", "gptj-6b", "-H", "a100-sxm-80gb")
FIT = ("--hardware", "a100-sxm-80gb", "--stack", "megatron-lm-2022")
WRITERS = {  # a command for each way of writing, but for the file
    "predict": ("predict", *ASKED, "--out"),
    "plot": ("plot", "waterfall", *ASKED, "-O"),
    "sweep": ("sweep", *ASKED, "-b", "1,2", "--out"),
    "fit": ("calibrate", "fit", ROWS, *FIT, "--out"),
    "show": ("calibrate", "show", "a100-sxm-80gb--megatron-lm-2022", "--plot"),
}
ENDINGS = {"plot": ".svg", "sweep": ".csv", "fit": ".yaml", "show": ".svg"}


def run(*arguments: str) -> str | None:
    """Run a command; what it refused, or None."""
    done = CliRunner().invoke(app, arguments)
    return None if done.exception is None else str(done.exception)


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_is_there_stays_unless_forced(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{ENDINGS.get(name, '.txt')}"
    path.write_text("older")
    assert run(*WRITERS[name], str(path)) == f"{path}: is there already; --force writes over it"
    assert path.read_text() == "older"
    assert run(*WRITERS[name], str(path), "--force") is None
    assert path.read_text() != "older"


def test_nothing_is_written_over_what_is_read_even_where_forced(tmp_path: Path) -> None:
    model = tmp_path / "own.yaml"
    model.write_text((ROOT / "simulator" / "inputs" / "architectures" / "gptj-6b.yaml").read_text())
    link = tmp_path / "link.yaml"
    link.symlink_to(model)
    before = model.read_text()
    for target in (model, link):
        refused = run("predict", "-m", str(model), "-H", "a100-sxm-80gb", "--out", str(target), "--force")
        assert refused == f"{target}: is read by this command; write elsewhere"
    refused = run("compare", "-m", f"gptj-6b,{model}", "-H", "a100-sxm-80gb", "--out", str(model), "--force")
    assert refused is not None
    assert model.read_text() == before


def test_two_answers_do_not_go_to_one_file(tmp_path: Path) -> None:
    scores, path = str(ROOT / "docs" / "examples" / "scores.csv"), str(tmp_path / "x.svg")
    assert run("tradeoff", scores, "--plot", path, "--out", path) == f"{path}: two answers are to be written to it"
    assert not list(tmp_path.iterdir())


def test_an_interrupted_sweep_goes_on_over_its_own_file(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    assert run(*WRITERS["sweep"], str(path)) is None
    assert run(*WRITERS["sweep"], str(path), "--resume") is None


def test_a_sweep_does_not_go_on_over_what_it_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    for text in ("", "batch_size,notes\n1,mine\n", "notes of mine\n"):
        path.write_text(text)
        assert "no file of" in str(run(*WRITERS["sweep"], str(path), "--resume"))
        assert path.read_text() == text


def test_hard_links_and_files_of_a_folder_that_is_read_are_read_too(tmp_path: Path) -> None:
    table, hard = tmp_path / "rows" / "t.csv", tmp_path / "hard.csv"
    table.parent.mkdir()
    table.write_text(Path(ROWS).read_text())
    hard.hardlink_to(table)
    for source, target in ((table, hard), (table.parent, table)):
        refused = run("calibrate", "fit", str(source), *FIT, "--out", str(target), "--force")
        assert refused == f"{target}: is read by this command; write elsewhere"
    assert table.read_text() == Path(ROWS).read_text()


def test_a_file_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    release = reserve(path, path.resolve())
    assert run("predict", *ASKED, "--out", str(path)) == (
        f"{path}: another process writes it; wait for its end, or write elsewhere"
    )
    release()
    assert run("predict", *ASKED, "--out", str(path)) is None


@pytest.mark.parametrize(("content", "problem"), [(b"", "is empty"), (b"PK\x03\x04", "is cut off")])
def test_a_part_that_is_damaged_is_named(content: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    plan = make_plan(build_space_of_one())
    parts = Parts(path, plan)
    parts.open(resume=False)
    parts.find(0).write_bytes(content)
    with pytest.raises(InputError, match=f"{parts.find(0).name}: {problem}.*--resume works it out again"):
        write_sweep(plan, path, resume=True)
    (parts.folder / "mine.npz").write_bytes(b"")
    with pytest.raises(InputError, match="is no part of this sweep"):
        write_sweep(plan, path, resume=True)


def test_a_sweep_that_was_killed_as_it_began_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "grid.csv"
    (tmp_path / "grid.csv.parts").mkdir()
    (tmp_path / "grid.csv.parts" / ".0123.tmp").write_text("{")
    assert run(*WRITERS["sweep"], str(path)) is None
    assert not (tmp_path / "grid.csv.parts").exists()


def build_space_of_one() -> Space:
    names = dict.fromkeys(NAMES) | {"model": "gptj-6b", "hardware": "a100-sxm-80gb", "calibration": "none"}
    sizes = dict.fromkeys(SIZES, 1) | dict.fromkeys(("prompt_tokens", "output_tokens", "batch_size"), 8)
    return build_space(names | {k: sizes[k] for k in SIZES}, {}, {}, {k: v for k, v in sizes.items() if k not in SIZES})


def list_leaves(command: click.Command) -> list[click.Command]:
    """Every command that is no group."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        parts = [command.get_command(context, name) for name in command.list_commands(context)]
        return [leaf for part in parts if part is not None for leaf in list_leaves(part)]
    return [command]


def test_every_command_that_writes_can_be_forced() -> None:
    writers = [one for one in list_leaves(app) if any(isinstance(part.type, Written) for part in one.params)]
    assert len(writers) > 20
    assert all("force" in [part.name for part in one.params] for one in writers)


def test_layouts_and_requests_are_asked_for_by_the_names_of_their_fields() -> None:
    from dataclasses import fields

    from simulator.commands.options import LAYOUT, REQUEST
    from simulator.inputs.deployment import ASKED as FORMS
    from simulator.inputs.deployment import Deployment
    from simulator.inputs.workload import Workload

    assert [row.name for row in LAYOUT] == list(FORMS)
    flags = ["identical_prompts"]
    assert [*(row.name for row in REQUEST), *flags] == [field.name for field in fields(Workload)]
    for row in LAYOUT:
        assert row.default == getattr(Deployment(), row.name)


def test_one_question_is_the_same_in_its_three_forms() -> None:
    asked = (*ASKED, "--tp", "2", "-p", "64", "-n", "8", "-b", "4", "-o", "json")
    times = []
    for verb, key in (("predict", "predictions"), ("compare", "rows"), ("sweep", "rows")):
        done = CliRunner().invoke(app, [verb, *asked])
        times.append(json.loads(done.stdout)[key][0]["e2e_s"])
    assert times[1:] == pytest.approx([times[0]] * 2, rel=1e-12)
