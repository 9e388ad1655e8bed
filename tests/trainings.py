"""Trainings on a small data set as tests call them: the files that a run reads, and the run itself."""

from promptdistill.artifacts import Roots, Sources
from promptdistill.data.splits import draw_few_shot, write_draw, write_split
from promptdistill.evaluation.predict import EvaluationInputs, restore_method
from promptdistill.protocols import PROTOCOLS
from promptdistill.training.stages import Run, train_adapting

MANIFEST = "manifest.json"


def sources(inputs, folder, **paths):
    """The files of a run, with the split; folders stand for their manifests."""
    roots = Roots(results=folder, data=folder / "data", config=folder / "config")
    split = folder / "split.json"
    write_split(inputs.split, split, {"made": None, "inputs": {}})
    found = {name: path / MANIFEST if path and path.is_dir() else path for name, path in paths.items()}
    return Sources(roots, split=split, **found)


def sources_in(folder, content="a"):
    """A file that a step reads as its split, and nothing else."""
    path = folder / "own.json"
    path.write_text(content)
    return Sources(Roots(results=folder, data=folder / "data", config=folder / "config"), split=path)


def distilled_run(inputs, output, answers, seed=1, **own):
    """A run that learns from a teacher's answers."""
    return Run(seed=seed, output=output, sources=sources(inputs, output.parent, answers=answers, **own))


def few_shot_run(inputs, output, shots=4, seed=1, **paths):
    """A run on few shots, whose draw is made below its folder."""
    split = sources(inputs, output.parent)
    draw = output.parent / f"draws/{shots}/{seed}.json"
    write_draw(draw_few_shot(inputs.split, shots, seed), draw, split.header())
    own = sources(inputs, output.parent, draw=draw, **paths)
    return Run(shots=shots, seed=seed, output=output, sources=own)


def adapt(inputs, runs, method, values, protocol="base_to_novel", settings=None):
    """Train a method as a job does, on the sessions of a protocol."""
    sessions = PROTOCOLS[protocol].sessions(inputs.split, settings)
    train_adapting(inputs, runs, method, values, protocol, sessions)


def restored(inputs, method, prompt, values=None, **paths):
    """A method with its finished prompt (none: it learns nothing), and what its predictions say of it."""
    about = {"student": inputs.student, "dataset": inputs.dataset, "template": inputs.template}
    read = sources(inputs, prompt.parent if prompt else inputs.image_folder, prompt=prompt, **paths)
    (restored,), origin = restore_method(EvaluationInputs(**about), method, values or {}, read)
    return restored, origin
