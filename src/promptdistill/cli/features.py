"""Commands that look at images once: regions are cut, and features computed that no training changes."""

from .. import graph
from ..errors import UserError
from ..experiment import Experiment
from ..protocols import PROTOCOLS
from .options import load, sources, step


@step(graph.StoredRegions)
def regions(artifact: graph.StoredRegions, experiment: Experiment) -> None:
    """Cut random regions of every training image at the student's input size, and store them."""
    from ..clip.backbone import load_backbone
    from ..data.splits import read_split
    from ..features.region_build import store_regions

    used = sources(artifact, experiment)
    store_regions(
        read_split(used["split"]).train,
        experiment.image_folder(artifact.dataset),
        experiment.regions_named(artifact.region_set),
        load_backbone(experiment.backbone()).size,
        experiment.config.regions.max_gb,
        (experiment.results / artifact.path).parent,
        experiment.config.jobs.loader_workers,
        used,
    )


@step(graph.Lookup)
def lookup(artifact: graph.Lookup, experiment: Experiment) -> None:
    """Compute the teacher's features of random regions of every training image."""
    from ..features.lookup_build import build_teacher_lookup

    build, class_names = _teacher(artifact, experiment)
    build_teacher_lookup(build, experiment.dataset(artifact.dataset).template, class_names)


@step(graph.LookupPart)
def lookup_part(artifact: graph.LookupPart, experiment: Experiment) -> None:
    """Compute one part of a lookup that several jobs share; `lookup` takes it over."""
    from ..features.lookup_build import build_part

    if artifact.part >= artifact.parts:
        raise UserError(f"{artifact.key}: parts count from 0, so the last one is {artifact.parts - 1}.")
    whole = graph.Lookup(artifact.dataset, artifact.teacher, artifact.region_set)
    build_part(_teacher(whole, experiment)[0], artifact.part, artifact.parts)


@step(graph.DrawFeatures)
def features(artifacts: tuple[graph.DrawFeatures, ...], experiment: Experiment) -> None:
    """Compute the student's features of random regions of the few-shot images of the protocol's classes."""
    from ..features.lookup_build import build_student_lookup

    student = load(experiment.backbone(), experiment)
    for artifact in artifacts:
        build_student_lookup(_of_draw(artifact, experiment, student)[0])


@step(graph.DrawAnswers)
def answers(artifacts: tuple[graph.DrawAnswers, ...], experiment: Experiment) -> None:
    """Compute the teacher's features of random regions of the few-shot images of the protocol's classes."""
    from ..features.lookup_build import build_teacher_lookup

    teacher = load(experiment.config.backbones.teacher, experiment)
    for artifact in artifacts:
        build, split = _of_draw(artifact, experiment, teacher)
        template = experiment.dataset(artifact.dataset).template
        build_teacher_lookup(build, template, split.class_names(split.labels))


@step(graph.VocabularyText)
def vocabulary(artifact: graph.VocabularyText, experiment: Experiment) -> None:
    """Compute the teacher's text features of the vocabulary KEY, config/vocabularies/KEY.txt."""
    from ..data.vocabulary import read_names
    from ..features.vocabulary import build_vocabulary

    used = sources(artifact, experiment)
    teacher = load(experiment.config.backbones.teacher, experiment)
    folder = (experiment.results / artifact.path).parent
    build_vocabulary(teacher, read_names(used["names"]), folder, used)


@step(graph.TestFeatures)
def test_features(artifact: graph.TestFeatures, experiment: Experiment) -> None:
    """Compute the student's features of the test images."""
    from ..data.splits import read_split
    from ..features.lookup_build import build_student_lookup

    items = read_split(sources(artifact, experiment)["split"]).test
    student = load(experiment.backbone(), experiment)
    build_student_lookup(_build(artifact, experiment, student, items))


def _of_draw(artifact: graph.DrawFeatures | graph.DrawAnswers, experiment: Experiment, backbone):
    """What goes into a lookup of the few-shot images of a protocol's classes, and the data set's split."""
    from ..data.splits import read_split, select_and_relabel
    from ..features.region_store import find_store

    used, folder = sources(artifact, experiment), experiment.image_folder(artifact.dataset)
    split, settings = read_split(used["split"]), experiment.settings(artifact.protocol)
    sessions = PROTOCOLS[artifact.protocol].sessions(split, settings)
    labels = [label for session in sessions for label in session.labels]
    items = select_and_relabel(read_split(used["draw"]).train, labels)
    drawn = experiment.regions_named(artifact.region_set)
    # What another step has cut saves decoding.  It is not an input: the features are the same without it.
    stores = sorted(experiment.results.glob(graph.StoredRegions(artifact.dataset, "*").path))
    images = [folder / item.path for item in items]
    store = find_store(stores, split, drawn, backbone.size, images)
    return _build(artifact, experiment, backbone, items, drawn, store), split


def _teacher(artifact: graph.Lookup, experiment: Experiment):
    """What goes into a teacher's lookup, loaded, and the names of the data set's classes."""
    from ..data.splits import read_split
    from ..features.region_store import open_store

    used = sources(artifact, experiment)
    split, stored = read_split(used["split"]), used.get("regions")
    drawn = experiment.regions_named(artifact.region_set)
    teacher = load(experiment.config.backbones.teacher, experiment)
    store = open_store(stored and stored.parent, split.train, drawn, teacher.size)
    return _build(artifact, experiment, teacher, split.train, drawn, store), split.class_names(split.labels)


def _build(artifact: graph.Artifact, experiment: Experiment, backbone, items, regions=None, store=None):
    """A build of features, seen through the prompt that the artifact names, if it does."""
    from ..features.lookup_build import Build, frozen_encoder

    used = sources(artifact, experiment)
    return Build(
        items=items,
        image_folder=experiment.image_folder(artifact.dataset),
        encoder=frozen_encoder(backbone, used.get("prompt", used.get("boosting"))),
        regions=regions,
        config=experiment.config.lookup,
        folder=(experiment.results / artifact.path).parent,
        store=store,
        workers=experiment.config.jobs.loader_workers,
        sources=used,
    )
