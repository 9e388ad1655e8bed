# Short names for what most rules need.
import json

from promptdistill import layout

RESULTS = CONFIG.results
PROTOCOL = CONFIG.protocols.base_to_novel
# Folders of one data set and method.
ADAPTING = RESULTS + "/adapting/base_to_novel/{dataset}/{method}"
PREDICTIONS = RESULTS + "/predictions/base_to_novel/{dataset}/{method}"
GPUS = 0 if CONFIG.device == "cpu" else 1
COMPUTE_ENV = "../../envs/cuda.yaml" if GPUS else "../../envs/cpu.yaml"
STUDENT = f"{CONFIG.backbones.student.model}:{CONFIG.backbones.student.pretrained}"
TEACHER = f"{CONFIG.backbones.teacher.model}:{CONFIG.backbones.teacher.pretrained}"
# Options that every command on a data set, and every command that computes, takes.
DATASET_FLAGS = layout.flags("config-dir", [CONFIG_DIR]) + " " + layout.flags("data-root", [CONFIG.data_root])
# Results depend on these, if only in their last bits, so they are parameters of the rules.
MACHINE_FLAGS = f"--device {CONFIG.device} --threads {CONFIG.jobs.threads}"
REGION_FLAGS = (
    f"--regions {CONFIG.regions.count} --region-seed {CONFIG.regions.seed}"
    f" --region-scale {CONFIG.regions.scale[0]} {CONFIG.regions.scale[1]}"
)


def dataset_entry(wildcards):
    """The data set's entry: a parameter of its rules, so that a change, but no comment, reruns them."""
    return configuration.load_dataset(wildcards.dataset, CONFIG_DIR).model_dump_json()


def template(wildcards):
    return configuration.load_dataset(wildcards.dataset, CONFIG_DIR).template


def hyperparameters(wildcards, method=None):
    """A method's hyper-parameters as JSON: a parameter of its rules, so that a change reruns it alone."""
    name = method or wildcards.method
    return json.dumps(configuration.hyperparameters(name, wildcards.dataset, CONFIG, CONFIG_DIR))


def boosting_prompt(wildcards):
    """The boosting prompt that a method with +caspl is cascaded on."""
    cascaded = configuration.split_method(wildcards.method)[1]
    return f"{RESULTS}/boosting/{wildcards.dataset}.safetensors" if cascaded else []


def boosting_flag(wildcards):
    return layout.flags("boosting", [boosting_prompt(wildcards)] if boosting_prompt(wildcards) else [])


def predictions(method):
    """Predictions of one method on all data sets: of every seed, or a single one if nothing learns."""
    learns = configuration.load_method(method, CONFIG_DIR).learns
    names = [f"{PROTOCOL.shots}shots_seed{seed}" for seed in PROTOCOL.seeds] if learns else ["0shots"]
    return expand(PREDICTIONS + "/{name}.parquet", dataset=CONFIG.datasets, method=method, name=names)
