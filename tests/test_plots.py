"""Pictures: written whole and the same each time, with all that was asked for in them, and readable."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from samples import make_operator_row, predict

from calibration.fit import residual_plot
from calibration.fit.checks import run_validation
from calibration.fit.selection import Source
from calibration.fit.validate import validate_profile
from cli import app, main
from simulator.errors import InputError
from simulator.explore.explain import explain
from simulator.explore.latency_points import find_points
from simulator.explore.sensitivity import find_sensitivity
from simulator.inputs.measurements import read_table
from simulator.metrics.prices import find_price
from simulator.prediction import Prediction
from simulator.report.plots import latency, pareto, roofline, tornado, waterfall
from simulator.report.plots.text import draw_bar
from simulator.timing.profile import load_profile

ROOT = Path(__file__).resolve().parents[1]
PROFILE = "a100-sxm-80gb--megatron-lm-2022"
TABLE = ROOT / "calibration" / "tables" / "narayanan-2023-a100-30-rows.csv"
SMALL = ("-m", "gptj-6b", "-H", "a100-sxm-80gb", "-s", "megatron-lm-2022")
KINDS = {
    "roofline": SMALL,
    "waterfall": SMALL,
    "latency": (*SMALL, "-b", "1-8*2", "-n", "8"),
    "pareto": (*SMALL, "--tp", "1,2", "-b", "1,8"),
    "tornado": (*SMALL, "--dtype", "fp16"),
    "residuals": (str(TABLE), "-c", PROFILE),
}


def plot(*arguments: str) -> str:
    """Draw in this process; return what is printed."""
    result = CliRunner().invoke(app, ["plot", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout


def find_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that drawing fails with, as bad input."""
    monkeypatch.setattr(sys, "argv", ["roofcast", "plot", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed, told = capsys.readouterr()
    assert (printed, stopped.value.code, told.count("\n")) == ("", 2, 1)
    return told.removeprefix("roofcast: ").strip()


def ask(**asked: Any) -> Prediction:
    """A small prediction."""
    return predict("gptj-6b", "a100-sxm-80gb", **{"dtype": "fp16", "stack": "megatron-lm-2022", **asked})


def ask_over(axis: str, values: list[int], **asked: Any) -> Prediction:
    """A prediction over one axis."""
    counts = {"prompt_tokens": [512], "output_tokens": [16], "batch_size": [1]} | {axis: values}
    axes: dict[str, Any] = dict(zip(counts, np.ix_(*counts.values()), strict=True))
    return predict("ai21-j1-large", "a100-sxm-80gb", **axes, **{"dtype": "fp16", "stack": "megatron-lm-2022", **asked})


def find_residuals() -> residual_plot.Residuals:
    """The residuals of a small table."""
    validation = run_validation(TABLE, Source(), PROFILE, False, False, print)
    return residual_plot.find_residuals(validation, load_profile(PROFILE), TABLE.name)


def find_operator_residuals() -> residual_plot.Residuals:
    """The residuals of operators of several kinds and sizes."""
    profile = load_profile(PROFILE)
    texts = [f"linear m={m} n={n} k=4096" for m in (1, 64, 2048) for n in (1024, 8192, 65536)]
    texts += [f"{kind} bytes={size}" for kind in ("stream",) for size in (2**20, 2**26, 2**32)]
    rows = [make_operator_row(text, profile.hardware, profile.stack, value=1e-2) for text in texts]
    return residual_plot.find_residuals(validate_profile(rows, profile), profile, "operators.csv")


def find_pareto(**asked: Any) -> pareto.Pareto:
    """Four combinations of layout and batch."""
    predictions = [ask(tp=tp, batch_size=batch, output_tokens=32) for tp in (1, 2) for batch in (1, 16)]
    return pareto.find_pareto(predictions, **{"of": "tpot_s", "against": "output_tokens_per_s_per_device"} | asked)


def crowd_pareto() -> pareto.Pareto:
    """Many points of two models on three devices."""
    devices = [(name, tp) for name in ("a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb") for tp in (1, 2, 8)]
    many = [
        predict(model, name, PROFILE, tp=tp, batch_size=batch)
        for name, tp in devices
        for model in ("llama-3-8b", "llama-3-70b")
        for batch in (1, 9)
    ]
    return pareto.find_pareto(many, "e2e_s", "energy_j")


def draw_roofline(prediction: Prediction) -> Any:
    return roofline.make_figure(roofline.find_roofline(prediction))


def draw_waterfall(prediction: Prediction, metric: str) -> Any:
    return waterfall.make_figure(waterfall.find_waterfall(explain(prediction.question), metric))


def draw_latency() -> Any:
    over = ask_over("output_tokens", [1, 2, 4, 16, 64])
    return latency.make_figure(latency.find_latency(over, "output_tokens", find_points(TABLE, over, "output_tokens")))


MIXTURE: dict[str, Any] = {"tp": 2, "dtype": "fp8", "kv_dtype": "fp16", "batch_size": 32}
LONG_NAME = {"num_hidden_layers": 56, "vocab_size": 50400, "hidden_size": 4096, "num_attention_heads": 16}
# Every kind of picture, with cases that crowd it.
FIGURES: dict[str, Callable[[], Any]] = {
    "roofline": lambda: draw_roofline(ask()),
    "roofline of experts": lambda: draw_roofline(predict("mixtral-8x7b", "h200-sxm-141gb", "none", **MIXTURE)),
    "roofline of latent attention": lambda: draw_roofline(
        predict("deepseek-v3", "h200-sxm-141gb", "none", tp=8, dtype="fp8", batch_size=64)
    ),
    "roofline with a long name": lambda: draw_roofline(ask(changes=LONG_NAME)),
    "waterfall": lambda: draw_waterfall(ask(), "e2e_s"),
    "waterfall of a bound": lambda: draw_waterfall(ask(calibration="none"), "ttft_s"),
    "latency": draw_latency,
    "pareto": lambda: pareto.make_figure(find_pareto()),
    "pareto of many": lambda: pareto.make_figure(crowd_pareto()),
    "tornado": lambda: tornado.make_figure(tornado.find_tornado(find_sensitivity(ask().question, "cost_usd"), 30)),
    "residuals": lambda: residual_plot.make_figure(find_residuals()),
    "residuals of operators": lambda: residual_plot.make_figure(find_operator_residuals()),
}


def list_texts(figure: Any) -> list[Any]:
    """All texts that are to be seen on a drawn figure."""
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    outside = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            margin = 1e-9 * (high - low)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                inside = low - margin <= tick.get_loc() <= high + margin
                outside |= set() if inside else {tick.label1, tick.label2}
                outside |= {label for label in (tick.label1, tick.label2) if not label.get_visible()}
    return [text for text in texts if text not in outside]


@pytest.mark.parametrize(("kind", "ending"), [*((kind, "svg") for kind in KINDS), ("roofline", "png")])
def test_a_picture_is_written_and_is_the_same_each_time(kind: str, ending: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.{ending}" for name in ("one", "two")]
    for path in paths:
        assert f"drawn in {path}" in plot(kind, *KINDS[kind], "-O", str(path))
    one, two = (path.read_bytes() for path in paths)
    assert one == two
    assert one.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    assert b"dc:date" not in one
    assert sorted(tmp_path.iterdir()) == sorted(paths)


def test_a_picture_does_not_depend_on_hashes_of_the_process(tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        path = tmp_path / f"{seed}.svg"
        command = [sys.executable, "-m", "cli", "plot", "latency", *KINDS["latency"], "-O", str(path)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed})
        written.append(path.read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_title_names_model_device_profile_and_basis(kind: str) -> None:
    printed = plot(kind, *KINDS[kind], "--terminal")
    assert PROFILE in printed
    assert "calibrated" in printed
    assert "a100" in printed.lower()
    if kind != "residuals":
        assert "GPT-J 6B" in printed or "gptj-6b" in printed


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_in_the_terminal_is_at_most_80_columns_wide(kind: str) -> None:
    lines = plot(kind, *KINDS[kind], "--terminal").splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("\x1b" in line for line in lines)


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_bar_in_the_terminal_is_as_wide_as_its_column_and_never_empty(start: float, end: float) -> None:
    drawn = draw_bar(start, end, 20, "#")
    assert len(drawn) == 20
    assert "#" in drawn


@pytest.mark.parametrize("name", FIGURES)
def test_texts_of_a_picture_keep_clear_of_each_other_and_inside(name: str) -> None:
    from matplotlib import style
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from simulator.report.plots.style import STYLE

    with style.context(["default", STYLE]):
        figure = FIGURES[name]()
        FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    texts = list_texts(figure)
    boxes = [text.get_window_extent() for text in texts]
    assert all(box.x0 >= -1 and box.y0 >= -1 for box in boxes)
    assert all(box.x1 <= figure.bbox.width + 1 and box.y1 <= figure.bbox.height + 1 for box in boxes)
    pairs = [(a, b) for a in range(len(boxes)) for b in range(a) if boxes[a].overlaps(boxes[b])]
    assert [(texts[a].get_text(), texts[b].get_text()) for a, b in pairs] == []


def test_a_roofline_has_a_mark_for_every_operator_and_a_line_for_every_peak() -> None:
    prediction = ask()
    found = roofline.find_roofline(prediction)
    passes = {"prefill": prediction.request.prefill, "decode": prediction.request.decode}
    asked = {
        (phase, one.operator.name) for phase, timed in passes.items() for one in timed.operators if one.operator.flops
    }
    assert {(point.phase, point.name) for point in found.points} == asked
    axes = roofline.make_figure(found).axes[0]
    assert len(axes.collections) == len(found.points)
    roofs = [line for line in axes.lines if line.get_gid() == "roof"]
    assert len(roofs) == len(set(prediction.question.hardware.compute.matrix_peak.values()))


@pytest.mark.parametrize(("model", "batch", "calibration"), [("gptj-6b", 1, None), ("mixtral-8x7b", 64, "none")])
def test_no_operator_is_above_the_roofs_and_a_bound_is_on_them(model: str, batch: int, calibration: str | None) -> None:
    found = roofline.find_roofline(
        predict(model, "a100-sxm-80gb", calibration, tp=2, batch_size=batch, prompt_tokens=1024)
    )
    for point in found.points:
        roof = min(found.top, point.intensity * found.bandwidth_bytes_per_s)
        assert point.flops_per_s == pytest.approx(roof) if calibration else point.flops_per_s <= 1.001 * roof


def test_shares_of_a_roofline_and_what_is_left_out_add_up() -> None:
    found = roofline.find_roofline(ask())
    for phase, left_out in found.left_out.items():
        assert sum(point.share for point in found.points if point.phase == phase) + left_out == pytest.approx(1)


@pytest.mark.parametrize("metric", ["ttft_s", "tpot_s", "e2e_s"])
def test_the_steps_of_a_waterfall_sum_to_the_prediction(metric: str) -> None:
    prediction = ask(output_tokens=16)
    found = waterfall.find_waterfall(explain(prediction.question), metric)
    asked = getattr(prediction, metric)
    bound = ask(output_tokens=16, calibration="none", stack=prediction.question.work.stack)
    assert found.seconds == pytest.approx(asked, rel=1e-8)
    assert found.bars[0].end_s == pytest.approx(getattr(bound, metric), rel=1e-8)
    assert found.bars[-1].end_s == pytest.approx(asked, rel=1e-8)
    for before, after in zip(found.bars[:-2], found.bars[1:-1], strict=True):
        assert after.start_s == before.end_s
    axes = waterfall.make_figure(found).axes[0]
    assert len(axes.patches) == len(found.bars) == len(found.steps) + 1


def test_a_waterfall_of_one_token_has_no_time_per_output_token() -> None:
    with pytest.raises(InputError, match="2 output tokens"):
        waterfall.find_waterfall(explain(ask(output_tokens=1).question), "tpot_s")


@pytest.mark.parametrize("axis", ["prompt_tokens", "output_tokens", "batch_size"])
def test_the_band_encloses_the_line(axis: str) -> None:
    values = [1, 2, 5, 16, 64]
    found = latency.find_latency(ask_over(axis, values), axis)
    assert [curve.name for curve in found.curves] == ["ttft_s", "tpot_s", "e2e_s"]
    for curve in found.curves:
        assert curve.x == [value for value in values if axis != "output_tokens" or curve.name != "tpot_s" or value > 1]
        assert curve.low is not None
        assert curve.high is not None
        for low, middle, high in zip(curve.low, curve.seconds, curve.high, strict=True):
            assert low < middle < high
    for panel in latency.make_figure(found).axes:
        (band,) = panel.collections
        (line,) = panel.lines
        (box,) = (path.get_extents() for path in band.get_paths())
        heights = line.get_ydata()
        assert box.y0 < min(heights)
        assert max(heights) < box.y1
        assert panel.get_ylim()[1] >= box.y1


def test_a_bound_has_no_band() -> None:
    found = latency.find_latency(ask_over("batch_size", [1, 4], calibration="none"), "batch_size")
    assert [panel.collections[:] for panel in latency.make_figure(found).axes] == [[]] * 3


def test_measured_points_are_the_rows_of_the_table() -> None:
    over = ask_over("output_tokens", [1, 2, 64])
    points = find_points(TABLE, over, "output_tokens")
    rows = [row for row in read_table(TABLE) if row.model == "ai21-j1-large" and row.prompt_tokens == 512]
    assert rows
    whole = {(point.x, point.seconds) for point in points if point.name == "e2e_s"}
    assert whole == {(row.output_tokens, row.value) for row in rows}
    assert {point.x for point in points if point.name == "ttft_s"} <= {1.0}
    assert {point.seconds for point in points if point.name == "ttft_s"} == {
        row.value for row in rows if row.output_tokens == 1
    }
    found = latency.find_latency(over, "output_tokens", points)
    panels = latency.make_figure(found).axes
    drawn = panels[-1].containers[0].lines[0].get_xdata()
    assert sorted(drawn) == sorted(point.x for point in points if point.name == "e2e_s")
    assert "o measured" in latency.print_text(found)


def test_a_measured_first_token_is_the_same_whatever_follows_it() -> None:
    rows = [row for row in read_table(TABLE) if row.model == "ai21-j1-large" and row.output_tokens == 1]
    points = find_points(TABLE, ask_over("prompt_tokens", [1, 1984]), "prompt_tokens")
    assert {(point.x, point.seconds) for point in points if point.name == "ttft_s"} == {
        (row.prompt_tokens, row.value) for row in rows if row.prompt_tokens <= 1984
    }
    assert len({row.prompt_tokens for row in rows}) > 1


@pytest.mark.parametrize("changed", [{"tp": 2}, {"dp": 2}, {"kv_dtype": "fp8"}, {"changes": {"num_hidden_layers": 2}}])
def test_rows_of_another_layout_format_or_model_are_not_drawn(changed: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"the nearest has (tp 1|dp 1|kv_dtype fp16|model ai21-j1-large)$"):
        find_points(TABLE, ask_over("output_tokens", [1, 64], **changed), "output_tokens")


def test_a_curve_of_many_points_has_no_dots_that_would_hide_its_band() -> None:
    found = latency.find_latency(ask_over("batch_size", list(range(1, 100))), "batch_size")
    assert [panel.lines[0].get_marker() for panel in latency.make_figure(found).axes] == ["None"] * 3


def test_a_pareto_has_a_mark_for_every_combination_and_a_frontier_that_none_beats() -> None:
    found = find_pareto()
    axes = pareto.make_figure(found).axes[0]
    assert len([line for line in axes.lines if line.get_gid() == "point"]) == len(found.points) == 4
    for point in found.points:
        better = [other for other in found.points if other.x <= point.x and other.y >= point.y and other != point]
        assert point.on_frontier == (not better)
    assert found.varies == "batch size"


def test_less_cost_is_better() -> None:
    found = find_pareto(against="cost_usd", of="e2e_s")
    cheapest = min(found.points, key=lambda point: point.y)
    fastest = min(found.points, key=lambda point: point.x)
    assert cheapest.on_frontier
    assert fastest.on_frontier
    price = find_price("a100-sxm-80gb", None)
    assert price is not None
    asked = [(tp, batch) for tp in (1, 2) for batch in (1, 16)]
    for (tp, batch), point in zip(asked, found.points, strict=True):
        seconds = ask(tp=tp, batch_size=batch, output_tokens=32).e2e_s
        assert point.y == pytest.approx(tp * seconds * price.price / batch)


def test_a_tornado_has_a_bar_for_every_input_that_matters_and_no_more_than_asked() -> None:
    sensitivity = find_sensitivity(ask().question, "tpot_s")
    for most in (3, 30):
        found = tornado.find_tornado(sensitivity, most)
        sizes = [abs(row.elasticity) for row in found.rows]
        assert sizes == sorted(sizes, reverse=True)
        assert len(found.rows) + found.left_out == len(sensitivity.influences)
        assert len(found.rows) <= most
        bars, shares = tornado.make_figure(found).axes
        assert len(bars.patches) == len(found.rows)
        assert len(shares.patches) == len([row for row in found.rows if row.kind == "factor"])


def test_a_tornado_of_a_bound_has_no_shares() -> None:
    found = tornado.find_tornado(find_sensitivity(ask(calibration="none").question), 15)
    assert len(tornado.make_figure(found).axes) == 1


def test_residuals_have_a_mark_for_every_row_and_a_strip_for_every_group() -> None:
    found = find_residuals()
    rows = read_table(TABLE)
    assert len(found.list_points()) == len(rows)
    assert {group.name for group in found.groups["model"]} == {row.model for row in rows}
    for groups in found.groups.values():
        assert sum(group.rows for group in groups) == len(rows)
    scatter, *panels = residual_plot.make_figure(found).axes
    assert sum(len(part.get_offsets()) for part in scatter.collections) == len(rows)
    medians = [line for panel in panels for line in panel.lines if line.get_gid() == "median"]
    assert len(medians) == len(found.groups["model"]) + len(found.groups["phase"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_terminal_shows_every_label(kind: str) -> None:
    text = plot(kind, *KINDS[kind], "--terminal")
    prediction = ask()
    influences = tornado.find_tornado(find_sensitivity(prediction.question), 15).rows
    labels = {
        "roofline": [point.name for point in roofline.find_roofline(prediction).points] + ["FLOP/byte", "TFLOP/s"],
        "waterfall": [bar.name for bar in waterfall.find_waterfall(explain(prediction.question), "e2e_s").bars],
        "latency": ["time to first token", "time per output token", "whole request", "requests in the batch", " 8 "],
        "pareto": ["1 x a100-sxm-80gb", "2 x a100-sxm-80gb", "frontier", "batch size 8", "tokens/s", " ms"],
        "tornado": [row.name for row in influences],
        "residuals": [group.name for groups in find_residuals().groups.values() for group in groups],
    }
    assert [label for label in labels[kind] if label not in text] == []


def test_a_file_and_the_terminal_go_together(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    assert "bound" in plot("waterfall", *SMALL, "--terminal", "-O", str(path))
    assert path.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.pdf", "a picture ends in .svg or .png"),
        ("x", "a picture ends in .svg or .png"),
        ("none/x.svg", "there is no folder"),
        (None, "-O FILE.svg, -O FILE.png or --terminal"),
    ],
)
def test_a_picture_that_goes_nowhere_is_refused(
    kind: str, name: str | None, said: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    place = [] if name is None else ["-O", str(tmp_path / name)]
    assert said in find_error(monkeypatch, capsys, kind, *KINDS[kind], *place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pie",), "pie"),
        (("roofline", "-m", "gptj", "-H", "a100-sxm-80gb", "-p", "0", "--terminal"), "0"),
        (("roofline", "-m", "no-such-model", "-H", "a100-sxm-80gb", "--terminal"), "no-such-model"),
        (("latency", *SMALL, "--terminal"), "one axis"),
        (("latency", *SMALL, "-b", "3,3", "--terminal"), "one axis"),
        (("latency", *SMALL, "-b", "1,2", "-p", "8,16", "--terminal"), "2 have several"),
        (("latency", *SMALL, "-b", "1,2", "--measured", "none.csv", "--terminal"), "none.csv"),
        (("latency", *SMALL, "-b", "1,2", "--measured", str(TABLE), "--terminal"), "no row of these requests"),
        (("waterfall", *SMALL, "-n", "1", "--of", "tpot_s", "--terminal"), "2 output tokens"),
        (("waterfall", *SMALL, "--of", "mood", "--terminal"), "mood"),
        (("tornado", *SMALL, "-n", "1", "--of", "tpot_s", "--terminal"), "tpot_s"),
        (("tornado", "-m", "gptj-6b", "-H", "rtx-4090", "--of", "cost_usd", "--terminal"), "--price"),
        (("tornado", *SMALL, "--top", "0", "--terminal"), "0"),
        (("pareto", "-m", "gptj-6b", "--terminal"), "a model and a device"),
        (("pareto", "-m", "gptj-6b", "-H", "rtx-4090", "--against", "cost_usd", "--terminal"), "--price"),
        (("pareto", *SMALL, "-n", "1", "--terminal"), "one output token"),
        (("pareto", *SMALL, "--against", "mood", "--terminal"), "mood"),
        (("pareto", *SMALL, "--tp", "1,2", "--dp", "1-64*2", "--pp", "1,2", "--terminal"), "up to 18"),
        (("residuals", "none.csv", "-c", PROFILE, "--terminal"), "none.csv"),
        (("residuals", str(TABLE), "-c", "nobody", "--terminal"), "nobody"),
    ],
)
def test_nonsense_is_one_line(arguments: tuple[str, ...], said: str, monkeypatch: Any, capsys: Any) -> None:
    assert said in find_error(monkeypatch, capsys, *arguments)


def test_what_does_not_fit_is_refused_unless_asked_for(monkeypatch: Any, capsys: Any) -> None:
    large = ["plot", "roofline", "-m", "bloom", "-H", "a100-sxm-80gb", "--terminal"]
    monkeypatch.setattr(sys, "argv", ["roofcast", *large])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 3
    assert "does not fit" in capsys.readouterr().err
    assert "FLOP/byte" in plot(*large[1:], "--assume-fits")


def test_without_matplotlib_a_picture_is_one_line_and_the_terminal_still_draws(
    tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for kind, arguments in KINDS.items():
        told = find_error(monkeypatch, capsys, kind, *arguments, "-O", str(tmp_path / "x.svg"))
        assert told == "a picture needs matplotlib: pip install 'roofcast[plot]'"
        assert plot(kind, *arguments, "--terminal")
    assert list(tmp_path.iterdir()) == []


def test_a_picture_takes_the_place_of_an_older_one_only_when_it_is_whole(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "x.svg"
    path.write_text("older")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    assert "No space" in str(
        CliRunner().invoke(app, ["plot", "roofline", *SMALL, "-O", str(path), "--force"]).exception
    )
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_the_command_loads_matplotlib_only_to_draw_a_file() -> None:
    code = (
        "import sys; from cli import app\n"
        f"for kind, asked in {KINDS!r}.items():\n"
        "    app(['plot', kind, *asked, '--terminal'], standalone_mode=False)\n"
        "print('loaded:', *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    loaded = set(done.stdout.partition("loaded:")[2].split())
    assert "simulator.report.plots.tornado" in loaded
    assert loaded.isdisjoint({"matplotlib", "scipy", "sympy", "torch"})


def test_a_table_by_alias_gives_the_same_points(tmp_path: Path) -> None:
    copy = tmp_path / "rows.csv"
    shutil.copy(TABLE, copy)
    copy.write_text(copy.read_text().replace("a100-sxm-80gb", "A100-80GB"))
    over = ask_over("output_tokens", [1, 2, 64])
    assert find_points(copy, over, "output_tokens") == find_points(TABLE, over, "output_tokens")
