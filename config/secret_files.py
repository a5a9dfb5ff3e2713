"""Read secrets from files that variables like APP_SECRET_FILE name, as containers mount them."""

from collections.abc import Mapping
from pathlib import Path

#: The variables that hold a secret. JWT_SECRET_KEY and JWT_PUBLIC_KEY may hold a path themselves.
SECRETS = ("APP_SECRET", "JWT_PASSPHRASE", "DATABASE_URL", "DATABASE_PASSWORD", "REDIS_URL", "MAILER_DSN")


def is_given(name: str, source: Mapping[str, str]) -> bool:
    """Tell whether a source holds a secret, or names its file."""
    return name in source or f"{name}_FILE" in source


def joined(*sources: Mapping[str, str | None]) -> dict[str, str]:
    """Merge sources of variables; the last one wins. A secret in a file that a source names counts as the source's own.

    Raises ValueError, with a sentence that names the variable and no secret.
    """
    return {name: value for source in sources for name, value in _with_secret_files(source).items()}


def _with_secret_files(source: Mapping[str, str | None]) -> dict[str, str]:
    values = {name: value for name, value in source.items() if value is not None}
    for name in SECRETS:
        if path := values.pop(f"{name}_FILE", ""):
            if values.get(name):
                raise ValueError(f"{name} and {name}_FILE are both set: remove one.")
            values[name] = _read(f"{name}_FILE", path)
    return values


def _read(variable: str, path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as reason:
        raise ValueError(f"{variable} names {path}, which cannot be read: {reason.strerror}.") from None
    except UnicodeDecodeError:
        raise ValueError(f"{variable} names {path}, which is not a text in UTF-8.") from None
    if not text or "\n" in text or "\0" in text:
        raise ValueError(f"{variable} names {path}, which must hold one line.")
    return text
