"""Multi-head latent attention: one compressed vector a token instead of keys and values.

DeepSeek-V2 (arXiv 2405.04434), section 2.1.2. Over a prompt, keys and values are unpacked and heads attend as usual;
for one token, the unpacking is absorbed by the projections and all heads share the compressed vectors. Latent attention
is taken as fused whatever the stack.
"""

from __future__ import annotations

from simulator.costs.batch import Batch, Segment, add
from simulator.costs.mixers.attention import count_gate, count_output, count_score_flops, measure_tensor
from simulator.costs.operators import Operator, count_scores, element_sizes, grouped, join_parts, linear
from simulator.costs.structure import Layer, Mixer
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack, Tensor
from simulator.numbers import Number, minimum


class LatentAttention(Mixer):
    """Attention over compressed vectors, of which each device of a layer's group holds the whole cache."""

    projects_as = "latent attention"

    def find_limit(self, layer: Layer) -> Number | None:
        """Tokens that a query attends to at most; None: all before it."""
        return None

    def count_parameters(self, layer: Layer) -> Number:
        """Trainable numbers: projections down to the compressed vectors, their norms, and up again."""
        a = layer.a
        h, heads, rank = a.hidden_size, a.num_attention_heads, a.latent_rank
        down = h * a.latent_width + a.latent_width * a.attention_bias
        up = rank * heads * (a.unrotated_size + a.value_size)
        query: Number = a.q_lora_rank
        out = count_output(a) + h * count_gate(layer)
        if query is None:
            return h * a.query_width + down + up + rank + out
        query = h * query + query * a.attention_bias + query + query * a.query_width
        return query + down + up + rank + out

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """Of the projections down to the compressed vectors, which every device has whole."""
        a = layer.a
        query = 0 if a.q_lora_rank is None else a.q_lora_rank
        return a.hidden_size * (query + a.latent_width) * (1 - 1 / d.tp)

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """Weight matrices before latent attention: down to the compressed vectors on every device, and up by head.

        For one token the matrices that unpack keys and values work on queries and results instead, head by head.
        """
        a, rows, sizes = layer.a, batch.rows, element_sizes(d, "attention")
        heads, rank = a.num_attention_heads / d.tp, a.latent_rank
        if a.q_lora_rank is None:
            operators = [linear("query projection", rows, a.query_width / d.tp, a.hidden_size, **sizes)]
        else:
            operators = [
                linear("query down", rows, a.q_lora_rank, a.hidden_size, **sizes),
                linear("query up", rows, a.query_width / d.tp, a.q_lora_rank, **sizes),
            ]
        operators.append(linear("latent down", rows, a.latent_width, a.hidden_size, **sizes))
        if "attention_gate" in layer.sizes:
            operators.append(linear("gate projection", rows, count_gate(layer) / d.tp, a.hidden_size, **sizes))
        if batch.prompts:
            unpacked = add(segment.rows for segment in batch.prompts)
            width = heads * (a.unrotated_size + a.value_size)
            operators.append(linear("keys and values up", unpacked, width, rank, **sizes))
        if batch.decoding:
            absorbed = add(segment.rows for segment in batch.decoding)
            operators += [
                grouped("keys absorbed", heads, absorbed, rank, a.unrotated_size, **sizes),
                grouped("values absorbed", heads, absorbed, a.value_size, rank, **sizes),
            ]
        return [*operators, linear("output projection", rows, a.hidden_size, a.context_width / d.tp, **sizes)]

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        """The mixing itself: by unpacked heads over prompts, over the compressed vectors for one token."""
        operators = []
        for segments, decoding in ((batch.prompts, False), (batch.decoding, True)):
            if segments:
                parts = [attend(layer.a, d, segment, self.find_limit(layer)) for segment in segments]
                operators.append(join_parts(parts, stack.count_attention_launches(decoding)))
        return operators

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence of so many tokens."""
        return layer.a.latent_width * tokens

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        """FLOPs of the mixing as its paper defines it, with keys and values unpacked."""
        return count_score_flops(layer.a, d, segment) * count_limited(segment, self.find_limit(layer))

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        """Numbers of one token in a tensor that kernels move."""
        return measure_tensor(tensor, layer.a, d, layer.a.latent_width)


class WindowLatentAttention(LatentAttention):
    """The same over the last tokens alone."""

    projects_as = "window latent attention"

    def find_window(self, layer: Layer) -> Number | None:
        """Tokens that a query sees, its own included."""
        return layer.a.sliding_window

    def find_limit(self, layer: Layer) -> Number | None:
        """The window."""
        return self.find_window(layer)

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        """Numbers kept of one sequence of so many tokens: those before the next token's own."""
        window: Number = layer.a.sliding_window
        return layer.a.latent_width * minimum(tokens, window - 1)


def count_limited(segment: Segment, limit: Number | None) -> Number:
    """Scores of one head of one sequence where a query attends to at most so many tokens."""
    seen = segment.reached if limit is None else minimum(segment.reached, limit)
    return count_scores(segment.new_tokens, seen, segment.reached - seen)


def attend(a: Architecture, d: Deployment, segment: Segment, limit: Number | None = None) -> Operator:
    """Latent attention of one segment on one device, each query to at most ``limit`` tokens."""
    s, q, c, decoding = segment.sequences, segment.new_tokens, segment.reached, segment.decodes
    heads, latent = a.num_attention_heads / d.tp, a.latent_width
    sizes = (latent, a.latent_rank) if decoding else (a.head_size, a.value_size)
    width = sum(sizes) / 2
    seen = c if limit is None else minimum(c, limit)
    read = c if limit is None else minimum(c, limit * q)  # each query picks tokens of its own
    return Operator(
        "latent attention",
        "latent_decode" if decoding else "prefill_attention",
        flops=4 * s * heads * count_limited(segment, limit) * width,
        activation_bytes=2 * s * q * heads * width * d.activation_bytes,
        kv_bytes=s * (read + q) * latent * d.kv_bytes,
        m=q,
        n=seen,
        unseen=c - seen,
        k=width,
        batch=s * heads,
        group=heads if decoding else 1,
    )
