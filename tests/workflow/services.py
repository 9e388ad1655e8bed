"""Services that some tests need: a Slurm controller, PostgreSQL, a browser."""

import os

import pytest


def absent(reason):
    """Skip a test whose service is not here; fail it where all are promised, with ALL_SERVICES=1."""
    (pytest.fail if os.environ.get("ALL_SERVICES") else pytest.skip)(reason)
