"""llama.cpp's ``llama-batched-bench``, its table and ``--output-format jsonl``; ik_llama.cpp's ``llama-sweep-bench``.

``B`` sequences of ``PP`` prompt tokens are prefilled together in ``T_PP`` seconds (with ``-pps`` one prompt that all
share), then each takes ``TG`` decode passes in ``T_TG``. Of a table ``N_KV``, the tokens in the cache at the end, tells
whether the prompt was shared. The sweep has no ``B``: one sequence, and ``N_KV`` the tokens that were in the cache
before. Neither form names the model, the device or the build.
Source: https://github.com/ggml-org/llama.cpp, tools/batched-bench/batched-bench.cpp;
https://github.com/ikawrakow/ik_llama.cpp, examples/sweep-bench/sweep-bench.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, has_keys, need_count, need_number, strip_quote, take_count
from calibration.readers.printed_tables import split_row
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError

TOOL = "llama-batched-bench"
NAMES = {"PP": "pp", "TG": "tg", "B": "pl", "N_KV": "n_kv", "T_PP s": "t_pp", "T_TG s": "t_tg"}
NEEDED = {"PP", "TG", "N_KV", "T_PP s", "T_TG s"}
DEEP = "a prefill over a cache that is not empty (N_KV), which the tidy table has no row for"


def recognise(content: Content) -> bool:
    """Either form."""
    return has_keys(content, "pp", "tg", "pl", "t_pp", "t_tg") or any(
        set(split_row(strip_quote(line))) >= NEEDED for line in content.text.splitlines() if "T_PP s" in line
    )


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    for where, row in content.objects or split_table(content):
        yield from parse_batch(where, row)


def split_table(content: Content) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of the tables; other text may stand around them.

    Raises:
        InputError: a row that has not a cell for each column.
    """
    header: list[str] = []
    for number, raw in enumerate(content.text.splitlines(), start=1):
        line = strip_quote(raw)
        cells = split_row(line)
        if set(cells) >= NEEDED:
            header = cells
        elif not cells:
            header = [] if line else header
        elif header and not set("".join(cells)) <= set("-: "):
            if len(cells) != len(header):
                raise InputError(f"{content.path}:{number}: {len(cells)} cells of {len(header)}; is the row cut off?")
            row = {NAMES.get(name, name): cell for name, cell in zip(header, cells, strict=True)}
            yield f"{content.path}:{number}", row


def parse_batch(where: str, row: Mapping[str, Any]) -> Iterator[Run]:
    """Prefill and decode of one batch."""
    prompt, output = (need_count(where, row, name) for name in ("pp", "tg"))
    batch, cached = take_count(where, row, "pl"), take_count(where, row, "n_kv")
    common: dict[str, Any] = {"tool": TOOL, "native_dtype": "fp16"}
    depth = 0 if batch is not None else cached or 0
    shared = take_count(where, row, "is_pp_shared")
    if shared is None:
        shared = int(batch is not None and batch > 1 and cached == prompt + batch * output)
    prefilled = 1 if shared else batch or 1
    if depth and prompt:
        yield Run(where, TOOL, left_out=DEEP)
    elif prompt:
        prefill = Metric("prefill_s", need_number(where, row, "t_pp"))
        common["metrics"] = [prefill]
        yield Run(where, **common, prompt_tokens=prompt, output_tokens=0, batch_size=prefilled)
    if output > 1:
        common["metrics"] = [Metric("tpot_s", need_number(where, row, "t_tg") / output)]
        before = prompt if batch is not None else depth
        yield Run(where, **common, prompt_tokens=before, output_tokens=output, batch_size=batch or 1)
