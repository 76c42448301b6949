"""What clouds call their machines and compilers call GPUs: names that mean several devices, or one of several.

None of them is taken for a device in silence; the error says which it is. Sources: AWS EC2 accelerated computing
instances, Google Cloud accelerator-optimized machine types, Azure N-series sizes, Oracle GPU shapes, Lambda instance
types, and LLVM's AMDGPU processors (https://llvm.org/docs/AMDGPUUsage.html).
"""

from __future__ import annotations

import re

# Expressions of names in lower case -> the device.
MACHINES: dict[str, str] = {
    # AWS
    r"p3\.\d+xlarge": "v100-sxm-16gb",
    r"p3dn\.24xlarge": "v100-sxm-32gb",
    r"p4d\.24xlarge": "a100-sxm-40gb",
    r"p4de\.24xlarge": "a100-sxm-80gb",
    r"p5\.\d+xlarge": "h100-sxm-80gb",
    r"p5en?\.48xlarge": "h200-sxm-141gb",
    r"p6-b200\.48xlarge": "b200-180gb",
    r"p6-b300\.48xlarge": "b300-288gb",
    r"p6e-gb200\.\d+xlarge": "gb200-186gb",
    r"g4dn\.(?:\d*xlarge|metal)": "t4-16gb",
    r"g5\.\d*xlarge": "a10g-24gb",
    r"g6\.\d*xlarge": "l4-24gb",
    r"g6e\.\d*xlarge": "l40s-48gb",
    r"inf2\.\d*xlarge": "inferentia2",
    r"trn1n?\.\d+xlarge": "trainium1",
    # Google Cloud
    r"a2-(?:highgpu-\d+|megagpu-16)g": "a100-sxm-40gb",
    r"a2-ultragpu-\d+g": "a100-sxm-80gb",
    r"a3-(?:highgpu|megagpu|edgegpu)-\d+g(?:-nolssd)?": "h100-sxm-80gb",
    r"a3-ultragpu-8g(?:-nolssd)?": "h200-sxm-141gb",
    r"a4-highgpu-8g(?:-nolssd)?": "b200-180gb",
    r"a4x-highgpu-4g(?:-nolssd)?": "gb200-186gb",
    r"g2-standard-\d+": "l4-24gb",
    r"(?:ct5lp-hightpu-\d+t|v5litepod-\d+)": "tpu-v5e",
    r"(?:ct5p-hightpu-\d+t|v5p-\d+)": "tpu-v5p",
    r"(?:ct6e-standard-\d+t|v6e-\d+)": "tpu-v6e",
    # Azure
    r"nd96asr_(?:a100_)?v4": "a100-sxm-40gb",
    r"nd96amsr_a100_v4": "a100-sxm-80gb",
    r"nc\d+ads_a100_v4": "a100-pcie-80gb",
    r"nc\d+adi?s_h100_v5": "h100-nvl-94gb",
    r"nd96isr_h100_v5": "h100-sxm-80gb",
    r"nd96isr_h200_v5": "h200-sxm-141gb",
    r"nd(?:96isr)?_mi300x_v5": "mi300x-192gb",
    r"nd128isr_(?:ndr_)?gb200_v6": "gb200-186gb",
    r"nc\d+as_t4_v3": "t4-16gb",
    r"nv\d+adm?s_a10_v5": "a10-24gb",
    # Oracle
    r"bm\.gpu4\.8": "a100-sxm-40gb",
    r"bm\.gpu\.a100-v2\.8": "a100-sxm-80gb",
    r"bm\.gpu\.h100\.8": "h100-sxm-80gb",
    r"bm\.gpu\.h200\.8": "h200-sxm-141gb",
    r"bm\.gpu\.b200\.8": "b200-180gb",
    r"bm\.gpu\.mi300x\.8": "mi300x-192gb",
    r"bm\.gpu\.l40s\.4": "l40s-48gb",
    # Lambda
    r"gpu_\dx_h100_sxm5(?:gdr)?": "h100-sxm-80gb",
    r"gpu_\dx_h100_pcie": "h100-pcie-80gb",
    r"gpu_\dx_a100_80gb_sxm4": "a100-sxm-80gb",
    r"gpu_\dx_a100(?:_sxm4)?": "a100-sxm-40gb",
    r"gpu_\dx_gh200": "gh200-96gb",
    r"gpu_\dx_b200_sxm6": "b200-180gb",
    r"gpu_\dx_a10": "a10-24gb",
}
# What a compiler calls a GPU -> the devices that are one.
PROCESSORS: dict[str, tuple[str, ...]] = {
    "gfx90a": ("mi210-64gb", "mi250x-gcd-64gb"),
    "gfx942": ("mi300x-192gb", "mi300a-128gb", "mi325x-256gb"),
    "gfx950": ("mi355x-288gb",),
    "gfx1100": ("rx-7900-xtx-24gb", "rx-7900-xt-20gb"),
    "gfx1201": ("rx-9070-xt-16gb",),
    "sm_70": ("v100-sxm-16gb", "v100-sxm-32gb"),
    "sm_80": ("a100-sxm-40gb", "a100-sxm-80gb"),
    "sm_90": ("h100-sxm-80gb", "h200-sxm-141gb"),
    "sm_100": ("b200-180gb", "gb200-186gb"),
}


def describe_machine(name: str) -> str | None:
    """What a name that is no device's means, in words; None where it means nothing that is known here."""
    text = name.strip().lower().removeprefix("ml.").removeprefix("standard_")
    for pattern, device in MACHINES.items():
        if re.fullmatch(pattern, text):
            return f"a machine of {device}; name the device, and how many with --tp and --pp"
    known = PROCESSORS.get(text)
    return None if known is None else f"what a compiler calls {' and '.join(known)}; name one of them"
