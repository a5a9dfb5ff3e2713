"""Create a settings file with new secrets. Imports only the standard library, for `bin/new-env`."""

import os
import re
import secrets
import sys
import tempfile
from pathlib import Path

#: The variables that get a random value of their own.
SECRETS = ("JWT_PASSPHRASE", "APP_SECRET")


def write_env(example: str, target: Path) -> None:
    """Write the whole file or nothing, for its owner only. Never replaces a file. `example` is the text of .env.example."""
    if target.exists():
        return
    for name in SECRETS:
        example, found = re.subn(rf"^{name}=$", f"{name}={secrets.token_hex(32)}", example, flags=re.MULTILINE)
        if found != 1:
            sys.exit(f".env.example must have one line `{name}=`.")
    # Not named after the process: in containers its id is often that of an earlier one, which may have left such a file.
    descriptor, path = tempfile.mkstemp(prefix=".env.", dir=target.parent)
    unfinished = Path(path)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(example)
        # A link, unlike a rename, fails if another process was faster.
        os.link(unfinished, target)
    except FileExistsError:
        return
    finally:
        unfinished.unlink()
    sys.stdout.write(f"settings written: {target}\n")
    sys.stdout.flush()
