"""How many small faults put into a package of polyscan its tests find.

    python benchmarks/mutation.py [--sample 250] [--seed 0] [--processes 2] [--files fusion/masked_transformer.py ...]
    python benchmarks/mutation.py inference evaluation attribution --tests tests/transforms/test_classify.py

One mutant is one change of one expression: an operator or comparison for its neighbour, a number plus one, a flag
turned, a sign or a negation or a call taken away, two arguments or the branches of a conditional exchanged. Messages of
errors, annotations and strings are left alone. Each of a random sample runs against the tests of the packages, and of
``--tests``, that pass through its line, quickest first, until one fails, and against those that run nothing of polyscan
but look at it; what is met at import alone runs against all. One that takes ten times its tests' time is found as well.
What survives is printed with the reason that ``mutation_survivors.yaml`` gives for it. Ends with status 1 where fewer
than 95 % are found or a survivor has no reason.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import io
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import hypothesis
import pytest
import yaml

# What tests import is imported once, before they fork; polyscan itself is imported by each, changed.
for heavy in (
    *("torch", "scipy.ndimage", "scipy.special", "scipy.linalg", "scipy.stats", "hypothesis.strategies"),
    *("cca_zoo.linear", "monai.bundle", "monai.inferers", "monai.metrics", "captum.attr", "sklearn.manifold"),
):
    with contextlib.suppress(ImportError):
        __import__(heavy)

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "polyscan"
NEIGHBOUR: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Add,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
SYMMETRIC = {"max", "min", "isinstance", "super", "transpose"}
MODULES = {"torch", "nn", "functional", "math", "np", "inspect", "importlib", "pkgutil", "ast"}


@dataclass(frozen=True)
class Mutant:
    """One change: in which file, of which of its expressions and to which variant, what it said and says, and where.

    ``statement`` is the first line of where it stands.
    """

    file: str
    index: int
    variant: int
    before: str
    after: str
    lines: range
    statement: str

    @property
    def change(self) -> str:
        """What is changed, on whatever line it stands."""
        return f"{self.file}: {self.before} -> {self.after} in {self.statement}"

    @property
    def name(self) -> str:
        """What is printed of it."""
        return self.change.replace(":", f":{self.lines.start}:", 1)

    def source(self) -> str:
        """The file with the change."""
        tree = ast.parse((SOURCE / self.file).read_text())
        node, _ = list(candidates(tree))[self.index]
        changed = Replace(node, list(variants(node))[self.variant]).visit(tree)
        return ast.unparse(ast.fix_missing_locations(changed))


def variants(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of an expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in NEIGHBOUR:
        if not any(isinstance(side, (ast.List, ast.ListComp)) for side in ast.iter_child_nodes(node)):
            changed = copy.copy(node)
            changed.op = NEIGHBOUR[type(node.op)]()
            yield changed
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in NEIGHBOUR:
        changed = copy.copy(node)
        changed.ops = [NEIGHBOUR[type(node.ops[0])](), *node.ops[1:]]
        yield changed
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and "super()" not in ast.unparse(node):
        yield ast.Pass()
    elif isinstance(node, ast.Call):
        yield from variants_of_call(node)


def variants_of_call(call: ast.Call) -> Iterator[ast.AST]:
    """A call without itself, and with its first two arguments exchanged."""
    name = ast.unparse(call.func)
    plain = [a for a in call.args if not isinstance(a, ast.Starred)]
    if name.split(".")[-1][0].isupper() or "super()" in name:
        return  # a layer made, or a base class
    if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) not in MODULES | {"self"}:
        yield call.func.value
    elif plain and name not in SYMMETRIC:
        yield plain[0]
    orderly = len(plain) > 1 and plain == call.args[: len(plain)] and name.split(".")[-1] not in SYMMETRIC
    if orderly and ast.unparse(call.args[0]) != ast.unparse(call.args[1]):
        yield ast.Call(call.func, [call.args[1], call.args[0], *call.args[2:]], call.keywords)


def candidates(tree: ast.AST) -> Iterator[tuple[ast.AST, ast.stmt]]:
    """Every expression that may be changed, with its statement."""

    def walk(node: ast.AST, statement: ast.stmt | None) -> Iterator[tuple[ast.AST, ast.stmt]]:
        if isinstance(node, (ast.Raise, ast.Import, ast.ImportFrom)):
            return
        statement = node if isinstance(node, ast.stmt) else statement
        if statement is not None:
            yield node, statement
        for field, value in ast.iter_fields(node):
            if field not in ("annotation", "returns", "decorator_list"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from walk(child, statement)

    yield from walk(tree, None)


class Replace(ast.NodeTransformer):
    """Put one node in the place of another."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        """See ``ast.NodeTransformer``."""
        return self.new if node is self.old else super().visit(node)


def mutants_of(file: Path) -> list[Mutant]:
    """All mutants of a file."""
    found, text = [], file.read_text()
    for index, (node, statement) in enumerate(candidates(ast.parse(text))):
        body = getattr(statement, "body", None)
        end = body[0].lineno - 1 if body else statement.end_lineno  # of a block its head
        lines = range(statement.lineno, max(statement.lineno, end or 0) + 1)
        for which, changed in enumerate(variants(node)):
            before, after = ast.unparse(node), ast.unparse(changed)
            first = text.splitlines()[statement.lineno - 1].strip()
            found.append(Mutant(str(file.relative_to(SOURCE)), index, which, before, after, lines, first))
    return found


class Ran:
    """A pytest plug-in that notes the time of each test and the lines of the package that it runs."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.lines: dict[str, set[tuple[str, int]]] = {}

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        """See ``sys.settrace``."""
        if not frame.f_code.co_filename.startswith(str(SOURCE)):
            return None
        self.current.add((frame.f_code.co_filename.removeprefix(f"{SOURCE}/"), frame.f_lineno))
        return self.trace

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Any:
        """Follow one test."""
        self.current = self.lines.setdefault(item.nodeid, set())
        start, before = time.process_time(), sys.gettrace()
        sys.settrace(self.trace)
        try:
            return (yield)
        finally:
            sys.settrace(before)
            self.seconds[item.nodeid] = time.process_time() - start


