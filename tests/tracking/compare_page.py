"""MLflow's compare page in a headless Chromium: to be read by a test, and pictured for the documentation.

`python tests/tracking/compare_page.py RUN RUN PICTURE` pictures runs of results/mlflow.db, named by key.
"""

import json
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import sync_playwright
from servers import mlflow_server

CHROMIUM = shutil.which("chromium")
WAIT_MS = 120_000  # for a page of a server that shares its processor with other tests


@contextmanager
def compare_page(uri, experiment_id, run_ids, *, width=900, height=1700):
    """The page, once it shows the runs' metrics."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=1)
        page.set_default_timeout(WAIT_MS)
        query = f"runs={quote(json.dumps(run_ids))}&experiments={quote(json.dumps([experiment_id]))}"
        page.goto(f"{uri}/#/compare-runs?{query}")
        page.get_by_text("Run details").wait_for()
        page.get_by_text("training/loss").first.wait_for()
        yield page
        browser.close()


def take_picture(page, path):
    """What differs, down to the metrics: without plots, side panels, and what is equal."""
    page.get_by_role("button", name="Close", exact=True).click()
    page.get_by_role("button", name="Toggle sidebar").click()
    page.get_by_text("Visualizations").click()
    for switch in page.get_by_role("switch").all():
        switch.click()
    end = page.get_by_role("button", name="Artifacts").bounding_box()["y"]
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": page.viewport_size["width"], "height": end})


def main(keys, picture):
    """Picture runs of the results in the current folder."""
    from promptdistill.tracking.importing import open_experiment
    from promptdistill.tracking.store import store_of

    store = store_of(Path("results"))
    experiment = open_experiment(store)
    current = experiment.current()
    ids = [current[key].info.run_id for key in keys]
    with (
        tempfile.TemporaryDirectory() as folder,
        mlflow_server(Path(folder), f"sqlite:///{store.database.absolute()}") as uri,
        compare_page(uri, experiment.id, ids) as page,
    ):
        take_picture(page, picture)


if __name__ == "__main__":
    main(sys.argv[1:-1], sys.argv[-1])
