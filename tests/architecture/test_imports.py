"""The import law: which room may import which (docs/architecture.md)."""

import ast
from collections.abc import Callable, Collection, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_SERVER = {"blueprints", "commands", "config", "models", "rest", "security"}

#: By room: the other rooms that it may import.
MAY_IMPORT = {
    "config": set(),
    "models": set(),
    "rest": set(),
    "security": {"models"},
    "blueprints": {"config", "models", "rest", "security"},
    "commands": {"blueprints", "config", "models", "rest", "security"},
    "app": _SERVER,
    "wsgi": {"app", *_SERVER},
    "poort": {"config"},
    "deploy": {"app", *_SERVER - {"commands"}},
    "benchmarks": {"config", "models", "rest", "security"},
}

#: The names under which the modules of the tests can be imported.
OF_TESTS = {"tests", *(path.stem for path in (ROOT / "tests").iterdir())}

#: Modules of this room that every blueprint may import.
SHARED = {"application", "auditing", "mail", "parts", "request_hooks"}

#: Modules of the blueprints that commands may import: rules and writing, without URLs.
FOR_COMMANDS = {
    "blueprints.auditing",
    "blueprints.parts",
    "blueprints.users.policy",
    "blueprints.users.resource",
    "blueprints.users.writing",
}

#: Names that Flask binds to the current request or application.
FLASK_GLOBALS = {"request", "g", "current_app", "session", "globals.app_ctx", "globals.request_ctx"}

#: The only modules that may use the current request or application; others get values as arguments.
MAY_USE_FLASK_GLOBALS = {
    "benchmarks/peers/tutorial.py",
    "blueprints/application.py",
    "blueprints/auditing.py",
    "blueprints/auth/refreshing.py",
    "blueprints/auth/jwk_set.py",
    "blueprints/auth/routes.py",
    "blueprints/auth/second_factor.py",
    "blueprints/auth/sign_out.py",
    "blueprints/docs/routes.py",
    "blueprints/request_hooks.py",
    "deploy/metrics/counters.py",
    "commands/doctor/schema.py",
    "blueprints/docs/start_page.py",
    "blueprints/parts.py",
    "blueprints/users/changes.py",
    "blueprints/users/passwords.py",
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

#: What most workers never use and would make each 1 to 4 MB larger: the commands, the explorer, a word list. Drivers and an event
#: loop that need not be installed. The applications that are compared. The server, which `poort --version` does not need, and gunicorn,
#: which fails at import if a setting is bad.
MAY_IMPORT_BY_STRING = {
    "app.py",
    "benchmarks/clients.py",
    "benchmarks/in_process.py",
    "blueprints/__init__.py",
    "deploy/start.py",
    "models/password_policy.py",
    "poort/__main__.py",
    "security/throttle/redis_store.py",
}


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Return the names that are imported anywhere in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def parse(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


def room_of(module: str) -> str:
    return module.partition("/")[0].removesuffix(".py")


def lawless_rooms(module: str, tree: ast.AST) -> set[str]:
    rooms = {name.partition(".")[0] for name in imports_of(tree)} & set(MAY_IMPORT)
    return rooms - MAY_IMPORT[room_of(module)] - {room_of(module)}


def foreign_packages(module: str, tree: ast.AST) -> set[str]:
    """Return the packages of other blueprints that a blueprint module imports."""
    parts = [name.split(".") for name in imports_of(tree)]
    packages = {name[1] for name in parts if name[0] == "blueprints" and len(name) > 1}
    return packages - SHARED - {module.split("/")[1]}


def modules_with_urls(_module: str, tree: ast.AST) -> set[str]:
    """Return the blueprint modules that a command imports beyond FOR_COMMANDS."""
    names = {name for name in imports_of(tree) if name.startswith("blueprints.")}
    return {name for name in names if not any(f"{name}.".startswith(f"{shared}.") for shared in FOR_COMMANDS)}


def imported_tests(_module: str, tree: ast.AST) -> set[str]:
    return {name for name in imports_of(tree) if name.partition(".")[0] in OF_TESTS}


def inner_imports(tree: ast.AST) -> list[int]:
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.lineno for function in functions for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]


def offenders(law: Callable[[str, ast.Module], object], rooms: Collection[str] = MAY_IMPORT) -> dict[str, object]:
    """Return the modules that break a law, each with its offences."""
    return {module: broken for module in MODULES if room_of(module) in rooms and (broken := law(module, parse(module)))}


def test_modules_import_only_the_rooms_below() -> None:
    assert offenders(lawless_rooms) == {}


def test_blueprints_import_no_other_blueprint() -> None:
    inside = {module for module in MODULES if module.count("/") == 2 and room_of(module) == "blueprints"}
    assert inside
    assert {module: found for module in inside if (found := foreign_packages(module, parse(module)))} == {}


def test_commands_import_nothing_with_a_url() -> None:
    assert offenders(modules_with_urls, {"commands"}) == {}


def test_only_tests_import_tests() -> None:
    assert {"conftest", "databases", "installed", "system"} <= OF_TESTS
    assert offenders(imported_tests) == {}


def test_imports_stand_at_the_top() -> None:
    assert offenders(lambda _module, tree: inner_imports(tree)) == {}


def test_modules_are_short_enough_to_read() -> None:
    lengths = {module: len((ROOT / module).read_text().splitlines()) for module in MODULES}
    assert {module: length for module, length in lengths.items() if length > MOST_LINES} == {}


def test_nothing_is_imported_by_a_name_in_a_string() -> None:
    """Where a module is loaded only if it is needed, an `if` at the top of its importer says so."""
    ways = {"importlib.import_module", "importlib", "werkzeug.utils.import_string"}
    assert {module for module in MODULES if ways & set(imports_of(parse(module)))} == MAY_IMPORT_BY_STRING


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
        ("blueprints/auth/routes.py", "from commands.users import cli", lawless_rooms),
        ("commands/users.py", "from blueprints.users.routes import bp", modules_with_urls),
        ("commands/users.py", "from blueprints.users import routes", modules_with_urls),
        ("commands/users.py", "from deploy.metrics.counters import Metrics", lawless_rooms),
        ("deploy/master.py", "from commands.jwt import cli", lawless_rooms),
        ("rest/body.py", "from benchmarks.services import free_port", lawless_rooms),
        ("benchmarks/soak.py", "from deploy import master", lawless_rooms),
        ("benchmarks/soak.py", "from tests.databases import KINDS", imported_tests),
        ("benchmarks/soak.py", "import databases", imported_tests),
    ],
)
def test_planted_import_breaks_the_law(module: str, source: str, law: object) -> None:
    assert law(module, ast.parse(source))


def test_planted_inner_import_is_found() -> None:
    assert inner_imports(ast.parse("def f():\n    if 1:\n        import app")) == [3]
