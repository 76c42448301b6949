"""The data sheets that ship: what they are called, and what they say of memory and links."""

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from samples import predict

from simulator import InputError
from simulator.explore.check import check_hardware
from simulator.inputs import library
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import find_by_name, list_ids, load_hardware
from simulator.inputs.machine_names import MACHINES, PROCESSORS
from simulator.names import find_nearest, measure_likeness, normal_form
from simulator.report.catalogue import report_list
from simulator.specfile import read_spec

DEVICES = [load_hardware(name) for name in list_ids(library.HARDWARE_FOLDER)]
REPORTED = [(name, device.id) for device in DEVICES for name in device.reported_as or ()]
DATA = Path(os.environ.get("ROOFCAST_DATA", Path(__file__).parents[2] / "shared" / "data"))


def each(devices: list[Hardware] = DEVICES) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("device", devices, ids=lambda device: device.id)


@each()
def test_every_number_of_a_sheet_has_a_source(device: Hardware) -> None:
    assert check_hardware(device.id) == []


@pytest.mark.parametrize(("printed", "id_"), REPORTED)
def test_the_name_that_a_driver_prints_is_its_own_sheet(printed: str, id_: str) -> None:
    assert load_hardware(printed).id == id_
    assert load_hardware(printed.upper().replace("-", " ")).id == id_


def test_no_printed_name_is_of_two_devices() -> None:
    forms = [normal_form(name) for name, _ in REPORTED]
    of_one = {(normal_form(name), id_) for name, id_ in REPORTED}
    assert len(of_one) == len(set(forms))


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-sxm-80gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("NVIDIA A100-SXM4-40GB", "a100-sxm-40gb"),
        ("Tesla V100-SXM2-32GB", "v100-sxm-32gb"),
        ("NVIDIA L40S", "l40s-48gb"),
        ("H100-SXM-80GBx8", "h100-sxm-80gb"),
        ("8x NVIDIA H200", "h200-sxm-141gb"),
        ("NVIDIA B200-SXM-180GB (1000W)", "b200-180gb"),
        ("A100-80G", "a100-sxm-80gb"),
        ("NVIDIA H200", "h200-sxm-141gb"),
        ("NVIDIA GH200 480GB", "gh200-96gb"),
        ("NVIDIA GB10", "dgx-spark-128gb"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        # As tables of llama.cpp, MLPerf and serving benchmarks write them.
        ("RTX 3090", "rtx-3090"),
        ("RTX 4080", "rtx-4080"),
        ("RTX4090", "rtx-4090"),
        ("RTX A6000", "rtx-a6000-48gb"),
        ("M2 Ultra", "apple-m2-ultra"),
        ("NVIDIA H100-SXM-80GB", "h100-sxm-80gb"),
        ("H100-80GB", "h100-sxm-80gb"),
        ("AMD MI300X", "mi300x-192gb"),
        ("Gaudi2", "gaudi2-96gb"),
        ("H20", "h20-96gb"),
        ("RTX PRO 6000", "rtx-pro-6000-blackwell-96gb"),
    ],
)
def test_a_device_is_found_as_people_and_tools_write_it(name: str, id_: str) -> None:
    assert find_by_name("hardware", name, library.HARDWARE_FOLDER).stem == id_


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("NVIDIA L40X", "l40s"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "rtx-4090"),
        ("NVIDIA GeForce RTX 4095", "rtx-4090"),
        ("AMD Instinct MI301X", "mi300x"),
        ("M4 Ultra", "apple-m3-ultra"),
    ],
)
def test_an_unknown_device_gets_the_nearest_of_all_names(name: str, near: str) -> None:
    with pytest.raises(InputError, match=rf"^unknown hardware '{name}': did you mean '{near}'\?"):
        load_hardware(name)


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("p5.48xlarge", ["h100-sxm-80gb"]),
        ("ml.g6e.12xlarge", ["l40s-48gb"]),
        ("a3-ultragpu-8g", ["h200-sxm-141gb"]),
        ("Standard_ND96isr_MI300X_v5", ["mi300x-192gb"]),
        ("gpu_8x_a100_80gb_sxm4", ["a100-sxm-80gb"]),
        ("gfx942", ["mi300x-192gb", "mi325x-256gb"]),
    ],
)
def test_a_machine_or_a_family_of_devices_is_refused_with_its_devices(name: str, ids: list[str]) -> None:
    with pytest.raises(InputError, match=f"hardware '{re.escape(name)}' is") as caught:
        load_hardware(name)
    assert all(id_ in str(caught.value) for id_ in ids)


