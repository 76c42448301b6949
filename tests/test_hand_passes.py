"""Times of messages, passes and requests worked out by hand, in microseconds, for the device of ``hand``."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hand import LINK, make_device, make_factors, make_machine, us

from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.operators import Operator
from simulator.costs.passes import HostWork, LinearPart, Pass, build_pass
from simulator.costs.request import RequestPasses
from simulator.inputs.deployment import Deployment
from simulator.inputs.library import load_model, load_stack
from simulator.metrics.power import find_energy
from simulator.timing.device import GroupLinks
from simulator.timing.factors import LOG_STEP, Factors
from simulator.timing.intervals import find_intervals, find_width
from simulator.timing.kinds import KINDS
from simulator.timing.kinds.base import bound_kernel, is_compute_bound
from simulator.timing.kinds.collectives import bound_message
from simulator.timing.passes import PassTime, find_bound, time_operator, time_pass
from simulator.timing.request import RequestTime, Times, time_request
from simulator.timing.transfer import Move, Phases, widen_spread

# Messages


def time_message(kind: Any, size: float, devices: int = 8, direct: int = 0, **known: float) -> float:
    """Seconds of one message between devices."""
    latencies = {"link_latency_cycles": 1000, "link_hop_cycles": 100, "low_latency_link_efficiency": 0.2}
    direct_ones = {"direct_latency_cycles": 500, "direct_barrier_cycles": 40, "direct_link_efficiency": 0.5}
    phases = {"ring_fill_cycles": 2500, "direct_phase_cycles": 2500}
    f = make_factors(link_efficiency=0.7, **latencies, **direct_ones, **phases, **known)
    device = make_device(links=GroupLinks(LINK, LINK, LINK, devices, devices, direct))
    return float(KINDS[kind].gpu(Operator("m", kind, message_bytes=size), device, f))


def test_a_ring_fills_and_passes_the_message_through_each_memory_three_times() -> None:
    """Eight devices: six hops past two, 2 x 7/8 of 8 MB over each link at 70% of 0.1 TB/s, and 24 MB of memory."""
    assert time_message("all_reduce", 8e6) == us(1 + 6 * 0.1 + 2.5 * 1 + 140 / 0.7 + 24)
    assert time_message("all_gather", 8e6) == us(1 + 6 * 0.1 + 2.5 * 1 + 70 / 0.7 + 24)
    assert time_message("send", 7e6, devices=2) == us(1 + 2.5 * 1 + 70 / 0.7 + 21)


def test_an_all_reduce_over_four_nodes_goes_up_a_tree_and_down_and_a_gathering_around_a_ring() -> None:
    """Eight devices on four nodes: no hop within a pair past the first, and two levels of a tree or three steps."""
    small = Operator("m", "all_reduce", message_bytes=1e3)
    links = GroupLinks(LINK, LINK, LINK, 8, 8, 0, layer_nodes=4)
    f = make_factors(link_latency_cycles=1000, link_hop_cycles=100, network_hop_s=5e-6)
    for kind, crossings in (("all_reduce", 4), ("all_gather", 3)):
        seconds = KINDS[kind].gpu(small._replace(kind=kind), make_device(links=links), f)
        assert seconds == us(1 + crossings * 5 + 0.01)


def test_a_small_message_takes_the_low_latency_protocol() -> None:
    """8 kB at 20% of 0.1 TB/s; a ring would need 2.5 us to fill."""
    assert time_message("all_reduce", 8e3) == us(1 + 6 * 0.1 + 0.4)


def test_a_direct_all_reduce_reads_all_peers_at_once_or_in_two_phases() -> None:
    # 80 kB at half the link are 1.6 us: seven of them are 11.2, in two phases 5 latencies and 2 x 7/8 of one are 5.3.
    assert time_message("all_reduce", 8e4, direct=10**6) == us(0.5 + 7 * 0.04 + 5 * 0.5 + 2 * 7 / 8 * 1.6)
    # 16 kB are 0.32 us: seven of them, 2.24, before 3.06 in two phases.
    assert time_message("all_reduce", 1.6e4, direct=10**6) == us(0.5 + 7 * 0.04 + 7 * 0.32)
    # Below 8 KiB fewer blocks wait for each peer.
    assert time_message("all_reduce", 4096, direct=10**6) == us(0.5 + 7 * 0.04 / 2 + 7 * 0.08192)
    assert time_message("all_reduce", 8e6, direct=10**6) == time_message("all_reduce", 8e6)
    assert time_message("all_gather", 8e3, direct=10**6) == time_message("all_gather", 8e3)


@pytest.mark.parametrize(
    ("kind", "share"), [("all_reduce", 1.5), ("all_gather", 0.75), ("all_to_all", 0.75), ("send", 1)]
)
def test_the_bound_of_a_message_between_four_devices(kind: Any, share: float) -> None:
    device = make_device(links=GroupLinks(LINK, LINK, LINK, 4, 4, 0))
    assert bound_message(Operator("m", kind, message_bytes=1e5), device) == us(share)


# Passes


def make_pass(host: HostWork) -> Pass:
    """Two layers of a kernel of 1 MB in three launches, an all-reduce and 4 MB of mixing; 2 MB before, 3 MB after."""
    moved = [Operator(str(size), "elementwise", activation_bytes=size * 1e6, launches=size) for size in range(6)]
    reduce = Operator("all-reduce", "all_reduce", message_bytes=1e4)
    layer = moved[1]._replace(launches=3)
    return Pass(LinearPart([moved[2]], [(2, [layer, reduce])], [], [moved[3]], host), [(2, [moved[4]])])


KNOWN = {"launch_s": 5e-7, "collective_host_s": 3e-6, "layer_host_s": 1e-6, "layer_setup_s": 2e-6}
SERIAL = {"step_host_s": 1e-4, "sequence_host_s": 1e-6, "prompt_token_host_s": 1e-8}


def test_the_device_runs_layers_one_after_the_other_and_the_host_adds_its_time_for_each_sequence() -> None:
    machine = make_machine(2, low_latency_link_efficiency=0.1, **SERIAL)
    found = time_pass(make_pass(HostWork(False, 2, 8, 500, False)), machine)
    # 10 kB at a tenth of the link are 1 us; a ring would take 0.1 and 3 x 0.01.
    assert found.device_s == us(2 + 2 * (1 + 0.13) + 2 * 4)
    assert found.head_s == us(3)
    assert found.serial_s == us(100 + 8 * 1 + 500 * 0.01)
    assert found.host_s == 0
    assert found.seconds == us(2 + 2.26 + 8 + 3 + 113)


def test_messages_of_a_pass_wait_for_the_last_device_and_the_host_tells_each_what_to_do() -> None:
    """Two layers with an all-reduce each: twice the wait, once the pass's own time; a message alone does not wait."""
    known = {"peer_wait_s": 7e-6, "parallel_step_s": 50e-6}
    work = make_pass(HostWork(False, 2, 8, 0, False, shares=True))
    found, without = (time_pass(work, make_machine(2, **some)) for some in (known, {}))
    assert found.device_s - without.device_s == us(2 * 7)
    assert found.serial_s == us(50)
    message = Operator("m", "all_reduce", message_bytes=1e4)
    assert time_operator(message, make_machine(2, **known)) == time_operator(message, make_machine(2))


