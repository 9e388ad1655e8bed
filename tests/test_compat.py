"""What importing open_clip leaves out, and leaves as it was."""

import subprocess
import sys

CODE = """
import sys
from promptdistill.compat import import_open_clip

open_clip = import_open_clip()
assert not {"torch._dynamo", "sympy"} & set(sys.modules), "torch's compiler was imported"

import torch

assert torch.equal(torch.compile(lambda x: x + 1, backend="eager")(torch.zeros(2)), torch.ones(2))
assert torch._dynamo.__file__ and torch._dynamo.utils.__file__
"""


def test_torchs_compiler_is_not_imported_and_still_there():
    """In a process of its own: another test may have imported it."""
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
