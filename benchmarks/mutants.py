"""Would the tests notice a wrong law? Small changes to costs and timing, each run against the tests of its module.

python -m benchmarks.mutants [--rooms costs,timing] [--mutants 80] [--only kinds/collectives.py] [--all]

A mutant is one change of one expression in one function: a term or a number is doubled, a factor, divisor or addend
dropped, minimum and maximum swapped, a comparison turned round, rounding left out, two branches exchanged. Of every
function the first few in the order of a hash of their own text are tried, so that reformatting, or a change elsewhere,
leaves the choice as it is. Each is written into a copy of the tree, never into the tree itself. Exit code 1 where one
survives that ``mutants_survive.yaml`` does not list with a reason, or where one listed there is caught or gone.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[1]
LISTED = Path(__file__).with_name("mutants_survive.yaml")
ROOMS = ("costs", "timing")
COPIED = ("simulator", "calibration", "hardware_specs", "tests", "docs", "cli.py", "pyproject.toml")
# Not laws: formulas.py prints, profile.py reads files, rows.py only makes arrays fast.
LEFT_OUT = ("costs/formulas.py", "timing/profile.py", "timing/rows.py")
# Tests that speak of a module, those that fail first in front; the first entry that a module's path begins with counts.
TESTS: dict[str, tuple[str, ...]] = {
    "costs/footprint": ("hand_costs", "capacity", "layouts"),
    "costs/feed_forwards": ("hand_costs", "expert_layouts", "experts"),
    "costs/mixers": ("hand_costs", "passes", "attention_kinds", "architectures"),
    "costs/parameters": ("hand_costs", "experts", "architectures", "attention_kinds"),
    "costs": ("hand_costs", "passes", "layouts", "costs"),
    "serving": ("pass_table", "serving", "estimate", "simulate"),
    "timing/intervals": ("hand_passes",),
    "timing": ("hand_kernels", "hand_passes", "power", "layouts", "operators", "timing"),
}
MOST_SECONDS = 150  # of processor time, of the tests of one mutant; what runs longer has been noticed
MOST_OF_A_FUNCTION = 3
TICKS = itertools.count(10, 10)
SWAPPED = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "both": "either", "either": "both"}
ROUNDING = {"ceil", "whole_part", "round_up", "square_root"}
BRANCHING = {"where", "choose"}
TURNED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
}


class Mutant(NamedTuple):
    """One change: the module, the function or constant, what was there and what is there now."""

    module: str
    function: str
    before: str
    after: str
    source: str  # of the whole changed module

    @property
    def name(self) -> str:
        """Words that do not change with the format of the source or the order of functions."""
        return f"{self.module} {self.function}: {self.before} -> {self.after}"

    @property
    def rank(self) -> str:
        """Place among its function's mutants."""
        return hashlib.sha256(self.name.encode()).hexdigest()


def change(node: ast.expr) -> Iterator[ast.expr]:
    """Everything that an expression may become."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Mult, ast.Div)):
        yield ast.BinOp(ast.Constant(2), ast.Mult(), node)
        yield node.left
    elif isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        yield node.left
        if isinstance(node.op, ast.Add):
            yield node.right
    elif isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in TURNED:
        yield ast.Compare(node.left, [TURNED[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id in SWAPPED:
            yield ast.Call(ast.Name(SWAPPED[node.func.id]), node.args, node.keywords)
        elif node.func.id in ROUNDING:
            yield node.args[0]
        elif node.func.id in BRANCHING and len(node.args) == 3:
            yield ast.Call(node.func, [node.args[0], node.args[2], node.args[1]], [])
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)) and node.value not in (0, 1):
        yield ast.Constant(2 * node.value)


def list_mutants(module: str, text: str) -> list[Mutant]:
    """All mutants of a module: of its functions, and of its constants that are one number."""
    tree = ast.parse(text)
    found: dict[str, Mutant] = {}
    for function, root in list_roots(tree):
        for node in walk_laws(root):
            for changed in change(node):
                source = ast.unparse(Replace(node, changed).visit(deepcopy(tree)))
                mutant = Mutant(module, function, shorten(node), shorten(changed), source)
                found.setdefault(mutant.name, mutant)  # of twins in one function, the first
    return list(found.values())


def list_roots(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Functions, methods by their class too, and values of constants."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from ((f"{node.name}.{one.name}", one) for one in node.body if isinstance(one, ast.FunctionDef))
        elif isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.BinOp)):
            yield ast.unparse(node.targets[0]), node.value


def walk_laws(root: ast.AST) -> Iterator[ast.expr]:
    """Expressions under a node that compute: no annotation, default, decorator, subscript or message of an error."""
    if isinstance(root, (ast.Raise, ast.Assert, ast.Subscript, ast.JoinedStr, ast.arguments)):
        return
    if isinstance(root, ast.expr):
        yield root
    for field, value in ast.iter_fields(root):
        if field in ("returns", "annotation", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from walk_laws(child)


class Replace(ast.NodeTransformer):
    """Put one expression in place of another."""

    def __init__(self, old: ast.expr, new: ast.expr) -> None:
        self.place, self.new = (old.lineno, old.col_offset, old.end_lineno, old.end_col_offset, type(old)), new

    def visit(self, node: ast.AST) -> ast.AST:
        """Replace the node at the place, and look no further there."""
        if isinstance(node, ast.expr):
            place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset, type(node))
            if place == self.place:
                return deepcopy(self.new)
        changed: ast.AST = super().visit(node)
        return changed


def shorten(node: ast.expr) -> str:
    """Source of an expression, without the middle of a long one."""
    text = ast.unparse(node)
    return text if len(text) <= 90 else f"{text[:60]} ... {text[-24:]}"


def choose_mutants(found: list[Mutant], count: int) -> list[Mutant]:
    """So many: the first of every function, then the second, by hash within each."""
    by_function: dict[tuple[str, str], list[Mutant]] = {}
    for mutant in sorted(found, key=lambda mutant: mutant.rank):
        by_function.setdefault((mutant.module, mutant.function), []).append(mutant)
    turns = [
        mutant
        for turn in range(MOST_OF_A_FUNCTION)
        for mutants in by_function.values()
        for mutant in mutants[turn : turn + 1]
    ]
    return turns[:count]


def find_tests(module: str) -> list[str]:
    """Test files of a module, in order."""
    names = next(names for prefix, names in TESTS.items() if module.startswith(prefix))
    return [f"tests/test_{name}.py" for name in names]


def copy_tree(folder: Path) -> Path:
    """A copy of what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy2(source, folder / name)
    return folder