def test_a_request_is_set_up_once_before_its_first_pass() -> None:
    machine = make_machine(2, request_setup_s=4e-3, **SERIAL)
    begins, goes_on = (
        time_pass(make_pass(HostWork(False, 2, 8, 0, False, prepares=one)), machine) for one in (True, False)
    )
    assert begins.serial_s - goes_on.serial_s == us(4000)
    stack, d = load_stack("fastertransformer-5"), Deployment()
    model = load_model("gptj-6b").architecture
    prompt, token = (build_pass(model, d, stack, one(64.0, 1.0)) for one in (prefill_batch, decode_batch))
    assert (prompt.linear.host.prepares, token.linear.host.prepares) == (True, False)


def test_an_eager_host_issues_every_kernel_of_the_layers() -> None:
    work = make_pass(HostWork(True, 2, 8, 0, True))
    found = time_pass(work, make_machine(2, parallel_overlap=1, **KNOWN))
    # On the device 2 + 2 x (1 + 0.1) + 2 x 4 us, the all-reduce at the whole link.
    # Two layers: 1 + 2 us of their own, three launches and four of the mixing at 0.5 us, a collective of 3 us.
    assert found.host_s == us(2 * (1 + 2 + 3 * 0.5 + 3 + 4 * 0.5))
    assert found.seconds == us(19 + 12.2 + 3)  # where host and device wait for each other all the time, the sum
    sharper = time_pass(work, make_machine(2, parallel_overlap=2, **KNOWN))
    assert sharper.seconds == us((19**2 + 12.2**2) ** 0.5 + 3)


def test_on_one_device_host_and_device_hardly_wait_for_each_other() -> None:
    """As long as each other, they take a twelfth root of two more; 3 us of the head come on top."""
    host = HostWork(True, 2, 8, 0, False)
    layer = Operator("kernel", "elementwise", activation_bytes=4e6)
    work = Pass(LinearPart([], [(2, [layer])], [], [], host), [])
    assert time_pass(work, make_machine(1, launch_s=1e-6, layer_host_s=3e-6)).seconds == us(8 * 2 ** (1 / 12))


def test_ten_megaflops_take_as_long_as_a_megabyte() -> None:
    for size, bound in ((0.9e6, True), (1.1e6, False)):
        op = Operator("scores", "batched", flops=1e7, activation_bytes=size)
        assert is_compute_bound(op, make_device()) is bound
        assert bound_kernel(op, make_device()) == us(max(1, size / 1e6))


