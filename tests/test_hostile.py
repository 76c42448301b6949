"""Inputs that once crashed, hung or were taken in silence: one line each. What `make fuzz` finds goes here."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import app

ROOT = Path(__file__).resolve().parents[1]
ASKED = ("-m", "gptj-6b", "-H", "a100-sxm-80gb", "-c", "none")
DIGITS = "9" * 400
BOMB = "x0: &x0 [a, a, a, a, a, a, a, a, a]\n" + "".join(
    f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
LLAMA = {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 128}


def refuse(*words: str) -> str:
    """The line that a command ends with, by way of the exit code of bad input, within ten seconds of the processor."""
    began = time.process_time()
    done = CliRunner().invoke(app, words)
    assert getattr(done.exception, "exit_code", None) == 2, done.exception
    assert len(str(done.exception).splitlines()) == 1
    assert time.process_time() - began < 10
    return str(done.exception)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("bomb.yaml", BOMB, "has more than 50000 values"),
        ("deep.yaml", "a: " + "[" * 30_000, "nested more than 64 deep"),
        ("merged.yaml", "a: &a\n  <<: *a\n", "an alias contains itself"),
        ("wide.yaml", "a: " + "1:" * 45 + "1", "past 2^63"),
        ("config.json", json.dumps(LLAMA | {"num_hidden_layers": 2**53 + 1}), "num_hidden_layers is above 10000"),
        ("config.json", json.dumps(LLAMA | {"vocab_size": int(DIGITS)}), "past 2^63"),
        ("config.json", '{"model_type": "llama", "hidden_size": ' + "[" * 900, "not valid JSON"),
    ],
)
def test_a_hostile_spec_is_one_line(name: str, text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    flag = "-m" if name == "config.json" else "-H"
    assert problem in refuse("predict", *ASKED, flag, str(tmp_path / name))


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("predict", "--set", "hidden_size=" + "[" * 900), "is not a value"),
        (("predict", "--set", f"vocab_size={DIGITS}"), "is not a value"),
        (("predict", "--dp", DIGITS, "-b", "8"), "dp is above 1048576"),
        (("predict", "--pp", "2", "--micro-batches", DIGITS), "micro-batches is above 1048576"),
        (("predict", "-p", "1-20000+1", "-b", "1-20000+1"), "400,000,000 combinations"),
        (("sweep", "--set-hw", "memory.bandwidth=1TB/s..8TB/s*1e999999"), "must be a number above 1, 1e18 at most"),
        (("sweep", "--where", "tpot_s<1" + " " * 50_000 + "x"), "is not a comparison"),
        (("sweep", "--tp", "1-100000+1"), "at most 4,096 sizes of a layout"),
        (("simulate", "-s", "vllm", "--concurrency", DIGITS), "concurrency is above 1099511627776"),
        (("simulate", "-s", "vllm", "--concurrency", "1", "--max-num-batched-tokens", DIGITS), "tokens is above"),
        (("predict", "-s", DIGITS), "is no name"),
        (("predict", "-m", "x/" * 2500), "is no name"),
        (("predict", "-H", "/dev/zero.yaml"), "no such file"),
    ],
)
def test_a_hostile_flag_is_one_line(words: tuple[str, ...], problem: str) -> None:
    assert problem in refuse(words[0], *ASKED, *words[1:])


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    assert "not a regular file" in refuse("predict", *ASKED, "-H", str(pipe))
    assert "not a regular file" in refuse("denoise", "/dev/zero", "--reader", "csv")


def test_tables_of_nonsense_are_one_line(tmp_path: Path) -> None:
    scores = tmp_path / "scores.csv"
    scores.write_text("scenario,model,exact_match,prompt_tokens,output_tokens\nboolq,gptj-6b,-0.5,100,1\n")
    assert "an accuracy is from 0 to 1" in refuse("tradeoff", str(scores))
    traces = tmp_path / "traces.jsonl"
    traces.write_text("[" * 100_000)
    assert "nested more than 64 deep" in refuse("denoise", str(traces))


def test_a_model_of_the_hub_without_a_network_is_refused_soon(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert "no connection to the hub" in refuse("predict", *ASKED, "-m", "nobody/nothing")


def start(*words: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start the command in a folder, with a group of processes of its own."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_the_process_that_started_them(number: int, tmp_path: Path) -> None:
    process = start(
        *("sweep", *ASKED, "-p", "1-8192+1", "-n", "1-128+1", "-b", "1-64+1", "--jobs", "2", "--out", "g.csv"),
        folder=tmp_path,
    )
    while process.poll() is None and not list(tmp_path.glob("g.csv.parts/*.npz")):
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert "Traceback" not in said
    ends = time.monotonic() + 20
    while time.monotonic() < ends:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a worker is left")


def test_a_full_or_closed_standard_output_is_an_error() -> None:
    command = f"'{sys.executable}' '{ROOT / 'cli.py'}' models list"
    for end, problem in ((">&-", "standard output is closed"), ("> /dev/full", "No space left on device")):
        done = subprocess.run(["sh", "-c", f"{command} {end}"], stderr=subprocess.PIPE, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr == f"roofcast: cannot write the answer: {problem}\n"
