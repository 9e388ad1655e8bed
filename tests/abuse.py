"""Kills and pairs of runs: `python tests/abuse.py kills`, `… records`, `… pairs` (minutes each).

`kills` kills the process group of an experiment with every kind of artifact at random moments, from the data
to MLflow's import, starts the same command again, and compares what comes out with an undisturbed run, byte
for byte.  `records` kills what tells DVC of results.  `pairs` starts two runs in one folder, with equal and
with different configurations.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import yaml

sys.path.append(str(Path(__file__).parent / "workflow"))
sys.path.append(str(Path(__file__).parent / "dvc"))
import repositories
from running import ROOT, artifacts, copy_project, run_snakemake, start_snakemake

EVERY_KIND = ROOT / "tests/workflow/trace.yaml"
SMALL = "tests/workflow/fast.yaml"


@click.group()
def main() -> None:
    """Disturb runs, and look at what is left."""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return run_snakemake("--cores", 2, *arguments, cwd=folder)


def _verified(folder: Path, config: str) -> str:
    """What `verify` says last; nothing if it finds a fault."""
    command = [sys.executable, "-m", "promptdistill", "verify", "--config", config]
    done = subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": "src"},
    )
    return done.stdout.strip().splitlines()[-1] if done.returncode == 0 else ""


@main.command()
@click.option("--count", default=60, show_default=True)
@click.option("--seed", default=1, show_default=True)
def kills(count: int, seed: int) -> None:
    """Kill a run at random moments until it is done; begin anew until there were enough kills."""
    rng, killed, stuck, differing, compared = random.Random(seed), 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place, "whole")
        copy_project(whole)
        shutil.copy(EVERY_KIND, whole / "own.yaml")
        done = _run(whole, "--configfile", "own.yaml")
        assert done.returncode == 0, done.stderr
        expected, number = artifacts(whole), 0
        while killed < count:
            folder, number = Path(place, f"killed_{number}"), number + 1
            copy_project(folder)
            shutil.copy(EVERY_KIND, folder / "own.yaml")
            while killed < count:
                run = start_snakemake(
                    "--cores",
                    2,
                    "--configfile",
                    "own.yaml",
                    cwd=folder,
                    start_new_session=True,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                try:
                    run.wait(timeout=rng.uniform(2, 12))
                    break  # done, or stuck: the last run tells
                except subprocess.TimeoutExpired:
                    os.killpg(run.pid, signal.SIGKILL)
                    run.wait()
                    killed += 1
            done = _run(folder, "--configfile", "own.yaml")
            stuck += done.returncode != 0 or not _verified(folder, "own.yaml")
            if done.returncode:
                click.echo(done.stderr[-2000:])
            found = artifacts(folder)
            compared += len(expected)
            other = [name for name, content in expected.items() if found.get(name) != content]
            differing += len(other)
            left = list((folder / "results").rglob(".*.partial"))
            click.echo(
                f"{killed} kills; {stuck} runs that could not go on; {differing} of {compared} files differ"
            )
            click.echo(
                "".join(f"  differs: {name}\n" for name in other[:5]) + f"{len(left)} unfinished files left"
            )
            shutil.rmtree(folder)
    sys.exit(bool(stuck or differing))


@main.command()
@click.option("--count", default=20, show_default=True)
@click.option("--seed", default=1, show_default=True)
def records(count: int, seed: int) -> None:
    """Kill `promptdistill record` at random moments; the next one must end as an undisturbed one does."""
    rng, faults = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "repository")
        repositories.make_repository(folder)
        repositories.run("snakemake --cores 2", folder)
        lock, expected = (folder / "dvc.lock").read_bytes(), repositories.results(folder)
        for trial in range(count):
            (folder / "dvc.lock").unlink(missing_ok=True)
            shutil.rmtree(folder / ".dvc/cache")
            command = [sys.executable, "-m", "promptdistill", "record"]
            options = {"cwd": folder, "env": repositories.environment(folder), "start_new_session": True}
            run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
            after = rng.uniform(0.5, 10)
            try:
                run.wait(timeout=after)
            except subprocess.TimeoutExpired:
                os.killpg(run.pid, signal.SIGKILL)
                run.wait()
            status, printed = repositories.attempt("promptdistill record", folder)
            recorded = not status and (folder / "dvc.lock").read_bytes() == lock
            right = (
                recorded and repositories.results(folder) == expected and repositories.nothing_to_do(folder)
            )
            faults += not right
            click.echo(
                f"{trial + 1}: killed after {after:.1f} s; {'right' if right else 'wrong: ' + printed}"
            )
    click.echo(f"{count} kills, {faults} faults")
    sys.exit(bool(faults))


@main.command()
@click.option("--trials", default=20, show_default=True)
@click.option("--seed", default=1, show_default=True)
def pairs(trials: int, seed: int) -> None:
    """Start two runs in one folder; one must be refused or find nothing to do, and nothing be mixed."""
    rng, faults = random.Random(seed), 0
    content = yaml.safe_load((ROOT / SMALL).read_text())
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "project")
        copy_project(folder)
        for trial in range(trials):
            shutil.rmtree(folder / "results", ignore_errors=True)
            shutil.rmtree(folder / ".snakemake", ignore_errors=True)
            other = {} if trial % 2 else {"overrides": {"coop": {"epochs": 3, "batch_size": 4}}}
            for name, own in (("a", {}), ("b", other)):
                both = content | {"methods": ["zero_shot", "coop"], "ablation": []} | own
                (folder / f"{name}.yaml").write_text(yaml.safe_dump(both))
            runs = {}
            for name in "ab":
                options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
                runs[name] = start_snakemake(
                    "--cores", 1, "--configfile", f"{name}.yaml", cwd=folder, **options
                )
                time.sleep(rng.uniform(0, 8))
            said = {name: run.communicate()[1] for name, run in runs.items()}
            well = [name for name, run in runs.items() if run.returncode == 0]
            refused = [name for name in said if "is in use by process" in said[name]]
            last = well[-1] if well else ""
            right = bool(well) and len(well) + len(refused) == 2 and bool(_verified(folder, f"{last}.yaml"))
            faults += not right
            kind, how = "equal" if trial % 2 else "different", "right" if right else f"wrong: {said}"
            click.echo(f"{trial + 1}, {kind}: {len(well)} went well, {len(refused)} refused; {how}")
    click.echo(f"{trials} pairs, {faults} faults")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
