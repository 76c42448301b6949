"""Idealized runtime, cost, energy and carbon of a set of queries, and the fewest devices that hold a model."""

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator
from simulator.commands.ideal import ideal
from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.passes import count_model_flops
from simulator.errors import ImpossibleError, InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack, read_shipped_model
from simulator.inputs.queries import combine_queries, read_queries
from simulator.inputs.workload import Workload
from simulator.metrics.layout import choose_layout, divides, find_device_bytes
from simulator.metrics.prices import find_price
from simulator.metrics.rate_file import Grid, Price, Site, read_rates
from simulator.metrics.rates import find_grid, find_site
from simulator.studies.ideal import Setting, count_flops, predict_queries, summarise
from simulator.studies.names import find_layout, resolve_model

A100 = load_hardware("a100-sxm-80gb")
PROFILE = "a100-sxm-80gb--megatron-lm-2022"
MODELS = ("openai-ada", "gptj-6b", "ai21-j1-grande", "anthropic", "yalm", "ai21-j1-jumbo", "bloom", "mt-nlg-530b")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(ideal, arguments)


def run_row(*arguments: str) -> dict[str, Any]:
    return run_model("gptj-6b", *arguments)


def run_model(model: str, *arguments: str) -> dict[str, Any]:
    done = run("-m", model, "-H", "a100-sxm-80gb", "-p", "512", "-n", "32", "-o", "json", *arguments)
    assert done.exit_code == 0, done.output
    (row,) = json.loads(done.stdout)["models"]
    return dict(row)


def test_the_times_are_those_of_predict_query_by_query(tmp_path: Path) -> None:
    table = tmp_path / "queries.csv"
    table.write_text("id,prompt_tokens,output_tokens\na,512,32\nb,100,1\nc,1500,64\n")
    done = run("-m", "gptj-6b", "-H", "a100-sxm-80gb", "--queries", str(table), "-o", "json")
    (row,) = json.loads(done.stdout)["models"]
    alone = [
        simulator.predict("gptj-6b", "a100-sxm-80gb", prompt_tokens=p, output_tokens=o).e2e_s
        for p, o in ((512, 32), (100, 1), (1500, 64))
    ]
    assert row["mean_s"] == pytest.approx(np.mean(alone))
    assert row["median_s"] == pytest.approx(np.median(alone))
    assert row["total_s"] == pytest.approx(np.sum(alone))
    assert row["mean_s_low"] < row["mean_s"] < row["mean_s_high"]


@given(st.floats(0.01, 100))
@settings(max_examples=10)
def test_cost_is_linear_in_the_price_and_is_time_times_devices_times_price(dollars: float) -> None:
    row = run_row("--tp", "2", "--pp", "2", "--price", f"{dollars:.6f} USD/h")
    assert row["devices"] == 4
    assert row["total_cost_usd"] == pytest.approx(row["total_s"] * 4 * float(f"{dollars:.6f}") / 3600)


def test_energy_is_linear_in_the_pue_and_carbon_in_the_intensity() -> None:
    base, site, grid = run_row("--pue", "1"), run_row("--pue", "1.5"), run_row("--pue", "2", "--grid", "962 g/kWh")
    assert base["total_energy_j"] == base["total_board_energy_j"]
    assert site["total_energy_j"] == pytest.approx(1.5 * base["total_energy_j"])
    assert base["total_carbon_kg"] == pytest.approx(base["total_energy_j"] / 3.6e6 * 0.481)
    assert grid["total_carbon_kg"] == pytest.approx(4 * base["total_carbon_kg"])  # twice the PUE, twice the intensity
    assert grid["grid_g_co2e_per_kwh"] == 962


@pytest.mark.parametrize("model", MODELS)
def test_the_fewest_devices_are_really_the_fewest(model: str) -> None:
    stack = load_stack("megatron-lm-2022")
    architecture = stack.build(read_shipped_model(model).architecture, model)
    tokens = (np.array([512.0, 1536.0]), np.array([64.0, 1.0]))
    chosen = choose_layout(model, architecture, A100, stack, Deployment(), *tokens)

    def holds(tp: int, pp: int) -> bool:
        d = Deployment(tp, pp)
        fits = (
            divides(d, architecture, A100, stack)
            and find_device_bytes(architecture, A100, d, stack, Workload(*tokens)) <= A100.memory.given
        )
        return bool(fits)

    assert holds(chosen.tp, chosen.pp)
    in_a_node = [tp for tp in range(1, 9) if holds(tp, 1)]
    if in_a_node:
        assert (chosen.tp, chosen.pp) == (min(in_a_node), 1)
    else:
        layouts = product(range(1, 9), range(2, architecture.num_hidden_layers + 1))
        whole = [(tp, pp) for tp, pp in layouts if tp * pp % 8 == 0]  # past a node, whole nodes
        assert chosen.devices == min(tp * pp for tp, pp in whole if holds(tp, pp))


