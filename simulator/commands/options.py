"""The one table of options that ask about models on devices, the forms that commands make of it, and other options.

A row of the table becomes an option of one value (``request_options``), of counts that may be lists (``grid_options``)
or of lists alone (``choice_options``). A command gets what they ask as one argument, ``Asked`` or ``Choices``. The
fields of ``Deployment`` and ``Workload`` are filled from the rows of their names: a new option of the layout is a
field there and a row here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import click

from simulator.commands.asked import Asked, AskedLoad, Choices
from simulator.commands.completion import complete_names
from simulator.errors import InputError
from simulator.inputs.ranges import parse_counts
from simulator.report.output import OutputForm
from simulator.specfile import check_target, reserve

if TYPE_CHECKING:
    from simulator.metrics.rates import AskedRates

Verb = Callable[..., Any]
Decorator = Callable[[Verb], Verb]
Check = Callable[[click.Context, click.Parameter, Path | None], Path | None]
COUNT = "N[,N|-N+S|-N*S]"
NAMES = "NAME[,NAME]"
MOST_PATH = 4096  # letters; a longer text names no file


class Option(NamedTuple):
    """One row of the table. ``text`` is the help of one value, ``several`` that of a list where it is worded otherwise.

    The last of ``flags`` gives the name of the field that the option fills. A default of a whole number makes it a
    count; every other option is a name or text.
    """

    flags: tuple[str, ...]
    text: str
    several: str = ""
    default: int | str | None = None
    required: bool = False

    @property
    def name(self) -> str:
        """The field that it fills."""
        return self.flags[-1].removeprefix("--").replace("-", "_")

    @property
    def is_count(self) -> bool:
        """Whether its values are whole numbers."""
        return isinstance(self.default, int)

    def take_one(self) -> Decorator:
        """The option that takes one value."""
        given: dict[str, Any] = {} if self.default is None else {"default": self.default, "show_default": True}
        if self.is_count:
            given["type"] = click.IntRange(1)
        else:
            given["shell_complete"] = complete_names
        return click.option(*self.flags, self.name, required=self.required, help=self.text, **given)

    def take_several(self) -> Decorator:
        """The option that takes lists and ranges, repeated too."""
        default = "" if self.default is None else f"  [default: {self.default}]"
        return click.option(
            *self.flags,
            self.name,
            multiple=True,
            default=() if self.default is None else (str(self.default),),
            callback=parse_counts_given if self.is_count else parse_names,
            metavar=COUNT if self.is_count else NAMES,
            shell_complete=None if self.is_count else complete_names,
            help=(self.several or self.text) + default,
        )


PLACE = (
    Option(
        ("-m", "--model"),
        "Name, YAML, config.json, its folder or org/model.",
        "Names, YAML files, config.json, their folders or org/model.",
        required=True,
    ),
    Option(("-H", "--hardware"), "Name or YAML of the device.", "Names or YAML files of devices.", required=True),
    Option(
        ("-c", "--calibration"),
        "Profile: name, YAML, or 'none' for the bound.  [default: the device's own]",
        "Profiles; 'none': the bound.  [default: each device's own]",
    ),
    Option(
        ("-s", "--stack"),
        "Software stack.  [default: the profile's; ideal for a bound]",
        "Software stacks.  [default: the profile's; ideal for a bound]",
    ),
)
LAYOUT = (  # the fields of ``Deployment``, in their order
    Option(("--tp",), "Tensor-parallel devices.", default=1),
    Option(("--pp",), "Pipeline stages.", default=1),
    Option(("--dp",), "Replicas of the model that share the batch.", default=1),
    Option(("--ep",), "Devices that the experts are spread over.", default=1),
    Option(("--micro-batches",), "Parts of the batch in a pipeline.", default=1),
    Option(("--dtype",), "Matrix products: bf16, fp8, int8...  [default: the checkpoint's own]"),
    Option(("--weight-dtype",), "Weights: fp8, int4-g128, q4_k_m...  [default: --dtype, else the checkpoint's]"),
    Option(("--kv-dtype",), "KV cache.  [default: --dtype of 16 bits at least, else the checkpoint's]"),
)
REQUEST = (  # the fields of ``Workload``, in their order
    Option(("-p", "--prompt-tokens"), "Tokens of the prompt.", default=512),
    Option(("-n", "--output-tokens"), "Tokens to generate, the first included.", default=128),
    Option(("-b", "--batch-size"), "Requests that run together.", default=1),
)

LOAD = (
    Option(("--concurrency",), "Requests in flight: each that is done brings the next."),
    Option(("--request-rate",), "Requests a second, or 'inf': all at once."),
    Option(("--burstiness",), "Of the time between requests: 1 Poisson, less in bursts, inf evenly.", default="1"),
    Option(("--trace",), "CSV of requests: arrival_s, input_tokens, output_tokens[, prefix_block_hashes_N]."),
    Option(("--lengths",), "0.8-1.0 (uniform, of the nominal), lognormal:0.5, or a CSV of lengths."),
    Option(("--num-requests",), "Requests.  [default: ten for each in flight; 1000 at a rate; all of a trace]"),
    Option(("--seed",), "Of lengths and arrivals.", default="0"),
)
ENGINE = (
    Option(("--max-num-batched-tokens",), "Most tokens of a pass.  [default: the stack's on this device]"),
    Option(("--max-num-seqs",), "Most sequences that run.  [default: the stack's on this device]"),
    Option(("--kv-blocks",), "Blocks of KV cache of one replica.  [default: by the memory]"),
    Option(("--draft",), "What drafts tokens that passes verify: a model, mtp (one more layer) or ngram."),
    Option(("--draft-tokens",), "Tokens drafted for each sequence in a pass."),
    Option(("--router",), "Of replicas: round-robin, least-loaded or prefix-aware.  [default: round-robin]"),
    Option(("--prefill-replicas",), "Replicas beside --dp that only read prompts; those of --dp then only decode."),
    Option(("--acceptance",), "Share of drafted tokens that are right, after right ones."),
)


def parse_counts_given(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[int]:
    """Lists or ranges of whole numbers, repeated or separated by commas, each number once."""
    return list(dict.fromkeys(parse_counts(",".join(values), option.opts[-1])))


def parse_assignments(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``key=value`` options as a mapping."""
    pairs = {}
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or not key or not text:
            raise InputError(f"{option.opts[0]}: '{value}' is not of the form key=value")
        if key.strip() in pairs:
            raise InputError(f"{option.opts[0]}: {key.strip()} is given twice")
        pairs[key.strip()] = text.strip()
    return pairs


