"""The calibration profile: what a measurement adds to a data sheet.

A profile holds a few factors fitted for one (hardware, stack), each with a meaning and a unit, their covariance and
where they come from. ``FACTORS`` is the table of what they mean.
"""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InputError
from simulator.inputs.library import PROFILE_FOLDER, find_by_name, find_file
from simulator.numbers import Number
from simulator.specfile import build, read_spec, spec_dataclass
from simulator.specfile.compiled import read_compiled

SCHEMA = "roofcast/profile/1"
MOST_ERROR = 10  # of a logarithm: nothing is known of the factor
ROUNDED_EIGENVALUE = 0.01  # correlations are stored to three decimals
LOG_STEP = 1e-4  # step of the derivatives


class Factors(NamedTuple):
    """Values of the factors, each a float or an array that broadcasts against the rows of a prediction."""

    matrix_efficiency: Number
    matrix_bandwidth_efficiency: Number
    balanced_tile_side: Number
    split_latency_cycles: Number
    split_traffic: Number
    misaligned_slowdown: Number
    widening_cycles: Number
    grouped_slowdown: Number
    narrow_load_cycles: Number
    packing_passes: Number
    unpacked_efficiency: Number
    kernel_latency_cycles: Number
    stream_efficiency: Number
    attention_efficiency: Number
    attention_operand_passes: Number
    attention_tail_share: Number
    attention_block_cycles: Number
    grouped_token_cycles: Number
    head_token_cycles: Number
    score_cycles: Number
    cache_bandwidth_ratio: Number
    link_efficiency: Number
    low_latency_link_efficiency: Number
    link_latency_cycles: Number
    link_hop_cycles: Number
    direct_link_efficiency: Number
    direct_latency_cycles: Number
    direct_barrier_cycles: Number
    launch_s: Number
    layer_host_s: Number
    collective_host_s: Number
    step_host_s: Number
    sequence_host_s: Number
    layer_setup_s: Number
    prompt_token_host_s: Number
    parallel_overlap: Number


class FactorMeaning(NamedTuple):
    """Unit and meaning of one factor, and the values that make physical sense."""

    unit: str
    low: float
    high: float
    meaning: str


