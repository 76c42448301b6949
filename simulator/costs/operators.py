"""One operator of a forward pass, as one device runs it: what it computes, moves and sends."""

from __future__ import annotations

from typing import Literal, NamedTuple

from simulator.costs.elementary import Number

Kind = Literal["linear", "batched", "attention", "elementwise", "all_reduce", "all_gather", "send"]


class Operator(NamedTuple):
    """Work of one operator on one device, once.

    ``flops`` counts matrix products only, two a multiply-add, as MFU does. ``m, n, k`` are the dimensions of a product
    ``y[m, n] = x[m, k] w[k, n]``: one of a ``linear`` operator, ``batch`` of them in a ``batched`` one.
    """

    name: str
    kind: Kind
    flops: Number = 0.0
    weight_bytes: Number = 0.0
    activation_bytes: Number = 0.0
    kv_bytes: Number = 0.0
    message_bytes: Number = 0.0
    launches: Number = 1
    m: Number = 0.0
    n: Number = 0.0
    k: Number = 0.0
    batch: Number = 1

    @property
    def bytes_moved(self) -> Number:
        """Bytes read from and written to the memory of the device."""
        return self.weight_bytes + self.activation_bytes + self.kv_bytes


def linear(name: str, m: Number, n: Number, k: Number, *, weight_bytes: int, activation_bytes: int) -> Operator:
    """A weight matrix applied to ``m`` tokens; the last two arguments are bytes of one element."""
    return Operator(
        name,
        "linear",
        flops=2 * m * n * k,
        weight_bytes=n * k * weight_bytes,
        activation_bytes=(m * k + m * n) * activation_bytes,
        m=m,
        n=n,
        k=k,
    )
