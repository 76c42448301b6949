"""What can be asked over HTTP: one model of its fields for each verb, from which API, form and links are made.

Names are those of the command and of its JSON. Only what ships can be named: no files of this machine, and no hub.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_LETTERS = 200
MOST_SIZE = 4096  # of a layout
MOST_TOKENS = 2**22
MOST_REQUESTS = 20_000  # of a simulation
MOST_IN_FLIGHT = 2_000
MOST_SIMULATED = 2**17  # tokens of a request of a simulation
LENGTHS = r"^([0-9.]+ *- *[0-9.]+|lognormal:[0-9.]+)$"
FILES = (".yaml", ".yml", ".json", ".gguf", ".csv", ".gz")


def check_name(text: str) -> str:
    """A name of something that ships.

    Raises:
        ValueError: it is spelled like a file.
    """
    for name in text.split(","):
        if "/" in name or "\\" in name or name.strip().startswith((".", "~")) or name.strip().lower().endswith(FILES):
            raise ValueError(f"'{name.strip()}' is no name of what ships; files and org/model are for the command")
    return text


def ask_for(text: str, group: str = "More", **others: Any) -> Any:
    """What a field means, where the form has it, and what its input is like."""
    limits = {key: others.pop(key) for key in ("ge", "le", "gt", "max_length", "pattern") if key in others}
    return Field(description=text, json_schema_extra={"group": group, **others}, **limits)


Name = Annotated[str, AfterValidator(check_name), Field(min_length=1, max_length=MOST_LETTERS)]
Text = Annotated[str, Field(min_length=1, max_length=MOST_LETTERS)]
Count = Annotated[str, Field(pattern=r"^[0-9,*+ -]+$", max_length=MOST_LETTERS)]
Model = Annotated[Name, ask_for("Model, by name", "What", of="models")]
Device = Annotated[Name, ask_for("Device, by name", "What", of="hardware")]
Stack = Annotated[Name | None, ask_for("Software stack; blank: what the device is served with", "What", of="stacks")]
Profile = Annotated[Name | None, ask_for("Profile, or none for the bound; blank: the nearest", "What", of="profiles")]
FORMAT = {"group": "Layout", "of": "formats"}


def size(text: str, **others: Any) -> Any:
    """A size of the layout."""
    return ask_for(text, "Layout", ge=1, le=MOST_SIZE, **others)


def tokens(text: str, most: int = MOST_TOKENS) -> Any:
    """A number of tokens."""
    return ask_for(text, "Request", ge=1, le=most, slider=131072)


class Question(BaseModel):
    """What every verb takes. A ``slow`` one is asked with its progress."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)
    verb: ClassVar[str]
    slow: ClassVar[bool] = False

    output: Annotated[Literal["json", "csv"], ask_for("Form of the API's answer", "")] = "json"


class Changed(Question):
    """Formats, and what is changed of model and device."""

    dtype: Annotated[Name | None, ask_for("Format of products; blank: the checkpoint's", **FORMAT)] = None
    weight_dtype: Annotated[Name | None, ask_for("Format of weights", **FORMAT)] = None
    kv_dtype: Annotated[Name | None, ask_for("Format of the KV cache", **FORMAT)] = None
    changes: Annotated[Text | None, ask_for("Architecture fields to change: FIELD=VALUE; FIELD=VALUE")] = None
    hardware_changes: Annotated[
        Text | None, ask_for("Numbers of the data sheet to change: memory.bandwidth=4.8 TB/s; ...")
    ] = None


class Rates(BaseModel):
    """Money, electricity and site."""

    price: Annotated[Text | None, ask_for("Of one device: 2.5 USD/h")] = None
    grid: Annotated[Text | None, ask_for("Electricity: 400 gCO2e/kWh, or a grid that ships")] = None
    pue: Annotated[Text | None, ask_for("Power usage effectiveness: a number, or a site")] = None