class Chosen:
    """A pytest plug-in that runs the tests of these names in their order."""

    def __init__(self, names: list[str]) -> None:
        self.order = {name: k for k, name in enumerate(names)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Take the chosen ones."""
        items[:] = sorted((i for i in items if i.nodeid in self.order), key=lambda i: self.order[i.nodeid])


def run_tests(source: Path, options: list[str], plugin: object) -> int:
    """Run tests in this process against the package in ``source``."""
    sys.path.insert(0, str(source))
    os.environ["PYTHONPATH"] = str(source)
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]  # a failure need not be made smaller
    hypothesis.settings.register_profile("mutation", derandomize=True, database=None, phases=phases)
    hypothesis.settings.load_profile("mutation")
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        quiet = ["-q", "--tb=no", "-p", "no:cacheprovider", "--rootdir", str(ROOT)]
        return int(pytest.main([*quiet, *options], plugins=[plugin]))


def fork(run: Callable[[], int], seconds: int) -> int:
    """Start ``run`` in a process of its own that may take so many seconds of a processor, and say its number."""
    if child := os.fork():
        return child
    status = 1
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        status = run()
    finally:
        os._exit(status)


def baseline(file: Path, tests: list[str]) -> None:
    """Write down what each of some tests runs, and how long it takes."""

    def run() -> int:
        ran = Ran()
        status = run_tests(ROOT / "src", tests, ran)
        file.write_text(json.dumps([ran.seconds, {name: sorted(lines) for name, lines in ran.lines.items()}]))
        return status

    if os.waitpid(fork(run, 3600), 0)[1]:
        raise SystemExit("The tests fail without a mutant; mend them first.")


def tests_of(mutant: Mutant, seconds: dict[str, float], lines: dict[str, list[list[Any]]]) -> list[str]:
    """The tests that run a mutant's lines, quickest first, and those that run none at all; where none does, every test.

    Those of its file come before others.
    """
    in_file = {name: {line for file, line in ran if file == mutant.file} for name, ran in lines.items()}
    through = [name for name, ran in in_file.items() if not ran.isdisjoint(mutant.lines)]
    found = [*through, *(name for name, ran in lines.items() if not ran)] if through else list(lines)
    return sorted(found, key=lambda name: (not in_file[name], seconds[name]))


def start(mutant: Mutant, names: list[str], seconds: float) -> int:
    """Start a mutant's tests."""

    def run() -> int:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(SOURCE, Path(folder) / "polyscan")
            (Path(folder) / "polyscan" / mutant.file).write_text(mutant.source())
            return run_tests(Path(folder), ["-x", *sorted({name.partition("::")[0] for name in names})], Chosen(names))

    return fork(run, int(60 + 10 * seconds))


def survivors_of(mutants: list[Mutant], known: Path, processes: int) -> list[Mutant]:
    """Run every mutant and say what becomes of it."""
    seconds, lines = json.loads(known.read_text())
    waiting, running, survivors = list(mutants), {}, []
    while waiting or running:
        while waiting and len(running) < processes:
            mutant = waiting.pop(0)
            names = tests_of(mutant, seconds, lines)
            running[start(mutant, names, sum(seconds[name] for name in names))] = mutant
        child, status = os.wait()
        mutant = running.pop(child)
        if status == 0:
            survivors.append(mutant)
        print(f"{'survived' if status == 0 else 'killed':9} {mutant.name}", flush=True)
    return survivors


def main() -> int:
    """Print each mutant, then the share that was found and what survived."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packages", nargs="*", default=["fusion"], help="folders of polyscan")
    parser.add_argument("--tests", nargs="*", default=[], help="files beside those of the packages")
    parser.add_argument("--sample", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--files", nargs="*", help="paths below polyscan/; all of the packages where not given")
    parser.add_argument("--baseline", type=Path, help="keep what each test runs in this file, and take it from there")
    options = parser.parse_args()
    os.chdir(ROOT)
    whole = [file for name in options.packages for file in sorted((SOURCE / name).rglob("*.py"))]
    files = [SOURCE / name for name in options.files] if options.files else whole
    every = [mutant for file in files for mutant in mutants_of(file)]
    chosen = random.Random(options.seed).sample(every, min(options.sample, len(every)))
    with tempfile.TemporaryDirectory() as folder:
        known = options.baseline or Path(folder) / "baseline.json"
        if not known.exists():
            baseline(known, [*(f"tests/{name}" for name in options.packages), *options.tests])
        survivors = survivors_of(chosen, known, options.processes)
    reasons = yaml.safe_load(Path(__file__).with_name("mutation_survivors.yaml").read_text()) or {}
    killed = len(chosen) - len(survivors)
    print(f"\n{killed} of {len(chosen)} mutants killed ({killed / len(chosen):.1%}), of {len(every)} that there are.")
    for mutant in survivors:
        print(f"- {mutant.name}\n  {reasons.get(mutant.change, 'NO REASON')}")
    return int(killed < 0.95 * len(chosen) or any(mutant.change not in reasons for mutant in survivors))


if __name__ == "__main__":
    sys.exit(main())
