"""The configuration: what it merges, and the sentences about what is wrong with it."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptdistill import config, layout
from promptdistill.errors import UserError
from promptdistill.methods import find_method, parse_hyperparameters

CONFIG_DIR = Path(__file__).parent.parent / "config"
DEFAULT = config.read_yaml(CONFIG_DIR / "config.yaml")
PAPER = config.load(config.read_yaml(CONFIG_DIR / "paper.yaml"), CONFIG_DIR)


def changed(**own):
    return config.merged(DEFAULT, own)


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIG_DIR.glob("*.yaml")))
def test_shipped_experiments_are_valid(name):
    config.load(config.read_yaml(CONFIG_DIR / name), CONFIG_DIR)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"datasets": ["mini_shape"]}, "no data set 'mini_shape': .* \\(did you mean mini_shapes\\?\\)"),
        ({"methods": ["coopp"]}, "no method 'coopp': .* \\(did you mean coop\\?\\)"),
        ({"methods": ["zero_shot+caspl"]}, "zero_shot cannot be cascaded on boosting prompts: drop \\+caspl"),
        ({"device": "tpu"}, "device: Input should be 'auto', 'cpu' or 'cuda'"),
        ({"dataset": ["mini_shapes"]}, "unknown key dataset \\(did you mean datasets\\?\\)"),
        ({"jobs": {"thread": 2}}, "unknown key jobs.thread \\(did you mean threads\\?\\)"),
        ({"datasets": []}, "datasets: List should have at least 1 item"),
        ({"methods": ["coop", "coop"]}, "methods lists coop more than once"),
        ({"overrides": {"coop": {"epoch": 3}}}, "coop has no hyper-parameter 'epoch' \\(did you mean epochs"),
        ({"overrides": {"cope": {"epochs": 3}}}, "no method 'cope'"),
        ({"regions": {"scale": [0.9, 0.1]}}, "regions: scale \\[0.9, 0.1\\] must be two shares"),
        ({"methods": ["boosting"]}, "methods: boosting cannot be applied to .*, but to no table: drop it"),
        ({"published": "nowhere"}, "published: there is no folder nowhere"),
        (
            {"protocols": {"base_to_novel": {"methods": ["linear_probe"]}}},
            "linear_probe cannot be applied to base_to_novel, but to few_shot: drop it",
        ),
        (
            {"protocols": {"few_shot": {"overrides": {"coop": {"epoch": 3}}}}},
            "coop has no hyper-parameter 'epoch'",
        ),
        ({"protocols": {"few_shot": {"shots": [1, 1]}}}, "shots lists 1 more than once"),
        ({"protocols": {"transfer": {"cross_dataset": ["mini_shapes"]}}}, "targets lists mini_shapes more"),
        (
            {"protocols": {"transfer": {"cross_dataset": [], "domain_generalization": []}}},
            "name a target under cross_dataset or domain_generalization",
        ),
        ({"protocols": {"transfer": {"source": "mini_shape"}}}, "no data set 'mini_shape'"),
        (
            {"protocols": {"base_to_novel": None, "few_shot": None, "transfer": None}},
            "protocols: name one of base_to_novel, few_shot, transfer",
        ),
    ],
)
def test_wrong_experiments(own, message):
    with pytest.raises(UserError, match=message) as caught:
        config.load(changed(**own), CONFIG_DIR)
    assert "\n" not in str(caught.value)


def test_missing_and_malformed_files(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml does not exist"):
        config.read_yaml(tmp_path / "none.yaml")
    for content, message in (("a: [", "is not valid YAML"), ("- a", "must hold a mapping")):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(UserError, match=message):
            config.read_yaml(tmp_path / "bad.yaml")


def test_hyperparameters_in_their_order():
    """Published, then with boosting, then of the data set, then the experiment's own."""
    experiment = config.validate(config.Config, changed(overrides={"coop+caspl": {"lr": 9}}), "test")
    plain = config.hyperparameters("coop", "mini_shapes", experiment, CONFIG_DIR)
    cascaded = config.hyperparameters("coop+caspl", "mini_shapes", experiment, CONFIG_DIR)
    assert (plain["n_ctx"], cascaded["n_ctx"]) == (16, 8)
    assert (plain["lr"], cascaded["lr"]) == (0.002, 9)
    assert config.hyperparameters("boosting", "dtd", experiment, CONFIG_DIR)["batch_size"] == 4
    assert config.hyperparameters("boosting", "imagenet", experiment, CONFIG_DIR)["batch_size"] == 128


