"""Import folders of results into MLflow, each in a process of its own, all at the same moment.

`python import_at_once.py whole FOLDER...` prints the receipts as JSON; with `parts` each process imports
other results than the rest, with the runs of their tables.
"""

import json
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from small_results import small_experiment

from promptdistill.tracking.content import contents
from promptdistill.tracking.importing import import_runs
from promptdistill.tracking.store import store_of

FORK = multiprocessing.get_context("fork")  # so that MLflow and torch are imported once
PARTS = {"whole": False, "parts": True}[sys.argv[1]]
FOLDERS = [Path(name) for name in sys.argv[2:]]
BARRIER = FORK.Barrier(len(FOLDERS))
FOUND = {folder: contents(small_experiment(folder.parent)) for folder in dict.fromkeys(FOLDERS)}


def part(found, number):
    """Every so-many-th result, after the runs of all tables."""
    tables = [content for content in found if content.key.startswith("table/")]
    return tables + [content for content in found if content not in tables][number :: len(FOLDERS)]


def import_with_the_others(number):
    folder = FOLDERS[number]
    own = part(FOUND[folder], number) if PARTS else FOUND[folder]
    BARRIER.wait()
    return import_runs(own, store_of(folder))


with ProcessPoolExecutor(len(FOLDERS), mp_context=FORK) as pool:
    print(json.dumps(list(pool.map(import_with_the_others, range(len(FOLDERS))))))
