"""All metrics. A new one is an entry in ``METRICS`` of a module, and the module's name here.

Whatever lists columns, limits, axes or keys of an answer reads this list when it runs, so that an entry is all there is
to a metric.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from simulator.errors import InputError, suggest
from simulator.metrics import bounds, energy, latency, memory, money, utilisation
from simulator.metrics.metric import ENDS, PROFILE, Conditions, Metric

MODULES = (latency, memory, utilisation, money, energy, bounds)
METRICS: dict[str, Metric] = {metric.name: metric for module in MODULES for metric in module.METRICS}
TIMES = ("ttft_s", "tpot_s", "e2e_s")


class Column(NamedTuple):
    """A metric, or one end of its 90% interval (``_low``, ``_high``)."""

    metric: Metric
    end: str

    def find_lack(self, given: Conditions) -> str | None:
        """Why it is not known, in words; None where it is."""
        lack = self.metric.find_lack(given)
        return PROFILE.lack(given) if lack is None and self.end and not PROFILE.is_met(given) else lack


def list_columns() -> list[str]:
    """Names of all metrics, each with the ends of its interval behind it."""
    return [metric.name + end for metric in METRICS.values() for end in ("", *(ENDS if metric.follows else ()))]


def find_column(name: str) -> Column | None:
    """The metric of a column and which end of its interval it is; None where no metric has that name."""
    if name in METRICS:
        return Column(METRICS[name], "")
    for end in ENDS:
        metric = METRICS.get(name.removesuffix(end)) if name.endswith(end) else None
        if metric is not None and metric.follows is not None:
            return Column(metric, end)
    return None


def is_interval(name: str) -> bool:
    """Whether a column is an end of an interval."""
    column = find_column(name)
    return column is not None and bool(column.end)


def list_numbers() -> list[Metric]:
    """Metrics that can be ranked, limited and drawn."""
    return [metric for metric in METRICS.values() if metric.is_number]


def list_headed() -> list[Metric]:
    """Metrics that tables for people show."""
    return [metric for metric in METRICS.values() if metric.heading]


def list_ranked() -> list[Metric]:
    """Numbers that tables for people show, but for sizes in memory."""
    return [metric for metric in list_headed() if metric.is_number and metric.unit != "B"]


def list_limits() -> list[str]:
    """Columns that a limit may be about: numbers, and the worse end of an interval."""
    return [name for one in list_numbers() for name in (one.name, *([one.worse_end] if one.follows else []))]


def read_metric(name: str, where: str, allowed: Iterable[str] | None = None) -> Metric:
    """A metric that can be ranked and drawn, by its name.

    Raises:
        InputError: there is none.
    """
    names = [metric.name for metric in list_numbers()] if allowed is None else list(allowed)
    if name not in names:
        raise InputError(suggest(f"{where}: unknown metric '{name}'", name, names))
    return METRICS[name]
