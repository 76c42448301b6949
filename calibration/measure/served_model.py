"""A model that a running server answers for over OpenAI's interface: streamed requests, timed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from calibration.measure.http_stream import Address, Answer, open_answer, quote, read_all
from simulator.errors import InputError, suggest
from simulator.serving.state import Requests

MODELS, COMPLETIONS = "/v1/models", "/v1/completions"
OK = 200
EVENTS_A_TOKEN, OTHER_EVENTS = 4, 64  # at most, of a stream
TOKENS_AN_EVENT = 1.5  # at most: one letter may take some tokens, but steps of several hide when the first came


class Served(NamedTuple):
    """A model by the name that a server gives it. ``vocabulary``: tokens of prompts are drawn below it."""

    address: Address
    name: str
    vocabulary: int
    timeout_s: float


class Timing(NamedTuple):
    """One request: its times on one clock, and its tokens as the server counted them."""

    sent_s: float
    first_s: float
    last_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int

    @property
    def ttft_s(self) -> float:
        """Seconds to the first token."""
        return self.first_s - self.sent_s

    @property
    def tpot_s(self) -> float:
        """Seconds a token after the first."""
        return (self.last_s - self.first_s) / (self.output_tokens - 1)


async def find_served(address: Address, named: str | None, vocabulary: int, timeout_s: float) -> Served:
    """The model of that name; of a server that has one, that one.

    Raises:
        InputError: it answers for no such model, or not as OpenAI's interface does.
    """
    where = f"{address.url}{MODELS}"
    try:
        async with asyncio.timeout(timeout_s), open_answer(address, MODELS, None, timeout_s) as answer:
            listed = parse_json(where, answer, await read_all(answer))
    except TimeoutError:
        raise InputError(f"{where}: no whole answer within {timeout_s:g} s") from None
    try:
        names = [str(one["id"]) for one in listed["data"]]
    except (KeyError, TypeError):
        raise InputError(f"{address.url}{MODELS}: no list of models; is this OpenAI's interface?") from None
    if named is None and len(names) == 1:
        named = names[0]
    if named is None:
        raise InputError(f"{address.url} serves {', '.join(names) or 'no model'}; name one with --served-model")
    if named not in names:
        raise InputError(suggest(f"{address.url} serves no '{named}'", named, names))
    return Served(address, named, vocabulary, timeout_s)


def parse_json(where: str, answer: Answer, text: bytes) -> Any:
    """What a server says.

    Raises:
        InputError: it refused, or it is no JSON.
    """
    if answer.status != OK:
        raise InputError(f"{where}: status {answer.status}: {quote(text)}")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(f"{where}: no JSON: {quote(text)}") from None


async def send_request(served: Served, prompt: list[int], output_tokens: int) -> Timing:
    """Send a prompt, as its tokens, and read the answer as it streams.

    Raises:
        InputError: the server refuses, hangs, breaks off, or does not count its tokens.
    """
    where = f"{served.address.url}{COMPLETIONS}"
    asked = {
        "model": served.name,
        "prompt": prompt,
        "max_tokens": output_tokens,
        "min_tokens": output_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    loop = asyncio.get_running_loop()
    first_s: float | None = None
    last_s = 0.0
    usage: Any = None
    done = False
    async with open_answer(served.address, COMPLETIONS, json.dumps(asked).encode(), served.timeout_s) as answer:
        if answer.status != OK:
            parse_json(where, answer, await read_all(answer))
        events = pieces = 0
        async for line in answer.lines:
            if not line.startswith(b"data:"):
                continue
            text = line[5:].strip()
            if done := text == b"[DONE]":
                break
            events += 1
            if events > EVENTS_A_TOKEN * output_tokens + OTHER_EVENTS:
                raise InputError(f"{where}: {events} events came where {output_tokens} tokens were asked for")
            event = read_event(where, text)
            usage = event.get("usage") or usage
            if event.get("choices"):
                pieces += 1
                last_s = loop.time()
                first_s = last_s if first_s is None else first_s
    if not done:
        raise InputError(f"{where}: the stream breaks off before its end")
    if first_s is None:
        raise InputError(f"{where}: the stream has no tokens")
    timing = count_tokens(where, usage, Timing(answer.sent_s, first_s, last_s, len(prompt), output_tokens, 0))
    if timing.output_tokens > TOKENS_AN_EVENT * pieces:
        raise InputError(
            f"{where}: {timing.output_tokens} tokens came in {pieces} event{'s' * (pieces > 1)}, which hides when the "
            "first one came; the server must send each token by itself"
        )
    return timing


def read_event(where: str, text: bytes) -> dict[str, Any]:
    """One event of a stream.

    Raises:
        InputError: it is none, or it is an error.
    """
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict) or "error" in event:
        raise InputError(f"{where}: the stream says: {quote(text)}")
    return event


def count_tokens(where: str, usage: Any, timing: Timing) -> Timing:
    """The tokens of a request as the server counted them.

    Raises:
        InputError: it did not, or it counted others than were asked for.
    """
    counts = usage if isinstance(usage, dict) else {}
    details = counts.get("prompt_tokens_details")
    cached = details.get("cached_tokens") or 0 if isinstance(details, dict) else 0
    read, made = counts.get("prompt_tokens"), counts.get("completion_tokens")
    if not (isinstance(read, int) and isinstance(made, int) and isinstance(cached, int)):
        raise InputError(f"{where}: the stream ends without usage; tokens are not counted from text")
    if made != timing.output_tokens:
        raise InputError(
            f"{where}: {made} tokens came where {timing.output_tokens} were asked for; the server must take ignore_eos"
        )
    if abs(read - timing.input_tokens) > max(2, timing.input_tokens // 50):
        raise InputError(f"{where}: the server counts {read} tokens of a prompt of {timing.input_tokens}")
    return timing._replace(input_tokens=read, cached_tokens=cached)


async def send_load(served: Served, requests: Requests, in_flight: int) -> list[Timing]:
    """Keep so many requests in flight, each of which brings the next, and return their times in the order they came.

    Prompts are new in every run, so that none is in a cache.

    Raises:
        InputError: as ``send_request``, or from the cache all the same.
    """
    fresh = random.Random(random.SystemRandom().getrandbits(64))
    low, high = served.vocabulary // 8, max(served.vocabulary * 7 // 8, 2)  # special tokens are at the ends
    waiting = iter(list(enumerate(zip(requests.input_tokens.tolist(), requests.output_tokens.tolist(), strict=True))))
    found: dict[int, Timing] = {}

    async def work(queue: Iterator[tuple[int, tuple[int, int]]]) -> None:
        for place, (prompt, output) in queue:
            found[place] = await send_request(served, fresh.choices(range(low, high), k=prompt), output)

    workers = [asyncio.ensure_future(work(waiting)) for _ in range(in_flight)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    cached = sum(timing.cached_tokens for timing in found.values())
    if cached > sum(timing.input_tokens for timing in found.values()) // 50:
        raise InputError(f"{served.address.url}: {cached} tokens of new prompts came from a cache")
    return [found[place] for place in sorted(found)]
