"""Commands on runs: prompts are learned, test images predicted, accuracies measured."""

from typing import Any

from .. import graph
from ..errors import UserError
from ..experiment import TEACHER, Experiment
from ..protocols import PROTOCOLS
from .options import load, own_files, sources, sources_named, step


@step(graph.BoostingPrompt)
def boost(artifact: graph.BoostingPrompt, experiment: Experiment) -> None:
    """Learn the boosting prompt KEY, such as dtd/boosted, from the looked-up teacher (CasPL, phase one)."""
    from ..training.stages import train_distilled

    values = experiment.hyperparameters("boosting", artifact.dataset, artifact.protocol)
    inputs = _inputs(artifact, "boosting", experiment)
    train_distilled(inputs, [_run(artifact, experiment, seed=1)], "boosting", values)


@step(graph.Prompt)
def adapt(artifacts: tuple[graph.Prompt, ...], experiment: Experiment) -> None:
    """Learn the prompts of the runs KEY, such as base_to_novel/dtd/coop+caspl/16/1, one after the other.

    They must be of one protocol, data set and method.
    """
    _of_one_method(artifacts, experiment)
    _learn(artifacts, experiment)


@step(graph.TeacherPrompt)
def tune_teacher(artifact: graph.TeacherPrompt, experiment: Experiment) -> None:
    """Tune the teacher on the few shots of the run KEY, such as base_to_novel/dtd/promptkd_teacher/16/1."""
    if artifact.method != TEACHER:
        raise UserError(f"{artifact.key}: teachers are tuned by {TEACHER}, not by {artifact.method}.")
    _learn((artifact,), experiment)


@step(graph.Predictions)
def evaluate(artifacts: tuple[graph.Predictions, ...], experiment: Experiment) -> None:
    """Predict the test images of the runs KEY, such as base_to_novel/dtd/coop/16/1.

    They must be of one protocol, data set and method; 0/- stand for shots and seed where nothing is learned.
    """
    from ..data.splits import read_split
    from ..evaluation import predict

    first, config = _of_one_method(artifacts, experiment), experiment.config
    learns = experiment.method(first.method).learns_from != "nothing"
    for one in artifacts:
        if learns != (one.shots > 0 and one.seed is not None):
            give = "a prompt: give 1 shot or more, and a seed" if learns else "nothing: give 0/-"
            raise UserError(f"{one.key}: {one.method} learns {give}.")
    read = [sources(one, experiment) for one in artifacts]
    split = read_split(read[0]["split"])
    names = split.class_names(split.labels)
    backbone = load(experiment.backbone(), experiment)
    protocol, settings = PROTOCOLS[first.protocol], experiment.settings(first.protocol)
    tested = predict.EvaluationInputs(
        student=backbone,
        dataset=first.dataset,
        template=experiment.dataset(first.dataset).template,
        files=own_files(experiment, first.method, first.dataset, names),
    )
    values = graph.untrained_values(first, experiment)
    restored = [predict.restore_method(tested, first.method, values, own) for own in read]
    subsets = protocol.subsets(split, settings)
    frames = predict.predict(
        [methods for methods, _ in restored],
        subsets,
        predict.ImageSource(
            folder=experiment.image_folder(first.dataset),
            items=split.test,
            features=predict.open_features(read[0], split, backbone),
        ),
        batch_size=config.jobs.eval_batch_size,
        workers=config.jobs.loader_workers,
    )
    for one, own, frame, (_, origin) in zip(artifacts, read, frames, restored, strict=True):
        header = {
            **origin,
            "protocol": one.protocol,
            "dataset": one.dataset,
            "method": one.method,
            "student": f"{backbone.config.model}:{backbone.config.pretrained}",
            "student_sha256": backbone.weights_sha256,
            "transductive": predict.transductive(own, one.dataset, names),
            "subsets": predict.described(subsets),
            **own.header(),
        }
        predict.write_predictions(experiment.results / one.path, frame, header)


@step(graph.Metrics)
def metrics(artifact: graph.Metrics, experiment: Experiment) -> None:
    """Compute the accuracies of all runs of a method in a protocol; KEY is PROTOCOL/METHOD."""
    from ..evaluation.metrics import write_metrics

    predictions = artifact.inputs(experiment)["predictions"]
    if not predictions:
        raise UserError(f"The configuration does not test {artifact.method} in {artifact.protocol}.")
    read = sources_named({one.key: one for one in predictions}, artifact, experiment)
    protocol, output = PROTOCOLS[artifact.protocol], experiment.results / artifact.path
    write_metrics(read, protocol, artifact.method, output)


def _learn(artifacts: tuple[graph.Prompt, ...], experiment: Experiment) -> None:
    from ..training.stages import train_adapting, train_distilled

    first = artifacts[0]
    values = experiment.hyperparameters(first.method, first.dataset, first.protocol)
    learns_from = experiment.method(first.method).learns_from
    if learns_from == "nothing":
        raise UserError(f"{first.method} learns nothing: there is no prompt to make.")
    for one in artifacts:
        if not one.shots or one.seed is None:
            raise UserError(f"{one.key} is a run without training: give 1 shot or more, and a seed.")
    inputs = _inputs(first, first.method, experiment)
    runs = [_run(one, experiment, seed=one.seed, shots=one.shots) for one in artifacts]
    if learns_from == "teacher":
        train_distilled(inputs, runs, first.method, values, protocol=first.protocol)
    else:
        sessions = PROTOCOLS[first.protocol].sessions(inputs.split, experiment.settings(first.protocol))
        train_adapting(inputs, runs, first.method, values, first.protocol, sessions)


def _of_one_method(artifacts: tuple[graph.OfRun, ...], experiment: Experiment) -> graph.OfRun:
    """The first of some runs; UserError unless all are of one protocol, data set and method that fit."""
    first, *others = artifacts
    tables = {table.name for table in PROTOCOLS[first.protocol].tables}
    if tables.isdisjoint(possible := experiment.method(first.method).applies_to):
        raise UserError(
            f"{first.method} cannot be applied to {first.protocol}, but to "
            f"{', '.join(possible) or 'no table'}."
        )
    for one in others:
        if one.run[:3] != first.run[:3]:
            raise UserError(
                f"{first.key} and {one.key} differ in more than shots and seed: give them to commands apart."
            )
    return first


def _inputs(artifact: Any, method: str, experiment: Experiment):
    """What all runs of a training command share, loaded."""
    from ..data.splits import read_split
    from ..training.stages import TrainingInputs

    jobs, dataset = experiment.config.jobs, artifact.dataset
    split = read_split(sources(artifact, experiment)["split"])
    whole = experiment.method(method).learns_from == "images"
    return TrainingInputs(
        dataset=dataset,
        split=split,
        image_folder=experiment.image_folder(dataset),
        template=experiment.dataset(dataset).template,
        student=load(experiment.backbone(method), experiment),
        regions=None if whole else experiment.regions(method, dataset, artifact.protocol),
        threads=jobs.threads,
        workers=jobs.loader_workers,
        files=own_files(experiment, method, dataset, split.class_names(split.labels)),
    )


def _run(artifact: graph.Artifact, experiment: Experiment, seed: int, shots: int | None = None):
    from ..training.stages import Run

    output = experiment.results / artifact.path
    return Run(seed=seed, shots=shots, output=output, sources=sources(artifact, experiment))
