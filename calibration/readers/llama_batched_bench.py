"""llama.cpp's ``llama-batched-bench``: its table, and ``--output-format jsonl``.

``B`` sequences of ``PP`` prompt tokens are prefilled together in ``T_PP`` seconds (with ``-pps`` one prompt that all
share), then each takes ``TG`` decode passes in ``T_TG``. Neither form names the model, the device or the build.
Source: https://github.com/ggml-org/llama.cpp, tools/batched-bench/batched-bench.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from calibration.readers.content import Content, has_keys, need_count, need_number, parse_finite
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError

TOOL = "llama-batched-bench"
HEADER = re.compile(r"\|\s*PP\s*\|\s*TG\s*\|\s*B\s*\|\s*N_KV\s*\|")
NAMES = ("pp", "tg", "pl", "n_kv", "t_pp", "speed_pp", "t_tg", "speed_tg", "t", "speed")
SHARED = re.compile(r"is_pp_shared\s*=\s*(\d)")


def recognise(content: Content) -> bool:
    """Either form."""
    return has_keys(content, "pp", "tg", "pl", "t_pp", "t_tg") or HEADER.search(content.text) is not None


def read(content: Content, told: Told) -> Iterator[Run]:
    """The runs of a file."""
    shared = SHARED.search(content.text)
    for where, row in content.objects or split_table(content):
        yield from parse_batch(where, {"is_pp_shared": shared[1] if shared else 0, **row})


def split_table(content: Content) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows of the table."""
    below = False
    for number, line in enumerate(content.text.splitlines(), start=1):
        below = below or HEADER.search(line) is not None
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not below or not line.lstrip().startswith("|") or not cells[0][:1].isdigit():
            continue
        if len(cells) != len(NAMES):
            raise InputError(f"{content.path}:{number}: {len(cells)} cells of {len(NAMES)}; is the row cut off?")
        yield f"{content.path}:{number}", dict(zip(NAMES, cells, strict=True))


def parse_batch(where: str, row: Mapping[str, Any]) -> Iterator[Run]:
    """Prefill and decode of one batch."""
    prompt, output, batch = (need_count(where, row, name) for name in ("pp", "tg", "pl"))
    common: dict[str, Any] = {"tool": TOOL, "prompt_tokens": prompt, "native_dtype": "fp16"}
    prefilled = 1 if parse_finite(where, "is_pp_shared", row["is_pp_shared"]) else batch
    prefill = Metric("prefill_s", need_number(where, row, "t_pp"))
    yield Run(where, **common, metrics=[prefill], output_tokens=0, batch_size=prefilled)
    if output > 1:
        decode = Metric("tpot_s", need_number(where, row, "t_tg") / output)
        yield Run(where, **common, metrics=[decode], output_tokens=output, batch_size=batch)
