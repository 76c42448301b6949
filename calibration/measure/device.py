"""The device in front of us: what the system says about it, and for a CPU what nobody prints and has to be measured."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from simulator.errors import InputError
from simulator.inputs.architecture import Source
from simulator.inputs.hardware import Compute, Hardware, Memory

if TYPE_CHECKING:
    import torch

    from calibration.measure.benchmarks.bench import Bench

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # parameters of glibc's mallopt
KEPT_BYTES = 1 << 28  # memory that the process asks for at once, more than a pass needs for activations
PRODUCT_SIDE = 2048  # of the square product that shows the peak
LONGEST_CALL_S = 2.0  # of a product that a peak is measured by
STREAM_BYTES = 1 << 28
LOOK_S = 0.5  # a disturbance lasts less: the best rate within this time is the device's own
MEMORY_SHARE = 0.6  # of free memory that operands and models may take
CPU_DTYPES = ("fp32", "bf16")
PROBE_SIDE = 256  # of the square product that tells whether a type is only imitated
PROBE_S = 0.05  # of calls of it, of which the shortest counts
IMITATED = (
    0.1  # of the rate of fp32, below which it is: without instructions of its own it is some hundred times slower
)
CPU_FOLDER = Path("/sys/devices/system/cpu/cpu0")
CACHE_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


class Accelerator(NamedTuple):
    """A CUDA or ROCm device as torch reports it; ``gfx`` is the design of AMD's, as gfx942."""

    name: str
    units: int
    capability: tuple[int, int]
    memory_bytes: int
    l2_bytes: int
    uuid: str = ""
    gfx: str = ""

    @property
    def design(self) -> str:
        """As data sheets write the compute capability."""
        return self.gfx or ".".join(map(str, self.capability))


def open_device(text: str) -> torch.device:
    """Return the torch device of ``cpu``, ``cuda`` or ``cuda:N``, ready to be measured.

    Raises:
        InputError: torch is missing, another text, or a device that is not there.
    """
    try:
        import torch
    except ImportError:
        raise InputError("measuring needs PyTorch: pip install 'roofcast[measure]'") from None
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise InputError(f"device is '{text}'; it must be cpu, cuda or cuda:N")
    if text == "cpu":
        keep_freed_memory()
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(text.partition(":")[2] or 0)
    if number >= count:
        alone = "" if torch.version.cuda or torch.version.hip else ", and is a build for CPUs alone"
        said = f"torch {torch.__version__} sees {count} CUDA devices on this machine{alone}"
        raise InputError(f"no device {text}: {said}")
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def keep_freed_memory() -> None:
    """Tell the C library to keep freed memory, as serving processes do and as torch does on a GPU.

    By default glibc gives large blocks back to the system, and each pass pays for its pages again: on a virtual machine
    that is as long as the pass itself, and it depends on what ran before. Other C libraries are left as they are.
    """
    import torch

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is None:
        return
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, KEPT_BYTES // 4)
    torch.zeros(KEPT_BYTES, dtype=torch.uint8)  # and freed at once: its pages are now the process's own


def describe_accelerator(device: torch.device) -> Accelerator:
    """What torch says of a CUDA device."""
    import torch

    found = torch.cuda.get_device_properties(device)
    capability = (found.major, found.minor)
    uuid = str(getattr(found, "uuid", ""))
    gfx = str(getattr(found, "gcnArchName", "")).partition(":")[0] if torch.version.hip else ""  # gfx942:sramecc+
    return Accelerator(
        found.name, found.multi_processor_count, capability, found.total_memory, found.L2_cache_size, uuid, gfx
    )


