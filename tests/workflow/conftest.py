"""What the workflow's tests share."""

import pytest
from running import copy_project


@pytest.fixture
def project(tmp_path):
    """A copy of the project's workflow and sources."""
    copy_project(tmp_path)
    return tmp_path
