"""What a profile says away from the device and the stack that it was fitted on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simulator.inputs.library import load_hardware, load_stack
from simulator.timing import host
from simulator.timing.device import find_traits
from simulator.timing.priors import choose_priors, list_factors
from simulator.timing.profile import Profile, complete, load_profile

HOME, STACK = load_hardware("a100-sxm-40gb"), load_stack("vllm-0.6")
PROFILE = load_profile("a100-sxm-40gb--vllm-0.6")


def double_priors(profile: Profile) -> Profile:
    """The same values, as if twice as much had been expected of every factor where it was fitted."""
    factors = {name: replace(factor, prior=2 * factor.prior) for name, factor in profile.factors.items()}
    return replace(profile, factors=factors)


def test_a_profile_at_home_gives_the_values_that_were_fitted() -> None:
    known = complete(double_priors(PROFILE), find_traits(HOME), STACK, at_home=True).factors
    assert {name: getattr(known, name) for name in PROFILE.factors} == {n: f.value for n, f in PROFILE.factors.items()}


def test_a_factor_moves_with_its_prior_and_stays_within_what_makes_sense() -> None:
    traits = find_traits(load_hardware("h200-sxm-141gb"))
    priors = choose_priors(traits, STACK)
    known = complete(PROFILE, traits, STACK, at_home=False).factors
    for name, factor in PROFILE.factors.items():
        moved, meaning = factor.value * priors[name].value / factor.prior, list_factors()[name]
        assert getattr(known, name) == pytest.approx(min(max(moved, meaning.low), meaning.high))
    halved = complete(double_priors(PROFILE), traits, STACK, at_home=False).factors
    assert halved.step_host_s == pytest.approx(known.step_host_s / 2)


def test_what_a_host_does_is_not_carried_to_another_engine() -> None:
    other = load_stack("sglang-0.4")
    traits = find_traits(HOME)
    known, priors = complete(PROFILE, traits, other, at_home=False), choose_priors(traits, other)
    measured = set(PROFILE.factors) & {factor.name for factor in host.FACTORS}
    assert measured
    assert {name: getattr(known.factors, name) for name in measured} == {n: priors[n].value for n in measured}
    assert not measured & known.carried
