"""A recommendation by name, as JSON has it."""

from __future__ import annotations

from typing import Any

from simulator.explore.recommend.judge import Judged
from simulator.explore.recommend.launch import write_launch
from simulator.explore.recommend.reasons import find_binding, list_losers
from simulator.explore.recommend.recommend import Recommendation
from simulator.metrics.layout import describe_deployment
from simulator.metrics.prices import describe_mix

LEFT_OUT = "prefill and decode on devices of their own; experts spread over several replicas"


def record(found: Recommendation) -> dict[str, Any]:
    """Everything, with the question."""
    wish, load = found.wish, found.wish.load
    prices = {one.cell.device: one.rates.price for one in found.screened}
    return {
        "model": wish.model.id,
        "prompt_tokens": load.prompt_tokens,
        "output_tokens": load.output_tokens,
        "lengths": None if load.lengths is None else str(load.lengths),
        "concurrency": load.concurrency,
        "request_rate": load.request_rate,
        "limits": dict(wish.limits),
        "objective": wish.objective,
        "devices": [one.id for one in wish.devices],
        "max_devices": wish.most_devices,
        "nodes": wish.most_nodes,
        "configurations": found.configurations,
        "screening_s": found.screening_s,
        "simulating_s": found.simulating_s,
        "simulated": len(found.best) + len(found.missed),
        "best": [record_judged(one, found) for one in found.best],
        "first_beats_second": None if found.certainty is None else found.certainty.first_beats_second,
        "holds": None if found.certainty is None else list(found.certainty.holds),
        "others": [
            {
                "hardware": one.device,
                "format": None if one.screened is None else one.screened.cell.format,
                "layout": None if one.screened is None else one.screened.cell.layout,
                "replicas": None if one.attempt is None else one.attempt.replicas,
                "objective_ratio": one.ratio,
                "reason": one.reason,
            }
            for one in list_losers(found)
        ],
        "simulated_and_missed": [record_judged(one, found) for one in found.missed],
        "frontier": {
            device: [
                {"output_tokens_per_s_per_user": float(x), "output_tokens_per_s_per_device": float(y)}
                for x, y in points
            ]
            for device, points in found.frontier.items()
        },
        "prices": {name: None if price is None else vars(price) for name, price in prices.items()},
        "prices_compare": describe_mix(prices),
        "not_searched": LEFT_OUT,
    }


def record_judged(judged: Judged, found: Recommendation) -> dict[str, Any]:
    """One configuration that was simulated."""
    cell, attempt, question = judged.cell, judged.attempt, judged.simulation.question
    binding = find_binding(judged, found)
    return {
        "hardware": cell.device,
        "stack": question.work.stack.id,
        "profile": None if question.profile is None else question.profile.id,
        "basis": question.basis,
        "carried": "; ".join(question.carried),
        "format": cell.format,
        "devices": judged.devices,
        "replicas": attempt.replicas,
        **describe_deployment(cell.question.work.deployment),
        "max_num_batched_tokens": attempt.budget,
        "max_num_seqs": attempt.sequences,
        **judged.values,
        **{f"estimated_{name}": value for name, value in attempt.values.items()},
        "output_tokens_per_s_per_device": judged.values["output_tokens_per_s"] / judged.devices,
        "running_mean": attempt.running,
        "prefill_share": attempt.prefill_share,
        "decode_share": attempt.decode_share,
        "objective": judged.objective,
        **judged.spending._asdict(),
        "binds": binding.name or None,
        "binds_ratio": binding.ratio if binding.name else None,
        "launch": write_launch(cell, attempt),
    }
