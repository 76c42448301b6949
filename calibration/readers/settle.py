"""Runs as files state them -> rows of the tidy table: names that ship, and what a file leaves out from the options.

A model, a device, a stack, a length or a batch that neither file nor options name is asked for. Layout and formats have
the defaults that every command has (one device, the format in the checkpoint's name, else what the engine computes in),
and a note says where these were taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from calibration.readers.by_size import NEAR, agrees, find_by_size
from calibration.readers.runs import Metric, Run, Told
from simulator.errors import InputError
from simulator.inputs.formats import FORMATS, METHODS, UNSTATED, WIDE, WIDE_BITS, find_format
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import (
    HARDWARE_FOLDER,
    MODEL_FOLDER,
    STACK_FOLDER,
    find_id,
    find_named,
    index_names,
    list_ids,
    load_hardware,
    load_stack,
    read_shipped_model,
)
from simulator.inputs.measurements import LEAST, MOST, Measurement
from simulator.inputs.model_names import find_likely, match_model
from simulator.inputs.stack import Stack
from simulator.inputs.stack_versions import find_covering
from simulator.names import MOST_NAME

OPTIONS = {
    "model": "-m",
    "hardware": "-H",
    "stack": "-s",
    "prompt tokens": "-p",
    "output tokens": "-n",
    "batch size": "-b",
}
# Formats of checkpoints that are not of 16 bits, by the model that they are of; tables call that of gpt-oss any fp4.
CHECKPOINTS = {"gpt-oss-20b": "mxfp4", "gpt-oss-120b": "mxfp4", "deepseek-v3": "fp8-block"}
FOUR_BITS = ("fp4", "nvfp4", "mxfp4")
PARTIAL = "not all layers on the device (-ngl)"
WHOLE = ("e2e_s", "throughput_tok_s")  # what the other two metrics add up to


@dataclass
class Settled:
    """Rows, and what to say of them, a line each."""

    rows: list[Measurement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def say(self, note: str) -> None:
        """Add a note, once."""
        if note not in self.notes:
            self.notes.append(note)


def need_place(path: Path, what: str, told: Told) -> tuple[str, str]:
    """Ids of the device and the stack, for a format that names neither.

    Raises:
        InputError: an option does not name them either.
    """
    hardware, stack = told.hardware or told.assumed_hardware, told.stack or told.assumed_stack
    if hardware is None or stack is None:
        raise InputError(f"{path}: {what} does not say hardware and stack; name them with -H and -s")
    return load_hardware(hardware).id, load_stack(stack).id


def settle_runs(runs: Iterable[Run], told: Told) -> Settled:
    """Make rows of all runs.

    Raises:
        InputError: a run that leaves out what no option says, or has no metric that was measured.
    """
    settled = Settled()
    left_out: dict[str, int] = {}
    runs = list(runs)
    mixed = len({run.model for run in runs if run.left_out is None}) > 1
    for run in runs:
        reason = run.left_out or settle_run(run, told, settled, mixed)
        if reason is not None:
            left_out[reason] = left_out.get(reason, 0) + 1
    for reason, count in left_out.items():
        settled.say(f"{count} run{'s are' if count > 1 else ' is'} left out: {reason}")
    return settled


def settle_row(row: Measurement, settled: Settled) -> Measurement:
    """A row with ids for the names that it has of a device and a stack; others, of files of one's own, stay."""
    stack = find_stack(row.stack)
    if stack is not None and stack.note is not None:
        settled.say(stack.note)
    row = replace(
        row, hardware=find_id("hardware", row.hardware, HARDWARE_FOLDER), stack=row.stack if stack is None else stack.id
    )
    return row if row.operator else settle_width(row, settled)


def settle_width(row: Measurement, settled: Settled) -> Measurement:
    """A row of 16 bits that its device does not compute in, in the format of its weights, where these have 16 too."""
    if row.hardware not in index_names(HARDWARE_FOLDER):
        return row
    peaks = load_hardware(row.hardware).compute.matrix_peak
    said, weights = (find_format(name) for name in (row.activation_dtype, row.weight_dtype))
    if said in peaks or weights not in peaks or {FORMATS[said].bits, FORMATS[weights].bits} != {WIDE_BITS}:
        return row
    settled.say(f"{row.hardware} does not compute in {said}: rows in it are taken in {weights}, as their weights are")
    return replace(row, activation_dtype=weights)


