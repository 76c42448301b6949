"""What the options of the one table ask: of one model on one device, or every combination of several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from simulator.errors import InputError
from simulator.frozen import frozen_dataclass

if TYPE_CHECKING:
    from simulator.explore.compare import Comparison
    from simulator.explore.load_compare import Combination
    from simulator.explore.sweep.space import Space
    from simulator.inputs.deployment import Deployment
    from simulator.inputs.workload import Workload
    from simulator.metrics.rates import AskedRates
    from simulator.prediction import Question
    from simulator.serving.setup import Options
    from simulator.serving.workload import Load


MOST_POINTS = 100_000  # of one answer that is printed


class Counts(NamedTuple):
    """Token counts and batch sizes, one or several of each."""

    prompt_tokens: list[int]
    output_tokens: list[int]
    batch_size: list[int]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Counts:
        """The counts among the values of options, one or a list."""
        values = (given[name] for name in cls._fields)
        return cls(*(value if isinstance(value, list) else [value] for value in values))

    @property
    def workload(self) -> Workload:
        """Every combination, as arrays that broadcast; plain numbers where there is one of each.

        Raises:
            InputError: more than are answered at once.
        """
        import numpy as np

        from simulator.inputs.workload import Workload

        points = math.prod(map(len, self))
        if points > MOST_POINTS:
            raise InputError(
                f"{points:,} combinations of tokens and batch sizes are more than the {MOST_POINTS:,} that are "
                "answered at once; `roofcast sweep --out FILE.csv` writes any number"
            )
        single = all(len(values) == 1 for values in self)
        return Workload(*([values[0] for values in self] if single else np.ix_(*self)))


@frozen_dataclass
class Asked:
    """One model on one device: names as they were given, None where nothing was, and the requests."""

    model: str
    hardware: str
    calibration: str | None
    stack: str | None
    deployment: Deployment
    counts: Counts
    changes: Mapping[str, str]
    hardware_changes: Mapping[str, str]
    identical_prompts: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Asked:
        """Make it of the values of options by name.

        Raises:
            InputError: a format that does not exist.
        """
        from simulator.inputs.deployment import ASKED, Deployment

        return cls(
            given["model"],
            given["hardware"],
            given["calibration"],
            given["stack"],
            Deployment(**{name: given[name] for name in ASKED}),
            Counts.read(given),
            given["changes"],
            given["hardware_changes"],
            given["identical_prompts"],
        )

    def with_counts(self, **counts: list[int]) -> Asked:
        """The same of other counts."""
        return replace(self, counts=self.counts._replace(**counts))

    def resolve(self, rates: AskedRates | None = None) -> Question:
        """The question; without rates those that ship.

        Raises:
            InputError: a name, file, layout, change or count that is wrong.
        """
        from simulator.inputs.library import load_model
        from simulator.inputs.what_if import read_scalar
        from simulator.metrics.rates import SHIPPED_RATES
        from simulator.prediction import resolve
        from simulator.timing.software import find_place

        model = load_model(self.model)
        return resolve(
            model,
            *find_place(model, self.hardware, self.hardware_changes, self.calibration, self.stack, self.deployment),
            self.deployment,
            replace(self.counts.workload, identical_prompts=self.identical_prompts),
            {field: read_scalar(text) for field, text in self.changes.items()},
            rates or SHIPPED_RATES,
        )


WITH_DEFAULT = ("burstiness", "seed")
NAMED = ("draft", "router")  # options of an engine that are names


class AskedLoad(NamedTuple):
    """A load and what is set of the engine, as text by option."""

    given: Mapping[str, str | None]

    @property
    def is_given(self) -> bool:
        """Whether anything is asked of a load or of an engine."""
        return any(value is not None and name not in WITH_DEFAULT for name, value in self.given.items())

    def list_several(self) -> list[AskedLoad]:
        """A load for each of several concurrencies (1,4,16 or 1-64*2) or rates (0.5,1,2).

        Raises:
            InputError: a concurrency that is no whole number, or a range that cannot be.
        """
        from simulator.inputs.ranges import parse_counts

        in_flight, rates = self.given.get("concurrency"), self.given.get("request_rate")
        if in_flight is not None and not in_flight.isdigit():
            counts = parse_counts(in_flight, "--concurrency")
            return [AskedLoad({**self.given, "concurrency": str(count)}) for count in counts]
        if rates is not None and "," in rates:
            return [AskedLoad({**self.given, "request_rate": one.strip()}) for one in rates.split(",")]
        return [self]

    def check_batch(self, counts: Counts) -> None:
        """Refuse a batch size beside a load.

        Raises:
            InputError: there is one.
        """
        if counts.batch_size != [1]:
            raise InputError("a load says how many requests run; leave out --batch-size")

    def resolve(self, counts: Counts) -> tuple[Load, Options]:
        """The load of requests of these nominal counts.

        Raises:
            InputError: a text that is no number where one is due, or a load that cannot be.
        """
        from simulator.serving.setup import Options
        from simulator.serving.workload import check_load, make_load

        texts = {name: text for name, text in self.given.items() if text is not None}
        read: dict[str, Any] = {
            name: read_amount(name, text, whole=name not in ("request_rate", "burstiness", "acceptance"))
            for name, text in texts.items()
            if name not in ("trace", "lengths", *NAMED)
        }
        read |= {name: texts[name] for name in NAMED if name in texts}
        options = Options(**{name: read.pop(name) for name in Options._fields if name in read})
        tokens = counts.prompt_tokens[0], counts.output_tokens[0]
        load = make_load(*tokens, texts.get("lengths"), texts.get("trace"), **read)
        check_load(load)
        return load, options


def read_amount(name: str, text: str, whole: bool) -> float | int:
    """A number that an option gives.

    Raises:
        InputError: it is none.
    """
    option = f"--{name.replace('_', '-')}"
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise InputError(f"{option}: '{text}' is not a {'whole ' if whole else ''}number") from None


@frozen_dataclass
class Choices:
    """Several models on several devices; of a list that was not given, one None. ``layout`` is by field of
    ``Deployment``."""

    models: list[str]
    devices: list[str]
    calibrations: Sequence[str | None]
    stacks: Sequence[str | None]
    layout: Mapping[str, Sequence[int | str | None]]
    counts: Counts
    changes: Mapping[str, str]
    hardware_changes: Mapping[str, str]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Choices:
        """Make it of the values of options by name.

        Raises:
            InputError: no model or no device.
        """
        from simulator.inputs.deployment import ASKED

        if not given["model"] or not given["hardware"]:
            raise InputError("name a model and a device: -m NAME -H NAME, each as often as you like")
        return cls(
            given["model"],
            given["hardware"],
            given["calibration"] or [None],
            given["stack"] or [None],
            {name: given[name] or [None] for name in ASKED},
            Counts.read(given),
            given["changes"],
            given["hardware_changes"],
        )

    def compare(self, rates: AskedRates | None = None, baseline: int = 1) -> Comparison:
        """Answer every combination that is possible.

        Raises:
            InputError: as ``explore.compare.compare``, or a format that does not exist.
            ImpossibleError: no combination is possible.
        """
        from simulator.explore.compare import compare
        from simulator.inputs.what_if import read_scalar

        price, grid, pue = rates or (None, None, None)
        return compare(
            self.models,
            self.devices,
            self.calibrations,
            stack=self.stacks,
            **self.layout,  # type: ignore[arg-type]  # fields by their own names
            **self.counts._asdict(),
            changes={field: read_scalar(text) for field, text in self.changes.items()},
            hardware_changes=self.hardware_changes,
            baseline=baseline,
            assume_fits=True,
            price=price,
            grid=grid,
            pue=pue,
        )

    def list_combinations(self, load: AskedLoad, rates: AskedRates) -> list[Combination]:
        """Every deployment with every load.

        Raises:
            InputError: a load or a format that is wrong, or fields that are changed.
        """
        from itertools import product

        from simulator.explore.load_compare import Combination
        from simulator.inputs.deployment import Deployment
        from simulator.inputs.library import load_hardware

        if self.changes or self.hardware_changes:
            raise InputError("--set and --set-hw are not known of several loads; roofcast simulate takes them")
        load.check_batch(self.counts)
        names = list(self.layout)
        layouts = [Deployment(**dict(zip(names, one, strict=True))) for one in product(*self.layout.values())]  # type: ignore[arg-type]
        lengths = product(self.counts.prompt_tokens, self.counts.output_tokens)
        counts = [self.counts._replace(prompt_tokens=[p], output_tokens=[n]) for p, n in lengths]
        loads = [one.resolve(each) for each in counts for one in load.list_several()]
        places = product(self.models, self.devices, self.calibrations, self.stacks, layouts)
        ids = {name: load_hardware(name).id for name in self.devices}
        known = rates.find_all(list(ids.values()))
        return [
            Combination(*place, wanted, options, known[ids[place[1]]]) for place in places for wanted, options in loads
        ]

    def make_space(self) -> Space:
        """The axes of a sweep over every combination.

        Raises:
            InputError: a value that cannot be read.
        """
        from simulator.explore.sweep.space import build_space

        places = {"model": self.models, "hardware": self.devices, "stack": self.stacks}
        names = {**places, "calibration": self.calibrations, **self.layout}
        return build_space(names, self.hardware_changes, self.changes, self.counts._asdict())
