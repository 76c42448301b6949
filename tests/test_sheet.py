"""Which data sheet a device in front is of."""

import re

import pytest

from calibration.measure.device import Accelerator
from calibration.measure.sheet import find_sheet
from simulator import InputError

MIB = 2**20
# As torch.cuda.get_device_properties reports them: what the driver has, less what it keeps to itself.
CARDS = [
    (Accelerator("NVIDIA A100-SXM4-80GB", 108, (8, 0), 81251 * MIB, 40 * MIB), "a100-sxm-80gb"),
    (Accelerator("NVIDIA A100-SXM4-40GB", 108, (8, 0), 42298834944, 40 * MIB), "a100-sxm-40gb"),
    (Accelerator("NVIDIA A100 80GB PCIe", 108, (8, 0), 81251 * MIB, 40 * MIB), "a100-pcie-80gb"),
    (Accelerator("NVIDIA H100 80GB HBM3", 132, (9, 0), 81079 * MIB, 50 * MIB), "h100-sxm-80gb"),
    (Accelerator("NVIDIA H100 NVL", 132, (9, 0), 95250 * MIB, 50 * MIB), "h100-nvl-94gb"),
    (Accelerator("NVIDIA H200", 132, (9, 0), 143156 * MIB, 60 * MIB), "h200-sxm-141gb"),
    (Accelerator("NVIDIA GH200 480GB", 132, (9, 0), 97280 * MIB, 50 * MIB), "gh200-96gb"),
    (Accelerator("NVIDIA L40S", 142, (8, 9), 45400 * MIB, 96 * MIB), "l40s-48gb"),
    (Accelerator("NVIDIA L40", 142, (8, 9), 45400 * MIB, 96 * MIB), "l40-48gb"),
    (Accelerator("NVIDIA A40", 84, (8, 6), 45400 * MIB, 6 * MIB), "a40-48gb"),
    (Accelerator("NVIDIA A10G", 80, (8, 6), 22587 * MIB, 6 * MIB), "a10g-24gb"),
    (Accelerator("NVIDIA L4", 58, (8, 9), 22699 * MIB, 48 * MIB), "l4-24gb"),
    (Accelerator("Tesla T4", 40, (7, 5), 15102 * MIB, 4 * MIB), "t4-16gb"),
    (Accelerator("Tesla V100-SXM2-32GB", 80, (7, 0), 32510 * MIB, 6 * MIB), "v100-sxm-32gb"),
    (Accelerator("NVIDIA GeForce RTX 4090", 128, (8, 9), 24217 * MIB, 72 * MIB), "rtx-4090"),
    (Accelerator("NVIDIA GeForce RTX 3060", 28, (8, 6), 12044 * MIB, 3 * MIB), "rtx-3060-12gb"),
    (Accelerator("NVIDIA GeForce RTX 5090", 170, (12, 0), 32120 * MIB, 96 * MIB), "rtx-5090"),
    (Accelerator("NVIDIA B200", 148, (10, 0), 182640 * MIB, 126 * MIB), "b200-180gb"),
    (Accelerator("NVIDIA GB10", 48, (12, 1), 122566 * MIB, 24 * MIB), "dgx-spark-128gb"),
    (Accelerator("AMD Instinct MI300X", 304, (9, 4), 206141652992, 4 * MIB), "mi300x-192gb"),
]


@pytest.mark.parametrize(("seen", "id_"), CARDS, ids=[id_ for _, id_ in CARDS])
def test_a_card_has_the_sheet_with_the_name_it_prints(seen: Accelerator, id_: str) -> None:
    assert find_sheet(seen).id == id_


def test_a_card_without_a_sheet_is_told_the_nearest_and_how_to_write_one() -> None:
    laptop = Accelerator("NVIDIA GeForce RTX 4090 Laptop GPU", 76, (8, 9), 16000 * MIB, 64 * MIB)
    said = (
        "no data sheet is of 'NVIDIA GeForce RTX 4090 Laptop GPU' with 76 multiprocessors and 16.8 GB; write one like "
        "rtx-4090 with reported_as: [NVIDIA GeForce RTX 4090 Laptop GPU], or name a sheet with -H"
    )
    with pytest.raises(InputError, match=f"^{re.escape(said)}$"):
        find_sheet(laptop)


@pytest.mark.parametrize(
    "seen",
    [
        Accelerator("NVIDIA A100-SXM4-80GB", 42, (8, 0), 40000 * MIB, 20 * MIB),  # a slice under MIG
        Accelerator("NVIDIA GeForce RTX 3060", 28, (8, 6), 8192 * MIB, 3 * MIB),  # the card of 8 GB
        Accelerator("NVIDIA H100 80GB HBM3", 132, (8, 0), 81079 * MIB, 50 * MIB),
    ],
)
def test_a_name_that_the_rest_does_not_confirm_is_refused(seen: Accelerator) -> None:
    with pytest.raises(InputError, match=f"^this is '{seen.name}' .*: a part of it, or another card"):
        find_sheet(seen)
