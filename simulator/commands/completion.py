"""What a shell completes: names of models, devices, stacks, profiles and formats, and files."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

NAMED_BY = {  # parameters by what they name
    "models": ("model", "models", "exclude_models", "draft_model"),
    "hardware": ("hardware",),
    "stacks": ("stack",),
    "profiles": ("calibration", "profile"),
    "formats": ("dtype", "weight_dtype", "kv_dtype"),
}
SPECS = ("spec", "specs")  # of ``models show`` and ``hardware show``: the group says of what


def complete_names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names that begin so; the last of a list with commas; files where the text is a path or nothing begins so."""
    before, comma, last = incomplete.rpartition(",")
    what = next((what for what, names in NAMED_BY.items() if parameter.name in names), "")
    if parameter.name in SPECS and context.parent is not None:
        what = context.parent.info_name or ""
    found = [name for name in list_names(what) if name.lower().startswith(last.lower())]
    if last.startswith((".", "/", "~")) or not found:
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(before + comma + name) for name in found]


def list_names(what: str) -> list[str]:
    """All names of a kind that can be asked for."""
    from simulator.inputs import library
    from simulator.inputs.formats import FORMATS

    folders = {
        "models": library.MODEL_FOLDER,
        "hardware": library.HARDWARE_FOLDER,
        "stacks": library.STACK_FOLDER,
        "profiles": library.PROFILE_FOLDER,
    }
    if what == "formats":
        return sorted(FORMATS)
    if what not in folders:
        return []
    ids = library.list_ids(folders[what])
    return [*ids, "none"] if what == "profiles" else ids
