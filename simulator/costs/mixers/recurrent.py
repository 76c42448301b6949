"""Mixers that keep a state of constant size instead of keys and values: what the kinds of them share.

A token updates the state ``S`` (key width x value width, a head each) and reads it with its query. Over a prompt the
tokens of a chunk see each other by products of matrices, as in attention, and the state is handed on from chunk to
chunk (Dao and Gu 2024, arXiv 2405.21060, section 6; Yang et al. 2024, arXiv 2406.06484, section 3). For one token the
state is read and written whole. A short causal convolution comes before. The state is as wide as activations.
"""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.batch import Batch, Segment, add
from simulator.costs.operators import Operator, element_sizes, linear
from simulator.costs.structure import Layer, Mixer
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack, Tensor
from simulator.numbers import Number, ceil, maximum, minimum


class Matrix(NamedTuple):
    """A weight matrix that makes ``outputs`` numbers of ``inputs``.

    ``split``: which of the two ``tp`` devices share, outputs or inputs; empty: each has the whole.
    """

    name: str
    outputs: Number
    inputs: Number
    split: str = "outputs"
    bias: bool = False
    blocks: Number = 1  # of a matrix that is zero but for so many blocks on its diagonal


class Recurrence(NamedTuple):
    """Sizes of a recurrent mixer.

    ``solves``: the delta rule compares the keys of a chunk with each other, and solves for what it writes. ``channels``
    pass a convolution of ``taps``; ``heads`` states of ``key_size`` times ``value_size`` are kept;
    ``others`` are learned numbers in no matrix. ``products``: how often the state of a head meets a token: it is
    updated and read, and once more where the delta rule first asks it what it holds.
    """

    matrices: tuple[Matrix, ...]
    channels: Number
    taps: Number
    heads: Number
    key_size: Number
    value_size: Number
    others: Number
    products: int = 2
    solves: bool = False
    chunk: Number = 0  # tokens of a chunk where the model has its own; 0: the kind's
    conv_bias: bool = False
    sums_keys: bool = False  # a query also meets the sum of the keys, which its result is divided by

    @property
    def state(self) -> Number:
        """Numbers of the states of all heads."""
        return self.heads * self.key_size * self.value_size

    @property
    def width(self) -> Number:
        """Numbers of one token that enter the mixing and leave it: query, key, value and result of all heads."""
        return 2 * self.heads * (self.key_size + self.value_size)