def limit_time() -> None:
    """Let the system end a process that takes too long."""
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS))


def run_tests(folder: Path, test: str) -> tuple[bool, str]:
    """Whether a file of tests passes in a copy, and the test that did not or the end of what pytest said."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", test]
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = {**os.environ, **one_thread}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, preexec_fn=limit_time
    )
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if done.returncode < 0:
        return False, f"ended by signal {-done.returncode} within {MOST_SECONDS} s of processor time"
    return done.returncode == 0, failed[0] if failed else done.stdout[-400:] + done.stderr[-400:]


def write_at(path: Path, source: str, changed_s: float) -> None:
    """Write a file with a time of its last change that no other text of it has: by it Python knows stale bytecode."""
    path.write_text(source, encoding="utf-8")
    os.utime(path, (changed_s, changed_s))


def try_mutant(mutant: Mutant, copies: SimpleQueue[Path]) -> tuple[bool, str]:
    """Whether a mutant survives, and which test noticed it; in whichever copy is free."""
    folder = copies.get()
    path = folder / "simulator" / mutant.module
    original, changed_s = path.read_text(encoding="utf-8"), path.stat().st_mtime
    passed, said = True, ""
    try:
        write_at(path, mutant.source, changed_s + next(TICKS))
        for test in find_tests(mutant.module):  # one by one, so that the first need not wait for imports of the last
            if passed:
                passed, said = run_tests(folder, test)
        return passed, said
    finally:
        write_at(path, original, changed_s)
        copies.put(folder)


def run_all(chosen: list[Mutant], workers: int, report: Callable[[Mutant, bool, str], None]) -> None:
    """Try mutants side by side, once the tests have passed on the laws as they are.

    Raises:
        SystemExit: a test fails without any mutant.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copies: SimpleQueue[Path] = SimpleQueue()
        folders = [copy_tree(Path(scratch) / str(number)) for number in range(workers)]
        with ThreadPoolExecutor(workers) as pool:
            files = sorted({name for mutant in chosen for name in find_tests(mutant.module)})
            for passed, said in pool.map(lambda name: run_tests(folders[0], name), files):
                if not passed:
                    raise SystemExit(f"a test fails without a mutant: {said}")
            for folder in folders:
                copies.put(folder)
            for mutant, (survived, said) in zip(
                chosen, pool.map(lambda mutant: try_mutant(mutant, copies), chosen), strict=True
            ):
                report(mutant, survived, said)


def main() -> None:
    """Run the mutants and print those that no test notices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutants", type=int, default=80, help="how many")
    parser.add_argument("--rooms", default=",".join(ROOMS), help="of simulator; serving is not in `make mutants`")
    parser.add_argument("--only", default="", help="modules whose path, as kinds/tiles.py, has this in it")
    parser.add_argument("--all", action="store_true", help="every mutant of these modules")
    parser.add_argument("--list", action="store_true", help="print their names and run nothing")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    paths = sorted(path for room in options.rooms.split(",") for path in (ROOT / "simulator" / room).rglob("*.py"))
    modules = {str(path.relative_to(ROOT / "simulator")): path for path in paths}
    found = [
        mutant
        for module, path in modules.items()
        if module not in LEFT_OUT and options.only in module
        for mutant in list_mutants(module, path.read_text(encoding="utf-8"))
    ]
    chosen = found if options.all else choose_mutants(found, options.mutants)
    if options.list:
        print("\n".join(mutant.name for mutant in chosen))
        return
    reasons: dict[str, str] = yaml.safe_load(LISTED.read_text(encoding="utf-8")) or {}
    survivors: list[Mutant] = []
    began = time.monotonic()

    def report(mutant: Mutant, survived: bool, said: str) -> None:
        if survived:
            survivors.append(mutant)
        print(f"survived {mutant.name}" if survived else f"caught   {mutant.name}  [{said[:110]}]", flush=True)

    run_all(chosen, options.workers, report)
    unexplained = [mutant.name for mutant in survivors if mutant.name not in reasons]
    names, survived_names = {mutant.name for mutant in found}, {mutant.name for mutant in survivors}
    tried = {mutant.name for mutant in chosen}
    stale = [
        name
        for name in reasons
        if not options.only
        and options.rooms == ",".join(ROOMS)
        and (name not in names or name in tried - survived_names)
    ]
    print(
        f"\n{len(chosen)} mutants of {len(found)} in {time.monotonic() - began:.0f} s ({sum(os.times()[2:4]):.0f} s of "
        f"processor time): {len(chosen) - len(survivors)} "
        f"caught, {len(survivors)} survived, {len(unexplained)} of them without a reason"
    )
    for name in unexplained:
        print(f"no test notices: {name}")
    for name in stale:
        print(f"listed in {LISTED.name}, but caught or gone: {name}")
    sys.exit(bool(unexplained or stale))


if __name__ == "__main__":
    main()
