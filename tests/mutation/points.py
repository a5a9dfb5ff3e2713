"""Single-point mutants of a module: each is a copy of its source with one small change that some test should notice."""

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff

_FLIPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


@dataclass(frozen=True)
class Mutant:
    """A change at one place: the text from byte `start` to byte `end` becomes `text`. Lines count from 1, both included."""

    path: str
    function: str
    source: bytes
    start: int
    end: int
    text: bytes

    @property
    def mutated(self) -> bytes:
        """Return the changed source."""
        return self.source[: self.start] + self.text + self.source[self.end :]

    @property
    def lines(self) -> range:
        """Return the lines that the change touches."""
        first = self.source.count(b"\n", 0, self.start) + 1
        return range(first, first + self.source.count(b"\n", self.start, self.end) + 1)

    @property
    def change(self) -> str:
        """Return the lines that change, before and after, in one line: with `function`, it survives edits elsewhere."""
        after_end = self.end + (self.source[self.end :] + b"\n").index(b"\n")
        before_start = self.source.rfind(b"\n", 0, self.start) + 1
        after = self.source[before_start : self.start] + self.text + self.source[self.end : after_end]
        return " => ".join(" ".join(text.decode().split()) for text in (self.source[before_start:after_end], after))

    @property
    def name(self) -> str:
        """Return what tells the mutant from all others, as equivalent.py lists it."""
        return f"{self.path} {self.function}: {self.change}"

    def diff(self) -> str:
        """Return the change as a unified diff."""
        before, after = self.source.decode().splitlines(), self.mutated.decode().splitlines()
        lines = unified_diff(before, after, self.path, f"{self.path} ({self.function})", n=1, lineterm="")
        return "\n".join(line for line in lines if line != "+")


def mutants_of(path: str, source: bytes) -> list[Mutant]:
    """Return all mutants of a module, those that would not compile left out."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + column

    found = []
    for function, node, text in _changes(ast.parse(source), ""):
        start, end = offset(node.lineno, node.col_offset), offset(node.end_lineno or 0, node.end_col_offset or 0)
        # As many lines as before, so that all other code stays at its place.
        padding = "\n" * source.count(b"\n", start, end)
        padded = f"{text[:-1]}{padding})" if text.endswith(")") else text + padding
        mutant = Mutant(path, function, source, start, end, padded.encode())
        try:
            compile(mutant.mutated, path, "exec")
        except SyntaxError:
            continue
        found.append(mutant)
    return found


def sample(mutants: list[Mutant], most: int, seed: int) -> list[Mutant]:
    """Choose mutants by the digest of their names, so that an edit of one line does not change the whole choice."""
    return sorted(mutants, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.name}".encode()).digest())[:most]


def _changes(node: ast.AST, function: str) -> Iterator[tuple[str, ast.expr | ast.stmt, str]]:
    """Yield the function, the node and its new text for each change below a node."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function = f"{function}.{node.name}".lstrip(".")
    if isinstance(node, ast.expr | ast.stmt):
        yield from ((function, node, text) for text in _texts(node))
    if isinstance(node, ast.ExceptHandler) and isinstance(node.type, ast.Tuple):
        kept = [[one for one in node.type.elts if one is not other] for other in node.type.elts]
        yield from ((function, node.type, f"({', '.join(map(ast.unparse, rest))},)") for rest in kept)
    if isinstance(node, ast.keyword) and node.arg == "init":  # whether a dataclass takes what nobody gives it
        return
    for name, value in ast.iter_fields(node):
        # The positions inside of f-strings are wrong before Python 3.12; annotations and decorators are not behavior.
        if name in {"annotation", "returns", "decorator_list"} or isinstance(node, ast.JoinedStr):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _changes(child, function)


def _texts(node: ast.expr | ast.stmt) -> Iterator[str]:
    """Yield the texts that may stand in the place of an expression or a statement."""
    match node:
        case ast.Compare():
            for number, operator in enumerate(node.ops):
                flipped: list[ast.cmpop] = [*node.ops]
                flipped[number] = _FLIPPED[type(operator)]()
                yield f"({ast.unparse(ast.Compare(node.left, flipped, node.comparators))})"
        case ast.BoolOp():
            other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
            yield f"({ast.unparse(ast.BoolOp(other, node.values))})"
            for left_out in node.values:
                rest = [value for value in node.values if value is not left_out]
                yield f"({ast.unparse(ast.BoolOp(node.op, rest) if rest[1:] else rest[0])})"
        case ast.UnaryOp(op=ast.Not()):
            yield f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool(value)):
            yield repr(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and not value.value):
            yield "return None"
        case ast.Expr(value=ast.Call()) | ast.Raise():
            yield "pass"
        case _:
            return
