"""One of several processes that import at the same moment: says when it is ready, and waits for a word."""

import json
import sys
from pathlib import Path

from small_results import JOBS, METRICS, TABLES

from promptdistill.tracking.content import Results, contents
from promptdistill.tracking.importing import import_runs
from promptdistill.tracking.store import store_of

results = Path(sys.argv[1])
found = contents(
    [results / name for name in TABLES], [results / name for name in METRICS], Results(results), JOBS
)
print("ready", flush=True)
sys.stdin.readline()
print(json.dumps(import_runs(found, store_of(results))), flush=True)