class One(Changed):
    """One model on one device."""

    model: Model = "llama-3.1-8b"
    hardware: Device = "h100-sxm-80gb"
    calibration: Profile = None
    stack: Stack = None
    tp: Annotated[int, size("Tensor-parallel devices", slider=16)] = 1
    pp: Annotated[int, size("Pipeline stages")] = 1
    dp: Annotated[int, size("Replicas of the model")] = 1
    ep: Annotated[int, size("Devices that experts are spread over")] = 1


class Batched(One):
    """One request, or a batch of them."""

    micro_batches: Annotated[int, size("Parts of the batch in a pipeline")] = 1


class Static(Batched):
    """What is answered even where it does not fit."""

    assume_fits: Annotated[bool, ask_for("Answer even where it does not fit in memory")] = False


class Predict(Static, Rates):
    """``roofcast predict``: counts are numbers, lists (1,8,64) or ranges (128-32768*2)."""

    verb = "predict"

    prompt_tokens: Annotated[Count, ask_for("Tokens of the prompt", "Request", slider=131072)] = "512"
    output_tokens: Annotated[Count, ask_for("Tokens to generate", "Request", slider=131072)] = "128"
    batch_size: Annotated[Count, ask_for("Requests that run together", "Request", slider=1024)] = "1"


class Explain(Static):
    """``roofcast explain``."""

    verb = "explain"

    prompt_tokens: Annotated[int, tokens("Tokens of the prompt")] = 512
    output_tokens: Annotated[int, tokens("Tokens to generate")] = 128
    batch_size: Annotated[int, ask_for("Requests that run together", "Request", ge=1, le=2**20, slider=1024)] = 1


class Compare(Changed, Rates):
    """``roofcast compare``: everything may be a list; every combination that is possible is a row."""

    verb = "compare"

    model: Annotated[Name, ask_for("Models, by name, with commas between", "What")] = "llama-3.1-8b"
    hardware: Annotated[Name, ask_for("Devices, by name, with commas between", "What")] = "h100-sxm-80gb,h200-sxm-141gb"
    calibration: Profile = None
    stack: Annotated[Name | None, ask_for("Software stacks; blank: what each device is served with", "What")] = None
    tp: Annotated[Count, ask_for("Tensor-parallel devices: 1,2,4", "Layout")] = "1"
    pp: Annotated[Count, ask_for("Pipeline stages", "Layout")] = "1"
    dp: Annotated[Count, ask_for("Replicas of the model", "Layout")] = "1"
    ep: Annotated[Count, ask_for("Devices that experts are spread over", "Layout")] = "1"
    micro_batches: Annotated[Count, ask_for("Parts of the batch in a pipeline", "Layout")] = "1"
    prompt_tokens: Annotated[Count, ask_for("Tokens of the prompt", "Request", slider=131072)] = "512"
    output_tokens: Annotated[Count, ask_for("Tokens to generate", "Request", slider=131072)] = "128"
    batch_size: Annotated[Count, ask_for("Requests that run together: 1-64*2", "Request", slider=1024)] = "1"
    baseline: Annotated[int, ask_for("Number of the row that ratios are to", "Request", ge=1, le=1000)] = 1


class Drawn(BaseModel):
    """The requests of a load, and limits of the engine."""

    num_requests: Annotated[int | None, ask_for("Requests to simulate", "Load", ge=1, le=MOST_REQUESTS)] = None
    lengths: Annotated[Text | None, ask_for("0.8-1.0 (of the nominal) or lognormal:0.5", "Load", pattern=LENGTHS)] = (
        None
    )
    burstiness: Annotated[float, ask_for("Of the time between requests; 1: Poisson", gt=0, le=1e6)] = 1.0
    seed: Annotated[int, ask_for("Of lengths and arrivals", ge=0, le=2**31)] = 0
    max_num_batched_tokens: Annotated[int | None, ask_for("Most tokens of a pass", ge=1, le=2**17)] = None
    max_num_seqs: Annotated[int | None, ask_for("Most sequences that run", ge=1, le=2**13)] = None
    kv_blocks: Annotated[int | None, ask_for("Blocks of KV cache of one replica", ge=1, le=2**24)] = None


