"""The findings of `bin/poort doctor`."""

from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from blueprints.parts import Parts

OK, WARNING, ERROR = "ok", "warning", "error"


class Finding(NamedTuple):
    """The result of a check. An error means that the server does not work or is not safe. Operators judge warnings."""

    part: str
    state: str
    says: str
    cure: str = ""


def why(ours: Parts, reason: SQLAlchemyError) -> str:
    """Return the first line of the driver's message, without the password."""
    said = str(getattr(reason, "orig", None) or type(reason).__name__).strip().splitlines()[0]
    password = ours.settings.database_url.password
    return said.replace(str(password), "***") if password else said
