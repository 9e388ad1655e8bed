"""What artifacts are called, and what of an experiment is made from what."""

import re
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptdistill import graph
from promptdistill.errors import UserError
from promptdistill.experiment import Experiment
from promptdistill.protocols import PROTOCOLS

CONFIG_DIR = Path(__file__).parent.parent / "config"
EXPERIMENTS = sorted(path.name for path in CONFIG_DIR.glob("*.yaml"))
KINDS = [
    graph.Receipt,
    graph.Split,
    graph.Draw,
    graph.StoredRegions,
    graph.Lookup,
    graph.LookupPart,
    graph.DrawFeatures,
    graph.TestFeatures,
    graph.BoostingPrompt,
    graph.Prompt,
    graph.TeacherPrompt,
    graph.Predictions,
    graph.Metrics,
    graph.Table,
    graph.AblationTable,
]
NUMBERS = ("shots", "seed", "part", "parts")


def of_names(kind):
    """Artifacts of one kind, of any names and numbers, and of the protocols that there are."""
    names, numbers = st.from_regex(r"[a-z0-9_.@+-]*[a-z][a-z0-9_]*", fullmatch=True), st.integers(1, 99)
    known = {"protocol": st.sampled_from(list(PROTOCOLS))} | dict.fromkeys(NUMBERS, numbers)
    return st.builds(kind, **{field.name: known.get(field.name, names) for field in fields(kind)})


@given(artifact=st.one_of(*map(of_names, KINDS)))
def test_a_key_is_read_as_it_was_written(artifact):
    assert type(artifact).parse(artifact.key) == artifact
    assert type(artifact).of(artifact.wildcards) == artifact


@given(
    first=st.one_of([of_names(kind) for kind in KINDS]), second=st.one_of([of_names(kind) for kind in KINDS])
)
def test_another_key_of_a_kind_is_another_path(first, second):
    if type(first) is type(second):
        assert (first.path == second.path) == (first.key == second.key)


def test_keys_by_hand():
    assert graph.Draw.parse("dtd/16/1") == graph.Draw("dtd", 16, 1)
    assert graph.Draw("dtd", 16, 1).path == "splits/dtd/16/1.json"
    zero_shot = graph.Predictions.parse("few_shot/dtd/zero_shot/0/-")
    assert (zero_shot.shots, zero_shot.seed) == (0, None)
    assert zero_shot.path == "predictions/few_shot/dtd/zero_shot/0/-.parquet"
    assert graph.Lookup.parse("dtd/few_shot-16-1/20").tuned.groupdict() == {
        "protocol": "few_shot",
        "shots": "16",
        "seed": "1",
    }
    assert graph.Lookup.parse("dtd/zero_shot/20").tuned is None


SHOTS = "DATASET/SHOTS/SEED, with 1 shot or more"


@pytest.mark.parametrize(
    ("kind", "wrong", "form"),
    [
        (graph.Split, "", "DATASET"),
        (graph.Split, "dtd/16", "DATASET"),
        *[(graph.Draw, f"dtd{rest}", SHOTS) for rest in ("/16", "//1", "/16/one", "/-/-", "/-1/1", "/0/1")],
        (graph.LookupPart, "dtd/zero_shot/20", "DATASET/TEACHER/REGION_SET/PART/PARTS"),
        (graph.TestFeatures, "dtd", "DATASET/FEATURE_KIND"),
        (graph.Metrics, "coop", "PROTOCOL/METHOD"),
    ],
)
def test_what_is_no_key(kind, wrong, form):
    with pytest.raises(UserError) as caught:
        kind.parse(wrong)
    assert str(caught.value) == f"{wrong!r} does not say what to make: give {form}."


@pytest.mark.parametrize("kind", [graph.Prompt, graph.TeacherPrompt, graph.Predictions])
def test_what_is_no_runs_key(kind):
    with pytest.raises(UserError, match="'dtd/coop' is not a run: name protocol, data set, method, "):
        kind.parse("dtd/coop")


@pytest.fixture(scope="module", params=EXPERIMENTS)
def made(request):
    """An experiment that is shipped, and all that its workflow makes."""
    experiment = Experiment.read(CONFIG_DIR / request.param, CONFIG_DIR)
    return experiment, graph.everything(graph.targets(experiment), experiment)


def test_each_artifact_has_a_path_of_its_own(made):
    _, artifacts = made
    assert len(artifacts) == len(set(artifacts)) == len({artifact.path for artifact in artifacts})


def test_nothing_is_made_from_itself(made):
    """Everything comes after what it is made from, in some order."""
    experiment, artifacts = made
    waiting = {artifact: set(chain(*artifact.inputs(experiment).values())) for artifact in artifacts}
    while ready := {artifact for artifact, inputs in waiting.items() if not inputs}:
        waiting = {key: inputs - ready for key, inputs in waiting.items() if key not in ready}
    assert not waiting


def test_each_rule_makes_files_of_one_pattern(made):
    """A path is that of its pattern alone: two rules for one file would be ambiguous."""
    experiment, artifacts = made
    patterns = {}
    for artifact in artifacts:
        patterns.setdefault(artifact.name_of_rule(experiment), set()).add(artifact.pattern)
    assert all(len(own) == 1 for own in patterns.values())


def test_every_key_of_an_experiment_is_taken_by_its_command(made):
    _, artifacts = made
    for artifact in artifacts:
        if not isinstance(artifact, graph.Overview | graph.Tracking):
            assert type(artifact).parse(artifact.key) == artifact


def test_every_artifact_says_what_it_depends_on(made):
    """In a form that Snakemake keeps, of modules that there are, with the files that it is told of."""
    from promptdistill.code import closure

    experiment, artifacts = made
    for artifact in {type(artifact): artifact for artifact in artifacts}.values():
        assert artifact.stage
        assert closure(*artifact.modules(experiment))
        assert all(isinstance(name, str) for name in artifact.parameters(experiment))
        for paths in artifact.files(experiment).values():
            assert all(path.is_file() for path in paths)


def test_a_run_that_the_experiment_has_not():
    experiment = Experiment.read(CONFIG_DIR / "config.yaml", CONFIG_DIR)
    prompt = graph.Prompt.parse("base_to_novel/mini_shapes/coop/3/77")
    message = "The configuration has no run of base_to_novel with 3 shots, seed 77."
    with pytest.raises(UserError, match=re.escape(message)):
        prompt.name_of_rule(experiment)
