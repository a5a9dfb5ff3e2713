"""A fork of forked.py is, for the module that it runs, what a new Python would be."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from system.serving import PYTHON, clean_environment, run_python

SHOW = """
import gc, json, os, signal, sys
streams = [os.fstat(number).st_mode for number in range(3)]
umask = os.umask(0)
signals = {number: str(signal.getsignal(number)) for number in signal.valid_signals()}
opened = len(os.listdir("/proc/self/fd"))
environment = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}  # PEP 538
shown = [__name__, sys.argv, sys.path, os.getcwd(), environment, streams, umask, signals, opened, gc.isenabled()]
print(json.dumps(shown))
sys.exit("said " + str(sys.stdin.read()))
"""


def shown(folder: Path, *, in_new_python: bool) -> tuple[int, str, Any]:
    environment = clean_environment(PYTHONPATH=str(folder / "more"), OWN="1")
    done = run_python((*PYTHON, "show", "--word", "other word"), folder, environment, in_new_python=in_new_python)
    return done.returncode, done.stderr, json.loads(done.stdout)


def test_it_has_the_arguments_path_environment_streams_and_status_of_a_new_python(tmp_path: Path) -> None:
    (tmp_path / "show.py").write_text(SHOW)
    expected = shown(tmp_path, in_new_python=True)
    assert expected[:2] == (1, "said \n")
    assert shown(tmp_path, in_new_python=False) == expected


@pytest.mark.parametrize("in_new_python", [True, False])
def test_signal_that_ends_it_is_its_status(tmp_path: Path, *, in_new_python: bool) -> None:
    (tmp_path / "killed.py").write_text("import os; os.kill(os.getpid(), 9)")
    done = run_python((*PYTHON, "killed"), tmp_path, dict(os.environ), in_new_python=in_new_python)
    assert (done.returncode, done.stdout, done.stderr) == (-9, "", "")
