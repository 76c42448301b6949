"""A measured operator in words: one row of the table is one kernel or collective, or one block of experts.

``linear m=16 n=4096 k=4096`` is a weight matrix applied to 16 tokens; ``KINDS`` lists the others with their sizes, and
``OPTIONAL`` those that may be left out. Zero stands for none of a size that may be zero.
"""

from __future__ import annotations

import re
from functools import cache

from simulator.errors import InputError, suggest

KINDS: dict[str, tuple[str, ...]] = {
    "linear": ("m", "n", "k", "copies"),
    "batched": ("batch", "m", "n", "k"),
    "attention": ("sequences", "queries", "context", "heads", "kv_heads", "head_size", "window", "copies"),
    # A block of experts of two or three matrices on one device, which holds so many of all. The routing is a fact of
    # the row: 0 is balanced, else the exponent of the power law that the experts' shares are drawn from.
    "experts": ("matrices", "tokens", "hidden", "width", "chosen", "experts", "held", "skew", "copies"),
    "elementwise": ("bytes", "launches"),  # over activations; bytes read and written
    "stream": ("bytes",),  # from and to memory, past all caches
    "all_reduce": ("bytes", "direct"),  # direct 0: by the collective library; 1: as the stack does
    "host": ("launches",),  # the host's time to issue kernels
}
# May be left out, which is 0. ``window``: no limit; ``copies`` of the weights are run in turn and nothing flushes the
# last cache; 0: it is flushed.
OPTIONAL = frozenset({"window", "copies"})
MAY_BE_ZERO = frozenset({"direct", "skew"}) | OPTIONAL
# Tokens, heads, matrices and launches are whole; a width or a number of experts held may be a mean over devices.
WHOLE = frozenset({"m", "n", "k", "batch", "sequences", "queries", "context", "heads", "kv_heads", "head_size"})
WHOLE |= {"window", "copies", "matrices", "tokens", "chosen", "experts", "launches"}
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
    needed = set(KINDS[kind]) - OPTIONAL
    if not needed <= set(pairs) <= set(KINDS[kind]) or len(cells) != len(pairs):
        named = ", ".join(name for name in KINDS[kind] if name in needed)
        raise InputError(f"operator '{text}' must say {named}, each once")
    if not all(NUMBER.fullmatch(number) for number in pairs.values()):
        raise InputError(f"operator '{text}': a size is not a plain number")
    sizes = {name: float(pairs.get(name, 0)) for name in KINDS[kind]}
    for name, size in sizes.items():
        if not (0 < size < MOST_SIZE or (name in MAY_BE_ZERO and size == 0)):
            raise InputError(f"operator '{text}': {name} is {pairs[name]}; it must be above 0 and below {MOST_SIZE:g}")
    parted = next((name for name, size in sizes.items() if name in WHOLE and size != int(size)), None)
    if parted is not None:
        raise InputError(f"operator '{text}': {parted} is {pairs[parted]}; it must be a whole number")
    if kind == "attention" and sizes["queries"] > sizes["context"]:
        raise InputError(f"operator '{text}': more queries than the context holds")
    if kind == "attention" and sizes["heads"] % sizes["kv_heads"]:
        raise InputError(f"operator '{text}': kv_heads does not divide heads")
    if kind == "experts" and not sizes["chosen"] <= sizes["experts"] >= sizes["held"]:
        raise InputError(f"operator '{text}': more experts chosen or held than there are")
    return kind, tuple(sizes.values())


def format_operator(kind: str, **sizes: float) -> str:
    """The text of an operator, as ``parse_operator`` reads it."""
    named = [name for name in KINDS[kind] if name not in OPTIONAL or sizes.get(name)]
    return " ".join([kind, *(f"{name}={sizes[name]:.15g}" for name in named)])


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
