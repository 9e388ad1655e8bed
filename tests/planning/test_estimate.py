"""Work, disk and downloads of whole experiments, against figures worked out by hand."""

import io
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from promptdistill.clip.architecture import read_architecture
from promptdistill.config.schema import Config
from promptdistill.errors import UserError
from promptdistill.experiment import Experiment
from promptdistill.graph import (
    BoostingPrompt,
    DrawAnswers,
    Lookup,
    LookupPart,
    Predictions,
    Prompt,
    StoredRegions,
    StudentFeatures,
    TeacherPrompt,
    everything,
    targets,
)
from promptdistill.planning.estimate import STAGES, ablation_artifacts, downloads, jobs_by_rule, plan
from promptdistill.planning.flops import OWN_TOKENS, ImageTokens, image_flops, text_flops
from promptdistill.planning.show import show
from promptdistill.planning.throughput import Measured, Throughput, read_measured
from promptdistill.planning.work import ENCODE, UnknownError, bytes_of, work_of
from promptdistill.validation import merged, read_yaml, validate

ROOT = Path(__file__).parents[2]
FAST = read_yaml(ROOT / "tests/workflow/fast.yaml")
STUDENT = read_architecture("miniature-student")
TEACHER = read_architecture("miniature-teacher")


def experiment(**changes):
    """The fast experiment of the workflow's tests, with changes: one data set of 12 classes, 384 images."""
    return Experiment.checked(merged(FAST, changes), ROOT / "config")


# What the published depths become where the models have 3 and 4 layers.
SHALLOW = {name: {"prompt_depth": 3} for name in ("maple", "promptkd", "promptkd_teacher")}


def all_made(of):
    return everything(targets(of), of)


def only(kind, of):
    """The artifacts of one kind, and of none that is derived from it."""
    return [artifact for artifact in all_made(of) if type(artifact) is kind]


def work(kind, of):
    return [one for artifact in only(kind, of) for one in work_of(artifact, of)]


def test_jobs_of_groups_make_several_artifacts():
    """Two seeds in a job of a method, or one; a split's draws and a teacher's prompt each have their own."""
    for runs, groups in ((2, {"0": 1}), (1, {"0": 1, "1": 1})):
        methods = ["zero_shot", "coop", "promptkd"]
        fast = experiment(methods=methods, jobs={"runs_per_job": runs}, overrides=SHALLOW)
        rules = jobs_by_rule(all_made(fast), fast)
        assert len(only(Predictions, fast)) == 1 + 2 * 2
        per_method = {"adapt": 2, "evaluate": 2, "features": 1}
        assert {name: rules[name] for name in rules if name.startswith(tuple(per_method))} == {
            "evaluate_zero_shot": 1,
            **{
                f"{rule}_base_to_novel_{group}": count
                for rule, count in per_method.items()
                for group in groups
            },
        }
        assert (rules["draw"], rules["tune_teacher"], rules["lookup"]) == (2, 1, 1)
        made = plan(fast, ON_CPU, tflops=10)
        assert made.rules == rules
        assert made.total.jobs == sum(rules.values())
        assert {artifact.stage for artifact in all_made(fast)} <= set(STAGES)


def test_boosting():
    """One epoch of 384 images in batches of 32, three deep layers, all 12 classes."""
    fast = experiment()
    (steps,) = work(BoostingPrompt, fast)
    image = image_flops(STUDENT, [ImageTokens(8, 3)]).times(32)
    text = text_flops(STUDENT, 12, prefix=9, own=OWN_TOKENS)
    assert (steps.what, steps.times) == ("boosting", 12)
    assert steps.flops == image.step + text.step


def test_adapting_on_looked_up_features_encodes_text_alone():
    """Two epochs on two shots of six base classes, in batches of four; two runs, plain and cascaded.

    A cascaded prompt of 8 tokens stands before the 5 of the boosting prompt.
    """
    fast = experiment(methods=["coop", "coop+caspl"], overrides={"boosting": {"n_ctx_text": 5}})
    trained = work(Prompt, fast)
    plain, cascaded = (
        text_flops(STUDENT, 6, prefix=prefix, own=OWN_TOKENS).step for prefix in (1 + 16, 1 + 8 + 5)
    )
    assert sorted(trained) == sorted([("coop", cascaded, 6)] * 2 + [("coop", plain, 6)] * 2)


def test_a_lookup_counts_once_also_in_parts():
    """Every region of every training image through the teacher."""
    for lookup in ({}, {"parts": 3}):
        fast = experiment(lookup=lookup, overrides={"boosting": {"epochs": 5}})
        (asked,) = work(Lookup, fast)
        assert (asked.what, asked.times) == (ENCODE, 384 * 5)
        assert asked.flops == image_flops(TEACHER).forward
        parts = only(LookupPart, fast)
        assert len(parts) == lookup.get("parts", 0)
        assert not [one for part in parts for one in work_of(part, fast)]
        assert sum(bytes_of(part, fast) for part in parts) == 0