def test_a_given_size_is_kept_and_the_other_is_the_fewest() -> None:
    row = predict_queries(resolve_model("mt-nlg-530b"), combine_queries([512], [32]), Setting(A100, PROFILE, tp=8))
    assert (row.question.work.deployment.tp, row.question.work.deployment.pp) == (8, 3)


def test_what_fits_nowhere_is_impossible() -> None:
    small = load_hardware("a100-sxm-80gb")
    setting = Setting(small, PROFILE, tp=1, pp=1)
    with pytest.raises(ImpossibleError, match="openai-davinci fits on no layout"):
        predict_queries(resolve_model("openai-davinci"), combine_queries([512], [32]), setting)


def test_flops_are_those_of_a_loop_over_the_tokens() -> None:
    """By hand: 2 FLOPs a weight and token, of the logits only for the last prompt token, and 4 width a score."""
    prompt, output, layers, width, vocabulary = 100, 9, 28, 4096, 50400
    answer = predict_queries(resolve_model("gptj-6b"), combine_queries([prompt], [output]), Setting(A100, PROFILE))
    a = answer.question.work.architecture
    assert (a.num_hidden_layers, a.hidden_size) == (layers, width)
    weights = layers * (4 * width**2 + 8 * width**2)
    scores = layers * 4 * width
    prefill = 2 * weights * prompt + scores * prompt * (prompt + 1) / 2 + 2 * vocabulary * width
    decode = sum(2 * (weights + vocabulary * width) + scores * (prompt + done) for done in range(1, output))
    assert float(np.sum(count_flops(answer))) == pytest.approx(prefill + decode, rel=2e-3)
    d = answer.question.work.deployment
    passes = [count_model_flops(a, d, decode_batch(prompt + done, 1)) for done in range(1, output)]
    whole = count_model_flops(a, d, prefill_batch(prompt, 1)) + sum(passes)
    assert float(np.sum(count_flops(answer))) == pytest.approx(float(whole), rel=1e-12)


def test_flops_over_all_devices_do_not_depend_on_how_many_there_are() -> None:
    one, eight = (
        predict_queries(resolve_model("gptj-6b"), combine_queries([512], [32]), Setting(A100, PROFILE, tp=tp))
        for tp in (1, 8)
    )
    assert count_flops(one) == pytest.approx(count_flops(eight), rel=1e-3)


def test_more_devices_are_not_cheaper_where_the_host_decides() -> None:
    rows = [
        summarise(predict_queries(resolve_model("gptj-6b"), combine_queries([64], [32]), setting))
        for setting in (Setting(A100, PROFILE, tp=tp) for tp in (1, 2, 4))
    ]
    assert rows[0]["total_cost_usd"] < rows[1]["total_cost_usd"] < rows[2]["total_cost_usd"]


def test_the_papers_price_and_device_counts_ship() -> None:
    price = find_price("a100-sxm-80gb", None)
    assert price is not None
    assert price.price * 3600 == pytest.approx(4.096)
    layout = find_layout("narayanan-2023")
    assert {model: sizes.tp * sizes.pp for model, sizes in layout.items()}["mt-nlg-530b"] == 24
    assert all(resolve_model(model).id == model for model in layout)


def test_where_none_is_named_the_worlds_grid_and_an_average_site_are_taken() -> None:
    assert (find_grid(None).id, find_site(None).id) == ("world", "average")


