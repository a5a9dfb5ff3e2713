"""A new settings file."""

import os
from pathlib import Path

from deploy.new_env import SECRETS, write_env

EXAMPLE = "APP_ENV=prod\n" + "".join(f"{name}=\n" for name in SECRETS)


def test_file_that_a_killed_process_of_the_same_id_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / f".env.{os.getpid()}").write_text("half")
    write_env(EXAMPLE, tmp_path / ".env")
    lines = dict(line.split("=") for line in (tmp_path / ".env").read_text().splitlines())
    assert lines.keys() == {"APP_ENV", *SECRETS}
    assert all(len(lines[name]) == 64 for name in SECRETS)
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600
