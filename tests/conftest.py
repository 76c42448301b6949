"""What the tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# How long one example takes is the machine's business, not the law's. The tests that judge a change draw the same
# examples each time, so that red means the change; new ones are drawn by `make test-long` and `make fuzz`.
settings.register_profile("roofcast", deadline=None, max_examples=25, derandomize=True)
settings.register_profile("long", deadline=None, max_examples=300)
settings.load_profile(os.environ.get("ROOFCAST_EXAMPLES", "roofcast"))
os.environ.pop("COLUMNS", None)  # tables are as wide as in a pipe
# Matrices of tests are small, and their libraries' threads wait for each other: ten times the processor for a fit.
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Measurements that the project is judged by and does not ship."""
    named = os.environ.get("ROOFCAST_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no measured data in {folder}; name its folder in the environment variable ROOFCAST_DATA")
    return folder
