"""A few mutations for every reader; `make fuzz` reads many."""

import pytest

from fuzzing import READERS, Reader, every_reader, fuzz
from promptdistill.files import read_json


@pytest.mark.filterwarnings("ignore")  # of Pillow, on damaged pictures
@pytest.mark.parametrize("name", every_reader())
def test_nothing_but_a_sentence_comes_out(name):
    found = fuzz(every_reader()[name], 40, f"test {name}")
    assert not found.faults, "\n".join(found.faults)
    assert found.refused or name == "checkpoint"  # a damaged one is as good as none


def test_a_fault_is_found():
    """A reader that decodes a file by itself is caught."""
    careless = Reader(READERS["receipt"].make, lambda path: read_json(path)["dataset"].upper())
    found = fuzz(careless, 200, "fault")
    assert any("KeyError" in fault for fault in found.faults)
    assert found.taken + found.refused < 201


def test_a_seed_gives_the_same_inputs():
    inputs = []

    def read(path):
        inputs.append(path.read_bytes() if path.is_file() else None)

    for _ in range(2):
        fuzz(Reader(READERS["draw"].make, read), 30, "same")
    assert inputs[:31] == inputs[31:]
