"""The commands ``roofcast plot KIND``: read arguments, call one function, write the picture or print it.

``latency`` has a file of its own, and ``residuals`` is in ``calibration/commands``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.asked import Asked, Choices
from simulator.commands.delivery import deliver, warn_of_combinations, warn_of_question
from simulator.commands.options import (
    Verb,
    assume_option,
    choice_options,
    rates_options,
    request_options,
    writing_option,
)
from simulator.errors import InputError

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates
    from simulator.prediction import Question

METRICS = click.Choice(["ttft_s", "tpot_s", "e2e_s"])


@click.group()
def plot() -> None:
    """Draw a picture of a prediction: as an SVG or PNG file, or in the terminal."""


def check_ending(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    """A picture that can be drawn, refused before any work."""
    from simulator.report.plots.style import check_picture

    if value is not None:
        check_picture(value, "-O: ")
    return value


def picture_options(command: Verb) -> Verb:
    """Options that say where the picture goes."""
    terminal = click.option("--terminal", is_flag=True, help="Draw in the terminal, in plain characters.")
    picture = writing_option("-O", "--picture", text="Draw a file: .svg or .png.", callback=check_ending)
    return picture(terminal(command))


def ask_fitting(asked: Asked, assume_fits: bool, rates: AskedRates | None = None) -> Question:
    """The question; refuse what does not fit.

    Raises:
        InputError: as ``Asked.resolve``.
        ImpossibleError: it does not fit.
    """
    from simulator.metrics.fit import check_fit
    from simulator.prediction import answer

    question = asked.resolve(rates)
    if not assume_fits:
        check_fit(answer(question))
    return question


def deliver_plot(
    title: list[str],
    make_figure: Callable[[], Any],
    print_text: Callable[[], str],
    picture: Path | None,
    terminal: bool,
) -> None:
    """Write the file, and print the picture in characters or what was written.

    Raises:
        InputError: the file cannot be drawn or written.
    """
    from simulator.report.plots.style import render

    files = {} if picture is None else {picture: render(make_figure, picture)}
    text = print_text() if terminal else "\n".join([*title, f"drawn in {picture}"])
    deliver(text, None, files)


def check_place(picture: Path | None, terminal: bool) -> None:
    """Refuse a picture that goes nowhere.

    Raises:
        InputError: neither a file nor the terminal.
    """
    if picture is None and not terminal:
        raise InputError("plot needs -O FILE.svg, -O FILE.png or --terminal")


@plot.command(short_help="the roofs, and operators under them")
@request_options
@assume_option
@picture_options
def roofline(asked: Asked, assume_fits: bool, picture: Path | None, terminal: bool) -> None:
    """Draw the device's roofs, and the operators of prefill and decode under them.

    \b
    Examples:
      roofcast plot roofline -m gptj-6b -H a100-sxm-80gb --terminal
      roofcast plot roofline -m openai-davinci -H a100-sxm-80gb --tp 8 -b 4 -O roofline.svg
    """
    check_place(picture, terminal)
    from simulator.prediction import answer
    from simulator.report.plots import roofline as drawn

    question = ask_fitting(asked, assume_fits)
    found = drawn.find_roofline(answer(question))
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
    warn_of_question(question)


@plot.command(short_help="from the bound to the prediction")
@request_options
@assume_option
@click.option("--of", "metric", type=METRICS, default="e2e_s", show_default=True, help="Time.")
@picture_options
def waterfall(asked: Asked, assume_fits: bool, metric: str, picture: Path | None, terminal: bool) -> None:
    """Draw what lies between the bound and the prediction, step by step.

    \b
    Examples:
      roofcast plot waterfall -m openai-davinci -H a100-sxm-80gb --tp 8 -p 512 -n 32 --terminal
      roofcast plot waterfall -m gptj-6b -H a100-sxm-80gb --of ttft_s -O waterfall.svg
    """
    check_place(picture, terminal)
    from simulator.explore.explain import explain
    from simulator.report.plots import waterfall as drawn

    question = ask_fitting(asked, assume_fits)
    found = drawn.find_waterfall(explain(question), metric)
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
    warn_of_question(question)


@plot.command(short_help="what a metric depends on most")
@request_options
@assume_option
@click.option(
    "--of", "metric", metavar="METRIC", default="e2e_s", show_default=True, help="A time, a cost, energy_j..."
)
@rates_options
@click.option("--top", type=click.IntRange(1, 60), default=15, show_default=True, help="Inputs to draw.")
@picture_options
def tornado(
    asked: Asked, assume_fits: bool, metric: str, rates: AskedRates, top: int, picture: Path | None, terminal: bool
) -> None:
    """Draw how much a metric depends on each number of the data sheet and each factor of the profile.

    \b
    Examples:
      roofcast plot tornado -m gptj-6b -H a100-sxm-80gb --terminal
      roofcast plot tornado -m gptj-6b -H a100-sxm-80gb --of tpot_s -O tornado.svg
    """
    check_place(picture, terminal)
    from simulator.explore.sensitivity import find_sensitivity
    from simulator.report.plots import tornado as drawn

    question = ask_fitting(asked, assume_fits, rates)
    found = drawn.find_tornado(find_sensitivity(question, metric), top)
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
    warn_of_question(question)


@plot.command(short_help="one metric against another, with the frontier")
@choice_options
@click.option("--of", "metric", metavar="METRIC", default="tpot_s", show_default=True, help="From left to right.")
@click.option(
    "--against", metavar="METRIC", default="output_tokens_per_s_per_device", show_default=True, help="Upwards."
)
@rates_options
@picture_options
def pareto(asked: Choices, metric: str, against: str, rates: AskedRates, picture: Path | None, terminal: bool) -> None:
    """Draw models, devices and layouts by one metric against another, with the frontier: the best of both.

    Every option takes a list; every combination that is possible and fits is a point.

    \b
    Examples:
      roofcast plot pareto -m gptj-6b,bloom-7b1 -H a100-sxm-80gb --tp 1,2 -b 1-16*2 --terminal
      roofcast plot pareto -m gptj-6b -H a100-sxm-80gb --tp 1,2,4 --of e2e_s --against cost_usd -O pareto.svg
    """
    check_place(picture, terminal)
    from simulator.report.plots import pareto as drawn

    comparison = asked.compare(rates)
    found = drawn.find_pareto(comparison.predictions, metric, against)
    deliver_plot(found.title, lambda: drawn.make_figure(found), lambda: drawn.print_text(found), picture, terminal)
    warn_of_combinations(comparison, asked)
