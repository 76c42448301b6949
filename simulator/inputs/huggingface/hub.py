"""A ``config.json`` from the Hugging Face hub."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from simulator.errors import InputError
from simulator.textfile import read_text

ENDPOINT = "https://huggingface.co"  # where the environment names none
REACH_S = 1.0  # for a connection to it


def download_config(name: str, near: str | None = None) -> Path:
    """Download the configuration of a model, or take it from the cache that ``huggingface_hub`` keeps.

    Args:
        name: ``organisation/model``.
        near: a name that ships and may have been meant.

    Raises:
        InputError: ``huggingface_hub`` is not installed, there is no such model or file, or it cannot be reached.
    """
    unknown = f"unknown model '{name}'" + (f" (did you mean '{near}'?)" if near else "")
    reach = start_reaching()  # the library takes a second to load
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
    except ImportError:
        raise InputError(f"{unknown}; to download its config.json, pip install huggingface_hub") from None
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it says each time that it tries again
    try:
        if not isinstance(try_to_load_from_cache(name, "config.json"), str) and not reach():
            raise OSError(f"no connection to the hub within {REACH_S} s, and it is not in the local cache")
        config = Path(hf_hub_download(name, "config.json"))
        if "quantization_config" not in read_text(config):
            download_beside(name)
        return config
    except (OSError, ValueError) as error:  # no such repository or file, one behind a licence, no network
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{unknown}, and its config.json cannot be downloaded: {reason}") from None
    finally:
        logger.setLevel(level)


def start_reaching() -> Callable[[], bool]:
    """Try to connect to the hub, or the proxy before it, and return what says whether it takes connections.

    Asked first, for the library tries for half a minute; on a thread, since looking up a name may take as long.
    """
    proxies = getproxies()
    place = urlsplit(proxies.get("https") or proxies.get("all") or os.environ.get("HF_ENDPOINT") or ENDPOINT)
    found: list[bool] = []

    def connect() -> None:
        with suppress(OSError, ValueError):
            socket.create_connection((place.hostname or "", place.port or 443), REACH_S).close()
            found.append(True)

    def wait() -> bool:
        thread.join(REACH_S)
        return bool(found)

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    return wait


def download_beside(name: str) -> None:
    """Download what NVIDIA's Model Optimizer puts beside a ``config.json``, where a model has it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):
        hf_hub_download(name, "hf_quant_config.json")
