# What the rules share.  A rule names a kind of artifact (promptdistill/graph.py), which says what it is made
# from; its command takes the artifact's key and the configuration, and finds the rest as the rule does.
import json
import shlex

from promptdistill.artifacts import history_path
from promptdistill.code import fingerprint
from promptdistill.config.schema import digest
from promptdistill.files import write_text
from promptdistill.planning import job_resources
from promptdistill.run import NO_SEED
from promptdistill.tracking.store import store_of

CONFIG = EXPERIMENT.config
RESULTS = CONFIG.results  # in patterns of rules: it holds no braces
GPUS = 0 if CONFIG.device == "cpu" else 1
COMPUTE_ENV = "../../envs/cuda.yaml" if GPUS else "../../envs/cpu.yaml"
STUDENT, TEACHER = CONFIG.backbones.student, CONFIG.backbones.teacher

# The resolved configuration, --config included: every command reads it.  A file of its own for each content,
# so that a running job never sees another one.
CONFIGURATION_FILE = Path(f".snakemake/configurations/{digest(CONFIG)[:16]}.json")
if not CONFIGURATION_FILE.is_file():
    write_text(CONFIGURATION_FILE, CONFIG.model_dump_json(indent=1))
CONFIGURATION = shlex.join(["--config", str(CONFIGURATION_FILE), "--config-dir", str(CONFIG_DIR)])


def path(kind):
    """The path of a kind of artifact, with its wildcards."""
    return f"{RESULTS}/{kind.pattern}"


def history(kind):
    """The path of the loss curve beside a prompt."""
    return str(history_path(Path(path(kind))))


def of_runs(pattern, runs):
    """The paths of some runs, (shots, seed); their other wildcards stay."""
    named = [(str(shots), NO_SEED if seed is None else str(seed)) for shots, seed in runs]
    return [pattern.replace("{shots}", shots).replace("{seed}", seed) for shots, seed in named]


def artifacts(kind, wildcards, runs):
    """What a job makes: one artifact, or one of each run."""
    if runs is None:
        return [kind.of(wildcards)]
    return [kind.of(wildcards, shots=shots, seed=seed) for shots, seed in runs]


def needs(kind, runs=None):
    """The inputs of a job, by name: other artifacts, and files of the user's."""

    def inputs(wildcards):
        found = {}
        for artifact in artifacts(kind, wildcards, runs):
            for name, made in artifact.inputs(EXPERIMENT).items():
                found.setdefault(name, {}).update({f"{RESULTS}/{one.path}": None for one in made})
            for name, files in artifact.files(EXPERIMENT).items():
                found.setdefault(name, {}).update({os.path.relpath(file): None for file in files})
        return {name: list(paths) for name, paths in found.items() if paths}

    return inputs


def job(kind, runs=None):
    """Parameters: the `key` that a job's command takes, one for each run, and what a job depends on."""

    def key(wildcards):
        return " ".join(one.key for one in artifacts(kind, wildcards, runs))

    def depends(wildcards):
        # Of the configuration and the code: a change of either runs the job again.
        artifact = artifacts(kind, wildcards, runs)[0]
        code = fingerprint(*artifact.modules(EXPERIMENT))
        return json.dumps({**artifact.parameters(EXPERIMENT), "code": code}, sort_keys=True)

    return {"key": key, "depends": depends}


def model(backbone, hours, **others):
    """What a job asks for that loads a model and takes at most so many hours with ViT-B/16; a retry, for more."""
    return {
        "mem_mb": lambda wildcards, attempt: attempt * job_resources.memory_mb(backbone),
        "runtime": lambda wildcards, attempt: attempt * job_resources.minutes(backbone, hours),
        "cpus_per_task": CONFIG.jobs.threads,
        "gpu": GPUS,
        **others,
    }
