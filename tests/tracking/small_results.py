"""A small experiment, and which runs it has."""

from pathlib import Path

from made_up_results import experiment_in

from promptdistill.artifacts import write_sealed

PATTERNS = "mini_patterns"
COOP, CASCADED = (f"base_to_novel/{PATTERNS}/{method}/2/1" for method in ("coop", "coop+caspl"))
ZERO_SHOT = f"base_to_novel/{PATTERNS}/zero_shot/0/-"
PROBE = f"few_shot/{PATTERNS}/linear_probe/2/1"
KEYS = {
    *("table/base_to_novel", ZERO_SHOT, COOP, CASCADED, COOP[:-1] + "2", CASCADED[:-1] + "2"),
    *("table/few_shot", f"few_shot/{PATTERNS}/zero_shot/0/-", PROBE, PROBE.replace("/2/", "/1/")),
}


def small_experiment(folder, **changes):
    """The experiment, with its results below a folder."""
    return experiment_in(folder, Path(__file__).parent / "small.yaml", **changes)


def write_history(results, rows, key=COOP):
    """Another loss curve for one run."""
    write_sealed(results / f"adapting/{key}.history.json", {"rows": rows})
