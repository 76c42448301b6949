"""``calibrate run`` from names to a profile: measure into a table, then fit it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from calibration.fit.from_table import Fitted, describe_refusal, fit_rows
from simulator.errors import InputError
from simulator.inputs.library import load_stack
from simulator.inputs.measurements import HELD_OUT, read_table
from simulator.report.output import OutputForm
from simulator.specfile import check_target

END_RESERVE_S = 8.0  # of a time budget: the start of Python and torch, a second look at the peaks, and the fit
LEAST_BUDGET_S = 15.0
MOST_OPERATORS = 200  # of a kind, to be fitted


def run_benchmarks(
    device: str,
    suite: Literal["quick", "full"],
    budget_s: float,
    seed: int,
    hardware: str | None,
    stack: str,
    out: Path,
    resume: bool,
    dry_run: bool,
    form: OutputForm,
    command: str,
    say: Callable[[str], None],
) -> Fitted:
    """Measure into the table beside ``out``, then fit it; a dry run lists the benchmarks.

    Raises:
        InputError: from any of these steps; samples that were taken are in the table.
    """
    deadline = time.monotonic() + budget_s - END_RESERVE_S
    software = load_stack(stack)
    check_target(out)
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a profile ends in .yaml; the table is written beside it as .csv")
    if budget_s < LEAST_BUDGET_S:
        raise InputError(f"a time budget of {budget_s:g} s is too short; it must be at least {LEAST_BUDGET_S:g} s")
    try:
        from calibration.measure import run
    except ImportError:
        raise InputError("measuring needs PyTorch: pip install 'roofcast[measure]'") from None
    if dry_run:
        return Fitted(run.list_plan(device, suite, seed, hardware, software, out, say), None)
    try:
        with show_progress(say) as tick:
            done = run.run_calibration(device, suite, seed, hardware, software, out, resume, deadline, say, tick)
    except BaseException:
        table = run.Paths(out).table
        if table.is_file():
            say(f"{table} keeps the samples taken; --resume goes on with it")
        raise
    session, facts = done
    table, described = session.paths.table, session.hardware
    if not table.is_file():
        raise InputError("no case could be measured; the lines above say why")
    rows = read_table(table)
    fitted = [row for row in rows if not row.notes.startswith(HELD_OUT)]
    if not fitted:
        raise InputError(f"{table}: no row to fit yet; --resume goes on, with a longer --time-budget")
    outcome = fit_rows(rows, [table], described, software, out, None, MOST_OPERATORS, seed, form, command, facts)
    if not describe_refusal(out, outcome.verdict):
        named = session.paths.hardware if session.described_here else hardware or described.id
        dtype = next(row.activation_dtype for row in fitted if row.model)
        for doubt in outcome.verdict.doubts if outcome.verdict else ():
            say(f"doubtful: {doubt}")
        say(f"use it: roofcast predict -m pythia-160m -H {named} -c {out} -s {stack} --dtype {dtype}")
    return outcome


@contextmanager
def show_progress(say: Callable[[str], None]) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while samples are taken where that is a terminal, else a line for each quarter."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("measuring", total=None)
        said: set[int] = set()

        def tick(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            quarter = 4 * done // max(total, 1)
            if progress.disable and quarter and quarter not in said:
                said.add(quarter)
                say(f"{done} of {total} cases measured")

        yield tick
