"""A whole decoder in plain eager PyTorch, with random weights and a KV cache: what the simulator's laws are held to.

The stack file ``pytorch-eager.yaml`` lists the kernels that this module launches, in the same order. Whoever changes
one changes the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from simulator.costs.parameters import count_parameters
from simulator.errors import InputError
from simulator.inputs.architecture import Architecture, check_architecture

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
# Numbers of the random block that all weights repeat: drawing every weight anew takes longer than measuring the model.
BLOCK = 1 << 20
WEIGHT_SPREAD = 0.02  # standard deviation of a weight, as GPT-2 is initialised
ALIGNMENT = 64  # elements: every tensor of a pool starts on a cache line
ROTARY_BASE = 10000.0
BUILT = ("attention", "window_attention", "dense")  # kinds of mixers and feed-forward parts that this module builds


class WeightPool:
    """Numbers that models and operands are cut from, so that each is made at once."""

    def __init__(self, numbers: Tensor) -> None:
        self.numbers = numbers
        self.taken = 0

    def take(self, *shape: int) -> Tensor:
        """Return the next unused numbers as a tensor of this shape.

        Raises:
            InputError: the pool is too small.
        """
        count = math.prod(shape)
        start = self.taken
        if start + count > len(self.numbers):
            raise InputError(f"a pool of {len(self.numbers)} weights is too small for the model")
        self.taken = -(-(start + count) // ALIGNMENT) * ALIGNMENT
        return self.numbers[start : start + count].view(shape)


def fill_randomly(numbers: Tensor) -> None:
    """Fill with copies of one block of normal numbers."""
    generator = torch.Generator(numbers.device).manual_seed(0)
    block = torch.randn(BLOCK, generator=generator, dtype=torch.float32, device=numbers.device)
    block = (WEIGHT_SPREAD * block).to(numbers.dtype)
    whole = len(numbers) // BLOCK * BLOCK
    numbers[:whole].view(-1, BLOCK).copy_(block)
    numbers[whole:].copy_(block[: len(numbers) - whole])


def draw_weights(count: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Random numbers; none at all on the meta device."""
    numbers = torch.empty(count, dtype=dtype, device=device)
    if device.type != "meta":
        fill_randomly(numbers)
    return numbers


@dataclass
class Norm:
    """LayerNorm with a bias, or RMSNorm without."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        if self.bias is not None:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias)
        # RMSNorm is a vector of length sqrt(h): the weight carries that factor (``take_norm``).
        return F.normalize(x, dim=-1) * self.weight


@dataclass
class Linear:
    """A weight matrix (out, in) with or without bias."""

    weight: Tensor
    bias: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to the last dimension."""
        return F.linear(x, self.weight, self.bias)


@dataclass
class Layer:
    """Weights of one layer. ``qkv`` and ``ffn_in`` (gate and up side by side) are one product each."""

    norms: list[Norm]
    qkv: Linear
    out: Linear
    ffn_in: Linear
    ffn_out: Linear


