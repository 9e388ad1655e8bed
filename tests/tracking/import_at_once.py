"""Import folders of results into MLflow, each in a process of its own, all at the same moment.

`python import_at_once.py FOLDER...` prints the receipts as JSON.
"""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from small_results import JOBS, METRICS, TABLES

from promptdistill.tracking.content import Results, contents
from promptdistill.tracking.importing import import_runs
from promptdistill.tracking.store import store_of

FORK = multiprocessing.get_context("fork")  # so that MLflow and torch are imported once
FOLDERS = [Path(name) for name in sys.argv[1:]]
BARRIER = FORK.Barrier(len(FOLDERS))


def read(results):
    tables, metrics = [results / name for name in TABLES], [results / name for name in METRICS]
    return contents(tables, metrics, Results(results), JOBS)


FOUND = {folder: read(folder) for folder in dict.fromkeys(FOLDERS)}


def import_with_the_others(folder):
    BARRIER.wait()
    return import_runs(FOUND[folder], store_of(folder))


with ProcessPoolExecutor(len(FOLDERS), mp_context=FORK) as pool:
    print(json.dumps(list(pool.map(import_with_the_others, FOLDERS))))
