"""A ``config.json`` from the Hugging Face hub."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

from simulator.errors import InputError


def download_config(name: str, near: str | None = None) -> Path:
    """Download the configuration of a model, or take it from the cache that ``huggingface_hub`` keeps.

    Args:
        name: ``organisation/model``.
        near: a name that ships and may have been meant.

    Raises:
        InputError: ``huggingface_hub`` is not installed, there is no such model or file, or it cannot be reached.
    """
    unknown = f"unknown model '{name}'" + (f" (did you mean '{near}'?)" if near else "")
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise InputError(f"{unknown}; to download its config.json, pip install huggingface_hub") from None
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it says each time that it tries again
    try:
        config = Path(hf_hub_download(name, "config.json"))
        if "quantization_config" not in config.read_text(encoding="utf-8"):
            download_beside(name)
        return config
    except (OSError, ValueError) as error:  # no such repository or file, one behind a licence, no network
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{unknown}, and its config.json cannot be downloaded: {reason}") from None
    finally:
        logger.setLevel(level)


def download_beside(name: str) -> None:
    """Download what NVIDIA's Model Optimizer puts beside a ``config.json``, where a model has it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):
        hf_hub_download(name, "hf_quant_config.json")
