"""A server that answers wrongly, or for ever, is one line: nothing hangs, fills the memory or is guessed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress

import pytest
from fake_server import SkippingLoop

from calibration.measure import http_stream
from calibration.measure.engine_run import end_in_time
from calibration.measure.http_stream import MOST_LINE, Address
from calibration.measure.served_model import Served, Timing, find_served, send_request
from cli import fail
from simulator.errors import InputError

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN, CHUNKED = OK + b"\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"
TOKEN = b'data: {"choices": [{"text": "a"}]}\n\n'
DONE = b"data: [DONE]\n\n"
FULL = 2**16 * b"x"


@pytest.fixture(autouse=True)
def few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As much in a test as shows that there is an end."""
    monkeypatch.setattr(http_stream, "MOST_BODY", 2**22)


def repeat(part: bytes, first: bytes = b"") -> Iterator[bytes]:
    """The same for ever."""
    yield first
    while True:
        yield part


def count(usage: str, events: int = 2) -> list[bytes]:
    """A stream of two tokens, with what is said of their number."""
    return [PLAIN, events * TOKEN, b'data: {"choices": [], "usage": ' + usage.encode() + b"}\n\n", DONE]


def ask(parts: Iterator[bytes] | list[bytes], models: bool, pause_s: float = 0.0) -> Timing | Served:
    """Ask a server that sends these parts, in a loop in which waiting takes no time."""
    left = iter(parts)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        with suppress(ConnectionError):
            for part in left:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(pause_s)
        writer.close()

    async def both() -> Timing | Served:
        listening = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = Address(False, "127.0.0.1", listening.sockets[0].getsockname()[1], "")
        try:
            if models:
                return await find_served(address, None, 1000, 20.0)
            asked = send_request(Served(address, "m", 1000, 20.0), [1, 2, 3], 2)
            timing: list[Timing] = []

            async def keep() -> tuple[float, float]:
                timing.append(await asked)
                return 0.0, 0.0

            await end_in_time(keep(), 0.0, 60.0)
            return timing[0]
        finally:
            listening.close()

    with asyncio.Runner(loop_factory=SkippingLoop) as runner:
        return runner.run(both())


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ([b"HTTP/1.1 \r\n\r\n"], "not HTTP"),
        ([b"HTTP/1.1 -200 OK\r\n\r\n"], "not HTTP"),
        ([b"SSH-2.0-OpenSSH\r\n"], "not HTTP"),
        (repeat(b"x: " + 999 * b"y" + b"\r\n", OK), "not HTTP"),
        (repeat(FULL, OK), "not HTTP"),  # one header of more than its most
        ([OK + b"Content-Length: \xb2\r\n\r\n{}"], "no list of models"),
        ([OK + b"Content-Length: 99\r\n\r\n{}"], "breaks off"),
        ([CHUNKED + b"-2\r\n{}\r\n0\r\n"], "not HTTP"),
        ([CHUNKED + b"0x2\r\n{}\r\n0\r\n"], "not HTTP"),
        (repeat(2**16 * b"1", CHUNKED), "not HTTP"),
        ([CHUNKED + b"9\r\n{}\r\n"], "breaks off"),
        ([PLAIN + b"[" * 100_000], "no JSON"),
        ([PLAIN + b"\x1b[2J nothing"], "no JSON"),
        ([PLAIN + b'{"data": [{"id": NaN}, 3]}'], "no list of models"),
        ([b"HTTP/1.1 307 Moved\r\nLocation: http://192.0.2.1/\r\n\r\n"], "status 307"),
        (repeat(FULL, CHUNKED + b"FFFFFFF\r\n"), "has no end"),
        (repeat(FULL, PLAIN), f"longer than {MOST_LINE} bytes"),
        (repeat(b"x\n" * 30_000, PLAIN), "has no end"),
    ],
)  # fmt: skip
def test_a_list_of_models_that_is_none_is_one_line(parts: Iterator[bytes] | list[bytes], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        ask(parts, models=True)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        (repeat(TOKEN, PLAIN), "events came where 2 tokens were asked for"),
        (repeat(b"data: " + FULL, PLAIN), "longer than"),
        ([PLAIN + b"data: " + b"[" * 100_000 + b"\n"], "the stream says"),
        ([PLAIN + TOKEN + b'data: {"error": "no \\u001b[2J memory"}\n'], "the stream says"),
        ([b"HTTP/1.1 500 Oops\r\n\r\nout of\nmemory"], "status 500: out of memory"),
        (count("[1, 2]"), "without usage"),
        (count('{"prompt_tokens": Infinity, "completion_tokens": 2}'), "without usage"),
        (count('{"prompt_tokens": "3", "completion_tokens": null}'), "without usage"),
        (count('{"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1e400}}'),
         "without usage"),
        ([PLAIN, TOKEN], "breaks off before its end"),
        (count('{"prompt_tokens": 3, "completion_tokens": 2}', events=1), "2 tokens came in 1 event,"),
        ([b"HTTP/1.1 307 Moved\r\nLocation: http://192.0.2.1/\r\n\r\n"], "status 307"),
        ([b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 9\r\n\r\nslow down"], "status 429: slow down"),
    ],
)  # fmt: skip
def test_a_stream_that_is_wrong_is_one_line(parts: Iterator[bytes] | list[bytes], problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refused:
        ask(parts, models=False)
    assert len(str(refused.value).splitlines()) == 1


def test_a_drop_every_ten_seconds_ends_with_the_time() -> None:
    """A wait of 20 s is never over, so the whole has an end of its own."""
    with pytest.raises(InputError, match="no whole answer within 20 s"):
        ask(repeat(b" ", PLAIN), models=True, pause_s=10.0)
    with pytest.raises(InputError, match="a load did not end within the time and 60 s after it"):
        ask(repeat(b": still here\n", PLAIN), models=False, pause_s=10.0)


def test_nothing_is_waited_for_behind_the_end_of_a_stream() -> None:
    said = b"".join(count(json.dumps({"prompt_tokens": 3, "completion_tokens": 2})))
    timing = ask(repeat(b": still here\n", said), models=False, pause_s=10.0)
    assert isinstance(timing, Timing)
    assert (timing.input_tokens, timing.output_tokens) == (3, 2)


def test_codes_of_a_terminal_in_an_error_are_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fail("the server says \x1b[2J\x07", 2)
    assert capsys.readouterr().err == "roofcast: the server says ?[2J?\n"