def test_what_a_machine_is_made_of_ships() -> None:
    for id_ in (*MACHINES.values(), *(one for ids in PROCESSORS.values() for one in ids)):
        assert load_hardware(id_).id == id_


def test_a_name_is_near_by_its_words_and_its_numbers() -> None:
    assert find_nearest("Megatron-530B", ["megatron-gpt-6.7b", "gpt-j-6b"]) is None
    assert (
        find_nearest("Megatron-530B", ["megatron-gpt-6.7b", "megatron-turing-nlg-530b"]) == "megatron-turing-nlg-530b"
    )
    assert find_nearest("NVIDIA L40S", ["nvidia-gb10", "l40"]) == "l40"
    assert find_nearest("NVIDIA L40S", ["nvidia-gb10"]) is None
    assert measure_likeness(normal_form("Apple M2"), normal_form("apple-m2")) == 1


@pytest.mark.parametrize("other", ["NVIDIA H20", "nvidia-h20", "H20 GPU"])
def test_a_name_of_two_devices_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    sheet = (library.HARDWARE_FOLDER / "h20-96gb.yaml").read_text()
    monkeypatch.setattr(library, "HARDWARE_FOLDER", tmp_path)
    for id_, printed in (("one", "NVIDIA H20"), ("two", other)):
        text = re.sub(r"(?m)^id: .*$", f"id: {id_}", sheet)
        text = re.sub(r"(?m)^aliases: .*\n", "", text)
        (tmp_path / f"{id_}.yaml").write_text(re.sub(r"(?m)^reported_as: .*$", f"reported_as: [{printed}]", text))
    with pytest.raises(InputError, match=r"^hardware 'Tesla H20' may be one and two; name one of these$"):
        load_hardware("Tesla H20")  # as no other test calls it, since what was found once is remembered


@each([device for device in DEVICES if re.search(r"-\d+gb$", device.id)])
def test_memory_is_what_the_driver_reports_of_the_size_in_the_name(device: Hardware) -> None:
    """A driver keeps up to a twelfth for itself and counts in powers of two: 46,068 MiB of 48 GB, 81,920 of 80."""
    nominal = float(re.search(r"-(\d+)gb$", device.id)[1]) * 1e9  # type: ignore[index]
    assert 0.98 < device.memory.capacity / nominal < 1.075


@pytest.mark.parametrize(
    ("id_", "capacity_bytes"),
    [("h100-sxm-80gb", 85.5e9), ("a100-sxm-80gb", 85.9e9), ("h200-sxm-141gb", 150.8e9), ("v100-sxm-32gb", 34.36e9)],
)
def test_capacities_are_those_that_issues_quote(id_: str, capacity_bytes: float) -> None:
    assert load_hardware(id_).memory.capacity == pytest.approx(capacity_bytes, rel=1e-3)


def test_every_gpu_of_nvidia_and_amd_says_what_its_driver_prints() -> None:
    silent = [one.id for one in DEVICES if one.vendor in ("NVIDIA", "AMD", "Apple") and one.kind == "gpu"]
    assert [id_ for id_ in silent if not load_hardware(id_).reported_as] == []


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("A10G", "a10g-24gb"),
        ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb"),
        ("A800", "a800-sxm-80gb"),
        ("H800", "h800-sxm-80gb"),
        ("L20", "l20-48gb"),
        ("B300", "b300-288gb"),
        ("GB300", "gb300-288gb"),
        ("RTX 5070", "rtx-5070"),
        ("RTX 5070 Ti", "rtx-5070-ti"),
        ("4070 Ti Super", "rtx-4070-ti-super"),
        ("3080 Ti", "rtx-3080-ti"),
        ("RTX PRO 6000 Server", "rtx-pro-6000-server-96gb"),
        ("V100 PCIe", "v100-pcie-32gb"),
        ("DGX-2", "v100-sxm3-32gb"),
        ("Arc B60", "arc-pro-b60-24gb"),
        ("RX 9070 XT", "rx-9070-xt-16gb"),
        ("RX 7900 XT", "rx-7900-xt-20gb"),
        ("Strix Halo", "ryzen-ai-max-395-128gb"),
        ("M5 Max", "apple-m5-max"),
        ("RTX 4080 Super", "rtx-4080-super"),
        ("RTX 4070 SUPER 12GB", "rtx-4070-super"),
        ("RTX A5000", "rtx-a5000-24gb"),
        ("A16", "a16-16gb"),
        ("H200 NVL", "h200-nvl-141gb"),
        ("MI350X", "mi350x-288gb"),
        ("M3 Ultra", "apple-m3-ultra"),
        ("B580", "arc-b580-12gb"),
        ("RTX PRO 5000 Blackwell", "rtx-pro-5000-blackwell-48gb"),
        ("W7900", "radeon-pro-w7900-48gb"),
        ("7900 GRE", "rx-7900-gre-16gb"),
    ],
)
def test_the_devices_that_people_name_and_missed_ship(name: str, id_: str) -> None:
    assert load_hardware(name).id == id_


