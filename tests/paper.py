"""The question of the paper's own kind that several tests ask, as a command takes it."""

DAVINCI = (
    *("-m", "openai-davinci", "-H", "a100-sxm-80gb", "-s", "megatron-lm-2022"),
    *("--tp", "8", "-p", "512", "-n", "32"),
)
