"""The page and its API: the same answers as the command's, one line for what is wrong, and nothing from elsewhere."""

import json
import re
import shlex
import sys
from typing import Any
from urllib.parse import parse_qsl, urlencode

import click
import pytest
from click.testing import CliRunner

pytest.importorskip("fastapi", reason="the page needs roofcast[page]")
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator
from cli import VERBS, load
from cli import app as command
from simulator.errors import InputError
from simulator.page import answers, view
from simulator.page.app import ASSETS, KINDS, make_app, read_question
from simulator.page.questions import ASKS, MOST_REQUESTS
from simulator.page.running import BusyError, Watch
from simulator.page.serve import listen, serve

CLIENT = TestClient(make_app(), base_url="http://127.0.0.1:8765", raise_server_exceptions=False, follow_redirects=False)
SMALL = {"model": "gptj-6b", "hardware": "a100-sxm-80gb"}
# Each with fields of every kind; none takes long.
QUESTIONS: dict[str, dict[str, str]] = {
    "predict": {
        **SMALL,
        "prompt_tokens": "128,512",
        "batch_size": "1-4*2",
        "hardware_changes": "memory.bandwidth=4.8 TB/s; memory.capacity=90 GB",
        "price": "2.5 USD/h",
        "assume_fits": "true",
    },
    "explain": {**SMALL, "calibration": "none", "tp": "2", "changes": "num_hidden_layers=3; vocab_size=4000"},
    "compare": {**SMALL, "tp": "1,2", "dtype": "fp16", "baseline": "2", "output_tokens": "16"},
    "recommend": {
        **{"model": "gptj-6b", "devices": "a100-sxm-80gb,l40s", "formats": "own,fp8", "concurrency": "2", "nodes": "1"},
        **{"slo": "ttft_s_p99:2", "max_devices": "2", "num_requests": "20", "price": "a100-sxm-80gb=1.5,l40s=1"},
    },
    "solve": {**SMALL, "slo": "ttft_s:200ms output_tokens_per_s:>1", "dtype": "fp16", "pp": "2"},
    "simulate": {**SMALL, "stack": "vllm", "concurrency": "3", "num_requests": "9", "slo": "ttft_s:1 tpot_s:40ms"},
}


def ask(path: str, **fields: str) -> tuple[int, str]:
    """Status and text of an answer."""
    response = CLIENT.get(path, params=fields)
    return response.status_code, response.text


