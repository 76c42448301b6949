"""Kinds of mixers by their names in an architecture's ``layers``."""

from simulator.costs.mixers.attention import Attention, WindowAttention
from simulator.costs.mixers.latent import LatentAttention
from simulator.costs.structure import Mixer

MIXERS: dict[str, Mixer] = {
    "attention": Attention(),
    "window_attention": WindowAttention(),
    "latent_attention": LatentAttention(),
}
