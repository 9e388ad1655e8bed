"""A repository in which `dvc repro` has run, which tests copy."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from repositories import commit, environment, make_repository, run


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A repository whose small pipeline `dvc repro` has run, and committed; its output is in repro.log."""
    folder = tmp_path_factory.mktemp("versioned")
    make_repository(folder)
    printed = run("dvc repro", folder)
    (folder / ".dvc/tmp/repro.log").write_text(printed)
    commit(folder, "results")
    return folder


@pytest.fixture
def repository(finished, tmp_path):
    """A copy of it to change, times of files included; an MLflow store belongs to its own folder."""
    folder = tmp_path / "repository"
    shutil.copytree(
        finished, folder, symlinks=True, ignore=shutil.ignore_patterns("mlflow.db*", "mlflow-artifacts")
    )
    return folder


@pytest.fixture
def local_remote(repository, tmp_path):
    """The same with everything pushed to a folder: the repository and that folder."""
    run(f"dvc remote add --default store {tmp_path / 'remote'}", repository)
    commit(repository, "remote")
    run("dvc push", repository)
    return repository, tmp_path / "remote"


@pytest.fixture
def s3_server(tmp_path):
    """Address of an S3-compatible server on the loopback interface, with a bucket called results."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with (tmp_path / "server.log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment(tmp_path))
    try:
        for _ in range(600):
            try:
                request = urllib.request.Request(f"{address}/results", method="PUT")
                urllib.request.urlopen(request, timeout=60).close()
                break
            except urllib.error.URLError:
                assert server.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.5)
        yield address
    finally:
        server.kill()
        server.wait()
