"""A folder of its own, and a fence around it: nothing outside is written, removed or started, and nothing is called.

Python tells an audit hook of every file that is opened and every process that is started before it happens; the hook
refuses what lies outside. It cannot be taken off again, so a fenced process does nothing else afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis.configuration import set_hypothesis_home_dir

ROOT = Path(__file__).resolve().parents[2]
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGING = {  # events, and which of their arguments are paths that change
    "os.remove": 1,
    "os.rmdir": 1,
    "os.mkdir": 1,
    "os.rename": 2,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "shutil.rmtree": 1,
}
STARTING = ("subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system", "socket.connect", "socket.bind")


class Outside(BaseException):
    """Something was to be written, started or called outside of the folder; not an Exception, so that it gets out."""


def enter(folder: Path) -> Path:
    """Make an empty folder, go into it, and put the fence around it.

    Raises:
        SystemExit: the folder is not empty, or has the source, the home or the folder of temporary files within it.
    """
    folder = folder.resolve()
    for kept in (ROOT, Path.home().resolve(), Path(tempfile.gettempdir()).resolve(), Path.cwd()):
        if folder == kept or folder in kept.parents:
            raise SystemExit(f"{folder}: has {kept} within it; name a new folder")
    if ROOT in folder.parents:
        raise SystemExit(f"{folder}: is in the source; name a folder outside")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SystemExit(f"{folder}: is there and not empty; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ["HOME"] = os.environ["HF_HOME"] = str(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    tempfile.tempdir = str(folder)
    set_hypothesis_home_dir(folder / "hypothesis")
    sys.dont_write_bytecode = True
    sys.pycache_prefix = str(folder / "pycache")
    if "readline" in sys.modules or not hasattr(sys, "addaudithook"):
        raise SystemExit("this Python cannot watch what is written")
    sys.addaudithook(make_hook(str(folder)))
    try:
        open(folder.parent / ".roofcast-fence", "w").close()  # must be refused, or nothing would be
    except Outside:
        return folder
    raise SystemExit(f"{folder}: what is written outside of it is not noticed; nothing was started")


def make_hook(folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    """What Python calls before it opens, changes or starts something."""

    def refuse(event: str, paths: Iterator[object]) -> None:
        for path in paths:
            text = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
            real = os.path.realpath(text)
            if text and real != os.devnull and not (real + os.sep).startswith(folder + os.sep):
                raise Outside(f"{event} {real}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            flags = arguments[2]
            if isinstance(flags, int) and flags & WRITING:
                refuse(event, iter(arguments[:1]))
        elif event in CHANGING:
            refuse(event, iter(arguments[: CHANGING[event]]))
        elif event in STARTING:
            raise Outside(f"{event} {arguments[:2]}")

    return hook
