"""Kinds of feed-forward parts by their names in an architecture's ``layers``."""

from simulator.costs.feed_forwards.dense import Dense
from simulator.costs.feed_forwards.experts import Experts
from simulator.costs.feed_forwards.none import NoFeedForward
from simulator.costs.structure import FeedForward

FEED_FORWARDS: dict[str, FeedForward] = {"none": NoFeedForward(), "dense": Dense(), "experts": Experts()}
