"""What is known of every factor before measuring, on a class of device with a stack."""

from __future__ import annotations

from simulator.inputs.stack import Stack
from simulator.timing import host
from simulator.timing.devices import DEVICE_CLASSES
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import KINDS
from simulator.timing.learned import Traits, find_learned

# Of stacks with matrix kernels of their own.
OWN_PRODUCTS = {
    "cache_bytes_per_cycle": Prior(16.0, 0.5, "hand-written kernels over the cache are far from what it can do"),
}


def list_factors() -> dict[str, Factor]:
    """All factors by name, in one order: of kinds of operators, of the host, of classes of devices."""
    of_kinds = [factor for kind in KINDS.values() for factor in kind.factors]
    of_devices = [factor for one in DEVICE_CLASSES.values() for factor in (*one.factors, *one.law_factors)]
    return {factor.name: factor for factor in (*of_kinds, *host.FACTORS, *of_devices)}


def choose_priors(traits: Traits, stack: Stack) -> dict[str, Prior]:
    """The prior of every factor, in the order of ``list_factors``.

    What the stack's host and its products say, then the device's class, then what other devices like it have shown.
    """
    known = dict(host.PRIORS.get(stack.host, {}))
    if stack.scheduler is not None and stack.scheduler.asynchronous:
        known |= host.ASYNCHRONOUS
    if stack.own_products:
        known |= OWN_PRODUCTS
    known |= DEVICE_CLASSES[traits.kind].priors
    known |= find_learned(traits, stack)
    return {name: known.get(name, factor.prior) for name, factor in list_factors().items()}


def as_factors(priors: dict[str, Prior]) -> Factors:
    """The typical values of priors."""
    return Factors(**{name: prior.value for name, prior in priors.items()})
