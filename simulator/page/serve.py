"""Serve the page until it is interrupted."""

from __future__ import annotations

import socket
import warnings
from collections.abc import Callable

from simulator.errors import InputError, RebuiltModelWarning

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SECONDS_TO_END = 2


def serve(host: str, port: int, say: Callable[[str], None]) -> None:
    """Listen at a host and a port, and say where.

    Raises:
        InputError: the extra is not installed, or nothing can listen there.
    """
    try:
        import uvicorn

        from simulator.page.app import make_app
    except ImportError as error:
        raise InputError(f"the page needs {error.name}: pip install 'roofcast[page]'") from None
    listening = listen(host, port)
    hosts = ("localhost", "127.0.0.1", "[::1]", "::1", "") if host in LOOPBACK else ("*",)
    warnings.simplefilter("ignore", RebuiltModelWarning)  # the page says it beside the answer
    shown = f"[{host}]" if ":" in host else host
    say(f"http://{shown}:{listening.getsockname()[1]}/  (interrupt to end)")
    config = uvicorn.Config(
        make_app(tuple(filter(None, hosts))),
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=SECONDS_TO_END,
        limit_concurrency=64,
    )
    uvicorn.Server(config).run([listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket at a host and a port, taken before anything else is said.

    Raises:
        InputError: nothing can listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
    except (OSError, UnicodeError) as error:
        listening.close()
        raise InputError(f"cannot listen at {host}, port {port}: {error}") from None
    return listening
