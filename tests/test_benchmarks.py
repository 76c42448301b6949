"""The mechanics of measuring: what is run, in which order, how long. No speeds."""

from collections.abc import Callable, Iterator

import pytest
import torch

from calibration.measure import device, stopwatch
from calibration.measure.benchmarks import attention, collectives, decoder, elementwise, gemm, memory, suite
from calibration.measure.benchmarks.bench import Bench, Case, Sample, Suite, Timing
from calibration.measure.benchmarks.torch_model import count_pool
from simulator.costs.parameters import count_parameters
from simulator.errors import InputError
from simulator.inputs.hardware import Compute, Hardware, Memory
from simulator.inputs.library import load_model

CPU = torch.device("cpu")
DTYPES = ["fp32", "bf16"]


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def measure(self, seconds: Callable[[Case, float], float]) -> Callable[[Case, float], Timing]:
        """A measuring of cases that takes so many seconds."""

        def run(case: Case, limit_s: float) -> Timing:
            self.now += seconds(case, limit_s)
            return Timing(1e-3, 0.0, 5)

        return run


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(CPU, 40e6)


@pytest.fixture(scope="module")
def roomy() -> Bench:
    """Enough for every case; never filled, since nothing is run on it."""
    return Bench(CPU, 1e12)


def name_cases(plan: suite.Plan) -> list[tuple[object, ...]]:
    return [case.key for case in plan.cases]


def test_a_seed_gives_the_same_order_and_another_seed_another(roomy: Bench) -> None:
    first, again, other = (suite.plan_suite("quick", roomy, DTYPES, seed) for seed in (1, 1, 2))
    assert name_cases(first) == name_cases(again)
    assert name_cases(first) != name_cases(other)
    assert sorted(map(str, name_cases(first))) == sorted(map(str, name_cases(other)))


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
@pytest.mark.parametrize("size", ["quick", "full"])
def test_no_two_cases_are_taken_for_one_another(kind: str, size: Suite) -> None:
    cases = [case for module in suite.KINDS for case in module.list_cases(size, DTYPES, kind)]
    assert len({case.key for case in cases}) == len(cases)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_the_models_that_are_checked_are_not_those_that_are_fitted(kind: str) -> None:
    cases = decoder.list_cases("quick", DTYPES, kind)
    fitted, checked = ({case.model for case in cases if case.kind == name} for name in ("decoder", "check"))
    assert not fitted & checked
    assert len(checked) >= 6


def test_the_quick_models_of_a_cpu_have_10_to_400_million_parameters() -> None:
    for run in decoder.CPU_CHECK + decoder.CPU_FIT:
        assert 10e6 < count_parameters(load_model(run.model).architecture) < 400e6


def test_a_case_too_large_for_the_device_is_left_out_with_a_line(bench: Bench) -> None:
    plan = suite.plan_suite("quick", bench, DTYPES, 0)
    assert all(case.needed_bytes <= 40e6 for case in plan.cases)
    assert any(
        line.startswith("gpt2-124m fp32 batch 1, prompt 128, TTFT: left out, it needs 0.5") for line in plan.left_out
    )


def test_done_cases_are_skipped(roomy: Bench) -> None:
    cases = suite.plan_suite("quick", roomy, DTYPES, 0).cases
    clock = Clock()
    taken: list[Sample] = []
    done = {case.key for case in cases[10:]}
    course = suite.run_suite(cases, done, 1e9, taken.append, clock.measure(lambda case, limit: 1.0), (1, 1), clock)
    assert {sample.case.key for sample in taken} == {case.key for case in cases[:10]}
    assert course.left_over == []


def test_the_budget_ends_the_run_and_what_is_left_is_returned(roomy: Bench) -> None:
    cases = suite.plan_suite("quick", roomy, DTYPES, 0).cases
    clock = Clock()
    taken: list[Sample] = []
    course = suite.run_suite(cases, set(), 20.0, taken.append, clock.measure(lambda case, limit: limit), (1, 3), clock)
    assert clock.now <= 120.0 + 1e-9  # no case gets more than what is left of the budget
    assert {sample.case.key for sample in taken} | {case.key for case in course.left_over} == {
        case.key for case in cases
    }
    assert not {sample.case.key for sample in taken} & {case.key for case in course.left_over}


def test_every_kind_gets_its_share_of_a_short_budget(roomy: Bench) -> None:
    cases = suite.plan_suite("full", roomy, DTYPES, 3).cases
    clock = Clock()
    spent = dict.fromkeys(suite.SHARES, 0.0)

    def measure(case: Case, limit_s: float) -> float:
        seconds = 1.0 if case.model else 0.1
        spent[case.kind] += seconds
        return seconds

    suite.run_suite(cases, set(), 120.0, lambda sample: None, clock.measure(measure), (9, 9), clock)
    present = {case.kind for case in cases} - {"host", "collectives", "memory"}  # too few cases to use their share
    total = sum(suite.SHARES[kind] for kind in present)
    for kind in present:
        assert spent[kind] == pytest.approx(sum(spent.values()) * suite.SHARES[kind] / total, abs=4)


