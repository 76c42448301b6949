"""Capability against cost: the frontier, ranks and their agreement, and published runtimes beside predictions."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

import simulator
from simulator.commands.reproduce import reproduce
from simulator.commands.tradeoff import tradeoff
from simulator.errors import CheckFailed, InputError
from simulator.inputs.library import load_hardware
from simulator.inputs.scores import Score, read_scores
from simulator.metrics.pareto import find_dominators, find_kendall_tau, mark_frontier, orient, rank
from simulator.report.plots.style import choose_ticks
from simulator.report.plots.tradeoff import make_figure
from simulator.studies.helm_runtimes import estimate_by_interpolation, read_helm
from simulator.studies.ideal import Setting
from simulator.studies.names import resolve_model
from simulator.studies.reproduction import read_entries
from simulator.studies.tradeoff import Point, Tradeoff, average_cost, list_corners
from simulator.studies.tradeoff_views import list_points, list_scenarios

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
SCORES = EXAMPLES / "scores.csv"
HEADER = "scenario,model,exact_match,prompt_tokens,output_tokens\n"
few = st.integers(0, 5).map(float)  # few values, so that ties are common
points = st.lists(st.tuples(few, few), min_size=1, max_size=12)
pairs = st.lists(st.tuples(few, few), min_size=2, max_size=30)


def run(command: Any, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def run_json(command: Any, *arguments: str) -> dict[str, Any]:
    done = run(command, *arguments, "-o", "json")
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.stdout))


def dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether a (capability, cost) is at least as capable and as cheap as another, and better in one of the two."""
    return one[0] >= other[0] and one[1] <= other[1] and one != other


def orient_pairs(found: list[tuple[float, float]]) -> Any:
    """Pairs of capability and cost as the frontier takes them."""
    return orient([[one[0] for one in found], [one[1] for one in found]], [True, False])


@given(points)
def test_the_frontier_is_what_brute_force_finds(found: list[tuple[float, float]]) -> None:
    expected = [not any(dominates(other, one) for other in found) for one in found]
    assert mark_frontier(orient_pairs(found)) == expected


@given(points)
def test_whoever_is_not_on_the_frontier_is_dominated_by_somebody_who_is(found: list[tuple[float, float]]) -> None:
    oriented = orient_pairs(found)
    on_frontier = mark_frontier(oriented)
    for one, on_it, beaten_by in zip(found, on_frontier, find_dominators(oriented), strict=True):
        assert on_it == (not beaten_by)
        assert all(on_frontier[index] and dominates(found[index], one) for index in beaten_by)


@given(pairs)
def test_kendalls_tau_is_that_of_scipy(found: list[tuple[float, float]]) -> None:
    one, other = zip(*found, strict=True)
    assert find_kendall_tau(one, other) == pytest.approx(kendalltau(one, other).statistic, nan_ok=True)


@given(st.lists(few, min_size=1, max_size=20))
def test_equal_values_share_a_rank_and_the_next_takes_up_the_count(values: list[float]) -> None:
    ranks = rank(values)
    assert min(ranks) == 1
    assert all((values[i] < values[j]) == (ranks[i] < ranks[j]) for i in range(len(values)) for j in range(len(values)))
    assert rank([-value for value in values], descending=True) == ranks


def test_a_rank_counts_those_before_it() -> None:
    assert rank([3.0, 1.0, 3.0, 2.0]) == [3, 1, 3, 2]
    assert rank([3.0, 1.0, 3.0, 2.0], descending=True) == [1, 4, 1, 3]


def make_score(prompt: float, output: float) -> Score:
    return Score("here", "a", "gptj-6b", 0.5, prompt, output, {})


@given(st.floats(1, 2000), st.floats(1, 100))
def test_a_cost_that_is_linear_in_the_tokens_is_met_exactly_at_mean_counts(prompt: float, output: float) -> None:
    scores = [make_score(prompt, output)]
    queries = list_corners(scores)
    found = average_cost(scores, 3 + 2 * queries.prompt_tokens + 5 * queries.output_tokens)
    assert found == pytest.approx(3 + 2 * prompt + 5 * output)


