"""Specs: what is read and from which line, how every mistake is named, and that a file is written whole or not at all.

An error is compared in full, with the file's folder cut off.
"""

import enum
import json
import os
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from simulator.errors import InputError
from simulator.specfile import Spec, build, nearest, read_spec, spec_dataclass, unknown_name, write_whole
from simulator.units import Bytes, BytesPerSecond

WHOLE = st.integers(-(2**63) + 1, 2**63 - 1)  # what a spec may hold
DEEP = "is nested more than 64 deep"
BOMB = "x0: &x0 [a, a, a, a, a, a, a, a, a]\n" + "".join(
    f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@spec_dataclass
class Memory:
    capacity: Bytes
    bandwidth: BytesPerSecond
    efficiency: float | None = None


@spec_dataclass
class Source:
    title: str
    gives: tuple[str, ...] = ()


class Fabric(enum.Enum):
    NVLINK = "nvlink"
    PCIE = "pcie"


@spec_dataclass
class Device:
    id: str
    memory: Memory
    units: Annotated[int, Field(gt=0)] = 1
    kind: Literal["gpu", "cpu"] = "gpu"
    fabric: Fabric = Fabric.NVLINK
    sparse: bool = False
    shape: int | list[int] | None = None
    sources: list[Source] | None = None
    peaks: dict[str, Memory] | None = None

    def __post_init__(self) -> None:
        if self.id == "":
            raise ValueError("a device needs an id that is not empty")


DEVICE = """\
id: a100
memory:
  capacity: 80 GB
  bandwidth: 2039 GB/s
"""

Write = Callable[..., Path]

# One folder serves all examples of a test, and the disk takes the time it takes.
RELAXED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_file(text: str | bytes, name: str = "a100.yaml") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write_file


def refusal_of(path: Path) -> str:
    """Return the message that reading the file and building a device of it ends with."""
    with pytest.raises(InputError) as refusal:
        build(read_spec(path), Device)
    message = str(refusal.value)
    assert len(message.splitlines()) == 1
    return message.replace(f"{path.parent}{os.sep}", "")


# --- reading


def test_a_spec_is_plain_values_with_the_line_of_every_key(write: Write) -> None:
    spec = read_spec(write(DEVICE + "\nsources:\n  - title: data sheet\n    gives: [memory]\n  - title: other\n"))
    assert spec.data == {
        "id": "a100",
        "memory": {"capacity": "80 GB", "bandwidth": "2039 GB/s"},
        "sources": [{"title": "data sheet", "gives": ["memory"]}, {"title": "other"}],
    }
    assert spec.lines[("id",)] == 1
    assert spec.lines[("memory", "bandwidth")] == 4
    assert spec.lines[("sources", 0, "gives")] == 8
    assert spec.lines[("sources", 1)] == 9


def test_json_has_the_lines_of_its_keys_too(write: Write) -> None:
    spec = read_spec(write('{\n\t"a": 1e12,\n\t"b": {"c": "\\ud83d\\ude00",\n"d": [1,\n2]}}', "config.json"))
    assert spec.data == {"a": 1e12, "b": {"c": "\N{GRINNING FACE}", "d": [1, 2]}}
    assert spec.lines[("a",)] == 2
    assert spec.lines[("b", "c")] == 3
    assert spec.lines[("b", "d", 1)] == 5


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | WHOLE | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@RELAXED
@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4), st.sampled_from([None, 2, "\t"]))
def test_any_json_object_reads_back_as_it_was(write: Write, data: dict[str, object], indent: int | str | None) -> None:
    assert read_spec(write(json.dumps(data, indent=indent), "any.json")).data == data


@RELAXED
@given(st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=4))
def test_any_yaml_mapping_reads_back_as_it_was(write: Write, data: dict[str, object]) -> None:
    assert read_spec(write(yaml.safe_dump(data))).data == data


@RELAXED
@given(st.text("a:- {}[]&*!|>'\"%@`#,?\t\n1\x01\x85<", max_size=30), st.sampled_from(["any.yaml", "any.json"]))
def test_any_text_is_a_spec_or_one_line_of_refusal(write: Write, text: str, name: str) -> None:
    path = write(text, name)
    try:
        answer = f"{path}:{read_spec(path).line_of(())}:"
    except InputError as error:
        answer = str(error)
    assert answer.startswith(f"{path}:")
    assert len(answer.splitlines()) == 1


