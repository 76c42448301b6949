"""Draws from a posterior with the affine-invariant ensemble of Goodman and Weare 2010 (doi:10.2140/camcos.2010.5.65).

Stretch moves need ever more steps past some ten dimensions. Where the density falls into parts that each depend on one
coordinate of their own, given the rest, the ensemble therefore moves in two steps: all of these by the same amount
together with the rest, and then each alone, accepted or not by its own part.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
STRETCH = 2.0  # Goodman and Weare's a
GROUPS = 4  # of walkers that know nothing of each other, for the error of what they say together
IMPOSSIBLE = -1e300  # log of a density of zero; infinity times zero would be no number


class Ensemble:
    """Walkers in groups; of each, two halves move in turn, each along lines through walkers of the other half."""

    def __init__(
        self,
        log_densities: Callable[[Array], Array],
        cloud: Array,
        generator: np.random.Generator,
        membership: Array | None = None,
    ) -> None:
        """Place the walkers.

        Args:
            log_densities: log density of each part (columns) for each walker (rows); a walker's is their sum.
            cloud: the walkers, one a row; a multiple of twice ``GROUPS``.
            generator: of the moves.
            membership: which part (rows) depends on which of the first coordinates (columns), one each, as 0 and 1;
                None: all coordinates move together.
        """
        self.log_densities, self.cloud, self.generator, self.membership = log_densities, cloud, generator, membership
        self.alone = 0 if membership is None else membership.shape[1]
        self.current = log_densities(cloud)
        self.gather()

    def gather(self) -> None:
        """Let walkers outside of what is allowed join ones inside."""
        possible = self.current.sum(axis=1) > IMPOSSIBLE / 2
        inside, lost = np.flatnonzero(possible), np.flatnonzero(~possible)
        if len(inside) and len(lost):
            taken = self.cloud[self.generator.choice(inside, size=len(lost))]
            self.cloud[lost] = taken * (1 + 1e-4 * self.generator.normal(size=taken.shape))
            self.current = self.log_densities(self.cloud)

    def run(self, burn_in: int, kept: int) -> Array:
        """Move so many steps; of those after the first, every second is kept: (steps, walkers, coordinates)."""
        half = len(self.cloud) // 2
        sample = []
        for step in range(burn_in + kept):
            for moved, fixed in ((slice(0, half), slice(half, None)), (slice(half, None), slice(0, half))):
                self.move_together(moved, self.cloud[fixed], self.alone if step % 2 else 0)
                if self.membership is not None:
                    self.move_alone(moved, self.cloud[fixed], self.membership)
            if step >= burn_in and step % 2 == 0:
                sample.append(self.cloud.copy())
        return np.array(sample)

    def draw_stretch(self, size: tuple[int, int]) -> Array:
        """How far to go, in distances to the other walker: a density of 1 / sqrt(z) between 1/a and a."""
        return ((STRETCH - 1) * self.generator.random(size) + 1) ** 2 / STRETCH

    def choose_partners(self, walkers: int, each: int) -> NDArray[np.int64]:
        """For each walker of one half, so many places of the other half's walkers of its own group."""
        size = walkers // GROUPS
        own = size * (np.arange(walkers) // size)
        return own[:, None] + self.generator.integers(size, size=(walkers, each))

    def move_together(self, moved: slice, others: Array, alone: int) -> None:
        """Stretch all coordinates, the first ``alone`` of them by their mean."""
        walkers = self.cloud[moved]
        partners = others[self.choose_partners(len(walkers), 1)[:, 0]]
        stretch = self.draw_stretch((len(walkers), 1))
        proposed = partners + stretch * (walkers - partners)
        free = walkers.shape[1] - (alone - 1 if alone else 0)
        if alone:
            shift = (proposed[:, :alone] - walkers[:, :alone]).mean(axis=1, keepdims=True)
            proposed[:, :alone] = walkers[:, :alone] + shift
        found = self.log_densities(proposed)
        gain = (free - 1) * np.log(stretch[:, 0]) + (found - self.current[moved]).sum(axis=1)
        accepted = np.log(self.generator.random(len(walkers))) < gain
        self.cloud[moved] = np.where(accepted[:, None], proposed, walkers)
        self.current[moved] = np.where(accepted[:, None], found, self.current[moved])

    def move_alone(self, moved: slice, others: Array, membership: Array) -> None:
        """Stretch each coordinate with a part of its own, through a walker of its own."""
        walkers, alone = self.cloud[moved], self.alone
        size = (len(walkers), alone)
        partners = others[self.choose_partners(*size), np.arange(alone)]
        proposed = walkers.copy()
        proposed[:, :alone] = partners + self.draw_stretch(size) * (walkers[:, :alone] - partners)
        found = self.log_densities(proposed)
        accepted = np.log(self.generator.random(size)) < (found - self.current[moved]) @ membership
        self.cloud[moved, :alone] = np.where(accepted, proposed[:, :alone], walkers[:, :alone])
        parts = accepted[:, membership.argmax(axis=1)]
        self.current[moved] = np.where(parts, found, self.current[moved])


def find_r_hat(chains: Array) -> float:
    """How much wider all groups spread than each of them, at its worst over the coordinates; 1 where they agree.

    Gelman and Rubin's R-hat (1992, doi:10.1214/ss/1177011136) with the two halves in time of each group as the chains:
    at 1.02, the mean of all is off by some 7% of a standard deviation. ``chains``: (steps, walkers, coordinates).
    """
    steps, walkers, coordinates = chains.shape
    half = steps // 2
    # Each half of the walkers holds a stretch of every group.
    parts = chains[: 2 * half].reshape(2, half, 2, GROUPS, walkers // (2 * GROUPS), coordinates)
    means, within = parts.mean(axis=(1, 2, 4)), parts.var(axis=(1, 2, 4)).mean(axis=(0, 1))
    if not np.all(within > 0):
        return float("inf")
    between = means.reshape(-1, coordinates).var(axis=0, ddof=1)
    return float(np.sqrt(1 + between / within).max())
