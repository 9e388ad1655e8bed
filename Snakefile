# images -> splits -> regions -> lookup -> boosting -> adapting -> predictions -> metrics -> tables -> MLflow
import os
import sys
from pathlib import Path

from snakemake.utils import min_version

from promptdistill import graph, integrity, running
from promptdistill.errors import UserError
from promptdistill.experiment import Experiment
from promptdistill.files import refuse_full_disk
from promptdistill.protocols import PROTOCOLS, TABLES
from promptdistill.run import METHOD_PATTERN
from promptdistill.validation import merged, read_yaml

min_version("9.10")

CONFIG_DIR = Path(os.path.relpath(workflow.basedir)) / "config"

try:
    # An experiment's own file replaces the default one as a whole; --config is laid over either.
    if not workflow.config_settings.configfiles:
        config = merged(read_yaml(CONFIG_DIR / "config.yaml"), config)
    for file in workflow.config_settings.configfiles:
        read_yaml(Path(file))  # says what Snakemake does not, such as a key that stands twice
    EXPERIMENT = Experiment.checked(config, CONFIG_DIR)
    EXPERIMENT.refuse_old_results()
except UserError as error:
    raise WorkflowError(str(error))


# DVC asks for every folder of a layer, those too that this experiment does not need.
if stage := os.environ.get("DVC_STAGE"):
    for made in read_yaml(Path("dvc.yaml"))["stages"][stage.rpartition(":")[2]]["outs"]:
        for layer in made:
            Path(layer.replace("${results}", EXPERIMENT.config.results)).mkdir(parents=True, exist_ok=True)


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    method=METHOD_PATTERN,
    shots=r"\d+",
    seed=r"\d+",
    protocol="|".join(PROTOCOLS),
    feature_kind=r"plain|boosted(_[a-z0-9_]+)?",
    boosting=r"boosted(_[a-z0-9_]+)?",
    teacher=r"zero_shot|[a-z0-9_]+-\d+-\d+",
    region_set=r"\d+(_[\d.e-]+to[\d.e-]+)?",
    table="|".join(TABLES),
    vocabulary=r"[a-z0-9_]+",
    part=r"\d+",
    parts=r"\d+",


# Seconds of work each, and downloads need a way out: on a cluster they run where Snakemake does.
localrules:
    data,
    split,
    draw,
    metrics,
    table,
    ablation_table,
    overview,
    track,


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/test.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/miniature.smk"


rule all:
    default_target: True
    input:
        [f"{RESULTS}/{artifact.path}" for artifact in graph.targets(EXPERIMENT)],


onstart:
    try:
        running.claim(EXPERIMENT.results)
        refuse_full_disk(EXPERIMENT.results)
    except UserError as error:
        raise WorkflowError(str(error))


# On a full disk there is no log to say it in.
onerror:
    try:
        refuse_full_disk(EXPERIMENT.results)
    except UserError as error:
        print(f"promptdistill: {error}", file=sys.stderr)


# After a run by hand, DVC is told what it made; `dvc repro` does so itself.
onsuccess:
    if (
        Path(".dvc").is_dir()
        and Path(".git").exists()
        and "DVC_STAGE" not in os.environ
        and not workflow.config_settings.configfiles
    ):
        shell("promptdistill record || true")
