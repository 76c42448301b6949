"""Rows of a table -> questions for the predictor: rows that differ only in their token counts become one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from calibration.fit.load_case import NO_PROFILE, LoadCase, guess_running
from calibration.fit.operators import build_operators
from simulator.costs.operators import Operator
from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.hardware import Hardware
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.measurements import Measurement
from simulator.inputs.operator_text import KINDS, is_library_reduce, name_kind, parse_operator
from simulator.inputs.stack import Stack
from simulator.inputs.workload import Workload
from simulator.prediction import Question, answer, describe_machine, resolve
from simulator.timing.factors import Factors, perturb_factors
from simulator.timing.intervals import find_width
from simulator.timing.passes import Machine, time_operator
from simulator.timing.profile import Knowledge, Profile, complete
from simulator.timing.request import Times, combine_times, find_throughput
from simulator.timing.transfer import Move, list_place_moves

Array = NDArray[np.float64]


class Case(Protocol):
    """Rows of the table that one call of the predictor answers: their indices, and the answer."""

    @property
    def indices(self) -> list[int]:
        """Places of the rows in the table."""
        ...

    def predict(self, factors: Factors | None) -> Array:
        """Predicted value of each row for a set of factors; leading axes of the factors stay in front.

        No factors: those that are known where the row was measured, or else the bound.
        """
        ...

    def find_ends(self) -> tuple[Array, Array]:
        """Ends of the 90% interval of each row.

        Raises:
            InputError: there is no profile.
        """
        ...


class RequestCase(NamedTuple):
    """One question over several rows, which differ in token counts, batch and metric."""

    indices: list[int]
    metrics: list[str]
    question: Question

    def predict(self, factors: Factors | None) -> Array:
        """Predicted value of each row."""
        times = combine_times(
            self.question.times(factors or self.question.machine.factors), self.question.work.workload
        )
        return self.pick_metrics(times)

    def find_ends(self) -> tuple[Array, Array]:
        """Ends of the 90% interval of each row."""
        intervals = answer(self.question).intervals
        if intervals is None:
            raise InputError(NO_PROFILE)
        ends = [self.pick_metrics(end) for end in intervals]
        return np.minimum(*ends), np.maximum(*ends)

    def pick_metrics(self, times: Times) -> Array:
        """Each row's metric out of the three times."""
        request = self.question.work.workload
        by_metric = {
            "e2e_s": times.e2e_s,
            "ttft_s": times.ttft_s,
            "prefill_s": times.ttft_s,
            "tpot_s": times.tpot_s,
            "throughput_tok_s": find_throughput(request, times.e2e_s),
        }
        columns = [by_metric[metric][..., place] for place, metric in enumerate(self.metrics)]
        return np.stack(columns, axis=-1)


class OperatorCase(NamedTuple):
    """Operators of one kind on one machine, their sizes in arrays."""

    indices: list[int]
    kind: str
    operators: list[Operator]  # one, or those of a block
    machine: Machine
    knowledge: Knowledge | None
    moves: list[Move]

    def predict(self, factors: Factors | None) -> Array:
        """Seconds of each operator."""
        factors = factors or self.machine.factors
        machine = self.machine._replace(factors=factors)
        if self.kind != "host":
            return np.asarray(sum(time_operator(one, machine) for one in self.operators))
        issuing = sum(one.launches for one in self.operators) * (factors.launch_s if factors else 0.0)
        if machine.device.kind == "cpu":  # where who issues a kernel also runs it
            issuing = issuing + sum(time_operator(one, machine) for one in self.operators)
        return np.asarray(issuing)

    def find_ends(self) -> tuple[Array, Array]:
        """Ends of the 90% interval of each row."""
        if self.knowledge is None:
            raise InputError(NO_PROFILE)
        names = list(self.knowledge.factors.names)
        values = self.predict(perturb_factors(self.knowledge.factors, names, 1))
        own = (self.knowledge.profile.discrepancy.operators or {}).get(self.kind, 0.0)
        scatter = math.hypot(own, *(float(max(move.error)) for move in self.moves))
        width = find_width(self.knowledge.log_covariance(names), values, scatter)
        return values[0] / width, values[0] * width


