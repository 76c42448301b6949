"""The page and the JSON API as one application.

It reads nothing but what ships, writes nothing, keeps no session, and answers GET alone: a link says all of a question.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from simulator.errors import ImpossibleError, InputError, RoofcastError, suggest
from simulator.page import answers, pictures, view
from simulator.page.form import FOLDERS, list_names, write_form, write_lists
from simulator.page.questions import (
    ASKS,
    MOST_IN_FLIGHT,
    Compare,
    Explain,
    Predict,
    Question,
    Recommend,
    Simulate,
    Solve,
)
from simulator.page.running import MOST_SECONDS, BusyError, Lanes, Watch
from simulator.report.catalogue import report_list

ASSETS = Path(__file__).parent / "assets"
KINDS = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
LOOPBACK = ("localhost", "127.0.0.1", "[::1]", "::1")
MOST_LINE = 600  # letters of an error
MOST_QUERY = 8192  # letters of a question
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
USUAL = {  # what the page asks where a link asks nothing
    "simulate": {"concurrency": "16", "prompt_tokens": "1024", "output_tokens": "256"},
    "compare": {"batch_size": "1-64*2"},
    "recommend": {
        **{"devices": "h100-sxm-80gb,h200-sxm-141gb,l40s-48gb", "concurrency": "16", "slo": "ttft_s_p99:2"},
        **{"prompt_tokens": "1024", "output_tokens": "256", "max_devices": "8"},
    },
    "solve": {"slo": "tpot_s:20ms", "prompt_tokens": "1024", "output_tokens": "256"},
}
WAITING = '<p class="waiting">It begins …</p>'
LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MOST_STEPS = 7
LADDER_REQUESTS = 400  # of one of its simulations
OWN_ERROR = "an error of Roofcast's own; the terminal that serves the page shows it"
log = logging.getLogger("roofcast.page")


def make_app(hosts: tuple[str, ...] = LOOPBACK, most_seconds: float = MOST_SECONDS) -> FastAPI:
    """The application, which answers to these names of its host alone; what is slow takes so many seconds at most."""
    app = FastAPI(title="Roofcast", version=find_version(), docs_url=None, redoc_url=None, description=str(__doc__))
    app.state.lanes = Lanes(most_seconds=most_seconds)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    app.middleware("http")(guard)
    app.add_exception_handler(RequestValidationError, refuse)
    app.add_exception_handler(RoofcastError, refuse)
    app.add_exception_handler(HTTPException, refuse)
    add_api(app)
    add_page(app)
    return app


def find_version() -> str:
    """The version of the distribution."""
    try:
        return version("roofcast")
    except PackageNotFoundError:
        return "0"


async def guard(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    """Bound what is read, say nothing of what went wrong inside, and let a browser load nothing from elsewhere.

    A page of another site, open in the same browser, may link here but not make it work.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.headers.get("Sec-Fetch-Mode") != "navigate":
        response = make_refusal(request, "another site's page may link here, and not ask", 403)
    elif len(request.url.query) > MOST_QUERY:
        response = make_refusal(request, f"a question of more than {MOST_QUERY:,} letters", 414)
    else:
        try:
            response = await call_next(request)
        except Exception:
            log.exception("%s", request.url)
            response = make_refusal(request, OWN_ERROR, 500)
    response.headers.update(HEADERS)
    return response


async def refuse(request: Request, error: Exception) -> Response:
    """An error as one line."""
    if isinstance(error, RequestValidationError):
        verb = request.url.path.rsplit("/", 1)[-1]
        return make_refusal(request, describe_invalid(ASKS.get(verb), error.errors()), 400)
    if isinstance(error, HTTPException):
        return make_refusal(request, str(error.detail), error.status_code)
    return make_refusal(request, str(error), find_status(error))


def find_status(error: Exception) -> int:
    """The status of an error: wrong, impossible, or too much at once."""
    if isinstance(error, ImpossibleError):
        return 422
    return 503 if isinstance(error, BusyError) else 400


def make_refusal(request: Request, text: str, status: int) -> Response:
    """One line, as JSON or, of a part of the page, as HTML."""
    line = shorten(text)
    if request.url.path.startswith("/view/"):
        return HTMLResponse(view.write_error(line), status)
    return JSONResponse({"error": line}, status)


def shorten(text: str) -> str:
    """A text as one line that is not long."""
    line = " ".join(text.split())
    return line if len(line) <= MOST_LINE else line[:MOST_LINE] + " ..."


