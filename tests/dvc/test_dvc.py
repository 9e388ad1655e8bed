"""DVC and Snakemake on one working tree: what each takes for up to date, and what reruns."""

import json

import pytest
import yaml
from repositories import (
    NOTHING,
    ROOT,
    UP_TO_DATE,
    attempt,
    clone,
    commit,
    edit,
    jobs,
    make_repository,
    nothing_to_do,
    results,
    run,
    trained,
)

COOP = ("config/config.yaml", "coop: {epochs: 1, batch_size: 4}", "coop: {epochs: 1, batch_size: 8}")
LAYERS = ("data", "lookup", "boosting", "adapting", "tables")


def stages():
    return yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


def test_repro_runs_the_default_pipeline(finished):
    """Every layer once, and then neither has anything to do."""
    printed = (finished / ".dvc/tmp/repro.log").read_text()
    assert [layer for layer in LAYERS if f"Running stage '{layer}'" in printed] == [*LAYERS]
    assert trained(printed) == {"coop", "coop+caspl", "promptsrc"}
    assert (finished / "results/tables/base_to_novel.md").is_file()
    assert nothing_to_do(finished)
    assert "Running stage" not in run("dvc repro", finished)


def test_a_hyperparameter_changed_before_repro_reruns_its_method(repository):
    before = results(repository)
    edit(repository, *COOP)
    assert trained(run("dvc repro", repository)) == {"coop"}
    assert nothing_to_do(repository)
    after = results(repository)
    assert before.keys() == after.keys()
    changed = {path for path in after if before[path] != after[path]}
    learned = {path for path in changed if path.startswith(("lookup", "boosting", "adapting", "predictions"))}
    assert learned
    assert all("/coop/" in path for path in learned)


def test_a_hyperparameter_changed_before_snakemake_reruns_its_method(repository):
    edit(repository, *COOP)
    assert trained(run("snakemake --cores 2", repository)) == {"coop"}
    assert nothing_to_do(repository)
    assert "Running stage" not in run("dvc repro", repository)


def test_a_part_of_the_pipeline_is_not_recorded_as_the_whole(repository):
    """Snakemake trained, but made no table: dvc.lock stays, and repro goes on from there."""
    edit(repository, *COOP)
    lock = (repository / "dvc.lock").read_bytes()
    prompt = "results/adapting/base_to_novel/mini_patterns/coop/2/1.safetensors"
    printed = run(f"snakemake --cores 2 {prompt}", repository)
    assert "The default pipeline is not complete" in printed
    assert (repository / "dvc.lock").read_bytes() == lock
    assert trained(run("dvc repro", repository)) == set()
    assert nothing_to_do(repository)


@pytest.mark.parametrize(
    ("file", "line"),
    [("config/methods/coop.yaml", "hyperparameters:"), ("src/promptdistill/methods/coop.py", "class ")],
)
def test_a_comment_reruns_nothing(repository, file, line):
    """DVC, which hashes whole files, asks Snakemake, which has nothing to do in any layer."""
    edit(repository, file, f"\n{line}", f"\n# a remark\n{line}")
    printed = run("dvc repro", repository)
    assert [layer for layer in LAYERS if f"Running stage '{layer}'" in printed] == [*LAYERS]
    assert printed.count(NOTHING) == sum(stage["cmd"].count("snakemake ") for stage in stages().values())
    assert trained(printed) == set()
    assert nothing_to_do(repository)


def test_metrics_and_plots_are_compared_with_the_last_commit(repository):
    metrics = json.loads(run("dvc metrics show --json", repository))[""]["data"]
    shown = metrics["results/overview/metrics.json"]["data"]["base_to_novel"]
    assert set(shown) == {"zero_shot", "coop", "coop+caspl", "promptsrc"}
    assert all(set(own) == {"base", "novel", "hm"} for own in shown.values())
    # Long enough that accuracies differ.
    edit(repository, *COOP[:2], "coop: {epochs: 8, batch_size: 4, lr: 0.05}")
    run("snakemake --cores 2", repository)
    lines = run("dvc metrics diff", repository).splitlines()
    compared = [line for line in lines if "metrics.json" in line]
    assert compared
    assert all(" base_to_novel.coop." in line for line in compared)
    plots = json.loads(run("dvc plots diff --json HEAD workspace", repository))
    name = next(name for name in plots["data"] if "averages.csv" in name)
    assert {rev for entry in plots["data"][name] for rev in entry["revisions"]} == {"HEAD", "workspace"}


