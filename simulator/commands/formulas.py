"""The command ``roofcast formulas``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.completion import complete_names
from simulator.commands.delivery import deliver
from simulator.commands.options import assignment_option, out_option, output_option
from simulator.report.output import OutputForm


@click.command()
@click.option(
    "-m", "--model", help="Structure of this model.  [default: a plain GPT block]", shell_complete=complete_names
)
@click.option(
    "-s",
    "--stack",
    default="megatron-lm-2022",
    show_default=True,
    help="Software stack: name or YAML.",
    shell_complete=complete_names,
)
@click.option("--notation", type=click.Choice(["text", "latex"]), default="text", show_default=True, help="Notation.")
@assignment_option(
    "--at", "values", metavar="SYMBOL=NUMBER", text="Put a number in; model=NAME puts in all of a model's."
)
@click.option("--operators", is_flag=True, help="Every operator with all its costs, not those with FLOPs alone.")
@output_option
@out_option
def formulas(
    model: str | None,
    stack: str,
    notation: str,
    values: dict[str, str],
    operators: bool,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Print the cost laws, per operator and device, with every symbol explained; in short the FLOPs alone.

    \b
    Examples:
      roofcast formulas
      roofcast formulas --at model=openai-davinci --at tp=8 --at p=512 --at b=1
      roofcast formulas --notation latex -o md
    """
    from simulator.report.formulas import report_formulas

    deliver(report_formulas(model, stack, notation, values, output, operators), out)
