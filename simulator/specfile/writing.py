"""Files written whole or not at all."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable
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


def reserve(path: Path, target: Path) -> Callable[[], None]:
    """Keep a file to be written for this process, and return what gives it free again; its end does so too.

    The lock is a file in the folder of temporary files, named after the target, so that nothing stands beside it.
    Where there are no such locks, or no folder of one's own for them, nothing is kept.

    Raises:
        InputError: another process keeps it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return lambda: None
    folder = Path(tempfile.gettempdir(), f"roofcast-{os.getuid()}")
    lock = folder / f"{hashlib.sha256(os.fsencode(target)).hexdigest()[:32]}.lock"
    while True:
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                return lambda: None
            number = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return lambda: None
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(lock) and os.path.samestat(os.stat(lock), os.fstat(number)):
                break  # else the one before has just removed it, and another may have made it anew
        except FileNotFoundError:
            pass
        except OSError:
            os.close(number)
            raise InputError(f"{path}: another process writes it; wait for its end, or write elsewhere") from None
        os.close(number)

    def release() -> None:
        with contextlib.suppress(OSError):
            lock.unlink()
            os.close(number)

    return release


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
