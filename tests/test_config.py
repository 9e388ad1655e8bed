"""The configuration: what it merges, and the sentences about what is wrong with it."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptdistill.config.entries import load_method, method_title, variants_of
from promptdistill.config.schema import Config
from promptdistill.errors import UserError
from promptdistill.experiment import Experiment, JobGroup
from promptdistill.graph import Predictions, Prompt
from promptdistill.methods import find_method, parse_hyperparameters
from promptdistill.protocols import PROTOCOLS
from promptdistill.validation import merged, read_yaml

CONFIG_DIR = Path(__file__).parent.parent / "config"
DEFAULT = read_yaml(CONFIG_DIR / "config.yaml")
PAPER = Experiment.read(CONFIG_DIR / "paper.yaml", CONFIG_DIR)


def changed(**own):
    return merged(DEFAULT, own)


def experiment(**own):
    """The default experiment, with changes."""
    return Experiment.checked(changed(**own), CONFIG_DIR)


@pytest.mark.parametrize("name", sorted(path.name for path in CONFIG_DIR.glob("*.yaml")))
def test_shipped_experiments_are_valid(name):
    Experiment.read(CONFIG_DIR / name, CONFIG_DIR)


@pytest.mark.parametrize("name", ["kdpl", "kdpl_rn50"])
def test_plain_methods_are_trained_as_those_with_a_plugin(name):
    """Else a table would compare two things at once; FDBPL trains PromptSRC for 25 epochs, as published."""
    compared = Experiment.read(CONFIG_DIR / f"{name}.yaml", CONFIG_DIR)
    cascaded = [name.replace("+", "+caspl+") for name in compared.config.methods if "+" in name]
    for method in (*cascaded, *(method for method in compared.config.methods if "+" in method)):
        for protocol in compared.protocols:
            for dataset in compared.config.datasets:
                own = compared.hyperparameters(method, dataset, protocol)
                plain = compared.hyperparameters(method.rpartition("+")[0], dataset, protocol)
                differing = {key: own[key] for key in plain if plain[key] != own[key]}
                longer = method.startswith("promptsrc") and method.endswith("+fdbpl")
                assert differing == ({"epochs": 25} if longer else {})


def test_kdpls_settings_of_plain_methods():
    compared = Experiment.read(CONFIG_DIR / "kdpl.yaml", CONFIG_DIR)
    for protocol in compared.protocols:
        coop = compared.hyperparameters("coop", "imagenet", protocol)
        assert (coop["n_ctx"], coop["ctx_init"], coop["epochs"]) == (4, "a photo of a", 50)
        maple = compared.hyperparameters("maple", "imagenet", protocol)
        assert (maple["n_ctx"], maple["prompt_depth"], maple["epochs"], maple["lr"]) == (2, 9, 5, 0.0035)
        promptsrc = compared.hyperparameters("promptsrc", "imagenet", protocol)
        depth, mean = (3, 6) if protocol == "transfer" else (9, 15)
        assert (promptsrc["prompt_depth"], promptsrc["gpa_mean"], promptsrc["epochs"]) == (depth, mean, 20)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"datasets": ["mini_shape"]}, "no data set 'mini_shape': .* \\(did you mean mini_shapes\\?\\)"),
        ({"methods": ["coopp"]}, "no method 'coopp': .* \\(did you mean coop\\?\\)"),
        ({"methods": ["zero_shot+caspl"]}, "zero_shot cannot be cascaded on boosting prompts: drop \\+caspl"),
        ({"device": "tpu"}, "device: Input should be 'auto', 'cpu' or 'cuda'"),
        ({"dataset": ["mini_shapes"]}, "unknown key dataset \\(did you mean datasets\\?\\)"),
        ({"jobs": {"thread": 2}}, "unknown key jobs.thread \\(did you mean threads\\?\\)"),
        ({"protocols": 3}, "configuration: protocols must hold a mapping of keys to values"),
        ({"overrides": {"coop": 3}}, "configuration: overrides.coop must hold a mapping of keys to values"),
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
            {"protocols": dict.fromkeys(PROTOCOLS)},
            f"protocols: name one of {', '.join(PROTOCOLS)}",
        ),
    ],
)
def test_wrong_experiments(own, message):
    with pytest.raises(UserError, match=message) as caught:
        experiment(**own)
    assert "\n" not in str(caught.value)


def test_missing_and_malformed_files(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml does not exist"):
        read_yaml(tmp_path / "none.yaml")
    for content, message in (
        ("a: [", "is not valid YAML"),
        ("a: 1\nb: {c: 1,\n  c: 2}", "is not valid YAML: c stands twice, in lines 2 and 3"),
        ("- a", "must hold a mapping"),
    ):
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(UserError, match=message):
            read_yaml(tmp_path / "bad.yaml")


def test_hyperparameters_in_their_order():
    """Published, then with boosting, then of the data set, then the experiment's own."""
    own = experiment(overrides={"coop+caspl": {"lr": 9}})
    plain = own.hyperparameters("coop", "mini_shapes", "base_to_novel")
    cascaded = own.hyperparameters("coop+caspl", "mini_shapes", "base_to_novel")
    assert (plain["n_ctx"], cascaded["n_ctx"]) == (16, 8)
    assert (plain["lr"], cascaded["lr"]) == (0.002, 9)
    both = experiment(overrides={"coop": {"lr": 5, "n_ctx": 3}, "coop+caspl": {"lr": 9}})
    cascaded = both.hyperparameters("coop+caspl", "mini_shapes", "base_to_novel")
    assert (cascaded["lr"], cascaded["n_ctx"]) == (9, 3)
    assert own.hyperparameters("boosting", "dtd", "base_to_novel")["batch_size"] == 4
    assert own.hyperparameters("boosting", "imagenet", "base_to_novel")["batch_size"] == 128


