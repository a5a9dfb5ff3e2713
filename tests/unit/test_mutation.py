"""Which changes `make mutants` makes to a source, and how it names and chooses them."""

import gc
from pathlib import Path
from runpy import run_path

import pytest
from mutation.equivalent import EQUIVALENT
from mutation.plugin import change_functions
from mutation.points import Mutant, mutants_of, sample

from config.settings import ROOT


def changes(source: str) -> set[str]:
    return {mutant.mutated.decode() for mutant in mutants_of("x.py", source.encode())}


@pytest.mark.parametrize(
    ("source", "mutants"),
    [
        ("a < b", {"(a <= b)"}),
        ("a == b != c", {"(a != b != c)", "(a == b == c)"}),
        ("a in b", {"(a not in b)"}),
        ("a is b", {"(a is not b)"}),
        ("a and b and c", {"(a or b or c)", "(b and c)", "(a and c)", "(a and b)"}),
        ("a or b", {"(a and b)", "(a)", "(b)"}),
        ("not a", {"(a)"}),
        ("x = True", {"x = False"}),
        ("x = 7", {"x = 8"}),
        ("x = 'text'", set()),
        ("x: int = f(1)", {"x: int = f(2)"}),
        ("f(y)", {"pass"}),
        ("raise E", {"pass"}),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("def f():\n    return ''", set()),
        ("try: g = 'é', a\nexcept (A, B): g = b", {"try: g = 'é', a\nexcept (A,): g = b", "try: g = 'é', a\nexcept (B,): g = b"}),
        ("x = f'{a < b}'", set()),
        ("x = field(init=False, repr=False)", {"x = field(init=False, repr=True)"}),
        ("@d(True)\ndef f(a: L[0]) -> L[1]: ...", set()),
        ("@c\ndef f(a=True): ...", {"@c\ndef f(a=False): ..."}),
    ],
)
def test_source_has_these_mutants(source: str, mutants: set[str]) -> None:
    assert changes(source) == mutants


def test_change_that_does_not_compile_is_left_out() -> None:
    assert changes("match a:\n    case 1: b") == {"match a:\n    case 2: b"}


SOURCE = """class A:
    def f(self):
        x = 'é'; g(a,
          1)
        return x
"""


def only_call() -> Mutant:
    (mutant,) = [mutant for mutant in mutants_of("x.py", SOURCE.encode()) if mutant.text.startswith(b"pass")]
    return mutant


def test_mutant_is_named_by_its_function_and_its_lines() -> None:
    mutant = only_call()
    assert mutant.name == "x.py A.f: x = 'é'; g(a, 1) => x = 'é'; pass"
    assert list(mutant.lines) == [3, 4]
    assert mutant.diff().splitlines()[3:] == [
        "     def f(self):",
        "-        x = 'é'; g(a,",
        "-          1)",
        "+        x = 'é'; pass",
        "         return x",
    ]


def test_choice_does_not_change_with_lines_elsewhere() -> None:
    before, after = (mutants_of("x.py", text.encode()) for text in (SOURCE, f"import b\n\n\n{SOURCE}"))
    assert [mutant.name for mutant in sample(before, 2, 1)] == [mutant.name for mutant in sample(after, 2, 1)]
    assert len({tuple(mutant.name for mutant in sample(before, 3, seed)) for seed in range(9)}) > 1


def test_functions_that_were_imported_before_the_collection_change_too(tmp_path: Path) -> None:
    module = tmp_path / "one.py"
    module.write_text("def number():\n    return 1\n")
    number = run_path(str(module))["number"]
    gc.freeze()  # as conftest.py does
    assert change_functions(str(module), "def number():\n    return 2\n")
    assert number() == 2
    assert not change_functions(str(tmp_path / "other.py"), ""), "no function of it is there"
    gc.freeze()


@pytest.mark.parametrize("path", sorted({name.partition(" ")[0] for name in EQUIVALENT}))
def test_every_mutant_that_is_called_equivalent_is_there(path: str) -> None:
    names = {mutant.name for mutant in mutants_of(path, (ROOT / path).read_bytes())}
    assert [name for name in EQUIVALENT if name.startswith(f"{path} ") and name not in names] == []
