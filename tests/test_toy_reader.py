"""A reader of one's own is one definition and one line, and every command on measurements takes its files."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from calibration.readers import READERS, Reader
from calibration.readers.content import Content
from calibration.readers.runs import Metric, Run, Told
from cli import app
from simulator.inputs.measurements import read_table


def read_stopwatch(content: Content, told: Told) -> list[Run]:
    """Lines of ``stopwatch PROMPT SECONDS``."""
    lines = [line.split() for line in content.text.splitlines()]
    return [
        Run(
            where=f"{content.path}:{place}",
            tool="stopwatch",
            metrics=[Metric("prefill_s", float(seconds))],
            batch_size=1,
            prompt_tokens=float(prompt),
            output_tokens=1,
        )
        for place, (_, prompt, seconds) in enumerate(lines, start=1)
    ]


def test_a_toy_is_recognised_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "stopwatch", Reader(lambda content: "stopwatch" in content.text, read_stopwatch))
    (tmp_path / "times.txt").write_text("stopwatch 512 0.25\nstopwatch 1024 0.5\n")
    named = ["-m", "llama-3-8b", "-H", "a100-sxm-80gb", "-s", "vllm-0.6", "--out", str(tmp_path / "tidy.csv")]
    done = CliRunner().invoke(app, ["calibrate", "read", str(tmp_path / "times.txt"), *named])
    assert done.exception is None, done.output
    rows = list(read_table(tmp_path / "tidy.csv"))
    assert [(row.prompt_tokens, row.value, row.metric) for row in rows] == [
        (512, 0.25, "prefill_s"),
        (1024, 0.5, "prefill_s"),
    ]
