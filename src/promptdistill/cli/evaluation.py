"""Commands from finished prompts to metrics."""

from .. import graph
from ..errors import UserError
from ..experiment import Experiment
from ..protocols import PROTOCOLS
from .options import load, own_files, sources, step, step_of_several
from .training import of_one_method


@step_of_several(graph.Predictions)
def evaluate(artifacts: tuple[graph.Predictions, ...], experiment: Experiment) -> None:
    """Predict the test images of the runs KEY, such as base_to_novel/dtd/coop/16/1.

    They must be of one protocol, data set and method; 0/- stand for shots and seed where nothing is learned.
    """
    from ..data.splits import read_split
    from ..evaluation import predict

    first, config = of_one_method(artifacts), experiment.config
    learns = experiment.method(first.method).learns_from != "nothing"
    for one in artifacts:
        if learns != (one.shots > 0 and one.seed is not None):
            give = "a prompt: give 1 shot or more, and a seed" if learns else "nothing: give 0/-"
            raise UserError(f"{one.key}: {one.method} learns {give}.")
    read = [sources(one, experiment) for one in artifacts]
    split = read_split(read[0]["split"])
    names = split.class_names(split.labels)
    backbone = load(experiment.backbone(), experiment)
    tested = predict.EvaluationInputs(
        student=backbone,
        dataset=first.dataset,
        template=experiment.dataset(first.dataset).template,
        protocol=first.protocol,
        files=own_files(experiment, first.method, first.dataset, names),
    )
    restored = [predict.restore_method(tested, first.method, {}, own) for own in read]
    subsets = PROTOCOLS[first.protocol].subsets(split, experiment.settings(first.protocol))
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
            "inputs": {name: used.model_dump() for name, used in own.recorded().items()},
        }
        predict.write_predictions(experiment.results / one.path, frame, header)


@step(graph.Metrics)
def metrics(artifact: graph.Metrics, experiment: Experiment) -> None:
    """Compute the accuracies of all runs of a method in a protocol; KEY is PROTOCOL/METHOD."""
    from ..evaluation.metrics import write_metrics

    paths = [experiment.results / one.path for one in artifact.inputs(experiment)["predictions"]]
    protocol, output = PROTOCOLS[artifact.protocol], experiment.results / artifact.path
    write_metrics(paths, protocol, artifact.method, experiment.roots, output)
