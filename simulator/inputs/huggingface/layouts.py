"""All model types that are read: by the kinds of their layers."""

from __future__ import annotations

from simulator.inputs.huggingface.dense_types import DENSE_TYPES
from simulator.inputs.huggingface.expert_types import EXPERT_TYPES
from simulator.inputs.huggingface.hybrid_types import HYBRID_TYPES
from simulator.inputs.huggingface.layout import Layout
from simulator.inputs.huggingface.newer_types import NEWER_TYPES
from simulator.inputs.huggingface.older_types import OLDER_TYPES
from simulator.inputs.huggingface.remote_types import REMOTE_TYPES

LAYOUTS: dict[str, Layout] = DENSE_TYPES | EXPERT_TYPES | HYBRID_TYPES | OLDER_TYPES | NEWER_TYPES | REMOTE_TYPES
