"""From a question and a load to engines that can run: limits, blocks, times of passes. What cannot be is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simulator.errors import ImpossibleError, InputError, unknown_name
from simulator.frozen import frozen_dataclass
from simulator.inputs.library import STACK_FOLDER, list_ids, load_stack
from simulator.inputs.ranges import parse_counts
from simulator.inputs.stack import Scheduler, Stack
from simulator.prediction import Question
from simulator.serving.arrivals import Arrivals, Inbox
from simulator.serving.block_pool import BlockPool
from simulator.serving.clock import Clock
from simulator.serving.cluster import IN_TURN, ROUTERS, Cluster, cut_outputs, time_transfers
from simulator.serving.drafts import Acceptance, Draft, DraftedClock, find_draft
from simulator.serving.engine import Engine, Progress
from simulator.serving.outcome import Outcome, gather
from simulator.serving.pass_table import PassTable
from simulator.serving.room import Room, measure_room
from simulator.serving.schedulers import POLICIES
from simulator.serving.state import Counts, Limits, Requests, Seconds, State
from simulator.serving.workload import Load, check_count, draw_requests, start_arrivals


class Options(NamedTuple):
    """What a person sets of an engine; None: the default of the stack's version on the device."""

    max_num_batched_tokens: int | None = None
    max_num_seqs: int | None = None
    kv_blocks: int | None = None
    draft: str | None = None  # a model, mtp or ngram
    draft_tokens: int | None = None
    acceptance: float | None = None
    router: str | None = None  # None: replicas in turn
    prefill_replicas: int | None = None
    batch_wait_passes: int | None = None


USUAL = Options()  # of the stack