class Decoder:
    """A model on one device. ``prefill`` starts a batch of requests, ``decode_step`` adds one token to each.

    The cache holds ``batch_size`` requests of up to ``max_tokens`` tokens, and is allocated once. ``pool`` has the
    weights; None: the model draws its own.
    """

    def __init__(
        self,
        architecture: Architecture,
        dtype: str,
        device: str | torch.device,
        batch_size: int,
        max_tokens: int,
        pool: WeightPool | None = None,
    ) -> None:
        a = self.architecture = architecture
        refuse_unbuildable(a, max_tokens)
        kind, place = DTYPES[dtype], torch.device(device)
        pool = pool or WeightPool(draw_weights(count_pool(a), kind, place))
        self.tokens = pool.take(a.vocab_size, a.embedding_width)
        self.projection = None if a.embedding_size is None else pool.take(a.embedding_size, a.hidden_size)
        learned = a.position_embedding == "learned"
        self.positions = pool.take(a.max_position_embeddings, a.hidden_size) if learned else None
        self.embedding_norm = take_norm(a, pool) if a.embedding_norm else None
        self.layers = [take_layer(a, pool) for _ in range(a.num_hidden_layers)]
        self.final_norm = take_norm(a, pool)
        table = self.tokens if a.tie_word_embeddings else pool.take(a.vocab_size, a.embedding_width)
        self.head = Linear(table, pool.take(a.vocab_size) if a.lm_head_bias else None)
        cache = (a.num_hidden_layers, batch_size, a.kv_heads, max_tokens, int(a.head_size))
        self.keys, self.values = (torch.zeros(cache, dtype=kind, device=place) for _ in range(2))
        self.cos, self.sin = make_rotary_tables(a, max_tokens, kind, place)
        self.biases = make_alibi_biases(a, max_tokens, kind, place) if a.position_embedding == "alibi" else None

    @torch.inference_mode()
    def prefill(self, tokens: Tensor) -> Tensor:
        """Read prompts (batch, tokens) and return the first output token of each."""
        return pick_likeliest(self.find_logits(tokens, 0))

    @torch.inference_mode()
    def decode_step(self, tokens: Tensor, position: int) -> Tensor:
        """Read one token of each request (batch), which stands at ``position``, and return the next."""
        return pick_likeliest(self.find_logits(tokens[:, None], position))

    def find_logits(self, tokens: Tensor, start: int) -> Tensor:
        """Logits of the last of the tokens (batch, tokens), the first of which stands at position ``start``."""
        x = F.embedding(tokens, self.tokens)
        if self.projection is not None:
            x = x @ self.projection
        if self.positions is not None:
            x = x + self.positions[start : start + tokens.shape[1]]
        if self.embedding_norm is not None:
            x = self.embedding_norm(x)
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            x = self.apply_layer(layer, (keys, values), x, start)
        x = self.final_norm(x[:, -1])
        if self.projection is not None:
            x = F.linear(x, self.projection)
        return self.head(x)

    def apply_layer(self, layer: Layer, cache: tuple[Tensor, Tensor], x: Tensor, start: int) -> Tensor:
        """One layer, its residual connections included."""
        first = layer.norms[0](x)
        attended = self.attend(layer, cache, first, start)
        if self.architecture.parallel_residual:
            second = first if len(layer.norms) == 1 else layer.norms[1](x)
            return x + attended + self.feed_forward(layer, second)
        x = x + attended
        return x + self.feed_forward(layer, layer.norms[1](x))

    def attend(self, layer: Layer, cache: tuple[Tensor, Tensor], x: Tensor, start: int) -> Tensor:
        """Attention with its projections; ``cache`` is keys and values (batch, heads, tokens, head size)."""
        a = self.architecture
        batch, count, _ = x.shape
        end = start + count
        heads, size = a.num_attention_heads, int(a.head_size)
        packed = layer.qkv(x).view(batch, count, heads + 2 * a.kv_heads, size)
        turned, values = packed[:, :, : heads + a.kv_heads], packed[:, :, heads + a.kv_heads :]
        if a.position_embedding == "rotary":
            turned = rotate(turned, self.cos[start:end], self.sin[start:end])
        all_keys, all_values = (one[:, :, :end] for one in cache)
        all_keys[:, :, start:] = turned[:, :, heads:].transpose(1, 2)
        all_values[:, :, start:] = values.transpose(1, 2)
        attended = F.scaled_dot_product_attention(
            turned[:, :, :heads].transpose(1, 2),
            all_keys,
            all_values,
            attn_mask=None if self.biases is None else self.biases[:, :, start:end, :end],
            is_causal=self.biases is None and count > 1,
            enable_gqa=a.kv_heads != heads,
        )
        return layer.out(attended.transpose(1, 2).reshape(batch, count, heads * size))

    def feed_forward(self, layer: Layer, x: Tensor) -> Tensor:
        """The feed-forward block."""
        inner = layer.ffn_in(x)
        if self.architecture.gated_mlp:
            gate, up = inner.chunk(2, -1)
            return layer.ffn_out(F.silu(gate) * up)
        return layer.ffn_out(F.gelu(inner))


def pick_likeliest(logits: Tensor) -> Tensor:
    """Greedy sampling of logits (batch, vocabulary); on a CPU ``max`` is several times as fast as ``argmax``."""
    return logits.max(-1).indices