def describe_invalid(kind: type[Question] | None, errors: Any) -> str:
    """The first thing that is wrong with the fields of a question, in a line."""
    first = errors[0]
    name = str(first["loc"][-1]) if first["loc"] else ""
    if first["type"] == "extra_forbidden":
        return suggest(f"unknown field '{name[:60]}'", name[:60], [] if kind is None else list(kind.model_fields))
    given = str(first.get("input"))
    said = str(first["msg"]).removeprefix("Value error, ")
    return said if said.startswith("'") else f"{name} is '{given[:60]}': {said[:1].lower()}{said[1:]}"


def read_question(verb: str, given: dict[str, str]) -> Question:
    """A question from the fields of a form or a link; blank ones are as usual.

    Raises:
        InputError: a field that there is not, or a value that cannot be.
    """
    if verb not in ASKS:
        raise InputError(suggest(f"unknown question '{verb[:60]}'", verb[:60], list(ASKS)))
    try:
        return ASKS[verb].model_validate(given)
    except ValidationError as error:
        raise InputError(describe_invalid(ASKS[verb], error.errors())) from None


def list_fields(request: Request) -> dict[str, str]:
    """The fields of a link that are not blank, but for how wide the screen is."""
    return {name: text for name, text in request.query_params.items() if text.strip() and name != "width"}


