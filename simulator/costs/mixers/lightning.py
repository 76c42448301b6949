"""Lightning attention of MiniMax-01: linear attention with a fixed decay a head (arXiv 2501.08313, section 2.2)."""

from __future__ import annotations

from simulator.costs.mixers.recurrent import Matrix, Recurrence, Recurrent
from simulator.costs.structure import Layer


class LightningAttention(Recurrent):
    """A state of head width squared for each head; what it returns is normalised and gated."""

    name = "lightning_attention"
    chunk = 256

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        a = layer.a
        width, h = a.query_width, a.hidden_size
        return Recurrence(
            (
                Matrix("query, key and value projection", 3 * width, h),
                Matrix("gate projection", width, h),
                Matrix("output projection", h, width, "inputs"),
            ),
            channels=0,
            taps=0,
            heads=a.num_attention_heads,
            key_size=a.head_size,
            value_size=a.head_size,
            others=width,
        )
