"""A measured operator in words: one row of the table is one kernel or collective.

``linear m=16 n=4096 k=4096`` is a weight matrix applied to 16 tokens; ``KINDS`` lists the others with their sizes.
"""

from __future__ import annotations

import re
from functools import cache

from simulator.errors import InputError, suggest

KINDS: dict[str, tuple[str, ...]] = {
    "linear": ("m", "n", "k"),
    "batched": ("batch", "m", "n", "k"),
    "attention": ("sequences", "queries", "context", "heads", "kv_heads", "head_size"),
    "elementwise": ("bytes", "launches"),  # over activations; bytes read and written
    "stream": ("bytes",),  # from and to memory, past all caches
    "all_reduce": ("bytes", "direct"),  # direct 0: by the collective library; 1: as the stack does
    "host": ("launches",),  # the host's time to issue kernels
}
PREFILL, DECODE = "prefill_attention", "decode_attention"
MOST_SIZE = 1e16
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)


@cache
def parse_operator(text: str) -> tuple[str, tuple[float, ...]]:
    """Kind and sizes of an operator, the sizes in the order of ``KINDS``.

    Raises:
        InputError: an unknown kind, or sizes missing, unknown, given twice, not above zero, or that do not go together.
    """
    kind, *cells = text.split() or [""]
    if kind not in KINDS:
        raise InputError(suggest(f"unknown operator '{kind}'", kind, list(KINDS)))
    pairs = dict(cell.partition("=")[::2] for cell in cells)
    if set(pairs) != set(KINDS[kind]) or len(cells) != len(pairs):
        raise InputError(f"operator '{text}' must say {', '.join(KINDS[kind])}, each once")
    if not all(NUMBER.fullmatch(number) for number in pairs.values()):
        raise InputError(f"operator '{text}': a size is not a plain number")
    sizes = {name: float(pairs[name]) for name in KINDS[kind]}
    for name, size in sizes.items():
        if not (0 < size < MOST_SIZE or (name == "direct" and size == 0)):
            raise InputError(f"operator '{text}': {name} is {pairs[name]}; it must be above 0 and below {MOST_SIZE:g}")
    if kind == "attention" and sizes["queries"] > sizes["context"]:
        raise InputError(f"operator '{text}': more queries than the context holds")
    if kind == "attention" and sizes["heads"] % sizes["kv_heads"]:
        raise InputError(f"operator '{text}': kv_heads does not divide heads")
    return kind, tuple(sizes.values())


def format_operator(kind: str, **sizes: float) -> str:
    """The text of an operator, as ``parse_operator`` reads it."""
    return " ".join([kind, *(f"{name}={sizes[name]:.15g}" for name in KINDS[kind])])


def name_kind(text: str) -> str:
    """Kind of an operator, attention by its phase."""
    kind, sizes = parse_operator(text)
    if kind != "attention":
        return kind
    _, queries, context, *_ = sizes
    return DECODE if queries == 1 and context > 1 else PREFILL


def is_library_reduce(text: str) -> bool:
    """Whether an operator is an all-reduce by the collective library, whatever the stack does."""
    kind, sizes = parse_operator(text)
    return kind == "all_reduce" and not sizes[KINDS[kind].index("direct")]
