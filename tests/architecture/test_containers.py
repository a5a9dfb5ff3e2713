"""Promises of deploy/Containerfile and deploy/compose.yaml; `make container-rehearsal` runs both."""

import re
from typing import Any

import pytest
import yaml
from rehearsals.containerfile import read_image
from rehearsals.pages import all_blocks_of, blocks_of

from config.home import ROOT
from config.secret_files import SECRETS
from config.settings import VARIABLES
from config.version import VERSION

CONTAINERFILE = ROOT / "deploy" / "Containerfile"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("name", SERVICES)
def test_service_is_confined(name: str) -> None:
    says = SERVICES[name]
    assert (says["read_only"], says["cap_drop"], says["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert "cap_add" not in says
    assert says.get("privileged", False) is False
    uid, gid = map(int, says["user"].split(":"))
    assert uid > 0
    assert gid > 0
    assert "healthcheck" in says or name == "poort", "the image has one"
    assert says["restart"] == "unless-stopped"


def test_only_nginx_is_published_and_the_database_has_no_way_out() -> None:
    assert [name for name, says in SERVICES.items() if "ports" in says] == ["nginx"]
    assert {name: says["networks"] for name, says in SERVICES.items()} == {
        "poort": ["front", "back"], "database": ["back"], "redis": ["back"], "nginx": ["front"],
    }  # fmt: skip
    assert COMPOSE["networks"]["back"] == {"internal": True}


def test_secrets_are_files_that_the_page_makes() -> None:
    made = set(
        re.findall(
            r"secrets/(\w+)|>(\w+)$|\b(\w+_\w+)(?=[ ;])", "".join(blocks_of("docker.md", "Prepare a folder")), re.MULTILINE
        )
    )
    names = {name for found in made for name in found if name}
    assert {name: says["file"] for name, says in COMPOSE["secrets"].items()} == {
        name: f"secrets/{name}" for name in COMPOSE["secrets"]
    }
    assert set(COMPOSE["secrets"]) <= names
    assert {secret for says in SERVICES.values() for secret in says.get("secrets", [])} == set(COMPOSE["secrets"])
    # A variable that Poort does not read would be ignored without a word.
    variables = SERVICES["poort"]["environment"]
    known = {variable.name for variable in VARIABLES.values()} - set(SECRETS) | {f"{name}_FILE" for name in SECRETS}
    assert set(variables) <= known
    assert [
        value for name, value in variables.items() if name.endswith("_FILE") and value[13:] not in SERVICES["poort"]["secrets"]
    ] == []


def test_image_runs_the_wheel_of_this_version_as_a_user_without_rights() -> None:
    image = read_image(CONTAINERFILE)
    (python,) = re.findall(r"^docker\.io/library/python:3\.(\d+)-slim-bookworm$", image.base)
    least = re.search(r'requires-python = ">=3\.(\d+)', (ROOT / "pyproject.toml").read_text())
    assert least
    assert int(python) >= int(least[1])
    assert image.user == SERVICES["poort"]["user"]
    assert image.health[0] == "python3"
    assert "/readyz" in image.health[-1]
    assert (image.volumes, image.environment["POORT_HOME"]) == (["/var/lib/poort"], "/var/lib/poort")
    assert (image.stop_signal, image.entry_point, image.command) == ("SIGTERM", ["poort"], ["serve"])
    texts = [CONTAINERFILE.read_text(), (ROOT / "deploy" / "compose.yaml").read_text(), *all_blocks_of("docker.md")]
    versions = {version for text in texts for version in re.findall(r"poort[-:](\d+\.\d+\.\d+)", text)}
    assert versions == {VERSION}


def test_changes_of_the_site_find_what_they_change() -> None:
    """`sed` says nothing about an expression that fits nowhere."""
    site = (ROOT / "deploy" / "nginx.conf").read_text()
    (block,) = (block for block in blocks_of("docker.md", "Prepare a folder") if "sed " in block)
    changes = re.findall(r"-e 's\|([^|]*)\|", block)
    assert len(changes) == 6
    assert [change for change in changes if not re.search(change, site)] == []