def settle_run(run: Run, told: Told, settled: Settled, mixed: bool) -> str | None:
    """Make the rows of one run; why it has none, where its model is another or was not whole on the device.

    ``mixed``: it is a run among those of other models, and one of a model that does not ship is left out.
    """
    missing: list[str] = []
    model, named_format = settle_model(run, told, missing, settled)
    if missing and mixed:
        return missing[0]
    if mixed and is_other(run, model):
        return f"of another model than {told.model} (-m): {run.model}"
    if is_partial(run, model):
        return PARTIAL
    hardware = settle_hardware(run, told, missing, settled)
    stack = settle_stack(run, told, missing, settled)
    prompt_tokens = settle_count("prompt tokens", run.prompt_tokens, told.prompt_tokens, missing)
    output_tokens = settle_count("output tokens", run.output_tokens, told.output_tokens, missing)
    batch_size = settle_count("batch size", run.batch_size, told.batch_size, missing)
    if missing:
        asked = ", ".join(one for one in missing if one)
        options = " ".join(OPTIONS[name] for name in OPTIONS if name in {one.partition(" (")[0] for one in missing})
        raise InputError(
            f"{run.where}: {run.tool} does not say {asked}; name {'them' if len(missing) > 1 else 'it'} with {options}"
        )
    assert hardware is not None
    assert stack is not None
    own = CHECKPOINTS.get(model)
    own = own if run.native_dtype is None or own in FOUR_BITS else None  # a GGUF file is seldom of fp8
    if own in FOUR_BITS and run.weight_dtype in FOUR_BITS:
        run = replace(run, weight_dtype=own)
    dtype, weight_dtype, kv_dtype = settle_formats(run, told, named_format or own, hardware, settled)
    metrics = pick_metrics(run, output_tokens)
    for metric in metrics:
        if not LEAST <= metric.value <= MOST:
            raise InputError(f"{run.where}: {metric.name} is {metric.value:g}; no measurement is so")
        settled.rows.append(
            Measurement(
                source=f"{run.tool}, {run.where.rpartition('/')[2]}",
                model=model,
                hardware=hardware.id,
                stack=stack.id,
                tp=settle_layout("tp", run.tp, told.tp, run, settled),
                pp=settle_layout("pp", run.pp, told.pp, run, settled),
                weight_dtype=weight_dtype,
                activation_dtype=dtype,
                kv_dtype=kv_dtype,
                batch_size=batch_size,
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
                metric=metric.name,
                value=metric.value,
                std=metric.std,
                notes=run.notes,
                concurrency=run.concurrency,
                request_rate=run.request_rate,
                num_requests=run.num_requests,
                length_low=run.length_low,
                length_high=run.length_high,
                max_num_batched_tokens=run.max_num_batched_tokens,
                max_num_seqs=run.max_num_seqs,
                batch_wait_passes=run.batch_wait_passes,
                statistic=metric.statistic if run.is_load or metric.statistic != "mean" else "",
            )
        )
    return None


def is_other(run: Run, model: str) -> bool:
    """Whether a run's parameters are not those of a shipped model."""
    return run.parameters is not None and model in list_ids(MODEL_FOLDER) and not agrees(model, run.parameters, NEAR)


def is_partial(run: Run, model: str) -> bool:
    """Whether some of a shipped model's layers were on the device and others, or the head, were not.

    llama.cpp counts the head as one layer more.
    """
    if run.gpu_layers is None or run.gpu_layers <= 0 or model not in list_ids(MODEL_FOLDER):
        return False
    return run.gpu_layers <= read_shipped_model(model).architecture.num_hidden_layers


def settle_model(run: Run, told: Told, missing: list[str], settled: Settled) -> tuple[str, str | None]:
    """The model's id, or the name that the option gives, and the number format in the name that the file has."""
    names = index_names(MODEL_FOLDER)
    found, sized = find_model(run, names)
    if told.model is not None:
        meant = match_model(told.model, names)
        model = meant[0] if meant else told.model
        if found is not None and found[0] != model:
            settled.say(f"{run.tool} names the model {run.model}; taken as {told.model} (-m)")
        return model, (found[1] if found else None) or (meant[1] if meant else None)
    if found is not None:
        return found
    if sized:
        missing.append(f"model (it has '{run.model}', one of {', '.join(sized)})")
    elif run.model is None:
        missing.append("model")
    else:
        near = find_likely(run.model, names)
        hint = f"; nearest {near}" if near else ""
        missing.append(f"model (it has '{run.model[:MOST_NAME]}', which does not ship{hint})")
    return "", None


def find_model(run: Run, names: Mapping[str, Path]) -> tuple[tuple[str, str | None] | None, list[str]]:
    """The model that a file's words mean, with the format in its name; else those that it may mean by its size.

    A name holds where the number of parameters that the file has does not speak against it.
    """
    spellings = [name for name in (run.model, run.kind) if name is not None]
    found = [match for name in spellings if (match := match_model(name, names)) is not None]
    if run.parameters is None:
        return (found[0] if found else None), []
    exact = [match for match in found if agrees(match[0], run.parameters)]
    sized = find_by_size(run.kind or run.model or "", run.parameters)
    if exact or len(sized) == 1:
        return (exact[0] if exact else (sized[0], None)), []
    close = [match for match in found if agrees(match[0], run.parameters, NEAR)]
    return (None, sized) if sized or not close else (close[0], [])


def settle_hardware(run: Run, told: Told, missing: list[str], settled: Settled) -> Hardware | None:
    """The device."""
    stated = None if run.hardware is None else find_hardware(run.hardware)
    if told.hardware is not None:
        device = load_hardware(told.hardware)
        if stated is not None and stated.id != device.id:
            settled.say(f"{run.tool} names the device {run.hardware}; taken as {device.id} (-H)")
        return device
    if stated is not None:
        return stated
    if told.assumed_hardware is not None and run.hardware is None:
        return load_hardware(told.assumed_hardware)
    missing.append("hardware" if run.hardware is None else f"hardware (it has '{run.hardware}', which does not ship)")
    return None


