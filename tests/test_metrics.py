"""One registry says what there is to say of an answer: a metric that enters it is everywhere, and none drops out."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from samples import predict

from cli import app
from simulator import InputError, sweep
from simulator.explore.sensitivity import find_sensitivity
from simulator.metrics import registry
from simulator.metrics.metric import Follows, Metric
from simulator.metrics.prices import find_price
from simulator.metrics.rates import find_grid, find_site
from simulator.metrics.registry import METRICS, list_columns, list_headed, list_limits, list_numbers

ASKED = ("-m", "llama-3-8b", "-H", "a100-sxm-80gb", "-s", "vllm-0.6")
QUESTION: dict[str, Any] = {"model": "llama-3-8b", "hardware": "a100-sxm-80gb", "stack": "vllm-0.6"}
RATES = {"price": "3.6 USD/h", "grid": "400 gCO2e/kWh", "pue": "1.2"}
NOMENCLATURE = Path(__file__).resolve().parents[1] / "docs" / "nomenclature.md"
# Requests a day: everything that an entry of the registry may say, and made of nothing that it holds.
TOY = Metric(
    name="requests_per_day",
    unit="requests/day",
    meaning="requests that the devices answer in a day of batches without a gap",
    of=lambda answer: 86400 * answer.question.work.workload.batch_size / answer.times.e2e_s,
    label="requests a day",
    heading="requests/day",
    better="up",
    follows=Follows("e2e_s", -1),
)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exception is None, done.output
    return done.stdout


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Metric:
    """A metric that enters the registry, and nothing else."""
    monkeypatch.setitem(registry.METRICS, TOY.name, TOY)
    return TOY


def test_a_new_metric_is_an_attribute_a_key_and_a_line_of_a_prediction(toy: Metric) -> None:
    answer = predict(**QUESTION, batch_size=4)
    expected = 86400 * 4 / answer.e2e_s
    assert answer.requests_per_day == expected
    assert answer.requests_per_day_low == pytest.approx(86400 * 4 / answer.e2e_s_high, rel=1e-12)
    (row,) = json.loads(run("predict", *ASKED, "-b", "4", "-o", "json"))["predictions"]
    assert row["requests_per_day"] == expected
    assert row["requests_per_day_low"] < expected < row["requests_per_day_high"]
    assert re.search(r"requests a day +\S+ +\(90%: ", run("predict", *ASKED, "-b", "4"))
    assert "requests_per_day" in run("predict", *ASKED, "-b", "4,8", "-o", "md")


def test_a_new_metric_is_a_column_a_condition_a_limit_and_an_axis_of_sweeps(toy: Metric) -> None:
    asked = QUESTION | {"batch_size": [1, 4, 16, 64]}
    columns = sweep(**asked, columns=["requests_per_day"]).columns
    assert columns["requests_per_day"] == pytest.approx(86400 * columns["batch_size"] / columns["e2e_s"])
    middle = float(columns["requests_per_day"][2])
    limited = sweep(**asked, slo=f"requests_per_day:>{middle * 0.99}").columns
    assert limited["batch_size"].tolist() == [16, 64]
    assert sweep(**asked, where=f"requests_per_day<{middle}").columns["batch_size"].tolist() == [1, 4]
    # More of it is better, so that the frontier with the time of a request keeps every batch size that adds requests.
    assert sweep(**asked, pareto="e2e_s,requests_per_day").columns["batch_size"].tolist() == [1, 4, 16, 64]
    assert "requests_per_day" not in sweep(**asked).columns


def test_a_new_metric_is_compared_solved_for_derived_and_drawn(toy: Metric) -> None:
    _, row = json.loads(run("compare", *ASKED, "-b", "1,8", "-o", "json"))["rows"]
    assert row["requests_per_day_ratio_low"] < row["requests_per_day_ratio"] < row["requests_per_day_ratio_high"]
    assert "requests/day" in run("compare", *ASKED, "-o", "md")
    (found,) = json.loads(run("solve", *ASKED, "--for", "tp", "--slo", "requests_per_day:>10", "-o", "json"))[
        "solutions"
    ]
    assert found["requests_per_day"] > 10
    slopes = find_sensitivity(predict(**QUESTION).question, "requests_per_day").influences
    assert all(
        one.elasticities["requests_per_day"] == pytest.approx(-(one.elasticities["e2e_s"] or 0)) for one in slopes
    )
    assert "requests a day" in run("plot", "pareto", *ASKED, "-b", "1,8", "--against", "requests_per_day", "--terminal")
    assert "requests a day" in run("plot", "tornado", *ASKED, "--of", "requests_per_day", "--terminal")


def test_every_metric_stands_on_the_page_of_names() -> None:
    page = NOMENCLATURE.read_text()
    rows = {match[1]: match[2] for match in re.finditer(r"^\| `(\w+)` \| (\S*) \| .+ \|$", page, re.MULTILINE)}
    assert {name: rows.get(name) for name in METRICS} == {name: one.unit or "-" for name, one in METRICS.items()}
    for metric in METRICS.values():
        assert f"| {metric.meaning} |" in page


def test_a_metric_is_whole() -> None:
    for metric in METRICS.values():
        assert metric.meaning
        assert bool(metric.label) == metric.is_number
        assert metric.better is not None or metric.kind in ("text", "truth")
        assert metric.follows is None or metric.kind == "number"
        suffix = {"s": "_s", "B": "_bytes", "J": "_j", "kg": "_kg"}.get(metric.unit, "")
        assert metric.name.endswith(suffix)
    assert {metric.name for metric in list_headed()} <= set(METRICS)
    assert set(list_limits()) <= set(list_columns())


def test_arrays_give_what_single_requests_give() -> None:
    prompts, outputs, batches = np.array([1, 300, 2000]), np.array([1, 2, 77]), np.array([1, 5, 64])
    several = predict(**QUESTION, prompt_tokens=prompts, output_tokens=outputs, batch_size=batches).to_dict()
    for place, (prompt, output, batch) in enumerate(zip(prompts, outputs, batches, strict=True)):
        one = predict(**QUESTION, prompt_tokens=int(prompt), output_tokens=int(output), batch_size=int(batch))
        for name, value in one.to_dict().items():
            there = np.broadcast_to(several[name], 3)[place]
            if isinstance(value, float):
                assert there == pytest.approx(value, rel=1e-9, nan_ok=True), name
            else:
                assert there == value, name


def test_money_energy_and_carbon_of_a_request_by_hand() -> None:
    answer = predict(
        **QUESTION, tp=2, batch_size=4, output_tokens=50, price="3.6 USD/h", grid="400 gCO2e/kWh", pue="1.2"
    )
    assert answer.cost_usd == pytest.approx(1e-3 * 2 * answer.e2e_s / 4)
    # A million output tokens are 20,000 requests of 50.
    assert answer.usd_per_million_output_tokens == pytest.approx(20_000 * answer.cost_usd)
    assert answer.cost_usd_high / answer.cost_usd == pytest.approx(answer.e2e_s_high / answer.e2e_s)
    # Two boards of 400 W that are neither idle (20%) nor past their limit, over four requests.
    watts = answer.energy_j * 4 / 1.2 / answer.e2e_s / 2
    assert 0.2 * 400 < watts < 400
    # 400 g a kWh of 3.6 MJ.
    assert answer.carbon_kg == pytest.approx(answer.energy_j * 0.4 / 3.6e6)
    assert answer.output_tokens_per_s_per_device == answer.output_tokens_per_s / 2


def test_the_rates_that_ship_are_taken_where_none_are_given() -> None:
    answer = predict(**QUESTION)
    price = find_price("a100-sxm-80gb", None)
    assert (answer.question.rates.price, answer.question.rates.grid) == (price, find_grid(None))
    assert answer.question.rates.site == find_site(None)
    sources = json.loads(run("predict", *ASKED, "--pue", "1.1", "-o", "json"))["sources"]
    assert (sources["price"]["id"], sources["site"]["pue"]) == (price.id if price else None, 1.1)


def test_what_is_missing_is_not_a_number_and_the_table_says_why() -> None:
    answer = predict("llama-3-8b", "rtx-4090", output_tokens=1)
    assert all(math.isnan(answer.find(name)) for name in ("tpot_s", "mbu", "cost_usd", "usd_per_million_output_tokens"))
    assert answer.energy_j > 0
    assert set(answer.lacks) == {"tpot_s", "mbu", "cost_usd", "usd_per_million_output_tokens"}
    assert "no price ships for rtx-4090" in answer.lacks["cost_usd"]
    alone = ("-m", "llama-3-8b", "-H", "rtx-4090")
    assert re.search(r"cost +no price ships for rtx-4090", run("predict", *alone))
    assert "no cost, 1M tokens: no price ships for rtx-4090" in run("compare", *alone)
    assert "no cost_usd: no price ships for rtx-4090" in run("sensitivity", *alone)
    swept = CliRunner().invoke(app, ["sweep", *alone, "--columns", "energy_j", "-b", "1,2"])
    assert "no cost_usd: no price ships for rtx-4090" in swept.stderr
    assert math.isnan(sweep("llama-3-8b", "rtx-4090", columns=["cost_usd_high"]).columns["cost_usd_high"][0])


def test_a_name_that_no_metric_has_is_no_attribute() -> None:
    answer = predict(**QUESTION)
    for name in ("ttft", "mfu_low", "_repr_latex_", "energy_j_high"):
        assert not hasattr(answer, name)
    assert {"energy_j", "cost_usd_low"} <= set(dir(answer))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"grid": "atlantis"}, "unknown grid 'atlantis'"),
        ({"pue": "0.5"}, "from 1 to 100"),
        ({"price": "4 EUR/h"}, "not in US dollars"),
    ],
)
def test_rates_that_are_wrong_are_refused(asked: dict[str, Any], said: str) -> None:
    for verb in (predict, sweep):
        with pytest.raises(InputError, match=said):
            verb(**QUESTION, **asked)


def test_numbers_can_be_ranked_and_texts_cannot() -> None:
    assert {metric.name for metric in list_numbers()} == set(METRICS) - {
        "fits",
        "prefill_bound",
        "decode_bound",
        "basis",
    }
    with pytest.raises(InputError, match="unknown metric 'basis'"):
        find_sensitivity(predict(**QUESTION).question, "basis")
    with pytest.raises(InputError, match="weights_bytes depends on no time"):
        find_sensitivity(predict(**QUESTION).question, "weights_bytes")


def test_what_does_not_fit_names_the_fewest_devices_that_hold_it() -> None:
    large = ["predict", "-m", "llama-3-70b", "-H", "h100-sxm-80gb"]
    refused = str(CliRunner().invoke(app, large).exception)
    assert re.search(r"does not fit on 1 x h100-sxm-80gb: 14\d GB needed, \S+ GB usable; try --tp 2", refused)
    assert CliRunner().invoke(app, [*large, "--tp", "2"]).exception is None
    small = ["predict", "-m", "llama-3-70b", "-H", "v100-pcie-16gb", "-b", "1000000"]
    assert "try fewer tokens, a smaller batch or narrower weights" in str(CliRunner().invoke(app, small).exception)