@frozen_dataclass(eq=False)
class Setup:
    """Engines of one deployment and what is sent to them."""

    question: Question
    load: Load
    scheduler: Scheduler
    limits: Limits
    room: Room
    requests: Requests
    arrival_s: Seconds
    draft: Draft | None = None
    router: str = IN_TURN
    reading: int = 0  # replicas that read prompts alone

    @cached_property
    def clock(self) -> Clock:
        """Times of passes, with those of drafts."""
        draft = self.draft
        if draft is None or draft.question is None:
            return self.table
        reading = self.make_table(draft.question, 1 + draft.tokens)
        return DraftedClock(self.table, reading, self.make_table(draft.question, 1), draft.tokens)

    @cached_property
    def table(self) -> PassTable:
        """Times of passes of the model."""
        return self.make_table(self.question, 1 if self.draft is None else 1 + self.draft.tokens)

    def make_table(self, question: Question, queries: int) -> PassTable:
        """Times of passes of a model that runs beside these requests, so many tokens of each decoding sequence."""
        rows = self.limits.max_num_batched_tokens
        totals = self.requests.input_tokens + self.requests.output_tokens
        if not self.scheduler.chunked_prefill:  # a prompt that is read again passes whole, outputs and all
            rows = max(rows, int(totals.max()))
        rows = min(rows, int(np.sort(totals)[-self.limits.max_num_seqs :].sum()))
        drafted = 0 if self.draft is None else self.draft.tokens
        padded = self.scheduler.graph_rows and parse_counts(self.scheduler.graph_rows, "graph_rows")
        rows = max(rows, self.limits.max_num_seqs * (1 + drafted))
        # What is run on as padding may grow past every request.
        longest = int(self.requests.input_tokens.max() + self.requests.output_tokens.max())
        return PassTable(question.work, question.machine, rows, longest + 1 + drafted, padded or (), queries)

    def run(self, clock: Clock | None = None, progress: Progress | None = None) -> Outcome:
        """Run every replica; requests go to them in turn, or as a router chooses."""
        if self.reading or (self.router != IN_TURN and self.question.work.deployment.dp > 1):
            return self.run_cluster(clock or self.clock, progress)
        replicas = self.question.work.deployment.dp
        count = len(self.requests)
        records = []
        for replica in range(min(replicas, count)):
            places = np.arange(replica, count, replicas)
            in_flight = self.load.concurrency and len(range(replica, self.load.concurrency, replicas))
            if in_flight == 0:
                raise InputError(f"concurrency is {self.load.concurrency}; {replicas} replicas need at least as many")
            requests = choose(self.requests, places)
            arrivals = start_arrivals(self.load, self.arrival_s[places], in_flight)
            engine = self.make_engine(requests, arrivals, clock or self.clock)
            record = engine.run(progress)
            preempted = np.array([engine.state.preemptions.get(one, 0) for one in range(len(places))], dtype=np.int64)
            records.append((places, engine.arrivals.times(), record, preempted))
        return gather(records, self.requests.input_tokens, self.requests.output_tokens)

    def run_cluster(self, clock: Clock, progress: Progress | None) -> Outcome:
        """Run all replicas at once, behind a router."""
        several, in_flight = self.question.work.deployment.dp + self.reading, self.load.concurrency
        inboxes = [Inbox(place) for place in range(several)]
        cut = cut_outputs(self.requests)
        engines = [
            self.make_engine(cut if place < self.reading else self.requests, inbox, clock)
            for place, inbox in enumerate(inboxes)
        ]
        moving_s = time_transfers(self.question, self.requests.input_tokens) if self.reading else None
        outputs = self.requests.output_tokens
        route = ROUTERS[self.router]()
        cluster = Cluster(engines, inboxes, route, self.arrival_s, outputs, in_flight, self.reading, moving_s)
        cluster.run(progress)
        return gather(cluster.list_records(), self.requests.input_tokens, outputs)

    def make_engine(self, requests: Requests, arrivals: Arrivals, clock: Clock) -> Engine:
        """One replica."""
        scheduler, room = self.scheduler, self.room
        shares = requests.chunks is not None and scheduler.prefix_cache and room.grows_evenly
        if not shares:
            requests = Requests(requests.input_tokens, requests.output_tokens)
        chunk_blocks = requests.chunk_tokens // room.block_tokens if shares else 1
        policy = POLICIES[scheduler.policy](scheduler)
        pool = BlockPool(room.blocks, chunk_blocks)
        drafted = 0 if self.draft is None else self.draft.tokens
        state = State(requests, self.limits, pool, room.blocks_of, room.block_tokens, policy.reserves, drafted)
        drafts = None if self.draft is None else Acceptance(self.draft, self.load.seed)
        return Engine(state, policy, clock, arrivals, scheduler.asynchronous, drafts)


def choose(requests: Requests, places: NDArray[np.int64]) -> Requests:
    """Some of the requests."""
    chunks = None if requests.chunks is None else [requests.chunks[place] for place in places]
    return Requests(requests.input_tokens[places], requests.output_tokens[places], chunks, requests.chunk_tokens)


def find_scheduler(stack: Stack) -> Scheduler:
    """How a stack chooses what a pass runs.

    Raises:
        InputError: it says nothing of it.
    """
    if stack.scheduler is None:
        known = ", ".join(name for name in list_ids(STACK_FOLDER) if load_stack(name).scheduler is not None)
        raise InputError(f"stack {stack.id} has no scheduler, and nothing is known of it under load; -s takes {known}")
    return stack.scheduler


