"""Read a Containerfile: its instructions, and what they make of an image. Knows the forms that ours has, and refuses others."""

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Image:
    """What an image says about its containers."""

    base: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    health: list[str] = field(default_factory=list)
    entry_point: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def instructions_of(file: Path) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Containerfile with their arguments."""
    text = re.sub(r"^\s*#.*\n", "", file.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(str.strip, text.splitlines()):
        name, _, argument = line.strip().partition(" ")
        yield name, argument.strip()


def apply(image: Image, name: str, argument: str) -> None:
    """Change an image as one instruction says, other than RUN and COPY. Raises ValueError for an unknown one."""
    if name == "FROM":
        image.base = argument
    elif name == "ENV":
        image.environment |= dict(word.split("=", 1) for word in shlex.split(argument))
    elif name == "USER":
        image.user = argument
    elif name == "WORKDIR":
        image.folder = argument
    elif name in {"VOLUME", "EXPOSE"}:
        (image.volumes if name == "VOLUME" else image.ports).append(argument)
    elif name == "STOPSIGNAL":
        image.stop_signal = argument
    elif name == "HEALTHCHECK":
        image.health = json.loads(argument.partition("CMD ")[2])
    elif name in {"ENTRYPOINT", "CMD"}:
        (image.entry_point if name == "ENTRYPOINT" else image.command)[:] = json.loads(argument)
    else:
        raise ValueError(f"the rehearsal does not know {name} {argument}")


def read_image(file: Path) -> Image:
    """Return what a Containerfile says about containers, without running anything."""
    image = Image()
    for name, argument in instructions_of(file):
        if name not in {"RUN", "COPY"}:
            apply(image, name, argument)
    return image
