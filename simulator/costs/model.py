"""One forward pass of a whole model on one device of the layout: which operators, how often."""

from __future__ import annotations

from typing import NamedTuple

from simulator.costs.attention import Tokens, count_model_attention_flops, list_attention_operators
from simulator.costs.layers import Group, list_head_operators, list_layer_groups, list_memory_kernels, list_products
from simulator.costs.operators import Operator
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number


class Step(NamedTuple):
    """Operators of one forward pass.

    ``layers`` and ``attention`` are groups of operators with the number of layers that they run in; ``attention`` alone
    depends on the context. ``embedding`` runs before the layers, ``stage`` between pipeline stages and ``head`` at the
    end, once each. A pipeline runs its stages one after the other, so the layers of all stages count.
    """

    depth: Number
    embedding: list[Operator]
    layers: list[Group]
    stage: list[Operator]
    head: list[Operator]
    attention: list[Group]


def build_step(a: Architecture, d: Deployment, stack: Stack, tokens: Tokens) -> Step:
    """List the work of one forward pass over ``tokens``."""
    return build_fixed(a, d, stack, tokens)._replace(attention=list_attention_operators(a, d, stack, tokens))


def build_fixed(a: Architecture, d: Deployment, stack: Stack, tokens: Tokens) -> Step:
    """List the work that does not depend on the context: all but the attention."""
    message = tokens.m * a.hidden_size * d.activation_bytes
    stage = [Operator("stage send", "send", message_bytes=message) for _ in range(d.pp - 1)]
    return Step(
        a.num_hidden_layers,
        list_memory_kernels(stack.embedding_kernels, a, d, stack, tokens.m),
        list_layer_groups(a, d, stack, tokens),
        stage,
        list_head_operators(a, d, stack, tokens),
        [],
    )


def prefill_tokens(prompt_tokens: Number, batch_size: Number) -> Tokens:
    """The forward pass that reads the whole prompt."""
    return Tokens(batch_size, prompt_tokens, prompt_tokens)


def decode_tokens(context: Number, batch_size: Number) -> Tokens:
    """The forward pass of one new token, after which the cache holds ``context`` tokens."""
    return Tokens(batch_size, 1, context, decoding=True)


def list_all(step: Step) -> list[tuple[Number, Operator]]:
    """Every operator of the pass with how often it runs."""
    repeated = [(layers, operator) for layers, operators in step.layers + step.attention for operator in operators]
    return repeated + [(1, operator) for operator in step.embedding + step.stage + step.head]


def count_model_flops(a: Architecture, d: Deployment, tokens: Tokens) -> Number:
    """FLOPs on one device that the model asks for, whatever the stack does: causal scores, logits of the last token."""
    unpacked = list_products(a, d, tokens._replace(decoding=False))  # latent attention counts as its paper defines it
    matrices = sum(layers * operator.flops for layers, operators in unpacked for operator in operators)
    head = 2 * tokens.sequences * a.embedding_width * a.vocab_size / d.tp
    return matrices + count_model_attention_flops(a, d, tokens) + head


def sum_cost(step: Step, cost: str) -> Number:
    """Total of one cost (``flops``, ``weight_bytes``, ``bytes_moved``...) of all operators of a pass on one device."""
    return sum(count * getattr(operator, cost) for count, operator in list_all(step))
