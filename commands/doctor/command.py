"""`bin/poort doctor`: find problems of this server, and name a remedy for each."""

import json
import os
from collections.abc import Iterator

import click

from blueprints.parts import Parts, parts
from commands.doctor.findings import ERROR, OK, WARNING, Finding
from commands.doctor.host import examine_cors, examine_files, examine_proxies, examine_settings, examine_workers
from commands.doctor.packages import examine_packages
from commands.doctor.services import examine_database, examine_keys, examine_mail, examine_passphrase, examine_store
from commands.doctor.writing import examine_disk
from commands.setup import cli
from config.home import as_typed
from config.logging import printable

_COLORS = {OK: "green", WARNING: "yellow", ERROR: "red"}


@cli.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def doctor(as_json: bool) -> None:
    """Check keys, disks, database, clock, throttle, mail, proxies, files and workers, and suggest a remedy for each problem.

    Exits with 1 if it finds an error. Warnings are for you to judge. Run it as the server's user.

    Example: APP_ENV=prod bin/poort doctor
    """
    findings = [Finding(*map(as_typed, finding)) for finding in _examine(parts())]
    worst = next(state for state in (ERROR, WARNING, OK) if any(finding.state == state for finding in findings))
    if as_json:
        click.echo(json.dumps({"status": worst, "findings": [finding._asdict() for finding in findings]}, indent=2))
    else:
        for finding in findings:
            _show(finding)
    raise SystemExit(worst == ERROR)


def _examine(ours: Parts) -> Iterator[Finding]:
    yield from examine_settings(ours, os.environ)
    yield from examine_packages(ours)
    yield from examine_keys(ours)
    yield from examine_passphrase(ours)
    yield from examine_files(ours, os.environ)
    yield from examine_disk(ours)
    yield from examine_database(ours)
    yield from examine_store(ours)
    yield from examine_mail(ours)
    yield from examine_proxies(ours)
    yield from examine_cors(ours)
    yield from examine_workers(ours)


def _show(finding: Finding) -> None:
    # https://no-color.org. Click itself omits colors if the output is not a terminal.
    in_color = False if os.environ.get("NO_COLOR") else None
    state = click.style(f"{finding.state:<8}", fg=_COLORS[finding.state], bold=finding.state == ERROR)
    click.echo(f"{state} {finding.part:<10} {printable(finding.says)}", color=in_color)
    if finding.cure:
        click.echo(f"{'':<8} {'':<10} {printable(finding.cure)}", color=in_color)