def test_a_tuned_teacher_compares_with_its_plain_features():
    """PromptKD's teacher is the larger model, and nothing of it is looked up."""
    fast = experiment(methods=["promptkd"], overrides=SHALLOW)
    (steps,) = work(TeacherPrompt, fast)
    prompted = image_flops(TEACHER, [ImageTokens(4, 3)]).times(8).step
    text = text_flops(TEACHER, 6, prefix=5, own=OWN_TOKENS).step
    assert steps.flops == prompted + image_flops(TEACHER).times(8).forward + text
    assert (steps.what, steps.times) == ("promptkd_teacher", 20 * (12 // 8))


def fdbpl(method="fdbpl", **own):
    """FDBPL or a variant of it alone, on two shots, with hyper-parameters of its own."""
    return experiment(
        methods=[method], overrides={"fdbpl": {"prompt_depth": 2, "epochs": 6, "batch_size": 4} | own}
    )


def test_fdbpl_sees_several_regions_and_two_texts_a_class():
    """Six epochs on two shots of six base classes: batches of four images with two regions each."""
    alone = fdbpl()
    steps, other_seed = work(Prompt, alone)
    image = image_flops(STUDENT, [ImageTokens(4, 2)]).times(4 * 2)
    text = text_flops(STUDENT, 6, prefix=5, own=OWN_TOKENS).times(2)
    assert steps == other_seed == ("fdbpl", image.step + text.step, 6 * (12 // 4))


def test_fdbpl_shows_no_more_regions_than_an_image_has():
    alone = fdbpl("fdbpl@regions_1", n_ctx_vision=0)
    steps, _ = work(Prompt, alone)
    image = image_flops(STUDENT).times(4)
    text = text_flops(STUDENT, 6, prefix=5, own=OWN_TOKENS).times(2)
    assert (steps.what, steps.flops) == ("fdbpl", image.forward + text.step)
    tested = work(Predictions, alone)
    assert tested == [(ENCODE, image_flops(STUDENT).forward, 480)] * 2


def regions(artifact, of):
    return of.regions_named(artifact.region_set)


def test_what_asks_the_zero_shot_teacher_asks_about_its_own_draws_and_regions():
    """Other counts and scales are other answers and stores; methods share them where they are the same."""
    methods = ["fdbpl", "coop+kdpl", "fdbpl@regions_2", "vpt+fdbpl"]
    several = experiment(
        methods=methods,
        overrides={
            "fdbpl": {"epochs": 6, "prompt_depth": 2},
            "coop": {"epochs": 6},
            "vpt": {"epochs": 1, "prompt_depth": 2},
        },
    )
    asked = only(DrawAnswers, several)
    found = {(regions(one, several).count, regions(one, several).scale) for one in asked}
    assert found == {(6, (0.08, 1.0)), (2, (0.08, 1.0)), (1, (0.08, 0.936))}
    assert len(asked) == len(found) * 2  # seeds
    # Two shots of six base classes.
    assert sorted(one.times for one in work(DrawAnswers, several)) == [12 * n for n in (1, 1, 2, 2, 6, 6)]
    assert {regions(one, several).count for one in only(StoredRegions, several)} == {1, 2, 6}
    made = {stage.name: stage for stage in plan(several, read_measured(), tflops=10).stages}
    dim, classes = TEACHER.dim, 12
    students = [one for one in all_made(several) if isinstance(one, StudentFeatures)]
    of_students = sum(bytes_of(one, several) for one in students)
    asked_bytes = [12 * count * (2 * dim + 20) + classes * 4 * dim for count in (1, 2, 6)]
    assert made["features"].disk_bytes - of_students == 2 * sum(asked_bytes)


def test_only_what_changes_an_image_is_encoded_again_in_tests():
    """CoOp's images are looked up; MaPLe's are encoded by every run; CoCoOp's have texts of their own."""
    tested = {}
    for method in ("coop", "maple", "cocoop"):
        fast = experiment(methods=[method], overrides=SHALLOW)
        tested[method] = work(Predictions, fast)
    assert tested["coop"] == []
    assert [one.times for one in (*tested["maple"], *tested["cocoop"])] == [480] * 4
    assert tested["maple"][0].flops == image_flops(STUDENT, [ImageTokens(2, 3)]).forward
    assert tested["cocoop"][0].flops == text_flops(STUDENT, 6, prefix=5, own=OWN_TOKENS).forward


def test_a_student_of_a_teacher_learns_from_all_images_and_classes():
    """In batches of 8; one job of the stage `adapting`."""
    own = merged(SHALLOW, {"promptkd": {"epochs": 3, "batch_size": 8}})
    fast = experiment(methods=["promptkd"], overrides=own)
    steps, other_seed = work(Prompt, fast)
    image = image_flops(STUDENT, [ImageTokens(4, 3)]).times(8)
    assert steps == other_seed == ("promptkd", image.step, 3 * 384 // 8)
    (lookup,) = only(Lookup, fast)
    (asked,) = work_of(lookup, fast)
    assert asked.flops == image_flops(TEACHER, [ImageTokens(4, 3)]).forward


def test_sessions_share_the_images_of_a_training():
    """Six of two classes, four images each, among all classes so far; all of it is tested 3.5 times."""
    fast = experiment(
        methods=["maple"],
        overrides=merged(SHALLOW, {"maple": {"epochs": 2, "batch_size": 8}}),
        protocols={"base_to_novel": None, "class_incremental": {"shots": 2, "seeds": [1], "sessions": 6}},
    )
    image = image_flops(STUDENT, [ImageTokens(2, 3)]).times(4)
    texts = [text_flops(STUDENT, 2 * seen, prefix=5, own=OWN_TOKENS) for seen in range(1, 7)]
    assert work(Prompt, fast) == [("maple", image.step + text.step, 2) for text in texts]
    (tested,) = work(Predictions, fast)
    assert tested.times == 480 * 3.5


def test_boosting_prompts_of_a_protocol_that_is_not_run():
    """Few-shot runs share those of base-to-novel."""
    fast = experiment(
        methods=["coop+caspl"], protocols={"base_to_novel": None, "few_shot": {"shots": [1], "seeds": [1]}}
    )
    (boosting,) = work(BoostingPrompt, fast)
    assert boosting.times == 12
    assert [steps.times for steps in work(Prompt, fast)] == [2 * (12 // 4)]


def test_hours_and_disk_are_sums():
    fast, throughput = experiment(), Throughput(read_measured())
    made = plan(fast, read_measured(), tflops=5)
    stages = {stage.name: stage for stage in made.stages}
    works = [work for artifact in all_made(fast) for work in work_of(artifact, fast)]
    flops = sum(work.flops * work.times for work in works)
    assert made.total.flops == pytest.approx(flops)
    assert made.total.gpu_hours == pytest.approx(flops / 5e12 / 3600)
    (boosting,) = work(BoostingPrompt, fast)
    seconds = throughput.seconds("boosting", boosting.flops) * boosting.times
    assert stages["boosting"].hours == pytest.approx(seconds / 3600)
    counts = {regions(store, fast).count for store in only(StoredRegions, fast)}
    region = 3 * 32 * 32 + 28
    assert stages["regions"].disk_bytes == sum(384 * count * region for count in counts)
    assert stages["metrics"].hours is None
    assert not made.unknown


def row(device, method, seconds):
    """A measured step of a thousand million operations."""
    return Measured(
        method=method, student="M", device=device, threads=1, precision="float32", gflop=1, seconds=seconds
    )


ON_GPU = [row("cuda", "coop", 2e-4), row("cuda", ENCODE, 1e-4)]
ON_CPU = [row("cpu", "coop", 3), row("cpu", ENCODE, 7)]


def test_hours_on_a_gpu_are_those_of_steps_measured_on_one():
    """In each column a method's steps, and encodings, at their own throughput, scaled by operations."""
    made = plan(experiment(), [*ON_CPU, *ON_GPU], tflops=10)
    assert made.tflops is None
    stages = {stage.name: stage for stage in made.stages}
    for name, cpu, gpu in (("lookup", 7, 1e-4), ("features", 7, 1e-4), ("boosting", 3, 2e-4)):
        giga = stages[name].flops / 1e9
        assert stages[name].hours == pytest.approx(giga * cpu / 3600)
        assert stages[name].gpu_hours == pytest.approx(giga * gpu / 3600)
    assert (made.basis.machines, made.gpu_basis.machines) == (
        ["M on cpu (1 thread), float32"],
        ["M on cuda, float32"],
    )
    assert "boosting" in made.gpu_basis.not_measured
    assert ENCODE not in made.gpu_basis.not_measured


def test_hours_of_steps_measured_on_a_gpu_alone():
    """One column: no other throughput is known."""
    made = plan(experiment(), ON_GPU, tflops=10)
    assert (made.basis, made.tflops, made.total.hours) == (None, None, None)
    assert made.total.gpu_hours == plan(experiment(), [*ON_CPU, *ON_GPU], tflops=10).total.gpu_hours > 0
    header, *_, notes = shown(made).partition("\n\n")
    assert " GPU hours " in header
    assert header.count("hours") == 1
    assert "\nhours: " not in notes
    assert "assumed" not in notes


def test_hours_on_a_gpu_where_none_was_measured_are_called_assumed():
    made = plan(experiment(), ON_CPU, tflops=10)
    assert (made.gpu_basis, made.tflops) == (None, 10)
    assert "GPU hours: at 10 TFLOP/s achieved, which is assumed (--tflops)" in shown(made)
    assert "hours: at the throughput of steps measured with M on cpu (1 thread), float32, " in shown(made)


def shown(made):
    console = Console(width=200, record=True, file=io.StringIO())
    show(made, console)
    return console.export_text()


def test_weights_that_ship_are_not_downloaded():
    """Nor random ones; a teacher's only where it is asked."""
    openai = {"model": "ViT-B-16", "pretrained": "openai"}
    assert plan(experiment(), ON_CPU, tflops=10).weights == []
    assert "Weights" not in shown(plan(experiment(), ON_CPU, tflops=10))
    both = plan(experiment(backbones={"student": openai, "teacher": openai}), ON_CPU, tflops=10)
    assert both.weights == ["ViT-B-16 (openai)"] * 2
    asking = {"backbones": {"teacher": openai}, "methods": ["coop"]}
    assert plan(experiment(**asking), ON_CPU, tflops=10).weights == []


def test_an_ablation_adds_what_is_not_there_yet():
    """Its base-to-novel runs, where the tables have the method or not; nothing where nothing is compared."""
    assert plan(experiment(), ON_CPU, tflops=10).ablation is None
    settings = {"ablation": ["fdbpl"], "overrides": {"fdbpl": {"prompt_depth": 2, "epochs": 6}}}
    alone = experiment(methods=["coop"], **settings)
    beside = experiment(methods=["coop", "fdbpl"], **settings)
    compared = ablation_artifacts(alone)
    assert set(compared) == set(ablation_artifacts(beside))
    more = set(compared) - set(all_made(alone))
    jobs = sum(jobs_by_rule(more, alone).values())
    made = plan(alone, ON_CPU, tflops=10)
    assert made.ablation.jobs == jobs > plan(beside, ON_CPU, tflops=10).ablation.jobs
    flops = sum(work.flops * work.times for artifact in more for work in work_of(artifact, alone))
    assert made.ablation.flops == pytest.approx(flops)
    assert f"`snakemake ablation` takes, beyond these: {jobs} jobs, " in shown(made)


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
    config = merged(FAST, {"datasets": ["mini_patterns", "own"]})
    both = plan(Experiment.checked(config, own), read_measured(), tflops=10)
    alone = plan(experiment(), read_measured(), tflops=10)
    assert both.total.flops == alone.total.flops
    assert both.total.jobs > alone.total.jobs
    assert any(what.startswith("the train images of own") for what in both.unknown)
    assert any(what.startswith("the classes of own") for what in both.unknown)


def test_another_towers_operations_are_not_known():
    fast = experiment(backbones={"student": {"model": "convnext_base"}}, methods=["zero_shot", "coop"])
    made = plan(fast, read_measured(), tflops=10)
    assert made.unknown == [
        "what the image tower of convnext_base computes, which is neither a plain ViT nor CLIP's ResNet"
    ]
    stages = {stage.name: stage for stage in made.stages}
    assert (stages["features"].flops, stages["features"].hours, stages["features"].gpu_hours) == (None,) * 3
    assert stages["adapting"].hours > 0
    assert made.total.hours == stages["adapting"].hours
    nothing = plan(
        experiment(backbones=fast.config.backbones.model_dump(), methods=["zero_shot"]), ON_CPU, 10
    )
    assert (nothing.total.flops, nothing.total.hours, nothing.total.gpu_hours) == (None,) * 3


def test_a_step_whose_tokens_are_called_otherwise(own):
    entry = read_yaml(own / "methods/coop.yaml")
    entry["hyperparameters"]["tokens"] = entry["hyperparameters"].pop("n_ctx")
    del entry["with_boosting"]
    (own / "methods/mine.yaml").write_text(yaml.safe_dump(entry))
    content = validate(Config, merged(FAST, {"methods": ["mine"]}), "configuration")
    mine = Experiment(content, own)  # not checked: the method has no module
    with pytest.raises(UnknownError, match="what a step of mine computes"):
        work(Prompt, mine)


def test_a_hyperparameter_that_is_no_number():
    with pytest.raises(UserError, match="hyper-parameters of coop: batch_size: Input should be a valid int"):
        experiment(overrides={"coop": {"batch_size": "many"}})


def test_downloads(own):
    """Known bytes are added, all else is named; a mirror counts only where there is no original."""

    def source(name, **more):
        return {"name": name, "url": f"https://example.org/{name}", **more}

    entry = read_yaml(own / "datasets/own.yaml")
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
