"""``calibrate run --engine``: a running server is sent a designed set of loads, fitted, and checked on others.

Every load becomes two rows of the table as soon as it is measured. The loads to fit are those that tell the most about
all that might be sent, by the priors; those to check lie between them and are never fitted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from calibration.fit.cases import build_cases, predict_rows
from calibration.fit.from_table import Fitted, describe_refusal, fit_rows
from calibration.fit.least_squares import find_sigma
from calibration.fit.load_case import make_load
from calibration.fit.load_design import METRICS, Place, Setting, choose_blocks, list_settings, runs
from calibration.fit.profile_file import today
from calibration.fit.verdict import OF_SERVER
from calibration.measure.http_stream import Address, parse_address
from calibration.measure.served_model import Served, find_served, send_load
from simulator.errors import InputError
from simulator.inputs.deployment import Deployment
from simulator.inputs.measurements import HELD_OUT, OWN_SOURCE, Measurement, read_table, write_table
from simulator.inputs.workload import Workload
from simulator.prediction import Question, resolve
from simulator.report.output import OutputForm
from simulator.serving.setup import find_scheduler
from simulator.serving.workload import draw_requests
from simulator.specfile import check_target
from simulator.timing.device import find_traits
from simulator.timing.factors import find_log_slopes, perturb_factors
from simulator.timing.priors import as_factors, choose_priors

CANDIDATES = list_settings((128, 512, 2048), (32, 128), (1, 4, 16, 48))
FITTED, CHECKED = 8, 4  # loads
FEWEST_FITTED, FEWEST_CHECKED = 4, 2  # before the time ends
WARM_UP = Setting(128, 8, 4)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is sent to a server, in this order; the loads of ``checked`` are not fitted."""

    question: Question
    place: Place
    settings: list[Setting]
    checked: frozenset[Setting]

    def make_rows(self, setting: Setting, values: tuple[float, float]) -> list[Measurement]:
        """The rows of a setting, marked where they are not to be fitted."""
        return setting.make_rows(self.place, values, HELD_OUT if setting in self.checked else "")


def ask_engine(model: str, hardware: str, stack: str, deployment: Deployment) -> Question:
    """What is measured, resolved.

    Raises:
        InputError: a name, layout or format that is wrong, or a stack without a scheduler.
    """
    question = resolve(model, hardware, "none", stack, deployment, Workload(1, 1, 1), {})
    find_scheduler(question.work.stack)
    return question


def plan_loads(question: Question, model: str, budget_s: float, candidates: Sequence[Setting] = CANDIDATES) -> Plan:
    """Choose the loads by the priors of the device: they fit the model, the engine and the time.

    Raises:
        InputError: too few are left.
    """
    place = Place.of(question, f"{OWN_SOURCE} {OF_SERVER}, {today()}", model)
    settings = [one for one in candidates if runs(question, one, place)]
    rows = [row for setting in settings for row in setting.make_rows(place)]
    values = np.ones((1, 0))
    if rows:
        priors = choose_priors(find_traits(question.hardware), question.work.stack)
        cases = build_cases(rows, "none", question.hardware, question.work.stack)
        values = predict_rows(cases, perturb_factors(as_factors(priors), list(priors), 1))
    seconds = [one.estimate_seconds(*values[0, 2 * at : 2 * at + 2]) for at, one in enumerate(settings)]
    kept = [place for place, each in enumerate(seconds) if each <= budget_s / (FITTED + CHECKED)]
    if len(kept) < FEWEST_FITTED + FEWEST_CHECKED:
        raise InputError(
            f"{len(kept)} loads fit into the model, the engine and {budget_s:.0f} s; a fit and its check need "
            f"{FEWEST_FITTED + FEWEST_CHECKED}: take a longer --time-budget"
        )
    blocks = np.array([[2 * place, 2 * place + 1] for place in kept])
    slopes = find_log_slopes(values)
    covariance = np.diag([prior.spread**2 for prior in priors.values()])
    noise = find_sigma(rows, question.hardware) ** 2
    most = min(FITTED, len(kept) - FEWEST_CHECKED)
    chosen, _ = choose_blocks(slopes, covariance, noise, blocks, slopes[:, blocks.ravel()], most)
    others = [place for place in range(len(kept)) if place not in chosen]
    steps = np.linspace(0, len(others) - 1, min(CHECKED, len(others))).round().astype(int)
    checked = [settings[kept[others[step]]] for step in steps]
    order = sorted([*(settings[kept[place]] for place in chosen), *checked], key=lambda one: (one.concurrency, one))
    return Plan(question, place, order, frozenset(checked))


