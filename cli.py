"""The command ``roofcast``: reads arguments, calls one function, prints what it returns.

Exit codes: 0 done, 1 a check failed, 2 bad input, 3 impossible (does not fit).
"""

from __future__ import annotations

import sys

import click

from calibration.commands.api_overhead import api_overhead
from calibration.commands.calibrate import calibrate
from calibration.commands.denoise import denoise
from calibration.commands.estimate_cost import estimate_cost
from calibration.commands.helm import helm
from calibration.commands.residuals import residuals
from calibration.commands.validate import validate
from simulator.commands.catalogue import hardware, models
from simulator.commands.compare import compare
from simulator.commands.explain import explain
from simulator.commands.footprint import footprint
from simulator.commands.formulas import formulas
from simulator.commands.ideal import ideal
from simulator.commands.latency import latency
from simulator.commands.plot import plot
from simulator.commands.predict import predict
from simulator.commands.reproduce import reproduce
from simulator.commands.sensitivity import sensitivity
from simulator.commands.solve import solve
from simulator.commands.sweep import sweep
from simulator.commands.tradeoff import tradeoff
from simulator.errors import CheckFailed, InputError, RoofcastError

MOST_CHARACTERS = 600  # of an error


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="roofcast")
def app() -> None:
    """Predict how long a Transformer takes to answer, on a device you name.

    \b
    Example:
      roofcast predict -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32
    """


COMMANDS = (
    *(predict, footprint, formulas, ideal, tradeoff, reproduce, compare, explain, solve, sensitivity, sweep, plot),
    *(models, hardware, calibrate, validate, denoise, helm, api_overhead, estimate_cost),
)
for command in COMMANDS:
    app.add_command(command)
for picture in (latency, residuals):
    plot.add_command(picture)


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