def refuse_unbuildable(a: Architecture, max_tokens: int) -> None:
    """Refuse what this module does not build.

    Raises:
        InputError: dimensions that no model has, another count of norms, or more tokens than the table has positions.
    """
    check_architecture(a, "model")
    other = next((kind for group in a.groups for kind in (group.mixer, group.feed_forward) if kind not in BUILT), None)
    if other is not None:
        raise InputError(f"layers of {other} are not built in eager PyTorch; it has {', '.join(BUILT)}")
    if a.norms_per_layer != 2 and not (a.norms_per_layer == 1 and a.parallel_residual):
        raise InputError(f"norms_per_layer is {a.norms_per_layer}; eager PyTorch has 2, or 1 with parallel_residual")
    if a.position_embedding == "learned" and max_tokens > a.max_position_embeddings:
        raise InputError(f"{max_tokens} tokens are more than the {a.max_position_embeddings} learned positions")


def count_pool(a: Architecture) -> int:
    """Numbers that the weights take with every tensor rounded up to whole cache lines."""
    tensors = 12 * a.num_hidden_layers + 12
    return int(count_parameters(a)) + tensors * ALIGNMENT


def take_norm(a: Architecture, pool: WeightPool) -> Norm:
    """Weights of one normalisation."""
    if a.norm_bias:
        return Norm(pool.take(a.hidden_size), pool.take(a.hidden_size))
    return Norm(pool.take(a.hidden_size) * math.sqrt(a.hidden_size), None)


def take_linear(pool: WeightPool, rows: int, columns: int, bias: bool) -> Linear:
    """Weights of one product."""
    return Linear(pool.take(rows, columns), pool.take(rows) if bias else None)


def take_layer(a: Architecture, pool: WeightPool) -> Layer:
    """Weights of one layer."""
    q, kv, f = int(a.query_width), int(a.kv_width), a.intermediate_size
    return Layer(
        [take_norm(a, pool) for _ in range(a.norms_per_layer)],
        take_linear(pool, q + 2 * kv, a.hidden_size, a.attention_bias),
        take_linear(pool, a.hidden_size, q, a.attention_output_bias),
        take_linear(pool, (a.mlp_matrices - 1) * f, a.hidden_size, a.mlp_bias),
        take_linear(pool, a.hidden_size, f, a.mlp_bias),
    )


def count_weights(decoder: Decoder) -> int:
    """Numbers in all weights of a model, a tied table once."""
    linears, norms = [decoder.head], [decoder.final_norm]
    norms += [] if decoder.embedding_norm is None else [decoder.embedding_norm]
    for layer in decoder.layers:
        linears += [layer.qkv, layer.out, layer.ffn_in, layer.ffn_out]
        norms += layer.norms
    tensors = [decoder.tokens, decoder.projection, decoder.positions]
    tensors += [tensor for one in linears for tensor in (one.weight, one.bias)]
    tensors += [tensor for one in norms for tensor in (one.weight, one.bias)]
    return sum({id(tensor): tensor.numel() for tensor in tensors if tensor is not None}.values())


def make_rotary_tables(a: Architecture, tokens: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and signed sines, (tokens, 1, head size), as Su et al. 2021 (arXiv 2104.09864) in halves."""
    size = int(a.head_size)
    place = "cpu" if device.type == "meta" else device
    speeds = ROTARY_BASE ** (-torch.arange(0, size, 2, device=place) / size)
    angles = torch.outer(torch.arange(tokens, device=place), speeds)
    cos, sin = torch.cat((angles.cos(),) * 2, -1), torch.cat((-angles.sin(), angles.sin()), -1)
    return cos[:, None].to(device, dtype), sin[:, None].to(device, dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate (batch, tokens, heads, head size) by each token's angle: three kernels."""
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def make_alibi_biases(a: Architecture, tokens: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Linear biases with the causal mask, (1, heads, tokens, tokens), as Press et al. 2021 (arXiv 2108.12409)."""
    heads = a.num_attention_heads
    place = torch.arange(tokens, device=device)
    distance = place - place[:, None]  # of a key from its query: negative in the past
    slopes = 2.0 ** (-8.0 / heads * torch.arange(1, heads + 1, device=device))
    biases = (slopes[:, None, None] * distance).masked_fill(distance > 0, -math.inf)
    return biases[None].to(dtype)
