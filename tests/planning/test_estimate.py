"""Work, disk and downloads of whole experiments, against figures worked out by hand."""

from pathlib import Path

import pytest
import yaml

from promptdistill import config as configuration
from promptdistill.errors import UserError
from promptdistill.planning.downloads import downloads
from promptdistill.planning.estimate import plan
from promptdistill.planning.experiment import Experiment, UnknownError
from promptdistill.planning.flops import ImageTokens, image_flops, text_flops
from promptdistill.planning.jobs import Adapt, Boost, Evaluate, Lookup, StoredRegions, TuneTeacher, all_jobs
from promptdistill.planning.learner import OWN_TOKENS
from promptdistill.planning.pace import Pace, read_measured
from promptdistill.planning.work import ENCODE, work_of

ROOT = Path(__file__).parents[2]
FAST = configuration.read_yaml(ROOT / "tests/workflow/fast.yaml")


def experiment(**changes):
    """The fast experiment of the workflow's tests, with changes: one data set of 12 classes, 384 images."""
    config = configuration.merged(FAST, changes)
    return Experiment(configuration.load(config, ROOT / "config"), ROOT / "config")


def only(kind, of):
    """The jobs of one kind."""
    return [job for job in all_jobs(of) if isinstance(job, kind)]


def work(kind, of):
    return [one for job in only(kind, of) for one in work_of(job, of)]


def test_boosting():
    """One epoch of 384 images in batches of 32, three deep layers, all 12 classes."""
    fast = experiment()
    (steps,) = work(Boost, fast)
    image = image_flops(fast.student, [ImageTokens(8, 3)]).times(32)
    text = text_flops(fast.student, 12, prefix=9, own=OWN_TOKENS)
    assert (steps.what, steps.times) == ("boosting", 12)
    assert steps.flops == image.step + text.step


def test_adapting_on_looked_up_features_encodes_text_alone():
    """Two epochs on two shots of six base classes, in batches of four; two runs, plain and cascaded.

    A cascaded prompt of 8 tokens stands before the 5 of the boosting prompt.
    """
    fast = experiment(methods=["coop", "coop+caspl"], overrides={"boosting": {"text_context": 5}})
    trained = [steps for job in only(Adapt, fast) for steps in work_of(job, fast)]
    plain, cascaded = (
        text_flops(fast.student, 6, prefix=prefix, own=OWN_TOKENS).step for prefix in (1 + 16, 1 + 8 + 5)
    )
    assert sorted(trained) == sorted([("coop", cascaded, 6)] * 2 + [("coop", plain, 6)] * 2)


def test_a_lookup_counts_once_also_in_parts():
    """Every region of every training image through the teacher."""
    for lookup in ({}, {"parts": 3}):
        fast = experiment(lookup=lookup, overrides={"boosting": {"epochs": 5}})
        (asked,) = work(Lookup, fast)
        assert (asked.what, asked.times) == (ENCODE, 384 * 5)
        assert asked.flops == image_flops(fast.teacher).forward


