"""A server that answers by the laws with planted factors, and an event loop in which waiting takes no time."""

from __future__ import annotations

import asyncio
import json
import selectors
from typing import Any

import numpy as np

from simulator.serving.clock import Clock
from simulator.serving.pass_table import Prompt

TOGETHER_S = 1e-6  # what comes to an idle engine within such a moment is read together
NOTHING = np.zeros(0, dtype=np.int64)
SETTLED_S = 1e-4  # of real time, after which nothing more is on its way between two sockets of this process


class SkippingSelector(selectors.DefaultSelector):
    """Where nothing is on its way, the clock moves on instead of waiting."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        ready = super().select(1.0 if timeout is None else SETTLED_S)
        if not ready and timeout is not None:
            self.now_s += timeout
        return ready


class SkippingLoop(asyncio.SelectorEventLoop):
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.clock = SkippingSelector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now_s


class FakeServer:
    """Prompts alone in the order in which they come, else a token of every sequence: a pass takes what a clock says.

    ``fault`` is what it does wrong, by name.
    """

    def __init__(self, clock: Clock, budget: int, fault: str = "") -> None:
        self.clock, self.budget, self.fault = clock, budget, fault
        self.waiting: list[tuple[int, int, asyncio.Queue[int]]] = []  # tokens of the prompt, of the output
        self.running: list[tuple[int, int, asyncio.Queue[int]]] = []  # tokens in the cache, outputs to come
        self.came = asyncio.Event()
        self.seen: list[dict[str, Any]] = []

    async def run(self) -> None:
        while True:
            self.came.clear()
            if not self.waiting and not self.running:
                await self.came.wait()
                await asyncio.sleep(TOGETHER_S)
            read: list[tuple[int, int, asyncio.Queue[int]]] = []
            while self.waiting and sum(one[0] for one in read) + self.waiting[0][0] <= self.budget:
                read.append(self.waiting.pop(0))
            if read:
                await asyncio.sleep(self.clock.time(NOTHING, tuple(Prompt(one[0]) for one in read)))
                stepped = [(prompt, left - 1, queue) for prompt, left, queue in read]
                kept = self.running
            else:
                await asyncio.sleep(self.clock.time(np.array([one[0] for one in self.running])))
                stepped = [(context + 1, left - 1, queue) for context, left, queue in self.running]
                kept = []
            self.running = kept + [one for one in stepped if one[1]]
            for _, _, queue in stepped:
                queue.put_nowait(1)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        fault = self.fault
        if head.startswith("GET /v1/models"):
            listed = json.dumps({"data": [{"id": "planted-8b"}]}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(listed) + listed)
            writer.close()
            return
        length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("Content-Length"))
        asked = json.loads(await reader.readexactly(length))
        self.seen.append(asked)
        if fault == "hangs":
            await asyncio.sleep(3600)
        if fault == "refuses":
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\n\r\nout of\nmemory")
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await self.stream(asked, writer)
        if fault != "breaks off":
            writer.write(b"0\r\n\r\n")
        writer.close()

    async def stream(self, asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        prompt, output = len(asked["prompt"]), asked["max_tokens"]
        self.waiting.append((prompt, output, queue))
        self.came.set()
        for _ in range(output):
            await queue.get()
            self.say(writer, {"choices": [{"text": "a"}]})
            if self.fault == "breaks off":
                return
        made = output - 1 if self.fault == "stops" else output
        usage = {"prompt_tokens": prompt, "completion_tokens": made}
        if self.fault == "caches":
            usage["prompt_tokens_details"] = {"cached_tokens": prompt}
        if self.fault != "does not count":
            self.say(writer, {"choices": [], "usage": usage})
        if self.fault != "ends early":
            self.say(writer, b"[DONE]")

    def say(self, writer: asyncio.StreamWriter, event: Any) -> None:
        data = b"data: " + (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n\n"
        writer.write(b"%x\r\n%s\r\n" % (len(data), data))
