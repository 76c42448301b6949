"""Linear attention by the delta rule with gates: Qwen3-Next, Qwen3.5 and OLMo-hybrid; by channel: Kimi Linear.

Gated delta rule (Yang et al. 2024, arXiv 2412.06464, section 3): ``S = a S (1 - b k k^T) + b v k^T``, read by a query;
Kimi Delta Attention (Kimi Team 2025, arXiv 2510.26692, section 3) forgets each channel of a key on its own.
"""

from __future__ import annotations

from simulator.costs.mixers.recurrent import Matrix, Recurrence, Recurrent
from simulator.costs.structure import Layer


class GatedDelta(Recurrent):
    """One gate a head. Sizes: ``linear_num_key_heads``, ``linear_num_value_heads``, widths and convolution."""

    name = "gated_delta"

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        s, h = layer.sizes, layer.a.hidden_size
        heads = s["linear_num_value_heads"]
        keys = s["linear_num_key_heads"] * s["linear_key_head_dim"]
        values = heads * s["linear_value_head_dim"]
        return Recurrence(
            (
                Matrix("query, key, value and gate projection", 2 * keys + 2 * values, h),
                Matrix("decay projection", 2 * heads, h),
                Matrix("output projection", h, values, "inputs"),
            ),
            channels=2 * keys + values,
            taps=s["linear_conv_kernel_dim"],
            heads=heads,
            key_size=s["linear_key_head_dim"],
            value_size=s["linear_value_head_dim"],
            others=2 * heads + s["linear_value_head_dim"],
            products=3,
            solves=True,
        )


class KimiDelta(Recurrent):
    """A gate for each channel, made by matrices of low rank, or whole where ``linear_gate_rank`` is absent.

    ``linear_full_gate``: the gate of the output alone is whole, and channels forget alike in all heads (Kimi K3).
    """

    name = "kimi_delta"

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        s, h = layer.sizes, layer.a.hidden_size
        heads, size = s["linear_num_heads"], s["linear_head_dim"]
        width, rank = heads * size, s.get("linear_gate_rank")
        gates: tuple[Matrix, ...] = (Matrix("gate projections", 2 * width, h),)
        whole = s.get("linear_full_gate")
        if whole:
            low = (Matrix("decay gate down", rank, h, ""), Matrix("decay gate up", width, rank))
            gates = (Matrix("output gate", width, h), *low)
        elif rank is not None:
            gates = (Matrix("gates down", 2 * rank, h, ""), Matrix("gates up", 2 * width, rank))
        return Recurrence(
            (
                Matrix("query, key and value projection", 3 * width, h),
                *gates,
                Matrix("decay projection", heads, h),
                Matrix("output projection", h, width, "inputs"),
            ),
            channels=3 * width,
            taps=s["linear_conv_kernel_dim"],
            heads=heads,
            key_size=size,
            value_size=size,
            others=width + (size if whole else heads) + size,
            products=3,
            solves=True,
        )
