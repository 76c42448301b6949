"""Kinds of mixers by their names in an architecture's ``layers``."""

from simulator.costs.mixers.attention import Attention, WindowAttention
from simulator.costs.mixers.composed import NoMixer, SideBySide
from simulator.costs.mixers.compressed import CompressedAttention
from simulator.costs.mixers.convolution import RealGatedRecurrence, ShortConvolution
from simulator.costs.mixers.convolved import ConvolvedAttention, ConvolvedWindowAttention
from simulator.costs.mixers.gated_delta import GatedDelta, KimiDelta
from simulator.costs.mixers.indexed import IndexedAttention, IndexedLatentAttention
from simulator.costs.mixers.latent import LatentAttention, WindowLatentAttention
from simulator.costs.mixers.lightning import LightningAttention
from simulator.costs.mixers.mamba import Mamba, Mamba2
from simulator.costs.mixers.memories import Mlstm, Rwkv
from simulator.costs.mixers.routed import RoutedAttention
from simulator.costs.structure import Mixer

MIXERS: dict[str, Mixer] = {
    "none": NoMixer(),
    "attention": Attention(),
    "window_attention": WindowAttention(),
    "routed_attention": RoutedAttention(),
    "convolved_attention": ConvolvedAttention(),
    "convolved_window_attention": ConvolvedWindowAttention(),
    "latent_attention": LatentAttention(),
    "window_latent_attention": WindowLatentAttention(),
    "indexed_attention": IndexedAttention(),
    "indexed_latent_attention": IndexedLatentAttention(),
    "compressed_attention": CompressedAttention(),
    "gated_delta": GatedDelta(),
    "kimi_delta": KimiDelta(),
    "lightning_attention": LightningAttention(),
    "mamba": Mamba(),
    "mamba2": Mamba2(),
    "attention_and_mamba2": SideBySide(Attention(), Mamba2()),
    "short_convolution": ShortConvolution(),
    "real_gated_recurrence": RealGatedRecurrence(),
    "rwkv": Rwkv(),
    "mlstm": Mlstm(),
}
