"""What a new password must be: long enough, and none of the commonest. Off by default, as in Chamilo."""

import importlib
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """The rules for new passwords; `min_length` counts characters, 0 asks for none."""

    min_length: int = 0
    common: frozenset[str] = field(default=frozenset(), repr=False)

    def is_too_short(self, password: str) -> bool:
        """Tell whether a password has too few characters."""
        return len(password) < self.min_length

    def is_common(self, password: str) -> bool:
        """Tell whether a password, whatever its case, is among the commonest."""
        return password.lower() in self.common


def common_passwords() -> frozenset[str]:
    """Return the 30,000 commonest passwords, lower case, by zxcvbn's list.

    Loaded by name and only where it is wanted: the module takes 14 MB.
    """
    lists = importlib.import_module("zxcvbn.frequency_lists").FREQUENCY_LISTS
    return frozenset(lists["passwords"])
