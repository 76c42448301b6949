"""A software stack: which kernels one layer launches, and how the host issues them. Structure only, no speeds."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal

from simulator.errors import suggest
from simulator.inputs.architecture import Architecture, Source, replace_fields
from simulator.inputs.memory_ledger import NOTHING, MemoryLedger
from simulator.inputs.stack_support import Missing
from simulator.memo import remember
from simulator.specfile import Count, Launches, Positive, Range, Times, spec_dataclass
from simulator.units import Bytes

ARCHITECTURE_FIELDS = [field.name for field in fields(Architecture)]
KERNEL_SECTIONS = ("embedding_kernels", "layer_kernels", "head_kernels", "expert_kernels")
Tensor = Literal["hidden", "qkv", "qk", "kv", "heads", "ffn", "activated", "logits"]


@spec_dataclass
class MemoryKernel:
    """A kernel that only moves numbers: how often it reads and writes each element of a tensor.

    ``reads`` and ``writes`` are in the activation type, ``reads_fp32`` and ``writes_fp32`` in four bytes.
    """

    name: str
    over: Tensor
    reads: Times = 0.0
    writes: Times = 0.0
    reads_fp32: Times = 0.0
    writes_fp32: Times = 0.0
    launches: Launches = 1
    only_if_parallel: bool = False  # launched only where tp > 1
    when: dict[str, Any] | None = None  # launched only where these fields of the architecture have these values

    def __post_init__(self) -> None:
        """Refuse conditions on what no architecture has."""
        for field in self.when or {}:
            if field not in ARCHITECTURE_FIELDS:
                raise ValueError(suggest(f"when: unknown architecture field '{field}'", field, ARCHITECTURE_FIELDS))

    def runs_for(self, architecture: Architecture, tp: Any) -> bool:
        """Whether the stack launches the kernel for this model and layout."""
        if self.only_if_parallel and tp == 1:
            return False
        if self.when is None:
            return True
        return all(getattr(architecture, field) == value for field, value in self.when.items())


@spec_dataclass
class SoftmaxPasses:
    """Traffic of the attention softmax over the score matrix, per element, and its kernel launches."""

    reads: Times
    writes: Times
    launches: Launches
    reads_fp32: Times = 0.0
    writes_fp32: Times = 0.0


@spec_dataclass
class FusedSoftmaxLimits:
    """Where the fused softmax kernel may be used; elsewhere the stack falls back to separate kernels."""

    local_heads_multiple_of: Positive = 1  # heads x batch on one device
    query_tokens_multiple_of: Positive = 1
    context_above: Count = 0
    context_at_most: Count = 2**31


@spec_dataclass
class UnfusedAttention:
    """Attention as two batched products with the scores written to memory between them."""

    fused_softmax: SoftmaxPasses
    fused_softmax_limits: FusedSoftmaxLimits
    fallback_softmax: SoftmaxPasses


@spec_dataclass
class AttentionLaunches:
    """Kernels of fused attention by phase, those that rotate, write the cache and prepare included where it does so."""

    prefill: Launches = 1
    decode: Launches = 1


@spec_dataclass
class SchedulerLimits:
    """Most tokens of one pass and most sequences that run, on devices with at least so much memory."""

    max_num_batched_tokens: Positive
    max_num_seqs: Positive
    memory_at_least: Bytes = 0.0
    not_on: list[str] | None = None  # devices whose ids begin so


@spec_dataclass
class Scheduler:
    """How a stack chooses what each pass runs, with the defaults of its version; ``simulator.serving`` has the laws.

    ``limits``: the first entry that holds for a device decides. ``chunked_prefill``: a prompt that does not fit into
    what is left of a pass enters with a part of it. ``asynchronous``: a pass is chosen before the result of the one
    before it is known. ``reserves_prompt``: a request enters only where its whole prompt has room in the cache.
    ``batch_wait_passes``: decode passes for which prompts wait until there are enough to fill ``batch_wait_share`` of
    the tokens of a pass.
    """

    policy: Literal["vllm", "prefill-first", "sglang", "tensorrt-llm", "static"]
    limits: list[SchedulerLimits]
    chunked_prefill: bool = True
    asynchronous: bool = False
    reserves_prompt: bool = False
    prefix_cache: bool = False
    batch_wait_passes: Count = 0
    batch_wait_share: Annotated[float, Range(0, 1)] = 1.0
    graph_rows: str | None = None  # tokens of the passes that graphs were captured for, as 1,2,4,8-512+8

    def __post_init__(self) -> None:
        """Refuse limits that leave some device without any."""
        if not self.limits or self.limits[-1].memory_at_least or self.limits[-1].not_on:
            raise ValueError("the last of limits must hold for every device")

    def find_limits(self, hardware_id: str, memory_bytes: float) -> SchedulerLimits:
        """The limits on a device."""
        for limits in self.limits:
            if memory_bytes >= limits.memory_at_least and not hardware_id.startswith(tuple(limits.not_on or ())):
                return limits
        raise AssertionError("the last of limits holds for every device")


@spec_dataclass
class LongRequests:
    """Requests of more than ``above`` tokens, whose prompts pass one at a time in chunks of ``chunk``."""

    above: Positive
    chunk: Positive


@spec_dataclass
class Quantizing:
    """Kernels that a product in a narrow format launches beside its own, and their traffic for each input number.

    ``launches`` in a model, whose checkpoint holds the scale of the inputs or whose kernels before take the work on;
    ``alone`` in a call by itself, as benchmarks of kernels time it. ``reads`` and ``writes`` are in the activation
    type. The kernel may not be a library's: ``full_tiles`` hold at least 128 rows, ``one_tile`` (rows, columns) is all
    there is on some capabilities, and ``waits_for_scales``: a turn of the main loop takes some least time.
    """

    launches: Launches
    alone: Launches
    reads: Times = 1.0
    writes: Times = 0.5
    splits_k: bool = True  # these products may be split along k
    waits_for_scales: bool = False
    full_tiles: bool = False
    one_tile: list[Positive] | None = None
    one_tile_on: list[str] | None = None


@spec_dataclass
class DecodeKernel:
    """How fused attention of one new token is spread over a device; of several the first that holds decides.

    ``capabilities``: devices, by what compilers build for, and ``cache_bytes``, of a number in the cache; None: any.
    ``packs``: where one block serves all query heads of a key head, ``group_rows`` of them at once. ``parts`` of a
    context that blocks share: so many that they run in some waves, that they fill the units once, or one.
    ``by_width``: a cached number of one byte takes half the cycles of one of two. ``loads_ahead``: a block loads what
    it needs while the one before it multiplies. ``more_launches`` than ``attention_launches`` says, and one more in
    heads smaller than ``rotates_heads_of``, which the kernel does not rotate itself. ``splits_unseen``: parts are of
    the whole context, also where a window hides most of it. ``unit_threads`` that a unit runs where a block serves a
    single query head, with blocks that grow until these are busy; None: blocks of one size. ``converts_by_software``:
    numbers of 8 bits in the cache are widened there without an instruction for it.
    """

    capabilities: list[str] | None = None
    cache_bytes: Annotated[int, Range(1, 2)] | None = None
    packs: Literal["where it fills", "grouped heads", "always"] = "where it fills"
    parts: Literal["some waves", "one wave", "one"] = "some waves"
    group_rows: Positive = 16
    by_width: bool = False
    loads_ahead: bool = False
    more_launches: Count = 0
    rotates_heads_of: Positive | None = None
    splits_unseen: bool = False
    unit_threads: Positive | None = None
    converts_by_software: bool = False


@spec_dataclass
class Stack:
    """One serving stack.

    ``builds_as`` lists architecture fields that the stack replaces because it can build nothing else, and
    ``builds_as_by_model`` those of single models, by model id.
    """

    id: str
    name: str
    execution: Literal["eager", "graph", "graph decode"]  # the last: a prompt's kernels are issued one by one
    attention: Literal["unfused", "unfused prompts", "flash"]  # the second: a new token has a kernel of its own
    logits: Literal["all", "last"]
    gathers_logits: bool
    embedding_kernels: list[MemoryKernel]  # once a pass, over all its tokens
    layer_kernels: list[MemoryKernel]
    head_kernels: list[MemoryKernel]  # once a pass, over the tokens that get logits
    expert_kernels: list[MemoryKernel] | None = None  # in addition, in layers with a mixture of experts
    quantizing: dict[str, Quantizing] | None = None  # by the format of a product's weights
    unfused_attention: UnfusedAttention | None = None
    attention_launches: AttentionLaunches | None = None  # of fused attention; None: one each
    # What issues the kernels, which decides what is known before measuring; compiled: sampling is in the graph too.
    host: Literal["python", "python server", "python module", "native", "compiled"] = "python"
    own_products: bool = False  # matrix products by kernels of the stack, not of the vendor's library
    # Bytes that a thread of its own kernels loads at a time; None: enough to fill the memory's bandwidth.
    load_bytes: Annotated[int, Range(1, 16)] | None = None
    accumulates_fp16: bool = False  # products of fp16 are added up in fp16, which some devices do faster
    dequantizes_above: Count | None = None  # products of more tokens first dequantize narrow weights in memory
    # Devices, by what compilers build for, on which products with weights narrower than their inputs run as stripes.
    stripes_narrow_on: list[str] | None = None
    skinny_rows: Count = 32  # products of so few rows only stream their operands, however these are aligned
    allocates_cache: bool = False  # each layer allocates its cache anew for every request
    prepares_requests: bool = False  # requests come one call at a time, each with buffers and random states of its own
    encodes_text: bool = False  # prompts come as text, and the time to turn it into tokens counts
    decode_kernels: list[DecodeKernel] | None = None  # of fused attention; None: as TensorRT-LLM's for half precision
    # Devices, by what compilers build for, on which prompts over a cache of 8 bits are attended to in 8 bits.
    narrow_prompts_on: list[str] | None = None
    splits_k: bool = True  # the matrix library may split a product along k
    direct_reduce_bytes: Bytes | None = None  # all-reduces up to this size read the peers' memory; None: none do
    shards_head: bool = True  # tp devices share the head; else each computes all logits
    stores_as: dict[str, str] | None = None  # formats of weights that mean another one with this stack, with its scales
    quantizes_head: bool = False  # narrow weight formats hold for the token table and the head too
    static_cache: bool = False  # of the final length from the start, and every decode pass attends over all of it
    cache_passes: Times = 0.0  # times that a decode pass moves the whole cache on top of reading it once
    repeats_kv_heads: bool = False  # keys and values are copied for every query head before decode attention reads them
    first_token_by_decode: bool = False  # a prompt's last token enters with a decode pass, which makes the first output
    prefill_chunk: Positive | None = None  # prompts pass in chunks of so many tokens; None: at once
    long_requests: LongRequests | None = None  # prompts that pass in chunks though others pass at once
    memory_share: Annotated[float, Range(0, 1, above=True)] = 1.0  # share of the memory that the stack lets itself use
    memory: MemoryLedger | None = None  # what it sets aside of that share
    even_stages: bool = False  # stages of a pipeline must have equally many layers
    scheduler: Scheduler | None = None  # None: it runs one batch after the other, and nothing is known under load
    vocab_multiple: Annotated[int, Range(1, 2**20)] = 1  # the vocabulary is padded to a multiple of this times tp
    builds_as: dict[str, Any] | None = None
    builds_as_by_model: dict[str, dict[str, Any]] | None = None
    missing: list[Missing] | None = None  # models that it does not run
    vendors: list[str] | None = None  # makers of the devices that it runs on; None: no limit is known
    aliases: list[str] | None = None
    sources: list[Source] | None = None
    note: str | None = None  # what to say beside every answer

    def __post_init__(self) -> None:
        """Refuse a stack that asks for unfused attention without saying what its kernels do."""
        if (self.attention != "flash") != (self.unfused_attention is not None):
            raise ValueError("attention: unfused and the section unfused_attention go together")

    def __hash__(self) -> int:
        """Of the id alone, since lists have none."""
        return hash(self.id)

    @property
    def ledger(self) -> MemoryLedger:
        """What it sets aside; nothing where it does not say."""
        return NOTHING if self.memory is None else self.memory

    @property
    def rebuilds(self) -> bool:
        """Whether it builds other models than it is asked for."""
        return bool(self.builds_as or self.builds_as_by_model)

    def is_eager(self, decoding: bool) -> bool:
        """Whether the host issues the kernels of a pass one by one."""
        return self.execution == "eager" or (self.execution == "graph decode" and not decoding)

    def splits_products(self, layer_format: str) -> bool:
        """Whether products with weights in a format may be split along k."""
        kind = (self.quantizing or {}).get(layer_format)
        return self.splits_k and (kind is None or kind.splits_k)

    def find_decode_kernel(self, capability: str | None, cache_bytes: float) -> DecodeKernel:
        """The kernel of decode attention on devices of a capability, over a cache of so many bytes a number."""
        for kernel in self.decode_kernels or ():
            fits = kernel.capabilities is None or capability in kernel.capabilities
            if fits and kernel.cache_bytes in (None, cache_bytes):
                return kernel
        return DecodeKernel()

    def count_attention_launches(self, decoding: bool) -> int:
        """Kernels of one fused attention."""
        counts = self.attention_launches or AttentionLaunches()
        return counts.decode if decoding else counts.prefill

    @remember
    def build(self, architecture: Architecture, model_id: str) -> Architecture:
        """Return the architecture as this stack builds it.

        Raises:
            InputError: the stack file names a field that an architecture does not have.
        """
        changes = dict(self.builds_as or {}) | (self.builds_as_by_model or {}).get(model_id, {})
        return replace_fields(architecture, changes, f"stack {self.id}") if changes else architecture
