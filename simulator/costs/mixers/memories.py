"""Recurrences that keep what they have seen as weighted sums: RWKV-4 and the mLSTM of xLSTM."""

from __future__ import annotations

from simulator.costs.mixers.recurrent import Matrix, Recurrence, Recurrent
from simulator.costs.structure import Layer
from simulator.inputs.deployment import Deployment
from simulator.numbers import Number


class Rwkv(Recurrent):
    """Of each of ``rwkv_width`` channels a sum of values, one of weights, and the largest exponent.

    Peng et al. 2023 (arXiv 2305.13048), section 3. Both parts of a layer look back one token, a convolution of two taps
    of which one is kept; the gate of the feed-forward part counts here.
    """

    name = "rwkv"
    chunk = None

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        h, width = layer.a.hidden_size, layer.sizes["rwkv_width"]
        return Recurrence(
            (
                Matrix("key, value and receptance projection", 3 * width, h),
                Matrix("output projection", h, width, "inputs"),
                Matrix("feed-forward receptance", h, h),
            ),
            channels=2 * h,
            taps=1,
            heads=width,
            key_size=3,
            value_size=1,
            others=2 * width + 3 * h,
        )


class Mlstm(Recurrent):
    """A matrix of memory, its normaliser and its largest exponent a head.

    Beck et al. 2024 (arXiv 2405.04517), section 2.3; Beck et al. 2025 (arXiv 2503.13427) in chunks.
    """

    name = "mlstm"

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        s, h, heads = layer.sizes, layer.a.hidden_size, layer.a.num_attention_heads
        keys, values, bias = s["mlstm_key_width"], s["mlstm_value_width"], s["mlstm_bias"]
        return Recurrence(
            (
                Matrix("query and key projection", 2 * keys, h, bias=bias),
                Matrix("value and gate projection", 2 * values, h, bias=bias),
                Matrix("input and forget gates", 2 * heads, h, bias=True),
                Matrix("output projection", h, values, "inputs", bias=bias),
            ),
            channels=0,
            taps=0,
            heads=heads,
            key_size=keys / heads,
            value_size=values / heads,
            others=values,
            sums_keys=True,
        )

    def count_state(self, layer: Layer, d: Deployment) -> Number:
        """Numbers of the matrices, their normalisers and exponents."""
        r = self.measure(layer)
        return super().count_state(layer, d) + r.heads * (r.key_size + 1) / d.tp