def run_command(line: str) -> str:
    """What a command prints on its standard output."""
    result = CliRunner().invoke(command, [*shlex.split(line)[1:], "-o", "json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("verb", ASKS)
def test_api_command_and_python_answer_alike(verb: str) -> None:
    status, text = ask(f"/api/{verb}", **QUESTIONS[verb])
    assert status == 200
    question = read_question(verb, QUESTIONS[verb])
    scope: dict[str, Any] = {}
    exec(answers.write_python(question), scope)
    others = (run_command(answers.write_command(question)), answers.report(question, scope["answer"], "json"))
    for other in others:
        assert untimed(other) == untimed(text)


def untimed(text: str) -> dict[str, Any]:
    """A document but for how long its answer took."""
    return {name: value for name, value in json.loads(text).items() if name not in ("screening_s", "simulating_s")}


@pytest.mark.parametrize("verb", ASKS)
def test_what_is_left_out_is_what_the_command_takes(verb: str) -> None:
    found = load(verb, VERBS[verb])
    known = {one.name: one for one in found.params}
    for name, field in ASKS[verb].model_fields.items():
        assert name in known, name
        usual = known[name].get_default(click.Context(found))
        usual = usual[0] if isinstance(usual, tuple) and usual else usual
        if field.default is not None and name not in ("model", "hardware", "output", "unknown"):
            assert str(field.default) == str(usual or 0) or float(field.default) == float(usual or 0), name


@pytest.mark.parametrize("verb", ASKS)
def test_a_link_reproduces_its_question(verb: str) -> None:
    question = read_question(verb, QUESTIONS[verb])
    assert read_question(verb, dict(parse_qsl(view.write_query(question)))) == question


@pytest.mark.parametrize("verb", ASKS)
def test_the_page_holds_the_question_and_its_answer(verb: str) -> None:
    status, html = ask(f"/{verb}", **QUESTIONS[verb])
    assert status == 200
    assert 'value="gptj-6b"' in html
    assert f'action="/{verb}"' in html
    assert set(re.findall(r'<label for="(\w+)"', html)) == set(re.findall(r'id="(\w+)" name="\1"', html))
    assert ("Copy as command" in html) == (not ASKS[verb].slow)  # whose answer comes when it is done


@pytest.mark.parametrize("verb", ASKS)
def test_parts_hold_a_picture_that_a_screen_reader_reads(verb: str) -> None:
    fields = QUESTIONS[verb] | ({"prompt_tokens": "128", "batch_size": "1"} if verb == "predict" else {})
    status, html = ask(f"/view/{verb}", **fields, width="360")
    assert status == 200
    picture = re.search(r'<svg viewBox="0 0 (\d+) (\d+)"[^>]*role="img".*?</svg>', html, re.DOTALL)
    assert picture
    assert int(picture[1]) == 360
    assert "<title>" in picture[0]
    assert "<desc>" in picture[0]
    assert "nan" not in picture[0]
    places = [float(x) for x in re.findall(r' x="([-\d.]+)"', picture[0])]
    assert all(-1 <= x <= 361 for x in places)


def test_events_of_a_simulation_end_in_its_answer() -> None:
    _, text = ask("/view/simulate/events", **QUESTIONS["simulate"])
    assert text.split("\n\n")[-2].startswith("event: answer\n")
    assert "Latencies" in text
    _, text = ask("/view/ladder/events", **QUESTIONS["simulate"])
    assert "Load against latency" in json.loads(text.split("data: ")[-1])
    _, text = ask("/view/recommend/events", **QUESTIONS["recommend"])
    first, *_, last = text.split("\n\n")[:-1]
    assert first.startswith("event: progress\ndata: [0, ")
    assert "tokens/s for a device" in json.loads(last.partition("data: ")[2])
    under_load = {**SMALL, "stack": "vllm", "unknown": "concurrency", "slo": "tpot_s_mean:12ms", "num_requests": "9"}
    _, text = ask("/view/solve/events", **under_load)
    assert "largest concurrency" in json.loads(text.split("data: ")[-1])
    assert ask("/view/predict/events", **SMALL)[0] == 404
    _, text = ask("/view/simulate/events", **SMALL)
    assert text.startswith("event: failed\n")
    assert "a load is one of concurrency, request_rate and trace" in text


WRONG = [
    ("predict", {"model": "gptj-6c"}, "did you mean 'gptj-6b'?"),
    ("predict", {"modle": "gptj-6b"}, "did you mean 'model'?"),
    ("predict", {"model": "/etc/passwd"}, "is no name of what ships"),
    ("predict", {"model": "../../x.yaml"}, "is no name of what ships"),
    ("predict", {"model": "org/name"}, "is no name of what ships"),
    ("predict", {"hardware": "~/x"}, "is no name of what ships"),
    ("predict", {"stack": "x.yaml"}, "is no name of what ships"),
    ("predict", {"tp": "0"}, "tp is '0'"),
    ("predict", {"tp": "9" * 150}, "tp is"),
    ("predict", {"prompt_tokens": "1-1000+1", "batch_size": "1-9+1"}, "combinations are more than"),
    ("predict", {"prompt_tokens": "1-99999999*1"}, "range"),
    ("predict", {"prompt_tokens": "-5"}, "prompt_tokens"),
    ("predict", {"prompt_tokens": "9" * 40}, "prompt_tokens"),
    ("predict", {"price": "nan USD/h"}, "nan"),
    ("predict", {"output": "xml"}, "output is 'xml'"),
    ("predict", {"changes": "hidden_size"}, "is not of the form KEY=VALUE"),
    ("predict", {"changes": "hidden_size=" + "[" * 150}, "hidden_size"),
    ("predict", {"hardware_changes": "memory.bandwidth=1"}, "memory.bandwidth"),
    ("predict", {"hardware_changes": "a=1; a=2"}, "a is given twice"),
    ("compare", {"tp": "1-64+1"}, "combinations are more than"),
    ("explain", {"batch_size": "1e999"}, "batch_size is '1e999'"),
    ("simulate", {"concurrency": "4", "request_rate": "1"}, "a load is one of"),
    ("simulate", {"concurrency": "4", "num_requests": str(MOST_REQUESTS + 1)}, "num_requests is"),
    ("simulate", {"request_rate": "inf"}, "request_rate is 'inf'"),
    ("simulate", {"concurrency": "4", "lengths": "secrets.csv"}, "lengths is 'secrets.csv'"),
    ("simulate", {"concurrency": "4", "trace": "/etc/passwd"}, "unknown field 'trace'"),
    ("simulate", {"concurrency": "4", "slo": "ttft:1"}, "did you mean 'ttft_s'?"),
    ("solve", {"unknown": "batch"}, "did you mean 'batch_size'?"),
    ("solve", {"slo": "tpot_s:-1"}, "tpot_s"),
    ("solve", {"unknown": "concurrency"}, "needs a limit"),
]


@pytest.mark.parametrize(("verb", "fields", "said"), WRONG)
def test_what_is_wrong_is_one_line(verb: str, fields: dict[str, str], said: str) -> None:
    status, text = ask(f"/api/{verb}", **SMALL | fields)
    assert status == 400
    (line,) = json.loads(text).values()
    assert said in line
    assert "\n" not in line
    assert len(line) < 700
    status, html = ask(f"/view/{verb}" if ASKS[verb].slow else f"/{verb}", **SMALL | fields)
    assert status == 400
    assert html.count('role="alert"') == 1


def test_what_cannot_be_is_said_with_what_can() -> None:
    status, text = ask("/api/predict", model="llama-3.1-70b", hardware="a100-sxm-80gb")
    assert status == 422
    assert "try --tp 2" in text
    status, text = ask("/api/solve", **SMALL, slo="tpot_s:1us")
    assert status == 422
    assert "the closest you get is tpot_s" in text
    for devices, said in (("any", "unknown"), (",".join(map(str, range(13))), "more than the 12 devices")):
        status, text = ask("/api/recommend", model="gptj-6b", devices=devices, concurrency="1")
        assert status == 400
        assert said in text


def test_a_request_of_one_token_is_answered_without_a_picture_of_the_next() -> None:
    wish = {"model": "gptj-6b", "devices": "l40s", "formats": "own", "concurrency": "2", "num_requests": "6"}
    for path, fields in (("recommend", wish), ("compare", SMALL | {"tp": "1,2"}), ("simulate", QUESTIONS["simulate"])):
        status, text = ask(f"/view/{path}", **fields | {"output_tokens": "1"})
        assert status == 200, text
        assert ("<svg" in text) == (path == "simulate")


@pytest.mark.parametrize("name", ["é" * 150, "日" * 190, "😀" * 100])
def test_a_name_of_more_bytes_than_a_file_may_have_is_an_unknown_name(name: str) -> None:
    for field in ("model", "hardware", "stack", "calibration"):
        status, text = ask("/api/predict", **(SMALL | {field: name}))
        assert status == 400
        assert "unknown" in text


@pytest.mark.parametrize("text", ['"><script>alert(1)</script>', "<img src=x onerror=alert(1)>", "<!--ANSWER-->"])
def test_what_is_given_is_never_markup(text: str) -> None:
    for name in ("model", "price", "changes", "nothing"):
        for path in ("/predict", "/view/compare"):
            _, html = ask(path, **{name: text})
            assert text not in html.replace("<!--ANSWER--></div>", "")
            assert html.count("<script") <= 1


NAMES = st.sampled_from(["model", "hardware", "stack", "tp", "ep", "dtype", "prompt_tokens", "changes", "price", "x"])
TEXTS = st.one_of(st.text(max_size=20), st.integers().map(str), st.floats().map(str), st.sampled_from(["fp8", "none"]))


@settings(max_examples=30)
@given(
    st.sampled_from(["predict", "explain", "compare", "solve"]), st.dictionaries(NAMES, TEXTS, min_size=1, max_size=3)
)
def test_any_question_gets_an_answer_or_a_line(verb: str, fields: dict[str, str]) -> None:
    response = CLIENT.get(f"/api/{verb}?{urlencode(SMALL | fields)}")
    assert response.status_code in (200, 400, 422)
    document = json.loads(response.text, parse_constant=pytest.fail)  # no NaN
    assert response.status_code == 200 or "\n" not in document["error"]


def test_nothing_comes_from_elsewhere_and_others_do_not_get_in() -> None:
    page = CLIENT.get("/predict", params=SMALL)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name, kind in KINDS.items():
        response = CLIENT.get(f"/assets/{name}")
        assert response.headers["Content-Type"].startswith(kind)
        assert "http" not in response.text.replace("http://www.w3.org/2000/svg", "")
    sources = re.findall(r'(?:src|href|action)="([^"]*)"', page.text)
    assert all(source.startswith(("/", "#")) and not source.startswith("//") for source in sources)
    assert CLIENT.get("/predict", headers={"Host": "example.com"}).status_code == 400  # a name that leads here
    other = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}  # a picture on somebody else's page
    assert CLIENT.get("/api/predict", headers=other).status_code == 403
    assert CLIENT.get("/predict", headers=other | {"Sec-Fetch-Mode": "navigate"}).status_code == 200  # a link
    assert CLIENT.post("/api/predict").status_code == 405
    assert CLIENT.get("/api/predict?" + "x" * 9000).status_code == 414
    for path in ("/assets/../app.py", "/assets/%2e%2e%2fapp.py", "/assets/page.html", "/nothing", "/api/nothing"):
        assert CLIENT.get(path).status_code in (400, 404)
    assert CLIENT.get("/").headers["Location"] == "/predict"
    assert sum(path.stat().st_size for path in ASSETS.iterdir()) < 60_000


def test_openapi_describes_the_verbs_by_the_names_of_the_command() -> None:
    paths = CLIENT.get("/openapi.json").json()["paths"]
    assert sorted(paths) == sorted([*(f"/api/{verb}" for verb in ASKS), "/api/{kind}"])
    for verb, kind in ASKS.items():
        fields = paths[f"/api/{verb}"]["get"]["parameters"]
        assert {field["name"] for field in fields} == set(kind.model_fields)
        assert all(field["description"] for field in fields)
    for kind_of in ("models", "hardware", "stacks", "profiles"):
        assert len(CLIENT.get(f"/api/{kind_of}").json()[kind_of]) > 5


def test_a_simulation_ends_where_it_is_time() -> None:
    told: list[tuple[int, int | None]] = []
    watch = Watch(told.append, seconds=-1.0)
    with pytest.raises(BusyError, match="ask for less"):
        simulator.simulate(**SMALL, stack="vllm", concurrency=64, output_tokens=500, lengths="0.5-1", progress=watch)  # type: ignore[arg-type]
    lanes = make_app().state.lanes
    with lanes.take(), lanes.take(), pytest.raises(BusyError, match="ask again"), lanes.take():
        pass
    with lanes.take():
        pass


def test_a_place_that_is_taken_or_an_extra_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = listen("127.0.0.1", 0)
    taken.listen()
    with pytest.raises(InputError, match=r"cannot listen at 127\.0\.0\.1"):
        listen("127.0.0.1", taken.getsockname()[1])
    taken.close()
    with pytest.raises(InputError, match="cannot listen at no such host"):
        listen("no such host", 0)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(InputError, match=r"the page needs uvicorn: pip install 'roofcast\[page\]'"):
        serve("127.0.0.1", 0, print)