def test_at_whole_counts_the_runtime_is_that_of_predict() -> None:
    rows = run_json(tradeoff, str(SCORES), "--scenario", "imdb", "--tp", "8")["rows"]
    row = next(row for row in rows if row["model"] == "ai21_j1-jumbo")
    around = simulator.predict(
        "ai21-j1-jumbo", "a100-sxm-80gb", stack="megatron-lm-2022", tp=8, prompt_tokens=[1136, 1144], output_tokens=2
    ).e2e_s
    assert around[0] < row["idealized_runtime_s"] < around[1]


def test_the_same_architecture_at_the_same_tokens_costs_the_same() -> None:
    rows = {row["model"]: row for row in run_json(tradeoff, str(SCORES), "--scenario", "boolq")["rows"]}
    davinci, tuned = rows["openai_davinci"], rows["openai_text-davinci-002"]
    assert davinci["idealized_runtime_s"] == tuned["idealized_runtime_s"]
    assert davinci["cost_rank"] == tuned["cost_rank"]
    assert (davinci["frontier"], tuned["frontier"]) == (False, True)
    assert "openai_text-davinci-002" in davinci["dominated_by"]


@pytest.mark.parametrize("against", ["idealized_runtime", "cost", "energy", "flops", "parameters"])
def test_a_ranking_agrees_with_itself(against: str) -> None:
    answer = run_json(tradeoff, str(SCORES), "--against", against, "--compare", against)
    assert all(
        row["tau_cost"] == pytest.approx(1) and row["tau_ratio"] == pytest.approx(1) for row in answer["scenarios"]
    )
    assert [row["swapped"] for row in answer["scenarios"]] == [[], []]


def test_cost_is_runtime_times_devices_times_price() -> None:
    common = (str(SCORES), "--layouts", "narayanan-2023")
    runtimes = run_json(tradeoff, *common)["rows"]
    costs = run_json(tradeoff, *common, "--against", "cost", "--price", "3.6 USD/h")["rows"]
    devices = {"openai-davinci": 8, "ai21-j1-jumbo": 8, "anthropic": 4}
    for runtime, cost in zip(runtimes, costs, strict=True):
        expected = runtime["idealized_runtime_s"] * devices.get(runtime["architecture"], 1) * 1e-3
        assert cost["idealized_cost_usd"] == pytest.approx(expected)


def test_rankings_that_agree_less_than_asked_fail() -> None:
    passed = run(tradeoff, str(SCORES), "--compare", "measured_s", "--min-tau", "0.5", "--layouts", "narayanan-2023")
    assert passed.exit_code == 0
    failed = run(tradeoff, str(SCORES), "--against", "parameters", "--compare", "measured_s", "--min-tau", "1")
    assert isinstance(failed.exception, CheckFailed)


def make_points(*rows: tuple[str, float, float, float]) -> list[Point]:
    """Points of one scenario: model, accuracy, cost, the other cost."""
    return [
        Point(Score("here", "s", model, accuracy, 5, 5, {}), model, cost, compared)
        for model, accuracy, cost, compared in rows
    ]


def test_the_ratio_that_ranks_is_accuracy_over_cost_and_the_largest_is_first() -> None:
    # Accuracy over cost 5, 2 and 1; over the other cost 5, 1 and 2.
    found = make_points(("a", 0.5, 0.1, 0.1), ("b", 0.8, 0.4, 0.8), ("c", 0.9, 0.9, 0.45))
    assert [row["ratio_rank"] for row in list_points(found, "x", None)] == [1, 2, 3]
    (row,) = list_scenarios(found, "y")
    assert row["tau_ratio"] == pytest.approx(1 / 3)  # one pair of three is swapped
    assert row["tau_cost"] == pytest.approx(1 / 3)
    assert row["swapped"] == ["b / c (50.0%)"]