@pytest.mark.parametrize("path", sorted((CONFIG_DIR / "methods").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_method_entry_fits_its_module(path):
    """Each hyper-parameter of config/methods is one that the module knows, and none is missing."""
    entry = config.load_method(path.stem, CONFIG_DIR)
    layers = [entry, entry.few_shot, entry.transfer]
    differing = [layer.hyperparameters for layer in layers]
    differing += [layer.with_boosting or {} for layer in layers]
    differing += [values for layer in layers for values in layer.datasets.values()]
    differing += [variant.hyperparameters for variant in entry.variants.values()]
    for values in differing:
        parse_hyperparameters(path.stem, {**entry.hyperparameters, **values})
    assert set(entry.hyperparameters) == set(find_method(path.stem).Config.model_fields)


@pytest.mark.parametrize(
    ("method", "dataset", "training", "expected"),
    [
        ("promptsrc", "dtd", "base_to_novel", (20, 9, 15, 1)),
        ("promptsrc", "dtd", "few_shot", (50, 9, 30, 30)),
        ("promptsrc+caspl", "dtd", "few_shot", (50, 12, 45, 5)),
        ("promptsrc+caspl", "ucf101", "few_shot", (50, 12, 30, 30)),
        ("promptsrc", "imagenet", "transfer", (20, 3, 6, 10)),
        ("promptsrc+caspl", "imagenet", "transfer", (20, 3, 6, 10)),
    ],
)
def test_promptsrc_in_each_protocol(method, dataset, training, expected):
    """Epochs, depth and the two numbers of the average over epochs, as published."""
    own = config.hyperparameters(method, dataset, PAPER, CONFIG_DIR, training)
    assert tuple(own[key] for key in ("epochs", "prompt_depth", "gpa_mean", "gpa_std")) == expected


def test_other_methods_in_each_protocol():
    def values(method, training, *keys, dataset="imagenet"):
        own = config.hyperparameters(method, dataset, PAPER, CONFIG_DIR, training)
        return tuple(own[key] for key in keys)

    boosting = ("n_ctx_text", "n_ctx_vision", "prompt_depth", "batch_size")
    assert values("boosting", "base_to_novel", *boosting, dataset="dtd") == (8, 8, 12, 4)
    assert values("boosting", "transfer", *boosting) == (4, 4, 1, 128)
    assert values("maple", "base_to_novel", "epochs", "prompt_depth") == (5, 9)
    assert values("maple", "transfer", "epochs", "prompt_depth") == (2, 3)
    assert values("promptkd", "base_to_novel", "weight", dataset="dtd") == (200,)
    assert values("promptkd", "base_to_novel", "weight", dataset="eurosat") == (1000,)


def test_a_variant_changes_what_the_experiment_makes_of_its_method():
    """Overrides of the method reach its variants; a variant's own come last."""
    own = {"fdbpl": {"prompt_depth": 2, "temperature": 3.0}, "fdbpl@regions_4": {"epochs": 7}}
    experiment = config.load(changed(methods=["fdbpl", "fdbpl@regions_4"], overrides=own), CONFIG_DIR)
    usual, variant = (
        config.hyperparameters(name, "mini_night", experiment, CONFIG_DIR)
        for name in ("fdbpl", "fdbpl@regions_4")
    )
    assert (usual["prompt_depth"], usual["temperature"], usual["regions"], usual["epochs"]) == (
        2,
        3,
        None,
        20,
    )
    assert variant == usual | {"regions": 4, "epochs": 7}
    assert layout.regions_of("fdbpl@regions_4", "mini_night", experiment, CONFIG_DIR).count == 4


def test_names_of_variants():
    assert config.split_variant("fdbpl@regions_4+caspl") == ("fdbpl+caspl", "regions_4")
    assert config.split_variant("coop+caspl") == ("coop+caspl", None)
    assert config.family("fdbpl@regions_4+caspl") == "fdbpl"
    assert config.split_method("fdbpl@regions_4+caspl") == ("fdbpl@regions_4", True)
    names = config.variants_of("fdbpl+caspl", CONFIG_DIR)
    assert names["fdbpl@regions_4+caspl"].hyperparameters == {"regions": 4}
    assert config.method_title("fdbpl@regions_4+caspl", CONFIG_DIR) == "FDBPL (R = 4) + CasPL"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"methods": ["fdbpl@region_4"]}, r"fdbpl has no variant 'region_4' \(did you mean regions_4\?\)"),
        ({"ablation": ["maple"]}, "ablation: maple has no variants"),
        ({"ablation": ["fdbpl@regions_4"]}, "fdbpl@regions_4 is a variant: name the method itself, fdbpl"),
        ({"ablation": ["fdbpl", "fdbpl"]}, "ablation lists fdbpl more than once"),
    ],
)
def test_wrong_variants(own, message):
    with pytest.raises(UserError, match=message):
        config.load(changed(**own), CONFIG_DIR)


