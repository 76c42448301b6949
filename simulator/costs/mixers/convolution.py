"""Mixers that look back no further than a short convolution, or keep one number a channel."""

from __future__ import annotations

from simulator.costs.mixers.recurrent import Matrix, Recurrence, Recurrent
from simulator.costs.structure import Layer


class ShortConvolution(Recurrent):
    """Two gates around a convolution of ``conv_taps`` tokens (LFM2, arXiv 2511.23404, section 2)."""

    name = "short_convolution"

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        s, h = layer.sizes, layer.a.hidden_size
        bias = s.get("conv_bias", False)
        return Recurrence(
            (
                Matrix("gates and value projection", 3 * h, h, bias=bias),
                Matrix("output projection", h, h, "inputs", bias=bias),
            ),
            channels=h,
            taps=s["conv_taps"],
            heads=0,
            key_size=0,
            value_size=0,
            others=0,
            conv_bias=bias,
        )


class RealGatedRecurrence(Recurrent):
    """A gated linear recurrence of ``lru_width`` channels, its gates of block-diagonal matrices.

    De et al. 2024 (arXiv 2402.19427), section 2.4.
    """

    name = "real_gated_recurrence"
    chunk = None

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        s, h = layer.sizes, layer.a.hidden_size
        width, taps = s["lru_width"], s["conv1d_width"]
        return Recurrence(
            (
                Matrix("branch projections", 2 * width, h, bias=True),
                Matrix("recurrence gates", 2 * width, width, bias=True, blocks=layer.a.num_attention_heads),
                Matrix("output projection", h, width, "inputs", bias=True),
            ),
            channels=width,
            taps=taps,
            heads=width,
            key_size=1,
            value_size=1,
            others=width,
            conv_bias=True,
        )