@pytest.mark.parametrize("path", sorted((CONFIG_DIR / "methods").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_method_entry_fits_its_module(path):
    """Each hyper-parameter of config/methods is one that the module knows, and none is missing."""
    entry = load_method(path.stem, CONFIG_DIR)
    layers = [entry, *(layer for protocol in PROTOCOLS for layer in entry.layers(protocol)[1:])]
    differing = [layer.hyperparameters for layer in layers]
    differing += [layer.with_boosting or {} for layer in layers]
    differing += [values for layer in layers for values in layer.datasets.values()]
    differing += [variant.hyperparameters for variant in entry.variants.values()]
    for values in differing:
        parse_hyperparameters(path.stem, {**entry.hyperparameters, **values})
    assert set(entry.hyperparameters) == set(find_method(path.stem).Config.model_fields)


@pytest.mark.parametrize(
    ("method", "dataset", "protocol", "expected"),
    [
        ("promptsrc", "dtd", "base_to_novel", (20, 9, 15, 1)),
        ("promptsrc", "dtd", "few_shot", (50, 9, 30, 30)),
        ("promptsrc+caspl", "dtd", "few_shot", (50, 12, 45, 5)),
        ("promptsrc+caspl", "ucf101", "few_shot", (50, 12, 30, 30)),
        ("promptsrc", "imagenet", "transfer", (20, 3, 6, 10)),
        ("promptsrc+caspl", "imagenet", "transfer", (20, 3, 6, 10)),
    ],
)
def test_promptsrc_in_each_protocol(method, dataset, protocol, expected):
    """Epochs, depth and the two numbers of the average over epochs, as published."""
    own = PAPER.hyperparameters(method, dataset, protocol)
    assert tuple(own[key] for key in ("epochs", "prompt_depth", "gpa_mean", "gpa_std")) == expected


def test_other_methods_in_each_protocol():
    def values(method, protocol, *keys, dataset="imagenet"):
        own = PAPER.hyperparameters(method, dataset, protocol)
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
    overrides = {"fdbpl": {"prompt_depth": 2, "temperature": 3.0}, "fdbpl@regions_4": {"epochs": 7}}
    own = experiment(methods=["fdbpl", "fdbpl@regions_4"], overrides=overrides)
    usual, variant = (
        own.hyperparameters(name, "mini_night", "base_to_novel") for name in ("fdbpl", "fdbpl@regions_4")
    )
    expected = {"prompt_depth": 2, "temperature": 3, "regions": None, "epochs": 20}
    assert {key: usual[key] for key in expected} == expected
    assert variant == usual | {"regions": 4, "epochs": 7}
    assert own.regions("fdbpl@regions_4", "mini_night", "base_to_novel").count == 4


def test_variants_of_a_method():
    names = variants_of("fdbpl+caspl", CONFIG_DIR)
    assert names["fdbpl@regions_4+caspl"].hyperparameters == {"regions": 4}
    assert method_title("fdbpl@regions_4+caspl", CONFIG_DIR) == "FDBPL, ours (R = 4) + CasPL"


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
        experiment(**own)


def test_a_variant_of_an_unknown_hyperparameter(tmp_path):
    (tmp_path / "methods").mkdir()
    entry = read_yaml(CONFIG_DIR / "methods" / "coop.yaml")
    entry["variants"] = {"short": {"title": "short", "hyperparameters": {"n_ct": 4}}}
    (tmp_path / "methods" / "coop.yaml").write_text(json.dumps(entry))
    message = r"coop\.yaml: .*variants\.short: there is no hyper-parameter 'n_ct' \(did you mean n_ctx\?\)"
    with pytest.raises(UserError, match=message):
        load_method("coop", tmp_path)


def test_regions_of_another_scale_have_a_name_of_their_own():
    own = experiment(methods=["fdbpl"], overrides={"fdbpl": {"region_scale": ["0.08", 1]}})
    seen = own.regions("fdbpl", "mini_night", "base_to_novel")
    assert (seen.count, seen.scale) == (20, (0.08, 1.0))
    assert own.region_set(seen) == "20_0.08to1.0"
    usual = own.regions("boosting", "mini_night", "base_to_novel")
    assert own.region_set(usual) == "20"
    for regions in (seen, usual):
        assert own.regions_named(own.region_set(regions)) == regions
    wrong = experiment(methods=["fdbpl"], overrides={"fdbpl": {"region_scale": [0.5, 0.1]}})
    with pytest.raises(UserError, match=r"fdbpl: region_scale: .*must be two shares"):
        wrong.regions("fdbpl", "mini_night", "base_to_novel")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("twenty", "'twenty' is not a set of regions, such as 20 or 20_0.25to1.0"),
        ("20_half", "'20_half' is not a set of regions"),
        ("20_0.5", "the set of regions 20_0.5: missing key scale"),
        ("20_0.9to0.1", "the set of regions 20_0.9to0.1: .* must be two shares"),
        ("0", "'0' is not a set of regions"),
    ],
)
def test_names_that_are_no_set_of_regions(name, message):
    with pytest.raises(UserError, match=message):
        experiment().regions_named(name)


