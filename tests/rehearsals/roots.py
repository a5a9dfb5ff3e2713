"""Roots of containers without an engine: debootstrap, layers of overlayfs, and a chroot without rights."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .containerfile import Image, apply, instructions_of
from .pages import Failed

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
#: What Debian has in the place of the official images, and the user of each image.
PACKAGES = ("postgresql", "redis-server", "nginx-light")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_UNPRIVILEGED = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--clear-groups")


def run(command: Sequence[str | Path], **ways: object) -> str:
    """Run a command, and return its output. Raises Failed."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **ways)  # type: ignore[call-overload]
    if done.returncode:
        raise Failed(f"{shlex.join(map(str, command))} ended with status {done.returncode}:\n{done.stdout[-4000:]}")
    return str(done.stdout)


def mount(*words: str | Path) -> None:
    """Mount something in the mount namespace of this process."""
    run(["mount", *words])


def make_base(folder: Path) -> None:
    """Make the root of a bare Debian with Python, unless it is there."""
    if not (folder / "usr/bin/python3").exists():
        packages = "--include=python3,python3-venv,ca-certificates"
        run(["debootstrap", "--variant=minbase", packages, SUITE, folder, MIRROR])


def devices(root: Path) -> None:
    """Give a root the devices that every container has."""
    for name in _DEVICES:
        (target := root / "dev" / name).touch()
        mount("--bind", f"/dev/{name}", target)


@dataclass
class Layer:
    """Changes on the base root. While it is open, commands may write to it, as `RUN` does."""

    base: Path
    folder: Path
    image: Image = field(default_factory=Image)

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def changes(self) -> Path:
        return self.folder / "changes"

    def open(self) -> "Layer":
        """Mount it for writing."""
        for name in ("changes", "work", "root"):
            (self.folder / name).mkdir(parents=True)
        options = f"lowerdir={self.base},upperdir={self.changes},workdir={self.folder}/work"
        mount("-t", "overlay", "overlay", "-o", options, self.root)
        mount("-t", "proc", "proc", self.root / "proc")
        devices(self.root)
        for file in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):  # the network of this machine, not of the image
            (self.root / file[1:]).touch()
            mount("--bind", file, self.root / file[1:])
        return self

    def close(self) -> None:
        """Unmount it."""
        run(["umount", "--recursive", self.root])

    def run(self, command: str) -> str:
        """Run a command as root in it. pip and apt find the network as this machine does."""
        kept = {name: os.environ[name] for name in ("PIP_CERT", "PIP_DEFAULT_TIMEOUT") if name in os.environ}
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"} | self.image.environment | kept
        return run(["chroot", self.root, "sh", "-c", command], env=environment)


def build(containerfile: Path, layer: Layer) -> Image:
    """Run the instructions of a Containerfile in a layer, as an engine does; return its image."""
    layer.open()
    try:
        for name, argument in instructions_of(containerfile):
            if name == "RUN":
                layer.run(argument)
            elif name == "COPY":
                source, target = argument.split()
                shutil.copy(containerfile.parent / source, layer.root / target.lstrip("/"))
            else:
                apply(layer.image, name, argument)
    finally:
        layer.close()
    return layer.image


def install_services(layer: Layer) -> None:
    """Install Debian's servers in a layer, with the users and the configuration that the official images have."""
    layer.open()
    try:
        (layer.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")
        (layer.root / "usr/sbin/policy-rc.d").chmod(0o755)
        (layer.root / "etc/apt/apt.conf.d/sandbox").write_text('APT::Sandbox::User "root";\n')
        layer.run(
            f"apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {' '.join(PACKAGES)}"
        )
        layer.run(
            "useradd --uid 999 image-999; useradd --uid 101 --non-unique image-101; rm -rf /etc/nginx/conf.d/* /var/lib/postgresql/*"
        )
        for kind in ("access", "error"):
            layer.run(f"ln -sf /dev/std{'out' if kind == 'access' else 'err'} /var/log/nginx/{kind}.log")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path /var/cache/nginx/{kind}_temp;\n" for kind in kinds)  # Debian's are elsewhere
        (layer.root / "etc/nginx/nginx.conf").write_text(
            "worker_processes auto;\nerror_log /var/log/nginx/error.log notice;\npid /run/nginx.pid;\nevents {}\nhttp {\n"
            f"{places}access_log /var/log/nginx/access.log;\ninclude /etc/nginx/conf.d/*.conf;\n}}\n"
        )
    finally:
        layer.close()


def read_only_root(base: Path, layer: Layer, root: Path, points: Mapping[str, bool]) -> None:
    """Mount a layer without a place for changes, after making the points on which others are mounted: files, where that is True."""
    for point, is_file in points.items():
        if not (base / point[1:]).exists() and not (layer.changes / point[1:]).exists():
            target = layer.changes / point[1:]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch() if is_file else target.mkdir()
    root.mkdir(parents=True)
    mount("-t", "overlay", "overlay", "-o", f"ro,lowerdir={layer.changes}:{base}", root)
    mount("-t", "proc", "proc", root / "proc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", root / "dev")
    (root / "dev/shm").mkdir(mode=0o1777)
    (root / "dev/shm").chmod(0o1777)
    devices(root)
    for name, target in (("stdout", "1"), ("stderr", "2"), ("fd", "")):
        (root / "dev" / name).symlink_to(f"/proc/self/fd/{target}".rstrip("/"))


def confined(root: Path, user: str, folder: str, command: Sequence[str]) -> list[str]:
    """Return the words that run a command in a root, as a user without any right."""
    uid, _, gid = user.partition(":")
    words = ["/usr/sbin/chroot", str(root), "/usr/bin/setpriv", f"--reuid={uid}", f"--regid={gid}", *_UNPRIVILEGED]
    return [*words, "/usr/bin/env", f"--chdir={folder}", *command]


def options_of(tmpfs: str) -> tuple[str, str]:
    """Return the folder and the options of a `tmpfs` of compose.yaml."""
    folder, _, options = tmpfs.partition(":")
    return folder, options or "mode=1777"


def expanded(text: str) -> str:
    """Return a text of compose.yaml as an engine passes it on: `$$` is `$`. Raises Failed for a variable of the shell."""
    if "$" in text.replace("$$", ""):
        raise Failed(f"compose.yaml needs a variable of the shell: {text}")
    return text.replace("$$", "$")
