"""Run schemathesis several times in one process, since its imports and caches take as long as a short run.

Standard input has the runs, each with the arguments of the command line; `{token}` in them is a token from a new sign-in, since
an earlier run may have ended all others. Standard output gets what the runs print.
"""

import json
import sys
from urllib.request import Request, urlopen

from click.testing import CliRunner
from schemathesis.cli import schemathesis


def token_of(url: str, credentials: dict[str, str]) -> str:
    """Sign in, and return the token."""
    body = json.dumps(credentials).encode()
    with urlopen(Request(f"{url}/api/authentication_token", body, {"Content-Type": "application/json"})) as answer:
        return str(json.load(answer)["token"])


def main() -> None:
    """Run what standard input asks for."""
    printed = []
    for run in json.load(sys.stdin):
        token = token_of(run["url"], run["credentials"])
        done = CliRunner().invoke(schemathesis, [argument.replace("{token}", token) for argument in run["arguments"]])
        printed.append(done.output)
    json.dump(printed, sys.stdout)


if __name__ == "__main__":
    main()
