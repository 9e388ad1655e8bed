# Short names for what most rules need.
import json
import re

from promptdistill import layout
from promptdistill.planning import job_resources
from promptdistill.tracking.store import store_of

RESULTS = CONFIG.results
RUN = layout.RUN
ADAPTING = f"{RESULTS}/{layout.ADAPTING}"
PREDICTIONS = f"{RESULTS}/{layout.PREDICTIONS}"
BOOSTING = f"{RESULTS}/{layout.BOOSTING}"
TEACHER_PROMPT = f"{RESULTS}/{layout.TEACHER_PROMPT}"
STORED_REGIONS = f"{RESULTS}/{layout.STORED_REGIONS}"
LOOKUP = f"{RESULTS}/{layout.LOOKUP}"
DRAW_FEATURES = f"{RESULTS}/{layout.DRAW_FEATURES}"
TEST_FEATURES = f"{RESULTS}/{layout.TEST_FEATURES}"
GPUS = 0 if CONFIG.device == "cpu" else 1
COMPUTE_ENV = "../../envs/cuda.yaml" if GPUS else "../../envs/cpu.yaml"
STUDENT = f"{CONFIG.backbones.student.model}:{CONFIG.backbones.student.pretrained}"
TEACHER = f"{CONFIG.backbones.teacher.model}:{CONFIG.backbones.teacher.pretrained}"
# Options that every command on a data set, and every command that computes, takes.
DATASET_FLAGS = layout.flags("config-dir", [CONFIG_DIR]) + " " + layout.flags("data-root", [CONFIG.data_root])
# Results depend on these, if only in their last bits, so they are parameters of the rules.
MACHINE_FLAGS = f"--device {CONFIG.device} --threads {CONFIG.jobs.threads}"
PRECISION = CONFIG.precision


def memory(backbone):
    """MB for a job that loads a model; a retry asks for more."""
    return lambda wildcards, attempt: attempt * job_resources.memory_mb(backbone)


def minutes(backbone, hours):
    """Minutes for a job that takes at most so many hours with ViT-B/16; a retry asks for more."""
    return lambda wildcards, attempt: attempt * job_resources.minutes(backbone, hours)


def dataset_entry(wildcards):
    """The data set's entry: a parameter of its rules, so that a change, but no comment, reruns them."""
    return configuration.load_dataset(wildcards.dataset, CONFIG_DIR).model_dump_json()


def template(wildcards):
    return configuration.load_dataset(wildcards.dataset, CONFIG_DIR).template


def training(wildcards):
    """The protocol that a job trains or tests for; boosting prompts know it by their kind."""
    if "protocol" in wildcards.keys():
        return wildcards.protocol
    return "transfer" if wildcards.get("kind") == "boosted_transfer" else "base_to_novel"


def hyperparameters(wildcards, method=None):
    """A method's hyper-parameters as JSON: a parameter of its rules, so that a change reruns it alone."""
    name = method or wildcards.method
    return json.dumps(
        configuration.hyperparameters(name, wildcards.dataset, CONFIG, CONFIG_DIR, training(wildcards))
    )


def trained_on(wildcards):
    """The data set whose images a prompt or a teacher learned from: the source, where others are tested."""
    return CONFIG.protocols.transfer.source if training(wildcards) == "transfer" else wildcards.dataset


def boosting_prompt(wildcards):
    """The boosting prompt that a method with +caspl is cascaded on."""
    if not configuration.split_method(wildcards.method)[1]:
        return []
    return BOOSTING.format(dataset=trained_on(wildcards), kind=layout.boosting_kind(training(wildcards)))


def boosting_flag(wildcards, input):
    return layout.flags("boosting", _listed(input.get("boosting")))


def boosting_prompt_of_kind(wildcards):
    """The boosting prompt that images are encoded with, if they are."""
    if wildcards.kind == "plain":
        return []
    return BOOSTING.format(dataset=trained_on(wildcards), kind=wildcards.kind)


def lookup_parts(wildcards):
    """What the jobs that share a data set's teacher lookup leave; nothing if there is one job."""
    parts = CONFIG.lookup.parts_of.get(wildcards.dataset, CONFIG.lookup.parts)
    folder = LOOKUP.format(**dict(wildcards.items())) + "/parts"
    return [f"{folder}/{part}-of-{parts}" for part in range(parts)] if parts > 1 else []


def regions_of(wildcards, method=None):
    return layout.regions_of(
        method or wildcards.method, wildcards.dataset, CONFIG, CONFIG_DIR, training(wildcards)
    )


