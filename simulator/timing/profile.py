"""The calibration profile: what a measurement adds to a data sheet.

A profile holds the factors that its rows said something about, fitted for one (hardware, stack), each with a meaning
and a unit, their covariance and where they come from. All other factors are the prior of the device's class.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import numpy as np

from simulator.errors import InputError, suggest
from simulator.frozen import frozen_dataclass
from simulator.inputs.library import PROFILE_FOLDER, find_by_name, find_file
from simulator.inputs.stack import Stack
from simulator.inputs.stack_versions import name_engine
from simulator.specfile import Count, Devices, Error, Positive, Range, Share, build, read_spec, spec_dataclass
from simulator.specfile.compiled import read_compiled
from simulator.timing import host
from simulator.timing.factors import Factors, Prior
from simulator.timing.learned import Traits
from simulator.timing.priors import choose_priors, list_factors

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = "roofcast/profile/2"
HOST_FACTORS = frozenset(factor.name for factor in host.FACTORS)
FactorValue: TypeAlias = Annotated[float, Range(1e-30, 1e30)]  # the table of factors has closer ranges
LogError: TypeAlias = Annotated[float, Range(0, 10)]  # of a logarithm: nothing is known of the factor
Correlation: TypeAlias = Annotated[float, Range(-1, 1)]
ROUNDED_EIGENVALUE = 0.01  # correlations are stored to three decimals


@spec_dataclass
class FittedFactor:
    """One factor as fitted: standard errors are relative (of the logarithm)."""

    value: FactorValue
    unit: str
    standard_error: LogError
    prior: FactorValue
    prior_standard_error: LogError


@spec_dataclass
class Discrepancy:
    """Relative scatter (one standard deviation) that remains between law and measurement: by phase, by operator."""

    prefill: LogError
    decode: LogError
    operators: dict[str, LogError] | None = None


@spec_dataclass
class Provenance:
    """What was measured, when, and how well the fit holds."""

    date: str
    rows: Count
    table: str
    table_sha256: str
    models: list[str]
    roofcast_version: str
    mape: Error
    command: str | None = None
    source: str | None = None


@spec_dataclass
class Coverage:
    """What the rows of a fit were of: models by id, kinds of layers, formats of weights, and the most of each size."""

    models: list[str]
    kinds: list[str]
    formats: list[str]
    tp: Devices
    batch_size: Positive
    tokens: Positive


@spec_dataclass
class Check:
    """Errors of a profile on measurements that it was not fitted to, as fractions of the measured value."""

    date: str
    table: str
    rows: Positive
    models: list[str]
    mape: Error
    median_ape: Error
    p90_ape: Error
    bias: Annotated[float, Range(-1, 1e9)]
    coverage_90: Share


@spec_dataclass
class OperatorCheck:
    """Errors on operators of one kind that the profile was not fitted to, as fractions of the measured time."""

    rows: Positive
    mape: Error
    median_ape: Error
    coverage_90: Share


@spec_dataclass
class Verdict:
    """What a calibration found of its own profile: why it must not be used, and what makes it doubtful."""

    refused: list[str]
    doubts: list[str]


@spec_dataclass
class Profile:
    """One fitted profile file; a row of ``correlation`` has a number for each factor in the order of their names."""

    schema: str
    id: str
    hardware: str
    stack: str
    factors: dict[str, FittedFactor]
    correlation: dict[str, list[Correlation]]
    discrepancy: Discrepancy
    provenance: Provenance | None = None
    covers: Coverage | None = None  # None: of a profile whose rows were operators
    check: Check | None = None
    operator_checks: dict[str, OperatorCheck] | None = None
    aliases: list[str] | None = None
    verdict: Verdict | None = None

    @property
    def refusal(self) -> str:
        """Why its own calibration says not to use it, in words; empty where it does not say so."""
        return "; ".join(self.verdict.refused) if self.verdict else ""

    def __hash__(self) -> int:
        """Of the names, since mappings have none."""
        return hash((self.id, self.hardware, self.stack))

    def is_of(self, hardware: str, stack: str) -> bool:
        """Whether it was measured on this device with this stack."""
        return (self.hardware, self.stack) == (hardware, stack)

    @property
    def correlation_matrix(self) -> NDArray[np.float64]:
        """Correlations of its factors, in the order of their names."""
        return np.array([self.correlation[name] for name in sorted(self.factors)], dtype=np.float64)


@frozen_dataclass(eq=False)
class Knowledge:
    """What is known of all factors where a profile is used: its own, and for the others the prior of the target.

    ``priors`` are those of the target's class and stack, ``errors`` the relative standard errors, in the same order;
    ``carried`` the names of the factors that come from the profile.
    """

    profile: Profile
    factors: Factors
    priors: dict[str, Prior]
    errors: dict[str, float]
    carried: frozenset[str]

    def log_covariance(self, names: list[str]) -> NDArray[np.float64]:
        """Covariance of the logarithms of some factors, in their order; what is known from priors is independent."""
        fitted = sorted(self.profile.factors)
        matrix = np.eye(len(names))
        own = [place for place, name in enumerate(names) if name in self.carried]
        rows = [fitted.index(names[place]) for place in own]
        matrix[np.ix_(own, own)] = self.profile.correlation_matrix[np.ix_(rows, rows)]
        errors = np.array([self.errors[name] for name in names])
        return np.asarray(matrix * np.outer(errors, errors), dtype=np.float64)


@lru_cache(maxsize=256)
def complete(profile: Profile, traits: Traits, stack: Stack, at_home: bool) -> Knowledge:
    """All factors on a device and stack: the profile's, and the prior's where it says nothing.

    Away from the profile's own device and stack a factor moves with its prior: what a measurement has shown is how far
    it was from what was known there. What a host does is the engine's own: of another engine the prior holds.
    """
    priors = choose_priors(traits, stack)
    fitted = profile.factors
    if name_engine(profile.stack) != name_engine(stack.id):
        fitted = {name: factor for name, factor in fitted.items() if name not in HOST_FACTORS}
    values = {name: prior.value for name, prior in priors.items()}
    meanings = list_factors()
    for name, factor in fitted.items():
        moved = 1.0 if at_home else priors[name].value / factor.prior
        values[name] = min(max(factor.value * moved, meanings[name].low), meanings[name].high)
    errors = {name: fitted[name].standard_error if name in fitted else prior.spread for name, prior in priors.items()}
    return Knowledge(profile, Factors(**values), priors, errors, frozenset(fitted))


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
        InputError: another schema version, a factor unknown or out of range, or a matrix of the wrong shape.
    """
    spec = read_spec(path)
    schema = spec.data.get("schema")
    if schema != SCHEMA:
        raise InputError(f"{path}: schema is {schema!r}; this version reads '{SCHEMA}', so fit the profile again")
    profile: Profile = build(spec, Profile)
    known = list_factors()
    for name, factor in profile.factors.items():
        if name not in known:
            raise InputError(suggest(f"{path}: factors: unknown factor '{name}'", name, known))
        meaning = known[name]
        if factor.unit != meaning.unit:
            raise InputError(f"{path}: factors.{name} is in '{factor.unit}'; it must be in '{meaning.unit}'")
        if not meaning.low <= factor.value <= meaning.high:
            raise InputError(
                f"{path}: factors.{name} is {factor.value:g}; allowed are {meaning.low:g} to {meaning.high:g}"
            )
    check_correlation(path, profile)
    return profile


def check_correlation(path: Path, profile: Profile) -> None:
    """Refuse what is not a correlation matrix of the factors.

    Raises:
        InputError: of the wrong shape, not symmetric, a diagonal other than 1, or not positive semidefinite.
    """
    names, correlation = set(profile.factors), profile.correlation
    if set(correlation) != names or any(len(row) != len(names) for row in correlation.values()):
        raise InputError(f"{path}: correlation must have a row of {len(names)} numbers for each factor")
    if not names:
        return
    matrix = profile.correlation_matrix
    if not np.array_equal(matrix, matrix.T) or np.any(np.diag(matrix) != 1):
        raise InputError(f"{path}: correlation must be symmetric with a diagonal of 1")
    if np.linalg.eigvalsh(matrix)[0] < -ROUNDED_EIGENVALUE:
        raise InputError(f"{path}: correlation is not positive semidefinite")


@cache
def list_settings() -> list[tuple[str, str]]:
    """Device and stack of each shipped profile, which are its id and its file's name: ``device--stack``."""
    names = (path.stem.partition("--") for path in sorted(PROFILE_FOLDER.glob("*.yaml")))
    return [(hardware, stack) for hardware, _, stack in names]
