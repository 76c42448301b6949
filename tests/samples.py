"""What several tests start from."""

from calibration.measurements import Measurement

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
