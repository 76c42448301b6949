"""The command ``roofcast``: reads arguments, calls one function, prints what it returns.

Exit codes: 0 done, 1 a check failed, 2 bad input, 3 impossible (does not fit).
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from simulator.errors import CheckFailed, InputError, RoofcastError

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
    try:
        app(standalone_mode=False)
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
        sys.stderr.close()
        sys.exit(141)
    except OSError as error:
        fail(f"cannot write the answer: {error.strerror}", CheckFailed.exit_code)


def fail(text: str, code: int) -> None:
    """Print one line and stop."""
    line = " ".join(text.split())
    click.echo(f"roofcast: {line if len(line) <= MOST_CHARACTERS else line[:MOST_CHARACTERS] + ' ...'}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
