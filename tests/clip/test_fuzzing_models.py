"""Mutated prompts, checkpoints, lookups and weights: read, or refused with a sentence; nothing else."""

import random
import warnings

import pytest

from fuzzing_models import READERS
from promptdistill.errors import UserError

SNIPPETS = [
    b"\xff",
    b"\0" * 8,
    b"\xff" * 8,
    b"\xed\xa0\x80",
    b"-1",
    b"1e999",
    b"9" * 300,
    b"null",
    b"[]",
    b"{",
]
SNIPPETS += [b'"', b",", b"NaN", b"\x7f\xff\xff\xff", b"float64", b"../", b"\x80\x02"]


def mutated(content, rng):
    for _ in range(rng.choice([1, 1, 2, 3])):
        start = rng.randrange(len(content) + 1)
        end = min(len(content), start + rng.choice([0, 1, 2, 8, 64, len(content)]))
        middle = rng.choice(
            [b"", content[start:end] * 2, rng.choice(SNIPPETS), bytes(rng.randbytes(end - start))]
        )
        content = content[:start] + middle + content[end:]
    return content


@pytest.mark.parametrize("name", READERS)
def test_only_sentences_come_out(name, tmp_path):
    reader, rng = READERS[name], random.Random(name)
    path = reader.make(tmp_path)
    valid, refused = path.read_bytes(), 0
    reader.read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number in range(200):
            content = mutated(valid, rng)
            if number % 3 == 0:  # in the header, or in the objects of an archive
                head = rng.randrange(1, min(len(valid), 3000))
                content = mutated(valid[:head], rng) + valid[head:]
            path.write_bytes(content)
            try:
                reader.read(path)
            except UserError as error:
                refused += 1
                str(error).encode()
    path.unlink()
    path.mkdir()
    try:
        reader.read(path)
    except (UserError, OSError):  # the command line says both
        refused += 1
    assert refused > 0 or name == "checkpoint"
