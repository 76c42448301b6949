"""A mixture of experts: a router, experts of which each token meets a few, and shared experts that all meet."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from simulator.costs.batch import Batch, add
from simulator.costs.feed_forwards.dense import count_mlp, list_ffn
from simulator.costs.kernels import count_bytes, list_memory_kernels, list_quantized
from simulator.costs.operators import ElementSizes, Operator, all_reduce, element_sizes, grouped, linear
from simulator.costs.structure import FeedForward, Layer
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number, maximum, minimum, power, square_root, where

SHARE_EDGES = (0.0, 0.5, 0.75, 0.875, 0.9375, 0.96875, 1.0)  # quantiles between which experts are taken as alike
DROWSY_RANGE = 200.0  # largest over smallest share of experts where there are fewer rows than experts
SMALLEST_RANGE = 1e-3


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

    def count_copied(self, layer: Layer, d: Deployment) -> Number:
        """Of the router, which every device has whole."""
        return layer.a.hidden_size * layer.a.experts * (1 - 1 / d.tp)

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
        gated = a.shared_expert_gate and a.shared_expert_intermediate_size is not None
        scored = a.experts + gated  # the gate of the shared expert is one more row of the router
        router = linear("router", rows, scored, a.hidden_size, weight_bytes=size, activation_bytes=size, wide=True)
        operators = [router, *list_expert_products(here, rows_each, (a.mlp_matrices - 1) * f, f, h, sizes)]
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
        kernels = list_memory_kernels(stack.expert_kernels or [], layer, d, stack, rows, "gather")
        if d.expert_replicas == 1:
            return kernels + all_reduce("ffn", layer.a, d, rows)
        exchange = list_dispatch(layer.a, d, rows)
        if layer.a.shared_expert_intermediate_size is not None:
            exchange += all_reduce("shared expert", layer.a, d, rows)
        return kernels + exchange


def list_expert_products(
    experts: Number, rows: Number, wide: Number, width: Number, hidden: Number, sizes: ElementSizes
) -> list[Operator]:
    """The two products of some experts with rows of their own; ``wide`` columns come out of the first."""
    return [
        grouped("experts in", experts, rows, wide, hidden, **sizes),
        grouped("experts out", experts, rows, hidden, width, **sizes),
    ]


def list_expert_block(s: Mapping[str, Number], d: Deployment, stack: Stack) -> list[Operator]:
    """A block of experts by its sizes alone (``operator_text``), as kernel benchmarks time it: without the router.

    The experts of this device get ``tokens chosen held / experts`` rows; the busiest device is timed, so at least one.
    """
    sizes = element_sizes(d, "experts")
    spread = spread_rows(s["tokens"] * s["chosen"], s["tokens"], s["experts"], s["held"], s["skew"])
    products = [
        list_expert_products(experts, rows, (s["matrices"] - 1) * s["width"], s["width"], s["hidden"], sizes)
        for experts, rows in spread
    ]
    joined = repeat_block([join_shares(list(of_one)) for of_one in zip(*products, strict=True)], s["copies"])
    here = sum(experts * rows for experts, rows in spread)
    widths = {"hidden": (s["tokens"], s["hidden"]), "activated": (here, s["hidden"]), "ffn": (here, s["width"])}
    kernels = (stack.expert_kernels or []) + [one for one in stack.layer_kernels if one.over == "ffn"]
    moving = [
        Operator(
            kernel.name,
            "gather",
            activation_bytes=widths[kernel.over][0] * widths[kernel.over][1] * count_bytes(kernel, d.activation_bytes),
            launches=kernel.launches,
        )
        for kernel in kernels
        if kernel.when in (None, {"gated_mlp": True})
    ]
    return [*moving, *list_quantized(joined, d, stack)]


def repeat_block(products: list[Operator], copies: Number) -> list[Operator]:
    """Products that a benchmark runs one after the other, copies of all of them in turn.

    Between two runs of one the operands of them all pass through the last cache, as if it had so many more copies.
    """
    if not np.any(copies):
        return products
    passing = add(copies * one.weight_bytes + one.activation_bytes for one in products)
    repeated = [one._replace(copies=(passing - one.activation_bytes) / one.weight_bytes) for one in products]
    return [one._replace(parts=tuple(part._replace(copies=one.copies) for part in one.parts)) for one in repeated]


def spread_rows(
    sent: Number, tokens: Number, experts: Number, held: Number, skew: Number
) -> list[tuple[Number, Number]]:
    """Classes of the experts that a device holds: how many there are, and the rows that each of them gets.

    Balanced (no skew): all alike, as many of them awake as there are rows. Skewed, as the AIConfigurator draws it
    (collector/helper.py, power_law_logits_v3): each expert's share ``x`` has a density of ``x^-skew`` between 1
    and 0.8 of the tokens (0.01 to 2 where there are fewer rows than experts), and the devices' busiest group is timed.
    """
    here = maximum(sent * held / experts, 1.0)
    if not np.any(skew):
        awake = minimum(held, here)
        return [(awake, here / awake)]
    largest = where(sent > experts, maximum(0.8 * tokens, 1.0 + SMALLEST_RANGE), DROWSY_RANGE)
    shares, variance = find_shares(where(skew > 0, skew, 1.0 + SMALLEST_RANGE), largest)
    groups = experts / held
    busiest = minimum(1 + square_root(variance / held * 2 * np.log(groups)), groups)
    classes = []
    for (low, high), share in zip(pairwise(SHARE_EDGES), shares, strict=True):
        rows = where(skew > 0, share * busiest, 1.0) * here / held
        classes.append((held * (high - low) * minimum(rows, 1.0), maximum(rows, 1.0)))
    return classes


def find_shares(skew: Number, largest: Number) -> tuple[list[Number], Number]:
    """Mean share of the experts between the quantiles ``SHARE_EDGES``, over that of all, and the shares' variance.

    The quantile ``u`` of a density ``x^-a`` between 1 and L is ``(1 + u (L^(1-a) - 1))^(1/(1-a))``.
    """
    steepness = power(largest, 1 - skew) - 1

    def sum_below(u: float, moment: int) -> Number:
        exponent = moment / (1 - skew) + 1
        return power(1 + u * steepness, exponent) / (steepness * exponent)

    mean = sum_below(1.0, 1) - sum_below(0.0, 1)
    square = sum_below(1.0, 2) - sum_below(0.0, 2)
    shares = [(sum_below(high, 1) - sum_below(low, 1)) / (high - low) / mean for low, high in pairwise(SHARE_EDGES)]
    return shares, square / mean**2 - 1


def join_shares(classes: list[Operator]) -> Operator:
    """One kernel over classes of experts with rows of their own."""
    if len(classes) == 1:
        return classes[0]
    names = ("flops", "weight_bytes", "activation_bytes", "batch")
    sums = {name: add(getattr(one, name) for one in classes) for name in names}
    rows = add(one.batch * one.m for one in classes) / sums["batch"]
    return classes[0]._replace(**sums, m=rows, parts=tuple(classes))


def count_expert(a: Architecture) -> Number:
    """Trainable numbers of one routed expert."""
    return count_mlp(a, a.expert_width) - (a.hidden_size - a.expert_input) * (a.mlp_matrices * a.expert_width)


def count_activated_experts(a: Architecture, tokens: Number) -> Number:
    """Experts that at least one of the tokens is sent to, on average: ``E (1 - (1 - k / E)^tokens)``."""
    return count_awake(a.experts, a.activated_experts, tokens)


def count_awake(experts: Number, chosen: Number, tokens: Number) -> Number:
    """The same of so many experts, of which each token chooses some."""
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
