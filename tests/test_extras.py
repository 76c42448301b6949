"""Packages that the core does without: a command that needs one says how to install it, in one line."""

import sys

import pytest

from calibration.measure import telemetry
from simulator.errors import InputError
from simulator.report.formulas import report_formulas


def test_formulas_without_sympy_name_their_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sympy", None)
    with pytest.raises(InputError, match=r"^formulas need SymPy: pip install 'roofcast\[formulas\]'$"):
        report_formulas(None, "ideal", "text", {}, "table")


def test_measuring_without_nvml_names_its_extra_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    said: list[str] = []
    with telemetry.open_device(0, said.append) as device:
        assert device is None
    assert said == ["no telemetry: pip install 'roofcast[telemetry]'"]