def build_cases(
    rows: list[Measurement],
    calibration: Profile | str,
    hardware: Hardware | None = None,
    stack: Stack | None = None,
) -> list[Case]:
    """Group rows that one call can answer, and resolve each group.

    ``hardware`` and ``stack`` stand for what the rows name; None: what ships under that name, and the profile's stack.

    Raises:
        InputError: a row that the predictor cannot answer, named.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, row in enumerate(rows):
        request = (row.model, row.identical_prompts)
        subject = (name_kind(row.operator), is_library_reduce(row.operator)) if row.operator else request
        layout = (row.hardware, row.tp, row.pp, row.activation_dtype, row.weight_dtype, row.kv_dtype)
        groups.setdefault((row.is_load, *subject, *layout), []).append(index)
    cases: list[Case] = []
    for places in groups.values():
        build = build_operator_case if rows[places[0]].operator else build_request_case
        case = build(rows, places, calibration, hardware, stack)
        if isinstance(case, RequestCase) and rows[places[0]].is_load:
            members = [rows[place] for place in places]
            cases.append(LoadCase(places, members, case.question, guess_running(members)))
        else:
            cases.append(case)
    return cases


def build_request_case(
    rows: list[Measurement],
    indices: list[int],
    calibration: Profile | str,
    hardware: Hardware | None,
    stack: Stack | None,
) -> RequestCase:
    """Resolve one group of rows of requests."""
    first = rows[indices[0]]
    members = [rows[index] for index in indices]
    # A generation from an empty context starts with one token, and a prefill gives one.
    workload = Workload(
        np.array([max(row.prompt_tokens, 1) for row in members], dtype=np.float64),
        np.array([max(row.output_tokens, 1) for row in members], dtype=np.float64),
        np.array([row.batch_size for row in members], dtype=np.float64),
        identical_prompts=first.identical_prompts,
    )
    try:
        deployment = Deployment(
            first.tp,
            first.pp,
            dtype=first.activation_dtype,
            weight_dtype=first.weight_dtype,
            kv_dtype=first.kv_dtype,
        )
        question = resolve(first.model, hardware or first.hardware, calibration, stack, deployment, workload)
    except InputError as error:
        raise InputError(f"rows of {first.model} on {first.hardware}: {error}") from None
    return RequestCase(indices, [row.metric for row in members], question)


def build_operator_case(
    rows: list[Measurement],
    indices: list[int],
    calibration: Profile | str,
    hardware: Hardware | None,
    stack: Stack | None,
) -> OperatorCase:
    """Resolve one group of rows of operators."""
    first = rows[indices[0]]
    kind = name_kind(first.operator)
    names = KINDS[parse_operator(first.operator)[0]]
    table = np.array([parse_operator(rows[index].operator)[1] for index in indices])
    sizes = dict(zip(names, table.T, strict=True))
    profile = calibration if isinstance(calibration, Profile) else None
    try:
        device = hardware or load_hardware(first.hardware)
        software = stack or load_stack(first.stack if profile is None else profile.stack)
        deployment = Deployment(
            first.tp,
            first.pp,
            dtype=first.activation_dtype,
            weight_dtype=first.weight_dtype,
            kv_dtype=first.kv_dtype,
        )
        machine = describe_machine(device, software, deployment, profile)
    except InputError as error:
        raise InputError(f"rows of {kind} on {first.hardware}: {error}") from None
    if kind == "all_reduce" and first.tp == 1:
        raise InputError(f"rows of {kind} on {first.hardware}: an all-reduce needs tp of at least 2")
    if is_library_reduce(first.operator):
        links = machine.device.links._replace(direct_reduce_bytes=0)
        machine = machine._replace(device=machine.device._replace(links=links))
    operators = build_operators(kind, sizes, deployment, software)
    moves = [] if profile is None else list_place_moves(profile.hardware, profile.stack, device, software)
    knowledge = None if profile is None else complete(profile, machine.device.traits, software, not moves)
    return OperatorCase(indices, kind, operators, machine, knowledge, moves)


def scatter(cases: Sequence[Case], values: Iterable[Array]) -> Array:
    """Put values of cases back into the order of the table, along the last axis."""
    order = np.argsort(np.concatenate([case.indices for case in cases]))
    return np.concatenate(list(values), axis=-1)[..., order]


def predict_rows(cases: Sequence[Case], factors: Factors | None = None) -> Array:
    """Predicted values in the order of the table, along the last axis; see ``Case.predict``."""
    return scatter(cases, (case.predict(factors) for case in cases))


def settle_load(cases: Sequence[Case], factors: Factors) -> bool:
    """Simulate the rows of load at some factors, for the closed form to be corrected by; whether there are such."""
    loads = [case for case in cases if isinstance(case, LoadCase)]
    for case in loads:
        case.settle(factors)
    return bool(loads)


def predict_intervals(cases: Sequence[Case]) -> tuple[Array, Array]:
    """Ends of the 90% intervals in the order of the table, from each case's own profile."""
    ends = [case.find_ends() for case in cases]
    return scatter(cases, (low for low, _ in ends)), scatter(cases, (high for _, high in ends))


def find_impossible(rows: list[Measurement], hardware: Hardware | None = None, stack: Stack | None = None) -> list[int]:
    """Places of operators that were measured faster than the data sheet allows.

    Their operands cannot have come from the memory, or the benchmark did less than the operator. A device whose clock
    was above that of its data sheet, or may be set above it, is allowed as much more: what is recorded is a mean, and
    that of a short kernel begins before the clock has risen.
    """
    places = [place for place, row in enumerate(rows) if row.operator]
    chosen = [rows[place] for place in places]
    if not chosen:
        return []
    device = hardware or load_hardware(chosen[0].hardware)
    if device.kind == "cpu":  # its caches may hold all operands
        return []
    cases = build_cases(chosen, "none", hardware, stack)
    bounds = scatter(cases, (case.predict(None) for case in cases if isinstance(case, OperatorCase)))
    nominal = device.compute.clock
    fastest = [max(row.clock_hz or 0.0, device.compute.clock_limit or 0.0, nominal) for row in chosen]
    least = bounds * nominal / np.array(fastest)
    return [place for place, row, bound in zip(places, chosen, least, strict=True) if row.value < bound]
