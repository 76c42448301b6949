"""The command ``roofcast recommend``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.asked import read_amount
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import (
    LOAD,
    PLACE,
    REQUEST,
    WRITTEN,
    Verb,
    name_option,
    out_option,
    output_option,
    rates_options,
    take,
)
from simulator.commands.plot import check_ending
from simulator.errors import InputError
from simulator.report.output import OutputForm

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates

ROWS = {row.name: row for row in (*PLACE, *REQUEST, *LOAD)}


def asked_options(command: Verb) -> Verb:
    """The options of the one table that a recommendation takes."""
    ones = [
        ROWS["model"],
        ROWS["calibration"],
        ROWS["prompt_tokens"],
        ROWS["output_tokens"],
        *(ROWS[name] for name in ("concurrency", "request_rate", "num_requests", "seed")),
        ROWS["lengths"]._replace(default="0.8-1.2"),
    ]
    for option in reversed([*take(ones).values()]):
        command = option(command)
    return command


@click.command()
@asked_options
@name_option("--devices", text="Devices to choose among.  [default: those that are often rented]")
@click.option("--any", "anything", is_flag=True, help="Choose among every GPU and accelerator.")
@name_option("-s", "--stack", text="Stacks to choose among.  [default: what each device is served with]")
@name_option("--formats", text="own, fp8, int4-g128...  [default: own, and what the device computes in]")
@click.option("--kv-dtype", help="KV cache.  [default: the checkpoint's, 16 bits at least with a narrower format]")
@click.option("--max-devices", type=click.IntRange(1), default=64, show_default=True, help="Most devices in all.")
@click.option("--nodes", type=click.IntRange(1), default=2, show_default=True, help="Most nodes of one replica.")
@click.option(
    "--slo",
    multiple=True,
    metavar="NAME:SECONDS",
    help="A limit on a statistic: ttft_s_p99:2, tpot_s_mean:40ms, e2e_s_p90:10. Repeated, all hold.",
)
@click.option(
    "--objective",
    type=click.Choice(["usd_per_million_tokens", "devices", "energy"]),
    default="usd_per_million_tokens",
    show_default=True,
    help="What is to be least.",
)
@rates_options
@click.option("-O", "--picture", type=WRITTEN, callback=check_ending, help="Draw the frontier: .svg or .png.")
@output_option
@out_option
def recommend(
    model: str,
    calibration: str | None,
    prompt_tokens: int,
    output_tokens: int,
    lengths: str,
    concurrency: str | None,
    request_rate: str | None,
    num_requests: str | None,
    seed: str,
    devices: list[str],
    anything: bool,
    stack: list[str],
    formats: list[str],
    kv_dtype: str | None,
    max_devices: int,
    nodes: int,
    slo: tuple[str, ...],
    objective: str,
    rates: AskedRates,
    picture: Path | None,
    output: OutputForm,
    out: Path | None,
) -> None:
    """Choose devices, format, layout, replicas and engine limits for a load.

    Everything that could serve it is estimated in closed form, and the best are simulated. Beside the three best the
    answer says what binds, why the others lost, how sure it is, and how to start the engine.

    \b
    Examples:
      roofcast recommend -m llama-3.1-8b --devices h100,l40s --concurrency 16 -p 1000 -n 100 --slo tpot_s_mean:20ms
      roofcast recommend -m llama-3.1-8b --devices a100-sxm-80gb --request-rate 2 --price 1.4USD/h -o json
    """
    from simulator.explore.recommend.recommend import recommend as find
    from simulator.report.recommendation import report_recommendation

    if devices and anything:
        raise InputError("--devices names devices and --any takes all; give one of them")
    found = find(
        model,
        "any" if anything else devices or None,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
        lengths=lengths,
        concurrency=None if concurrency is None else int(read_amount("concurrency", concurrency, whole=True)),
        request_rate=None if request_rate is None else read_amount("request_rate", request_rate, whole=False),
        slo=slo,
        objective=objective,
        stack=stack or None,
        calibration=calibration,
        formats=formats or None,
        kv_dtype=kv_dtype,
        max_devices=max_devices,
        nodes=nodes,
        price=rates.price,
        grid=rates.grid,
        pue=rates.pue,
        num_requests=None if num_requests is None else int(read_amount("num_requests", num_requests, whole=True)),
        seed=int(read_amount("seed", seed, whole=True)),
    )
    files: dict[Path, str | bytes] = {}
    if picture is not None:
        from simulator.report.plots.recommendation import draw_recommendation
        from simulator.report.plots.style import render

        files[picture] = render(lambda: draw_recommendation(found), picture)
    deliver(report_recommendation(found, output), out, files)
    warn(f"estimated in {found.screening_s:.1f} s, simulated in {found.simulating_s:.1f} s")
    if found.wish.model.note is not None:
        warn(found.wish.model.note)
    if picture is not None:
        warn(f"drawn in {picture}")