class Recurrent(Mixer):
    """A mixer with a state; a kind of it says its sizes."""

    name: str
    kernels: int = 5  # of a scan over a prompt: sums of decays, products within chunks, states, their chain, outputs
    chunk: int | None = 64  # tokens of a prompt that see each other by products; None: one after the other

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        raise NotImplementedError

    @property
    def projects_as(self) -> str:  # type: ignore[override]
        """Each kind has matrices of its own."""
        return self.name

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers, projections included."""
        r = self.measure(layer)
        matrices = sum(m.outputs * m.inputs / m.blocks + m.outputs * m.bias for m in r.matrices)
        return matrices + r.channels * (r.taps + r.conv_bias) + r.others

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Products with weight matrices around the mixing."""
        return [project(matrix, d, batch.rows) for matrix in self.measure(layer).matrices]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The convolution, then chunks of prompts and updates of the states of decoding sequences."""
        r, size = self.measure(layer), d.activation_bytes
        operators: list[Operator] = []
        if batch.prompts and self.has_state(r):
            operators += self.list_scans(r, d, batch.prompts)
        if batch.decoding:
            sequences = add(segment.sequences for segment in batch.decoding)
            rows = add(segment.rows for segment in batch.decoding)
            moved = (2 * sequences * r.state + rows * r.width) / d.tp * size
            if self.has_state(r):
                operators.append(Operator("state update", "state_update", activation_bytes=moved))
        if self.has_convolution(r):
            rows = add(segment.rows for segment in batch.segments)
            sequences = add(segment.sequences for segment in batch.segments)
            moved = 2 * r.channels * (rows + sequences * r.taps) / d.tp * size
            operators.append(Operator("short convolution", "elementwise", activation_bytes=moved))
        return operators

    def has_state(self, r: Recurrence) -> bool:
        """Whether there is more to the mixer than its convolution."""
        return not (isinstance(r.heads, int) and r.heads == 0)

    def has_convolution(self, r: Recurrence) -> bool:
        """Whether a convolution comes before the state."""
        return not (isinstance(r.channels, int) and r.channels == 0)

    def list_scans(self, r: Recurrence, d: Deployment, prompts: tuple[Segment, ...]) -> list[Operator]:
        """What prompts do: products within chunks and from chunk to chunk, or a scan of token after token.

        Within a chunk of c tokens a head's queries meet the keys and their weights the values, 2 c^2 (k + v) FLOPs, and
        by the delta rule keys meet keys, 2 c^2 k; each product of the state with the chunk is 2 c k v. Between its
        kernels, queries to results cross the memory once more, and so do the states of all chunks.
        """
        size, heads = d.activation_bytes, r.heads / d.tp
        rows = add(segment.rows for segment in prompts)
        entering = rows * r.width / d.tp * size
        if self.chunk is None:
            # Where a channel has several states, a token reads them in a product with a vector.
            reads = 0 if isinstance(r.key_size, int) and r.key_size == 1 else 2 * rows * r.state / d.tp
            return [Operator("state scan", "token_scan", reads, activation_bytes=entering, m=rows, k=r.state / d.tp)]
        flops, handed, chain = 0.0, 0.0, 0.0
        chunk: Number = r.chunk or self.chunk
        tokens = chunk
        for segment in prompts:
            tokens = minimum(segment.new_tokens, chunk)
            in_turn = ceil(segment.new_tokens / tokens)
            chunks = segment.sequences * in_turn * heads
            within = 2 * tokens * tokens * (r.key_size * (1 + r.solves) + r.value_size)
            met = r.products * r.value_size + r.sums_keys
            flops = flops + chunks * (within + 2 * tokens * r.key_size * met)
            handed = handed + 2 * chunks * r.key_size * r.value_size * size
            chain = maximum(chain, in_turn)
        moved = 2 * entering + handed
        sizes = {"m": tokens, "n": chain, "k": r.key_size, "batch": heads}
        return [Operator("state scan", "chunk_scan", flops, activation_bytes=moved, launches=self.kernels, **sizes)]

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Nothing grows."""
        return 0

    def count_state(self, layer: Layer, d: Deployment) -> Number:
        """Numbers of the states, of the inputs that the convolution looks back to, and of ``kept_numbers`` beside."""
        r = self.measure(layer)
        return (r.state + r.channels * r.taps + layer.sizes.get("kept_numbers", 0)) / d.tp

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the recurrence as defined, token after token: two a multiply-add of each number of the state."""
        r = self.measure(layer)
        return 2 * segment.rows * (r.products * r.state + r.sums_keys * r.heads * r.key_size) / d.tp

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Numbers of one token in a tensor that kernels move: there are no rotary positions and no cache to write."""
        r = self.measure(layer)
        inner = r.heads * r.value_size if self.has_state(r) else r.channels
        return {"qkv": r.width / 2 / d.tp, "heads": inner / d.tp}.get(tensor, 0)


def project(matrix: Matrix, d: Deployment, rows: Number) -> Operator:
    """The product of a matrix of a recurrent mixer on one device."""
    outputs, inputs = matrix.outputs, matrix.inputs / matrix.blocks
    if matrix.split == "outputs":
        outputs = outputs / d.tp
    elif matrix.split == "inputs":
        inputs = inputs / d.tp
    return linear(matrix.name, rows, outputs, inputs, **element_sizes(d, "attention"))
