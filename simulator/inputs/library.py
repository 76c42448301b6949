"""From a name, a file or an object to the object: the one place that knows where specs live."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from simulator.errors import InputError
from simulator.inputs.architecture import SMALLEST, Architecture, ModelSpec, check_architecture
from simulator.inputs.checkpoint import formats_of_name
from simulator.inputs.hardware import Hardware
from simulator.inputs.stack import KERNEL_SECTIONS, Stack
from simulator.names import normal_form
from simulator.specfile import Spec, build, check_ranges, read_spec, unknown_name
from simulator.specfile.compiled import read_compiled
from simulator.textfile import shorten


def find_package_folder(package: str) -> Path:
    """Where a package's data lies, by the import system: wherever the package is installed.

    This is what ``importlib.resources.files`` asks too, but its own imports take longer than a prediction.
    """
    spec = find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


MODEL_FOLDER = find_package_folder("simulator.inputs") / "architectures"
STACK_FOLDER = find_package_folder("simulator.inputs") / "stacks"
HARDWARE_FOLDER = find_package_folder("hardware_specs")
PROFILE_FOLDER = find_package_folder("calibration.profiles")  # data of a higher floor: the one exception, and no code
MOST_NAME, MOST_PATH = 200, 4000  # letters of a name, and of a path
REPOSITORY = r"[\w.-]+/[\w.-]+"  # a model of a hub: organisation/model


def list_ids(folder: Path) -> list[str]:
    """Return the ids of all specs in a folder, sorted; a file is named after its id."""
    return sorted(path.stem for path in folder.glob("*.yaml"))


def load_model(model: str | Path | Architecture | ModelSpec) -> ModelSpec:
    """Resolve a model: a name or alias, a YAML file, a Hugging Face ``config.json``, its folder or model, or an object.

    Raises:
        InputError: no such name or file, or the file is wrong.
    """
    if isinstance(model, ModelSpec):
        return model
    if isinstance(model, Architecture):
        check_architecture(model, "architecture")
        return ModelSpec("custom", "custom architecture", model)
    path, name = find_file(model), str(model)
    if path is not None:
        return read_model(path)
    if find_named("model", name, MODEL_FOLDER) is not None:
        return read_shipped_model(name)
    return load_variant(name)


def load_variant(name: str) -> ModelSpec:
    """A model by a name that ships in another form: a checkpoint of it, or one that a hub has.

    Raises:
        InputError: unknown, with the nearest name.
    """
    from simulator.inputs.model_names import find_likely, match_model

    names = index_names(MODEL_FOLDER)
    found = match_model(name, names)
    if found is not None:
        model, stored = found
        spec = read_shipped_model(model)
        formats = spec.formats if stored is None else formats_of_name(stored, name)
        return replace(spec, note=f"{name} is taken as {model}", formats=formats)
    if "/" in name and re.fullmatch(REPOSITORY, name):
        from simulator.inputs.huggingface.hub import download_config

        return read_model(download_config(name, find_likely(name, names)), name)
    raise unknown_name("model", name, names, find_likely(name, names))


def load_hardware(hardware: str | Path | Hardware) -> Hardware:
    """Resolve a device: a name or alias, a YAML file, or an object.

    Raises:
        InputError: no such name or file, or the file is wrong.
    """
    if isinstance(hardware, Hardware):
        return hardware
    path = find_file(hardware)
    return read_shipped_hardware(str(hardware)) if path is None else read_hardware(path)


def load_stack(stack: str | Path | Stack) -> Stack:
    """Resolve a software stack: a name or alias, a YAML file, or an object.

    Raises:
        InputError: no such name or file, or the file is wrong.
    """
    if isinstance(stack, Stack):
        check_ranges(stack, f"stack {stack.id}")
        return stack
    path = find_file(stack)
    return load_version(str(stack)) if path is None else read_stack(path)


def load_version(name: str) -> Stack:
    """A shipped stack by name or alias, or the one that covers a version that has none of its own, with a note.

    Raises:
        InputError: nothing ships of that engine.
    """
    if find_direct(name, STACK_FOLDER) is not None or name.lower() in index_names(STACK_FOLDER):
        return read_shipped_stack(name)
    from simulator.inputs.stack_versions import describe_covering, find_covering, find_engine, list_versions

    covering = find_covering(name, list_ids(STACK_FOLDER))
    engine = find_engine(name)
    if covering is None and engine is not None:
        covering = next(iter(list_versions(engine, list_ids(STACK_FOLDER))), None)
    stack = read_shipped_stack(covering or name)
    return stack if covering is None else replace(stack, note=describe_covering(name, covering))


def read_hardware(path: Path) -> Hardware:
    """Read a device file.

    Raises:
        InputError: the file is wrong.
    """
    return build(read_spec(path), Hardware)


def read_stack(path: Path) -> Stack:
    """Read a stack file, and check that what it builds is an architecture.

    Raises:
        InputError: a field of ``builds_as`` or ``builds_as_by_model`` that is unknown or of the wrong type, or a value
            in a ``when`` that the field of the architecture cannot have.
    """
    spec = read_spec(path)
    stack: Stack = build(spec, Stack)
    for changes in (stack.builds_as or {}, *(stack.builds_as_by_model or {}).values()):
        built = build(Spec(path, SMALLEST | changes, {}), Architecture)
        check_architecture(built, f"{path}: builds_as")
    for section in KERNEL_SECTIONS:
        for place, kernel in enumerate(getattr(stack, section) or ()):
            for field, value in (kernel.when or {}).items():
                line = spec.line_of((section, place, "when", field))
                build(Spec(path, SMALLEST | {field: value}, {(field,): line}), Architecture)
    return stack


def read_model(path: Path, name: str | None = None) -> ModelSpec:
    """Read a model file: YAML of this project, or a Hugging Face ``config.json`` or the folder that holds it.

    Raises:
        InputError: the file is wrong, or dimensions that no model can have.
    """
    if path.is_dir():
        path = path / "config.json"
    if path.suffix == ".gguf":
        from simulator.inputs.gguf_file import read_gguf

        spec = read_gguf(path)
    elif path.suffix == ".json":
        from simulator.inputs.huggingface.reader import read_config

        spec = read_config(path, name)
    else:
        spec = build(read_spec(path), ModelSpec)
    check_architecture(spec.architecture, str(path))
    return spec


# Shipped specs do not change under a running program, a user's own files may: only the former are remembered.
@cache
def read_shipped_model(name: str) -> ModelSpec:
    """Read a shipped model by id or alias."""
    return read_compiled(find_by_name("model", name, MODEL_FOLDER), read_model)


@cache
def read_shipped_hardware(name: str) -> Hardware:
    """Read a shipped device by id or alias."""
    return read_compiled(find_by_name("hardware", name, HARDWARE_FOLDER), read_hardware)


@cache
def read_shipped_stack(name: str) -> Stack:
    """Read a shipped stack by id or alias."""
    return read_compiled(find_by_name("stack", name, STACK_FOLDER), read_stack)


def find_file(name: str | Path) -> Path | None:
    """Return the path where the text is one: spelled like a file, or a folder with a ``config.json``.

    A bare word is never a path, so that a folder of that name cannot stand in for what ships.

    Raises:
        InputError: spelled like a file, but there is none; or nothing at all.
    """
    text = str(name)
    if not text:
        raise InputError("an empty name")
    if (
        len(os.path.basename(text)) > MOST_NAME or len(text) > MOST_PATH or "\0" in text
    ):  # no file has such a name, and asking for it is an error
        raise InputError(f"{shorten(text)!r} is no name")
    if text.endswith((".yaml", ".yml", ".json")) or text.startswith((".", "/", "~")):
        path = os.path.expanduser(text)
        if not os.path.exists(path):
            raise InputError(f"{path}: no such file")
        return Path(path)
    is_folder = os.sep in text and os.path.exists(os.path.join(text, "config.json"))
    is_weights = text.endswith(".gguf") and os.path.exists(text)  # else the name of one that lies elsewhere
    return Path(text) if is_folder or is_weights else None


def find_by_name(what: str, name: str, folder: Path) -> Path:
    """Return the file of a shipped spec from its id, an alias or a name that tools print, however it is spelt.

    Raises:
        InputError: unknown, with the nearest name; or a name of several.
    """
    found = find_named(what, name, folder)
    if found is None:
        from simulator.inputs.machine_names import describe_machine

        machine = describe_machine(name) if what == "hardware" else None
        if machine is not None:
            raise InputError(f"{what} {name!r} is {machine}")
        raise unknown_name(what, name, index_names(folder))
    return found


def find_named(what: str, name: str, folder: Path) -> Path | None:
    """Return the file of what ships under a name; None where nothing does.

    Raises:
        InputError: a name of several.
    """
    direct = find_direct(name, folder)
    if direct is not None:
        return direct
    owners = _index_owners(folder, folder.stat().st_mtime_ns)
    found = owners.get(name.lower()) or owners.get(normal_form(name)) or ()
    if len(found) > 1:
        raise InputError(f"{what} {name!r} may be {' and '.join(path.stem for path in found)}; name one of these")
    return found[0] if found else None


def find_direct(name: str, folder: Path) -> Path | None:
    """Return the file that is named after an id, in any case; None where there is none, as for an alias."""
    if len(name) > MOST_NAME or not name.isascii() or "/" in name or "\0" in name:  # other letters are several bytes
        return None
    path = folder / f"{name.lower()}.yaml"
    return path if path.exists() else None


def find_id(what: str, name: str, folder: Path) -> str:
    """Return the id of what ships under a name; any other name as it is.

    Raises:
        InputError: a name of several.
    """
    path = find_named(what, name, folder)
    return name if path is None else path.stem


def index_names(folder: Path) -> dict[str, Path]:
    """Return the file of every name in a folder, read once as long as no file comes or goes."""
    return _index_names(folder, folder.stat().st_mtime_ns)


@cache
def _index_names(folder: Path, changed_ns: int) -> dict[str, Path]:
    return dict(iterate_names(folder))


@cache
def _index_owners(folder: Path, changed_ns: int) -> dict[str, tuple[Path, ...]]:
    """The files of every name, in lower case and in its normal form."""
    owners: dict[str, dict[Path, None]] = {}
    for name, path in iterate_names(folder):
        for spelling in (name, normal_form(name)):
            owners.setdefault(spelling, {})[path] = None
    return {name: tuple(paths) for name, paths in owners.items()}


def iterate_names(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every id, alias and name that tools print of a folder's specs with its file."""
    for stem, names in read_compiled(folder, read_names).items():
        path = folder / f"{stem}.yaml"
        for name in names:
            yield name, path


def read_names(folder: Path) -> dict[str, list[str]]:
    """Read the names of every spec in a folder, in lower case."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        data = read_spec(path).data
        others = (*(data.get("aliases") or ()), *(data.get("reported_as") or ()))
        found[path.stem] = [path.stem, *(str(name).lower() for name in others)]
    return found
