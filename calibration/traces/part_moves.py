"""Moves for emcee where the density falls into parts that each depend on one coordinate of their own, given the rest.

Ensembles need ever more steps past some ten dimensions. Prompt times are as many coordinates as there are prompt sizes;
but given the noise and the time per output token each depends on the requests of its own size alone. So all of them may
move at once, each accepted or not by its own part, and the rest in a space of few dimensions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import emcee
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SCALE = 2.38 / np.sqrt(2)  # of differences in one dimension; ter Braak 2006, doi:10.1007/s11222-006-8769-1
SCATTER = 0.05  # of the scale, so that walkers are not bound to a lattice


class OwnPartMove(emcee.moves.Move):  # type: ignore[misc]  # emcee has no types
    """Differential evolution of each of the first coordinates by itself."""

    def __init__(self, log_parts: Callable[[Array], Array], membership: Array) -> None:
        """Say which parts there are.

        Args:
            log_parts: log density of each part (columns) for each walker (rows); a walker's is their sum. Finite.
            membership: which part (rows) depends on which of the first coordinates (columns), one each, as 0 and 1.
        """
        self.log_parts, self.membership, self.owner = log_parts, membership, membership.argmax(axis=1)

    def propose(self, model: Any, state: Any) -> tuple[Any, NDArray[np.bool_]]:
        """Move one half of the walkers by differences of the other half, then the other way round."""
        random, count, own = model.random, len(state.coords), self.membership.shape[1]
        order, accepted = random.permutation(count), np.zeros(count, dtype=bool)
        halves = order[: count // 2], order[count // 2 :]
        for moved, fixed in (halves, halves[::-1]):
            size = (len(moved), own)
            first = random.randint(len(fixed), size=size)
            second = (first + random.randint(1, len(fixed), size=size)) % len(fixed)
            others, columns = state.coords[fixed], np.arange(own)
            scale = SCALE * (1 + SCATTER * random.standard_normal(size))
            walkers = state.coords[moved]
            proposed = walkers.copy()
            proposed[:, :own] += scale * (others[first, columns] - others[second, columns])
            old, new = self.log_parts(walkers), self.log_parts(proposed)
            taken = np.log(random.random_sample(size)) < (new - old) @ self.membership
            walkers[:, :own] = np.where(taken, proposed[:, :own], walkers[:, :own])
            state.coords[moved] = walkers
            state.log_prob[moved] = np.where(taken[:, self.owner], new, old).sum(axis=1)
            accepted[moved] = taken.any(axis=1)
        return state, accepted


class RestMove(emcee.moves.DEMove):  # type: ignore[misc]
    """Differential evolution of all but the first ``own`` coordinates."""

    def __init__(self, own: int, coordinates: int) -> None:
        super().__init__(gamma0=SCALE / np.sqrt(coordinates - own))
        self.own = own

    def get_proposal(self, s: Array, c: Any, random: Any) -> tuple[Array, Array]:
        """Propose for the walkers ``s`` from the others ``c``."""
        proposed, factors = super().get_proposal(s, c, random)
        proposed[:, : self.own] = s[:, : self.own]
        return proposed, factors