def test_each_look_is_given_away_at_once_and_the_second_where_it_is_shorter(roomy: Bench) -> None:
    cases = suite.plan_suite("quick", roomy, DTYPES, 0).cases[: suite.ROUND + 3]
    looked: list[Case] = []
    taken: list[Sample] = []

    def measure(case: Case, limit_s: float) -> Timing:
        assert len({one.case.key for one in taken}) == len({one.key for one in looked})  # no look is kept back
        looked.append(case)
        # the second look is the shorter one of every other case
        step = 0.05 * looked.count(case)
        return Timing(2.0 - step if cases.index(case) % 2 else 2.0 + step, 0.1, 5)

    suite.run_suite(cases, set(), 1e9, taken.append, measure, (1, 1), Clock())
    assert len(looked) == 2 * len(cases)
    last = {sample.case.key: sample.timing.median_s for sample in taken}
    assert last == {case.key: 1.9 if cases.index(case) % 2 else 2.05 for case in cases}


def test_a_case_whose_looks_do_not_agree_is_looked_at_again_in_the_time_that_is_left(roomy: Bench) -> None:
    cases = suite.plan_suite("quick", roomy, DTYPES, 0).cases[:3]
    restless, steady, late = cases
    values = {
        restless.key: iter([4.0, 2.0, 1.0, 1.05, 9.0]),
        steady.key: iter([1.0, 1.0]),
        late.key: iter([3.0, 1.0, 1.0]),
    }
    course = suite.run_suite(
        cases,
        set(),
        1e9,
        lambda sample: None,
        lambda case, limit: Timing(next(values[case.key]), 0.1, 5),
        (1, 1),
        Clock(),
    )
    assert {key: len(looks) for key, looks in course.looks.items()} == {restless.key: 4, steady.key: 2, late.key: 3}
    assert course.share_apart == pytest.approx(2 / 3)


def test_a_case_that_fails_is_left_out_and_the_others_are_measured(roomy: Bench) -> None:
    cases = suite.plan_suite("quick", roomy, DTYPES, 0).cases[:5]

    def measure(case: Case, limit: float) -> Timing:
        if case is cases[1]:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`\nmore")
        return Timing(1.0, 0.1, 5)

    told: list[tuple[Case, str]] = []
    course = suite.run_suite(
        cases, set(), 1e9, lambda sample: None, measure, (1, 1), Clock(), lambda *failed: told.append(failed)
    )
    assert told == [(cases[1], "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasGemmEx`")]
    assert set(course.looks) == {case.key for case in cases} - {cases[1].key}


def test_a_prompt_whose_cache_has_no_room_beside_the_weights_is_left_out() -> None:
    """The block of memory for weights is taken whole, and the cache lies outside it."""
    case = decoder.prefill_case("check", decoder.Run("pythia-1.4b", "bf16", 64, 1024))
    assert suite.find_obstacle(case, Bench(CPU, 25e9, free_bytes=80e9)) is None
    assert "its cache and activations need 1" in str(suite.find_obstacle(case, Bench(CPU, 25e9, free_bytes=41.7e9)))


def test_a_stable_timing_ends_early_and_an_unstable_one_at_its_limit() -> None:
    clock = Clock()

    def sample(values: list[float]) -> Iterator[list[float]]:
        while True:
            for value in values:
                clock.now += 1.0
                yield [value]

    assert len(stopwatch.collect(sample([1.0]), 100.0, clock)) == stopwatch.FEWEST
    assert len(stopwatch.collect(sample([1.0, 3.0]), 100.0, clock)) == 100
    assert len(stopwatch.collect(sample([1.0]), 0.5, clock)) == 1


def test_a_few_slow_calls_do_not_move_the_median() -> None:
    timing = stopwatch.summarise([1.0] * 20 + [50.0] * 3)
    assert timing == Timing(1.0, 0.0, 23)


def test_the_scatter_of_normal_samples_is_their_standard_deviation() -> None:
    samples = torch.randn(20_000, generator=torch.Generator().manual_seed(0)) * 0.3 + 5
    timing = stopwatch.summarise(samples.tolist())
    assert timing.deviation_s == pytest.approx(0.3, rel=0.03)


def test_a_pass_over_several_tokens_counts_by_the_token(bench: Bench) -> None:
    case = Case("x", "", "fp32", "tpot_s", lambda bench: lambda: [8.0] * 9, 0.0, timed="itself", calls=4)
    assert stopwatch.measure_case(case, bench, 1.0) == Timing(2.0, 0.0, 9)


