"""The feed-forward block of one layer on one device: dense, or a mixture of experts."""

from __future__ import annotations

from simulator.costs.operators import Operator, grouped, linear
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.numbers import Number, power


def element_sizes(d: Deployment) -> dict[str, Number]:
    """Bytes of one weight, one number that enters a product and one that leaves it."""
    return {"weight_bytes": d.weight_bytes, "activation_bytes": d.activation_bytes, "input_bytes": d.input_bytes}


def list_ffn(name: str, a: Architecture, d: Deployment, m: Number, width: Number) -> list[Operator]:
    """The weight matrices of one block of a width that ``tp`` devices share."""
    h, f = a.hidden_size, width / d.tp
    sizes = element_sizes(d)
    return [
        linear(f"{name} in", m, (a.mlp_matrices - 1) * f, h, **sizes),
        linear(f"{name} out", m, h, f, **sizes),
    ]


def list_experts(a: Architecture, d: Deployment, m: Number) -> list[Operator]:
    """The router, the experts that this device holds with the tokens sent to them, and the shared experts.

    Every token picks ``num_experts_per_tok`` of the experts, each as likely as another: then ``count_touched_experts``
    are needed at all, and the tokens spread over these. ``m`` tokens enter on each copy of the model.
    """
    h, f = a.hidden_size, a.expert_width / d.expert_tp
    sent = m * d.expert_copies * a.chosen_experts
    touched = count_touched_experts(a, m * d.expert_copies)
    here, rows = touched / d.ep, sent / touched
    sizes = element_sizes(d)
    wide = {"weight_bytes": d.activation_bytes, "activation_bytes": d.activation_bytes}
    operators = [
        linear("router", m, a.experts, h, **wide)._replace(wide=True),
        grouped("experts in", here, rows, (a.mlp_matrices - 1) * f, h, **sizes),
        grouped("experts out", here, rows, h, f, **sizes),
    ]
    if a.shared_expert_intermediate_size is not None:
        operators += list_ffn("shared expert", a, d, m, a.shared_expert_intermediate_size)
    return operators


def count_touched_experts(a: Architecture, tokens: Number) -> Number:
    """Experts that at least one of the tokens is sent to, on average: ``E (1 - (1 - k / E)^tokens)``."""
    experts, chosen = a.experts, a.chosen_experts
    return experts * (1 - power(1 - chosen / experts, tokens))


def list_dispatch(a: Architecture, d: Deployment, m: Number) -> list[Operator]:
    """What copies of the model that share experts send each other: tokens there, results back, and the whole again.

    The devices of one copy hold the same tokens and each sends its share of them, once to every expert they chose.
    """
    message = m / d.tp * a.chosen_experts * a.hidden_size
    operators = [
        Operator("dispatch", "all_to_all", message_bytes=message * d.input_bytes),
        Operator("combine", "all_to_all", message_bytes=message * d.activation_bytes),
    ]
    if d.tp != 1:
        hidden = m * a.hidden_size * d.activation_bytes
        operators.append(Operator("token all-gather", "all_gather", message_bytes=hidden))
    return operators
