"""HTTP/1.1 to one server by the standard library: a request, and the lines of its answer as they arrive.

Nothing but the address that was given is spoken to: no proxy, no redirect, no second connection. A server may be
wrong or hostile: heads, lines, chunks and whole answers have a most, and numbers are digits.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from simulator.errors import InputError

MOST_LINE = 2**20  # bytes of one line
MOST_HEAD = 2**16  # bytes of all headers
MOST_BODY = 2**26  # bytes of one answer
MOST_READ = 2**16  # bytes taken at once of a body
MOST_ERROR = 200  # letters of a server's own words in a message


class Address(NamedTuple):
    """A server, and the path below which its interface is."""

    secure: bool
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        """As it is named in messages."""
        return f"{'https' if self.secure else 'http'}://{self.host}:{self.port}{self.path}"


class Answer(NamedTuple):
    """The head of an answer, when its request was sent on the clock of the event loop, and the lines of its body."""

    status: int
    sent_s: float
    lines: AsyncIterator[bytes]


def parse_address(url: str) -> Address:
    """Read ``http://localhost:8000``; a path that ends in ``/v1`` stands for what is above it.

    Raises:
        InputError: it is no such address.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.username:
        raise InputError(f"--engine: '{url}' is not the address of a server, as http://localhost:8000")
    secure = parts.scheme == "https"
    return Address(secure, host, port or (443 if secure else 80), parts.path.rstrip("/").removesuffix("/v1"))


@asynccontextmanager
async def open_answer(address: Address, path: str, body: bytes | None, timeout_s: float) -> AsyncIterator[Answer]:
    """Send a request on a connection of its own, a POST where it has a body; every wait has the timeout.

    Raises:
        InputError: nobody is there, what comes is not HTTP, or nothing comes.
    """
    where = f"{address.url}{path}"
    try:
        context = ssl.create_default_context() if address.secure else None
        opening = asyncio.open_connection(address.host, address.port, ssl=context, limit=MOST_LINE)
        reader, writer = await asyncio.wait_for(opening, timeout_s)
    except TimeoutError:
        raise InputError(f"{where}: no connection within {timeout_s:g} s") from None
    except OSError as error:
        raise InputError(f"{where}: no connection: {error.strerror or error}") from None
    try:
        head = [f"{'GET' if body is None else 'POST'} {address.path}{path} HTTP/1.1", f"Host: {address.host}"]
        head += ["Accept: application/json, text/event-stream", "Connection: close"]
        if body is not None:
            head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*head, "", ""]).encode() + (body or b""))
        sent_s = asyncio.get_running_loop().time()
        async with limit_wait(where, timeout_s):
            await writer.drain()
            status, headers = await read_head(reader)
        yield Answer(status, sent_s, split_lines(read_body(reader, headers, where, timeout_s)))
    finally:
        writer.close()


@asynccontextmanager
async def limit_wait(where: str, timeout_s: float) -> AsyncIterator[None]:
    """Turn a wait that is too long, and an answer that breaks off, into errors.

    Raises:
        InputError: naming which.
    """
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError:
        raise InputError(f"{where}: nothing came for {timeout_s:g} s") from None
    except (asyncio.IncompleteReadError, ConnectionError):
        raise InputError(f"{where}: the answer breaks off") from None
    except (ValueError, asyncio.LimitOverrunError):
        raise InputError(f"{where}: the answer is not HTTP") from None


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers, by their names in small letters.

    Raises:
        ValueError: it is not HTTP.
    """
    first = re.match(rb"HTTP/1\.\d (\d{3})\b", await reader.readuntil(b"\n"))
    if first is None:
        raise ValueError("no status")
    headers: dict[str, str] = {}
    length = 0
    while line := (await reader.readuntil(b"\n")).strip():
        length += len(line)
        if length > MOST_HEAD:
            raise ValueError("an endless head")
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(first[1]), headers


async def read_body(
    reader: asyncio.StreamReader, headers: dict[str, str], where: str, timeout_s: float
) -> AsyncIterator[bytes]:
    """The body in the parts in which it comes: chunked, of a stated length, or to the end of the connection.

    Raises:
        InputError: it breaks off, is not HTTP, stops coming, or has no end.
    """
    chunked = headers.get("transfer-encoding", "").lower() == "chunked"
    length = headers.get("content-length", "")
    left = int(length) if re.fullmatch("[0-9]{1,15}", length) and not chunked else None
    rest, ended, came = bytearray(), left == 0, 0
    while not ended:
        async with limit_wait(where, timeout_s):
            part = await reader.read(MOST_READ)
            if not part and (chunked or left is not None):
                raise asyncio.IncompleteReadError(part, left)
            ended = not part
            came += len(part)
            if came > MOST_BODY:
                raise InputError(f"{where}: the answer has no end: {came} bytes came")
            if chunked:
                rest += part
                part, ended = take_chunks(rest)
        if left is not None:
            left -= len(part)
            ended = left <= 0
        yield part


def take_chunks(text: bytearray) -> tuple[bytes, bool]:
    """Take the whole chunks off a text; what they hold, and whether the last chunk was there.

    Raises:
        ValueError: it is not chunked.
    """
    parts: list[bytes] = []
    while True:
        end = text.find(b"\r\n", 0, MOST_HEAD)
        if end < 0 and len(text) < MOST_HEAD:
            return b"".join(parts), False
        digits = re.fullmatch(rb"[0-9A-Fa-f]{1,8}", bytes(text[: max(end, 0)]).split(b";")[0].strip())
        if digits is None:
            raise ValueError("no size of a chunk")
        size = int(digits[0], 16)
        if size == 0:
            return b"".join(parts), True
        if len(text) < end + size + 4:
            return b"".join(parts), False
        parts.append(bytes(text[end + 2 : end + 2 + size]))
        del text[: end + size + 4]


async def split_lines(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines of a body without their ends, each as soon as it is whole; the last may have no end."""
    rest = b""
    async for part in parts:
        *whole, rest = (rest + part).split(b"\n")
        if len(rest) > MOST_LINE:
            raise InputError(f"a line of the answer is longer than {MOST_LINE} bytes")
        for line in whole:
            yield line.rstrip(b"\r")
    if rest:
        yield rest


async def read_all(answer: Answer) -> bytes:
    """The whole body."""
    return b"\n".join([line async for line in answer.lines])


def quote(text: bytes) -> str:
    """A server's own words, on one line, cut where they are long."""
    words = " ".join(text.decode("utf-8", "replace").split())
    return words if len(words) <= MOST_ERROR else f"{words[:MOST_ERROR]}..."
