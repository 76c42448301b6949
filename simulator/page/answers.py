"""From a question to its answer: the arguments of the Python function, the call, the same as a command and as a line of
Python, and the answer as JSON or CSV in the form that the command prints."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np

import simulator
from simulator.errors import ImpossibleError, InputError
from simulator.explore.load_solve import LoadSolution
from simulator.explore.solution import Solution
from simulator.inputs.ranges import parse_counts
from simulator.inputs.what_if import read_scalar
from simulator.page.questions import Question
from simulator.report.comparison import report_comparison
from simulator.report.explanation import report_explanation
from simulator.report.load_solution import report_load
from simulator.report.prediction import report_prediction
from simulator.report.recommendation import report_recommendation
from simulator.report.simulation import report_simulation
from simulator.report.solution import explain_impossible, report_solution

Form = Literal["json", "csv"]
Arguments = dict[str, Any]
PLACES = {"recommend": ("model", "devices")}  # the arguments that go by their place
USUAL_PLACES = ("model", "hardware", "calibration")
COUNTS = ("prompt_tokens", "output_tokens", "batch_size")
SIZES = ("tp", "pp", "dp", "ep", "micro_batches")
MOST_POINTS = 1000  # of predictions
MOST_ROWS = 60  # of a comparison
MOST_CHOICES = 12  # devices of a recommendation
LISTS = ("devices", "formats")  # always several
RATES = ("price", "grid", "pue")
SHORT = {
    "model": "-m",
    "hardware": "-H",
    "calibration": "-c",
    "stack": "-s",
    "prompt_tokens": "-p",
    "output_tokens": "-n",
    "batch_size": "-b",
}
REPEATED = {"changes": "--set", "hardware_changes": "--set-hw", "slo": "--slo"}


class Verb(NamedTuple):
    """How a verb is asked in Python and printed."""

    ask: Callable[..., Any]
    report: Callable[[Any, Form], str]


VERBS: dict[str, Verb] = {
    "predict": Verb(lambda *a, **k: simulator.predict(*a, **k), report_prediction),
    "simulate": Verb(lambda *a, **k: simulator.simulate(*a, **k), report_simulation),
    "compare": Verb(lambda *a, **k: simulator.compare(*a, **k), report_comparison),
    "recommend": Verb(lambda *a, **k: simulator.recommend(*a, **k), report_recommendation),
    "solve": Verb(lambda *a, **k: simulator.solve(*a, **k), lambda found, form: report_found(found, form)),
    "explain": Verb(
        lambda *a, **k: simulator.explain(*a, **k), lambda found, form: report_explanation(found, "all", form)
    ),
}


def report_found(found: Any, form: Form) -> str:
    """What ``solve`` found, under load or not."""
    return report_load(found, form) if isinstance(found, LoadSolution) else report_solution(found, form)


def list_given(question: Question) -> dict[str, Any]:
    """What is asked other than usually, and the model and the device."""
    usual = {name: field.default for name, field in type(question).model_fields.items() if name != "output"}
    values = question.model_dump()
    given = [name for name in usual if values[name] != usual[name] or name in ("model", "hardware", "unknown")]
    return {name: values[name] for name in sorted(given, key=lambda name: name not in SHORT)}


def find_arguments(question: Question) -> Arguments:
    """The arguments of the Python function.

    Raises:
        InputError: a text that cannot be read, or more than is answered over HTTP.
    """
    given = list_given(question)
    several, verb = question.verb == "compare", question.verb
    arguments: Arguments = {}
    for name, value in given.items():
        if name in REPEATED:
            continue
        arguments[name] = value
        if isinstance(value, str) and (name in COUNTS or name in SIZES):
            counts = parse_counts(value, name)
            arguments[name] = counts[0] if len(counts) == 1 else counts
        elif isinstance(value, str) and (name in LISTS or (several and "," in value and name not in RATES)):
            arguments[name] = [part.strip() for part in value.split(",") if part.strip()]
    if "changes" in given:
        pairs = split_pairs("changes", given["changes"])
        arguments["changes"] = {field: read_change(field, text) for field, text in pairs.items()}
    if "hardware_changes" in given:
        arguments["hardware_changes"] = split_pairs("hardware_changes", given["hardware_changes"])
    if "slo" in given:
        arguments["slo"] = split_limits(given["slo"])
    if len(arguments.get("devices", [])) > MOST_CHOICES:
        raise InputError(f"more than the {MOST_CHOICES} devices that are chosen among here; the command takes any")
    if verb != "recommend":
        check_size(arguments, several)
    return cross_counts(arguments) if verb == "predict" else arguments


def read_change(field: str, text: str) -> Any:
    """The value that an architecture's field is to have.

    Raises:
        InputError: a text that is none, with the field.
    """
    try:
        return read_scalar(text)
    except InputError as error:
        raise InputError(f"changes: {field}: {error}") from None


def check_size(arguments: Arguments, several: bool) -> None:
    """Refuse more than is answered over HTTP.

    Raises:
        InputError: with how many there are.
    """
    points = int(np.prod([len(value) for value in arguments.values() if isinstance(value, list)], initial=1.0))
    most = MOST_ROWS if several else MOST_POINTS
    if points > most:
        raise InputError(
            f"{points:,} combinations are more than the {most:,} that are answered here; the command takes more"
        )


def cross_counts(arguments: Arguments) -> Arguments:
    """Lists of counts crossed with each other, as the command has them: each along an axis of its own."""
    if not any(isinstance(arguments.get(name), list) for name in COUNTS):
        return arguments
    listed = [arguments.get(name) for name in COUNTS]
    crossed = np.ix_(*(value if isinstance(value, list) else [value or 1] for value in listed))
    arrays = {n: c.tolist() for n, value, c in zip(COUNTS, listed, crossed, strict=True) if isinstance(value, list)}
    return arguments | arrays


def split_pairs(name: str, text: str) -> dict[str, str]:
    """``KEY=VALUE; KEY=VALUE`` as a mapping.

    Raises:
        InputError: a part that is none.
    """
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key or not value:
            raise InputError(f"{name}: '{part}' is not of the form KEY=VALUE; KEY=VALUE")
        if key in pairs:
            raise InputError(f"{name}: {key} is given twice")
        pairs[key] = value
    return pairs


def split_limits(text: str) -> list[str]:
    """``ttft_s:1 tpot_s:40ms`` as a list."""
    return text.replace(",", " ").replace(";", " ").split()


def ask(question: Question, **further: Any) -> Any:
    """The answer.

    Raises:
        InputError: what is asked is wrong.
        ImpossibleError: it cannot be.
    """
    arguments = find_arguments(question)
    place = [arguments.pop(name, None) for name in PLACES.get(question.verb, USUAL_PLACES)]
    found = VERBS[question.verb].ask(*place, **arguments, **further)
    if isinstance(found, Solution) and not found.possible:
        raise ImpossibleError(explain_impossible(found))
    return found


def report(question: Question, answer: Any, form: Form) -> str:
    """The answer as the command prints it."""
    return VERBS[question.verb].report(answer, form)


def write_command(question: Question) -> str:
    """The same question as a command."""
    words = ["roofcast", question.verb]
    for name, value in list_given(question).items():
        flag = "--for" if name == "unknown" else SHORT.get(name, f"--{name.replace('_', '-')}")
        if name in ("changes", "hardware_changes"):
            for key, text in split_pairs(name, value).items():
                words += [REPEATED[name], f"{key}={text}"]
        elif name == "slo":
            for text in split_limits(value):
                words += [REPEATED[name], text]
        elif value is True:
            words.append(flag)
        else:
            words += [flag, str(value)]
    return shlex.join(words)


def write_python(question: Question) -> str:
    """The same question in Python."""
    arguments: Mapping[str, Any] = find_arguments(question)
    place = PLACES.get(question.verb, USUAL_PLACES)
    placed = [repr(arguments[name]) for name in place if name in arguments]
    named = [f"{name}={value!r}" for name, value in arguments.items() if name not in place]
    return f"import simulator as rc\n\nanswer = rc.{question.verb}({', '.join([*placed, *named])})"