def test_energy_is_that_of_the_boards_times_the_pue() -> None:
    common = (str(SCORES), "--against", "energy", "--scenario", "boolq")
    one, two = (run_json(tradeoff, *common, "--pue", pue)["rows"] for pue in ("1", "2"))
    assert [row["idealized_energy_j"] for row in two] == pytest.approx([2 * row["idealized_energy_j"] for row in one])


@pytest.mark.parametrize(
    "arguments",
    [
        ("--compare", "measured_s", "--min-models", "50"),
        ("--compare", str(EXAMPLES / "runtimes.json"), "--min-models", "9"),
    ],
)
def test_a_check_of_no_scenario_fails(arguments: tuple[str, ...]) -> None:
    done = run(tradeoff, str(SCORES), "--min-tau", "0.5", *arguments)
    assert isinstance(done.exception, CheckFailed)
    assert "no scenario has" in str(done.exception)
    assert "boolq" in done.stdout  # the answer itself is printed


def test_a_threshold_of_zero_is_a_threshold_and_all_failing_rankings_are_named() -> None:
    common = (str(SCORES), "--compare", "measured_s", "--layouts", "narayanan-2023")
    assert "tau_at_least_0 " in run(tradeoff, *common, "--by", "agreement", "--min-tau", "0").stdout
    failed = str(run(tradeoff, *common, "--against", "parameters", "--min-tau", "1").exception)
    assert "by cost on" in failed
    assert "by accuracy over cost on" in failed


@pytest.mark.parametrize("form", ["table", "md", "csv", "json"])
@pytest.mark.parametrize("command", [tradeoff, reproduce])
def test_every_form_names_basis_device_and_profile(command: Any, form: str) -> None:
    table = str(SCORES if command is tradeoff else EXAMPLES / "runtimes.json")
    done = run(command, table, "-o", form)
    assert "calibrated" in done.stdout
    assert "a100-sxm-80gb--megatron-lm-2022" in done.stdout
    carried = run(command, table, "-H", "h100-sxm-80gb", "-o", form)
    assert "transfer" in carried.stdout
    assert "H100" in carried.stdout or "h100-sxm-80gb" in carried.stdout


def test_what_is_counted_or_published_is_not_called_a_prediction() -> None:
    assert run_json(tradeoff, str(SCORES), "--against", "parameters")["setting"]["basis"] == "counted"
    runtimes = str(EXAMPLES / "runtimes.json")
    done = run(tradeoff, str(SCORES), "--runtimes", runtimes, "-o", "json")
    assert json.loads(done.stdout)["setting"]["basis"] == "published"
    assert "has no runtime of openai_curie" in done.stderr