def crops_of(wildcards, method=None):
    """The name, in paths, of the regions that the training of a method, or "boosting", sees."""
    return layout.name_of_regions(regions_of(wildcards, method), CONFIG)


def region_flags(method=None):
    """The regions that a training sees, if it sees regions and not whole images."""

    def options(wildcards):
        name = method or wildcards.method
        if configuration.load_method(name, CONFIG_DIR).learns_from == "images":
            return ""
        return layout.region_flags(regions_of(wildcards, method))

    return options


def named_region_flags(wildcards):
    return layout.region_flags(layout.named_regions(wildcards.crops, CONFIG))


def kind_of_features(wildcards):
    """plain, or the kind of the boosting prompt, if the method looks up image features."""
    return layout.feature_kind(wildcards.method, CONFIG_DIR, training(wildcards))


def stored_regions(method=None):
    """Stored regions for a training whose every step sees images: one a new epoch, so one store a length."""

    def manifest(wildcards):
        if not CONFIG.regions.max_gb:
            return []
        if method is None and not layout.sees_pixels(wildcards.method, CONFIG_DIR):
            return []
        crops = crops_of(wildcards, method)
        return STORED_REGIONS.format(dataset=wildcards.dataset, crops=crops)

    return manifest


def stored_regions_of_count(wildcards):
    """The stored regions that a teacher is asked about."""
    return STORED_REGIONS.format(**dict(wildcards.items())) if CONFIG.regions.max_gb else []


def teacher_answers(method, teacher):
    """The lookup that a method, or "boosting", learns from."""

    def manifest(wildcards):
        crops = crops_of(wildcards, method)
        return LOOKUP.format(dataset=wildcards.dataset, teacher=teacher, crops=crops) + "/manifest.json"

    return manifest


def teacher_prompt(wildcards):
    """The prompt that a teacher was tuned by, if it was: on the source, where others are tested."""
    if wildcards.teacher == "zero_shot":
        return []
    protocol, shots = re.fullmatch(r"(\w+)_(\d+)shots", wildcards.teacher).groups()
    dataset = CONFIG.protocols.transfer.source if protocol == "transfer" else wildcards.dataset
    return TEACHER_PROMPT.format(dataset=dataset, protocol=protocol, shots=shots)


def asked_teacher(wildcards):
    """The zero-shot teacher's answers, for a method that is trained on few shots and asks it."""
    if not configuration.load_method(wildcards.method, CONFIG_DIR).asks_teacher:
        return []
    return teacher_answers(None, "zero_shot")(wildcards)


def first_seed(wildcards):
    """The seed whose few shots a teacher is tuned on."""
    return CONFIG.protocols.chosen()[wildcards.protocol].seeds[0]


def first_draw(wildcards):
    return f"{RESULTS}/splits/{wildcards.dataset}/{wildcards.shots}shots_seed{first_seed(wildcards)}.json"


def draw_features(runs):
    """Looked-up features of the draws of some runs, for a method that needs them."""

    def manifests(wildcards):
        kind = kind_of_features(wildcards)
        if kind is None or configuration.load_method(wildcards.method, CONFIG_DIR).learns_from != "regions":
            return []
        pattern = DRAW_FEATURES.replace("{crops}", crops_of(wildcards))
        return [
            pattern.format(
                dataset=wildcards.dataset, kind=kind, protocol=wildcards.protocol, shots=shots, seed=seed
            )
            + "/manifest.json"
            for shots, seed in runs
        ]

    return manifests


def of_runs(pattern, runs):
    """The paths of some runs; their other wildcards stay."""
    return [pattern.replace("{shots}", str(k)).replace("{seed}", str(seed)) for k, seed in runs]


def learned_on(protocol, dataset, method):
    """The data set that a prompt is learned on which is tested on `dataset`: the source, or that one itself."""
    own = configuration.load_method(method, CONFIG_DIR).learns_from == "teacher"
    return dataset if own or protocol != "transfer" else CONFIG.protocols.transfer.source


def finished_prompts(runs):
    """The prompts that are tested: learned on the source, or on the data set itself."""

    def paths(wildcards):
        dataset = learned_on(wildcards.protocol, wildcards.dataset, wildcards.method)
        folder = ADAPTING.format(protocol=wildcards.protocol, dataset=dataset, method=wildcards.method)
        return of_runs(f"{folder}/{RUN}.safetensors", runs)

    return paths


def test_features(wildcards):
    """Looked-up features of the test images, for a method that learns nothing on the image side."""
    looks_up = configuration.load_method(wildcards.method, CONFIG_DIR).looks_up
    if looks_up != "cascade":
        return []
    return (
        TEST_FEATURES.format(dataset=wildcards.dataset, kind=kind_of_features(wildcards)) + "/manifest.json"
    )