def test_a_tuned_teacher_compares_with_its_plain_features():
    """PromptKD's teacher is the larger model, and nothing of it is looked up."""
    fast = experiment(methods=["promptkd"], overrides={"promptkd_teacher": {"depth": 2}})
    (steps,) = work(TuneTeacher, fast)
    prompted = image_flops(fast.teacher, [ImageTokens(4, 2)]).times(8).step
    text = text_flops(fast.teacher, 6, prefix=5, own=OWN_TOKENS).step
    assert steps.flops == prompted + image_flops(fast.teacher).times(8).forward + text
    assert (steps.what, steps.times) == ("promptkd_teacher", 20 * (12 // 8))


def fdbpl(method="fdbpl", **own):
    """FDBPL or a variant of it alone, on two shots, with hyper-parameters of its own."""
    return experiment(methods=[method], overrides={"fdbpl": {"depth": 2, "epochs": 6, "batch_size": 4} | own})


def test_fdbpl_sees_several_regions_and_two_texts_a_class():
    """Six epochs on two shots of six base classes: batches of four images with two regions each."""
    alone = fdbpl()
    steps, other_seed = work(Adapt, alone)
    image = image_flops(alone.student, [ImageTokens(4, 2)]).times(4 * 2)
    text = text_flops(alone.student, 6, prefix=5, own=OWN_TOKENS).times(2)
    assert steps == other_seed == ("fdbpl", image.step + text.step, 6 * (12 // 4))


def test_fdbpl_shows_no_more_regions_than_an_image_has():
    alone = fdbpl("fdbpl@regions_1", vision_context=0)
    steps, _ = work(Adapt, alone)
    image = image_flops(alone.student).times(4)
    text = text_flops(alone.student, 6, prefix=5, own=OWN_TOKENS).times(2)
    assert (steps.what, steps.flops) == ("fdbpl", image.forward + text.step)
    tested = work(Evaluate, alone)
    assert tested == [(ENCODE, image_flops(alone.student).forward, 480 * 2)]


def test_fdbpl_asks_the_zero_shot_teacher_about_its_own_regions():
    """Other counts and scales are other lookups and stores; boosting's are shared where they are the same."""
    methods = ["fdbpl", "fdbpl+caspl", "fdbpl@regions_2"]
    for own, counts in (({}, [1, 2, 6]), ({"region_scale": [0.08, 1.0]}, [1, 2, 6])):
        several = experiment(
            methods=methods,
            overrides={name: {"epochs": 6} | own for name in methods[:2]},
        )
        asked = sorted(job.regions.count for job in only(Lookup, several))
        assert asked == sorted(job.regions.count for job in only(StoredRegions, several)) == counts
        assert sorted(steps.times for steps in work(Lookup, several)) == [384 * count for count in counts]
    scaled = experiment(methods=methods, overrides={"fdbpl": {"epochs": 1, "region_scale": [0.3, 0.6]}})
    scales = {(job.regions.count, job.regions.scale) for job in only(Lookup, scaled)}
    assert scales == {(1, (0.08, 1.0)), (1, (0.3, 0.6)), (20, (0.08, 1.0))}
    made = {stage.name: stage for stage in plan(scaled, Pace(read_measured()), tflops=10).stages}
    dim, classes = scaled.teacher.dim, 12
    per_lookup = [384 * count * (2 * dim + 20) + classes * 4 * dim for count in (1, 1, 20)]
    assert made["lookup"].disk_bytes == sum(per_lookup)


def test_only_what_changes_an_image_is_encoded_again_in_tests():
    """CoOp's images are looked up; MaPLe's are encoded by every run; CoCoOp's have texts of their own."""
    tested = {}
    for method in ("coop", "maple", "cocoop"):
        fast = experiment(methods=[method])
        tested[method] = work(Evaluate, fast)
        assert len(only(Evaluate, fast)) == 1
    assert tested["coop"] == []
    assert tested["maple"][0].times == tested["cocoop"][0].times == 480 * 2
    assert tested["maple"][0].flops == image_flops(fast.student, [ImageTokens(2, 9)]).forward
    assert tested["cocoop"][0].flops == text_flops(fast.student, 6, prefix=5, own=OWN_TOKENS).forward


def test_hours_and_disk_are_sums():
    fast, pace = experiment(), Pace(read_measured())
    made = plan(fast, pace, tflops=5)
    stages = {stage.name: stage for stage in made.stages}
    works = [work for job in all_jobs(fast) for work in work_of(job, fast)]
    flops = sum(work.flops * work.times for work in works)
    assert made.total.flops == pytest.approx(flops)
    assert made.total.gpu_hours == pytest.approx(flops / 5e12 / 3600)
    (boosting,) = work(Boost, fast)
    seconds = pace.seconds("boosting", boosting.flops) * boosting.times
    assert stages["boosting"].hours == pytest.approx(seconds / 3600)
    counts = {job.regions.count for job in only(StoredRegions, fast)}
    region = 3 * 32 * 32 + 28
    assert stages["regions"].disk_bytes == sum(384 * count * region for count in counts)
    assert stages["metrics"].hours is None
    assert not made.unknown


@pytest.fixture
def own(tmp_path):
    """A folder of entries with a data set that says nothing of its size."""
    for kind in ("datasets", "methods"):
        (tmp_path / kind).mkdir()
        for path in (ROOT / "config" / kind).glob("*.yaml"):
            (tmp_path / kind / path.name).write_text(path.read_text())
    entry = {"folder": "own", "split": "split.json", "template": "a {}."}
    (tmp_path / "datasets/own.yaml").write_text(yaml.safe_dump(entry))
    return tmp_path


def test_what_no_entry_says_is_said(own):
    """Jobs are counted all the same, and what the other data set takes."""
    config = configuration.merged(FAST, {"datasets": ["mini_patterns", "own"]})
    pace = Pace(read_measured())
    both = plan(Experiment(configuration.load(config, own), own), pace, tflops=10)
    alone = plan(experiment(), pace, tflops=10)
    assert both.total.flops == alone.total.flops
    assert both.total.jobs > alone.total.jobs
    assert any(what.startswith("the train images of own") for what in both.unknown)
    assert any(what.startswith("the classes of own") for what in both.unknown)


def test_a_resnets_operations_are_not_known():
    fast = experiment(backbones={"student": {"model": "RN50"}}, methods=["zero_shot", "coop"])
    made = plan(fast, Pace(read_measured()), tflops=10)
    assert made.unknown == ["what the image tower of RN50 computes, which is no plain ViT"]


def test_a_step_whose_tokens_are_called_otherwise(own):
    entry = configuration.read_yaml(own / "methods/coop.yaml")
    entry["hyperparameters"]["tokens"] = entry["hyperparameters"].pop("context")
    del entry["with_boosting"]
    (own / "methods/mine.yaml").write_text(yaml.safe_dump(entry))
    config = configuration.merged(FAST, {"methods": ["mine"]})
    mine = Experiment(configuration.load(config, own), own)
    with pytest.raises(UnknownError, match="what a step of mine computes"):
        work(Adapt, mine)


def test_a_hyperparameter_that_is_no_number():
    fast = experiment(overrides={"coop": {"batch_size": "many"}})
    with pytest.raises(UserError, match="coop: batch_size is 'many', but must be a whole number"):
        plan(fast, Pace(read_measured()), tflops=10)


def test_downloads(own):
    """Known bytes are added, all else is named; a mirror counts only where there is no original."""

    def source(name, **more):
        return {"name": name, "url": f"https://example.org/{name}", **more}

    entry = configuration.read_yaml(own / "datasets/own.yaml")
    originals = [source("a", size=100), source("b", size=20), source("c")]
    entries = {
        "both": entry | {"sources": originals, "fallback": [source("d", size=1000)]},
        "mirror": entry | {"fallback": [source("d", size=3)]},
    }
    for name, content in entries.items():
        (own / f"datasets/{name}.yaml").write_text(yaml.safe_dump(content))
    found = downloads(["both", "mirror", "own", "mini_shapes"], own)
    assert found.bytes == 123
    assert found.unknown == ["both/c"]
    assert (found.by_hand, found.drawn) == (["own"], ["mini_shapes"])
