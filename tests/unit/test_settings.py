"""Settings: their sources, their values, and the one sentence about a bad value; under `flask` and gunicorn alike."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL
from system.serving import clean_environment, run_python

from config import InvalidSetting, Settings, load_settings, parse_settings
from config.settings import DATABASE_PARTS, ROOT, VARIABLES

SECRET = "s3cret-of-nobody"


# --- Values


def test_defaults_are_those_of_the_table() -> None:
    settings = parse_settings({})
    assert (settings.app_env, settings.jwt_token_ttl_seconds, settings.login_throttling_max_attempts) == ("prod", 3600, 10)
    assert settings.jwt_secret_key == f"{ROOT}/config/jwt/private.pem"
    assert settings.database_url == URL.create("sqlite", database=f"{ROOT}/var/poort.db")
    assert settings.cors_allow_origin is not None
    assert settings.cors_allow_origin.match("http://localhost:8080")


@pytest.mark.parametrize("name", [variable.name for variable in VARIABLES.values()])
def test_an_empty_value_is_the_default_or_nothing(name: str) -> None:
    defaults, emptied = parse_settings({}), parse_settings({name: ""})
    attribute = next(attribute for attribute, variable in VARIABLES.items() if variable.name == name)
    if name == "CORS_ALLOW_ORIGIN":
        assert emptied.cors_allow_origin is None
    else:
        assert getattr(emptied, attribute) == getattr(defaults, attribute)


@pytest.mark.parametrize("text", ["1", "true", "TRUE", "yes", "on", " On "])
def test_a_switch_is_on(text: str) -> None:
    assert parse_settings({"APP_ENABLE_API_ENTRYPOINT": text}).app_enable_api_entrypoint is True


@pytest.mark.parametrize("text", ["0", "false", "no", "off", ""])
def test_a_switch_is_off(text: str) -> None:
    assert parse_settings({"APP_ENABLE_API_ENTRYPOINT": text}).app_enable_api_entrypoint is False


DOCTRINE = {
    "mysql://u:p@h:3306/chamilo?serverVersion=10.11.2-MariaDB&charset=utf8mb4": "mysql+pymysql://u:p@h:3306/chamilo?charset=utf8mb4",
    "mysql://u@h/chamilo": "mysql+pymysql://u@h/chamilo?charset=utf8mb4",
    "mysql2://u:p@h/chamilo": "mysql+pymysql://u:p@h/chamilo?charset=utf8mb4",
    "pdo-mysql://u:p@h/chamilo": "mysql+pymysql://u:p@h/chamilo?charset=utf8mb4",
    "mariadb://u:p@h/chamilo": "mysql+pymysql://u:p@h/chamilo?charset=utf8mb4",
    "mysql://u:p%40%2F%3A@h/chamilo?charset=latin1": "mysql+pymysql://u:p%40%2F%3A@h/chamilo?charset=utf8mb4",
    "mysql://u:p@h/chamilo?unix_socket=/run/mysqld/mysqld.sock": "mysql+pymysql://u:p@h/chamilo?charset=utf8mb4&unix_socket=%2Frun%2Fmysqld%2Fmysqld.sock",
    "postgresql://u:p@h:5432/chamilo?serverVersion=15&charset=utf8": "postgresql+psycopg://u:p@h:5432/chamilo",
    "postgres://u:p@h/chamilo?sslmode=require": "postgresql+psycopg://u:p@h/chamilo?sslmode=require",
    "pgsql://u:p@h/chamilo": "postgresql+psycopg://u:p@h/chamilo",
    "sqlite:////var/lib/poort/poort.db": "sqlite:////var/lib/poort/poort.db",
    "sqlite:///%kernel.project_dir%/var/data.db": "sqlite:////srv/campus/var/data.db",
    "pdo-sqlite:////var/lib/poort.db": "sqlite:////var/lib/poort.db",
}


@pytest.mark.parametrize(("given", "meant"), DOCTRINE.items(), ids=DOCTRINE)
def test_database_urls_come_in_doctrines_form(given: str, meant: str) -> None:
    url = parse_settings({"DATABASE_URL": given}, Path("/srv/campus")).database_url
    assert url.render_as_string(hide_password=False) == meant


def test_the_database_may_come_in_chamilos_parts() -> None:
    parts = {
        "DATABASE_HOST": "db",
        "DATABASE_PORT": "3307",
        "DATABASE_NAME": "chamilo",
        "DATABASE_USER": "u",
        "DATABASE_PASSWORD": "p@/:%",
    }
    url = parse_settings(parts).database_url
    assert (url.drivername, url.host, url.port, url.database, url.username, url.password) == (
        "mysql+pymysql", "db", 3307, "chamilo", "u", "p@/:%",
    )  # fmt: skip
    named = parse_settings({"DATABASE_NAME": "chamilo"}).database_url
    assert (named.host, named.port, named.database) == ("localhost", 3306, "chamilo")
    assert parse_settings(parts | {"DATABASE_URL": "sqlite:////x.db"}).database_url.drivername == "sqlite"


# --- Bad values

BAD = {
    "APP_ENV": ["production", "dev,test"],
    "APP_ENABLE_API_ENTRYPOINT": ["maybe", "2"],
    "CHAMILO_VERSION": ["1", "2.0", "three"],
    "JWT_ALLOW_WEAK_PASSPHRASE": ["x"],
    "JWT_TOKEN_TTL": ["0", "-1", "1h", "3600.5", "9" * 20],
    "JWT_CLOCK_SKEW": ["-1", "x", "99999"],
    "JWT_KID": ["perhaps"],
    "REFRESH_TOKEN_TTL": ["-1", "1 week"],
    "REFRESH_TOKEN_MAX_LIFETIME": ["0", "ever"],
    "REFRESH_TOKEN_MAX_SESSIONS": ["0", "1001", "few"],
    "REDIS_URL": [
        *("localhost:6379", "http://redis", "redis://", "unix://", "redis://h/main", "redis://h?db=main", "redis://h:99999"),
        *("redis://h?socket_timeout=60", "redis://h?db", "redis://h?ssl_ca_certs=/x", "redis://:pa/ss@h", "redis://:pa#ss@h"),
    ],
    "LOGIN_THROTTLING_MAX_ATTEMPTS": ["-1", "ten"],
    "LOGIN_THROTTLING_INTERVAL": ["0", "1 minute"],
    "PASSWORD_HASH_COST": ["3", "17", "x"],
    "PASSWORD_HASH_QUEUE": ["-1", "101", "some"],
    "PASSWORD_HASH_WAIT": ["0", "61", "2.5"],
    "PASSWORD_MIN_LENGTH": ["-1", "long"],
    "PASSWORD_REFUSE_COMMON": ["some"],
    "PASSWORD_REHASH": ["often"],
    "ALLOW_MD5": ["sometimes"],
    "DATABASE_SCHEMA": ["moodle"],
    "ACCESS_URL_ID": ["0", "main"],
    "READ_ONLY": ["mostly"],
    "API_KEYS": ["some"],
    "MAX_ITEMS_PER_PAGE": ["0", "all"],
    "USER_DELETE_MODE": ["gone"],
    "DEFAULT_LOCALE": ["x" * 11, "\n", " "],
    "DEFAULT_TIMEZONE": ["x" * 65, "Europe/\tParis"],
    "MAILER_DSN": [
        *("localhost:25", "http://mail", "smtp://", "smtp://h:port", "smtp://h:99999", "smtp://h/inbox", "smtp://h#x", "mail"),
        *("sendmail://default", "native://default", "failover(smtp://a smtp://b)", "smtp://u:pa/ss@h", "smtp://u:pa#ss@h"),
        *("smtp://h?verify_peer=maybe", "smtp://h?verify_peer", "smtp://h?peer_fingerprint=x", "smtp://[h", "smtp://u:p?a@h"),
    ],
    "MAILER_FROM": ["nobody", "a@b@c", "Campus <a@example.com>", "a@b\nBcc: c@d", "a b@c", "@c", "a@"],
    "CORS_ALLOW_ORIGIN": ["(", "*"],
    "TRUSTED_PROXIES": ["proxy", "10.0.0.0/33", "10.0.0.1/8"],
    "DATABASE_URL": [
        "nonsense",
        "mysql://u:p@h/x?zone=1",
        "pgsql://h/x?sslkey=/nowhere",
        "oracle://u:p@h/x",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://u:p@h",
        "mysql://u:p@h:port/x",
        "mysql://u:p@a,b:port/x",
        "pgsql://u:p@a,b/x?target_session_attrs=any",
    ],
    "DATABASE_PORT": ["port"],
    "PORT": ["0", "65536", "http"],
    "WEB_CONCURRENCY": ["0", "many"],
    "METRICS_PORT": ["-1", "65536", "on", "8000"],
    "LOG_LEVEL": ["loud"],
    "LOG_FORMAT": ["xml"],
}
ALL_BAD = [(name, value) for name, values in BAD.items() for value in values]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("", ""),
        ("redis://redis", "redis://redis"),
        ("REDIS://:p%40w@[::1]:6379/3", "redis://:p%40w@[::1]:6379/3"),
        ("rediss://u:p@redis:6380/0?ssl_ca_certs=/etc/ca.pem", "rediss://u:p@redis:6380/0?ssl_ca_certs=/etc/ca.pem"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
        ("unix://:p@/run/redis.sock", "unix://:p@/run/redis.sock"),
    ],
)
def test_redis_url_is_taken_as_it_is(given: str, read: str) -> None:
    assert parse_settings({"REDIS_URL": given}).redis_url == read


@pytest.mark.parametrize("value", ["redis://:{}/@h:1", "redis://:{}@h/x", "http://:{}@h", "redis://:a:{}#@h"])
def test_password_of_redis_is_not_told(value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        parse_settings({"REDIS_URL": value.format(SECRET)})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "value", ["smtp://u:{}/@h:1", "http://u:{}@h", "smtp://u:{}@h:x", "smtp://u:{}@h?{}", "smtps://u:{}@[h", "smtp://u:a:{}#@h"]
)
def test_password_of_the_mail_server_is_not_told(value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        parse_settings({"MAILER_DSN": value.replace("{}", SECRET)})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert SECRET not in repr(parse_settings({"MAILER_DSN": f"smtp://u:{SECRET}@h"}).mailer_dsn)


@pytest.mark.parametrize(("name", "value"), ALL_BAD)
def test_a_bad_value_is_one_sentence_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        parse_settings({name: value})
    message = str(caught.value)
    # The five parts are joined to a URL before validation.
    assert message.startswith("DATABASE_URL " if name == "DATABASE_PORT" else f"{name} ")
    assert message.endswith(".")
    assert "\n" not in message


def test_every_variable_that_can_be_wrong_is_tried() -> None:
    free_text = {"APP_SECRET", "JWT_SECRET_KEY", "JWT_PUBLIC_KEY", "JWT_PASSPHRASE", "JWT_ISSUER", "JWT_AUDIENCE"}
    assert set(BAD) | free_text == {variable.name for variable in VARIABLES.values()} | {"DATABASE_PORT"}


@pytest.mark.parametrize(
    "url", [f"oracle://u:{SECRET}@h/x", f"mysql://u:{SECRET}@h", f"mysql://u:{SECRET}@h:x/y", f"mysql:/u:{SECRET}@h/x"]
)
def test_no_message_holds_a_password(url: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        parse_settings({"DATABASE_URL": url})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_settings_show_no_secret() -> None:
    settings = parse_settings(
        {"JWT_PASSPHRASE": SECRET, "APP_SECRET": SECRET, "JWT_SECRET_KEY": SECRET, "DATABASE_URL": f"mysql://u:{SECRET}@h/x"}
    )
    assert SECRET not in f"{settings!r} {settings} {settings.database_url} {settings.database_url!r}"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        parse_settings({}).port = 1  # type: ignore[misc]


# --- Files


def test_the_environment_beats_env_local_which_beats_env(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "JWT_TOKEN_TTL=1\nJWT_CLOCK_SKEW=1\nMAX_ITEMS_PER_PAGE=1\nJWT_SECRET_KEY=%kernel.project_dir%/k\n"
    )
    (tmp_path / ".env.local").write_text("JWT_CLOCK_SKEW=2\nMAX_ITEMS_PER_PAGE=2\n")
    settings = load_settings({"POORT_ENV_FILE": str(tmp_path / ".env"), "MAX_ITEMS_PER_PAGE": "3"})
    assert (settings.jwt_token_ttl_seconds, settings.jwt_clock_skew_seconds, settings.max_items_per_page) == (1, 2, 3)
    assert settings.jwt_secret_key == f"{tmp_path}/k"


def test_chamilos_own_env_can_be_pointed_at(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "APP_ENV='prod'\nAPP_SECRET=abc\nAPP_MULTIPLE_ACCESS_URL=0\n"
        "DATABASE_HOST='127.0.0.1'\nDATABASE_PORT='3306'\nDATABASE_NAME='chamilo'\nDATABASE_USER='root'\nDATABASE_PASSWORD='ro#ot'\n"
        "# DATABASE_URL='mysql://…'\nMAILER_DSN=null://null\n"
        "JWT_SECRET_KEY=%kernel.project_dir%/config/jwt/private.pem\nJWT_PUBLIC_KEY=%kernel.project_dir%/config/jwt/public.pem\n"
        "JWT_PASSPHRASE=your_secret_passphrase\nCORS_ALLOW_ORIGIN='^https?://(localhost|127\\.0\\.0\\.1)(:[0-9]+)?$'\n"
    )
    settings = load_settings({"POORT_ENV_FILE": str(tmp_path / ".env")})
    assert settings.database_url == URL.create(
        "mysql+pymysql", "root", "ro#ot", "127.0.0.1", 3306, "chamilo", query={"charset": "utf8mb4"}
    )
    assert settings.jwt_public_key == f"{tmp_path}/config/jwt/public.pem"
    assert settings.jwt_passphrase == "your_secret_passphrase"


def test_secrets_come_from_files_of_their_own(tmp_path: Path) -> None:
    """As containers mount them. A source beats those before it, whether it holds the secret or names its file."""
    values = {"APP_SECRET": "a #'b\" ", "JWT_PASSPHRASE": "p", "REDIS_URL": "redis://h", "MAILER_DSN": "smtp://h:25"}
    values |= {"DATABASE_URL": "postgresql://u:p@h/n"}
    for name, value in values.items():
        (tmp_path / name).write_text(f"{value}\n")
    (tmp_path / ".env").write_text(f"APP_SECRET=of .env\nJWT_PASSPHRASE=\nREDIS_URL_FILE={tmp_path}/APP_SECRET\n")
    named = {f"{name}_FILE": str(tmp_path / name) for name in values}
    settings = load_settings({"POORT_ENV_FILE": str(tmp_path / ".env")} | named)
    assert (settings.app_secret, settings.jwt_passphrase, settings.redis_url) == ("a #'b\" ", "p", "redis://h")
    assert (str(settings.database_url), settings.mailer_dsn and settings.mailer_dsn.host) == (
        "postgresql+psycopg://u:***@h/n",
        "h",
    )
    with pytest.raises(InvalidSetting, match=r"^REDIS_URL must be a URL"):
        load_settings({"POORT_ENV_FILE": str(tmp_path / ".env")})
    (tmp_path / "DATABASE_PASSWORD").write_text("ro#ot")
    parts = {"DATABASE_HOST": "h", "DATABASE_NAME": "n", "DATABASE_USER": "u"}
    named = {"DATABASE_PASSWORD_FILE": str(tmp_path / "DATABASE_PASSWORD"), "REDIS_URL": "redis://h"}
    assert load_settings({"POORT_ENV_FILE": str(tmp_path / ".env")} | parts | named).database_url.password == "ro#ot"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"names \S+, which cannot be read: No such file or directory\."),
        (b"", r"names \S+, which must hold one line\."),
        (f"{SECRET}\n{SECRET}".encode(), r"names \S+, which must hold one line\."),
        (SECRET.encode() + b"\xff", r"names \S+, which is not a text in UTF-8\."),
    ],
)
def test_secret_file_that_cannot_be_used_is_one_sentence_without_the_secret(
    content: bytes | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(InvalidSetting, match=f"^APP_SECRET_FILE {message}$") as caught:
        load_settings({"APP_SECRET_FILE": str(tmp_path / "secret")})
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_secret_and_its_file_from_one_source_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"^APP_SECRET and APP_SECRET_FILE are both set: remove one\.$"):
        load_settings({"APP_SECRET": SECRET, "APP_SECRET_FILE": str(tmp_path)})


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidSetting, match=r"POORT_ENV_FILE names /nowhere/\.env, which is not a file\."):
        load_settings({"POORT_ENV_FILE": "/nowhere/.env"})


# --- .env.example


def test_the_example_has_every_variable_with_its_default_unit_and_meaning() -> None:
    text = (ROOT / ".env.example").read_text()
    for variable in VARIABLES.values():
        comment, _, line = (re.search(rf"((?:^# .*\n)+)^(?:# )?({variable.name}=.*)$", text, re.MULTILINE) or [""] * 3)[
            0
        ].rpartition("\n")
        words = " ".join(comment.replace("# ", "").split())
        assert f"{variable.unit}: {variable.meaning}." in words, variable.name
        assert line.removeprefix("# ").partition("=")[2].strip("'") == variable.default, variable.name
    for name in (*DATABASE_PARTS, "POORT_ENV_FILE"):
        assert name in text


def test_the_example_says_what_the_secret_key_is() -> None:
    assert "HMAC secret" in (ROOT / ".env.example").read_text()


# --- Real processes

Start = Callable[..., subprocess.CompletedProcess[str]]

SHOW = "from config import load_settings as s; s = s(); print(s.app_env, s.jwt_token_ttl_seconds, s.jwt_clock_skew_seconds, s.max_items_per_page)"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".env").write_text("JWT_PASSPHRASE=enough\nJWT_TOKEN_TTL=1\nJWT_CLOCK_SKEW=1\nMAX_ITEMS_PER_PAGE=1\n")
    (tmp_path / ".env.local").write_text("JWT_CLOCK_SKEW=2\nMAX_ITEMS_PER_PAGE=2\n")
    return tmp_path


@pytest.fixture(params=["flask", "gunicorn"])
def start(request: pytest.FixtureRequest, home: Path) -> Start:
    """Start the application as `flask` and as gunicorn do, in the folder of the `.env`, and print its settings."""
    show = home / "show.py"
    show.write_text(f"import sys; sys.path.insert(0, {str(ROOT)!r})\nimport wsgi\n{SHOW}\napp = wsgi.app\n")
    command = {
        "flask": [sys.executable, "-m", "flask", "--app", str(show), "routes"],
        "gunicorn": [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            str(ROOT / "deploy" / "gunicorn.conf.py"),
            "--check-config",
            "show:app",
        ],
    }[request.param]

    def start_it(*, in_new_python: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = clean_environment(POORT_ENV_FILE=str(home / ".env"), PYTHONPATH=str(home)) | variables
        return run_python(command, home, environment, in_new_python=in_new_python)

    return start_it


@pytest.mark.slow
def test_both_ways_read_the_same(start: Start, request: pytest.FixtureRequest) -> None:
    result = start(MAX_ITEMS_PER_PAGE="3")
    mode = "dev" if "flask" in request.node.name else "prod"
    assert result.stdout.splitlines()[:1] == [f"{mode} 1 2 3"], result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_TOKEN_TTL", "soon"),
        ("DATABASE_URL", "sqlite:////proc/nowhere/poort.db"),
        ("DATABASE_URL", f"oracle://u:{SECRET}@h/x"),
        ("PORT", "http"),
        ("POORT_ENV_FILE", "/nowhere"),
    ],
)
def test_a_bad_value_stops_the_start_with_one_sentence(start: Start, name: str, value: str) -> None:
    result = start(in_new_python=False, **{name: value})
    assert result.returncode != 0
    assert re.fullmatch(rf"\S+: {name} [^\n]+\.\n", result.stderr), result.stderr
    assert result.stdout == ""
    assert SECRET not in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "package", "requirements"),
    [
        ("DATABASE_URL", f"mysql://u:{SECRET}@127.0.0.1/x", "pymysql", "requirements-mysql.txt"),
        ("REDIS_URL", f"redis://:{SECRET}@127.0.0.1", "redis", "requirements-redis.txt"),
    ],
)
def test_a_missing_driver_stops_the_start_with_one_sentence(
    start: Start, home: Path, name: str, value: str, package: str, requirements: str
) -> None:
    # A finder that does not find the package, as if it were not installed.
    (home / "sitecustomize.py").write_text(
        f"import importlib.util as u; f = u.find_spec; u.find_spec = lambda n, p=None: None if n == '{package}' else f(n, p)\n"
    )
    result = start(**{name: value})
    assert result.returncode != 0
    assert re.fullmatch(
        rf"\S+: {name} needs the package {package}, which is not installed: [^\n]+ -r {requirements}`\.\n", result.stderr
    ), result.stderr


def test_settings_are_what_they_say_they_are() -> None:
    assert set(VARIABLES) == set(Settings.__dataclass_fields__)