def test_anchors_and_merge_keys_mean_what_they_mean_in_yaml(write: Write) -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  z: 3\nd:\n  x: 0\n  <<: *a\n"
    spec = read_spec(write(text))
    assert spec.data["c"] == {"x": 1, "y": 1, "z": 3}
    assert spec.data["d"] == {"x": 0, "y": 1}
    assert spec.data == yaml.safe_load(text)
    assert spec.lines[("c", "y")] == 1
    assert spec.lines[("c", "z")] == 5
    assert spec.lines[("d", "x")] == 7


def test_a_date_is_text_and_a_byte_order_mark_is_nothing(write: Write) -> None:
    assert read_spec(write("\ufeffreleased: 2020-05-14\n")).data == {"released": "2020-05-14"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a100.yaml", "", "a100.yaml:1: is empty; a spec is a mapping of keys to values"),
        ("a100.yaml", "# nothing\n", "a100.yaml:1: is empty; a spec is a mapping of keys to values"),
        ("a100.json", " \n", "a100.json:1: is empty; a spec is a mapping of keys to values"),
        ("a100.yaml", "# list\n- a\n", "a100.yaml:2: is a list; a spec is a mapping of keys to values"),
        ("a100.yaml", "just words\n", "a100.yaml:1: 'just words' is text; a spec is a mapping of keys to values"),
        ("a100.json", "[1]", "a100.json:1: is a list; a spec is a mapping of keys to values"),
        ("a100.yaml", DEVICE + "id: b\n", "a100.yaml:5: id: given twice; first on line 1"),
        ("a100.yaml", DEVICE + "  capacity: 1 GB\n", "a100.yaml:5: memory.capacity: given twice; first on line 3"),
        (
            "a100.json",
            '{"sources": [\n{"title": "a",\n"title": "b"}]}',
            "a100.json:3: sources[0].title: given twice; first on line 2",
        ),
        ("a100.yaml", "memory:\n  80: GB\n", "a100.yaml:2: memory: key '80' is not text; write it in quotes"),
        ("a100.yaml", "id: a\non: b\n", "a100.yaml:2: key 'on' is not text; write it in quotes"),
        ("a100.yaml", '"a\\nb": 1\n"a\\nb": 2\n', "a100.yaml:2: a b: given twice; first on line 1"),
        ("a100.yaml", "id: a\n? [b]\n: c\n", "a100.yaml:2: a key is text, not a list or a mapping"),
        (
            "a100.yaml",
            "id: a\nmemory:\n\tcapacity: 1\n",
            "a100.yaml:3: not valid YAML: a tab; YAML is indented with spaces",
        ),
        (
            "a100.yaml",
            "id: \N{GREEK SMALL LETTER ETA}\nb: \x01\n",
            "a100.yaml:2: not valid YAML: character '\\x01' is not allowed",
        ),
        ("a100.yaml", "id: a\nb: [1,\nc: 2\n", "a100.yaml:2: not valid YAML: "),
        ("a100.yaml", "id: a\nb: 'x\n", "a100.yaml:2: not valid YAML: found unexpected end of stream"),
        ("a100.yaml", "id: a\n\nb: c: d\n", "a100.yaml:3: not valid YAML: mapping values are not allowed"),
        ("a100.yaml", "id: a\nb: *c\n", "a100.yaml:2: not valid YAML: found undefined alias"),
        ("a100.yaml", "id: a\n---\nid: b\n", "a100.yaml:2: not valid YAML: but found another document"),
        (
            "a100.yaml",
            "id: a\nb: !!set {c}\n",
            "a100.yaml:2: b: tag 'tag:yaml.org,2002:set' is not allowed; write plain YAML",
        ),
        ("a100.yaml", "id: a\nb: !!int c\n", "a100.yaml:2: b: 'c' cannot be read as int"),
        ("a100.yaml", "id: a\n<<: b\n", "a100.yaml:2: '<<' takes a mapping or a list of mappings"),
        ("a100.yaml", "id: &a\n  b: *a\n", f"a100.yaml:1: {DEEP}, or an alias contains itself"),
        ("a100.json", "[" * 100_000, "a100.json:1: not valid JSON: nested more than 64 deep"),
        ("a100.yaml", "a: " + "[" * 5_000 + "]" * 5_000, f"a100.yaml:1: {DEEP}"),
        ("a100.yaml", "a: " + "[" * 100_000, f"a100.yaml:1: {DEEP}"),
        ("a100.yaml", "a: &a\n  <<: *a\n", f"a100.yaml:1: {DEEP}, or an alias contains itself"),
        ("a100.yaml", BOMB, "a100.yaml:1: has more than 50000 values, those that aliases repeat included"),
        ("a100.yaml", "a: " + "1:" * 90 + "1", f"a100.yaml:1: a: '{'1:' * 18}1...' is too long for a number"),
        (
            "a100.yaml",
            "a: " + "1" * 40,
            f"a100.yaml:1: a: {'1' * 40} is past 2^63, the most that a whole number can be",
        ),
        ("a100.json", '{"id": "a",\n}', "a100.json:2: not valid JSON: "),
        ("a100.json", "1" * 5000, "a100.json:1: not valid JSON: the whole number 1111"),
        ("a100.yaml", b"id: \xff\n", "a100.yaml: cannot be read: not text in UTF-8 (byte 4)"),
    ],
)
def test_a_malformed_file_is_refused_with_its_line(write: Write, name: str, text: str | bytes, message: str) -> None:
    refusal = refusal_of(write(text, name))
    # What the parsers say of bad syntax is theirs to word, and differs between libyaml and PyYAML.
    assert refusal.startswith(message) if ": not valid " in message else refusal == message