def test_a_protocols_own_settings_are_parameters_of_what_it_trains_and_tests():
    """Sessions are; the targets of transfer are not, since another one changes no other result."""
    few, many = (experiment(protocols={"class_incremental": {"sessions": sessions}}) for sessions in (2, 3))
    run = "class_incremental/mini_night/coop/16/1"
    for kind in (Prompt, Predictions):
        assert kind.parse(run).parameters(few) != kind.parse(run).parameters(many)
    other = experiment(protocols={"transfer": {"cross_dataset": ["mini_night"]}})
    prompt = Prompt.parse("transfer/mini_shapes/coop/16/1")
    assert prompt.parameters(experiment()) == prompt.parameters(other)


def test_overrides_of_one_protocol():
    """They come last, and other protocols do not see them."""
    protocols = {"few_shot": {"overrides": {"coop": {"lr": 7}}}}
    own = experiment(protocols=protocols, overrides={"coop": {"lr": 9, "epochs": 3}})
    few = own.hyperparameters("coop", "mini_night", "few_shot")
    base = own.hyperparameters("coop", "mini_night", "base_to_novel")
    assert (few["lr"], few["epochs"], base["lr"], base["epochs"]) == (7, 3, 9, 3)


def test_a_shared_boosting_prompt_has_no_settings_of_one_protocol():
    own = {"few_shot": {"overrides": {"boosting": {"epochs": 3}}}}
    with pytest.raises(UserError, match=r"few_shot\.overrides: .* share a data set's boosting prompt; move"):
        experiment(protocols=own)


def test_a_protocol_is_left_out_by_null():
    """Also as the string that the command line makes of it."""
    for nothing in (None, "null"):
        own = experiment(protocols=dict.fromkeys(PROTOCOLS, nothing) | {"base_to_novel": {}})
        assert own.tables == ["base_to_novel"]


def test_a_protocol_that_is_not_run():
    own = experiment(protocols={"few_shot": None})
    with pytest.raises(UserError, match="The configuration does not run few_shot: add it under protocols"):
        own.runs("few_shot")
    with pytest.raises(UserError, match=r"There is no protocol 'few_shots' \(did you mean few_shot\?\)"):
        own.settings("few_shots")


def entries(folder, **coop):
    """A folder of entries: all of the project's, with keys more in that of coop."""
    for kind in ("datasets", "methods"):
        (folder / kind).mkdir()
        for path in (CONFIG_DIR / kind).iterdir():
            (folder / kind / path.name).write_text(path.read_text())
    own = folder / "methods/coop.yaml"
    own.write_text(json.dumps(read_yaml(own) | coop))
    return folder


