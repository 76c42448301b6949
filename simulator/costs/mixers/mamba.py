"""State spaces: Mamba (Gu and Dao 2023, arXiv 2312.00752) and Mamba-2 (Dao and Gu 2024, arXiv 2405.21060)."""

from __future__ import annotations

from simulator.costs.mixers.recurrent import Matrix, Recurrence, Recurrent
from simulator.costs.structure import Layer


class Mamba(Recurrent):
    """A state of ``state_size`` for each of ``mamba_width`` channels, scanned token after token.

    ``mamba_norms``: learned numbers of norms of the step, of B and of C. ``mamba_parts``: of channels, each with a
    step, a B and a C of its own.
    """

    name = "mamba"
    chunk = None

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        s, h = layer.sizes, layer.a.hidden_size
        width, states, rank, bias = s["mamba_width"], s["state_size"], s["time_step_rank"], s["mamba_bias"]
        parts = s.get("mamba_parts", 1)
        return Recurrence(
            (
                Matrix("state inward projection", 2 * width, h, bias=bias),
                Matrix("step, B and C projection", parts * (rank + 2 * states), width, "inputs", blocks=parts),
                Matrix("step projection", width, rank, bias=True),
                Matrix("state output projection", h, width, "inputs", bias=bias),
            ),
            channels=width,
            taps=s["conv_kernel"],
            heads=width,
            key_size=states,
            value_size=1,
            others=width * states + width + s.get("mamba_norms", 0),
            conv_bias=s["conv_bias"],
        )


class Mamba2(Recurrent):
    """``mamba_heads`` states of ``mamba_head_dim`` times ``state_size``; ``mamba_groups`` of heads share B and C.

    ``mamba_norms``: learned numbers of the norm before the output projection; ``chunk_tokens``: tokens of a chunk.
    """

    name = "mamba2"
    chunk = 256

    def measure(self, layer: Layer) -> Recurrence:
        """Sizes of the mixer in a layer."""
        s, h = layer.sizes, layer.a.hidden_size
        heads, states, bias = s["mamba_heads"], s["state_size"], s["mamba_bias"]
        width, shared = heads * s["mamba_head_dim"], 2 * s["mamba_groups"] * states
        return Recurrence(
            (
                Matrix("state inward projection", 2 * width + shared + heads, h, bias=bias),
                Matrix("state output projection", h, width, "inputs", bias=bias),
            ),
            channels=width + shared,
            taps=s["conv_kernel"],
            heads=heads,
            key_size=states,
            value_size=s["mamba_head_dim"],
            others=3 * heads + s.get("mamba_norms", 0),
            chunk=s.get("chunk_tokens", 0),
            conv_bias=s["conv_bias"],
        )