@each([device for device in DEVICES if device.vendor in ("NVIDIA", "AMD") and device.kind == "gpu"])
def test_a_gpu_says_what_compilers_build_for_and_how_it_is_designed(device: Hardware) -> None:
    pattern = r"\d+\.\d" if device.vendor == "NVIDIA" else r"gfx[0-9a-f]+"
    assert device.compute.capability is not None
    assert re.fullmatch(pattern, device.compute.capability)
    assert device.compute.generation


@each()
def test_peaks_are_those_of_units_and_clock(device: Hardware) -> None:
    """A unit does 128 to 32768 FLOP a cycle in 16 bits, and a narrower format is no slower than a wider one."""
    peaks = device.compute.matrix_peak
    if device.kind == "gpu" and "bf16" in peaks:
        assert 128 <= peaks["bf16"] / (device.compute.units * device.compute.clock) <= 32768
        assert peaks["bf16"] >= (device.compute.vector_peak or {}).get("fp32", 0)
    for wide, narrow in (("fp32", "fp16"), ("fp16", "fp8"), ("bf16", "fp8"), ("fp8", "fp4"), ("fp16", "fp16/fp16")):
        if wide in peaks and narrow in peaks:
            assert peaks[narrow] >= peaks[wide]


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no measured data in {DATA}; ROOFCAST_DATA names the folder")
def test_every_device_of_the_measured_data_ships() -> None:
    named = {path.name.removesuffix("-power") for path in (DATA / "silicon").iterdir()}
    for path in [*DATA.glob("*.csv"), *(DATA / "serving").glob("*.csv")]:
        with path.open(newline="") as file:
            named |= {row[key] for row in csv.DictReader(file) for key in ("hardware", "gpu") if row.get(key)}
    assert len(named) >= 15
    for name in named:
        assert load_hardware(name).id in list_ids(library.HARDWARE_FOLDER)


def list_found(kind: str, *query: str) -> set[str]:
    return {row["id"] for row in json.loads(report_list(kind, query, "json"))[kind]}


@pytest.mark.parametrize(
    ("kind", "query", "some", "none"),
    [
        (
            "hardware",
            ("nvidia", "hopper", "80gb"),
            {"h100-sxm-80gb", "h800-sxm-80gb"},
            {"a100-sxm-80gb", "h200-sxm-141gb"},
        ),
        ("hardware", ("AMD", ">=192GB"), {"mi300x-192gb", "mi355x-288gb"}, {"mi210-64gb", "h200-sxm-141gb"}),
        ("hardware", ("geforce", "<16gb"), {"rtx-5070", "rtx-3080-10gb"}, {"rtx-4080", "rtx-4090"}),
        ("hardware", ("RTX 4070",), {"rtx-4070", "rtx-4070-ti", "rtx-4070-ti-super"}, {"rtx-4080"}),
        ("hardware", ("gfx942",), {"mi300x-192gb", "mi325x-256gb"}, {"mi355x-288gb"}),
        ("models", ("meta-llama", "8b"), {"llama-3-8b", "llama-3.1-8b"}, {"llama-3-70b", "qwen3-8b"}),
        ("models", ("qwen3", "<2b"), {"qwen3-0.6b", "qwen3-1.7b"}, {"qwen3-8b"}),
    ],
)
def test_lists_hold_what_answers_to_all_words(
    kind: str, query: tuple[str, ...], some: set[str], none: set[str]
) -> None:
    found = list_found(kind, *query)
    assert some <= found
    assert not found & none


@pytest.mark.parametrize("kind", ["hardware", "models"])
def test_a_list_fits_80_columns_and_an_empty_one_is_refused(kind: str) -> None:
    assert max(map(len, report_list(kind, (), "table").splitlines())) <= 80
    assert list_found(kind) >= list_found(kind, "a")
    with pytest.raises(InputError, match=rf"^{kind} list: nothing answers to 'no such thing'"):
        report_list(kind, ("no", "such", "thing"), "table")


