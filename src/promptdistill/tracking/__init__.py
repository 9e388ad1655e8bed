"""Results in MLflow.

`content` says what a run holds, `store` where runs go, `importing` brings them there, `compare` lays runs
side by side.  MLflow takes seconds to import: `importing` and `compare` do, and only the commands that need
them import these.
"""

import os

# MLflow reports its use to its makers unless told otherwise, and reads this when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server's client would print two lines for every run.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