def test_files_of_a_method(tmp_path):
    """Each has to be there for each data set that the method is used on, before anything runs."""
    folder = entries(tmp_path, files={"descriptions": "descriptions/{dataset}.json"})
    content = changed(datasets=["mini_shapes", "mini_night"], methods=["coop"], ablation=[])
    content["protocols"] = {"base_to_novel": {}}
    (folder / "descriptions").mkdir()
    (folder / "descriptions/mini_shapes.json").write_text("{}")
    missing = folder / "descriptions/mini_night.json"
    message = (
        f"coop reads descriptions for mini_night from {missing}, which does not exist: put the file there"
    )
    with pytest.raises(UserError, match=message):
        Experiment.checked(content, folder)
    missing.write_text("{}")
    own = Experiment.checked(content, folder)
    assert own.method_files("coop+caspl", "mini_night") == {"descriptions": missing}
    assert own.method_files("kgcoop", "mini_night") == {}


@pytest.mark.parametrize("name", ["weights", "prompt", "split"])
def test_a_file_of_a_method_needs_a_name_of_its_own(tmp_path, name):
    folder = entries(tmp_path, files={name: "descriptions/{dataset}.json"})
    with pytest.raises(UserError, match=f"files.{name}: a step reads a file of that name already"):
        load_method("coop", folder)


def test_an_unused_faulty_entry_is_said(tmp_path):
    folder = entries(tmp_path)
    (folder / "methods/maple.yaml").write_text("titel: MaPLe")
    with pytest.raises(UserError, match=r"maple\.yaml: .*unknown key titel"):
        Experiment.checked(DEFAULT, folder)


def test_which_table_has_which_rows_and_data_sets():
    """The linear probe knows only its own classes; PromptKD needs unlabelled images of every target."""
    own = Experiment.read(CONFIG_DIR / "miniature_all.yaml", CONFIG_DIR)
    rows = {table: own.methods_of(table) for table in own.tables}
    assert [table for table, methods in rows.items() if "linear_probe" in methods] == ["few_shot"]
    assert [table for table, methods in rows.items() if "promptkd" in methods] == [
        "base_to_novel",
        "cross_dataset",
    ]
    transfer = own.settings("transfer")
    everywhere = [transfer.source, *transfer.cross_dataset, *transfer.domain_generalization]
    assert own.evaluated("transfer", "coop+caspl") == everywhere
    assert own.evaluated("transfer", "promptkd") == transfer.cross_dataset
    assert own.evaluated("few_shot", "linear_probe") == own.config.datasets


def test_jobs_take_runs_seed_by_seed():
    """So that another seed leaves the jobs of the others as they are."""
    protocols = dict.fromkeys(PROTOCOLS) | {"few_shot": {"shots": [1, 2], "seeds": [1, 2]}}
    own = experiment(protocols=protocols, jobs={"runs_per_job": 3}, methods=["coop"], ablation=[])
    assert own.job_groups == [
        JobGroup("few_shot", 0, [(1, 1), (2, 1), (1, 2)]),
        JobGroup("few_shot", 1, [(2, 2)]),
    ]


def test_wrong_hyperparameters():
    with pytest.raises(UserError, match="hyper-parameters of coop: missing key n_ctx"):
        parse_hyperparameters("coop", {"epochs": 1, "batch_size": 1, "lr": 0.1})
    with pytest.raises(UserError, match="no method 'coup' \\(did you mean coop\\?\\)"):
        parse_hyperparameters("coup", {})


def test_regions_follow_the_epochs():
    """As many regions as epochs, at most `count`; epochs may come as a string from the command line."""
    for count, overrides, expected in (
        (None, {}, 50),
        (20, {}, 20),
        (None, {"coop": {"epochs": "7"}}, 7),
    ):
        changed = {**DEFAULT, "regions": {"count": count}, "overrides": DEFAULT["overrides"] | overrides}
        own = Experiment.checked(changed, CONFIG_DIR)
        assert own.regions("coop", "mini_shapes", "base_to_novel").count == expected
    for wrong in ("many", 0, None):
        with pytest.raises(UserError, match=r"hyper-parameters of coop: epochs: Input should be"):
            Experiment.checked({**DEFAULT, "overrides": {"coop": {"epochs": wrong}}}, CONFIG_DIR)


keys = st.sampled_from("abc")
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)