def test_every_number_has_a_date_and_a_title() -> None:
    rates = read_rates()
    parts: list[Price | Grid | Site] = [*rates.prices, *rates.grids, *rates.sites]
    assert all(part.date[:2] == "20" and part.title and part.url for part in parts)
    for price in rates.prices:
        assert all(load_hardware(device).id == device for device in price.hardware)


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (lambda text: find_price("a100-sxm-80gb", text), "4.096", "'4.096' is not of the form '4.096 USD/h'"),
        (lambda text: find_price("a100-sxm-80gb", text), "4.096/h", "not of the form '4.096 USD/h'"),
        (lambda text: find_price("a100-sxm-80gb", text), "4 EUR/h", "not in US dollars"),
        (lambda text: find_price("a100-sxm-80gb", text), "-4 USD/h", "not of the form"),
        (lambda text: find_price("a100-sxm-80gb", text), "0 USD/h", "more than zero"),
        (lambda text: find_price("a100-sxm-80gb", text), "4 USD", "needs its unit"),
        (lambda text: find_price("a100-sxm-80gb", text), "paper", "is no price of"),
        (find_grid, "400", "needs the unit"),
        (find_grid, "1e400 g/kWh", "is more than 1e.06 gCO2e"),
        (find_grid, "germani", "did you mean 'germany'"),
        (find_site, "0.9", "from 1 to 100"),
        (find_site, "1e9", "from 1 to 100"),
        (find_site, "gogle", "did you mean 'google'"),
        (find_layout, "narayanan", "did you mean 'narayanan-2023'"),
    ],
)
def test_a_rate_that_cannot_be_is_one_line(read: Callable[[str], object], text: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as raised:
        read(text)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prompt_tokens\n5\n", "missing column output_tokens"),
        ("prompt,output_tokens\n5,5\n", "missing column prompt_tokens"),
        ("prompt_tokens,output_tokens\n5,0\n", ":2: output_tokens is '0'"),
        ("prompt_tokens,output_tokens\n5,x\n", ":2: output_tokens is 'x'"),
        ("prompt_tokens,output_tokens\n5\n", ":2: 1 cells"),
        ("prompt_tokens,output_tokens\n", "no rows"),
        ("", "missing column"),
    ],
)
def test_a_bad_table_of_queries_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    table = tmp_path / "queries.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=said):
        read_queries(table)


def test_queries_come_from_a_table_or_from_options_but_not_both(tmp_path: Path) -> None:
    for arguments in ([], ["-p", "5"], ["--queries", str(tmp_path / "a.csv"), "-n", "5"]):
        done = run("-m", "gptj-6b", "-H", "a100-sxm-80gb", *arguments)
        assert isinstance(done.exception, InputError)


def test_every_form_names_what_it_rests_on(tmp_path: Path) -> None:
    common = ("-m", "gptj-6b", "-p", "5", "-n", "5", "-H", "h100-sxm-80gb", "--grid", "france")
    for form in ("table", "md", "csv", "json"):
        done = run(*common, "-o", form)
        assert "calibrated" in done.stdout
        assert "H100" in done.stdout or "h100-sxm-80gb" in done.stdout
        assert "56" in done.stdout  # grams of France
        assert "6.88" in done.stdout  # dollars an hour


def test_a_device_without_a_design_power_has_times_and_costs_and_no_energy(tmp_path: Path) -> None:
    device = ("-H", "intel-xeon-processor-2-threads")
    asked = ("-m", "pythia-160m", *device, "--dtype", "fp32", "-p", "5", "-n", "5", "--price", "1 USD/h")
    (row,) = json.loads(run(*asked, "-o", "json").stdout)["models"]
    assert row["total_cost_usd"] == pytest.approx(row["total_s"] / 3600)
    for field in ("total_energy_j", "total_board_energy_j", "total_carbon_kg", "prefill_power_w", "decode_power_w"):
        assert row[field] is None
    assert "energy  not known" in run(*asked).stdout


def test_a_layout_is_given_in_one_way() -> None:
    done = run("-m", "gptj-6b", "-H", "a100-sxm-80gb", "-p", "5", "-n", "5", "--layouts", "narayanan-2023", "--tp", "4")
    assert isinstance(done.exception, InputError)


def test_a_layout_file_may_name_models_as_people_do(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = "layouts: [{id: mine, hardware: a100-sxm-80gb, date: '2026', title: Mine, devices: {%s: {tp: 8}}}]"
    file.write_text(text % "openai/davinci")
    assert run_model("openai-davinci", "--layouts", str(file))["devices"] == 8
    file.write_text(text % "openai/davinc")
    with pytest.raises(InputError, match=r"mine.yaml: no architecture matches model 'openai/davinc'"):
        find_layout(str(file))


def test_a_model_that_is_named_twice_is_listed_once_and_one_that_cannot_answer_is_named() -> None:
    done = run("-m", "gptj-6b", "-m", "together/gpt-j-6b", "-H", "a100-sxm-80gb", "-p", "5", "-n", "5", "-o", "json")
    assert len(json.loads(done.stdout)["models"]) == 1
    long = run("-m", "gptj-6b,openai-davinci", "-H", "a100-sxm-80gb", "-p", "3000", "-n", "5")
    assert str(long.exception).startswith("openai-davinci: the request reaches 3004 tokens")
