"""The command ``roofcast``: reads arguments, calls one function, prints what it returns.

Exit codes: 0 done, 1 a check failed, 2 bad input, 3 impossible (does not fit).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibration.command_line import calibrate, validate
from calibration.plot_commands import latency, residuals
from calibration.power_command import power
from calibration.trace_commands import denoise, estimate_cost, helm, serving
from simulator.errors import CheckFailed, ImpossibleError, InputError, RoofcastError
from simulator.explore.compare_command import compare as compare_models
from simulator.explore.compare_command import explain
from simulator.explore.plot_command import plot
from simulator.explore.solve_command import sensitivity, solve
from simulator.explore.sweep_command import sweep
from simulator.metrics.commands import ideal, reproduce, tradeoff
from simulator.report.options import (
    ask_grid,
    ask_request,
    assignment_option,
    deliver,
    grid_options,
    out_option,
    output_option,
    request_options,
    warn_of_question,
)
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    pass

MOST_CHARACTERS = 600  # of an error


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="roofcast")
def app() -> None:
    """Predict how long a Transformer takes to answer, on a device you name.

    \b
    Example:
      roofcast predict -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32
    """


@app.command()
@grid_options
@click.option(
    "--measured", type=click.Path(path_type=Path), help="Tidy table whose matching row is printed beside the answer."
)
@click.option("--assume-fits", is_flag=True, help="Answer even where the model does not fit.")
@output_option
@out_option
def predict(measured: Path | None, assume_fits: bool, output: OutputForm, out: Path | None, **asked: Any) -> None:
    """Predict time to first token, time per output token and the whole request.

    \b
    Examples:
      roofcast predict -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32
      roofcast predict -m gptj-6b -H a100-sxm-80gb -p 128-1024*2 -n 1,64 -o csv
      roofcast predict -m gptj-6b -H a100-sxm-80gb -c none --set-hw memory.bandwidth="4.8 TB/s"
    """
    from simulator.report.prediction import check_fit, report_prediction

    prediction = ask_grid(**asked)
    if not assume_fits:
        check_fit(prediction)
    found = None
    if measured is not None:
        from calibration.matching import match_measurement

        found = match_measurement(measured, prediction)
    deliver(report_prediction(prediction, output, found), out)
    warn_of_question(prediction.question, asked)


@app.command()
@request_options
@output_option
@out_option
def footprint(output: OutputForm, out: Path | None, **asked: Any) -> None:
    """Say what a model takes of each device, and the largest batch, longest context and fewest devices.

    Exit 3 where it does not fit.

    \b
    Example:
      roofcast footprint -m llama-3-70b -H h100-sxm-80gb --tp 4 --dtype bf16 -p 4096 -b 16
    """
    from simulator.report.footprint import report_footprint

    question = ask_request(**asked)
    text, fits = report_footprint(question, output)
    deliver(text, out)
    warn_of_question(question, asked)
    if not fits:
        raise ImpossibleError(f"{question.model_label} does not fit on {question.hardware.id} so")


@app.command()
@click.option("-m", "--model", help="Structure of this model.  [default: a plain GPT block]")
@click.option("-s", "--stack", default="megatron-lm-2022", show_default=True, help="Software stack: name or YAML.")
@click.option("--notation", type=click.Choice(["text", "latex"]), default="text", show_default=True, help="Notation.")
@assignment_option(
    "--at", "values", metavar="SYMBOL=NUMBER", text="Put a number in; model=NAME puts in all of a model's."
)
@output_option
@out_option
def formulas(
    model: str | None, stack: str, notation: str, values: dict[str, str], output: OutputForm, out: Path | None
) -> None:
    """Print the cost laws, per operator and device, with every symbol explained.

    \b
    Examples:
      roofcast formulas
      roofcast formulas --at model=openai-davinci --at tp=8 --at p=512 --at b=1
      roofcast formulas --notation latex -o md
    """
    from simulator.report.formulas import report_formulas

    deliver(report_formulas(model, stack, notation, values, output), out)


def make_catalogue(name: str, what: str, example: str, other: str) -> None:
    """Add the commands ``NAME list|show|compare|check`` for one kind of spec."""

    @app.group(name, help=f"List, show, compare and check {what}.")
    def group() -> None: ...

    @group.command("list", help=f"List the {what} that ship.\n\n\b\nExample:\n  roofcast {name} list")
    @output_option
    @out_option
    def list_specs(output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_list

        deliver(report_list(name, output), out)

    @group.command(
        "show", help=f"Show all facts of one with its sources.\n\n\b\nExample:\n  roofcast {name} show {example}"
    )
    @click.argument("spec")
    @output_option
    @out_option
    def show(spec: str, output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_card

        deliver(report_card(name, spec, output), out)

    @group.command(
        "compare",
        help=f"Set the facts of several side by side.\n\n\b\nExample:\n  roofcast {name} compare {example} {other}",
    )
    @click.argument("specs", nargs=-1, required=True)
    @output_option
    @out_option
    def compare(specs: tuple[str, ...], output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_comparison

        if len(specs) < 2:
            raise InputError(f"{name} compare: name at least two")
        deliver(report_comparison(name, specs, output), out)

    @group.command(
        "check",
        help="Check files, or all that ship: strict reading, a source for every number. Exit 1 where one fails."
        f"\n\n\b\nExample:\n  roofcast {name} check {example}",
    )
    @click.argument("specs", nargs=-1)
    @output_option
    @out_option
    def check(specs: tuple[str, ...], output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_check

        text, problems = report_check(name, specs, output)
        deliver(text, out)
        if problems:
            raise CheckFailed(f"{problems} of the {what} failed the check")


calibrate.add_command(power)
for command in (latency, residuals):
    plot.add_command(command)
app.add_command(plot)
for command in (calibrate, validate, ideal, tradeoff, reproduce, denoise, helm, serving, estimate_cost):
    app.add_command(command)
app.add_command(compare_models)
app.add_command(explain)
app.add_command(solve)
app.add_command(sensitivity)
app.add_command(sweep)
make_catalogue("models", "models", "openai-davinci", "bloom")
make_catalogue("hardware", "devices", "a100-sxm-80gb", "h100-sxm-80gb")


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