def test_a_variant_of_an_unknown_hyperparameter(tmp_path):
    (tmp_path / "methods").mkdir()
    entry = config.read_yaml(CONFIG_DIR / "methods" / "coop.yaml")
    entry["variants"] = {"short": {"title": "short", "hyperparameters": {"n_ct": 4}}}
    (tmp_path / "methods" / "coop.yaml").write_text(json.dumps(entry))
    message = r"coop\.yaml: .*variants\.short: there is no hyper-parameter 'n_ct' \(did you mean n_ctx\?\)"
    with pytest.raises(UserError, match=message):
        config.load_method("coop", tmp_path)


def test_regions_of_another_scale_have_a_name_of_their_own():
    own = {"fdbpl": {"region_scale": ["0.08", 1]}}
    experiment = config.load(changed(methods=["fdbpl"], overrides=own), CONFIG_DIR)
    seen = layout.regions_of("fdbpl", "mini_night", experiment, CONFIG_DIR)
    assert (seen.count, seen.scale) == (20, (0.08, 1.0))
    assert layout.name_of_regions(seen, experiment) == "20_0.08to1.0"
    usual = layout.regions_of("boosting", "mini_night", experiment, CONFIG_DIR)
    assert layout.name_of_regions(usual, experiment) == "20"
    for regions in (seen, usual):
        assert layout.named_regions(layout.name_of_regions(regions, experiment), experiment) == regions
    wrong = config.load(
        changed(methods=["fdbpl"], overrides={"fdbpl": {"region_scale": [0.5, 0.1]}}), CONFIG_DIR
    )
    with pytest.raises(UserError, match=r"fdbpl: region_scale: .*must be two shares"):
        layout.regions_of("fdbpl", "mini_night", wrong, CONFIG_DIR)


def test_overrides_of_one_protocol():
    """They come last, and other protocols do not see them."""
    own = {"few_shot": {"overrides": {"coop": {"lr": 7}}}}
    experiment = config.load(changed(protocols=own, overrides={"coop": {"lr": 9, "epochs": 3}}), CONFIG_DIR)
    few = config.hyperparameters("coop", "mini_night", experiment, CONFIG_DIR, "few_shot")
    base = config.hyperparameters("coop", "mini_night", experiment, CONFIG_DIR)
    assert (few["lr"], few["epochs"], base["lr"], base["epochs"]) == (7, 3, 9, 3)


def test_a_protocol_is_left_out_by_null():
    """Also as the string that the command line makes of it."""
    for nothing in (None, "null"):
        loaded = config.load(changed(protocols={"few_shot": nothing, "transfer": nothing}), CONFIG_DIR)
        assert config.tables(loaded) == ["base_to_novel"]