@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16"])
def test_numbers_of_every_type_are_finite_and_neither_zero_nor_huge(bench: Bench, dtype: str) -> None:
    for one in ("bf16", dtype):  # whatever the memory held before
        numbers = bench.pool(one).numbers.double().abs()
    assert numbers.max() < 0.2
    assert 0.005 < numbers.median() < 0.05


def test_operands_come_back_only_after_all_others(bench: Bench) -> None:
    operands = bench.rotate("fp32", (1000, 1000), (500,))
    seen = [next(operands)[0].data_ptr() for _ in range(18)]
    assert len(set(seen)) == 8  # of 4 MB each in 90% of 40 MB
    assert seen[:8] == seen[8:16]


def test_every_kernel_case_runs(bench: Bench) -> None:
    for module in (memory, gemm, attention, elementwise):
        for case in module.list_cases("quick", DTYPES, "cpu"):
            if case.needed_bytes < 5e6:
                assert stopwatch.measure_case(case, bench, 0.0).median_s > 0, case


def test_a_decoder_case_runs_in_the_shared_memory() -> None:
    run = decoder.Run("pythia-14m", "bf16", 2, 8)
    bench = Bench(CPU, 2.5 * count_pool(load_model(run.model).architecture))
    for case in (decoder.prefill_case("check", run), decoder.decode_case("check", run, 4)):
        assert stopwatch.measure_case(case, bench, 0.0).median_s > 0


def test_the_operator_text_says_what_the_kernel_does() -> None:
    layer_norm = elementwise.elementwise_case("layer norm", 4, 256, "bf16")
    assert layer_norm.operator == "elementwise bytes=4096 launches=1"  # 4 x 256 numbers of 2 bytes in and out
    gated = elementwise.elementwise_case("gated", 4, 256, "fp32")
    assert gated.operator == "elementwise bytes=20480 launches=2"  # silu: 1 in, 1 out; product: 2 in, 1 out
    assert gemm.linear_case(3, 5, 7, "fp32").operator == "linear m=3 n=5 k=7"
    decode = attention.attention_case(attention.Shape(2, 1, 30, 8, 4, 16), "fp32")
    assert decode.operator == "attention sequences=2 queries=1 context=30 heads=8 kv_heads=4 head_size=16"


def test_a_device_that_is_not_there_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="it must be cpu, cuda or cuda:N"):
        device.open_device("tpu")
    with pytest.raises(InputError, match=r"no device cuda:99: torch .* sees"):
        device.open_device("cuda:99")


def test_a_cpu_is_described_with_the_source_of_each_number(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "PRODUCT_SIDE", 64)
    monkeypatch.setattr(device, "read_clock_hz", lambda: 2.5e9)
    monkeypatch.setattr(device, "read_last_cache_bytes", lambda: 2.0**25)
    found = device.describe_cpu(DTYPES, bench, 0.01)
    assert found.kind == "cpu"
    assert set(found.compute.matrix_peak) == set(DTYPES)
    assert found.memory.bandwidth > 0
    assert found.sources is not None
    titles = [source.title for source in found.sources]
    assert titles == [
        "reported by the operating system",
        "reported by torch.backends.cpu.get_cpu_capability",
        "measured on this machine by roofcast calibrate run",
    ]


def test_the_better_of_two_looks_at_a_cpu_counts() -> None:
    def look(peak: float, bandwidth: float) -> Hardware:
        compute = Compute(units=2, clock=1e9, matrix_peak={"fp32": peak, "bf16": 5 * peak})
        return Hardware("x", "X", "V", "cpu", compute, Memory(capacity=1e9, bandwidth=bandwidth, l2_capacity=1e6))

    best = device.take_best(look(3e11, 1e10), look(2e11, 2e10))
    assert best == look(3e11, 2e10)


def test_all_reduces_between_processes_are_timed(bench: Bench) -> None:
    group = collectives.Group("cpu", 2, "bf16", (1024, 4096))
    for size in group.sizes:  # of one start of the processes
        assert len(group.time(size)) == collectives.REPEATS
        assert min(group.time(size)) > 0


@pytest.mark.parametrize(("seconds", "listed"), [(5e-4, ["fp32", "bf16"]), (9e-3, ["fp32", "bf16"]), (0.05, ["fp32"])])
def test_a_type_that_a_processor_only_imitates_is_not_measured(
    seconds: float, listed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    by_type, threads = iter([1e-3, seconds]), []

    def time_best(call: Callable[[], object], look_s: float) -> float:
        threads.append(torch.get_num_threads())
        return next(by_type)

    before = torch.get_num_threads()
    monkeypatch.setattr(device, "time_best", time_best)
    assert device.list_cpu_dtypes() == listed
    assert threads == [1, 1]  # several wait for each other where others are busy, and tell nothing
    assert torch.get_num_threads() == before