def test_a_missing_file_is_answered_with_the_nearest_names_beside_it(write: Write) -> None:
    folder = write(DEVICE, "a100-sxm-80gb.yaml").parent
    write(DEVICE, "gpt2.yaml")
    write("", "a100.txt")
    assert refusal_of(folder / "a100-sxm.yaml") == "a100-sxm.yaml: no such file; nearest there: a100-sxm-80gb.yaml"
    assert refusal_of(folder / "zzz") == "zzz: no such file"
    path = folder / "specs" / "a100.yaml"
    assert refusal_of(path) == f"a100.yaml: no such file; there is no folder {folder / 'specs'}"


def test_a_folder_is_not_read_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_spec(tmp_path)


# --- building


def test_a_spec_becomes_a_dataclass_in_si_units(write: Write) -> None:
    extras = "units: 108\nkind: gpu\nfabric: pcie\nsources: [{title: t, gives: [id]}]\npeaks: {}\n"
    assert build(read_spec(write(DEVICE + extras)), Device) == Device(
        id="a100",
        memory=Memory(capacity=80e9, bandwidth=2.039e12),
        units=108,
        fabric=Fabric.PCIE,
        sources=[Source("t", ("id",))],
        peaks={},
    )


def test_a_whole_number_may_stand_where_a_real_one_is_due(write: Write) -> None:
    efficiency = build(read_spec(write(DEVICE + "  efficiency: 1\n")), Device).memory.efficiency
    assert efficiency == 1.0
    assert isinstance(efficiency, float)


def test_an_instance_made_directly_is_frozen_and_not_checked() -> None:
    memory = Memory(capacity=np.array([40e9, 80e9]), bandwidth=1.0)  # type: ignore[arg-type]
    assert memory.capacity[1] == 80e9  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        memory.bandwidth = 2.0  # type: ignore[misc]


