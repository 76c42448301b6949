"""Twenty cards as torch reports them."""

from fake_nvml import MIB, UUID

from calibration.measure.device import Accelerator

# As torch.cuda.get_device_properties reports cards, and the sheet of each.
CARDS = {
    id_: Accelerator(name, units, capability, memory_bytes, l2_mib * MIB, UUID)
    for id_, name, units, capability, memory_bytes, l2_mib in (
        ("a100-sxm-80gb", "NVIDIA A100-SXM4-80GB", 108, (8, 0), 81251 * MIB, 40),
        ("a100-sxm-40gb", "NVIDIA A100-SXM4-40GB", 108, (8, 0), 42298834944, 40),
        ("a100-pcie-80gb", "NVIDIA A100 80GB PCIe", 108, (8, 0), 81251 * MIB, 40),
        ("h100-sxm-80gb", "NVIDIA H100 80GB HBM3", 132, (9, 0), 81079 * MIB, 50),
        ("h100-nvl-94gb", "NVIDIA H100 NVL", 132, (9, 0), 95250 * MIB, 50),
        ("h200-sxm-141gb", "NVIDIA H200", 132, (9, 0), 143156 * MIB, 60),
        ("gh200-96gb", "NVIDIA GH200 480GB", 132, (9, 0), 97280 * MIB, 50),
        ("l40s-48gb", "NVIDIA L40S", 142, (8, 9), 45400 * MIB, 96),
        ("l40-48gb", "NVIDIA L40", 142, (8, 9), 45400 * MIB, 96),
        ("a40-48gb", "NVIDIA A40", 84, (8, 6), 45400 * MIB, 6),
        ("a10g-24gb", "NVIDIA A10G", 80, (8, 6), 22587 * MIB, 6),
        ("l4-24gb", "NVIDIA L4", 58, (8, 9), 22699 * MIB, 48),
        ("t4-16gb", "Tesla T4", 40, (7, 5), 15102 * MIB, 4),
        ("v100-sxm-32gb", "Tesla V100-SXM2-32GB", 80, (7, 0), 32510 * MIB, 6),
        ("rtx-4090", "NVIDIA GeForce RTX 4090", 128, (8, 9), 24217 * MIB, 72),
        ("rtx-3060-12gb", "NVIDIA GeForce RTX 3060", 28, (8, 6), 12044 * MIB, 3),
        ("rtx-5090", "NVIDIA GeForce RTX 5090", 170, (12, 0), 32120 * MIB, 96),
        ("b200-180gb", "NVIDIA B200", 148, (10, 0), 182640 * MIB, 126),
        ("dgx-spark-128gb", "NVIDIA GB10", 48, (12, 1), 122566 * MIB, 24),
        ("mi300x-192gb", "AMD Instinct MI300X", 304, (9, 4), 206141652992, 4),
    )
}
