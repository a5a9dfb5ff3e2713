"""A small network on one machine. Its hosts are network namespaces, and their cables can be pulled. Needs root and `ip`."""

import os
import secrets
import subprocess
from collections.abc import Sequence

from benchmarks.services import NotInstalled, find_program


class Lan:
    """Namespaces on one switch, each with an address. This machine itself is on it as well, at `address("here")`."""

    def __init__(self, names: Sequence[str]) -> None:
        """Create them. Raises NotInstalled if this machine cannot."""
        if os.getuid() != 0:
            raise NotInstalled("network namespaces need root")
        self._ip = find_program("ip")
        self._tag, number = secrets.token_hex(2), secrets.randbelow(200) + 20
        self._addresses = {name: f"10.214.{number}.{last}" for last, name in enumerate(("here", *names), 1)}
        try:
            self._run("netns", "add", self._space("switch"))
            self._run("-n", self._space("switch"), "link", "add", "switch", "type", "bridge")
            self._run("-n", self._space("switch"), "link", "set", "switch", "up")
            for name in self._addresses:
                self._connect(name)
        except BaseException:
            self.remove()
            raise

    def address(self, name: str) -> str:
        """Return the address of a host."""
        return self._addresses[name]

    def on(self, name: str) -> list[str]:
        """Return the words that run a command on a host."""
        return [self._ip, "netns", "exec", self._space(name)]

    def pull_cable(self, name: str) -> None:
        """Disconnect a host: its packets and those to it are lost."""
        self._run("-n", self._space("switch"), "link", "set", self._plug(name), "down")

    def plug_in(self, name: str) -> None:
        """Connect a host again."""
        self._run("-n", self._space("switch"), "link", "set", self._plug(name), "up")

    def remove(self) -> None:
        """Delete the namespaces, and with them all cables."""
        for name in ("switch", *self._addresses):
            if name != "here":
                subprocess.run([self._ip, "netns", "delete", self._space(name)], check=False, capture_output=True)

    def _connect(self, name: str) -> None:
        space, plug = self._space(name), self._plug(name)
        inside = [] if name == "here" else ["-n", space]
        if name != "here":
            self._run("netns", "add", space)
            self._run("-n", space, "link", "set", "lo", "up")
        cable = f"pc{self._tag}{self._addresses[name].rpartition('.')[2]}"
        self._run(*inside, "link", "add", cable, "type", "veth", "peer", "name", plug, "netns", self._space("switch"))
        self._run("-n", self._space("switch"), "link", "set", plug, "master", "switch", "up")
        self._run(*inside, "address", "add", f"{self._addresses[name]}/24", "dev", cable)
        self._run(*inside, "link", "set", cable, "up")

    def _space(self, name: str) -> str:
        return f"poort-{self._tag}-{name}"

    def _plug(self, name: str) -> str:
        return f"pp{self._tag}{self._addresses[name].rpartition('.')[2]}"

    def _run(self, *words: str) -> None:
        done = subprocess.run([self._ip, *words], check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(f"ip {' '.join(words)}: {done.stderr.strip()}")
