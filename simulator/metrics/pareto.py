"""Pareto's frontier: who is on it, who is beaten by whom, and whether two rankings agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

FEW_POINTS = 64  # that are compared each with each
POINTS_AT_ONCE = 512  # that are compared with all others


def find_frontier(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the points that no other dominates: is at least as small in everything and smaller in something.

    Points are rows, (points, objectives), each objective to be minimised. Equal points stay together; points with
    something that is not a number are out. In the order of the first objective, of equals of the next, a point can only
    be dominated by one before it.
    """
    left = np.flatnonzero(~np.isnan(points).any(axis=1))
    left = left[np.lexsort(points[left].T[::-1])]
    if points.shape[1] == 2:
        return np.sort(left[find_plane_frontier(points[left])])
    return np.sort(left[list_undominated(points[left])])


def list_undominated(points: NDArray[np.float64]) -> NDArray[np.intp]:
    """Places of the points, in their order, that none before them dominates: those of the first half, then the others.

    Kung, Luccio and Preparata 1975 (doi 10.1145/321906.321910) divide so.
    """
    if len(points) <= FEW_POINTS:
        return np.flatnonzero(~find_dominated(points, points))
    half = len(points) // 2
    first, second = list_undominated(points[:half]), half + list_undominated(points[half:])
    return np.concatenate([first, second[~find_dominated(points[second], points[first])]])


def find_dominated(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points some of the others dominate."""
    found = np.zeros(len(points), dtype=bool)
    for start in range(0, len(points), POINTS_AT_ONCE):
        part = points[start : start + POINTS_AT_ONCE]
        found[start : start + POINTS_AT_ONCE] = compare_all(part, others).any(axis=1)
    return found


def compare_all(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the points, (points, others), each of the others dominates."""
    pairs = [(column[:, None], other) for column, other in zip(points.T, others.T, strict=True)]
    as_small = np.logical_and.reduce([other <= column for column, other in pairs])
    smaller = np.logical_or.reduce([other < column for column, other in pairs])
    return np.asarray(as_small & smaller)


def find_plane_frontier(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the points of two objectives, in their order, are on the frontier: smaller than all before, or equal."""
    second = points[:, 1]
    least_before = np.concatenate([[np.inf], np.minimum.accumulate(second)[:-1]])[: len(second)]
    is_new = np.concatenate([[True], (points[1:] != points[:-1]).any(axis=1)])[: len(second)]
    first_of_equals = np.maximum.accumulate(np.where(is_new, np.arange(len(second)), 0))
    better = (second < least_before) | ((np.arange(len(second)) == 0) & is_new)
    return np.asarray(better[first_of_equals], dtype=bool)


def orient(values: Sequence[ArrayLike], larger_is_better: Sequence[bool]) -> NDArray[np.float64]:
    """Points of some objectives, (points, objectives), from the values of each; each is then to be minimised."""
    signs = [-1.0 if larger else 1.0 for larger in larger_is_better]
    return np.stack([sign * np.asarray(one, dtype=np.float64) for sign, one in zip(signs, values, strict=True)], axis=1)


def mark_frontier(points: NDArray[np.float64]) -> list[bool]:
    """Whether each point is on the frontier."""
    on_it = np.zeros(len(points), dtype=bool)
    on_it[find_frontier(points)] = True
    return [bool(one) for one in on_it]


def find_dominators(points: NDArray[np.float64]) -> list[list[int]]:
    """For each point, the points of the frontier that dominate it, by the last objective from the smallest."""
    frontier = find_frontier(points)
    frontier = frontier[np.argsort(points[frontier, -1], kind="stable")]
    return [[int(place) for place in frontier[row]] for row in compare_all(points, points[frontier])]


def rank(values: Sequence[float], descending: bool = False) -> list[int]:
    """Ranks from 1; equal values share the best of their ranks, and the next takes up the count (1, 2, 2, 4)."""
    signed = [-value for value in values] if descending else list(values)
    return [1 + sum(other < value for other in signed) for value in signed]


def find_kendall_tau(one: Sequence[float], other: Sequence[float]) -> float:
    """Rank agreement of two lists, -1 to 1: Kendall's tau-b, which counts ties; NaN where all of a list are equal.

    tau_b = (concordant - discordant) / sqrt((pairs - ties in one) (pairs - ties in the other)); Kendall 1945, "The
    treatment of ties in ranking problems", Biometrika 33(3), 239-251.
    """
    ahead = [
        np.sign(np.subtract.outer(np.asarray(values, float), np.asarray(values, float))) for values in (one, other)
    ]
    untied = float(np.sqrt(np.sum(ahead[0] ** 2) * np.sum(ahead[1] ** 2)))
    return float(np.sum(ahead[0] * ahead[1])) / untied if untied else float("nan")
