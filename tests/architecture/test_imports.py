"""The import law: which room may import which (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: room: the rooms that it may import, beside itself.
MAY_IMPORT = {
    "config": set(),
    "models": set(),
    "rest": set(),
    "security": {"models"},
    "blueprints": {"config", "models", "rest", "security"},
    "app": {"blueprints", "config", "models", "security"},
    "wsgi": {"app", "blueprints", "config", "models", "security"},
}

#: What every blueprint may import of this room, beside its own package.
SHARED = {"application", "auditing", "parts", "routing", "every_request", "terminal"}

#: What Flask binds to the request or the application at hand.
FLASK_GLOBALS = {"request", "g", "current_app", "session", "globals.app_ctx", "globals.request_ctx"}

#: The only modules that may look at the request or the application at hand; others are given values.
MAY_USE_FLASK_GLOBALS = {
    "blueprints/application.py",
    "blueprints/auditing.py",
    "blueprints/auth/refreshing.py",
    "blueprints/auth/jwk_set.py",
    "blueprints/auth/routes.py",
    "blueprints/auth/second_factor.py",
    "blueprints/auth/signing_out.py",
    "blueprints/docs/routes.py",
    "blueprints/every_request.py",
    "blueprints/health/metrics.py",
    "blueprints/health/schema.py",
    "blueprints/parts.py",
    "blueprints/users/changes.py",
    "blueprints/users/routes.py",
    "migrations/env.py",
    "rest/negotiation.py",
    "security/access.py",
    "security/bearer.py",
}

MODULES = sorted(
    path.relative_to(ROOT).as_posix() for room in MAY_IMPORT for path in [*ROOT.glob(f"{room}.py"), *ROOT.glob(f"{room}/**/*.py")]
)

MOST_LINES = 250


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Return the modules that are imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def parse(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def room_of(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


def lawless_rooms(module: str, tree: ast.AST) -> set[str]:
    rooms = {name.partition(".")[0] for name in imports_of(tree)} & set(MAY_IMPORT)
    return rooms - MAY_IMPORT[room_of(module)] - {room_of(module)}


def foreign_packages(module: str, tree: ast.AST) -> set[str]:
    """Return the blueprint packages, other than its own, that a module of a blueprint imports."""
    parts = [name.split(".") for name in imports_of(tree)]
    packages = {name[1] for name in parts if name[0] == "blueprints" and len(name) > 1}
    return packages - SHARED - {module.split("/")[1]}


def inner_imports(tree: ast.AST) -> list[int]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.lineno for function in functions for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_only_the_rooms_below(module: str) -> None:
    assert lawless_rooms(module, parse(module)) == set()


@pytest.mark.parametrize("module", [module for module in MODULES if module.count("/") == 2 and room_of(module) == "blueprints"])
def test_blueprint_imports_no_other_blueprint(module: str) -> None:
    assert foreign_packages(module, parse(module)) == set()


@pytest.mark.parametrize("module", MODULES)
def test_imports_stand_at_the_top(module: str) -> None:
    assert inner_imports(parse(module)) == []


@pytest.mark.parametrize("module", MODULES)
def test_module_is_short_enough_to_read(module: str) -> None:
    assert len((ROOT / module).read_text().splitlines()) <= MOST_LINES


def test_only_some_modules_look_at_the_request_at_hand() -> None:
    used = {
        module
        for module in [*MODULES, "migrations/env.py"]
        if {f"flask.{name}" for name in FLASK_GLOBALS} & set(imports_of(parse(module)))
    }
    assert used == MAY_USE_FLASK_GLOBALS


@pytest.mark.parametrize(
    ("module", "source", "law"),
    [
        ("models/user.py", "from security.errors import AccessDenied", lawless_rooms),
        ("rest/body.py", "import models.user", lawless_rooms),
        ("security/bearer.py", "def f():\n    from rest.body import validate", lawless_rooms),
        ("config/settings.py", "import app", lawless_rooms),
        ("blueprints/auth/routes.py", "from blueprints.users import bp", foreign_packages),
        ("blueprints/auth/routes.py", "from blueprints import users", foreign_packages),
    ],
)
def test_planted_import_breaks_the_law(module: str, source: str, law: object) -> None:
    assert law(module, ast.parse(source))


def test_planted_inner_import_is_found() -> None:
    assert inner_imports(ast.parse("def f():\n    if 1:\n        import app")) == [3]
