"""Caches in a remote: pushed, also in two goes, restored in a fresh clone, and never restored damaged."""

import os
import re
import signal
import subprocess
import time

import pytest
from repositories import (
    attempt,
    clone,
    commit,
    edit,
    environment,
    jobs,
    nothing_to_do,
    results,
    run,
    trained,
)

COOP = ("config/config.yaml", "coop: {epochs: 1, batch_size: 4}", "coop: {epochs: 1, batch_size: 8}")


def push_killed_in_the_middle(repository, count):
    """Push one file at a time; kill -9 as soon as a few are there.  `count()` says how many are."""
    pushing = subprocess.Popen(
        ["dvc", "push", "--jobs", "1"],
        cwd=repository,
        env=environment(repository),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while count() < 5 and pushing.poll() is None:
        time.sleep(0.01)
    os.killpg(pushing.pid, signal.SIGKILL)
    assert pushing.wait() == -signal.SIGKILL
    return count()


def files_in(folder):
    return sum(path.is_file() for path in folder.rglob("*"))


def test_a_fresh_clone_is_restored_and_reruns_what_a_change_asks_for(local_remote, tmp_path):
    """Nothing at first; then the method whose hyper-parameter changes; also the layer whose seed changes."""
    repository, _ = local_remote
    fresh = clone(repository, tmp_path / "fresh")
    assert "Restored: data, lookup, boosting, adapting, tables." in run("promptdistill pull", fresh)
    assert results(fresh) == results(repository)
    assert nothing_to_do(fresh)
    assert not attempt("git diff --quiet", fresh)[0]
    edit(fresh, *COOP)
    planned = run("snakemake -n", fresh)
    assert trained(planned) == {"coop"}
    assert not {"data", "split", "draw", "regions", "lookup", "boost"} & jobs(planned)
    assert trained(run("dvc repro", fresh)) == {"coop"}
    assert nothing_to_do(fresh)


def test_an_edited_source_reruns_its_method_after_a_pull(local_remote, tmp_path):
    repository, _ = local_remote
    fresh = clone(repository, tmp_path / "fresh")
    run("promptdistill pull", fresh)
    source = fresh / "src/promptdistill/methods/promptsrc.py"
    source.write_text(source.read_text() + "EDITED = True\n")
    planned = run("snakemake -n", fresh)
    assert trained(planned) == {"promptsrc"}
    assert not {"data", "split", "draw", "regions", "lookup", "boost"} & jobs(planned)


def test_an_edit_before_the_pull_is_refused(local_remote, tmp_path):
    """Else results of the old configuration would be stamped as those of the new one."""
    repository, _ = local_remote
    fresh = clone(repository, tmp_path / "fresh")
    edit(fresh, *COOP)
    status, printed = attempt("promptdistill pull", fresh)
    assert status == 1
    assert "config/config.yaml: not as in dvc.lock" in printed
    assert not (fresh / "results/adapting").exists()


def test_files_that_no_commit_holds_and_no_result_comes_from(local_remote, tmp_path):
    """DVC hashes folders whole: a stranger in one, where the results were made, keeps nobody from pulling."""
    repository, _ = local_remote
    for folder, name in (("datasets", "mini_patterns"), ("methods", "coop")):
        entry = (repository / f"config/{folder}/{name}.yaml").read_text()
        (repository / f"config/{folder}/of_my_own.yaml").write_text(entry)
    (repository / "src/promptdistill/methods/of_my_own.py").write_text("MINE = True\n")
    run("promptdistill record", repository)
    run("git commit --quiet --all --message recorded && dvc push", repository)
    fresh = clone(repository, tmp_path / "fresh")
    assert "Restored: data, lookup, boosting, adapting, tables." in run("promptdistill pull", fresh)
    assert results(fresh) == results(repository)
    assert nothing_to_do(fresh)


def test_a_file_that_results_come_from_is_named_where_it_differs(local_remote, tmp_path):
    repository, _ = local_remote
    fresh = clone(repository, tmp_path / "fresh")
    edit(fresh, "config/datasets/mini_patterns.yaml", '"{} texture."', '"{} pattern."')
    edit(fresh, "config/methods/coop.yaml", "  lr: 0.002 ", "  lr: 0.004 ")
    (fresh / "config/methods/lasp.yaml").unlink()
    status, printed = attempt("promptdistill pull", fresh)
    assert status == 1
    named = "config/datasets/mini_patterns.yaml, config/methods/coop.yaml: not as in dvc.lock"
    assert f"promptdistill: {named}" in printed
    assert not (fresh / "results/adapting").exists()


def test_results_that_were_never_recorded_are_not_lost(local_remote, tmp_path):
    repository, _ = local_remote
    fresh = clone(repository, tmp_path / "fresh")
    own = fresh / "results/boosting/mini_patterns/boosted.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"of my own")
    status, printed = attempt("promptdistill pull", fresh)
    assert status == 1
    assert "made here and never recorded" in printed
    assert own.read_bytes() == b"of my own"
    assert not (fresh / "results/adapting").exists()


def test_a_push_killed_in_the_middle_is_finished_by_the_next(repository, tmp_path):
    remote = tmp_path / "remote"
    run(f"dvc remote add --default store {remote}", repository)
    commit(repository, "remote")
    pushed = push_killed_in_the_middle(repository, lambda: files_in(remote))
    run("dvc push", repository)
    assert 5 <= pushed < files_in(remote)
    fresh = clone(repository, tmp_path / "fresh")
    run("promptdistill pull", fresh)
    assert results(fresh) == results(repository)


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"damaged"), lambda path: path.unlink()])
def test_a_damaged_remote_restores_nothing(local_remote, tmp_path, damage):
    """Neither in a fresh clone nor over results that are there."""
    repository, remote = local_remote
    prompt = "results/boosting/mini_patterns/boosted.safetensors"
    content = (repository / prompt).read_bytes()
    stored = next(path for path in remote.rglob("*") if path.is_file() and path.read_bytes() == content)
    stored.chmod(0o644)
    damage(stored)
    fresh = clone(repository, tmp_path / "fresh")
    for _ in range(2):  # the second time, DVC's own cache holds the rest
        status, printed = attempt("promptdistill pull", fresh)
        assert status == 1
        # A damaged file is named itself, a missing one by its folder, which DVC then gives up.
        assert re.search(
            r"results/boosting(/mini_patterns/boosted.safetensors)?: missing in the remote, or damaged "
            "there, so nothing was restored",
            printed,
        )
        assert "Traceback" not in printed
        assert not (fresh / "results/boosting").exists()
    for name in re.findall(r"files/md5/\S+", printed):
        (remote / name).unlink(missing_ok=True)
    run("dvc push", repository)
    run("promptdistill pull", fresh)
    assert results(fresh) == results(repository)