@pytest.mark.parametrize(
    ("known", "bound"),
    [
        ({"step_host_s": 19e-6}, "memory"),  # the kernels move numbers for 2 + 2 + 13 + 3 = 20 us
        ({"step_host_s": 21e-6}, "host"),
    ],
)
def test_a_pass_waits_for_what_takes_most_of_it_the_host_alone_included(known: dict[str, float], bound: str) -> None:
    machine = make_machine(1, **known)
    work = make_pass(HostWork(False, 2, 0, 0, False))._replace(mixing=[(2, [move(6.5)])])
    assert find_bound(time_pass(work, machine), machine) == bound


def test_idle_pipeline_stages_draw_idle_power() -> None:
    """Two devices in each of three stages, of 100 W: 20 W each while nothing runs, 120 W over three seconds."""
    nothing = PassTime(1.0, 0.0, 1.0, 0.0, 0.0, [])
    work = Pass(LinearPart([], [], [], [], HostWork(False, 1, 0, 0, False)), [])
    passes = RequestPasses(work, 1, None, work, ([], []), 2, micro_batches=1, stage_share=1 / 3)
    times = RequestTime(1.0, 2.0, nothing, nothing)
    energy = find_energy(times, passes, make_device(), Deployment(tp=2, pp=3), tdp_w=100.0)
    assert energy == pytest.approx(2 * 3 * 20 * 3, rel=1e-5)


# Intervals


def test_an_interval_adds_what_factors_and_law_leave_open() -> None:
    """A factor known to 10% that a time follows by its square, and a scatter of 5%."""
    covariance = np.array([[0.1**2]])
    values = np.array([[1.0], [np.exp(2 * LOG_STEP)]])
    (width,) = find_width(covariance, values, 0.05)
    assert np.log(width) == pytest.approx(1.644854 * (0.2**2 + 0.05**2) ** 0.5, rel=1e-6)


def test_what_a_question_differs_in_adds_to_the_scatter_of_the_law() -> None:
    """A law that is off by 3% and 4%, a move of 4% and 3%, and another of 12% and 0: roots of the sums of squares."""
    profile: Any = SimpleNamespace(discrepancy=SimpleNamespace(prefill=0.03, decode=0.04))
    moves = [Move("device", "", Phases(0.04, 0.03)), Move("stack", "", Phases(0.12, 0.0))]
    assert widen_spread(profile, moves) == pytest.approx((0.13, 0.05))


def test_the_scatter_of_a_whole_request_is_that_of_its_parts_by_their_share() -> None:
    """A first token of 1 s and three of 1 s each, known to 10% and 20%: 0.25 x 10% + 0.75 x 20% = 17.5%."""
    knowledge: Any = SimpleNamespace(
        factors=make_factors(),
        log_covariance=lambda moved: np.zeros((len(moved), len(moved))),
    )

    def law(f: Factors) -> Times:
        return Times(f.stream_efficiency, f.stream_efficiency, 4.0)

    low, high = find_intervals(knowledge, ["stream_efficiency"], law, 0, Phases(0.1, 0.2))
    assert np.log(high) == pytest.approx([0.1644854, 0.3289707, np.log(4) + 0.2878494], rel=1e-6)
    assert np.log(low) == pytest.approx([-0.1644854, -0.3289707, np.log(4) - 0.2878494], rel=1e-6)


# Whole requests


def test_a_request_is_its_prefills_and_the_mean_of_its_decode_passes() -> None:
    """Three micro-batches in four stages, the prompt in two chunks of 24 us, five decode passes of 23, 24 and 27 us.

    Gauss's weights are 5, 8 and 5 of 18; the last micro-batch waits for the other two in a stage each, 2/4 of a pass.
    """
    host = HostWork(False, 2, 1, 0, False)
    work = Pass(LinearPart([], [], [], [], host), [(1, [move(24)])])
    outer = ([(1, [move(23)])], [(1, [move(27)])])
    found = time_request(RequestPasses(work, 2, None, work, outer, 5, 3, 1 / 4), make_machine(1))
    assert found.prefill_s == us((1 + 2 / 4) * 2 * 24)
    assert found.decode_s == us(5 * (5 * 23 + 8 * 24 + 5 * 27) / 18)
    # A decode pass more makes the first token where a stack does so; eight micro-batches take two turns.
    more = time_request(RequestPasses(work, 2, outer[0], work, outer, 5, 8, 1 / 4), make_machine(1))
    assert more.prefill_s == us((1 + 7 / 4) * (2 * 24 + 23))
    assert more.decode_s == us(2 * 5 * (5 * 23 + 8 * 24 + 5 * 27) / 18)


def move(microseconds: float) -> Operator:
    """A kernel that moves numbers for so long."""
    return Operator("kernel", "elementwise", activation_bytes=microseconds * 1e6)
