"""The npm packages of the other tests are the ones that package.json names. These tests come first, since others wait for them."""

import json

import pytest
from clients.installing import Npm

pytestmark = [pytest.mark.early, pytest.mark.slow, pytest.mark.services]


def versions_of(npm: Npm) -> tuple[dict[str, str], dict[str, str]]:
    """Return the versions that package.json names and those that are installed, by package."""
    named = json.loads((npm.source / "package.json").read_text())["dependencies"]
    manifests = {name: npm.folder / "node_modules" / name / "package.json" for name in named}
    installed = {name: json.loads(manifest.read_text())["version"] for name, manifest in manifests.items()}
    return {name: version.rpartition("@")[2] for name, version in named.items()}, installed


def test_packages_of_the_example_are_what_it_names(npm_of_example: Npm) -> None:
    named, installed = versions_of(npm_of_example)
    assert installed == named


def test_packages_of_the_clients_are_what_they_name(npm: Npm) -> None:
    named, installed = versions_of(npm)
    assert installed == named