FACTORS: dict[str, FactorMeaning] = {
    "matrix_efficiency": FactorMeaning(
        "1", 0.05, 1.0, "share of the dense matrix peak that a tile of a matrix product reaches while it multiplies"
    ),
    "matrix_bandwidth_efficiency": FactorMeaning(
        "1", 0.05, 1.0, "share of the memory bandwidth that a matrix product reaches when it waits for operands"
    ),
    "balanced_tile_side": FactorMeaning(
        "elements", 0.5, 500.0, "side of the square output tile whose operands take as long to load as to multiply"
    ),
    "split_latency_cycles": FactorMeaning(
        "cycles", 50.0, 1e5, "start of the kernel that adds up the parts of a product split along k"
    ),
    "split_traffic": FactorMeaning(
        "1", 0.01, 1.0, "share of the partial sums' writes and reads that costs memory time; the cache hides the rest"
    ),
    "misaligned_slowdown": FactorMeaning(
        "1", 1.0, 20.0, "slowdown of a matrix product whose rows do not start at multiples of 16 bytes"
    ),
    "widening_cycles": FactorMeaning(
        "cycles", 0.05, 100.0, "time in which a unit widens 64 weights that are narrower than what they multiply"
    ),
    "grouped_slowdown": FactorMeaning(
        "1", 1.0, 10.0, "slowdown of multiplying where one kernel applies several weight matrices, as of experts"
    ),
    "narrow_load_cycles": FactorMeaning(
        "cycles", 0.1, 1e3, "time in which a unit moves 128 bytes in kernels whose threads load four bytes at a time"
    ),
    "packing_passes": FactorMeaning(
        "1", 1.0, 6.0, "times that the weights of a product cross a CPU's memory where they are packed first"
    ),
    "unpacked_efficiency": FactorMeaning(
        "1", 0.02, 1.0, "share of a CPU's matrix peak that a product of few rows reaches without packing"
    ),
    "kernel_latency_cycles": FactorMeaning("cycles", 10.0, 2e5, "time of a kernel on the device with no work in it"),
    "stream_efficiency": FactorMeaning(
        "1", 0.05, 1.0, "share of the memory bandwidth that a kernel reaches which only moves numbers"
    ),
    "attention_efficiency": FactorMeaning(
        "1", 0.05, 1.0, "share of the dense matrix peak that fused attention over a prompt reaches, softmax counted"
    ),
    "attention_operand_passes": FactorMeaning(
        "1", 1.5, 20.0, "times that queries, keys, values and outputs of a prompt cross memory around fused attention"
    ),
    "attention_tail_share": FactorMeaning(
        "1", 0.01, 1.0, "share of the longest row of attention blocks that runs after all others are done"
    ),
    "attention_block_cycles": FactorMeaning(
        "cycles", 50.0, 1e5, "start and end of one block of decode attention, and of merging its parts"
    ),
    "grouped_token_cycles": FactorMeaning(
        "cycles", 0.5, 1e3, "one cached token in a block of decode attention that shares keys among query heads"
    ),
    "head_token_cycles": FactorMeaning(
        "cycles", 0.5, 1e3, "one cached token in a block of decode attention that serves a single query head"
    ),
    "score_cycles": FactorMeaning("cycles", 0.01, 100.0, "softmax of one attention score on one core of a CPU"),
    "cache_bandwidth_ratio": FactorMeaning(
        "1", 0.2, 20.0, "bandwidth of the caches over that of the memory: reread keys on a GPU, activations on a CPU"
    ),
    "link_efficiency": FactorMeaning(
        "1", 0.02, 1.0, "share of the link bandwidth that a ring collective reaches with large messages"
    ),
    "low_latency_link_efficiency": FactorMeaning(
        "1", 0.01, 0.5, "share of the link bandwidth that the low-latency protocol reaches, whose data carry flags"
    ),
    "link_latency_cycles": FactorMeaning("cycles", 100.0, 1e6, "time of a collective of two devices with no data"),
    "link_hop_cycles": FactorMeaning("cycles", 10.0, 1e6, "latency that each further device adds to a collective"),
    "direct_link_efficiency": FactorMeaning(
        "1", 0.02, 1.0, "share of the link bandwidth that direct reads of the peers' memory reach"
    ),
    "direct_latency_cycles": FactorMeaning("cycles", 100.0, 1e6, "time of a direct all-reduce with no data"),
    "direct_barrier_cycles": FactorMeaning(
        "cycles", 1.0, 1e5, "time for which the blocks of a direct all-reduce wait for each peer"
    ),
    "launch_s": FactorMeaning("s", 1e-7, 1e-3, "host time to issue one kernel"),
    "layer_host_s": FactorMeaning("s", 1e-7, 1e-2, "host time of one layer besides its kernel launches"),
    "collective_host_s": FactorMeaning(
        "s", 1e-7, 1e-2, "host time to issue one collective, waiting for peers included"
    ),
    "step_host_s": FactorMeaning(
        "s", 1e-6, 1e-1, "time of one forward pass outside its layers: sampling, checks, synchronisation"
    ),
    "sequence_host_s": FactorMeaning(
        "s", 1e-9, 1e-2, "time that each sequence adds to a forward pass outside its layers: scheduling, sampling, text"
    ),
    "layer_setup_s": FactorMeaning("s", 1e-8, 1e-2, "host time a layer spends once a request, to allocate its cache"),
    "prompt_token_host_s": FactorMeaning(
        "s", 1e-9, 1e-3, "host time to encode and decode the text of one prompt token"
    ),
    "parallel_overlap": FactorMeaning(
        "1", 1.0, 50.0, "sharpness of the maximum of host and device time where devices wait for each other"
    ),
}


