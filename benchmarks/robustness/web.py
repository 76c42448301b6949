"""Hostile questions to the page and its API: an answer of sound numbers, or one line and a status below 500.

A question is a path and fields that say anything: huge, negative and no numbers, other types, fields that there are
not, files, markup, nested JSON. It is answered in this process, so the fence holds for it.
"""

from __future__ import annotations

import json
import logging
import re
import time
from typing import Any

from hypothesis import strategies as st

from benchmarks.robustness.fuzz import LONGEST_S, Finding, Hang, find_place, judge, limit_time
from benchmarks.robustness.inputs import Case, amounts, texts

MOST_SECONDS = 3.0  # of what is slow, in place of the page's own minute
MOST_LETTERS = 800  # of a refusal
SMALL: dict[str, dict[str, str]] = {
    "simulate": {"concurrency": "2", "num_requests": "6", "prompt_tokens": "64", "output_tokens": "4"},
    "recommend": {"devices": "l40s", "concurrency": "2", "num_requests": "6", "max_devices": "1", "formats": "own"},
    "solve": {"slo": "tpot_s:50ms"},
}
WORDS = (
    "nan|inf|-inf|1e400|-1|0|0.5|1e6|1e-300|2147483648|9007199254740993|true|null|[1,2]|{\"a\":1}|"
    "/etc/passwd|../../x.yaml|~root|C:\\x.yaml|file:///etc/passwd|http://127.0.0.1/|org/model|<script>alert(1)</script>|"
    "\" onload=x|' OR 1=1|${HOME}|%s%n%00|\x00|\u202e|\ud7ff|1-4096*2|1-100000+1|1-9*1|1,2,3,4,5,6,7,8,9|1+1+1|"
    "memory.bandwidth=1e30 TB/s|compute.units=0|hidden_size=0; vocab_size=-1|num_hidden_layers=[[[|num_experts=1e9|"
    "tpot_s:0|tpot_s:-1|ttft_s_p99:1e-9|output_tokens_per_s:>1e30|concurrency|request_rate|devices|memory.bandwidth|"
    "any|none|own|vllm|llama-3.1-70b|h100,l40s,b200|deepseek-v3|0.1-9.9|lognormal:99|9-1|0-0"
)  # fmt: skip
hostile = (
    st.sampled_from([*WORDS.split("|"), "[" * 150, '{"a":' * 40, "9" * 180, "a" * 300, "é" * 150]) | amounts | texts
)
LARGE = (  # what is allowed, up to its most
    "1|2|8|64|1024|4096|131072|4194304|1048576|20000|2000|1e4|1,2,4,8|1-1024*2|128-32768*2|llama-3.1-70b|deepseek-v3|"
    "h200|l40s|h100,h200|fp8|int4-g128|none|vllm|sglang|tp|devices|concurrency|compute.units|ttft_s:1 tpot_s:40ms|"
    "0.5-1|2 USD/h|true"
)
large = st.sampled_from(LARGE.split("|"))
PATHS = ("/api/{}", "/view/{}", "/{}", "/view/{}/events")


@st.composite
def questions(draw: st.DrawFn) -> Case:
    """A path and its query: a question that is fine, with one to four fields that say anything."""
    from simulator.page.questions import ASKS

    verb = draw(st.sampled_from([*ASKS, *ASKS, "models", "nothing", "..", "openapi.json"]))
    kind = ASKS.get(verb)
    fields = dict(SMALL.get(verb, {}))
    names = [*(kind.model_fields if kind else ()), "width", "model_config", "__class__", "trace", "x" * 99]
    for name in draw(st.lists(st.sampled_from(names), min_size=1, max_size=4)):
        fields[name] = draw(large if draw(st.booleans()) else hostile)
    path = draw(st.sampled_from(PATHS)).format(verb)
    return Case({}, (path, json.dumps(fields)))


class Log(logging.Handler):
    """What the page says of its own errors to the terminal."""

    def __init__(self) -> None:
        """Nothing yet."""
        super().__init__()
        self.places: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep where an error came from."""
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            self.places.append(f"{find_place(error.__traceback__)} {type(error).__name__}")


class Asker:
    """Asks the page's application, and judges what it says."""

    def __init__(self) -> None:
        """Make the application; before the fence is put up, for it opens a socket to itself."""
        from fastapi.testclient import TestClient

        from simulator.page.app import make_app

        app = make_app(most_seconds=MOST_SECONDS)
        self.client = TestClient(app, "http://127.0.0.1", raise_server_exceptions=False, follow_redirects=False)
        self.client.__enter__()  # one loop for all questions
        self.log = Log()
        logging.getLogger("roofcast.page").addHandler(self.log)

    def run(self, case: Case, folder: Any = None) -> tuple[str, Finding | None]:
        """How a question ended, and what is wrong with that."""
        path, fields = case.words[0], json.loads(case.words[1])
        began = time.process_time()
        try:
            with limit_time():
                response = self.client.get(path, params=fields)
        except Hang:
            return "hang", Finding("hang", path, case)
        if time.process_time() - began > LONGEST_S:
            return "hang", Finding("hang", path, case)
        ended, text = f"status {response.status_code}", response.text
        if response.status_code in (500, 501, 502) or self.log.places:
            place = self.log.places.pop() if self.log.places else path
            return ended, Finding("traceback", place, case)
        if "Traceback (most recent" in text or ("<script>alert" in text and not path.startswith("/api/")):
            return ended, Finding("markup", path, case)
        if response.is_redirect or not path.startswith("/api/"):
            bad = re.search(r'[ ",](nan|inf)[",]', text.lower()) if "<svg" in text else None
            return ended, None if bad is None else Finding("NaN", path, case)
        if response.status_code == 200:
            wrong = None if fields.get("output") == "csv" else judge(text, Case({}, ("json",)))
            return ended, None if wrong is None else Finding(*wrong, case)
        try:
            line = json.loads(text)["error"]
        except (ValueError, LookupError):
            return ended, Finding("lines", repr(text)[:80], case)
        fine = isinstance(line, str) and len(line.splitlines()) == 1 and len(line) <= MOST_LETTERS
        return ended, None if fine else Finding("lines", repr(line)[:80], case)