def find_hardware(name: str) -> Hardware | None:
    """The shipped device of a name as tools print it; None where there is none."""
    path = find_named("hardware", name, HARDWARE_FOLDER)
    return None if path is None else load_hardware(path.stem)


def settle_stack(run: Run, told: Told, missing: list[str], settled: Settled) -> Stack | None:
    """The stack. A version that a file names and that does not ship is taken as the one that covers it, with a note."""
    stated = None if run.stack is None else find_stack(run.stack)
    if told.stack is not None:
        stack = load_stack(told.stack)
        if stated is not None and stated.id != stack.id:
            settled.say(f"{run.tool} names the stack {run.stack}; taken as {stack.id} (-s)")
    elif stated is not None:
        stack = stated
    elif told.assumed_stack is not None:
        stack = load_stack(told.assumed_stack)
    else:
        missing.append("stack" if run.stack is None else f"stack (it has '{run.stack}', which does not ship)")
        return None
    if stack.note is not None:
        settled.say(stack.note)
    return stack


def find_stack(name: str) -> Stack | None:
    """The shipped stack of a name as tools print it; None where there is none."""
    names = index_names(STACK_FOLDER)
    covered = name.lower() in names or find_covering(name, {path.stem for path in names.values()}) is not None
    return load_stack(name) if covered else None


def settle_count(what: str, stated: float | None, told: int | None, missing: list[str]) -> int:
    """A number of tokens or requests; means are rounded."""
    if stated is not None:
        return round(stated)
    if told is None:
        missing.append(what)
    return told or 0


def settle_layout(what: str, stated: int | None, told: int | None, run: Run, settled: Settled) -> int:
    """Devices; one where nothing says otherwise."""
    if stated is not None and told is not None and stated != told:
        raise InputError(f"{run.where} says {what} {stated}; --{what} says {told}")
    if stated is None and told is None and what == "tp":
        settled.say(f"{run.tool} does not say on how many devices: taken as one (--tp, --pp)")
    return stated or told or 1


def settle_formats(
    run: Run, told: Told, named: str | None, hardware: Hardware, settled: Settled
) -> tuple[str, str, str]:
    """Formats of products, of weights and of the cache."""
    peaks = hardware.compute.matrix_peak or {}
    plain = run.native_dtype or ("bf16" if "bf16" in peaks else "fp16")
    stated = [None if one is None or one.lower() in UNSTATED else one for one in (run.dtype, run.weight_dtype)]
    method = stated[1] is not None and stated[1].lower() in METHODS
    if method and not (told.weight_dtype or named):
        raise InputError(
            f"{run.where} says {stated[1]}, a way to quantize, but not the format; name that with --weight-dtype"
        )
    weights = told.weight_dtype or (named if method else stated[1]) or named
    weight_dtype = None if weights is None else find_format(weights, "weight dtype")
    dtype = told.dtype or stated[0]
    if dtype is not None:
        dtype = find_format(dtype, "dtype")
    computed = None if weight_dtype is None else FORMATS[weight_dtype].math
    native = run.native_dtype is not None  # llama.cpp, which computes in nothing else
    if told.dtype is None and weight_dtype is not None and computed in peaks and is_narrow(weight_dtype) and not native:
        dtype = weight_dtype  # a checkpoint that the device computes in as it is
    if dtype is None:
        dtype = weight_dtype if weight_dtype and computed and not is_narrow(weight_dtype) else plain
        if weight_dtype is None:
            settled.say(f"{run.tool} does not say the number format: taken as {dtype} (--dtype, --weight-dtype)")
    kv_dtype = told.kv_dtype or (None if run.kv_dtype is None or run.kv_dtype.lower() in UNSTATED else run.kv_dtype)
    return dtype, weight_dtype or dtype, find_format(kv_dtype, "kv dtype") if kv_dtype else WIDE[dtype]


def is_narrow(name: str) -> bool:
    """Whether a format is narrower than 16 bits."""
    return FORMATS[name].bits < WIDE_BITS


def pick_metrics(run: Run, output_tokens: int) -> list[Metric]:
    """The metrics that say something each.

    Of a batch or of one request at a time the mean, or the median where only that is known: its spread is noise. What
    the time to the first token and the time per output token add up to is left out beside them.

    Raises:
        InputError: nothing was measured.
    """
    measured = [one for one in run.metrics if one.value and (one.name != "tpot_s" or output_tokens > 1)]
    if not run.is_load:
        best = {
            one.name: one for one in sorted(measured, key=lambda one: (one.statistic != "p99", one.statistic == "mean"))
        }
        measured = [one for one in measured if best[one.name] is one and one.statistic != "p99"]
        names = {one.name for one in measured}
        if "tpot_s" in names and names & {"ttft_s", "prefill_s"}:
            measured = [one for one in measured if one.name not in WHOLE]
    if not measured:
        raise InputError(f"{run.where}: {run.tool} has no time that was measured in it")
    return measured
