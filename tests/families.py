"""Models of every family as published, and small ones of any dimensions: what the tests of new structures start from.

Written out here and not taken from the shipped files, so that the two are independent.
"""

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from simulator.inputs.architecture import Architecture, LayerGroup
from simulator.prediction import Prediction

PROFILE = "a100-sxm-80gb--megatron-lm-2022"
LLAMA_LIKE: dict[str, Any] = {"gated_mlp": True, "norm_bias": False}
DEEPSEEK_HEADS: dict[str, Any] = {
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}


def make_groups(layers: int, full: int | None = None, dense: int | None = None) -> tuple[LayerGroup, ...]:
    """Groups of layers of which the first ``full`` see all tokens and the first ``dense`` have no experts."""
    kinds: Counter[tuple[str | None, str | None]] = Counter()
    for layer in range(layers):
        mixer = None if full is None else "attention" if layer < full else "window_attention"
        kinds[mixer, None if dense is None else "dense" if layer < dense else "experts"] += 1
    return tuple(LayerGroup(count, *kind) for kind, count in kinds.items())


def set_layers(a: Architecture, layers: int) -> Architecture:
    """The model with another number of layers, the last group of which takes the difference."""
    if a.layers is None:
        return replace(a, num_hidden_layers=layers)
    *others, last = a.layers
    last = replace(last, count=layers - sum(group.count for group in others))
    return replace(a, num_hidden_layers=layers, layers=(*others, last))


def count_layers(a: Architecture, kind: str) -> int:
    """Layers whose mixer or feed-forward part is of a kind."""
    return sum(group.count for group in a.groups if kind in (group.mixer, group.feed_forward))


# Dubey et al. 2024 (arXiv 2407.21783), table 3.
LLAMA = Architecture(4096, 32, 32, 14336, 128256, 131072, num_key_value_heads=8, **LLAMA_LIKE)
# Jiang et al. 2023 (arXiv 2310.06825), table 1: every layer sees the last 4096 tokens.
MISTRAL = Architecture(4096, 32, 32, 14336, 32000, 32768, num_key_value_heads=8, sliding_window=4096, **LLAMA_LIKE)
# Gemma 3 1B: four layers of 26 see everything, the others 512 tokens.
GEMMA = Architecture(
    *(1152, 26, 4, 6912, 262144, 32768),
    num_key_value_heads=1,
    head_dim=256,
    sliding_window=512,
    layers=make_groups(26, full=4),
    tie_word_embeddings=True,
    **LLAMA_LIKE,
)
# Jiang et al. 2024 (arXiv 2401.04088), table 1.
MIXTRAL = Architecture(
    *(4096, 32, 32, 14336, 32000, 32768),
    num_key_value_heads=8,
    num_experts=8,
    num_experts_per_tok=2,
    moe_intermediate_size=14336,
    **LLAMA_LIKE,
)
# Qwen1.5-MoE-A2.7B: 60 experts, four of them for a token, and a shared one four times as wide.
QWEN_MOE = Architecture(
    *(2048, 24, 16, 5632, 151936, 8192),
    num_experts=60,
    num_experts_per_tok=4,
    moe_intermediate_size=1408,
    shared_expert_intermediate_size=5632,
    shared_expert_gate=True,
    attention_bias=True,
    **LLAMA_LIKE,
)
# DeepSeek-AI 2024 (arXiv 2405.04434), appendix B: the Lite model, without compressed queries.
DEEPSEEK_LITE = Architecture(
    hidden_size=2048,
    num_hidden_layers=27,
    num_attention_heads=16,
    intermediate_size=10944,
    vocab_size=102400,
    max_position_embeddings=163840,
    **DEEPSEEK_HEADS,
    num_experts=64,
    num_experts_per_tok=6,
    moe_intermediate_size=1408,
    shared_expert_intermediate_size=2816,
    layers=make_groups(27, dense=1),
    **LLAMA_LIKE,
)
# DeepSeek-AI 2024 (arXiv 2412.19437), section 4.2.
DEEPSEEK = Architecture(
    hidden_size=7168,
    num_hidden_layers=61,
    num_attention_heads=128,
    intermediate_size=18432,
    vocab_size=129280,
    max_position_embeddings=163840,
    q_lora_rank=1536,
    **DEEPSEEK_HEADS,
    num_experts=256,
    num_experts_per_tok=8,
    moe_intermediate_size=2048,
    shared_expert_intermediate_size=2048,
    layers=make_groups(61, dense=3),
    **LLAMA_LIKE,
)
FAMILIES = {
    "llama": LLAMA,
    "mistral": MISTRAL,
    "gemma": GEMMA,
    "mixtral": MIXTRAL,
    "qwen moe": QWEN_MOE,
    "deepseek lite": DEEPSEEK_LITE,
}
EXPERTS = {name: a for name, a in FAMILIES.items() if a.num_experts is not None}


def times(prediction: Prediction) -> tuple[Any, Any, Any]:
    return prediction.ttft_s, prediction.request.decode_s, prediction.e2e_s


@st.composite
def small_models(draw: st.DrawFn, *structures: str) -> Architecture:
    """Small models with grouped heads, and of the structures named: ``window``, ``latent``, ``experts``."""
    kv_heads, group, layers = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 5))
    fields: dict[str, Any] = {"num_key_value_heads": kv_heads, "head_dim": draw(st.integers(1, 8))}
    widths = st.integers(1, 24)
    if "latent" in structures:
        names = ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        fields = {name: draw(widths) for name in names} | {"q_lora_rank": draw(st.none() | widths)}
    if "window" in structures:
        fields |= {"sliding_window": draw(widths)}
    if "experts" in structures:
        experts = draw(st.integers(1, 12))
        fields |= {
            "num_experts": experts,
            "num_experts_per_tok": draw(st.integers(1, experts)),
            "moe_intermediate_size": draw(widths),
            "shared_expert_intermediate_size": draw(st.none() | widths),
            "shared_expert_gate": draw(st.booleans()),
        }
    full = draw(st.integers(0, layers)) if "window" in structures else None
    dense = draw(st.integers(0, layers)) if "experts" in structures else None
    return Architecture(
        hidden_size=draw(widths),
        num_hidden_layers=layers,
        num_attention_heads=kv_heads * group,
        intermediate_size=draw(widths),
        vocab_size=draw(st.integers(1, 100)),
        max_position_embeddings=1000,
        gated_mlp=draw(st.booleans()),
        layers=make_groups(layers, full, dense),
        **fields,
    )


any_model = st.one_of(
    *(small_models(*names) for names in ((), ("window",), ("latent",), ("experts",), ("latent", "experts"))),
    small_models("window", "experts"),
)
