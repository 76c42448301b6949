"""SGLang's ``bench_serving``: ``--output-file`` (JSON lines) and the printed summary.

The client of ``vllm bench serve``, with the lengths that it asked for: ``random_range_ratio`` is the lower end of their
uniform spread, as a share of ``random_input_len`` and ``random_output_len``. The output tokens counted are those that
were requested, not those that were counted again.
Source: https://github.com/sgl-project/sglang, python/sglang/bench_serving.py (``benchmark``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from calibration.readers.content import Content, find_nested, has_keys, take_count, take_number, take_text
from calibration.readers.runs import Run, Told
from calibration.readers.vllm_serve import BANNER, LABELS, is_sglang, parse_result, split_summaries

TOOL = "sglang bench_serving"
IMAGES = {"Total input vision tokens": "total_input_vision_tokens"}


def recognise(content: Content) -> bool:
    """A saved result, or a summary that names its backend."""
    if content.objects:
        ours = all(is_sglang(found) for _, found in content.objects)
        return ours and has_keys(content, "total_input_tokens", "total_output_tokens", "output_throughput")
    return BANNER in content.text and "Backend:" in content.text


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, found in content.objects or split_summaries(content, LABELS | IMAGES):
        yield add_lengths(where, found, parse_result(where, found, TOOL, told))


def add_lengths(where: str, found: Mapping[str, Any], run: Run) -> Run:
    """The lengths that were asked for, and what newer versions keep of the server."""
    server = found.get("server_info")
    facts = server if isinstance(server, dict) else {}
    version = take_text(facts, "version")
    run = replace(
        run,
        model=run.model or take_text(facts, "model_path"),
        stack=f"sglang-{version}" if version else None,
        tp=take_count(where, facts, "tp_size"),
        pp=take_count(where, facts, "pp_size"),
        dtype=take_text(facts, "dtype"),
        weight_dtype=take_text(facts, "quantization"),
        kv_dtype=take_text(facts, "kv_cache_dtype"),
    )
    drafts = find_nested(facts, lambda key, value: key == "speculative_algorithm" and value is not None)
    if drafts is not None:
        run = replace(run, left_out=f"speculative decoding ({drafts})")
    if take_number(where, found, "total_input_vision_tokens"):
        run = replace(run, left_out="images among the prompts")
    ratio = take_number(where, found, "random_range_ratio")
    if ratio is None or take_text(found, "dataset_name") not in ("random", "random-ids"):
        return run
    sizes = [take_number(where, found, name) for name in ("random_input_len", "random_output_len")]
    if ratio == 1 or None in sizes:
        return run
    return replace(run, prompt_tokens=sizes[0], output_tokens=sizes[1], length_low=ratio, length_high=1.0)
