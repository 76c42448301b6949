"""The command that starts an engine as recommended: only options that the engine's documentation names.

vLLM: ``vllm serve`` (docs.vllm.ai, ``configuration/engine_args``, ``cli/serve``). SGLang: ``sglang.launch_server``
(docs.sglang.io, ``advanced_features/server_arguments``). TensorRT-LLM: ``trtllm-serve``
(nvidia.github.io/TensorRT-LLM, ``commands/trtllm-serve``). Replicas are servers of their own behind a router; vLLM and
SGLang start those of one node themselves.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.explore.recommend.cells import Cell
from simulator.explore.recommend.screen import Attempt
from simulator.explore.recommend.wish import OWN
from simulator.inputs.stack_versions import name_engine


def write_launch(cell: Cell, attempt: Attempt) -> str | None:
    """The command, to be started once for each replica that it does not start itself; None of other engines."""
    write = ENGINES.get(name_engine(cell.question.work.stack.id))
    return None if write is None else write(cell, attempt)


def name_format(cell: Cell, made: tuple[str, ...] = ("fp8",)) -> str:
    """The checkpoint's name, or a folder for one of another format that the engine does not make on loading."""
    name = cell.question.model.hub_name
    return name if cell.format in (OWN, *made) else f"./{name.rpartition('/')[2]}-{cell.format}"


def describe_checkpoint(cell: Cell) -> str | None:
    """What must be in the folder that the command names, as a comment; None where it names a checkpoint."""
    made = () if name_engine(cell.question.work.stack.id) == "tensorrt-llm" else ("fp8",)
    if not name_format(cell, made).startswith("./"):
        return None
    return f"# that folder: {cell.question.model.hub_name} quantized to {cell.format}"


def join(*parts: tuple[str, object]) -> str:
    """Options with their values, those alone that have one."""
    return " ".join(f"{name} {value}".rstrip() for name, value in parts if value not in (None, 1))


def write_vllm(cell: Cell, attempt: Attempt) -> str:
    """``vllm serve``."""
    d = cell.question.work.deployment
    options = join(
        ("--tensor-parallel-size", d.tp),
        ("--pipeline-parallel-size", d.pp),
        ("--enable-expert-parallel", "" if d.ep > 1 else None),
        ("--quantization", "fp8" if cell.format == "fp8" else None),
        ("--kv-cache-dtype", "fp8" if d.cache_dtype == "fp8" else None),
        ("--max-num-batched-tokens", attempt.budget),
        ("--max-num-seqs", attempt.sequences),
    )
    return f"vllm serve {name_format(cell)} {options}"


def write_sglang(cell: Cell, attempt: Attempt) -> str:
    """``sglang.launch_server``."""
    d = cell.question.work.deployment
    options = join(
        ("--tp-size", d.tp),
        ("--pp-size", d.pp),
        ("--ep-size", d.ep),
        ("--quantization", "fp8" if cell.format == "fp8" else None),
        ("--kv-cache-dtype", "fp8_e4m3" if d.cache_dtype == "fp8" else None),
        ("--chunked-prefill-size", attempt.budget),
        ("--max-running-requests", attempt.sequences),
    )
    return f"python3 -m sglang.launch_server --model-path {name_format(cell)} {options}"


def write_tensorrt_llm(cell: Cell, attempt: Attempt) -> str:
    """``trtllm-serve``; it takes a checkpoint in the format, which it does not make itself."""
    d = cell.question.work.deployment
    options = join(
        ("--tp_size", d.tp),
        ("--pp_size", d.pp),
        ("--ep_size", d.ep),
        ("--max_num_tokens", attempt.budget),
        ("--max_batch_size", attempt.sequences),
    )
    return f"trtllm-serve {name_format(cell, ())} {options}"


ENGINES: dict[str, Callable[[Cell, Attempt], str]] = {
    "vllm": write_vllm,
    "sglang": write_sglang,
    "tensorrt-llm": write_tensorrt_llm,
}