@given(first=st.dictionaries(keys, trees), second=st.dictionaries(keys, trees))
def test_merged(first, second):
    """Every leaf of the second mapping is in the result; nothing of the first is lost without need."""

    def leaves(tree, path=()):
        if not isinstance(tree, dict):
            return {path: tree}
        return {p: leaf for key, value in tree.items() for p, leaf in leaves(value, (*path, key)).items()}

    both = leaves(merged(first, second))
    assert leaves(second).items() <= both.items()
    assert set(both) <= set(leaves(first)) | set(leaves(second))
    assert merged(first, {}) == first


def test_schema_file_is_in_step():
    """workflow/schemas/config.schema.json is what the code says; `make schema` writes it again."""
    path = CONFIG_DIR.parent / "workflow/schemas/config.schema.json"
    assert json.loads(path.read_text()) == Config.model_json_schema(), "run `make schema`"


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["coop+kdp"], "no plug-in 'kdp' \\(of coop\\+kdp\\): .* \\(did you mean kdpl\\?\\)"),
        (["coop+fdbpl+caspl"], "'coop\\+fdbpl\\+caspl' is not a method: name it METHOD"),
        (["coop+fdbpl@hing"], "fdbpl has no variant 'hing' \\(did you mean hinge\\?\\)"),
        (["lasp+kdpl"], "lasp takes no plug-in, since its loss is its own"),
        (["zero_shot+kdpl"], "zero_shot takes no plug-in, since it learns nothing"),
    ],
)
def test_wrong_plugins(methods, message):
    with pytest.raises(UserError, match=message):
        experiment(methods=methods)


def test_layers_of_a_plugin():
    """Base entry, plug-in, plug-in on that method, overrides of the method alone, with it, of the variant."""

    def values(method, **overrides):
        own = experiment(overrides={name.replace("__", "+"): {"lr": lr} for name, lr in overrides.items()})
        return own.hyperparameters(method, "mini_shapes", "base_to_novel")

    assert (values("coop")["n_ctx"], values("coop+kdpl")["n_ctx"]) == (16, 4)
    assert values("coop+caspl+kdpl")["n_ctx"] == values("coop+caspl")["n_ctx"] == 8
    assert (values("coop+fdbpl")["negative"], values("kgcoop+fdbpl")["negative"]) == (True, False)
    assert values("kgcoop+fdbpl")["batch_size"] == values("kgcoop")["batch_size"]
    assert values("coop+fdbpl@hinge")["hinge_weight"] == 0.1
    assert values("coop+caspl+fdbpl", coop=1)["lr"] == 1
    assert values("coop+caspl+fdbpl", coop=1, coop__caspl=2)["lr"] == 2
    assert values("coop+caspl+fdbpl", coop__fdbpl=3, coop=1, coop__caspl=2)["lr"] == 3
    assert values("coop+fdbpl", coop=1, coop__caspl=2)["lr"] == 1


def test_variants_of_a_plugin_that_change_nothing_are_not_compared():
    own = experiment(ablation=["coop+fdbpl", "vpt+fdbpl"], overrides={"vpt": {"prompt_depth": 2}})
    assert "coop+fdbpl@by_region" not in own.ablations["coop+fdbpl"]
    assert "coop+fdbpl@without_negative" in own.ablations["coop+fdbpl"]
    assert "vpt+fdbpl@without_negative" not in own.ablations["vpt+fdbpl"]


def test_a_plugins_settings_are_for_methods_that_there_are(tmp_path):
    for folder in ("datasets", "methods", "plugins"):
        shutil.copytree(CONFIG_DIR / folder, tmp_path / folder)
    entry = tmp_path / "plugins/kdpl.yaml"
    entry.write_text(entry.read_text().replace("  coop:\n", "  copo:\n"))
    with pytest.raises(UserError, match=r"no method 'copo\+kdpl': .* \(did you mean coop"):
        Experiment.checked(read_yaml(CONFIG_DIR / "config.yaml"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "coop\\+kdpl@agnostic reads a vocabulary from .*kdpl.txt, which does not exist"),
        ("star\n\nring\n", "line 2 is empty"),
        ("star\nring\n", None),
    ],
)
def test_a_vocabulary_is_checked_with_the_configuration(tmp_path, text, message):
    for folder in ("datasets", "methods", "plugins"):
        shutil.copytree(CONFIG_DIR / folder, tmp_path / folder)
    if text is not None:
        (tmp_path / "vocabularies").mkdir()
        (tmp_path / "vocabularies/kdpl.txt").write_text(text)
    content = read_yaml(CONFIG_DIR / "config.yaml") | {"methods": ["coop+kdpl@agnostic"]}
    with pytest.raises(UserError, match=message) if message else contextlib.nullcontext():
        Experiment.checked(content, tmp_path)
