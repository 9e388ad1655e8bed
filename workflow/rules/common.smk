# Short names for what most rules need.
import json

from promptdistill import layout

RESULTS = CONFIG.results
PROTOCOL = CONFIG.protocols.base_to_novel
# Folders of one data set and method.
ADAPTING = RESULTS + "/adapting/base_to_novel/{dataset}/{method}"
PREDICTIONS = RESULTS + "/predictions/base_to_novel/{dataset}/{method}"
# A longer training sees more regions, so its features and stored regions are its own: then no method
# reruns because of another.
STORED_REGIONS = RESULTS + "/regions/{dataset}/{crops}/manifest.json"
DRAW_FEATURES = RESULTS + "/features/{dataset}/{kind}/{crops}regions/base_to_novel/{shots}shots_seed{seed}"
TEST_FEATURES = RESULTS + "/features/{dataset}/{kind}/test"
GPUS = 0 if CONFIG.device == "cpu" else 1
COMPUTE_ENV = "../../envs/cuda.yaml" if GPUS else "../../envs/cpu.yaml"
STUDENT = f"{CONFIG.backbones.student.model}:{CONFIG.backbones.student.pretrained}"
TEACHER = f"{CONFIG.backbones.teacher.model}:{CONFIG.backbones.teacher.pretrained}"
# Options that every command on a data set, and every command that computes, takes.
DATASET_FLAGS = layout.flags("config-dir", [CONFIG_DIR]) + " " + layout.flags("data-root", [CONFIG.data_root])
# Results depend on these, if only in their last bits, so they are parameters of the rules.
MACHINE_FLAGS = f"--device {CONFIG.device} --threads {CONFIG.jobs.threads}"
PRECISION = CONFIG.precision
REGION_FLAGS = (
    f"--region-seed {CONFIG.regions.seed}"
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


def boosting_flag(wildcards, input):
    return layout.flags("boosting", _listed(input.get("boosting")))


def boosting_prompt_of_kind(wildcards):
    """The boosting prompt that images are encoded with, if they are."""
    return f"{RESULTS}/boosting/{wildcards.dataset}.safetensors" if wildcards.kind == "boosted" else []


def lookup_parts(wildcards):
    """What the jobs that share a data set's teacher lookup leave; nothing if there is one job."""
    parts = CONFIG.lookup.parts_of.get(wildcards.dataset, CONFIG.lookup.parts)
    folder = f"{RESULTS}/lookup/{wildcards.dataset}/parts"
    return [f"{folder}/{part}-of-{parts}" for part in range(parts)] if parts > 1 else []


def region_count(wildcards, method):
    return layout.region_count(method, wildcards.dataset, CONFIG, CONFIG_DIR)


def kind_of_features(wildcards):
    """plain or boosted, if the method looks up image features."""
    return layout.feature_kind(wildcards.method, CONFIG_DIR)


def stored_regions(method=None):
    """Stored regions for a training whose every step sees images: one a new epoch, so one store a length."""

    def manifest(wildcards):
        name = method or wildcards.method
        if not layout.sees_pixels(name, CONFIG_DIR):
            return []
        return STORED_REGIONS.format(dataset=wildcards.dataset, crops=region_count(wildcards, name))

    return manifest


def draw_features(seeds):
    """Looked-up features of the draws of some seeds, for a method that needs them."""
    pattern = DRAW_FEATURES + "/manifest.json"

    def manifests(wildcards):
        kind = kind_of_features(wildcards)
        if kind is None:
            return []
        count = region_count(wildcards, wildcards.method)
        return expand(pattern, seed=seeds, kind=kind, crops=count, allow_missing=True)

    return manifests


def test_features(wildcards):
    """Looked-up features of the test images, for a method that learns nothing on the image side."""
    looks_up = configuration.load_method(wildcards.method, CONFIG_DIR).looks_up
    kind = kind_of_features(wildcards)
    return f"{TEST_FEATURES}/manifest.json".replace("{kind}", kind) if looks_up == "cascade" else []


def folder_flags(name, key):
    """An option for the folder of each manifest among the inputs of one name."""
    return lambda wildcards, input: layout.flags(name, [Path(p).parent for p in _listed(input.get(key))])


def _listed(value):
    return [value] if isinstance(value, str) else value or []


def predictions(method):
    """Predictions of one method on all data sets: of every seed, or a single one if nothing learns."""
    learns = configuration.load_method(method, CONFIG_DIR).learns
    names = [f"{PROTOCOL.shots}shots_seed{seed}" for seed in PROTOCOL.seeds] if learns else ["0shots"]
    return expand(PREDICTIONS + "/{name}.parquet", dataset=CONFIG.datasets, method=method, name=names)