def test_results_elsewhere_are_versioned_there(repository, tmp_path):
    """In a folder below, of any name, whose tables git holds, too; restored with what lies in none."""
    name = "it's a `touch x` $(touch x) [1] é"
    edit(repository, "config/config.yaml", "results: results", f'results: "results/{name}"')
    edit(repository, "config/config.yaml", "data_root: results/data", "data_root: pictures")
    run("snakemake --cores 2", repository)
    assert nothing_to_do(repository)
    run(f"dvc remote add --default store {tmp_path / 'remote'}", repository)
    run("echo /pictures >> .gitignore", repository)
    commit(repository, "elsewhere")
    run("dvc push", repository)
    fresh = clone(repository, tmp_path / "fresh")
    printed = run("promptdistill pull", fresh)
    assert "Restored: data, lookup, boosting, adapting, tables." in printed
    assert "The pictures of mini_patterns are not here" in printed
    assert nothing_to_do(fresh)
    run("snakemake --cores 1 --until data --forcerun data", fresh)
    assert (fresh / "pictures/mini_patterns/images").is_dir()
    assert nothing_to_do(fresh)
    assert not [*repository.rglob("x"), *fresh.rglob("x")]


def test_the_repository_is_a_dvc_repository():
    """Without usage statistics, and without anybody's remote."""
    config = (ROOT / ".dvc/config").read_text()
    assert "analytics = false" in config
    assert "remote" not in config


def test_every_layer_depends_on_all_code_and_entries():
    """Else DVC would skip a layer in which Snakemake has something to do."""
    for stage in stages().values():
        code = {"Snakefile", "workflow/rules", "src/promptdistill"}
        entries = {"config/datasets", "config/methods", "config/plugins"}
        assert code | entries <= {*stage["deps"]}


def test_a_layer_makes_what_it_records(tmp_path):
    """And leaves nothing of it to a later one; teachers are tuned before they are asked."""
    make_repository(tmp_path)
    edit(tmp_path, "config/config.yaml", "promptsrc]", "promptsrc, promptkd]")
    deep = (
        "promptkd: {prompt_depth: 2, n_ctx_vision: 2}\n  promptkd_teacher: {prompt_depth: 3, n_ctx_vision: 2}"
    )
    edit(tmp_path, "config/config.yaml", "overrides:\n", f"overrides:\n  {deep}\n")
    own, earlier = {}, set()
    for layer, stage in stages().items():
        command = (
            stage["cmd"].replace("snakemake --cores all", "snakemake -n").replace("${results}", "results")
        )
        found = jobs(run(command, tmp_path))
        own[layer] = found - earlier
        earlier |= found
    assert own == {
        "data": {"data", "split", "draw"},
        "lookup": {"regions", "tune_teacher", "lookup"},
        "boosting": {"boost"},
        "adapting": {
            *("features_base_to_novel_0", "test_features"),
            *("adapt_base_to_novel_0", "evaluate_base_to_novel_0", "evaluate_zero_shot"),
        },
        "tables": {"metrics", "table", "overview", "track"},
    }


def test_no_command_holds_text_of_the_configuration():
    """A shell would read it; DVC itself takes any name of a folder as it is."""
    assert not [stage["cmd"] for stage in stages().values() if "${" in stage["cmd"]]


def test_outside_a_dvc_repository_the_commands_say_so(tmp_path):
    (tmp_path / "src").symlink_to(ROOT / "src")  # this package, whichever is installed
    for command in ("pull", "record"):
        status, printed = attempt(f"promptdistill {command}", tmp_path)
        assert status == 1
        assert "no dvc.lock here" in printed or "is not a DVC repository" in printed
        assert "Traceback" not in printed


def test_up_to_date_results_are_recorded_by_hand(repository):
    """What a killed run did not record."""
    lock = (repository / "dvc.lock").read_bytes()
    (repository / "dvc.lock").unlink()
    assert UP_TO_DATE not in run("dvc status", repository)
    run("promptdistill record", repository)
    assert (repository / "dvc.lock").read_bytes() == lock
    assert nothing_to_do(repository)
