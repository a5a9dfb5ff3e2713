"""A network namespace with one host, which can vanish: it receives, and nothing that it sends arrives. Needs root and `ip`."""

import os
import secrets
import subprocess

from benchmarks.services import NotInstalled, find_program


class Network:
    """A namespace, joined to this host by a pair of interfaces. `inner` is its address, `outer` that of this host."""

    def __init__(self) -> None:
        """Create it. Raises NotInstalled if this machine cannot."""
        if os.getuid() != 0:
            raise NotInstalled("network namespaces need root")
        self._ip = find_program("ip")
        tag, number = secrets.token_hex(3), secrets.randbelow(200) + 20
        self.name, ours, theirs = f"poort{tag}", f"po{tag}", f"pi{tag}"
        self.outer, self.inner = f"10.213.{number}.1", f"10.213.{number}.2"
        self.prefix = [self._ip, "netns", "exec", self.name]
        self._run("netns", "add", self.name)
        self._run("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", self.name)
        self._run("address", "add", f"{self.outer}/30", "dev", ours)
        self._run("link", "set", ours, "up")
        for words in (
            ("address", "add", f"{self.inner}/30", "dev", theirs),
            ("link", "set", theirs, "up"),
            ("link", "set", "lo", "up"),
        ):
            self._run("-n", self.name, *words)

    def vanish(self) -> None:
        """Let nothing out any more, not even acknowledgements."""
        self._run("-n", self.name, "route", "add", "blackhole", f"{self.outer}/32")

    def return_(self) -> None:
        """Undo `vanish`."""
        self._run("-n", self.name, "route", "delete", "blackhole", f"{self.outer}/32")

    def remove(self) -> None:
        """Delete the namespace with its interfaces."""
        self._run("netns", "delete", self.name)

    def _run(self, *words: str) -> None:
        done = subprocess.run([self._ip, *words], check=False, capture_output=True, text=True)
        if done.returncode:
            raise NotInstalled(f"ip {' '.join(words)}: {done.stderr.strip()}")
