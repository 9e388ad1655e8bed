"""What MLflow's own page shows of two real runs, read in a real browser from a real server."""

from compare_page import CHROMIUM, compare_page
from servers import mlflow_server
from services import absent
from small_results import CASCADED, COOP

from promptdistill.tracking.importing import import_runs, open_experiment
from promptdistill.tracking.store import Store


def test_the_page_shows_both_runs_their_parameters_and_metrics(found, tmp_path):
    if CHROMIUM is None:
        absent("Chromium is not installed")
    with mlflow_server(tmp_path) as uri:
        store = Store(uri, "page")
        runs = import_runs(found(), store)["runs"]
        experiment = open_experiment(store)
        with compare_page(uri, experiment.id, [runs[COOP], runs[CASCADED]]) as page:
            lines = [line.strip() for line in page.inner_text("body").splitlines()]
        plain, cascaded = (experiment.client.get_run(runs[key]).data for key in (COOP, CASCADED))
    assert {COOP, CASCADED} <= set(lines)
    assert "method\tcoop\tcoop+caspl" in lines
    assert f"boosting.prompt_depth\t\t{cascaded.params['boosting.prompt_depth']}" in lines
    for name in ("base", "novel", "hm"):
        assert name in lines
        for run in (plain, cascaded):
            assert f"{run.metrics[name]:.4g}" in lines
