"""What several tests start from."""

from dataclasses import replace
from functools import partial

import simulator
from simulator.inputs.measurements import OPERATOR_METRIC, OWN_SOURCE, Measurement

predict = partial(simulator.predict, assume_fits=True)  # laws hold past the memory too

ROW = Measurement(
    source="a paper, 2023",
    model="gptj-6b",
    hardware="a100-sxm-80gb",
    stack="megatron-lm-2022",
    tp=1,
    pp=1,
    weight_dtype="fp16",
    activation_dtype="fp16",
    kv_dtype="fp16",
    batch_size=1,
    prompt_tokens=512,
    output_tokens=32,
    metric="e2e_s",
    value=0.693,
    std=0.002,
)


def make_operator_row(text: str, hardware: str, stack: str, tp: int = 1, value: float = 1.0) -> Measurement:
    """A row of one operator, measured here."""
    operator_row = replace(ROW, source=OWN_SOURCE, model="", hardware=hardware, stack=stack, tp=tp, std=None)
    return replace(operator_row, prompt_tokens=0, output_tokens=0, metric=OPERATOR_METRIC, value=value, operator=text)
