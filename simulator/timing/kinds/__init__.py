"""Kinds of operators by name: one module and one line each."""

from simulator.timing.kinds.base import Kind
from simulator.timing.kinds.batched import BATCHED
from simulator.timing.kinds.collectives import ALL_GATHER, ALL_REDUCE, ALL_TO_ALL, SEND
from simulator.timing.kinds.decode_attention import DECODE_ATTENTION
from simulator.timing.kinds.grouped import GROUPED
from simulator.timing.kinds.latent_decode import LATENT_DECODE
from simulator.timing.kinds.linear import LINEAR
from simulator.timing.kinds.memory import ELEMENTWISE, GATHER, STREAM
from simulator.timing.kinds.prefill_attention import PREFILL_ATTENTION
from simulator.timing.kinds.recurrence import CHUNK_SCAN, STATE_UPDATE, TOKEN_SCAN

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        LINEAR,
        GROUPED,
        BATCHED,
        PREFILL_ATTENTION,
        DECODE_ATTENTION,
        LATENT_DECODE,
        ELEMENTWISE,
        GATHER,
        STREAM,
        CHUNK_SCAN,
        TOKEN_SCAN,
        STATE_UPDATE,
        ALL_REDUCE,
        ALL_GATHER,
        ALL_TO_ALL,
        SEND,
    )
}
