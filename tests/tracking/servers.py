"""Real servers for tests, on loopback: MLflow, and PostgreSQL behind it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import requests

BIN = Path(sys.executable).parent
STARTING_SECONDS = 900  # a server that dies is noticed at once; on a busy machine a start takes minutes


def without_mlflow_settings():
    """The environment, but for what would send runs elsewhere or make MLflow believe that it is tested."""
    foreign = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "PYTEST_CURRENT_TEST")
    return {name: value for name, value in os.environ.items() if name not in foreign}


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


@contextmanager
def mlflow_server(folder, backend=None):
    """A server with its artifacts in `folder`, and its database too unless `backend` names one: its URI."""
    port = free_port()
    command = [BIN / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "2"]
    stores = [
        *("--backend-store-uri", backend or f"sqlite:///{folder}/mlflow.db"),
        *("--artifacts-destination", folder / "artifacts"),
    ]
    environment = without_mlflow_settings() | {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # evaluation of language models
    }
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [*command, *stores], env=environment, stdout=log, stderr=log, cwd=folder, start_new_session=True
        )
        try:
            uri = f"http://127.0.0.1:{port}"
            _wait(lambda: _answers(uri), server, folder / "server.log")
            yield uri
        finally:
            _stop(server)


def _answers(uri):
    try:
        return requests.get(f"{uri}/health", timeout=10).ok
    except requests.ConnectionError:
        return False


def _wait(is_ready, process, log):
    end = time.monotonic() + STARTING_SECONDS
    while not is_ready():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args[0]} did not start:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)


def _stop(server):
    """End a server and the workers of its process group."""
    os.killpg(server.pid, 15)
    server.wait(30)


def postgres_binaries():
    """The folder of initdb and postgres: on the path, or where Debian puts it; None if there is none."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders and (folders[-1] / "postgres").exists() else None


@contextmanager
def postgres_server():
    """A new database cluster, as a user who is not root, which PostgreSQL refuses: its SQLAlchemy URI."""
    binaries = postgres_binaries()
    user = {"user": "nobody"} if os.geteuid() == 0 else {}
    # Not in pytest's folders: those are closed to other users.
    with tempfile.TemporaryDirectory(prefix="postgres") as name:
        folder = Path(name)
        if user:
            shutil.chown(folder, "nobody")
        subprocess.run(
            [binaries / "initdb", "-D", folder / "data", "-U", "mlflow", "--auth=trust", "--no-sync"],
            check=True, capture_output=True, cwd=folder, **user,
        )  # fmt: skip
        port = free_port()
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [binaries / "postgres", "-D", "data", "-p", str(port), "-h", "127.0.0.1", "-k", folder],
                stdout=log, stderr=log, cwd=folder, start_new_session=True, **user,
            )  # fmt: skip
            try:
                _wait(lambda: _listens(port), server, folder / "log")
                yield f"postgresql+psycopg2://mlflow@127.0.0.1:{port}/postgres"
            finally:
                server.terminate()  # postgres ends its own workers
                server.wait(60)


def _listens(port):
    with socket.socket() as own:
        return own.connect_ex(("127.0.0.1", port)) == 0
