"""A kind of operator, of mixer or of device of one's own is one definition and one line, and touches no other file."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from families import LLAMA
from samples import predict

from simulator.costs.batch import Batch, Segment
from simulator.costs.mixers import MIXERS
from simulator.costs.operators import Operator
from simulator.costs.parameters import count_parameters
from simulator.costs.structure import Layer, Mixer
from simulator.inputs.architecture import LayerGroup
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_hardware, load_stack
from simulator.inputs.stack import Stack, Tensor
from simulator.numbers import Number
from simulator.timing import device as devices
from simulator.timing.device import Device
from simulator.timing.devices import DEVICE_CLASSES
from simulator.timing.devices.base import DeviceClass
from simulator.timing.devices.gpu import GPU
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.base import Kind
from simulator.timing.learned import Traits
from simulator.timing.priors import choose_priors, list_factors
from simulator.timing.profile import complete

NAP = Factor("nap_s", "s", 1e-9, 1.0, "seconds of a nap", Prior(0.25, 0.1, "as told"))
PROFILE = "a100-sxm-80gb--vllm-0.6"


def take_nap(op: Operator, device: Device, f: Factors) -> Number:
    """A kernel that sleeps so many seconds a byte."""
    return f.nap_s * op.activation_bytes


class NappingMixer(Mixer):
    """A mixer of one matrix that keeps three numbers a sequence and sleeps a byte a sequence."""

    projects_as = "nap"

    def count_parameters(self, layer: Layer) -> Number:
        return layer.sizes["width"] * layer.a.hidden_size

    def list_projections(self, layer: Layer, d: Deployment, batch: Batch) -> list[Operator]:
        return []

    def list_operators(self, layer: Layer, d: Deployment, stack: Stack, batch: Batch) -> list[Operator]:
        return [Operator("nap", "nap", activation_bytes=batch.sequences)]

    def count_cache(self, layer: Layer, d: Deployment, tokens: Number) -> Number:
        return 3

    def count_flops(self, layer: Layer, d: Deployment, segment: Segment) -> Number:
        return 0

    def find_width(self, tensor: Tensor, layer: Layer, d: Deployment) -> Number:
        return 0


@pytest.fixture
def napping(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    complete.cache_clear()  # what was known of the factors before there was one more
    monkeypatch.setitem(KINDS, "nap", Kind("nap", take_nap, take_nap, (NAP,), (NAP,)))
    monkeypatch.setitem(MIXERS, "nap", NappingMixer())
    yield
    complete.cache_clear()


@pytest.mark.usefixtures("napping")
def test_a_kind_of_operator_brings_its_law_and_its_factor_and_a_mixer_its_numbers() -> None:
    groups = (LayerGroup(30), LayerGroup(2, "nap", sizes={"width": 5}))
    model = replace(LLAMA, layers=groups)
    missing = (count_parameters(replace(LLAMA, num_hidden_layers=1)) - count_parameters(LLAMA)) / -31
    attention = missing - 3 * 4096 * 14336 - 2 * 4096  # a layer without its block and norms
    assert count_parameters(LLAMA) - count_parameters(model) == pytest.approx(2 * (attention - 5 * 4096))
    known = choose_priors(Traits("gpu"), load_stack("vllm-0.6"))
    assert known["nap_s"] == NAP.prior
    assert "nap_s" in list_factors()
    answer = predict(model, "a100-sxm-80gb", PROFILE, prompt_tokens=100, output_tokens=3, batch_size=4)
    thirty = replace(LLAMA, layers=(LayerGroup(32),))
    plain = predict(thirty, "a100-sxm-80gb", PROFILE, prompt_tokens=100, output_tokens=3, batch_size=4)
    # Two layers of four sequences of a quarter of a second each, less what two layers of attention take.
    assert 1.99 < answer.tpot_s - plain.tpot_s < 2.0
    naps = [one for one in answer.request.decode.operators if one.operator.name == "nap"]
    assert [(one.count, one.seconds) for one in naps] == [(2, 1.0)]
    assert answer.kv_cache_bytes == pytest.approx(plain.kv_cache_bytes * 30 / 32 + 4 * 2 * 3 * 2)
    assert answer.e2e_s_low is not None
    assert answer.e2e_s_low < answer.e2e_s


def test_a_class_of_device_brings_laws_an_overlap_and_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    def crawl(op: Operator, device: Device, f: Factors) -> Number:
        return 1000 * GPU.find_law(KINDS[op.kind])(op, device, f)

    priors = {"step_host_s": Prior(3.0, 0.1, "it is far away")}
    snail = DeviceClass("snail", "gpu", GPU.overlap, GPU.factors, {"linear": crawl}, priors=priors)
    monkeypatch.setitem(DEVICE_CLASSES, "snail", snail)
    question: dict[str, Any] = {"prompt_tokens": 100, "output_tokens": 3, "dtype": "bf16"}
    usual = predict("llama-3-8b", "h100-sxm-80gb", PROFILE, **question)
    monkeypatch.setattr(devices, "classify", lambda hardware: "snail")
    slow = predict("llama-3-8b", "h100-sxm-80gb", PROFILE, **question)
    per_layer = [
        {one.operator.name: one.seconds for one in answer.request.decode.operators} for answer in (usual, slow)
    ]
    assert per_layer[1]["ffn in"] == pytest.approx(1000 * per_layer[0]["ffn in"])
    assert per_layer[1]["attention"] == per_layer[0]["attention"]
    assert slow.question.knowledge is not None
    assert slow.question.knowledge.priors["step_host_s"] == priors["step_host_s"]


def test_each_device_has_a_class_that_ships() -> None:
    kinds = {"h100-sxm-80gb": "gpu", "apple-m2-ultra": "vector gpu", "gaudi2-96gb": "systolic"}
    for name, kind in kinds.items():
        assert devices.classify(load_hardware(name)) == kind
        assert kind in DEVICE_CLASSES
