"""The command ``roofcast calibrate read``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from calibration.commands.options import TABLE, source_options
from simulator.commands.delivery import deliver, warn
from simulator.commands.options import out_option

if TYPE_CHECKING:
    from calibration.fit.selection import Source


@click.command(short_help="results of a benchmark tool as a table")
@TABLE
@source_options
@out_option
def read(table: Path, out: Path | None, source: Source) -> None:
    """Turn the result of a benchmark tool, or a folder of its results, into a tidy table.

    Read are llama-bench, llama-batched-bench, vLLM bench serve, latency and throughput, SGLang bench_serving and
    bench_one_batch, trtllm-bench, genai-perf, AIPerf, GuideLLM, optimum-benchmark, InferenceX, MLPerf summaries, ollama
    --verbose, Megatron-LM logs and kernel tables. What a file does not say is asked for.

    \b
    Example:
      roofcast calibrate read tests/samples/vllm-serve.json -H h100-sxm-80gb -s vllm-0.10
    """
    from calibration.fit.selection import select_rows
    from calibration.readers.rows import read_rows
    from simulator.inputs.measurements import print_table

    rows = read_rows(table, source.reader, source.told, warn)
    deliver(print_table(select_rows(rows, source.chosen)).rstrip("\n"), out)
