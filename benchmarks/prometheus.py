"""Start Prometheus for tests, in a temporary folder on a free port."""

import tempfile
from pathlib import Path

from benchmarks.services import Program, find_program, free_port, listening, spawn


def start_prometheus(metrics_port: int, scrape_seconds: float = 1) -> tuple[Program, int]:
    """Start a Prometheus that scrapes a loopback port as the job `poort`. Return it with its own port."""
    program, port, folder = find_program("prometheus"), free_port(), Path(tempfile.mkdtemp(prefix="poort-prometheus-"))
    interval = f"{int(scrape_seconds * 1000)}ms"
    (folder / "prometheus.yml").write_text(
        f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n"
        f'scrape_configs: [{{job_name: poort, static_configs: [{{targets: ["127.0.0.1:{metrics_port}"]}}]}}]\n'
    )
    places = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data")
    command = [program, *places, f"--web.listen-address=127.0.0.1:{port}"]
    return listening(Program("prometheus", spawn(command, folder), folder), port), port
