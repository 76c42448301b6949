"""The command ``roofcast``: reads arguments, calls one function, prints what it returns.

Exit codes: 0 done, 1 a check failed, 2 bad input, 3 impossible (does not fit).
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import NoReturn

CHILD = "multiprocessing.spawn"  # is loaded in a worker process, which says nothing of its own


def leave_at_once(number: int, frame: FrameType | None) -> None:
    """End at an interrupt before the command runs, or while it ends: one line, and no traceback of an import."""
    if CHILD not in sys.modules:
        os.write(2, b"roofcast: interrupted\n")
    os._exit(130)


if os.path.basename(sys.argv[0]).removesuffix(".exe") in ("roofcast", "cli.py"):  # not where it is only imported
    signal.signal(signal.SIGINT, leave_at_once)

import click  # noqa: E402

from simulator.errors import CheckFailed, InputError, RoofcastError  # noqa: E402

MOST_CHARACTERS = 600  # of an error

# Each command stands in a file with its name, but for two that share one.
SIMULATING = (
    *("predict", "footprint", "formulas", "ideal", "tradeoff", "reproduce", "compare", "explain", "solve"),
    *("sensitivity", "simulate", "sweep", "plot"),
)
MEASURING = ("calibrate", "validate", "denoise", "helm", "api-overhead", "estimate-cost")
VERBS = (
    {verb: f"simulator.commands.{verb}" for verb in SIMULATING}
    | {verb: f"calibration.commands.{verb.replace('-', '_')}" for verb in MEASURING}
    | dict.fromkeys(("models", "hardware"), "simulator.commands.catalogue")
)
PICTURES = {  # of plot
    "latency": "simulator.commands.latency",
    "load": "simulator.commands.plot_load",
    "residuals": "calibration.commands.residuals",
}


def load(name: str, module: str) -> click.Command:
    """Return a command from its file, with the pictures that stand elsewhere where it draws."""
    command: click.Command = getattr(import_module(module), name.replace("-", "_"))
    if name == "plot" and isinstance(command, click.Group):
        for picture, place in PICTURES.items():
            command.add_command(load(picture, place))
    return command


class Verbs(click.Group):
    """Commands that are loaded when they are asked for: one needs a few of the files that all need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None where there is none of that name, which the nearest is then looked for."""
        if cmd_name in VERBS:
            return load(cmd_name, VERBS[cmd_name])
        self.commands = {verb: load(verb, module) for verb, module in VERBS.items()}
        return None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="roofcast")
def app() -> None:
    """Predict how long a Transformer takes to answer, on a device you name.

    \b
    Example:
      roofcast predict -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32
    """


def main() -> None:
    """Run the command; every error that Roofcast raises is one line and an exit code."""
    early = signal.getsignal(signal.SIGINT) is leave_at_once
    try:
        if early:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        app(standalone_mode=False)
        sys.stdout.flush()
    except RoofcastError as error:
        fail(str(error), error.exit_code)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.exceptions.NoArgsIsHelpError as shown:
        click.echo(shown.format_message())
        sys.exit(InputError.exit_code)
    except click.ClickException as error:
        fail(error.format_message().replace("\n", " "), InputError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted", 130)
    except BrokenPipeError:
        leave(141)
    except OSError as error:
        fail(f"cannot write the answer: {error.strerror}", CheckFailed.exit_code)
    finally:
        if early:
            signal.signal(signal.SIGINT, leave_at_once)


def fail(text: str, code: int) -> None:
    """Print one line and stop."""
    line = " ".join(text.split())
    with suppress(OSError):  # standard error may be closed too
        click.echo(f"roofcast: {line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS] + ' ...'}", err=True)
    leave(code)


def leave(code: int) -> NoReturn:
    """Stop, with nothing left in a buffer for Python to fail on when it ends."""
    if sys.stdout is not None:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