class Simulate(One, Drawn, Rates):
    """``roofcast simulate``: a load is a concurrency or a request rate."""

    verb = "simulate"
    slow = True

    prompt_tokens: Annotated[int, tokens("Tokens of a prompt", MOST_SIMULATED)] = 512
    output_tokens: Annotated[int, tokens("Tokens to generate", MOST_SIMULATED)] = 128
    concurrency: Annotated[
        int | None, ask_for("Requests in flight", "Load", ge=1, le=MOST_IN_FLIGHT, slider=256, excludes="request_rate")
    ] = None
    request_rate: Annotated[
        float | None, ask_for("Requests a second, in place of it", "Load", gt=0, le=1e6, excludes="concurrency")
    ] = None
    slo: Annotated[Text | None, ask_for("Limits of a request: ttft_s:1 tpot_s:40ms", "Load")] = None


class Recommend(Question, Rates):
    """``roofcast recommend``: devices, format, layout and engine limits for a load, among those that are named."""

    verb = "recommend"
    slow = True

    model: Model = "llama-3.1-8b"
    devices: Annotated[
        Name | None, ask_for("Up to 12 devices, with commas between; blank: those often rented", "What")
    ] = None
    stack: Annotated[Name | None, ask_for("Stacks to choose among; blank: what each device is served with", "What")] = (
        None
    )
    calibration: Profile = None
    prompt_tokens: Annotated[int, tokens("Tokens of a prompt", MOST_SIMULATED)] = 512
    output_tokens: Annotated[int, tokens("Tokens to generate", MOST_SIMULATED)] = 128
    concurrency: Annotated[
        int | None,
        ask_for("Requests in flight, in all", "Load", ge=1, le=MOST_IN_FLIGHT, slider=256, excludes="request_rate"),
    ] = None
    request_rate: Annotated[
        float | None, ask_for("Requests a second, in place of it", "Load", gt=0, le=1e4, excludes="concurrency")
    ] = None
    slo: Annotated[Text | None, ask_for("Limits: ttft_s_p99:2 tpot_s_mean:40ms", "Load")] = None
    lengths: Annotated[Text, ask_for("Of the nominal, or lognormal:0.5", "Load", pattern=LENGTHS)] = "0.8-1.2"
    objective: Annotated[
        Literal["usd_per_million_tokens", "devices", "energy"],
        ask_for("What is to be least: usd_per_million_tokens, devices or energy", "Load"),
    ] = "usd_per_million_tokens"
    formats: Annotated[Name | None, ask_for("own,fp8,int8...; blank: own, and what a device computes in", "More")] = (
        None
    )
    kv_dtype: Annotated[Name | None, ask_for("Format of the KV cache", of="formats")] = None
    max_devices: Annotated[int, ask_for("Most devices in all", ge=1, le=1024)] = 64
    nodes: Annotated[int, ask_for("Most nodes of one replica", ge=1, le=16)] = 2
    num_requests: Annotated[int | None, ask_for("Requests to simulate", ge=1, le=MOST_REQUESTS)] = None
    seed: Annotated[int, ask_for("Of lengths and arrivals", ge=0, le=2**31)] = 0


class Solve(Batched, Drawn, Rates):
    """``roofcast solve``: the extreme value of one unknown that meets every limit and fits in memory."""

    verb = "solve"
    slow = True

    unknown: Annotated[
        Text,
        ask_for(
            "batch_size, prompt_tokens, devices, tp, memory.bandwidth...; concurrency or request_rate under load",
            "What",
            of="unknowns",
        ),
    ] = "batch_size"
    slo: Annotated[
        Text | None, ask_for("Limits: tpot_s:40ms ttft_s:2; under load ttft_s_p99:2 tpot_s_mean:40ms", "What")
    ] = None
    prompt_tokens: Annotated[int, tokens("Tokens of the prompt")] = 512
    output_tokens: Annotated[int, tokens("Tokens to generate")] = 128
    batch_size: Annotated[int, ask_for("Requests that run together", "Request", ge=1, le=2**20, slider=1024)] = 1


KINDS: tuple[type[Question], ...] = (Predict, Simulate, Compare, Recommend, Solve, Explain)
ASKS: dict[str, type[Question]] = {kind.verb: kind for kind in KINDS}