@pytest.mark.parametrize(
    ("id_", "devices", "form", "each_way_bytes_per_s"),
    [
        ("l40s-48gb", 8, "bus", 32e9),  # PCIe 4.0 x16
        ("rtx-5090", 2, "bus", 64e9),  # PCIe 5.0 x16
        ("rtx-4060-ti-16gb", 2, "bus", 16e9),  # PCIe 4.0 x8
        ("a100-pcie-80gb", 2, "pairs", 300e9),  # a bridge over NVLink
        ("a100-pcie-80gb", 4, "bus", 32e9),  # past the pair
        ("a100-sxm-80gb", 8, "switch", 300e9),
        ("a100-sxm-80gb", 16, None, 25e9),  # one card of 200 Gb/s for each GPU
        ("v100-sxm-32gb", 8, "partial mesh", 150e9),
        ("mi300x-192gb", 8, "mesh", 448e9),
        ("mi300x-192gb", 16, None, 50e9),
        ("h20-96gb", 8, "switch", 450e9),
        ("gb200-186gb", 72, "switch", 900e9),
        ("tpu-v5e", 256, "torus", 200e9),
    ],
)
def test_devices_meet_over_the_link_that_reaches_them(
    id_: str, devices: int, form: str | None, each_way_bytes_per_s: float
) -> None:
    link = load_hardware(id_).find_link(devices)
    assert link.form == form
    assert link.bandwidth_each_way == pytest.approx(each_way_bytes_per_s)


@pytest.mark.parametrize(("id_", "devices"), [("l40s-48gb", 16), ("gh200-96gb", 2), ("gb200-186gb", 144)])
def test_devices_that_nothing_links_do_not_work_together(id_: str, devices: int) -> None:
    with pytest.raises(InputError, match=f"{id_}.* no link between"):
        load_hardware(id_).find_link(devices)


@pytest.mark.parametrize(
    ("id_", "nic_bytes_per_s", "node_bytes_per_s"),
    [
        ("a100-sxm-80gb", 25e9, 200e9),  # DGX A100: 8 x 200 Gb/s
        ("h100-sxm-80gb", 50e9, 400e9),  # DGX H100: 8 x 400 Gb/s
        ("v100-sxm-32gb", 12.5e9, 50e9),  # DGX-1: 4 x 100 Gb/s for eight GPUs
        ("gaudi2-96gb", 12.5e9, 300e9),  # 24 ports of 100 Gb/s
    ],
)
def test_the_network_cards_of_a_node_add_up(id_: str, nic_bytes_per_s: float, node_bytes_per_s: float) -> None:
    links = load_hardware(id_).links
    assert links is not None
    network = links.network
    assert network is not None
    assert network.nics is not None
    assert network.shared_by is not None
    assert network.bandwidth_each_way * network.shared_by / network.nics == pytest.approx(nic_bytes_per_s)
    assert network.nics * nic_bytes_per_s == pytest.approx(node_bytes_per_s)


def test_in_a_mesh_a_group_has_the_lanes_to_its_members_and_on_a_switch_all() -> None:
    """Of 448 GB/s each way an MI300X has a seventh to each of the seven others; an H100 all of its 450 to any."""
    mesh, switch = (load_hardware(name).find_link(8) for name in ("mi300x-192gb", "h100-sxm-80gb"))
    assert [mesh.find_bandwidth(devices) for devices in (2, 4, 8)] == pytest.approx([64e9, 192e9, 448e9])
    assert {switch.find_bandwidth(devices) for devices in (2, 4, 8)} == {450e9}


def test_tensor_parallelism_over_pcie_is_answered_and_slower_than_over_nvlink() -> None:
    """The all-reduces of a long prompt: some 30 GB/s each way against 300."""
    question: dict[str, Any] = {"model": "llama-3-8b", "calibration": "none", "prompt_tokens": 4096, "dtype": "bf16"}
    bridged, bus = (predict(hardware="a100-pcie-80gb", tp=tp, **question) for tp in (2, 4))
    switched = predict(hardware="a100-sxm-80gb", tp=4, **question)
    assert bus.ttft_s > 1.2 * switched.ttft_s
    assert bridged.devices == 2


@each()
def test_what_a_source_gives_is_in_the_sheet(device: Hardware) -> None:
    path = library.HARDWARE_FOLDER / f"{device.id}.yaml"
    data = read_spec(path).data
    for source in data["sources"]:
        for key in source["gives"]:
            part = data
            for name in key.split("."):
                assert name in part, f"{path.name}: {source['title']} gives {key}, which the file does not have"
                part = part[name]