def folder_flags(name, key):
    """An option for the folder of each manifest among the inputs of one name."""
    return lambda wildcards, input: layout.flags(name, [Path(p).parent for p in _listed(input.get(key))])


def _listed(value):
    return [value] if isinstance(value, str) else value or []


def predictions(wildcards):
    """A method's predictions of a protocol's data sets: of every run, or a single one if nothing learns."""
    learns = configuration.load_method(wildcards.method, CONFIG_DIR).learns_from != "nothing"
    files = (
        of_runs(f"{RUN}.parquet", configuration.runs(CONFIG, wildcards.protocol))
        if learns
        else ["0shots.parquet"]
    )
    datasets = configuration.evaluated(wildcards.protocol, wildcards.method, CONFIG, CONFIG_DIR)
    return expand(
        PREDICTIONS + "/{file}",
        protocol=wildcards.protocol,
        method=wildcards.method,
        dataset=datasets,
        file=files,
    )


def published_numbers(wildcards):
    """The published numbers of a table, if there are any."""
    path = Path(CONFIG.published or "") / f"{wildcards.table}.csv"
    return str(path) if CONFIG.published and path.is_file() else []


def table_source(wildcards):
    transfer = configuration.training_of(wildcards.table) == "transfer"
    return layout.flags("source", [CONFIG.protocols.transfer.source] if transfer else [])


def compared(method):
    """A method, then its variants."""
    return [method, *configuration.ablations(CONFIG, CONFIG_DIR)[method]]


def runs_flags(protocol):
    """The shots and seeds that a table of a protocol is of."""
    runs = configuration.runs(CONFIG, protocol)
    shots, seeds = (list(dict.fromkeys(values)) for values in zip(*runs))
    return layout.flags("shots", shots) + " " + layout.flags("seed", seeds)


def methods_learning_from(*what):
    """A wildcard constraint: the methods, alone and cascaded, that learn from regions, images, a teacher."""
    names = [name for one in what for name in layout.learning_from(one, CONFIG_DIR) if name != "boosting"]
    return rf"({'|'.join(names)})(@[a-z0-9_]+)?(\+caspl)?"


def tracked_metrics():
    """The metrics that all tables are made from."""
    return [
        f"{RESULTS}/metrics/{protocol}/{method}.json"
        for protocol in CONFIG.protocols.chosen()
        for method in tabulated(protocol)
    ]


def tabulated(protocol):
    """The methods of a protocol that stand in any of its tables."""
    tables = [t for t in configuration.tables(CONFIG) if configuration.training_of(t) == protocol]
    return dict.fromkeys(m for t in tables for m in configuration.methods_of(t, CONFIG, CONFIG_DIR))


def tracked_runs():
    """What every run leaves: predictions, prompt, history, and the boosting prompt that it is cascaded on."""
    found = []
    for protocol, _, runs in configuration.batches(CONFIG):
        for method in tabulated(protocol):
            learns = configuration.load_method(method, CONFIG_DIR).learns_from != "nothing"
            for dataset in configuration.evaluated(protocol, method, CONFIG, CONFIG_DIR):
                tested = PREDICTIONS.format(protocol=protocol, dataset=dataset, method=method)
                found += of_runs(f"{tested}/{RUN}.parquet", runs) if learns else [f"{tested}/0shots.parquet"]
                if learns:
                    found += _learned_by(protocol, learned_on(protocol, dataset, method), method, runs)
    return list(dict.fromkeys(found))


def _learned_by(protocol, dataset, method, runs):
    prompt = ADAPTING.format(protocol=protocol, dataset=dataset, method=method) + f"/{RUN}"
    own = of_runs(f"{prompt}.safetensors", runs) + of_runs(f"{prompt}.history.json", runs)
    boosted = configuration.split_method(method)[1]
    kind = layout.boosting_kind(protocol)
    return [*own, BOOSTING.format(dataset=dataset, kind=kind)] if boosted else own


def tracked_splits():
    """The splits of all data sets that are tested."""
    datasets = dict.fromkeys(
        dataset
        for protocol in CONFIG.protocols.chosen()
        for method in tabulated(protocol)
        for dataset in configuration.evaluated(protocol, method, CONFIG, CONFIG_DIR)
    )
    return [f"{RESULTS}/splits/{dataset}/split.json" for dataset in datasets]


def training_jobs():
    """The (shots, seed) that each training job of a protocol takes, as JSON."""
    jobs = {}
    for protocol, _, runs in configuration.batches(CONFIG):
        jobs.setdefault(protocol, []).append(runs)
    return json.dumps(jobs)
