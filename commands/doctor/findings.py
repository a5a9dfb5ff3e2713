"""The findings of `bin/poort doctor`."""

from typing import NamedTuple

OK, WARNING, ERROR = "ok", "warning", "error"


class Finding(NamedTuple):
    """The result of a check. An error means that the server does not work or is not safe; a warning is to be judged."""

    part: str
    state: str
    says: str
    cure: str = ""
