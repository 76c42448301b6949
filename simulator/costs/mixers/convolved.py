"""Attention whose keys, values or results pass a short causal convolution, which looks back a few tokens.

Compressed convolutional attention of ZAYA (Figliolia et al. 2025, arXiv 2510.04476, section 3) and Inkling. The inputs
that a convolution looks back to are kept of each sequence beside its keys and values, however long it is.
"""

from __future__ import annotations

from simulator.costs.batch import Batch, add
from simulator.costs.mixers.attention import Attention, WindowAttention
from simulator.costs.operators import Operator
from simulator.costs.structure import Layer
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number


class ConvolvedAttention(Attention):
    """Attention over all tokens; ``conv_channels`` pass ``conv_taps``, and ``kept_numbers`` stay of a sequence."""

    projects_as = "convolved attention"

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, projections and taps included."""
        return super().count_parameters(layer) + layer.sizes["conv_channels"] * layer.sizes["conv_taps"]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The convolution, which reads and writes its channels and those it looks back to, then the attention."""
        rows = add(segment.rows for segment in batch.segments)
        sequences = add(segment.sequences for segment in batch.segments)
        numbers = 2 * (layer.sizes["conv_channels"] * rows + layer.sizes["kept_numbers"] * sequences) / d.tp
        moved = numbers * d.activation_bytes
        convolution = Operator("short convolution", "elementwise", activation_bytes=moved)
        return [convolution, *super().list_operators(layer, d, stack, batch)]

    def count_state(self, layer: Layer, d: Deployment) -> Number:
        """Numbers of the inputs that the convolution looks back to."""
        return layer.sizes["kept_numbers"] / d.tp


class ConvolvedWindowAttention(ConvolvedAttention, WindowAttention):
    """The same over the last tokens alone."""
