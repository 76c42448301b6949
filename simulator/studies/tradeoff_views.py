"""Views of a trade-off: the frontier, who is beaten by whom, ranks by scenario, and how far two rankings agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from simulator.errors import CheckFailed
from simulator.metrics.pareto import find_dominators, find_kendall_tau, mark_frontier, rank
from simulator.studies.tradeoff import COSTS, Point, group_points, list_objectives

View = Literal["rows", "scenarios", "models", "agreement"]


def list_points(points: Sequence[Point], column: str, compare: str | None) -> list[dict[str, Any]]:
    """One row a model and scenario."""
    rows: list[dict[str, Any]] = []
    for scenario, group in group_points(points).items():
        pairs = [(point.score.accuracy, point.cost) for point in group]
        objectives = list_objectives(group)
        on_frontier, dominators = mark_frontier(objectives), find_dominators(objectives)
        ratios = [point.score.accuracy / point.cost for point in group]
        ranks = zip(
            rank([pair[0] for pair in pairs], True), rank([pair[1] for pair in pairs]), rank(ratios, True), strict=True
        )
        for point, on_it, beaten, placed in zip(group, on_frontier, dominators, ranks, strict=True):
            row = {
                "scenario": scenario,
                "model": point.score.model,
                "architecture": point.architecture,
                "accuracy": point.score.accuracy,
                "prompt_tokens": point.score.prompt_tokens,
                "output_tokens": point.score.output_tokens,
                "devices": point.devices,
                column: point.cost,
                "frontier": on_it,
                "dominated_by": [group[index].score.model for index in beaten],
                "accuracy_rank": placed[0],
                "cost_rank": placed[1],
                "ratio_rank": placed[2],
            }
            if compare is not None:
                row["compared"] = point.compared
                if same_unit(column, compare):
                    row["deviation"] = point.cost / point.compared - 1
            rows.append(row)
    return rows


def same_unit(column: str, compare: str) -> bool:
    """Whether the two costs can be divided by each other: both seconds, or the same kind."""
    seconds = compare.endswith(("_s", ".json")) or compare == "idealized_runtime"
    return seconds if column.endswith("_s") else compare in COSTS and COSTS[compare].column == column


def list_scenarios(points: Sequence[Point], compare: str | None) -> list[dict[str, Any]]:
    """One row a scenario: its frontier, and the rank agreement of accuracy with cost and of the two costs.

    ``tau_cost`` is of the two costs, ``tau_ratio`` of accuracy over either, among the models that have both.
    ``swapped`` names the pairs whose order by accuracy over cost differs, with their distance by the compared cost.
    """
    rows = []
    for scenario, group in group_points(points).items():
        on_frontier = mark_frontier(list_objectives(group))
        row: dict[str, Any] = {
            "scenario": scenario,
            "models": len(group),
            "frontier": [point.score.model for point, on_it in zip(group, on_frontier, strict=True) if on_it],
            "tau_accuracy": find_kendall_tau([p.score.accuracy for p in group], [p.cost for p in group]),
        }
        if compare is not None:
            both = [point for point in group if point.compared > 0]
            ratios = [[p.score.accuracy / p.cost for p in both], [p.score.accuracy / p.compared for p in both]]
            row["compared"] = len(both)
            row["tau_cost"] = find_kendall_tau([p.cost for p in both], [p.compared for p in both])
            row["tau_ratio"] = find_kendall_tau(*ratios)
            row["swapped"] = [f"{pair} ({100 * gap:.1f}%)" for pair, gap in list_swapped(both, *ratios)]
        rows.append(row)
    return rows


def list_swapped(points: Sequence[Point], one: Sequence[float], other: Sequence[float]) -> list[tuple[str, float]]:
    """Pairs of models that two lists of numbers put in opposite orders, each with how far ``other`` has them apart."""
    count = len(points)
    pairs = [(left, right) for left in range(count) for right in range(left + 1, count)]
    return [
        (f"{points[left].score.model} / {points[right].score.model}", abs(other[left] / other[right] - 1))
        for left, right in pairs
        if (one[left] - one[right]) * (other[left] - other[right]) < 0
    ]


def list_agreement(points: Sequence[Point], least: float, models: int) -> list[dict[str, Any]]:
    """How far two rankings agree over all scenarios on which at least ``models`` have both costs: by cost, and by
    accuracy over cost. Scenarios on which all are equal, such as at an accuracy of 0, have no ranking and do not count.

    ``widest_swap`` is the largest distance, by the compared numbers, of two models that the other ranking swaps.
    """
    rows = []
    for name, power in (("cost", 0), ("accuracy over cost", 1)):
        taus, gaps, pairs = [], [], 0
        for group in group_points(points).values():
            both = [point for point in group if point.compared > 0]
            scores = [point.score.accuracy**power for point in both]
            ours = [score / point.cost for score, point in zip(scores, both, strict=True)]
            theirs = [score / point.compared for score, point in zip(scores, both, strict=True)]
            tau = find_kendall_tau(ours, theirs)
            if len(both) >= models and not np.isnan(tau):
                taus.append(tau)
                gaps += [gap for _, gap in list_swapped(both, ours, theirs)]
                pairs += len(both) * (len(both) - 1) // 2
        row = {
            "ranking": name,
            "scenarios": len(taus),
            "mean_tau": float(np.mean(taus)) if taus else None,
            "least_tau": min(taus, default=None),
            f"tau_at_least_{least:g}": sum(tau >= least for tau in taus),
            "pairs": pairs,
            "swapped": len(gaps),
            "median_swap": f"{100 * float(np.median(gaps)):.1f}%" if gaps else None,
            "widest_swap": f"{100 * max(gaps):.1f}%" if gaps else None,
        }
        rows.append(row)
    return rows


def list_models(rows: Sequence[Mapping[str, Any]], column: str) -> list[dict[str, Any]]:
    """One row a model: on how many scenarios it is on the frontier, and its mean rank by accuracy over cost."""
    listed = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own = [row for row in rows if row["model"] == model]
        summary = {
            "model": model,
            "architecture": own[0]["architecture"],
            "scenarios": len(own),
            "on_frontier": sum(bool(row["frontier"]) for row in own),
            "mean_accuracy": float(np.mean([row["accuracy"] for row in own])),
            f"mean_{column}": float(np.mean([row[column] for row in own])),
            "mean_accuracy_rank": float(np.mean([row["accuracy_rank"] for row in own])),
            "mean_ratio_rank": float(np.mean([row["ratio_rank"] for row in own])),
        }
        listed.append(summary)
    return sorted(listed, key=lambda row: row["mean_ratio_rank"])


def check_agreement(points: Sequence[Point], least: float, models: int) -> None:
    """Refuse scenarios of at least so many models on which the rankings agree less.

    Raises:
        CheckFailed: with how many there are, and the least agreement; or there is no such scenario.
    """
    failed = []
    for row in list_agreement(points, least, models):
        passed = row[f"tau_at_least_{least:g}"]
        if not row["scenarios"]:
            failed.append(f"no scenario has {models} models with both, ranked by {row['ranking']}")
        elif passed < row["scenarios"]:
            count = f"{row['scenarios'] - passed} of {row['scenarios']} scenarios with {models} models or more"
            failed.append(f"by {row['ranking']} on {count}, the least {row['least_tau']:.3f}")
    if failed:
        raise CheckFailed(f"Kendall's tau of the rankings is not at least {least:g}: {'; '.join(failed)}")
