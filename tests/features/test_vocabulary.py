"""Vocabularies: files of names, and the teacher's text features of them."""

import pytest
import torch

from promptdistill.clip.prompted import PromptedClip
from promptdistill.clip.templates import template_features
from promptdistill.data.vocabulary import read_names
from promptdistill.errors import UserError
from promptdistill.features.vocabulary import build_vocabulary, open_vocabulary
from trainings import sources_in

NAMES = ["forget-me-not", "red kite", "sun_dial"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("star\n\nring\n", "line 2 is empty: give one name a line"),
        ("star\nring\nstar\n", "'star' stands in line 1 and in line 3: drop one"),
        ("star\n", "holds 1 names, but a vocabulary has two or more"),
        ("", "holds 0 names"),
    ],
)
def test_files_that_are_no_vocabulary(tmp_path, text, message):
    path = tmp_path / "names.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_names(path)


def test_names_are_read_line_by_line(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeff" + "\r\n".join(NAMES))
    assert read_names(path) == NAMES


def test_the_teachers_text_features(student, random_student, tmp_path):
    """Those of "a photo of a …."; of another teacher, or damaged, they are refused."""
    build_vocabulary(student, NAMES, tmp_path / "own", sources_in(tmp_path))
    own = open_vocabulary(tmp_path / "own", student.weights_sha256)
    expected = template_features(PromptedClip(student, []), "a photo of a {}.", NAMES)
    assert own.names == NAMES
    torch.testing.assert_close(own.text, expected)
    with pytest.raises(UserError, match="is of another teacher than the answers"):
        open_vocabulary(tmp_path / "own", random_student.weights_sha256)
    path = tmp_path / "own/classifier.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged"):
        open_vocabulary(tmp_path / "own", student.weights_sha256)