def test_an_s3_store(repository, s3_server, tmp_path):
    """A killed push, a second one, and a fresh clone, against a server that speaks S3."""
    boto3 = pytest.importorskip("boto3")
    run("dvc remote add --default store s3://results/caches", repository)
    run(f"dvc remote modify store endpointurl {s3_server}", repository)
    commit(repository, "remote")
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=s3_server, **keys).Bucket("results")
    pushed = push_killed_in_the_middle(repository, lambda: len(list(bucket.objects.all())))
    run("dvc push", repository)
    assert 5 <= pushed < len(list(bucket.objects.all()))
    fresh = clone(repository, tmp_path / "fresh")
    run("promptdistill pull", fresh)
    assert results(fresh) == results(repository)
    assert nothing_to_do(fresh)


def test_a_damaged_object_in_an_s3_store(repository, s3_server, tmp_path):
    boto3 = pytest.importorskip("boto3")
    run("dvc remote add --default store s3://results/caches", repository)
    run(f"dvc remote modify store endpointurl {s3_server}", repository)
    commit(repository, "remote")
    run("dvc push", repository)
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    bucket = boto3.resource("s3", endpoint_url=s3_server, **keys).Bucket("results")
    prompt = "results/boosting/mini_patterns/boosted.safetensors"
    content = (repository / prompt).read_bytes()
    stored = next(found for found in bucket.objects.all() if found.get()["Body"].read() == content)
    stored.put(Body=b"damaged")
    fresh = clone(repository, tmp_path / "fresh")
    status, printed = attempt("promptdistill pull", fresh)
    assert status == 1
    assert f"{prompt}: missing in the remote, or damaged there" in printed
    assert not (fresh / "results/boosting").exists()


def test_an_unreachable_store_is_said_in_one_sentence(repository, tmp_path):
    run("dvc remote add --default store s3://results/caches", repository)
    run("dvc remote modify store endpointurl http://127.0.0.1:9", repository)
    commit(repository, "remote")
    fresh = clone(repository, tmp_path / "fresh")
    status, printed = attempt("promptdistill pull", fresh)
    assert status == 1
    assert "promptdistill: The remote store (s3://results/caches) cannot be reached" in printed
    assert "Traceback" not in printed
    assert not (fresh / "results/boosting").exists()


def test_a_remote_without_anything_is_said_in_one_sentence(repository, tmp_path):
    run(f"dvc remote add --default store {tmp_path / 'elsewhere'}", repository)
    commit(repository, "remote")
    fresh = clone(repository, tmp_path / "fresh")
    status, printed = attempt("promptdistill pull", fresh)
    assert status == 1
    assert "elsewhere) holds nothing, so nothing was restored" in printed
    assert not (fresh / "results/boosting").exists()
