"""The command ``roofcast solve``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import Asked, AskedLoad
from simulator.commands.delivery import deliver, warn, warn_of_question
from simulator.commands.options import (
    load_options,
    out_option,
    output_option,
    rates_options,
    request_options,
    slo_option,
)
from simulator.errors import ImpossibleError, InputError
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates


@click.command()
@request_options
@click.option(
    "--for",
    "unknown",
    required=True,
    metavar="WHAT",
    help="batch_size, prompt_tokens, output_tokens (the largest); devices (tp x pp), tp, pp, dp (the fewest); "
    "memory.bandwidth, memory.capacity, compute.matrix_peak.fp16, links.node.bandwidth, or compute.units and "
    "compute.clock with the peaks in proportion (the smallest); concurrency or request_rate under load (the largest; "
    "limits are statistics: ttft_s_p99:1); with a load the fewest devices or the smallest number for it. What its own "
    "option says is not used.",
)
@load_options
@slo_option
@rates_options
@output_option
@out_option
def solve(
    asked: Asked,
    unknown: str,
    load: AskedLoad,
    slo: tuple[str, ...],
    rates: AskedRates,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Find the extreme value of one unknown that meets every limit (--slo) and fits in memory.

    The answer is confirmed by predictions on both sides of it: it holds, and the next value fails. Exit 3 where no
    value meets every limit, with the closest.

    \b
    Examples:
      roofcast solve -m llama-3-8b -H a100-sxm-80gb -s vllm-0.6 --for batch_size --slo tpot_s:0.03 --slo ttft_s:2
      roofcast solve -m llama-3-70b -H h100-sxm-80gb -c none --for devices --slo tpot_s:20ms
      roofcast solve -m llama-3-8b -H h100-sxm-80gb -c none --for memory.bandwidth --slo tpot_s:5ms
      roofcast solve -m llama-3.1-8b -H a100-sxm-80gb -s vllm --for concurrency --slo ttft_s_p99:2 -p 1024 -n 256
      roofcast solve -m llama-3.1-70b -H h100 -s vllm --for devices --concurrency 50 --slo tpot_s_mean:30ms
    """
    from simulator.serving.workload import LOADS

    if unknown in LOADS or load.is_given:
        solve_under_load(asked, unknown, load, slo, output, out)
        return
    from simulator.explore.limits import parse_limit
    from simulator.explore.solve import Problem
    from simulator.explore.solve import solve as find_solution
    from simulator.report.solution import explain_impossible, note_positions, report_solution

    if unknown in asked.counts._fields:
        asked = asked.with_counts(**{unknown: [1]})
    limits = tuple(parse_limit(text) for text in slo)
    question = asked.resolve(rates)
    warn_of_question(question)
    solution = find_solution(Problem(question, unknown, limits))
    deliver(report_solution(solution, output), out)
    if (note := note_positions(solution)) is not None:
        warn(note)
    if not solution.possible:
        raise ImpossibleError(explain_impossible(solution))


def solve_under_load(
    asked: Asked, unknown: str, load: AskedLoad, slo: tuple[str, ...], output: OutputForm, out: Path | None
) -> None:
    """Find the largest load that holds limits on the statistics of latencies, or what a load needs for them."""
    from simulator.explore.load_solve import LIMITED, solve_load
    from simulator.report.load_solution import report_load
    from simulator.serving.limits import read_limits
    from simulator.serving.workload import LOADS

    given = dict(load.given)
    if unknown in LOADS:
        others = [name for name in (*LOADS, "trace") if name != unknown and given.get(name) is not None]
        if others:
            raise InputError(f"--for {unknown} looks for the load; leave out --{others[0].replace('_', '-')}")
        given[unknown] = "1"
    load = AskedLoad(given)
    load.check_batch(asked.counts)
    wanted, options = load.resolve(asked.counts)
    question = asked.resolve()
    warn_of_question(question)
    solution = solve_load(question, wanted, unknown, read_limits(slo, LIMITED), options)
    deliver(report_load(solution, output), out)