def find_limits(scheduler: Scheduler, question: Question, longest_prompt: int, options: Options = USUAL) -> Limits:
    """Most tokens of a pass and most sequences. Where prompts pass whole, the budget is at least one past the longest.

    Raises:
        InputError: a pass that cannot hold one token of each sequence and its draft.
    """
    hardware = question.hardware
    usual = scheduler.find_limits(hardware.id, float(hardware.memory.capacity))
    budget = usual.max_num_batched_tokens
    if not scheduler.chunked_prefill and longest_prompt > budget // 2:
        budget += longest_prompt  # as whoever serves such prompts sets it, else the engine refuses them
    budget = options.max_num_batched_tokens or budget
    each = 1 + (options.draft_tokens or 0)
    if each > budget:
        raise InputError(
            f"max_num_batched_tokens is {budget}, less than a token and a draft of draft_tokens {options.draft_tokens}"
        )
    sequences = options.max_num_seqs or min(usual.max_num_seqs, budget // each)
    if sequences * each > budget and each > 1:
        raise InputError(
            f"max_num_batched_tokens is {budget}, less than a token and a draft of {options.draft_tokens} of each of "
            f"max_num_seqs {sequences} sequences"
        )
    if sequences > budget:
        raise InputError(
            f"max_num_batched_tokens is {budget}, less than a token of each of max_num_seqs {sequences} sequences"
        )
    return Limits(budget, sequences)


def prepare(question: Question, load: Load, options: Options) -> Setup:
    """Resolve a load on a deployment.

    Raises:
        InputError: a load, a length or an option that is wrong, or a stack without a scheduler.
        ImpossibleError: weights, or a request, for which there is no room.
    """
    scheduler = find_scheduler(question.work.stack)
    if options.batch_wait_passes is not None:
        scheduler = replace(scheduler, batch_wait_passes=options.batch_wait_passes)
    for name, value in options._asdict().items():
        if name not in ("draft", "acceptance", "router"):
            check_count(name, value)
    draft = find_draft(question, options.draft, options.draft_tokens, options.acceptance)
    requests, arrival_s = draw_requests(load)
    limits = find_limits(scheduler, question, int(requests.input_tokens.max()), options)
    check_lengths(question, requests, scheduler, limits)
    longest = int((requests.input_tokens + requests.output_tokens).max())
    room = measure_room(question.work, question.hardware, limits, longest, draft)
    if options.kv_blocks is not None:
        room = room._replace(blocks=options.kv_blocks)
    check_room(requests, room)
    if requests.chunks is not None and scheduler.prefix_cache and requests.chunk_tokens % room.block_tokens:
        raise InputError(
            f"the trace has hashes of {requests.chunk_tokens} tokens, which are no whole blocks of {room.block_tokens}"
        )
    router = options.router or IN_TURN
    if router not in ROUTERS:
        raise unknown_name("router", router, ROUTERS)
    reading = options.prefill_replicas or 0
    if reading and scheduler.policy == "static":
        raise InputError(f"stack {question.work.stack.id} runs static batches, which read and decode together")
    if options.router is not None and reading + question.work.deployment.dp == 1:
        raise InputError("a router needs several replicas; --dp says how many")
    return Setup(question, load, scheduler, limits, room, requests, arrival_s, draft, router, reading)


def check_lengths(question: Question, requests: Requests, scheduler: Scheduler, limits: Limits) -> None:
    """Refuse requests past the model's positions, and prompts that no pass can hold.

    Raises:
        InputError: with the first such request.
    """
    reached = requests.input_tokens + requests.output_tokens - 1
    positions = question.work.architecture.max_position_embeddings
    place = find_first(reached > positions)
    if place is not None:
        raise InputError(
            f"request {place + 1} reaches {reached[place]} tokens, past the {positions:.0f} of {question.model_label}"
        )
    place = find_first(requests.input_tokens > limits.max_num_batched_tokens)
    if place is not None and not scheduler.chunked_prefill:
        raise InputError(
            f"request {place + 1} has a prompt of {requests.input_tokens[place]} tokens, and stack "
            f"{question.work.stack.id} passes prompts whole: max_num_batched_tokens is {limits.max_num_batched_tokens}"
        )


def check_room(requests: Requests, room: Room) -> None:
    """Refuse requests that no empty engine could hold.

    Raises:
        ImpossibleError: with the first such request.
    """
    reached: Counts = requests.input_tokens + requests.output_tokens - 1
    place = find_first(room.blocks_of[reached] > room.blocks)
    if place is not None:
        raise ImpossibleError(
            f"request {place + 1} of {reached[place]} tokens needs {room.blocks_of[reached[place]]:,} KV blocks of "
            f"{room.block_tokens} tokens; an empty engine has {room.blocks:,}"
        )


def find_first(marked: NDArray[np.bool_]) -> int | None:
    """The first place that is marked."""
    return int(np.argmax(marked)) if marked.any() else None