MEMORY_KEYS = "(allowed: capacity, bandwidth, efficiency)"
BANDWITH = "id: a\nmemory:\n  capacity: 80 GB\n  bandwith: 2039 GB/s\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BANDWITH, f"4: memory.bandwith: unknown key; did you mean 'bandwidth'? {MEMORY_KEYS}"),
        (
            DEVICE + "colour: red\n",
            "5: colour: unknown key (allowed: id, memory, units, kind, fabric, sparse, shape, sources, peaks)",
        ),
        (
            DEVICE + "sources:\n- titel: t\n",
            "6: sources[0].titel: unknown key; did you mean 'title'? (allowed: title, gives)",
        ),
        (
            DEVICE + "peaks:\n  x:\n    capacity: 1 GB\n    bandwidth: 1 B/s\n    eficiency: 1\n",
            f"9: peaks.x.eficiency: unknown key; did you mean 'efficiency'? {MEMORY_KEYS}",
        ),
        ("id: a\nmemory:\n  bandwidth: 2039 GB/s\n", "2: memory: missing key 'capacity'"),
        ("id: a\nmemory: {}\n", "2: memory: missing keys 'capacity', 'bandwidth'"),
        (
            "id: a\nfabrik: nvlink\n",
            "2: fabrik: unknown key; did you mean 'fabric'? "
            "(allowed: id, memory, units, kind, fabric, sparse, shape, sources, peaks) (and 1 more: the file)",
        ),
        ("# a device\nname: a\n", "2: missing keys 'id', 'memory' (and 1 more: name)"),
        (DEVICE + "  efficiency: 1e12\n", "5: memory.efficiency: '1e12' is text in YAML; write 1.0e+12"),
        (DEVICE + "  efficiency: 2.5e-3x\n", "5: memory.efficiency: '2.5e-3x' is text; needs a number"),
        (DEVICE + "  efficiency: 2.5E3\n", "5: memory.efficiency: '2.5E3' is text in YAML; write 2.5e+3"),
        (DEVICE + "  efficiency: '0.5'\n", "5: memory.efficiency: '0.5' is text in YAML; write 0.5"),
        (DEVICE + "  efficiency: 'nan'\n", "5: memory.efficiency: 'nan' is text; needs a number"),
        (DEVICE + "  efficiency: .nan\n", "5: memory.efficiency: nan is a number; needs a finite number"),
        (DEVICE + "  efficiency: .inf\n", "5: memory.efficiency: inf is a number; needs a finite number"),
        (DEVICE + "  efficiency: true\n", "5: memory.efficiency: true is a boolean; needs a number"),
        (DEVICE + "units: 1e3\n", "5: units: '1e3' is text in YAML; write 1000"),
        (DEVICE + "units: '2.5'\n", "5: units: '2.5' is text; needs a whole number"),
        (DEVICE + "units: 2.0\n", "5: units: 2.0 is a number; needs a whole number"),
        (DEVICE + "units: true\n", "5: units: true is a boolean; needs a whole number"),
        (DEVICE + "units: 0\n", "5: units: units is 0; it must be above 0"),
        (DEVICE + "units:\n", "5: units: is empty; needs a whole number"),
        (DEVICE + "sparse: 1\n", "5: sparse: 1 is a number; needs true or false"),
        (DEVICE + "kind: gpus\n", "5: kind: unknown value 'gpus'; did you mean 'gpu'? (allowed: gpu, cpu)"),
        (DEVICE + "kind: off\n", "5: kind: unknown value False (allowed: gpu, cpu)"),
        (
            DEVICE + "fabric: nvlnk\n",
            "5: fabric: unknown value 'nvlnk'; did you mean 'nvlink'? (allowed: nvlink, pcie)",
        ),
        (DEVICE + "shape: wide\n", "5: shape: 'wide' is text; needs a whole number or a list"),
        (DEVICE + "sources: all\n", "5: sources: 'all' is text; needs a list"),
        (DEVICE + "sources:\n- all\n", "6: sources[0]: 'all' is text; needs a mapping"),
        (DEVICE + "sources:\n- title: [t]\n", "6: sources[0].title: is a list; needs text"),
        (
            DEVICE + "sources:\n- title: 12.4\n",
            "6: sources[0].title: 12.4 is a number; needs text (write it in quotes)",
        ),
        (DEVICE + "peaks: []\n", "5: peaks: is a list; needs a mapping"),
        ("id: a\nmemory: 80 GB\n", "2: memory: '80 GB' is text; needs a mapping"),
        ("id: a\nmemory:\n  capacity: 80\n  bandwidth: 1 B/s\n", "3: memory.capacity: 80 needs a unit, e.g. '80 GB'"),
        (
            "id: a\nmemory:\n  capacity: 80 GB\n  bandwidth: 2039 GB\n",
            "4: memory.bandwidth: '2039 GB' is bytes; this field needs bytes per second, e.g. '2039 GB/s'",
        ),
        (DEVICE.replace("a100", '""'), "1: a device needs an id that is not empty"),
        (
            BANDWITH + "units: x\nsparse: 0\n",
            f"4: memory.bandwith: unknown key; did you mean 'bandwidth'? {MEMORY_KEYS} (and 2 more: units, sparse)",
        ),
        (
            "sparse: 0\nid: 1\n" + DEVICE.removeprefix("id: a100\n"),
            "1: sparse: 0 is a number; needs true or false (and 1 more: id)",
        ),
    ],
)
def test_the_first_mistake_is_named_with_file_line_and_key(write: Write, text: str, message: str) -> None:
    assert refusal_of(write(text)) == f"a100.yaml:{message}"


