"""Files written whole or not at all."""

import contextlib
import os
from pathlib import Path

from simulator.errors import InputError


def check_target(path: Path) -> Path:
    """Return where a path leads, a link followed, where a file can be written there.

    Raises:
        InputError: the folder is missing, or ``path`` is no regular file.
    """
    target = path.resolve()  # what a link points at, not the link
    try:
        if not target.parent.is_dir():
            raise InputError(f"{path}: cannot be written: there is no folder {path.parent}")
        if target.exists() and not target.is_file():  # renaming over /dev/null would destroy it
            raise InputError(f"{path}: cannot be written: is not a regular file")
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    return target


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file entirely or not at all: into a temporary file beside it, then renamed.

    Raises:
        InputError: the folder is missing or not writable, the disk is full, or ``path`` is no regular file.
    """
    target = check_target(path)
    temporary = target.with_name(f".{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content if isinstance(content, bytes) else content.encode("utf-8"))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