async def measure_setting(served: Served, plan: Plan, setting: Setting) -> tuple[float, float]:
    """Send one load; its time to first token and its time per output token.

    The requests are those that the simulation draws for the same row. Of one in flight the median counts, of several
    the mean, as the simulation has it.
    """
    requests, _ = draw_requests(make_load(setting.make_rows(plan.place)[0]))
    timings = await send_load(served, requests, setting.concurrency)
    middle = np.median if setting.concurrency == 1 else np.mean
    of_several = [one for one in timings if one.output_tokens > 1]
    return float(middle([one.ttft_s for one in timings])), float(middle([one.tpot_s for one in of_several]))


async def end_in_time(load: Awaitable[tuple[float, float]], deadline: float, timeout_s: float) -> tuple[float, float]:
    """Wait for a load until the time ends, and as much longer as nothing may come; a server may answer for ever.

    Raises:
        InputError: the load has not ended by then.
    """
    left = max(deadline - time.monotonic(), 0.0) + timeout_s
    try:
        async with asyncio.timeout(left):
            return await load
    except TimeoutError:
        raise InputError(
            f"a load did not end within the time and {timeout_s:g} s after it; --resume goes on behind what is measured"
        ) from None


async def measure_plan(
    address: Address,
    named: str | None,
    plan: Plan,
    table: Path,
    deadline: float,
    timeout_s: float,
    say: Say,
) -> list[Measurement]:
    """Measure what the table does not have yet, writing it anew after each load; all its rows.

    Raises:
        InputError: from the server; what was measured is in the table.
    """
    rows = read_table(table) if table.is_file() else []
    if any(astuple(row)[1 : len(plan.place)] != plan.place[1:] for row in rows):
        raise InputError(f"{table}: is of another model, device, stack or layout; name another --out")
    done = {Setting(row.prompt_tokens, row.output_tokens, row.concurrency or 1) for row in rows}
    vocabulary = int(plan.question.work.architecture.vocab_size)
    served = await find_served(address, named, vocabulary, timeout_s)
    waiting = [one for one in plan.settings if one not in done]
    if waiting:
        await end_in_time(measure_setting(served, plan, WARM_UP), deadline, timeout_s)
    for place, setting in enumerate(waiting):
        if time.monotonic() > deadline:
            say(f"the time ended with {len(waiting) - place} of {len(plan.settings)} loads to go; --resume goes on")
            break
        values = await end_in_time(measure_setting(served, plan, setting), deadline, timeout_s)
        rows += plan.make_rows(setting, values)
        write_table(table, rows)
        said = ", ".join(f"{name} {value:.4g}" for name, value in zip(METRICS, values, strict=True))
        say(f"{setting.describe()}: {said}")
    return rows


def run_engine(
    url: str,
    model: str,
    hardware: str,
    stack: str,
    deployment: Deployment,
    served_model: str | None,
    budget_s: float,
    timeout_s: float,
    out: Path,
    resume: bool,
    dry_run: bool,
    form: OutputForm,
    command: str,
    say: Say,
) -> Fitted:
    """Measure into the table beside ``out``, fit, check, and return the report; a dry run lists the loads.

    Raises:
        InputError: from any of these steps; loads that were measured are in the table.
    """
    check_target(out)
    if out.suffix not in (".yaml", ".yml"):
        raise InputError(f"{out}: a profile ends in .yaml; the table is written beside it as .csv")
    address = parse_address(url)
    deadline = time.monotonic() + budget_s
    plan = plan_loads(ask_engine(model, hardware, stack, deployment), model, budget_s)
    if dry_run:
        lines = [f"{one.describe()}{' (to check)' if one in plan.checked else ''}" for one in plan.settings]
        return Fitted("\n".join([*lines, f"{len(lines)} loads"]), None)
    table = out.with_suffix(".csv")
    if table.is_file() and not resume:
        raise InputError(f"{table} is there already; --resume goes on with it, or name another --out")
    rows = asyncio.run(measure_plan(address, served_model, plan, table, deadline, timeout_s, say))
    held_out = sum(row.notes.startswith(HELD_OUT) for row in rows) // len(METRICS)
    fitted = len(rows) // len(METRICS) - held_out
    if fitted < FEWEST_FITTED or held_out < FEWEST_CHECKED:
        raise InputError(
            f"{table}: {fitted} loads to fit and {held_out} to check; it takes {FEWEST_FITTED} and {FEWEST_CHECKED}: "
            "--resume goes on, with a longer --time-budget"
        )
    q = plan.question
    found = fit_rows(rows, [table], q.hardware, q.work.stack, out, None, 2, 0, form, command)
    if not describe_refusal(out, found.verdict):
        say(f"use it: roofcast simulate -m {model} -H {hardware} -c {out} -s {stack} --concurrency 8")
    return found
