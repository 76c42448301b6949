"""Names of models in other people's tables, and the layouts other people ran them in."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from simulator.errors import InputError, nearest, unknown_name
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.library import MODEL_FOLDER, find_file, iterate_names, read_model, read_shipped_model
from simulator.specfile import Devices as Count
from simulator.specfile import build, read_spec, spec_dataclass
from simulator.specfile.compiled import read_compiled

FOLDER = Path(__file__).resolve().parent
PAPER_LAYOUT = "narayanan-2023"


@spec_dataclass
class HelmModel:
    """HELM's names of one profiled architecture, as ``helm_models.yaml`` explains its keys."""

    published: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    part_of: str | None = None
    times: Count = 1
    note: str | None = None


@spec_dataclass
class HelmModels:
    """File of HELM's names, by architecture."""

    models: dict[str, HelmModel]
    sources: list[dict[str, str]]


@spec_dataclass
class Devices:
    """Tensor- and pipeline-parallel sizes of one model."""

    tp: Count
    pp: Count = 1


@spec_dataclass
class Layout:
    """Sizes by model, as somebody used them."""

    id: str
    hardware: str
    date: str
    title: str
    devices: dict[str, Devices]
    url: str | None = None
    note: str | None = None


@spec_dataclass
class Layouts:
    """File of layouts."""

    layouts: list[Layout]


@cache
def read_helm_models() -> dict[str, HelmModel]:
    """HELM's names by profiled architecture."""
    return read_compiled(FOLDER / "helm_models.yaml", read_helm_file).models


def read_helm_file(path: Path) -> HelmModels:
    """Read a file of HELM's names.

    Raises:
        InputError: the file is wrong.
    """
    return build(read_spec(path), HelmModels)


def find_helm_model(profiled: str) -> HelmModel:
    """HELM's names of an architecture; none, and its times as they are, where the table does not have it."""
    return read_helm_models().get(profiled, HelmModel())


def list_published(model: str) -> list[str]:
    """HELM's names of a model that was profiled, in whole or in part; none where the published file lacks it."""
    entries = read_helm_models()
    parts = [entry for profiled, entry in entries.items() if model in (profiled, entry.part_of)]
    return [name for entry in parts for name in entry.published]


@cache
def map_helm_names() -> dict[str, str]:
    """Every name of the table in lower case, with the architecture that was profiled for it."""
    return {
        name.lower(): profiled
        for profiled, entry in read_helm_models().items()
        for name in (*entry.published, *entry.others)
    }


def find_profiled(name: str) -> str | None:
    """The architecture that was profiled for a name of HELM's; None where the table does not have the name."""
    names = map_helm_names()
    return next((names[spelling] for spelling in spell(name) if spelling in names), None)


def spell(name: str) -> list[str]:
    """A name in lower case, as it is and with the organisation before a slash."""
    return [name.lower(), name.lower().replace("_", "/", 1)]


def resolve_model(name: str) -> ModelSpec:
    """Return the architecture of a model as a table names it: ``openai_davinci``, ``openai/davinci``, an id or a file.

    Raises:
        InputError: no architecture matches; with the nearest name.
    """
    path = find_file(name)
    if path is not None:
        return read_model(path)
    profiled = find_profiled(name)
    if profiled is not None:
        return read_shipped_model(find_helm_model(profiled).part_of or profiled)
    spelled, known = spell(name), list_names()
    for spelling in spelled:
        if spelling in known:
            return read_shipped_model(spelling)
    names = [*known, *map_helm_names()]
    near = nearest(spelled[1], names) or nearest(spelled[1].rpartition("/")[2], names)
    hint = "" if near is None else f": did you mean {near!r}?"
    raise InputError(f"no architecture matches model {name!r}{hint} (roofcast models list shows all)")


def resolve_named(path: Path, name: str) -> ModelSpec:
    """The architecture of a name in a file.

    Raises:
        InputError: none matches; with the file.
    """
    try:
        return resolve_model(name)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


@cache
def list_names() -> frozenset[str]:
    """All ids and aliases of the models that ship."""
    return frozenset(name for name, _ in iterate_names(MODEL_FOLDER))


def read_layouts(path: Path) -> Layouts:
    """Read a file of layouts.

    Raises:
        InputError: the file is wrong.
    """
    return build(read_spec(path), Layouts)


def find_layout(text: str | None) -> dict[str, Devices]:
    """Return the sizes by model of a layout that ships or of a YAML file with ``layouts``; none where none is named.

    Raises:
        InputError: no such layout, a file that is wrong, or a model in it that no architecture matches.
    """
    if text is None:
        return {}
    path = find_file(text)
    place = path or FOLDER / "layouts.yaml"
    file = read_layouts(place) if path is not None else read_compiled(place, read_layouts)
    chosen = [layout for layout in file.layouts if path is not None or layout.id == text]
    if not chosen:
        raise unknown_name("layout", text, [layout.id for layout in file.layouts])
    return {resolve_named(place, model).id: sizes for layout in chosen for model, sizes in layout.devices.items()}
