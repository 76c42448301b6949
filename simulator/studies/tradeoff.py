"""What each row of a table of results costs, by prediction or by published runtimes; ``tradeoff_views`` compares."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.costs.parameters import count_parameters
from simulator.csvfile import parse_real
from simulator.errors import InputError, suggest
from simulator.inputs.architecture import ModelSpec
from simulator.inputs.queries import Queries
from simulator.inputs.scores import Score
from simulator.metrics.pareto import orient
from simulator.prediction import Prediction
from simulator.studies.helm_runtimes import RuntimeFit, estimate_by_interpolation, read_helm
from simulator.studies.ideal import Setting, count_flops, name_basis, predict_queries
from simulator.studies.names import resolve_model

Array = NDArray[np.float64]
ALIGNED = 8  # tokens


class CostKind(NamedTuple):
    """One thing to set accuracy against: its column, what it is in words, its unit, and which metric; None: counted."""

    column: str
    label: str
    unit: str
    metric: str | None = None


COSTS = {
    "idealized_runtime": CostKind("idealized_runtime_s", "idealized runtime of a query", "s", "e2e_s"),
    "cost": CostKind("idealized_cost_usd", "idealized cost of a query", "USD", "cost_usd"),
    "energy": CostKind("idealized_energy_j", "idealized energy of a query", "J", "energy_j"),
    "flops": CostKind("flops", "FLOPs of a query", "FLOP"),
    "parameters": CostKind("parameters", "parameters", ""),
}


class Cost(NamedTuple):
    """What an average query of a row costs (NaN: not known), of which architecture, and on how many devices if any."""

    value: float
    architecture: str
    devices: int | None = None


class Point(NamedTuple):
    """One model on one scenario, with what it costs, and another cost to compare with (NaN: not known)."""

    score: Score
    architecture: str
    cost: float
    compared: float
    devices: int | None = None


class Tradeoff(NamedTuple):
    """Points with what their costs rest on: one of the predictions (None: counted) or a file of published runtimes."""

    points: list[Point]
    against: str
    compare: str | None
    setting: Setting
    prediction: Prediction | None
    runtimes: Path | None

    @property
    def basis(self) -> dict[str, Any]:
        """What the costs rest on, as fields of a row."""
        unknown: dict[str, Any] = {"hardware": None, "stack": None, "profile": None}
        if self.runtimes is not None:
            return {"basis": "published", **unknown}
        if self.prediction is None or self.against == "flops":
            return {"basis": "counted", **unknown}
        return name_basis(self.prediction)


def find_tradeoff(
    scores: Sequence[Score],
    scenarios: Sequence[str],
    against: str,
    compare: str | None,
    setting: Setting,
    runtimes: Path | None = None,
) -> tuple[Tradeoff, list[str]]:
    """The rows of some scenarios, each with its cost and the other one; and the models that have no cost.

    ``runtimes``: a file of published runtimes that takes the place of the prediction; models that it lacks fall out.

    Raises:
        InputError: no such scenario, no model in the file of runtimes, or from finding the costs.
        ImpossibleError: a model that fits on no layout.
    """
    kept = choose_scores(scores, scenarios)
    prediction = None
    if runtimes is None:
        costs, prediction = find_costs(kept, against, setting)
    else:
        costs = find_fitted_runtimes(kept, runtimes)
    known = [(score, cost) for score, cost in zip(kept, costs, strict=True) if not np.isnan(cost.value)]
    if not known:
        raise InputError(f"{runtimes}: has no runtime of a model of the table")
    compared = find_compared([score for score, _ in known], compare, setting)
    points = [
        Point(score, cost.architecture, cost.value, other, cost.devices)
        for (score, cost), other in zip(known, compared, strict=True)
    ]
    missing = dict.fromkeys(score.model for score, cost in zip(kept, costs, strict=True) if np.isnan(cost.value))
    return Tradeoff(points, against, compare, setting, prediction, runtimes), list(missing)


def choose_scores(scores: Sequence[Score], scenarios: Sequence[str]) -> list[Score]:
    """The rows of scenarios with these names or, where none has a name, whose names begin with it; all for none.

    Raises:
        InputError: a text that is no name and with which none begins.
    """
    names = list(dict.fromkeys(score.scenario for score in scores))
    chosen: set[str] = set()
    for text in scenarios:
        found = {text} & set(names) or {name for name in names if name.startswith(text)}
        if not found:
            raise InputError(suggest(f"no scenario begins with '{text}'", text, names))
        chosen |= found
    return [score for score in scores if not scenarios or score.scenario in chosen]


def find_costs(scores: Sequence[Score], against: str, setting: Setting) -> tuple[list[Cost], Prediction | None]:
    """What an average query of each row costs, and one of the predictions behind it; None where there is none.

    Raises:
        InputError: a model that no architecture matches, or no price for the cost.
        ImpossibleError: a model that fits on no layout.
    """
    costs: dict[int, Cost] = {}
    prediction: Prediction | None = None
    specs = {model: locate_model(scores, model) for model in dict.fromkeys(score.model for score in scores)}
    for spec in {spec.id: spec for spec in specs.values()}.values():
        places = [place for place, score in enumerate(scores) if specs[score.model].id == spec.id]
        found, devices = np.full(len(places), float(count_parameters(spec.architecture))), None
        if against != "parameters":
            own = [scores[place] for place in places]
            prediction = predict_queries(spec, list_corners(own), setting, extend=True)
            found = average_cost(own, measure(prediction, against))
            devices = None if against == "flops" else prediction.devices
        costs |= {place: Cost(float(cost), spec.id, devices) for place, cost in zip(places, found, strict=True)}
    return [costs[place] for place in range(len(scores))], prediction


def locate_model(scores: Sequence[Score], model: str) -> ModelSpec:
    """The architecture of a row's model.

    Raises:
        InputError: none matches; with the first line that names it.
    """
    try:
        return resolve_model(model)
    except InputError as error:
        where = next(score.where for score in scores if score.model == model)
        raise InputError(f"{where}: {error}") from None


def list_corners(scores: Sequence[Score]) -> Queries:
    """Four queries around the mean token counts of each row, which are not whole.

    The prompts around are multiples of 8, the outputs whole. Kernels may be slower at other prompts (an unfused softmax
    wants multiples of 4), and whether a mean is rounded to a multiple is an accident and no property of the queries;
    the paper too profiled multiples and drew lines between them. A query that generates nothing still makes one pass.
    """
    prompt, output = list_means(scores)
    shorter = np.maximum(ALIGNED * np.floor(prompt / ALIGNED), 1)
    longer, fewer = ALIGNED * np.floor(prompt / ALIGNED + 1), np.floor(output)
    return Queries(
        np.concatenate([shorter, shorter, longer, longer]), np.concatenate([fewer, fewer + 1, fewer, fewer + 1])
    )


def list_means(scores: Sequence[Score]) -> tuple[Array, Array]:
    """Mean prompt and output tokens of each row, at least 1."""
    return (
        np.maximum([score.prompt_tokens for score in scores], 1.0),
        np.maximum([score.output_tokens for score in scores], 1.0),
    )


def average_cost(scores: Sequence[Score], corner_costs: Array) -> Array:
    """What a query costs at the mean token counts of each row: on straight lines between the queries around them."""
    prompt, output = list_means(scores)
    corners = list_corners(scores)
    shorter, _, longer, _ = corners.prompt_tokens.reshape(4, -1)
    costs = np.asarray(corner_costs, dtype=np.float64).reshape(2, 2, -1)
    by_prompt = costs[:, 0] + (output - np.floor(output)) * (costs[:, 1] - costs[:, 0])
    return np.asarray(by_prompt[0] + (prompt - shorter) / (longer - shorter) * (by_prompt[1] - by_prompt[0]))


def measure(prediction: Prediction, against: str) -> Array:
    """One kind of cost of each query, alone.

    Raises:
        InputError: money is asked for and no price is known, or energy and the data sheet gives no power.
    """
    metric = COSTS[against].metric
    if metric is None:
        return np.asarray(count_flops(prediction))
    if metric in prediction.lacks:
        raise InputError(f"there is no {against} here: {prediction.lacks[metric]}")
    return np.asarray(prediction.find(metric))


def find_compared(scores: Sequence[Score], compare: str | None, setting: Setting) -> list[float]:
    """The other cost of each row: one of the kinds, a column of the table, or the runtimes of a JSON file of HELM's.

    Raises:
        InputError: no such kind, column or file, or a cell that is no number above zero.
    """
    if compare is None:
        return [float("nan")] * len(scores)
    if compare in COSTS:
        return [cost.value for cost in find_costs(scores, compare, setting)[0]]
    if compare.endswith(".json"):
        return [cost.value for cost in find_fitted_runtimes(scores, Path(compare))]
    if compare not in scores[0].others:
        allowed = [*COSTS, *scores[0].others]
        raise InputError(suggest(f"--compare: '{compare}' is no metric, column or .json file", compare, allowed))
    return [parse_cell(score, compare) for score in scores]


def find_fitted_runtimes(scores: Sequence[Score], path: Path) -> list[Cost]:
    """Runtimes by the parameters of a file, by architecture; NaN where the file has none.

    Raises:
        InputError: the file is wrong, or no architecture matches a model of the table.
    """
    fits: dict[str, RuntimeFit] = {}
    for name, fit in read_helm(path).items():
        try:
            fits.setdefault(resolve_model(name).id, fit)
        except InputError:  # the file may hold models that the table does not
            continue
    found = []
    for score in scores:
        spec = locate_model([score], score.model)
        fit_of, tokens = fits.get(spec.id), (score.prompt_tokens, max(score.output_tokens, 1.0))
        time_s = float("nan") if fit_of is None else float(estimate_by_interpolation(fit_of, *tokens))
        found.append(Cost(time_s, spec.id))
    return found


def parse_cell(score: Score, column: str) -> float:
    """A cell of another column; NaN where it is empty.

    Raises:
        InputError: it is no finite number above zero.
    """
    text = score.others[column]
    number = parse_real(score.where, column, text) if text else float("nan")
    if number <= 0:
        raise InputError(f"{score.where}: {column} is {text}; a cost to compare with must be above zero")
    return number


def group_points(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Points by scenario, in the order of the table."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.score.scenario, []).append(point)
    return groups


def list_objectives(points: Sequence[Point]) -> Array:
    """Accuracy, the more the better, and cost, the less, (points, 2), as Pareto's frontier takes them."""
    accuracies, costs = [point.score.accuracy for point in points], [point.cost for point in points]
    return orient([accuracies, costs], [True, False])
