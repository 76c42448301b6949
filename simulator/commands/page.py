"""The command ``roofcast page``."""

from __future__ import annotations

import click


@click.command()
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Where to listen; any other than loopback is open to others."
)
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any that is free.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
def page(host: str, port: int, opens: bool) -> None:
    """Serve a page on this machine that asks what the command asks, and a JSON API under it.

    Answers follow as sliders move; the question is in the address. Nothing is loaded from elsewhere, and nothing is
    written. The API answers alike: /api/predict?model=llama-3.1-70b&tp=4; /openapi.json describes it.

    \b
    Examples:
      roofcast page --open
      roofcast page --port 0
    """
    from simulator.page.serve import LOOPBACK, serve

    def say(text: str) -> None:
        click.echo(text)
        if host not in LOOPBACK:
            click.echo("roofcast: note: whoever reaches this address can ask; there is no password", err=True)
        if opens:
            click.launch(text.split()[0])

    serve(host, port, say)