def parse_count_list(context: click.Context, option: click.Parameter, value: str | None) -> list[int]:
    """A list or range of whole numbers."""
    return [] if value is None else parse_counts(value, option.opts[-1])


def parse_names(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Names, repeated or separated by commas, each once."""
    return list(dict.fromkeys(name.strip() for value in values for name in value.split(",") if name.strip()))


def check_percent(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """A percentage above zero."""
    if value is not None and not 0 < value < float("inf"):
        raise click.BadParameter(f"{value} is not a percentage above 0")
    return value


def count_option(*names: str, text: str) -> Decorator:
    """An option that takes a number, a list or a range; no default."""
    return click.option(*names, callback=parse_count_list, metavar=COUNT, help=text)


def assignment_option(*names: str, metavar: str, text: str) -> Decorator:
    """An option that takes ``key=value``, repeated."""
    return click.option(*names, multiple=True, callback=parse_assignments, metavar=metavar, help=text)


def name_option(*names: str, text: str) -> Decorator:
    """An option that takes names, repeated or separated by commas."""
    return click.option(
        *names, multiple=True, callback=parse_names, metavar=NAMES, help=text, shell_complete=complete_names
    )


def gather(name: str, options: Mapping[str, Decorator], make: Callable[[Mapping[str, Any]], object]) -> Decorator:
    """A decorator that adds options, by the names of their values, and gives a command what is made of them.

    ``make`` is called when the command runs; the help lists the options in their order.
    """

    def add(command: Verb) -> Verb:
        @wraps(command)
        def run(**given: Any) -> Any:
            answer = make({key: given.pop(key) for key in options})
            return command(**given, **{name: answer})

        made: Verb = run
        for option in reversed([*options.values()]):
            made = option(made)
        return made

    return add


def list_changes(several: bool) -> dict[str, Decorator]:
    """The options that change a model and a device."""
    what = ("FIELD=VALUES", "KEY=VALUES") if several else ("FIELD=VALUE", "KEY=VALUE")
    texts = (
        ("Architecture fields: 1,2,4 or 1..8*2 or 1..8+1.", "Device fields: 1TB/s,2TB/s or 1TB/s..8TB/s*1.2.")
        if several
        else ("Change the architecture.", "Change the device.")
    )
    return {
        "changes": assignment_option("--set", "changes", metavar=what[0], text=texts[0]),
        "hardware_changes": assignment_option("--set-hw", "hardware_changes", metavar=what[1], text=texts[1]),
    }


def take(ones: Sequence[Option], lists: Sequence[Option] = ()) -> dict[str, Decorator]:
    """Options of one value and of several, by name."""
    return {row.name: row.take_one() for row in ones} | {row.name: row.take_several() for row in lists}


ALIKE: dict[str, Decorator] = {
    "identical_prompts": click.option(
        "--identical-prompts",
        is_flag=True,
        help="All requests of a batch are the same text: one set of experts.",
    )
}
request_options = gather("asked", take([*PLACE, *LAYOUT, *REQUEST]) | ALIKE | list_changes(False), Asked.read)
grid_options = gather("asked", take([*PLACE, *LAYOUT], REQUEST) | ALIKE | list_changes(False), Asked.read)
simulate_options = gather(
    "asked",
    take([*PLACE, *(row for row in LAYOUT if row.name != "micro_batches"), *REQUEST[:2]]) | list_changes(False),
    lambda given: Asked.read({**given, "micro_batches": 1, "batch_size": 1, "identical_prompts": False}),
)
choice_options = gather("asked", take([], [*PLACE, *LAYOUT, *REQUEST]) | list_changes(False), Choices.read)
sweep_options = gather("asked", take([], [*PLACE, *LAYOUT, *REQUEST]) | list_changes(True), Choices.read)


def read_load(given: Mapping[str, Any]) -> AskedLoad:
    """What the options of ``LOAD`` and ``ENGINE`` ask."""
    return AskedLoad(dict(given))


load_options = gather("load", take([*LOAD, *ENGINE]), read_load)

RATES: dict[str, Decorator] = {
    "price": click.option(
        "--price", help="Of one device: '4.096 USD/h', h100=2.5,b200=4.8 (USD/h each), or a price that ships by name."
    ),
    "grid": click.option("--grid", help="Electricity: '400 gCO2e/kWh', or a grid that ships.  [default: world]"),
    "pue": click.option("--pue", help="Power usage effectiveness: a number, or a site.  [default: average]"),
}


def read_rates(given: Mapping[str, Any]) -> AskedRates:
    """What the options of ``RATES`` ask, by name."""
    from simulator.metrics.rates import AskedRates

    return AskedRates(*(given[name] for name in RATES))


rates_options = gather("rates", RATES, read_rates)

FILE = click.Path(path_type=Path, dir_okay=False)
FORMS = click.Choice(get_args(OutputForm))
output_option = click.option(
    "-o", "--output", type=FORMS, default="table", show_default=True, help="Form of the answer."
)
all_option = click.option("--all", "everything", is_flag=True, help="Everything, not what says most on one screen.")
assume_option = click.option("--assume-fits", is_flag=True, help="Answer even where the model does not fit.")
slo_option = click.option(
    "--slo",
    multiple=True,
    metavar="NAME:AMOUNT",
    help="A limit on a metric: tpot_s:0.03, ttft_s:200ms, tpot_s_high:0.03 (upper end of the 90% interval), "
    "cost_usd:0.01 (of one request), energy_j:500J, output_tokens_per_s:>1000. Repeated, all hold.",
)


class Written(click.Path):
    """A file that a command writes. ``own``: whether one that is there is the command's own, for ``--resume``."""

    def __init__(self, own: Callable[[Path], bool] = lambda path: False) -> None:
        super().__init__(path_type=Path, dir_okay=False)
        self.own = own


WRITTEN = Written()


def writing_option(
    *flags: str, text: str, required: bool = False, callback: Check | None = None, kind: Written = WRITTEN
) -> Decorator:
    """An option that names a file to write, with ``--force``; before any work, a command checks all such files."""
    written = click.option(*flags, type=kind, required=required, callback=callback, help=text)
    force = click.option("--force", is_flag=True, help="Write over files that are there.")

    def add(command: Verb) -> Verb:
        @wraps(command)
        def run(force: bool, **given: Any) -> Any:
            check_written(click.get_current_context(), force)
            return command(**given)

        return written(force(run))

    return add


WRITE_ANSWER = "Write the answer to a file, whole or not at all."
out_option = writing_option("--out", text=WRITE_ANSWER)


def check_written(context: click.Context, force: bool) -> None:
    """Refuse files to write that cannot be, that are read too, that another process writes, or that are there already.

    ``--force`` replaces what is there, and ``--resume`` what its own command wrote. What is read stays in any case,
    whatever name, link or folder leads to it.

    Raises:
        InputError: with the file.
    """
    kinds = {parameter.name: parameter.type for parameter in context.command.params}
    given = [(kinds[name], value) for name, value in context.params.items() if name in kinds]
    written = [(kind, value) for kind, value in given if isinstance(kind, Written) and value is not None]
    read = [path for kind, value in given if not isinstance(kind, Written) for path in list_paths(value)]
    before: list[Path] = []
    for kind, path in written:
        target = check_target(path)
        if any(is_same(target, other) for other in before):
            raise InputError(f"{path}: two answers are to be written to it")
        before.append(target)
        if any(is_same(target, other) for other in read) or is_inside(target, read):
            raise InputError(f"{path}: is read by this command; write elsewhere")
        if target.exists() and not (force or (context.params.get("resume") and kind.own(target))):
            raise InputError(f"{path}: is there already; --force writes over it")
        context.call_on_close(reserve(path, target))


def is_same(path: Path, other: Path) -> bool:
    """Whether two paths are one file, by name or as links of either kind."""
    try:
        return path == other.resolve() or path.samefile(other)
    except OSError:
        return False


def is_inside(target: Path, read: Sequence[Path]) -> bool:
    """Whether a file that is there stands in a folder that is read."""
    return target.is_file() and any(folder in target.parents for folder in read if folder.is_dir())


def list_paths(value: object) -> list[Path]:
    """The files that the value of an option may name: a path, a name, or several of them, also as ``key=value``."""
    if isinstance(value, dict):
        return list_paths(list(value.values()))
    if isinstance(value, list | tuple):
        return [path for one in value for path in list_paths(one)]
    if not isinstance(value, str | Path) or not str(value) or len(str(value)) > MOST_PATH or "\0" in str(value):
        return []
    path = Path(os.path.expanduser(value)).resolve()
    return [path, path / "config.json"]
