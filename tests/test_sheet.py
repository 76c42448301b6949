"""Which data sheet a device in front is of."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from fake_cards import CARDS
from fake_nvml import MIB

from calibration.measure.device import Accelerator
from calibration.measure.sheet import find_sheet
from cli import app
from simulator import InputError
from simulator.explore.check import check_hardware
from simulator.inputs.library import load_hardware


@pytest.mark.parametrize("id_", CARDS)
def test_a_card_has_the_sheet_with_the_name_it_prints(id_: str) -> None:
    assert find_sheet(CARDS[id_]).id == id_


def test_a_device_of_amd_is_confirmed_by_the_design_that_torch_prints() -> None:
    assert find_sheet(CARDS["mi300x-192gb"]._replace(gfx="gfx942")).id == "mi300x-192gb"


def test_a_card_without_a_sheet_is_told_the_nearest_and_how_to_write_one() -> None:
    laptop = Accelerator("NVIDIA GeForce RTX 4090 Laptop GPU", 76, (8, 9), 16000 * MIB, 64 * MIB)
    said = (
        "no data sheet is of 'NVIDIA GeForce RTX 4090 Laptop GPU' with 76 multiprocessors and 16.8 GB; the nearest is "
        "rtx-4090; roofcast hardware new --out FILE writes down what the driver reports, -H FILE takes it"
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        find_sheet(laptop)


def test_a_name_like_none_is_told_the_device_of_the_nearest_size() -> None:
    virtual = Accelerator("GRID T4-16Q", 40, (7, 5), 15102 * MIB, 4 * MIB)
    with pytest.raises(InputError, match="the nearest is t4-16gb; "):
        find_sheet(virtual)


@pytest.mark.parametrize(
    "seen",
    [
        Accelerator("NVIDIA A100-SXM4-80GB", 42, (8, 0), 40000 * MIB, 20 * MIB),  # a slice under MIG
        Accelerator("NVIDIA GeForce RTX 3060", 28, (8, 6), 8192 * MIB, 3 * MIB),  # the card of 8 GB
        Accelerator("NVIDIA H100 80GB HBM3", 132, (8, 0), 81079 * MIB, 50 * MIB),
        CARDS["mi300x-192gb"]._replace(gfx="gfx950"),
    ],
)
def test_a_name_that_the_rest_does_not_confirm_is_refused(seen: Accelerator) -> None:
    with pytest.raises(InputError, match=f"^this is '{seen.name}' .*: a part of it, or another card"):
        find_sheet(seen)


@pytest.mark.parametrize("name", ["h100-sxm-80gb", "apple-m2-ultra", "gaudi2-96gb", "xeon-platinum-8480-plus"])
def test_a_sheet_of_ones_own_begins_with_the_numbers_of_another(name: str, tmp_path: Path) -> None:
    out = tmp_path / "my-chip.yaml"
    assert CliRunner().invoke(app, ["hardware", "new", "--like", name, "--out", str(out)]).exit_code == 0
    own, other = load_hardware(out), load_hardware(name)
    assert own.id == "my-chip"
    assert check_hardware(str(out)) == []
    assert own.compute.matrix_peak == pytest.approx(other.compute.matrix_peak, rel=1e-5)
    assert own.memory.bandwidth == pytest.approx(other.memory.bandwidth, rel=1e-5)
    assert own.most_in_node == other.most_in_node or other.links is None or other.links.node is None