def find_free_bytes(device: torch.device) -> float:
    """Memory of the device that nothing uses."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return read_available_bytes()


def make_bench(device: torch.device, most_bytes: float, captures_graphs: bool = False) -> Bench:
    """A bench on the device with as much memory as is free, ``most_bytes`` at the most.

    Raises:
        InputError: graphs are to be captured on a CPU.
    """
    if captures_graphs and device.type == "cpu":
        raise InputError("a stack of captured graphs is measured on cuda; on a CPU the stack is pytorch-eager")
    from calibration.measure.benchmarks.bench import Bench

    l2_bytes = describe_accelerator(device).l2_bytes if device.type == "cuda" else 0
    free = find_free_bytes(device)
    return Bench(device, min(most_bytes, MEMORY_SHARE * free), l2_bytes, captures_graphs, free)


def list_cpu_dtypes() -> list[str]:
    """The types that this processor multiplies in, and does not only imitate, as those without bf16 do.

    Asked of one thread: on a busy machine several wait for each other a hundred times longer than they compute, and
    either type looks like the other.
    """
    import torch

    from calibration.measure.benchmarks.torch_model import DTYPES

    seconds = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for dtype in CPU_DTYPES:
        matrix = torch.ones(PROBE_SIDE, PROBE_SIDE, dtype=DTYPES[dtype])
        seconds[dtype] = time_best(partial(torch.mm, matrix, matrix), PROBE_S)
    torch.set_num_threads(threads)
    return [dtype for dtype in CPU_DTYPES if seconds["fp32"] >= IMITATED * seconds[dtype]]


def describe_cpu(dtypes: list[str], bench: Bench, look_s: float = LOOK_S) -> Hardware:
    """This machine's processor as a device: what the system reports, and peak and bandwidth as measured.

    Each of these is looked at for ``look_s`` seconds.
    """
    import torch

    name = read_cpu_name()
    cores = torch.get_num_threads()
    peaks = {dtype: measure_peak(dtype, bench, look_s) for dtype in dtypes}
    bandwidth = measure_bandwidth(bench, look_s)
    measured = "measured on this machine by roofcast calibrate run"
    reported = "reported by the operating system"
    slug = re.sub(r"[^a-z0-9]+", "-", re.sub(r"\(.*?\)", "", name.lower())).strip("-")
    return Hardware(
        id=f"{slug}-{cores}-threads",
        name=f"{name}, {cores} threads",
        vendor=name.split()[0].removesuffix("(R)"),
        kind="cpu",
        compute=Compute(
            units=cores,
            clock=read_clock_hz(),
            matrix_peak=peaks,
            capability=torch.backends.cpu.get_cpu_capability().lower(),
        ),
        memory=Memory(capacity=read_memory_bytes(), bandwidth=bandwidth, l2_capacity=read_last_cache_bytes()),
        sources=[
            Source(
                title=reported,
                gives=["name", "compute.units", "compute.clock", "memory.capacity", "memory.l2_capacity"],
            ),
            Source(title="reported by torch.backends.cpu.get_cpu_capability", gives=["compute.capability"]),
            Source(
                title=measured,
                gives=["compute.matrix_peak", "memory.bandwidth"],
                note=f"Best rates of a product of {PRODUCT_SIDE} cubed, and of reading or copying past the caches.",
            ),
        ],
    )


def measure_peak(dtype: str, bench: Bench, look_s: float) -> float:
    """Best rate of a large square product, FLOP/s; of a smaller one where a call of its size would not end soon.

    A product that torch works out number by number takes minutes, in which nothing can interrupt it.
    """
    import torch

    left, right = next(bench.rotate(dtype, (PRODUCT_SIDE, PRODUCT_SIDE), (PRODUCT_SIDE, PRODUCT_SIDE)))
    side = PRODUCT_SIDE // 8
    while True:
        multiply = partial(torch.mm, left[:side, :side], right[:side, :side])
        seconds = time_best(multiply, 0.0)
        if side == PRODUCT_SIDE or 8 * seconds > LONGEST_CALL_S:
            return 2 * side**3 / time_best(multiply, look_s)
        side *= 2


def measure_bandwidth(bench: Bench, look_s: float) -> float:
    """Best rate of reading or copying numbers that are in no cache, bytes per second."""
    count = int(min(STREAM_BYTES, bench.pool_bytes / 4)) // 4
    source, target = next(bench.rotate("fp32", (count,), (count,)))
    read = 4 * count / time_best(source.sum, look_s)
    copied = 2 * 4 * count / time_best(lambda: target.copy_(source), look_s)
    return max(read, copied)


def time_best(call: Callable[[], object], look_s: float) -> float:
    """Least seconds of a call, over some seconds of calls after a first one."""
    call()
    least = math.inf
    begun = time.perf_counter()
    while math.isinf(least) or time.perf_counter() < begun + look_s:
        start = time.perf_counter()
        call()
        least = min(least, time.perf_counter() - start)
    return least


def take_best(first: Hardware, second: Hardware) -> Hardware:
    """The better of two measurements of one CPU, apart in time: other work on the machine only ever slows one down."""
    found = [(one.compute.matrix_peak, one.memory.bandwidth) for one in (first, second)]
    peaks = {dtype: max(peak[dtype] for peak, _ in found) for dtype in first.compute.matrix_peak}
    bandwidth = max(bandwidth for _, bandwidth in found)
    return replace(
        first, compute=replace(first.compute, matrix_peak=peaks), memory=replace(first.memory, bandwidth=bandwidth)
    )


def read_cpu_name() -> str:
    """Name of the processor as the system prints it."""
    found = find_cpuinfo("model name") or ask_sysctl("machdep.cpu.brand_string") or platform.processor()
    return found or platform.machine()


def read_clock_hz() -> float:
    """Nominal clock of the first core.

    Raises:
        InputError: the system does not say.
    """
    highest = CPU_FOLDER / "cpufreq" / "cpuinfo_max_freq"
    if highest.is_file():
        return float(highest.read_text()) * 1e3
    reported = find_cpuinfo("cpu MHz")
    if reported:
        return float(reported) * 1e6
    asked = ask_sysctl("hw.cpufrequency_max")
    if asked:
        return float(asked)
    raise InputError("the operating system does not report the processor's clock; give its data in a file: -H FILE")


def read_memory_bytes() -> float:
    """Memory of the machine."""
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def read_available_bytes() -> float:
    """Memory that the system could give to a process now; half of all where it does not say."""
    info = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s+(\d+) kB", info.read_text()) if info.is_file() else None
    return 1024.0 * float(found[1]) if found else read_memory_bytes() / 2


def read_last_cache_bytes() -> float:
    """The largest cache that the first core reaches.

    Raises:
        InputError: the system does not say.
    """
    sizes = [(path.read_text().strip() or "0") for path in CPU_FOLDER.glob("cache/index*/size")]
    largest = max((int(size.rstrip("KMG")) * CACHE_UNITS.get(size[-1], 1) for size in sizes), default=0)
    asked = ask_sysctl("hw.l3cachesize") or ask_sysctl("hw.l2cachesize") or "0"
    if not (largest or int(asked)):
        raise InputError(
            "the operating system does not report the processor's caches; give its data in a file: -H FILE"
        )
    return float(largest or int(asked))


def find_cpuinfo(field: str) -> str:
    """First value of a field in /proc/cpuinfo, or nothing."""
    info = Path("/proc/cpuinfo")
    found = re.search(rf"^{re.escape(field)}\s*:\s*(.+)$", info.read_text(), re.MULTILINE) if info.is_file() else None
    return found[1].strip() if found else ""


def ask_sysctl(name: str) -> str:
    """A value of macOS's sysctl, or nothing."""
    if platform.system() != "Darwin":
        return ""
    return subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False).stdout.strip()