def test_a_scenario_is_chosen_by_its_name_and_others_by_how_they_begin(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text(HEADER + "".join(f"{name},gptj-6b,0.5,5,5\n" for name in ("boolq", "boolq:x", "mmlu:a", "mmlu:b")))
    for wanted, found in (("boolq", ["boolq"]), ("mmlu", ["mmlu:a", "mmlu:b"]), ("boolq:", ["boolq:x"])):
        assert [row["scenario"] for row in run_json(tradeoff, str(table), "--scenario", wanted)["rows"]] == found
    done = run(tradeoff, str(table), "--scenario", "boolq", "--scenario", "zzz")
    assert "no scenario begins with 'zzz'" in str(done.exception)


@pytest.mark.parametrize("cell", ["inf", "0", "-1", "x"])
def test_a_cost_to_compare_with_is_a_number_above_zero(tmp_path: Path, cell: str) -> None:
    table = tmp_path / "scores.csv"
    table.write_text(HEADER.replace("\n", ",other\n") + f"a,gptj-6b,0.5,5,5,1\na,bloom,0.5,5,5,{cell}\n")
    done = run(tradeoff, str(table), "--compare", "other")
    assert isinstance(done.exception, InputError)
    assert "scores.csv:3: other is" in str(done.exception)


def test_published_runtimes_of_no_model_of_the_table_are_refused(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text(HEADER + "a,bloom,0.5,5,5\n")
    done = run(tradeoff, str(table), "--runtimes", str(EXAMPLES / "runtimes.json"), "--plot", str(tmp_path / "x.svg"))
    assert "has no runtime of a model of the table" in str(done.exception)


def test_published_times_are_priced_on_the_devices_they_were_measured_on() -> None:
    common = (str(EXAMPLES / "runtimes.json"), "-m", "openai/davinci", "-p", "512", "-n", "32", "--price", "3.6 USD/h")
    for arguments, devices in (((), 8), (("--tp", "6"), 6)):
        done = run(reproduce, *common, *arguments, "-o", "json")
        (row,) = json.loads(done.stdout)["rows"]
        assert (row["published_devices"], row["devices"]) == (8, devices)
        assert row["published_usd"] == pytest.approx(row["published_s"] * 8 * 1e-3)
        assert row["predicted_usd"] == pytest.approx(row["predicted_s"] * devices * 1e-3)
        assert ("measured on another number of devices" in done.stderr) == (devices != 8)


def test_the_models_of_the_fit_are_those_of_the_profile() -> None:
    summary = run_json(reproduce, str(EXAMPLES / "runtimes.json"))["summary"]
    assert {part["rows"]: part["models"] for part in summary} == {
        "all": 3,
        "fitted to other models": 2,
        "fitted to some rows of the model": 1,
    }
    bound = run_json(reproduce, str(EXAMPLES / "runtimes.json"), "-c", "none")["summary"]
    assert [part["rows"] for part in bound] == ["all"]


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_a_plot_is_a_picture_and_the_same_each_time(tmp_path: Path, ending: str) -> None:
    one, two = tmp_path / f"one.{ending}", tmp_path / f"two.{ending}"
    for path in (one, two):
        assert run(tradeoff, str(SCORES), "--against", "flops", "--plot", str(path)).exit_code == 0
    assert one.read_bytes() == two.read_bytes()
    if ending == "svg":
        assert one.read_text().count('id="axes_') == 2


@pytest.mark.parametrize(
    ("place", "said"),
    [("x.pdf", "a picture ends in .svg or .png"), ("none/x.svg", "no folder"), ("x", "a picture ends in")],
)
def test_a_picture_that_cannot_be_drawn_leaves_nothing_behind(tmp_path: Path, place: str, said: str) -> None:
    out = tmp_path / "out.txt"
    done = run(tradeoff, str(SCORES), "--plot", str(tmp_path / place), "--out", str(out))
    assert said in str(done.exception)
    assert list(tmp_path.iterdir()) == []
    assert done.stdout == ""


def test_too_many_panels_leave_nothing_behind(tmp_path: Path) -> None:
    table, out = tmp_path / "scores.csv", tmp_path / "out.txt"
    table.write_text(HEADER + "".join(f"s{number},gptj-6b,0.5,5,5\n" for number in range(17)))
    done = run(tradeoff, str(table), "--plot", str(tmp_path / "x.svg"), "--out", str(out))
    assert "too many panels" in str(done.exception)
    assert not out.exists()


def make_tradeoff(models: int, scenarios: int, spread: float) -> Tradeoff:
    """Points of made-up models with long names, dollars in them, over so many decades of cost."""
    points = [
        Point(
            Score(
                "here",
                f"a$_{{x scenario:with=a,long={name},name=true",
                f"organisation_model-${number}_{{",
                0.1 + number / models,
                5,
                5,
                {},
            ),
            "m",
            0.07 * 10 ** (spread * number / models),
            1.0,
        )
        for name in range(scenarios)
        for number in range(models)
    ]
    return Tradeoff(points, "cost", None, Setting(load_hardware("a100-sxm-80gb"), None), None, None)


@pytest.mark.parametrize(
    ("models", "scenarios", "spread"),
    [(3, 1, 0.05), (3, 1, 5.0), (9, 2, 0.7), (9, 2, 1.5), (48, 1, 0.05), (48, 1, 0.7), (20, 6, 0.7), (20, 6, 5.0)],
)
def test_texts_of_a_picture_keep_clear_of_each_other_and_inside(models: int, scenarios: int, spread: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = make_figure(make_tradeoff(models, scenarios, spread), "f1")
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    texts = [figure.legends[0].get_texts(), [figure._suptitle]]
    for panel in figure.axes[:scenarios]:
        low, high = panel.get_xlim()
        shown = [
            label
            for label, tick in zip(panel.get_xticklabels(), panel.get_xticks(), strict=True)
            if low <= tick <= high
        ]
        assert len(shown) >= 2
        assert panel.get_ylabel() == "f1"
        texts.append([*shown, panel.xaxis.label, panel.title])
    boxes = [text.get_window_extent() for group in texts for text in group]
    assert len(texts[0]) == models + 3
    assert all(one.x0 >= -1 and one.y0 >= -1 for one in boxes)
    assert all(one.x1 <= figure.bbox.width + 1 and one.y1 <= figure.bbox.height + 1 for one in boxes)
    assert not [1 for number, one in enumerate(boxes) for other in boxes[:number] if one.overlaps(other)]


@given(st.floats(1e-6, 1e15), st.floats(1.44, 1e6))
def test_an_axis_has_at_least_two_labels_inside(low: float, ratio: float) -> None:
    ticks = choose_ticks(low, low * ratio)
    assert len(ticks) >= 2
    assert all(low <= tick <= low * ratio for tick in ticks)
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER.replace("exact_match", "f1") + "a,gptj-6b,1,5,5\n", "missing column exact_match"),
        (HEADER.replace(",output_tokens", "") + "a,gptj-6b,1,5\n", "missing column output_tokens"),
        (HEADER + "a,gptj-6b,0.5,,5\n", "exact_match without prompt_tokens"),
        (HEADER + "a,gptj-6b,0.5,5,\n", "exact_match without output_tokens"),
        (HEADER + "a,gptj-6b,0.5,-5,5\n", "must not be negative"),
        (HEADER + "a,gptj-6b,half,5,5\n", "plain number"),
        (HEADER + "a,gptj-6b,0.5,5,5\na,gptj-6b,0.6,5,5\n", ":3: gptj-6b on a again"),
        (HEADER + "a,,0.5,5,5\na,gptj-6b,,5,5\n", "no row with a model"),
    ],
)
def test_a_bad_table_of_scores_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "scores.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=said):
        read_scores(table, "exact_match")


