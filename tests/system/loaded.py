"""The process of forked.py that has loaded the server: it forks whenever it is asked, and the fork runs a module."""

import gc
import json
import os
import runpy
import socket
import sys
import time

# What gunicorn and `flask` load. Imports leave no garbage, as in poort/__init__.py.
gc.disable()

import flask.cli  # noqa: E402, F401
import gunicorn.app.wsgiapp  # noqa: E402
import gunicorn.arbiter  # noqa: E402, F401

import app  # noqa: E402, F401
import commands  # noqa: E402, F401

gc.freeze()
gc.enable()

#: Longer than any command with its environment.
QUESTION_BYTES = 200_000


def wait_for_work(control: socket.socket) -> bytes | None:
    """Fork whenever asked, and tell the exit status of forks. Return what to run in a fork, and None at the end."""
    while True:
        question, descriptors, *_ = socket.recv_fds(control, QUESTION_BYTES, 2)
        if not question:
            return None
        if not descriptors:
            said = os.waitstatus_to_exitcode(os.waitpid(int(question), 0)[1])
        elif not (said := os.fork()):
            for place, descriptor in enumerate(descriptors, 1):
                os.dup2(descriptor, place)
                os.close(descriptor)
            return question
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(said).encode())


def run(question: bytes) -> None:
    """Become what `python -m` would be in the given folder with the given environment."""
    wanted = json.loads(question)
    os.environ.clear()
    os.environ.update(wanted["environment"])
    time.tzset()
    os.chdir(wanted["folder"])
    more = os.environ.get("PYTHONPATH")
    # The path begins with the folder of this script, and then that of the project.
    sys.path[:2] = [wanted["folder"], *(more.split(os.pathsep) if more else ())]
    sys.argv = wanted["words"]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as control:
        question = wait_for_work(control)
    if question is not None:
        run(question)
