"""A mixture of experts: a router, experts of which each token meets a few, and shared experts that all meet."""

from __future__ import annotations

from simulator.costs.batch import Batch
from simulator.costs.feed_forwards.dense import count_mlp, list_ffn
from simulator.costs.kernels import list_memory_kernels
from simulator.costs.operators import Operator, all_reduce, element_sizes, grouped, linear
from simulator.costs.structure import FeedForward, Layer
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number, power


class Experts(FeedForward):
    """Routed experts, spread over ``ep`` devices, with shared ones beside them."""

    label = "experts"

    def count_parts(self, layer: Layer) -> dict[str, Number]:
        """Trainable numbers of the router, of the routed experts and of those that all tokens meet."""
        a = layer.a
        parts: dict[str, Number] = {
            "rest": a.hidden_size * a.experts + a.experts * a.router_bias,
            "experts": self.count_spread(layer),
        }
        if a.moe_latent_size is not None:
            parts["experts"] += 2 * a.hidden_size * a.moe_latent_size
        if a.shared_expert_intermediate_size is not None:
            shared = count_mlp(a, a.shared_expert_intermediate_size)
            parts["shared_experts"] = shared + a.hidden_size * a.shared_expert_gate
        return parts

    def count_idle(self, layer: Layer) -> Number:
        """Trainable numbers of the experts that one token is not sent to."""
        a = layer.a
        return (a.experts - a.activated_experts) * count_expert(a)

    def count_spread(self, layer: Layer) -> Number:
        """Trainable numbers of all routed experts."""
        return layer.a.experts * count_expert(layer.a)

    def list_gemms(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        """The router, the experts that this device holds with the tokens sent to them, and the shared experts.

        Every token picks ``num_experts_per_tok`` of the experts, each as likely as another: then
        ``count_activated_experts`` are needed at all, and the tokens spread over these. The ``batch``
        enters on each replica of the model; tokens of sequences that are alike pick the same experts.
        """
        a, rows = layer.a, batch.rows
        h, f = a.expert_input, a.expert_width / d.expert_tp
        sent = rows * d.expert_replicas * a.activated_experts
        activated = count_activated_experts(a, batch.count_distinct(d.expert_replicas))
        here, rows_each = activated / d.ep, sent / activated
        sizes = element_sizes(d, "experts")
        size = d.activation_bytes
        operators = [
            linear("router", rows, a.experts, a.hidden_size, weight_bytes=size, activation_bytes=size, wide=True),
            grouped("experts in", here, rows_each, (a.mlp_matrices - 1) * f, h, **sizes),
            grouped("experts out", here, rows_each, h, f, **sizes),
        ]
        if a.moe_latent_size is not None:
            operators += [
                linear("experts narrowed", rows, h, a.hidden_size, **sizes),
                linear("experts widened", rows, a.hidden_size, h, **sizes),
            ]
        if a.shared_expert_intermediate_size is not None:
            operators += list_ffn("shared expert", a, d, rows, a.shared_expert_intermediate_size, "shared_experts")
        return operators

    def list_exchange(self, layer: Layer, d: Deployment, stack: Stack, rows: Number) -> list[Operator]:
        """The stack's kernels for experts, and the messages of the block."""
        kernels = list_memory_kernels(stack.expert_kernels or [], layer, d, stack, rows)
        if d.expert_replicas == 1:
            return kernels + all_reduce("ffn", layer.a, d, rows)
        exchange = list_dispatch(layer.a, d, rows)
        if layer.a.shared_expert_intermediate_size is not None:
            exchange += all_reduce("shared expert", layer.a, d, rows)
        return kernels + exchange


def count_expert(a: Architecture) -> Number:
    """Trainable numbers of one routed expert."""
    return count_mlp(a, a.expert_width) - (a.hidden_size - a.expert_input) * (a.mlp_matrices * a.expert_width)


def count_activated_experts(a: Architecture, tokens: Number) -> Number:
    """Experts that at least one of the tokens is sent to, on average: ``E (1 - (1 - k / E)^tokens)``."""
    experts, chosen = a.experts, a.activated_experts
    return experts * (1 - power(1 - chosen / experts, tokens))


def list_dispatch(a: Architecture, d: Deployment, rows: Number) -> list[Operator]:
    """What replicas that share experts send each other: tokens there, results back, and the whole again.

    The devices of one replica hold the same tokens and each sends its share of them, once to every expert they chose.
    """
    message = rows / d.tp * a.activated_experts * a.expert_input
    operators = [
        Operator("dispatch", "all_to_all", message_bytes=message * d.input_bytes_of("experts")),
        Operator("combine", "all_to_all", message_bytes=message * d.activation_bytes),
    ]
    if d.tp != 1:
        hidden = rows * a.hidden_size * d.activation_bytes
        operators.append(Operator("token all-gather", "all_gather", message_bytes=hidden))
    return operators