@spec_dataclass
class FittedFactor:
    """One factor as fitted: standard errors are relative (of the logarithm)."""

    value: float
    unit: str
    standard_error: float
    prior: float
    prior_standard_error: float


@spec_dataclass
class Discrepancy:
    """Relative scatter (one standard deviation) that remains between law and measurement: by phase, by operator."""

    prefill: float
    decode: float
    operators: dict[str, float] | None = None


@spec_dataclass
class Provenance:
    """What was measured, when, and how well the fit holds."""

    date: str
    rows: int
    table: str
    table_sha256: str
    models: list[str]
    roofcast_version: str
    mape: float
    command: str | None = None
    source: str | None = None


@spec_dataclass
class Check:
    """Errors of a profile on measurements that it was not fitted to, as fractions of the measured value."""

    date: str
    table: str
    rows: int
    models: list[str]
    mape: float
    median_ape: float
    p90_ape: float
    bias: float
    coverage_90: float


@spec_dataclass
class OperatorCheck:
    """Errors on operators of one kind that the profile was not fitted to, as fractions of the measured time."""

    rows: int
    mape: float
    median_ape: float
    coverage_90: float


@spec_dataclass
class Profile:
    """One fitted profile file. ``correlation`` has a row for each factor, its numbers in the order of ``Factors``."""

    schema: str
    id: str
    hardware: str
    stack: str
    factors: dict[str, FittedFactor]
    correlation: dict[str, list[float]]
    discrepancy: Discrepancy
    provenance: Provenance | None = None
    check: Check | None = None
    operator_checks: dict[str, OperatorCheck] | None = None
    aliases: list[str] | None = None
    preferred: bool = False  # stands for its device where neither a profile nor a stack is named

    @cached_property
    def values(self) -> Factors:
        """Factor values in the order of ``Factors``."""
        return Factors(**{name: factor.value for name, factor in self.factors.items()})

    def log_covariance(self) -> NDArray[np.float64]:
        """Covariance of the logarithms of the factors, in the order of ``Factors``."""
        errors = np.array([self.factors[name].standard_error for name in Factors._fields])
        return np.asarray(self.correlation_matrix() * np.outer(errors, errors), dtype=np.float64)

    def correlation_matrix(self) -> NDArray[np.float64]:
        """Correlations of the factors, in the order of ``Factors``."""
        return np.array([self.correlation[name] for name in Factors._fields], dtype=np.float64)


def load_profile(calibration: str | Path | Profile) -> Profile:
    """Resolve a profile: a name, a YAML file, or an object.

    Raises:
        InputError: no such name or file, or the file is wrong.
    """
    if isinstance(calibration, Profile):
        return calibration
    path = find_file(calibration)
    return read_shipped_profile(str(calibration)) if path is None else read_profile(path)


@cache
def read_shipped_profile(name: str) -> Profile:
    """Read a shipped profile by id."""
    return read_compiled(find_by_name("profile", name, PROFILE_FOLDER), read_profile)


def read_profile(path: Path) -> Profile:
    """Read and check one profile file.

    Raises:
        InputError: another schema version, a factor missing, unknown or out of range, or a matrix of the wrong shape.
    """
    spec = read_spec(path)
    schema = spec.data.get("schema")
    if schema != SCHEMA:
        raise InputError(f"{path}: schema is {schema!r}; this version reads '{SCHEMA}', so fit the profile again")
    profile: Profile = build(spec, Profile)
    missing = set(Factors._fields) - set(profile.factors)
    unknown = set(profile.factors) - set(Factors._fields)
    if missing or unknown:
        what = f"missing {', '.join(sorted(missing))}" if missing else f"unknown {', '.join(sorted(unknown))}"
        raise InputError(f"{path}: factors: {what}")
    for name, factor in profile.factors.items():
        meaning = FACTORS[name]
        if not all(0 <= error <= MOST_ERROR for error in (factor.standard_error, factor.prior_standard_error)):
            raise InputError(f"{path}: factors.{name}: a standard error is not within 0 to {MOST_ERROR}")
        if factor.unit != meaning.unit:
            raise InputError(f"{path}: factors.{name} is in '{factor.unit}'; it must be in '{meaning.unit}'")
        if not meaning.low <= factor.value <= meaning.high:
            raise InputError(
                f"{path}: factors.{name} is {factor.value:g}; allowed are {meaning.low:g} to {meaning.high:g}"
            )
    check_correlation(path, profile.correlation)
    spread = profile.discrepancy
    if min(spread.prefill, spread.decode, *(spread.operators or {}).values()) < 0:
        raise InputError(f"{path}: discrepancy is negative")
    return profile