def test_a_number_in_quotes_is_text_in_json_too(write: Write) -> None:
    path = write('{"id": "a",\n"memory": {"capacity": "1 GB", "bandwidth": "1 B/s"},\n"units": "5"}', "a100.json")
    assert refusal_of(path) == "a100.json:3: units: '5' is text; write 5"


@RELAXED
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_number_an_error_tells_to_write_is_read_as_that_number(value: float) -> None:
    spec = Spec(Path("a.yaml"), {"capacity": "1 GB", "bandwidth": "1 B/s", "efficiency": f"{value!r}"}, {})
    with pytest.raises(InputError) as refusal:
        build(spec, Memory)
    assert yaml.safe_load(str(refusal.value).rpartition("write ")[2]) == value


def test_a_caller_names_its_own_findings_the_same_way(write: Write) -> None:
    spec = read_spec(write(DEVICE))
    assert str(spec.error("too small", ("memory", "capacity"))) == f"{spec.path}:3: memory.capacity: too small"
    assert str(spec.error("needs a clock", ("memory", "clock"))) == f"{spec.path}:2: memory.clock: needs a clock"
    assert str(spec.error("too short")) == f"{spec.path}:1: too short"


# --- names


@pytest.mark.parametrize(
    ("name", "found"), [("gptj", "gptj-6b"), ("GPT2", "gpt2"), ("a100", "a100-sxm-80gb"), ("xyz", None), ("", None)]
)
def test_the_nearest_name_is_the_one_that_was_meant(name: str, found: str | None) -> None:
    assert nearest(name, ["gpt2", "gptj-6b", "a100-sxm-80gb"]) == found


def test_a_name_is_nearest_to_itself_whatever_its_case() -> None:
    assert nearest("a100-sxm", ["A100-SXM", "A100-SXM4"]) == "A100-SXM"


def test_an_unknown_name_is_answered_with_the_nearest_and_where_all_are() -> None:
    names = (name for name in ["gpt2", "gptj-6b"])
    hint = "unknown model 'gptj': did you mean 'gptj-6b'? (roofcast models list shows all)"
    assert str(unknown_name("model", "gptj", names)) == hint
    assert str(unknown_name("hardware", "zzz", [])) == "unknown hardware 'zzz' (roofcast hardware list shows all)"
    assert str(unknown_name("dtype", "fp61", ["fp16", "int8"])) == (
        "unknown dtype 'fp61'; did you mean 'fp16'? (allowed: fp16, int8)"
    )


# --- writing


@RELAXED
@given(st.text(st.characters(codec="utf-8")))
def test_what_is_written_is_what_is_there(tmp_path: Path, text: str) -> None:
    path = tmp_path / "out.csv"
    write_whole(path, text)
    assert path.read_bytes() == text.encode()
    assert os.listdir(tmp_path) == ["out.csv"]


def test_a_link_is_written_through_and_permissions_are_the_usual_ones(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"
    assert (tmp_path / "target").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(28, "No space left on device"), InputError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, raised: type[BaseException]
) -> None:
    path = tmp_path / "profile.yaml"
    path.write_text("old")

    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(raised) as refusal:
        write_whole(path, "new")
    if raised is InputError:
        assert str(refusal.value) == f"{path}: cannot be written: No space left on device"
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["profile.yaml"]


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "no" / "out.csv"
    with pytest.raises(InputError) as refusal:
        write_whole(path, "")
    assert str(refusal.value) == f"{path}: cannot be written: there is no folder {path.parent}"

    for special in (Path(os.devnull), tmp_path):
        with pytest.raises(InputError) as refusal:
            write_whole(special, "")
        assert str(refusal.value) == f"{special}: cannot be written: is not a regular file"

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, whom no folder refuses
    with pytest.raises(InputError) as refusal:
        write_whole(tmp_path / "out.csv", "")
    assert str(refusal.value) == f"{tmp_path / 'out.csv'}: cannot be written: Permission denied"
