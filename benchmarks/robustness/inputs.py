"""Hypothesis strategies: each kind of file with something changed in it, and the flags of each command."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from hypothesis import strategies as st

from benchmarks.robustness.fence import ROOT

SHIPPED = {
    "hardware": ("hardware_specs/a100-sxm-80gb.yaml", "hardware_specs/apple-m2-ultra.yaml"),
    "stack": ("simulator/inputs/stacks/vllm-0.6.yaml", "simulator/inputs/stacks/megatron-lm-2022.yaml"),
    "model": ("simulator/inputs/architectures/gptj-6b.yaml", "simulator/inputs/architectures/mixtral-8x22b-v0.1.yaml"),
    "profile": ("calibration/profiles/a100-sxm-80gb--vllm-0.6.yaml",),
    "config": ("docs/examples/our-llama/config.json",),
}
TABLES = {
    "rows": "calibration/tables/narayanan-2023-a100-checks.csv",
    "queries": "docs/examples/queries.csv",
    "scores": "docs/examples/scores.csv",
}
TRACE = "arrival_s,input_tokens,output_tokens\n0,128,4\n0.5,64,2\n0.75,256,8\n"
LENGTHS = "input_tokens,output_tokens\n128,4\n64,2\n"
DEVICE, MODEL = "a100-sxm-80gb", "gptj-6b"
SMALL = ("-p", "64", "-n", "4")
MOST_CHANGED = 1e300  # a larger number is left alone: half of a whole one is past every float

numbers = st.sampled_from(
    [0, -1, 1, 2, 3, 7, -1000, 2**31, 2**53 + 1, 2**63, 10**18, 10**30, 10**400, 0.5, -0.5, 1e-300, 1e300, 1.5]
) | st.floats()  # fmt: skip
WORDS = (
    "nan|inf|-inf|1e400|banana|true|null|80 GB|-80 GB|1e30 GB|0 B|1 W|1e-30 Hz|fp8|int4|../../x|/dev/zero|~|{}|[[|%s%n"
)
texts = st.sampled_from([*WORDS.split("|"), "", " ", "\t", "\u00e9\u202e", "a" * 5000, "9" * 400, "1:" * 40])
plain = st.none() | st.booleans() | numbers | texts
values = plain | st.lists(plain, max_size=3) | st.dictionaries(texts, plain, max_size=2)


class Case(NamedTuple):
    """Files to write, by name, and the words of a command."""

    files: dict[str, str]
    words: tuple[str, ...]


def list_places(data: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in nested lists and mappings."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place for key, value in items for place in ((*at, key), *list_places(value, (*at, key)))]


@st.composite
def changed_data(draw: st.DrawFn, path: str) -> Any:
    """The content of a shipped file with one to three things changed."""
    original = read(path)
    data = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        places = list_places(data)
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        inside = data
        for key in parents:
            inside = inside[key]
        match draw(st.integers(0, 5)):
            case 0:
                del inside[last]
            case 1 if isinstance(inside, dict):
                inside[draw(texts)] = inside.pop(last)
            case 2:
                inside[last] = [inside[last]] * draw(st.integers(0, 3))
            case 3 if type(inside[last]) in (int, float) and abs(inside[last]) < MOST_CHANGED:
                inside[last] = inside[last] * draw(st.sampled_from([-1, 0, 2, 0.5, 10, 1000, 10**9, 10**20]))
            case 4 if isinstance(inside[last], str) and inside[last][:1].isdigit():
                inside[last] = draw(st.sampled_from(["-", "1e30", "0", "."])) + inside[last]
            case _:
                inside[last] = draw(values)
    return data


@cache
def read(path: str) -> Any:
    """A shipped file as plain data."""
    text = (ROOT / path).read_text()
    return (
        json.loads(text) if path.endswith(".json") else yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    )


@st.composite
def spec_texts(draw: st.DrawFn, kind: str) -> str:
    """The text of a spec file of a kind, changed as data or as text."""
    path = draw(st.sampled_from(SHIPPED[kind]))
    is_json = path.endswith(".json")
    if draw(st.integers(0, 3)):
        data = draw(changed_data(path))
        return json.dumps(data) if is_json else yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    return draw(changed_text((ROOT / path).read_text()))


@st.composite
def changed_text(draw: st.DrawFn, text: str) -> str:
    """A text cut off, doubled in part, or with something put in."""
    place = draw(st.integers(0, len(text)))
    match draw(st.integers(0, 4)):
        case 0:
            return text[:place]
        case 1:
            return text[:place] + draw(texts) + text[place:]
        case 2:
            return text[:place] + draw(st.characters()) + text[place + 1 :]
        case 3:
            return (
                text[:place]
                + draw(st.sampled_from(["[", "{", "- ", "&a ", "*a", "<<: *a\n", '"'])) * 300
                + text[place:]
            )
        case _:
            lines = text.splitlines(keepends=True)
            line = draw(st.integers(0, len(lines)))
            return "".join([*lines[:line], *lines[max(line - 3, 0) :]])


@st.composite
def table_texts(draw: st.DrawFn, text: str) -> str:
    """A CSV table with cells changed, or changed as text."""
    if not draw(st.integers(0, 3)):
        return draw(changed_text(text))
    rows = [line.split(",") for line in text.splitlines()][:12]
    for _ in range(draw(st.integers(1, 2))):
        row = draw(st.sampled_from(rows))
        if row:
            row[draw(st.integers(0, len(row) - 1))] = draw(texts | numbers.map(str))
    return "\n".join(map(",".join, rows)) + "\n"


@st.composite
def file_cases(draw: st.DrawFn) -> Case:
    """A command that reads a changed file."""
    kind = draw(st.sampled_from([*SHIPPED, *TABLES, "trace", "lengths"]))
    verb = draw(st.sampled_from(["predict", "footprint", "explain", "simulate", "sweep"]))
    asked = (*SMALL, "-b", "2") if verb != "simulate" else (*SMALL, "--concurrency", "2", "--num-requests", "6")
    form = () if verb == "sweep" else ("-o", "json")
    if kind in SHIPPED:
        name = "config.json" if kind == "config" else f"{kind}.yaml"
        flag = {"hardware": "-H", "stack": "-s", "model": "-m", "profile": "-c", "config": "-m"}[kind]
        place = {"-m": MODEL, "-H": DEVICE} | {flag: f"./{name}"}
        words = [verb, *(word for pair in place.items() for word in pair), *asked, *form]
        if draw(st.booleans()):
            words.append("--assume-fits")
        return Case({name: draw(spec_texts(kind))}, tuple(words))
    text = {"trace": TRACE, "lengths": LENGTHS}.get(kind) or (ROOT / TABLES[kind]).read_text()
    words_of: dict[str, tuple[str, ...]] = {
        "rows": ("validate", "t.csv", "-c", "a100-sxm-80gb--megatron-lm-2022"),
        "queries": ("ideal", MODEL, "-H", DEVICE, "--queries", "t.csv"),
        "scores": ("tradeoff", "t.csv", "-o", "json"),
        "trace": ("simulate", "-m", MODEL, "-H", DEVICE, "--trace", "t.csv", "-o", "json"),
        "lengths": ("simulate", "-m", MODEL, "-H", DEVICE, "--lengths", "t.csv", "--concurrency", "2",
                    "--num-requests", "6", "-o", "json"),
    }  # fmt: skip
    return Case({"t.csv": draw(table_texts(text))}, words_of[kind])


FLAGS = {
    "predict": "--tp --pp --dp --ep --micro-batches --dtype --weight-dtype --kv-dtype -p -n -b --set --set-hw --price "
    "--grid --pue -c -s --out",
    "compare": "--tp --dtype -b --set --set-hw -c -s --baseline",
    "sweep": "--tp --pp -b --set --set-hw --where --slo --pareto --sort --top --columns --out",
    "solve": "--slo --tp --dtype -p -n",
    "footprint": "--tp --dtype -p -b --set --set-hw -s",
    "simulate": "--concurrency --request-rate --burstiness --lengths --num-requests --seed --dp --kv-blocks --trace "
    "-p -n --max-num-batched-tokens --max-num-seqs",
    "explain": "--tp -b --dtype --set-hw",
    "ideal": "--prompt-tokens --output-tokens --queries",
}
SPECIAL: dict[str, tuple[str, ...]] = {
    "--set": ("hidden_size=", "num_hidden_layers=", "vocab_size=", "sliding_window=", "num_experts=", "banana="),
    "--set-hw": ("memory.bandwidth=", "compute.units=", "memory.capacity=", "links.node.bandwidth=", "compute.clock="),
    "--where": ("tpot_s<", "ttft_s>=", "banana<"),
    "--slo": ("ttft_s:", "tpot_s_high:", "output_tokens_per_s:>", "banana:"),
}
AMOUNTS = (
    "0 1 2 3 8 -1 1.5 1,2,4 1-64*2 1-100000+1 1-9999999*1 64-1+1 1..8*2 1TB/s..8TB/s*1.2 1TB/s..8TB/s*1e999999 nan inf "
    "bf16 fp8 int4-g128 none vllm batch_size ttft_s,cost_usd 1e400 out.csv x.json"
)
SPACED = ("2 TB/s", "1e-300 GB", "1e300 GB", "1410 MHz", "5 USD/h", "9" * 40, "9" * 400)
amounts = st.sampled_from([*AMOUNTS.split(), *SPACED])


@st.composite
def flag_cases(draw: st.DrawFn) -> Case:
    """A command with one to three flags that say anything."""
    verb = draw(st.sampled_from(list(FLAGS)))
    words = [verb, *((MODEL,) if verb == "ideal" else ("-m", MODEL)), "-H", DEVICE]
    if verb == "simulate" and draw(st.booleans()):
        words += ["--concurrency", "2", "--num-requests", "6", *SMALL]
    if verb == "solve":
        words += ["--for", draw(st.sampled_from(["batch_size", "devices", "tp", "prompt_tokens", "concurrency"]))]
    for flag in draw(st.lists(st.sampled_from(FLAGS[verb].split()), min_size=1, max_size=3)):
        given = draw(amounts | texts)
        if flag == "--out" and given.startswith(".."):  # whoever asks for a file above the folder gets one
            continue
        words += [flag, draw(st.sampled_from(SPECIAL[flag])) + given if flag in SPECIAL else given]
    return Case({}, tuple(word for word in words if "\0" not in word))


Kind = Callable[[], st.SearchStrategy[Case]]
CASES: dict[str, Kind] = {"files": file_cases, "flags": flag_cases}


def write_files(case: Case, folder: Path) -> None:
    """Write the files of a case."""
    for name, text in case.files.items():
        (folder / name).write_text(text, encoding="utf-8", errors="surrogatepass")