def test_which_table_has_which_rows_and_data_sets():
    """The linear probe knows only its own classes; PromptKD needs unlabelled images of every target."""
    loaded = config.load(config.read_yaml(CONFIG_DIR / "miniature_all.yaml"), CONFIG_DIR)
    rows = {table: config.methods_of(table, loaded, CONFIG_DIR) for table in config.tables(loaded)}
    assert [table for table, methods in rows.items() if "linear_probe" in methods] == ["few_shot"]
    assert [table for table, methods in rows.items() if "promptkd" in methods] == [
        "base_to_novel",
        "cross_dataset",
    ]
    transfer = loaded.protocols.transfer
    everywhere = [transfer.source, *transfer.cross_dataset, *transfer.domain_generalization]
    assert config.evaluated("transfer", "coop+caspl", loaded, CONFIG_DIR) == everywhere
    assert config.evaluated("transfer", "promptkd", loaded, CONFIG_DIR) == transfer.cross_dataset
    assert config.evaluated("few_shot", "linear_probe", loaded, CONFIG_DIR) == loaded.datasets


def test_jobs_take_runs_seed_by_seed():
    """So that another seed leaves the jobs of the others as they are."""
    own = {"few_shot": {"shots": [1, 2], "seeds": [1, 2]}, "base_to_novel": None, "transfer": None}
    loaded = config.load(changed(protocols=own, jobs={"runs_per_job": 3}), CONFIG_DIR)
    assert config.batches(loaded) == [
        ("few_shot", 0, [(1, 1), (2, 1), (1, 2)]),
        ("few_shot", 1, [(2, 2)]),
    ]


def test_wrong_hyperparameters():
    with pytest.raises(UserError, match="hyper-parameters of coop: missing key n_ctx"):
        parse_hyperparameters("coop", {"epochs": 1, "batch_size": 1, "lr": 0.1})
    with pytest.raises(UserError, match="no method 'coup' \\(did you mean coop\\?\\)"):
        parse_hyperparameters("coup", {})


def test_regions_follow_the_epochs():
    """As many regions as epochs, at most `count`; epochs may come as a string from the command line."""
    content = config.read_yaml(CONFIG_DIR / "config.yaml")
    for count, overrides, expected in (
        (None, {}, 50),
        (20, {}, 20),
        (None, {"coop": {"epochs": "7"}}, 7),
    ):
        loaded = config.load({**content, "regions": {"count": count}, "overrides": overrides}, CONFIG_DIR)
        assert layout.regions_of("coop", "mini_shapes", loaded, CONFIG_DIR).count == expected
    for wrong in ("many", 0, None):
        loaded = config.load({**content, "overrides": {"coop": {"epochs": wrong}}}, CONFIG_DIR)
        with pytest.raises(UserError, match=r"coop: epochs is .*, but must be a whole number of at least 1"):
            layout.regions_of("coop", "mini_shapes", loaded, CONFIG_DIR)


def test_a_method_depends_on_those_it_builds_on(monkeypatch, tmp_path):
    """So that an edit to coop.py reruns what inherits from it."""
    package = tmp_path / "promptdistill"
    shutil.copytree(Path(layout.__file__).parent, package, ignore=shutil.ignore_patterns("*.safetensors"))
    (package / "methods/child.py").write_text("from .coop import CoOp\n")
    monkeypatch.setattr(layout, "_PACKAGE", package)
    names = {Path(path).name for path in layout.sources("adapting", method="child+caspl")}
    assert {"child.py", "coop.py", "base.py"} <= names
    assert "maple.py" not in names


keys = st.sampled_from("abc")
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


@given(first=st.dictionaries(keys, trees), second=st.dictionaries(keys, trees))
def test_merged(first, second):
    """Every leaf of the second mapping is in the result; nothing of the first is lost without need."""

    def leaves(tree, path=()):
        if not isinstance(tree, dict):
            return {path: tree}
        return {p: leaf for key, value in tree.items() for p, leaf in leaves(value, (*path, key)).items()}

    both = leaves(config.merged(first, second))
    assert leaves(second).items() <= both.items()
    assert set(both) <= set(leaves(first)) | set(leaves(second))
    assert config.merged(first, {}) == first


def test_schema_file_is_in_step():
    """workflow/schemas/config.schema.json is what the code says; `make schema` writes it again."""
    path = CONFIG_DIR.parent / "workflow/schemas/config.schema.json"
    assert json.loads(path.read_text()) == config.Config.model_json_schema(), "run `make schema`"
