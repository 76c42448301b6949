"""``import simulator as rc``: what is there, what answers say of themselves, and that a grid is its points."""

import inspect
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator as rc

SMALL = ("gptj-6b", "a100-sxm-80gb", "none")
VERBS = ("compare", "explain", "predict", "sensitivity", "simulate", "solve", "sweep")
ANSWERS: dict[str, Any] = {
    "compare": lambda: rc.compare(*SMALL, tp=[1, 2]),
    "explain": lambda: rc.explain(*SMALL),
    "predict": lambda: rc.predict(*SMALL, batch_size=[1, 4]),
    "sensitivity": lambda: rc.sensitivity(*SMALL, by="tpot_s"),
    "simulate": lambda: rc.simulate("gptj-6b", "a100-sxm-80gb", stack="vllm", concurrency=2, num_requests=4),
    "solve": lambda: rc.solve(*SMALL, unknown="batch_size", slo="tpot_s:20ms"),
    "sweep": lambda: rc.sweep(*SMALL, tp=[1, 2]),
}


@pytest.mark.parametrize("name", [*VERBS, "recommend"])
def test_every_question_is_listed_typed_and_says_what_it_takes(name: str) -> None:
    assert name in dir(rc)
    verb = getattr(rc, name)
    assert inspect.get_annotations(verb)["return"]
    for parameter in inspect.signature(verb).parameters.values():
        assert parameter.annotation is not parameter.empty
        assert f"{parameter.name}:" in str(inspect.getdoc(verb))
    assert "Raises:" in str(inspect.getdoc(verb))


@pytest.mark.parametrize("name", VERBS)
def test_every_answer_shows_numbers_and_becomes_rows(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ANSWERS[name]()
    assert any(character.isdigit() for character in repr(answer).partition("(")[2])
    assert isinstance(answer.to_dict(), dict)
    rows = answer.to_dicts()
    assert all(row.keys() == rows[0].keys() for row in rows)
    html = answer._repr_html_()
    assert html.count("<tr>") == html.count("</tr>") >= 2
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    for method in ("to_pandas", "to_polars"):
        with pytest.raises(rc.InputError, match="pip install"):
            getattr(answer, method)()


def test_names_in_html_are_no_markup() -> None:
    found = rc.predict(*SMALL)
    assert "<script>" not in rc.shown.write_html("<script>", [{"<script>": "<script>"}] * 2)
    assert "&lt;b&gt;" in rc.shown.write_html("<b>", found.to_dicts())


def test_arrays_broadcast_and_their_intervals_are_those_of_their_points() -> None:
    place = ("gptj-6b", "a100-sxm-80gb")
    prompts, batches = [[128], [256]], [1, 2]
    grid = rc.predict(*place, prompt_tokens=prompts, batch_size=batches)
    for i, prompt in enumerate((128, 256)):
        for j, batch in enumerate(batches):
            one = rc.predict(*place, prompt_tokens=prompt, batch_size=batch)
            for name in ("ttft_s", "tpot_s_low", "e2e_s_high", "kv_cache_bytes"):
                found = np.broadcast_to(grid.find(name), (2, 2))[i, j]
                assert math.isclose(found, one.find(name), rel_tol=1e-12), name


def test_what_does_not_fit_raises_unless_asked() -> None:
    with pytest.raises(rc.ImpossibleError, match=r"does not fit on 1 x a100-sxm-80gb: .* try --tp 2"):
        rc.predict("llama-3.1-70b", "a100-sxm-80gb")
    with pytest.raises(rc.ImpossibleError):
        rc.explain("llama-3.1-70b", "a100-sxm-80gb")
    assert not rc.predict("llama-3.1-70b", "a100-sxm-80gb", assume_fits=True).fits
    assert rc.solve("llama-3.1-70b", "a100-sxm-80gb", unknown="devices").value == 2


def test_a_changed_data_sheet_moves_the_bound_in_proportion() -> None:
    one, two = (
        rc.predict(*SMALL, hardware_changes={"memory.bandwidth": given}).tpot_s for given in ("1 TB/s", "2 TB/s")
    )
    assert math.isclose(one / two, 2, rel_tol=1e-6)
    with pytest.raises(rc.InputError, match="not an object"):
        rc.predict("gptj-6b", rc.predict(*SMALL).question.hardware, hardware_changes={"memory.bandwidth": "1 TB/s"})


def test_the_notebook_runs_from_top_to_bottom() -> None:
    (path,) = (Path(__file__).resolve().parents[1] / "docs" / "notebooks").glob("*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert names["devices"].to_dicts()
    assert names["fewest"].at.prediction.tpot_s <= 0.02
    assert names["run"].ttft_s.p99 > 0


def test_compare_and_sweep_ask_alike() -> None:
    """What both take has one name, place, type and default; fields that are changed have one value or an axis."""
    one, other = (inspect.signature(verb).parameters for verb in (rc.compare, rc.sweep))
    shared = [name for name in one if name in other]
    assert shared == [name for name in other if name in one]
    assert set(one) - set(shared) == {"baseline"}
    for name in shared:
        assert (one[name].kind, one[name].default) == (other[name].kind, other[name].default)
        assert name.endswith("changes") or one[name].annotation == other[name].annotation
