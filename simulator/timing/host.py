"""What the host does for a pass, beside the device or before and after it."""

from __future__ import annotations

from simulator.costs.passes import HostWork
from simulator.costs.structure import Group
from simulator.numbers import Number
from simulator.timing.factors import Factor, Factors, Prior
from simulator.timing.kinds import KINDS

LAUNCH = Factor(
    "launch_s",
    *("s", 1e-7, 1e-3),
    "host time to issue one kernel",
    Prior(10e-6, 0.5, "eager PyTorch issues a kernel in 5 to 20 us"),
)
LAYER_HOST = Factor(
    "layer_host_s",
    *("s", 1e-7, 1e-2),
    "host time of one layer besides its kernel launches",
    Prior(400e-6, 0.7, "a few hundred Python calls of about 1 us"),
)
COLLECTIVE_HOST = Factor(
    "collective_host_s",
    *("s", 1e-7, 1e-2),
    "host time to issue one collective, waiting for peers included",
    Prior(40e-6, 0.7, "torch.distributed call plus stream events"),
)
STEP_HOST = Factor(
    "step_host_s",
    *("s", 1e-6, 1e-1),
    "time of one forward pass outside its layers: sampling, checks, synchronisation",
    Prior(1.5e-3, 0.7, "sampling is 20 to 30 small kernels and a few synchronisations"),
)
SEQUENCE_HOST = Factor(
    "sequence_host_s",
    *("s", 1e-9, 1e-2),
    "time that each sequence adds to a forward pass outside its layers: scheduling, sampling, text",
    Prior(5e-6, 1.5, "between nothing, where all runs on the device, and some 100 lines of Python"),
)
LAYER_SETUP = Factor(
    "layer_setup_s",
    *("s", 1e-8, 1e-2),
    "host time a layer spends once a request, to allocate its cache",
    Prior(60e-6, 1.0, "two allocations of about 30 us"),
)
REQUEST_SETUP = Factor(
    "request_setup_s",
    *("s", 1e-8, 1e-1),
    "time of a request outside its passes: buffers and random states are set up, its tokens copied in and out",
    Prior(1e-3, 1.0, "some ten allocations of 100 us, and waiting for the device before and after"),
)
PROMPT_TOKEN_HOST = Factor(
    "prompt_token_host_s",
    *("s", 1e-9, 1e-3),
    "host time to encode and decode the text of one prompt token",
    Prior(10e-6, 0.3, "Python byte-pair encoding: order of 100,000 tokens a second"),
)
PARALLEL_STEP = Factor(
    "parallel_step_s",
    *("s", 1e-8, 1e-1),
    "time that a forward pass takes longer where several devices share its layers: its inputs are sent to each process",
    Prior(100e-6, 1.0, "a broadcast between processes, and waiting for the last of them"),
)
PEER_WAIT = Factor(
    "peer_wait_s",
    *("s", 1e-8, 1e-3),
    "time by which the last device is late at a collective, which the others wait for",
    Prior(10e-6, 0.9, "some percent of the 100 us between two; fits gave 4 us with gpt-fast, 12 and 13 with engines"),
)
PASS_FACTORS = (STEP_HOST, SEQUENCE_HOST)
MESSAGE_FACTORS = (PARALLEL_STEP, PEER_WAIT)
SETUP_FACTORS = (REQUEST_SETUP,)
EAGER_FACTORS = (LAUNCH, LAYER_HOST, COLLECTIVE_HOST, LAYER_SETUP)
FACTORS = (*EAGER_FACTORS, *PASS_FACTORS, *MESSAGE_FACTORS, PROMPT_TOKEN_HOST, *SETUP_FACTORS)

# What is known otherwise by what a stack says of its ``host``.
PRIORS: dict[str, dict[str, Prior]] = {
    "native": {
        "launch_s": Prior(3e-6, 0.4, "a launch from C++ is 2 to 5 us"),
        "layer_host_s": Prior(5e-6, 1.0, "compiled code between launches"),
        "collective_host_s": Prior(10e-6, 0.7, "a launch and its events"),
        "step_host_s": Prior(1e-3, 0.7, "some ten sampling kernels, a copy to the host and a synchronisation"),
        "sequence_host_s": Prior(2e-6, 1.0, "compiled code"),
    },
    # A module that is called with its cache and its tokens as tensors, and returns tensors: no scheduler, no text. Its
    # times of a layer and of a step are a tenth of those of a training framework, as on CPUs (``devices.cpu``).
    "python module": {
        "launch_s": Prior(5e-6, 0.4, "one operator of eager PyTorch and its launch: 3 to 8 us"),
        "layer_host_s": Prior(60e-6, 0.7, "some dozen Python calls"),
        "step_host_s": Prior(150e-6, 1.0, "tokens in, a token out, and the launch of a graph where there is one"),
        "sequence_host_s": Prior(1e-7, 1.0, "a batch is one tensor"),
        "layer_setup_s": Prior(1e-6, 1.0, "the cache is allocated once"),
        "prompt_token_host_s": Prior(1e-8, 1.0, "the prompt comes as numbers"),
    },
    # A judgement: of Llama 3 8B on an H100, before version 0.6 halved it, 38% of the time was the device's, 29% went
    # into scheduling and 33% into the server (vLLM team, 5 September 2024, blog.vllm.ai/2024/09/05/perf-update.html).
    "python server": {
        "sequence_host_s": Prior(50e-6, 0.8, "a sequence is scheduled, sampled and turned into text in Python"),
    },
    "compiled": {
        "step_host_s": Prior(200e-6, 0.7, "the launch of one graph and the Python loop around it"),
        "sequence_host_s": Prior(2e-6, 1.5, "the graph holds the sampling"),
        "parallel_step_s": Prior(10e-6, 1.0, "each process runs the loop by itself"),
        "peer_wait_s": Prior(4e-6, 0.9, "every device replays the same graph, and no host comes between; as fitted"),
    },
}

# Of a stack that chooses a pass while the one before it runs: whatever a sequence costs the host is done meanwhile, and
# text is another process's.
ASYNCHRONOUS = {
    "sequence_host_s": Prior(1e-6, 1.5, "a sequence's inputs are gathered and its token copied; all else runs ahead"),
}


def time_host(work: HostWork, layers: list[Group], f: Factors) -> tuple[Number, Number]:
    """Host seconds beside the device, and those that nothing hides."""
    serial_s = f.step_host_s + f.sequence_host_s * work.sequences + f.prompt_token_host_s * work.encoded_tokens
    if work.prepares:
        serial_s = serial_s + f.request_setup_s
    if work.shares:
        serial_s = serial_s + f.parallel_step_s
    if not work.eager:
        return 0.0, serial_s
    own_s = f.layer_host_s + (f.layer_setup_s if work.allocates else 0.0)
    return work.depth * own_s + time_issuing(layers, f), serial_s


def time_issuing(groups: list[Group], f: Factors) -> Number:
    """Host seconds to issue the operators of all layers."""
    seconds: Number = 0.0
    for layers, operators in groups:
        collectives = sum(1 for operator in operators if KINDS[operator.kind].is_message)
        launches = sum(operator.launches for operator in operators if not KINDS[operator.kind].is_message)
        seconds = seconds + layers * (launches * f.launch_s + collectives * f.collective_host_s)
    return seconds
