"""Which model a file means by a kind and a number of parameters, as llama.cpp has it: ``llama 8B``, 8,030,261,312."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from simulator.costs.parameters import count_parameters
from simulator.inputs.library import MODEL_FOLDER, list_ids, read_shipped_model

CLOSE = 1e-3  # a count of three digits is off by up to 0.05%, and llama.cpp counts tables of rotations too
NEAR = 0.06  # a file may hold more than the model: a head for drafts


def agrees(model: str, parameters: float, tolerance: float = CLOSE) -> bool:
    """Whether a shipped model has so many parameters, its token table counted once, or as its head again."""
    return any(abs(count - parameters) <= tolerance * parameters for count in count_shipped()[model])


def find_by_size(kind: str, parameters: float) -> list[str]:
    """Shipped models of a kind with so many parameters, one of those that differ in nothing that costs time.

    The kind is llama.cpp's name of an architecture and a size: ``llama 8B``, ``qwen2 7B``. Where models of that
    architecture's name are among those of the size, others are not meant.
    """
    sized = [model for model in sorted(count_shipped()) if agrees(model, parameters)]
    sized = [model for model in sized if parameters in count_shipped()[model]] or sized
    family = kind.lower().partition(" ")[0].rstrip("0123456789")
    named = [model for model in sized if family and model.startswith(family)]
    distinct: list[tuple[Any, str]] = []
    for model in named or sized:
        costs = replace(read_shipped_model(model).architecture, max_position_embeddings=1)
        if all(costs != other for other, _ in distinct):
            distinct.append((costs, model))
    return [model for _, model in distinct]


@cache
def count_shipped() -> dict[str, tuple[float, float]]:
    """Parameters of every shipped model, with its token table once, and where it is the head too, twice."""
    counts = {}
    for model in list_ids(MODEL_FOLDER):
        a = read_shipped_model(model).architecture
        once = float(count_parameters(a))
        counts[model] = once, once + float(a.vocab_size * a.embedding_width if a.tie_word_embeddings else 0)
    return counts