def read_width(request: Request) -> int:
    """Pixels that a picture may be wide."""
    text = request.query_params.get("width", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 640


def add_api(app: FastAPI) -> None:
    """The JSON API: the verbs of the command with its names, and what can be named."""
    errors: dict[int | str, dict[str, Any]] = {
        400: {"description": "One line: what is wrong, what is allowed, the nearest name."},
        422: {"description": "One line: understood, and cannot be."},
    }

    def respond(question: Question, **further: Any) -> Response:
        text = answers.report(question, answers.ask(question, **further), question.output)
        return PlainTextResponse(
            text + "\n", media_type="application/json" if question.output == "json" else "text/csv"
        )

    @app.get("/api/predict", responses=errors)
    def predict(question: Annotated[Predict, Query()]) -> Response:
        """Times of a request or of a grid of them, throughput, memory, cost and energy."""
        return respond(question)

    @app.get("/api/explain", responses=errors)
    def explain(question: Annotated[Explain, Query()]) -> Response:
        """Where the time goes: from the bound to the prediction, by resource, layer and operator."""
        return respond(question)

    @app.get("/api/compare", responses=errors)
    def compare(question: Annotated[Compare, Query()]) -> Response:
        """Models, devices, layouts and stacks side by side, with ratios."""
        return respond(question)

    busy: dict[int | str, dict[str, Any]] = {503: {"description": "As many run as may at once, or too long."}}

    def respond_slowly(question: Question, request: Request) -> Response:
        with request.app.state.lanes.take():
            return respond(question, progress=request.app.state.lanes.watch())

    @app.get("/api/simulate", responses=errors | busy)
    def simulate(question: Annotated[Simulate, Query()], request: Request) -> Response:
        """An engine under load: latencies with percentiles, rates, and whether it keeps up."""
        return respond_slowly(question, request)

    @app.get("/api/recommend", responses=errors | busy)
    def recommend(question: Annotated[Recommend, Query()], request: Request) -> Response:
        """Devices, format, layout and engine limits on which a load costs least, and how sure that is."""
        return respond_slowly(question, request)

    @app.get("/api/solve", responses=errors | busy)
    def solve(question: Annotated[Solve, Query()], request: Request) -> Response:
        """The extreme value of one unknown that meets every limit; 422 where none does."""
        return respond_slowly(question, request)

    @app.get("/api/{kind}", responses=errors)
    def names(kind: str) -> Response:
        """What can be named: ``models``, ``hardware``, ``stacks`` or ``profiles``."""
        return PlainTextResponse(list_kind(kind) + "\n", media_type="application/json")


@cache
def list_kind(kind: str) -> str:
    """What ships of a kind, as JSON.

    Raises:
        InputError: there is no such kind.
    """
    if kind not in FOLDERS:
        raise InputError(suggest(f"unknown list '{kind[:60]}'", kind[:60], [*ASKS, *FOLDERS]))
    if kind in ("models", "hardware"):
        return report_list(kind, [], "json")
    return json.dumps({"schema": f"roofcast/{kind}/1", kind: list_names(kind)}, indent=2)


def add_page(app: FastAPI) -> None:
    """The page, its parts and its assets; none of them is part of the API."""

    @app.get("/", include_in_schema=False)
    def start() -> Response:
        return RedirectResponse("/predict")

    @app.get("/assets/{name}", include_in_schema=False)
    def assets(name: str) -> Response:
        if name not in KINDS:
            raise HTTPException(404, "there is no such asset")
        return Response((ASSETS / name).read_bytes(), media_type=KINDS[name])

    @app.get("/view/{verb}", include_in_schema=False)
    def part(verb: str, request: Request) -> Response:
        question = read_question(verb, list_fields(request))
        if question.slow:
            with request.app.state.lanes.take():
                found = answers.ask(question, progress=request.app.state.lanes.watch())
        else:
            found = answers.ask(question)
        return HTMLResponse(view.write_answer(question, found, read_width(request)))

    @app.get("/view/ladder/events", include_in_schema=False)
    async def run_ladder(request: Request) -> Response:
        question, width = read_question("simulate", list_fields(request)), read_width(request)
        assert isinstance(question, Simulate)

        def work(watch: Watch) -> str:
            steps = [answers.ask(step, progress=watch) for step in list_ladder(question)]
            return view.write_figure(pictures.draw_ladder(steps, width), "Load against latency, means")

        return stream(request, work)

    @app.get("/view/{verb}/events", include_in_schema=False)
    async def run_slowly(verb: str, request: Request) -> Response:
        question, width = read_question(verb, list_fields(request)), read_width(request)
        if not question.slow:
            raise HTTPException(404, f"{verb} answers at once: /view/{verb}")

        def work(watch: Watch) -> str:
            return view.write_answer(question, answers.ask(question, progress=watch), width)

        return stream(request, work)

    @app.get("/{verb}", include_in_schema=False)
    def page(verb: str, request: Request) -> Response:
        if verb not in ASKS:
            raise HTTPException(404, f"there is no page {verb[:60]!r}")
        given = list_fields(request) or USUAL.get(verb, {})
        status = 200
        try:
            question = read_question(verb, given)
            answer = WAITING
            if not question.slow:
                answer = view.write_answer(question, answers.ask(question), read_width(request))
        except RoofcastError as error:
            answer, status = view.write_error(shorten(str(error))), find_status(error)
        return HTMLResponse(write_page(verb, given, answer), status)


def list_ladder(question: Simulate) -> list[Simulate]:
    """The same question at several loads: up to four times what is asked in flight, or up to twice the rate."""
    most = LADDER_REQUESTS if question.num_requests is None else min(question.num_requests, LADDER_REQUESTS)
    if question.request_rate is not None:
        shares = (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
        return [change(question, request_rate=share * question.request_rate, num_requests=most) for share in shares]
    asked = question.concurrency or 1
    steps = [load for load in (*LADDER, asked) if load <= min(4 * asked, MOST_IN_FLIGHT)]
    return [
        change(question, concurrency=load, num_requests=min(most, 10 * load))
        for load in sorted(set(steps))[-MOST_STEPS:]
    ]


def change(question: Simulate, **fields: Any) -> Simulate:
    """The same with other fields."""
    changed: Simulate = question.model_copy(update=fields)
    return changed


def stream(request: Request, work: Callable[[Watch], str]) -> Response:
    """Events of something slow: ``progress`` with how much is done of what, then ``answer`` with HTML or ``failed``."""

    async def events() -> AsyncIterator[str]:
        async for kind, value in request.app.state.lanes.follow(work):
            if isinstance(value, RoofcastError):
                value = view.write_error(shorten(str(value)))
            elif isinstance(value, Exception):
                log.error("%s", request.url, exc_info=value)
                value = view.write_error(OWN_ERROR)
            yield f"event: {kind}\ndata: {json.dumps(value)}\n\n"

    return StreamingResponse(events(), media_type="text/event-stream")


@cache
def read_template() -> str:
    """The page around form and answer."""
    return (ASSETS / "page.html").read_text(encoding="utf-8")


def write_page(verb: str, given: dict[str, str], answer: str) -> str:
    """The whole page."""
    marks = {name: ' aria-current="page"' if name == verb else "" for name in ASKS}
    parts = {
        "TITLE": verb.capitalize(),
        "TABS": "".join(f'<a href="/{name}"{mark}>{name.capitalize()}</a>' for name, mark in marks.items()),
        "FORM": write_form(verb, given),
        "ANSWER": answer,
        "LISTS": write_lists(),
    }
    page = read_template()
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text, 1)
    return page
