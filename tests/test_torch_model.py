"""The decoder that is measured is the decoder that the simulator counts."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from calibration.measure.benchmarks.torch_model import (
    Decoder,
    WeightPool,
    count_pool,
    count_weights,
    fill_randomly,
    pick_likeliest,
)
from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.parameters import count_parameters
from simulator.costs.passes import build_pass, list_all, sum_cost
from simulator.errors import InputError
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_stack

SMALL: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "intermediate_size": 80,
    "vocab_size": 101,
    "max_position_embeddings": 64,
}
BIASES = {"attention_bias": True, "attention_output_bias": True, "mlp_bias": True}
SHAPES: dict[str, Any] = {
    "gpt2": {"position_embedding": "learned", "tie_word_embeddings": True, **BIASES},
    "pythia": {"parallel_residual": True, **BIASES},
    "gptj": {"parallel_residual": True, "norms_per_layer": 1, "mlp_bias": True, "lm_head_bias": True},
    "llama": {"gated_mlp": True, "norm_bias": False},
    "llama gqa": {"gated_mlp": True, "norm_bias": False, "num_key_value_heads": 2, "tie_word_embeddings": True},
    "mqa wide heads": {"num_key_value_heads": 1, "head_dim": 16},
    "bloom": {"position_embedding": "alibi", "embedding_norm": True, "tie_word_embeddings": True, **BIASES},
    "factored": {"position_embedding": "none", "embedding_size": 16, "gated_mlp": True, "mlp_bias": True},
}


@pytest.fixture(params=SHAPES)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return Architecture(**SMALL, **SHAPES[request.param])


def make_decoder(architecture: Architecture, batch_size: int = 2, max_tokens: int = 24) -> Decoder:
    """A decoder in double precision whose weights are all different and large enough to matter."""
    numbers = torch.randn(count_pool(architecture), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pool = WeightPool(0.2 * numbers)
    decoder = Decoder(architecture, "fp32", "cpu", batch_size, max_tokens, pool)
    decoder.keys, decoder.values = decoder.keys.double(), decoder.values.double()
    decoder.cos, decoder.sin = decoder.cos.double(), decoder.sin.double()
    decoder.biases = None if decoder.biases is None else decoder.biases.double()
    return decoder


def draw_tokens(batch_size: int, count: int) -> torch.Tensor:
    return torch.randint(0, SMALL["vocab_size"], (batch_size, count), generator=torch.Generator().manual_seed(2))


def test_the_torch_model_has_the_parameters_that_the_simulator_counts(architecture: Architecture) -> None:
    assert count_weights(Decoder(architecture, "fp32", "meta", 1, 8)) == count_parameters(architecture)


def test_decoding_token_by_token_equals_one_pass_over_all_tokens(architecture: Architecture) -> None:
    tokens = draw_tokens(2, 20)
    whole = make_decoder(architecture).find_logits(tokens, 0)
    stepwise = make_decoder(architecture)
    logits = stepwise.find_logits(tokens[:, :7], 0)
    for position in range(7, 20):
        logits = stepwise.find_logits(tokens[:, position : position + 1], position)
    torch.testing.assert_close(logits, whole)
    assert whole.std() > 0.1  # the comparison is of numbers that differ from token to token


def test_every_earlier_token_reaches_the_logits(architecture: Architecture) -> None:
    tokens = draw_tokens(1, 9)
    logits = make_decoder(architecture, 1).find_logits(tokens, 0)
    for place in range(9):
        other = tokens.clone()
        other[0, place] = (other[0, place] + 1) % SMALL["vocab_size"]
        assert not torch.allclose(make_decoder(architecture, 1).find_logits(other, 0), logits)


def test_a_llama_layer_is_what_its_paper_says() -> None:
    """Written out head by head, with complex rotations, as Touvron et al. 2023 and Su et al. 2021 define them."""
    a = Architecture(**SMALL, gated_mlp=True, norm_bias=False, num_key_value_heads=2)
    decoder = make_decoder(a, 1)
    layer, size, count = decoder.layers[0], 8, 11
    x = torch.randn(1, count, 48, dtype=torch.float64)

    def normalise(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x / x.pow(2).mean(-1, keepdim=True).sqrt() * weight / math.sqrt(48)

    def turn(vectors: torch.Tensor) -> torch.Tensor:
        speeds = 10000.0 ** (-torch.arange(4, dtype=torch.float64) / 4)
        angles = torch.arange(count)[:, None] * speeds
        # The first half of a head holds the real parts, the second the imaginary ones.
        turned = torch.complex(vectors[:, :4], vectors[:, 4:]) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat((turned.real, turned.imag), -1)

    packed = normalise(x[0], layer.norms[0].weight) @ layer.qkv.weight.T
    queries, keys, values = packed.split((48, 16, 16), -1)
    heads = []
    for head in range(6):
        group = slice(head // 3 * size, head // 3 * size + size)
        scores = turn(queries[:, head * size : head * size + size]) @ turn(keys[:, group]).T / math.sqrt(size)
        scores = scores.masked_fill(torch.ones(count, count).triu(1) > 0, -math.inf)
        heads.append(scores.softmax(-1) @ values[:, group])
    y = x[0] + torch.cat(heads, -1) @ layer.out.weight.T
    gate, up = (normalise(y, layer.norms[1].weight) @ layer.ffn_in.weight.T).split(80, -1)
    expected = y + (F.silu(gate) * up) @ layer.ffn_out.weight.T
    torch.testing.assert_close(
        decoder.apply_layer(layer, (decoder.keys[0], decoder.values[0]), x, 0)[0], expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("tokens", "start"), [(32, 0), (1, 31)])
def test_the_simulator_counts_the_flops_of_the_torch_model(architecture: Architecture, tokens: int, start: int) -> None:
    batch = 3
    decoder = Decoder(architecture, "fp32", "meta", batch, 32)
    with FlopCounterMode(display=False) as counter:
        decoder.find_logits(torch.zeros(batch, tokens, dtype=torch.int64, device="meta"), start)
    a = architecture
    asked = prefill_batch(tokens, batch) if start == 0 else decode_batch(start + 1, batch)
    # torch counts the masked half of the scores of a prompt too
    masked = 4 * batch * a.query_width * tokens * (tokens - 1) / 2 * a.num_hidden_layers
    # and the simulator leaves out the product that widens a factored embedding
    widening = 0 if a.embedding_size is None else 2 * batch * tokens * a.embedding_size * a.hidden_size
    counted = sum_cost(build_pass(a, Deployment(), load_stack("ideal"), asked), "flops")
    assert counter.get_total_flops() == counted + masked + widening


class KernelCounter(TorchDispatchMode):
    """Counts what torch runs that is no mere view of a tensor."""

    VIEWS = (
        "view",
        "t",
        "transpose",
        "slice",
        "select",
        "expand",
        "_unsafe_view",
        "unbind",
        "split",
        "as_strided",
        "detach",
    )

    def __init__(self) -> None:
        super().__init__()
        self.launched: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in self.VIEWS:
            self.launched.append(name)
        return func(*args, **(kwargs or {}))


def test_the_stack_file_lists_the_kernels_that_the_torch_model_launches(architecture: Architecture) -> None:
    if architecture.embedding_size is not None:
        pytest.skip("the simulator leaves out the product that widens a factored embedding")
    decoder, tokens = Decoder(architecture, "fp32", "cpu", 2, 32), draw_tokens(2, 20)
    with torch.no_grad(), KernelCounter() as counter:
        pick_likeliest(decoder.find_logits(tokens, 0))
    step = build_pass(architecture, Deployment(), load_stack("pytorch-eager"), prefill_batch(20, 2))
    assert len(counter.launched) == sum(count * operator.launches for count, operator in list_all(step))


def test_weights_are_spread_as_asked_past_the_block_they_repeat() -> None:
    numbers = torch.empty((1 << 20) + 1000)
    fill_randomly(numbers)
    assert numbers.std().item() == pytest.approx(0.02, rel=0.01)
    assert torch.equal(numbers[:1000], numbers[1 << 20 :])


def test_a_model_that_torch_cannot_build_is_refused() -> None:
    with pytest.raises(InputError, match="norms_per_layer is 4"):
        Decoder(Architecture(**SMALL, norms_per_layer=4), "fp32", "meta", 1, 8)
    with pytest.raises(InputError, match="65 tokens"):
        Decoder(Architecture(**SMALL, position_embedding="learned"), "fp32", "meta", 1, 65)