def test_a_model_that_no_architecture_matches_is_named_with_its_line_and_the_nearest(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    table.write_text(HEADER + "a,gptj-6b,0.5,5,5\na,ai21_j1-jumb,0.5,5,5\n")
    done = run(tradeoff, str(table))
    assert isinstance(done.exception, InputError)
    assert "scores.csv:3: no architecture matches model 'ai21_j1-jumb': did you mean 'ai21/j1-jumbo'?" in str(
        done.exception
    )


def test_a_scenario_loses_the_model_in_its_name(tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    names = ("boolq:model=x", "a:mode=b,model=x", "a:model=x,mode=b", "plain")
    table.write_text(
        "scenario,model,exact_match,prompt_tokens,num_output_tokens\n"
        + "".join(f'"{name}",x,1,5,5\n' for name in names[:2])
        + f'"{names[3]}",x,1,5,5\n'
    )
    assert [row.scenario for row in read_scores(table, "exact_match").rows] == ["boolq", "a:mode=b", "plain"]


def test_helms_names_stand_for_architectures() -> None:
    assert resolve_model("openai_text-davinci-002").id == "openai-davinci"
    assert resolve_model("openai/text-davinci-002").id == "openai-davinci"
    assert resolve_model("ai21_j1-grande").id == "ai21-j1-grande"
    assert resolve_model("microsoft/TNLGv2_530B").id == "mt-nlg-530b"


def test_a_published_runtime_is_read_between_its_sizes(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.json"
    entry = {"runtime_per_output_token": 0.1, "runtime_for_prompt_tokens": {"512": 3.0, "1": 1.0}, "overhead": 0.5}
    path.write_text(json.dumps({"a/b": entry}))
    fit = read_helm(path)["a/b"]
    assert estimate_by_interpolation(fit, 1, 1) == pytest.approx(1.5)
    assert estimate_by_interpolation(fit, 256.5, 3) == pytest.approx(0.5 + 2.0 + 0.2)
    assert estimate_by_interpolation(fit, 1024, 1) == pytest.approx(0.5 + 6.0)


def test_names_that_share_all_numbers_are_one_entry_of_the_first_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.json"
    entry = {"runtime_per_output_token": 0.1, "runtime_for_prompt_tokens": {"1": 1.0}}
    path.write_text(json.dumps({"a/b": entry, "ai21/j1-jumbo": entry | {"overhead": 0.5}, "openai/davinci": entry}))
    found = read_entries(path, ["ai21-j1-jumbo", "openai_davinci"])
    assert [(one.spec.id, one.names) for one in found] == [
        ("openai-davinci", ("a/b", "openai/davinci")),
        ("ai21-j1-jumbo", ("ai21/j1-jumbo",)),
    ]


def test_the_published_runtimes_are_predicted_within_six_percent(data_folder: Path) -> None:
    path = data_folder / "helm" / "inference_idealized_runtimes.json"
    answer = run_json(reproduce, str(path), "--layouts", "narayanan-2023", "-c", "a100-sxm-80gb--megatron-lm-2022")
    rows = answer["rows"]
    assert len({row["model"] for row in rows}) == 9
    assert len(rows) == 9 * 6
    assert np.mean([abs(row["error"]) for row in rows]) < 0.06
    held_out = [row for row in rows if row["model"] not in ("ai21-j1-large", "openai-davinci", "mt-nlg-530b")]
    assert np.mean([abs(row["error"]) for row in held_out]) < 0.06


def test_ranking_by_predicted_and_by_measured_runtime_swaps_few_pairs(data_folder: Path) -> None:
    table = data_folder / "helm" / "scenarios.csv"
    answer = run_json(tradeoff, str(table), "--layouts", "narayanan-2023", "--compare", "idealized_runtime_s")
    by_cost, by_ratio = answer["agreement"]
    assert by_cost["scenarios"] == 79
    assert by_cost["mean_tau"] > 0.95
    assert by_ratio["mean_tau"] > 0.95
    assert by_cost["swapped"] < 0.02 * by_cost["pairs"]


def test_what_ships_as_an_example_is_a_part_of_the_published_table(data_folder: Path) -> None:
    with (data_folder / "helm" / "scenarios.csv").open(newline="") as file:
        whole = {row["scenario"]: row for row in csv.DictReader(file)}
    with SCORES.open(newline="") as file:
        for row in csv.DictReader(file):
            published = whole[f"{row['scenario']}:model={row['model']}"]
            assert row["exact_match"] == published["exact_match"]
            assert row["output_tokens"] == published["num_output_tokens"]
            assert row["measured_s"] == published["idealized_runtime_s"]


def test_published_runtimes_can_take_the_place_of_predicted_ones() -> None:
    path = str(EXAMPLES / "runtimes.json")
    answer = run_json(tradeoff, str(SCORES), "--runtimes", path, "--compare", path)
    assert {row["architecture"] for row in answer["rows"]} == {"openai-davinci", "ai21-j1-grande"}
    assert all(row["idealized_runtime_s"] == row["compared"] for row in answer["rows"])
