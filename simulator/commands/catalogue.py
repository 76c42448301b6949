"""The commands ``roofcast models ...`` and ``roofcast hardware ...``."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.completion import complete_names
from simulator.commands.delivery import deliver
from simulator.commands.options import all_option, out_option, output_option
from simulator.errors import CheckFailed, InputError
from simulator.report.output import OutputForm


def make_catalogue(name: str, what: str, example: str, other: str, query: str) -> click.Group:
    """The commands ``NAME list|show|compare|check`` for one kind of spec."""

    @click.group(name, help=f"List, show, compare and check {what}.")
    def group() -> None: ...

    @group.command(
        "list",
        short_help="all that ship, or those that answer to words",
        help=f"List the {what} that ship, or those that answer to all words: names, makers, families, sizes."
        f"\n\n\b\nExamples:\n  roofcast {name} list\n  roofcast {name} list {query}",
    )
    @click.argument("query", nargs=-1)
    @all_option
    @output_option
    @out_option
    def list_specs(query: tuple[str, ...], everything: bool, output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_list

        deliver(report_list(name, query, output, everything), out)

    @group.command(
        "show",
        short_help="what one is; --all: every fact and its source",
        help="Show what one is; with --all every fact and its sources."
        f"\n\n\b\nExample:\n  roofcast {name} show {example}",
    )
    @click.argument("spec", shell_complete=complete_names)
    @all_option
    @output_option
    @out_option
    def show(spec: str, everything: bool, output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_card

        deliver(report_card(name, spec, output, everything), out)

    @group.command(
        "compare",
        short_help="facts that differ, side by side",
        help="Set the facts that differ of several side by side."
        f"\n\n\b\nExample:\n  roofcast {name} compare {example} {other}",
    )
    @click.argument("specs", nargs=-1, required=True, shell_complete=complete_names)
    @all_option
    @output_option
    @out_option
    def compare(specs: tuple[str, ...], everything: bool, output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_comparison

        named = [part.strip() for text in specs for part in text.split(",") if part.strip()]
        if len(named) < 2:
            raise InputError(f"{name} compare: name at least two: {name} compare {example} {other}")
        deliver(report_comparison(name, named, output, everything), out)

    @group.command(
        "check",
        short_help="files, or all that ship: exit 1 where one fails",
        help="Check files, or all that ship: strict reading, a source for every number. Exit 1 where one fails."
        f"\n\n\b\nExample:\n  roofcast {name} check {example}",
    )
    @click.argument("specs", nargs=-1, shell_complete=complete_names)
    @output_option
    @out_option
    def check(specs: tuple[str, ...], output: OutputForm, out: Path | None) -> None:
        from simulator.report.catalogue import report_check

        text, problems = report_check(name, specs, output)
        deliver(text, out)
        if problems:
            raise CheckFailed(f"{problems} of the {what} failed the check")

    return group


models = make_catalogue("models", "models", "openai-davinci", "bloom", "qwen '<10b'")
hardware = make_catalogue("hardware", "devices", "a100-sxm-80gb", "h100-sxm-80gb", "nvidia hopper 80gb")
