"""The cost laws as formulas: the same code that counts numbers, run on SymPy symbols."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from simulator.costs.batch import decode_batch, prefill_batch
from simulator.costs.passes import Pass, build_pass, list_all, sum_cost
from simulator.errors import InputError, suggest
from simulator.inputs.architecture import Architecture
from simulator.inputs.deployment import Deployment
from simulator.inputs.stack import Stack
from simulator.numbers import Number

# Symbol, the name it has in files and on the command line, and its meaning.
SYMBOLS: dict[str, tuple[str, str]] = {
    "h": ("hidden_size", "width of the hidden state"),
    "L": ("num_hidden_layers", "layers"),
    "a": ("num_attention_heads", "attention heads"),
    "k": ("num_key_value_heads", "key/value heads"),
    "d": ("head_dim", "width of one head"),
    "f": ("intermediate_size", "width of the feed-forward block"),
    "V": ("vocab_size", "entries of the vocabulary"),
    "t": ("tp", "tensor-parallel size: devices that share every layer"),
    "b": ("batch_size", "requests that run together"),
    "p": ("prompt_tokens", "tokens of the prompt"),
    "c": ("context_tokens", "tokens in the cache after a decode pass"),
    "w": ("weight_bytes_per_element", "bytes of one weight"),
    "x": ("activation_bytes_per_element", "bytes of one activation"),
    "y": ("kv_bytes_per_element", "bytes of one number in the KV cache"),
}
COLUMNS = ("flops", "weight_bytes", "activation_bytes", "kv_bytes", "message_bytes")
ARCHITECTURE_SYMBOLS = ("h", "L", "a", "k", "d", "f", "V")


@dataclass(frozen=True)
class SymbolicDeployment(Deployment):
    """A layout whose element sizes are symbols."""

    sizes: tuple[Any, Any, Any] = (1, 1, 1)

    @property
    def expert_replicas(self) -> int:
        """One replica has the experts to itself."""
        return 1

    def weight_bytes_of(self, part: str) -> Any:
        """Bytes of one weight."""
        return self.sizes[0]

    @property
    def activation_bytes(self) -> Any:
        """Bytes of one activation."""
        return self.sizes[1]

    def input_bytes_of(self, part: str) -> Any:
        """Bytes of one number that a matrix product with weights reads."""
        return self.sizes[1]

    @property
    def kv_bytes(self) -> Any:
        """Bytes of one number in the KV cache."""
        return self.sizes[2]


@dataclass(frozen=True)
class Formula:
    """Costs of one operator on one device, or of all (``operator`` is ``total``): expressions or numbers."""

    phase: str
    operator: str
    times: Any
    costs: dict[str, Any]


def derive_formulas(architecture: Architecture, stack: Stack, values: Mapping[str, Number]) -> list[Formula]:
    """Run the cost laws on symbols, with ``values`` (by symbol) put in.

    ``architecture`` gives the structure (gated or not, tied or not); its dimensions become symbols. Where the stack has
    a condition on dimensions, such as the limits of a fused kernel, the formula holds both branches.
    """
    import sympy

    symbols = {name: sympy.Symbol(name, positive=True, integer=True) for name in SYMBOLS}
    fields = {SYMBOLS[name][0]: symbols[name] for name in ARCHITECTURE_SYMBOLS}
    model = replace(architecture, **fields)
    # One device sends no messages, and the laws ask for that with a number.
    tp = 1 if values.get("t") == 1 else symbols["t"]
    deployment = SymbolicDeployment(tp=tp, sizes=(symbols["w"], symbols["x"], symbols["y"]))
    passes = {
        "prefill": prefill_batch(symbols["p"], symbols["b"]),
        "decode": decode_batch(symbols["c"], symbols["b"]),
    }
    known = {symbols[name]: sympy.sympify(value) for name, value in values.items()}
    formulas = []
    for phase, batch in passes.items():
        work = build_pass(model, deployment, stack, batch)
        formulas += [put_in(formula, known) for formula in describe_pass(phase, work)]
    return formulas


def describe_pass(phase: str, work: Pass) -> list[Formula]:
    """One formula an operator, and their total over the pass."""
    rows = [
        Formula(phase, op.name, times, {name: getattr(op, name) for name in COLUMNS}) for times, op in list_all(work)
    ]
    totals = {name: sum_cost(work, name) for name in COLUMNS}
    return [*rows, Formula(phase, "total", 1, totals)]


def put_in(formula: Formula, known: Mapping[Any, Number]) -> Formula:
    """Put numbers in for symbols, and simplify."""
    import sympy

    def settle(expression: Any) -> Any:
        # A float such as the share 1/2 of a law would print as 0.5 beside exact whole numbers.
        found = sympy.sympify(expression).xreplace(known)
        return sympy.factor_terms(sympy.nsimplify(found, rational=True) if found.has(sympy.Float) else found)

    costs = {name: settle(cost) for name, cost in formula.costs.items()}
    return Formula(formula.phase, formula.operator, settle(formula.times), costs)


def find_symbol(name: str) -> str:
    """Return the symbol of a name such as ``hidden_size``, or the symbol itself.

    Raises:
        InputError: neither a name nor a symbol, with the nearest.
    """
    by_name = {meaning[0]: symbol for symbol, meaning in SYMBOLS.items()} | {symbol: symbol for symbol in SYMBOLS}
    if name not in by_name:
        raise InputError(suggest(f"unknown symbol '{name}'", name, by_name))
    return by_name[name]


def read_values(architecture: Architecture | None, given: Mapping[str, Number]) -> dict[str, Number]:
    """Numbers by symbol: those of a model, and those given by name or symbol.

    Raises:
        InputError: an unknown name, or a number below 1.
    """
    values: dict[str, Number] = {}
    if architecture is not None:
        a = architecture
        sizes = (a.hidden_size, a.num_hidden_layers, a.num_attention_heads, a.kv_heads, a.head_size)
        values = dict(zip(ARCHITECTURE_SYMBOLS, (*sizes, a.intermediate_size, a.vocab_size), strict=True))
    for name, value in given.items():
        if not 1 <= value < float("inf") or value != int(value):
            raise InputError(f"{name} is {value}; it must be a whole number of at least 1")
        values[find_symbol(name)] = int(value)
    return {name: int(value) for name, value in values.items()}
