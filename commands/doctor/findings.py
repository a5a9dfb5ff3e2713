"""What `flask poort doctor` finds: something in order, something to think about, or something wrong; with the cure."""

from typing import NamedTuple

OK, WARNING, ERROR = "ok", "warning", "error"


class Finding(NamedTuple):
    """One thing that was looked at. An error keeps the server from serving, or from being safe; a warning does not."""

    part: str
    state: str
    says: str
    cure: str = ""
