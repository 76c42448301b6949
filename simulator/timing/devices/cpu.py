"""CPUs: all cores work on one kernel, the next one waits for it, and issuing it is their work too.

A matrix product with enough rows first copies its weights into a layout of their own and then multiplies, one after the
other (Goto and van de Geijn 2008, doi 10.1145/1356052.1356053, section 4: packing). Products of few rows in fp32 do
without. Activations stay in the caches between two kernels; numbers of two bytes become four to be worked on.
"""

from __future__ import annotations

from simulator.numbers import Number
from simulator.timing.devices.base import DeviceClass
from simulator.timing.factors import Factors, Prior


def work_in_turn(host_s: Number, device_s: Number, tp: int, f: Factors) -> Number:
    """One after the other."""
    return host_s + device_s


# The peak and the bandwidth of a CPU are measured, and its kernels are calls of a library.
PRIORS = {
    "matrix_efficiency": Prior(0.9, 0.15, "the peak is that of a large product, as measured"),
    "matrix_bandwidth_efficiency": Prior(
        0.75, 0.25, "products by a vector reach 0.9 of a large stream on a Xeon, 0.6 on an EPYC"
    ),
    "kernel_latency_s": Prior(2e-6, 0.7, "dispatch, and cores that wake and wait for each other: some 2 us"),
    "attention_efficiency": Prior(0.4, 0.4, "blocks of attention are small for the matrix library"),
    "launch_s": Prior(2e-7, 0.3, "a kernel's dispatch is in its latency already"),
    "layer_host_s": Prior(80e-6, 0.7, "some dozen Python calls"),
    "step_host_s": Prior(50e-6, 1.0, "tokens in, a token out"),
    "sequence_host_s": Prior(1e-8, 0.3, "a batch is one array"),
    "layer_setup_s": Prior(1e-6, 1.0, "the cache is allocated once"),
    "prompt_token_host_s": Prior(1e-8, 0.3, "the prompt comes as numbers"),
}
CPU = DeviceClass("cpu", "cpu", work_in_turn, priors=PRIORS)
