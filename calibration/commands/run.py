"""The command ``roofcast calibrate run``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from calibration.commands.options import describe_command, parse_seconds
from simulator.commands.completion import complete_names
from simulator.commands.delivery import warn
from simulator.commands.options import Written, gather, output_option, writing_option
from simulator.errors import CheckFailed, InputError
from simulator.report.output import OutputForm

DEFAULT_BUDGETS_S = {"quick": 60.0, "full": 600.0}
ENGINE_BUDGET_S, ENGINE_TIMEOUT_S = 300.0, 60.0
USUAL_STACK = "pytorch-eager"
ENGINE = {
    "engine": click.option(
        "--engine", metavar="URL", help="Measure a server that runs there, over OpenAI's interface."
    ),
    "model": click.option(
        "-m", "--model", help="With --engine: the model that it serves, by name here, or config.json."
    ),
    "served_model": click.option("--served-model", help="The model's name on the server.  [default: its only one]"),
    "timeout": click.option("--timeout", callback=parse_seconds, help="Longest silence of the server.  [default: 60s]"),
    "tp": click.option("--tp", type=click.IntRange(1), help="Tensor-parallel devices of the server.  [default: 1]"),
    "pp": click.option("--pp", type=click.IntRange(1), help="Pipeline stages of the server.  [default: 1]"),
    "dtype": click.option("--dtype", help="Its format of products.  [default: the checkpoint's own]"),
    "weight_dtype": click.option("--weight-dtype", help="Its format of weights.  [default: as --dtype's]"),
    "kv_dtype": click.option("--kv-dtype", help="Its format of the KV cache.  [default: 16 bits]"),
}


def is_profile(path: Path) -> bool:
    """Whether a file is a profile of Roofcast, which a run that is resumed fits anew."""
    from simulator.specfile import read_spec

    try:
        return str(read_spec(path).data.get("schema", "")).startswith("roofcast/profile/")
    except InputError:
        return False


@click.command(short_help="measure a device or a running server, and fit")
@click.option("--device", help="Device in front of you: cpu, cuda or cuda:N.  [default: cpu]")
@click.option("--suite", type=click.Choice(["quick", "full"]), default="quick", show_default=True, help="Benchmarks.")
@gather("served", ENGINE, dict)
@click.option(
    "--time-budget", callback=parse_seconds, help="Time for all of it.  [default: 60s, full 10min, engine 5min]"
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the order of the benchmarks.")
@click.option(
    "--hardware",
    "-H",
    help="Data sheet: name or YAML.  [default: found by name; measured for a CPU]",
    shell_complete=complete_names,
)
@click.option(
    "--stack",
    "-s",
    help=f"Software stack: name or YAML.  [default: {USUAL_STACK}]",
    shell_complete=complete_names,
)
@click.option("--resume", is_flag=True, help="Go on with the table of an earlier run.")
@click.option("--dry-run", is_flag=True, help="List what would be measured and stop.")
@writing_option(
    "--out", required=True, text="Profile to write; the table goes beside it as .csv.", kind=Written(is_profile)
)
@output_option
def run(
    device: str | None,
    suite: Literal["quick", "full"],
    served: Mapping[str, Any],
    time_budget: float | None,
    seed: int,
    hardware: str | None,
    stack: str | None,
    resume: bool,
    dry_run: bool,
    out: Path,
    output: OutputForm,
) -> None:
    """Measure, fit a profile, and check it on what was not fitted: the device in front of you by decoders, or with
    --engine a server that runs already by requests, which go to that address alone.

    \b
    Examples:
      roofcast calibrate run --device cpu --dry-run --out my-cpu.yaml
      roofcast calibrate run --engine http://localhost:8000 -m llama-3.1-8b \\
        -H h100-sxm-80gb -s vllm-0.14 --out my-h100.yaml
    """
    command = describe_command()
    if served["engine"] is None:
        refuse_engine_options(served)
        from calibration.measure.interrupts import end_in_time

        budget_s = time_budget or DEFAULT_BUDGETS_S[suite]
        where = (device or "cpu", suite, budget_s, seed, hardware, stack or USUAL_STACK, out)
        with end_in_time():
            from calibration.measure.session import run_benchmarks  # an import is where an interrupt gets lost

            fitted = run_benchmarks(*where, resume, dry_run, output, command, warn)
    else:
        if device is not None:
            raise InputError("--engine measures a server; leave out --device")
        if served["model"] is None or hardware is None or stack is None:
            raise InputError("--engine needs the model, the device and the stack that run there: -m, -H and -s")
        from calibration.measure.engine_run import run_engine
        from simulator.inputs.deployment import Deployment

        formats = (served[name] for name in ("dtype", "weight_dtype", "kv_dtype"))
        fitted = run_engine(
            served["engine"],
            served["model"],
            hardware,
            stack,
            Deployment(served["tp"] or 1, served["pp"] or 1, 1, 1, 1, *formats),
            served["served_model"],
            time_budget or ENGINE_BUDGET_S,
            served["timeout"] or ENGINE_TIMEOUT_S,
            out,
            resume,
            dry_run,
            output,
            command,
            warn,
        )
    from calibration.fit.from_table import describe_refusal

    click.echo(fitted.report)
    refusal = describe_refusal(out, fitted.verdict)
    if refusal:
        raise CheckFailed(refusal)


def refuse_engine_options(served: Mapping[str, Any]) -> None:
    """Refuse what says something of a server where none is measured.

    Raises:
        InputError: with the option.
    """
    given = [name for name, value in served.items() if value is not None]
    if given:
        raise InputError(f"--{given[0].replace('_', '-')} is of a server; name it with --engine URL")
