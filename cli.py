"""The command ``roofcast``: reads arguments, calls one function, prints what it returns.

Exit codes: 0 done, 1 a check failed, 2 bad input, 3 impossible (does not fit).
"""

from __future__ import annotations

import os
import signal
import sys

CHILD = "--multiprocessing-fork"  # stands in what started a worker process, which says nothing of its own


def leave_at_once(number: int, frame: object) -> None:
    """End at an interrupt before the command runs, or while it ends: one line, and no traceback of an import."""
    if CHILD not in sys.orig_argv:
        os.write(2, b"roofcast: interrupted\n")
    os._exit(130)


if os.path.basename(sys.argv[0]).removesuffix(".exe") in ("roofcast", "cli.py"):  # not where it is only imported
    signal.signal(signal.SIGINT, leave_at_once)
    # Before numpy is loaded: what fits solve is small, and a second thread of its matrix library costs up to ten times
    # the processor. Not where a processor itself is measured.
    if sys.argv[1:3] != ["calibrate", "run"]:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import errno  # noqa: E402
from contextlib import suppress  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import NamedTuple, NoReturn  # noqa: E402

import click  # noqa: E402

from simulator.errors import CheckFailed, InputError, RoofcastError  # noqa: E402

MOST_CHARACTERS = 600  # of an error

HERE, THERE = "simulator.commands", "calibration.commands"


class Aim(NamedTuple):
    """What people want of the command: an example, and verbs, each with the package of its file and what it answers."""

    example: str
    verbs: dict[str, tuple[str, str]]


AIMS = {
    "Ask": Aim(
        "roofcast simulate -m llama-3.1-70b -H h100 --tp 4 --concurrency 50",
        {
            "predict": (HERE, "times of one request or one batch, memory, cost"),
            "simulate": (HERE, "the same on a serving engine under load"),
            "footprint": (HERE, "bytes of each device, and what fits at most"),
            "explain": (HERE, "where the time goes, from the bound to the prediction"),
            "sensitivity": (HERE, "which number of the device or profile matters"),
            "page": (HERE, "a page on this machine that asks these, with sliders"),
        },
    ),
    "Compare and decide": Aim(
        "roofcast compare -m llama-3.1-70b -H h100,h200,mi300x --tp 4 -b 16",
        {
            "compare": (HERE, "models, devices, layouts, stacks side by side"),
            "recommend": (HERE, "devices, format, layout, limits that cost least"),
            "solve": (HERE, "the most load, the fewest devices that hold a limit"),
            "sweep": (HERE, "a whole grid, as CSV or Parquet"),
            "plot": (HERE, "pictures, in a file or in the terminal"),
            "formulas": (HERE, "the laws of costs as text or LaTeX"),
        },
    ),
    "Calibrate and check": Aim(
        "roofcast calibrate run --device cpu --out my-cpu.yaml",
        {
            "calibrate": (THERE, "measure a device, fit a profile, show one"),
            "validate": (THERE, "predictions against a table of measurements"),
        },
    ),
    "Catalogues": Aim(
        "roofcast models list qwen3",
        {
            "models": (HERE, "list, show, compare, check models"),
            "hardware": (HERE, "list, show, compare, check, begin devices"),
        },
    ),
    "The paper, and black-box APIs": Aim(
        "roofcast ideal -m gptj-6b,bloom -H a100 -s megatron-lm-2022 -p 512 -n 32",
        {
            "ideal": (HERE, "idealized runtime and cost of a set of queries"),
            "tradeoff": (HERE, "what models can do against what they cost"),
            "denoise": (THERE, "an API's own speed out of noisy timings"),
            "api-overhead": (THERE, "how much of an API's speed is the model"),
            "estimate-cost": (THERE, "what estimates cost, against querying"),
            "helm": (THERE, "files of HELM: export, import, fit"),
            "reproduce": (HERE, "the paper's numbers beside predictions"),
        },
    ),
}
FILES = {"models": "catalogue", "hardware": "catalogue"}  # that two verbs share
VERBS = {
    verb: f"{package}.{FILES.get(verb, verb.replace('-', '_'))}"
    for aim in AIMS.values()
    for verb, (package, _) in aim.verbs.items()
}
GUESTS = {  # of groups, that stand elsewhere
    "plot": {
        "latency": "simulator.commands.latency",
        "load": "simulator.commands.plot_load",
        "residuals": "calibration.commands.residuals",
    },
    "hardware": {"new": "calibration.commands.new"},
}


def load(name: str, module: str) -> click.Command:
    """Return a command from its file, a group with those of its commands that stand elsewhere."""
    command: click.Command = getattr(import_module(module), name.replace("-", "_"))
    if isinstance(command, click.Group):
        for guest, place in GUESTS.get(name, {}).items():
            command.add_command(load(guest, place))
    return command


class Verbs(click.Group):
    """Commands that are loaded when they are asked for: one needs a few of the files that all need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(VERBS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by what people want, with an example of each."""
        for title, aim in AIMS.items():
            with formatter.section(title):
                formatter.write_dl([(verb, what) for verb, (_, what) in aim.verbs.items()], col_spacing=3)
                formatter.write_text(f"$ {aim.example}")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; None where there is none of that name, which the nearest is then looked for."""
        if cmd_name in VERBS:
            return load(cmd_name, VERBS[cmd_name])
        self.commands = {verb: load(verb, module) for verb, module in VERBS.items()}
        return None


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="roofcast")
def app() -> None:
    """Predict how long a Transformer takes to answer, alone and under load, on a device you name.

    roofcast VERB --help has the options of each and more examples.
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
    """Print one line and stop; what a file or a server says may hold codes of a terminal, which are not printed."""
    line = "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))
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
