"""Models that write no text token by token with a cache: refused in words."""

from __future__ import annotations

from simulator.inputs.huggingface.config import Config

# Model types of Hugging Face Transformers 5.23 for masked tokens, for translation, and for images and sound alone.
ENCODERS = frozenset(
    [
        "albert",
        "align",
        "bert",
        "bert-generation",
        "big_bird",
        "camembert",
        "canine",
        "clip",
        "convbert",
        "data2vec-text",
        "deberta",
        "deberta-v2",
        "dinov2",
        "distilbert",
        "electra",
        "embedding_gemma2",
        "ernie",
        "ernie_m",
        "esm",
        "eurobert",
        "flaubert",
        "fnet",
        "funnel",
        "gte",
        "hubert",
        "ibert",
        "jina_embeddings_v3",
        "layoutlm",
        "layoutlmv3",
        "longformer",
        "luke",
        "megatron-bert",
        "mobilebert",
        "modernbert",
        "mpnet",
        "mra",
        "nezha",
        "nomic_bert",
        "nystromformer",
        "rembert",
        "roberta",
        "roberta-prelayernorm",
        "roc_bert",
        "roformer",
        "siglip",
        "siglip2",
        "splinter",
        "squeezebert",
        "swin",
        "tapas",
        "vit",
        "wav2vec2",
        "wavlm",
        "xlm",
        "xlm-roberta",
        "xlm-roberta-xl",
        "xlnet",
        "xmod",
        "yoso",
    ]
)
BOTH = frozenset(
    [
        "bart",
        "bigbird_pegasus",
        "blenderbot",
        "blenderbot-small",
        "encoder-decoder",
        "fsmt",
        "led",
        "longt5",
        "m2m_100",
        "marian",
        "mbart",
        "moonshine",
        "musicgen",
        "musicgen_melody",
        "mt5",
        "mvp",
        "nllb-moe",
        "pegasus",
        "pegasus_x",
        "plbart",
        "prophetnet",
        "speech_to_text",
        "switch_transformers",
        "t5",
        "t5gemma",
        "t5gemma2",
        "trocr",
        "udop",
        "umt5",
        "whisper",
    ]
)
# Decoders that work in a way of their own, which no kind of layer here describes.
OTHERS = {
    "blt": "bytes are gathered into patches by a model of their own",
    "reformer": "attention to tokens of equal hashes",
    "git": "a captioner of images",
    "diffusion_gemma": "it denoises whole blocks of tokens",
    "pi0": "it writes actions of a robot",
    "gemma4_assistant": "it drafts tokens and reads the cache of the model that checks them",
    "gemma4_unified_assistant": "it drafts tokens and reads the cache of the model that checks them",
}
# Ends of the names of classes that write no text.
OTHER_HEADS = (
    *("ForSequenceClassification", "ForTokenClassification", "ForMaskedLM", "ForQuestionAnswering"),
    *("ForMultipleChoice", "ForRewardModel", "RewardModel", "EmbeddingModel", "BidirectionalModel", "BidirectModel"),
)


def refuse_encoders(config: Config, model_type: str, is_part: bool = False) -> None:
    """Refuse a model that is not a decoder alone.

    In a part of a model that takes in images, the tokens of the prompt may see each other (PaliGemma).

    Raises:
        InputError: with what it is.
    """
    of_diffusion = config.data.get("_class_name") or config.data.get("_diffusers_version")
    if of_diffusion:
        raise config.error(f"'{config.data.get('_class_name')}' is not a decoder, but a part of a diffusion model")
    if model_type in ENCODERS:
        raise config.error(f"'{model_type}' is not a decoder: an encoder writes no text token by token")
    if model_type in OTHERS:
        raise config.error(f"'{model_type}' is not supported: {OTHERS[model_type]}")
    named = [*config.items("architectures", str), ""][0]
    if not is_part and (
        config.data.get("use_bidirectional_attention") is True or config.data.get("is_causal") is False
    ):
        raise config.error(f"'{model_type}' is not a decoder here: its tokens see those after them, as in an embedder")
    if named.endswith(OTHER_HEADS):
        raise config.error(f"'{named}' is not a decoder: it scores or embeds, and writes no text token by token")
    if model_type in BOTH or config.data.get("is_encoder_decoder") is True:
        raise config.error(f"'{model_type}' is not a decoder alone: models with an encoder are not supported")
