"""Rules for new passwords: a minimum length, and a list of common passwords to refuse. Off by default, as in Chamilo."""

import importlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The rules for new passwords. `min_length` is in characters; 0 sets no minimum."""

    min_length: int = 0
    common: frozenset[str] = field(default=frozenset(), repr=False)

    def is_too_short(self, password: str) -> bool:
        """Tell whether a password has too few characters."""
        return len(password) < self.min_length

    def is_common(self, password: str) -> bool:
        """Tell whether a password, in any case, is among the most common."""
        return password.lower() in self.common


def common_passwords() -> frozenset[str]:
    """Return the 30,000 most common passwords of zxcvbn's list, in lower case.

    The module takes 14 MB of memory, so it is imported here, and only if it is needed.
    """
    lists = importlib.import_module("zxcvbn.frequency_lists").FREQUENCY_LISTS
    return frozenset(lists["passwords"])