def check_correlation(path: Path, correlation: dict[str, list[float]]) -> None:
    """Refuse what is not a correlation matrix of the factors.

    Raises:
        InputError: of the wrong shape, not symmetric, a diagonal other than 1, or not positive semidefinite.
    """
    size = len(Factors._fields)
    if set(correlation) != set(Factors._fields) or any(len(row) != size for row in correlation.values()):
        raise InputError(f"{path}: correlation must have a row of {size} numbers for each factor")
    matrix = np.array([correlation[name] for name in Factors._fields])
    if not np.array_equal(matrix, matrix.T) or np.any(np.diag(matrix) != 1):
        raise InputError(f"{path}: correlation must be symmetric with a diagonal of 1")
    if np.linalg.eigvalsh(matrix)[0] < -ROUNDED_EIGENVALUE:
        raise InputError(f"{path}: correlation is not positive semidefinite")


@cache
def list_settings() -> list[tuple[str, str]]:
    """Device and stack of each shipped profile, which are its id and its file's name: ``device--stack``."""
    names = (path.stem.partition("--") for path in sorted(PROFILE_FOLDER.glob("*.yaml")))
    return [(hardware, stack) for hardware, _, stack in names]


def list_stacks(hardware_id: str) -> list[str]:
    """Stacks that profiles of a device ship for."""
    return [stack for hardware, stack in list_settings() if hardware == hardware_id]


def find_profile(hardware_id: str, stack_id: str | None) -> Profile | None:
    """Return the shipped profile of a device, and of a stack where one is named; None where there is none.

    Of several the preferred one.

    Raises:
        InputError: several profiles fit, and none is preferred.
    """
    stacks = [stack for stack in list_stacks(hardware_id) if stack_id in (None, stack)]
    found = [read_shipped_profile(f"{hardware_id}--{stack}") for stack in stacks]
    if len(found) > 1:
        found = [p for p in found if p.preferred] or found
    if len(found) > 1:
        raise InputError(f"{hardware_id} has several profiles: {', '.join(p.id for p in found)}; name one")
    return found[0] if found else None


def perturb_factors(factors: Factors, dimensions: int) -> Factors:
    """Factors whose first axis runs over the values themselves and then over each factor moved by ``LOG_STEP`` alone.

    One evaluation of a law with them gives the value and all derivatives. ``dimensions`` further axes of length one
    follow, to broadcast against the rows of a prediction.
    """
    count = len(factors)
    moved = np.tile(np.array(factors, dtype=np.float64), (count + 1, 1))
    moved[np.arange(1, count + 1), np.arange(count)] *= np.exp(LOG_STEP)
    return Factors(*(column.reshape(-1, *(1,) * dimensions) for column in moved.T))


def find_log_slopes(values: NDArray[Any]) -> NDArray[Any]:
    """Derivatives of the logarithm of a law by the logarithms of the factors, from its values at perturbed factors.

    Shape (factors + 1, rows...) in, (factors, rows...) out.
    """
    logs = np.log(values)
    return np.asarray((logs[1:] - logs[0]) / LOG_STEP)


def as_log_array(factors: Factors) -> NDArray[Any]:
    """Logarithms of the factor values, in the order of ``Factors``."""
    return np.log(np.array(factors, dtype=np.float64))
