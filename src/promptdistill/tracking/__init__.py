"""Results in MLflow.

`content` says what a run holds, `store` where runs go, `importing` brings new ones and says which count,
`compare` lays runs side by side.  What a number was made from is for `tracing`.  MLflow takes seconds to
import, so only the commands that need them import the last two.
"""

import os

# MLflow reports its use to its makers unless told otherwise, and reads this when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# A server's client would print two lines for every run.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
