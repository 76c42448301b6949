"""The folder of measurements that do not ship, from the command line or the environment."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def find_folder(about: str | None) -> Path:
    """The only argument of a benchmark, else what ``ROOFCAST_DATA`` names; ``about`` is what ``--help`` says of it."""
    folder: Path = parse_options(make_parser(about)).folder
    return folder


def make_parser(about: str | None) -> argparse.ArgumentParser:
    """A parser of a benchmark's options, the folder not among them yet."""
    return argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)


def parse_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of a benchmark with ``folder``, a ``Path``; what is wrong ends the program with one line."""
    parser.add_argument("folder", nargs="?", default=os.environ.get("ROOFCAST_DATA"), help="else ROOFCAST_DATA")
    options = parser.parse_args()
    if options.folder is None:
        parser.error("name the folder of the measurements, or set ROOFCAST_DATA")
    options.folder = Path(options.folder)
    if not options.folder.is_dir():
        parser.error(f"no folder {options.folder}")
    return options
