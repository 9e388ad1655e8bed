# images -> splits -> regions -> lookup -> boosting -> adapting -> predictions -> metrics -> tables -> MLflow
import os
from pathlib import Path

from snakemake.utils import min_version

from promptdistill import config as configuration
from promptdistill.errors import UserError

min_version("9.10")

CONFIG_DIR = Path(os.path.relpath(workflow.basedir)) / "config"

# An experiment's own file replaces the default one as a whole; --config is laid over either.
if not workflow.config_settings.configfiles:
    config = configuration.merged(configuration.read_yaml(CONFIG_DIR / "config.yaml"), config)

try:
    CONFIG = configuration.load(config, CONFIG_DIR)
except UserError as error:
    raise WorkflowError(str(error))


report: "workflow/report/workflow.rst"


wildcard_constraints:
    dataset=r"[a-z0-9_]+",
    method=r"[a-z0-9_]+(@[a-z0-9_]+)?(\+caspl)?",
    shots=r"\d+",
    seed=r"\d+",
    protocol="base_to_novel|few_shot|transfer",
    kind="plain|boosted|boosted_transfer",
    teacher=r"zero_shot|(base_to_novel|few_shot|transfer)_\d+shots",
    crops=r"\d+(_[\d.e-]+to[\d.e-]+)?",
    table="|".join(configuration.TABLES),
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
include: "workflow/rules/regions.smk"
include: "workflow/rules/lookup.smk"
include: "workflow/rules/boosting.smk"
include: "workflow/rules/adapting.smk"
include: "workflow/rules/distilling.smk"
include: "workflow/rules/evaluation.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/tracking.smk"
include: "workflow/rules/miniature.smk"


rule all:
    default_target: True
    input:
        expand(f"{RESULTS}/tables/{{table}}.html", table=configuration.tables(CONFIG)),
        f"{RESULTS}/tracking.json",
        f"{RESULTS}/overview/metrics.json",


# After a run by hand, DVC is told what it made; `dvc repro` does so itself.
onsuccess:
    if (
        Path(".dvc").is_dir()
        and Path(".git").exists()
        and "DVC_STAGE" not in os.environ
        and not workflow.config_settings.configfiles
    ):
        shell("promptdistill record || true")
