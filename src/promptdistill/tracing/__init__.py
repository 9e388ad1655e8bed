"""Back from a number to the files that it was made from, and whether these are still the same.

`files` follows what artifacts say that they were made from (`promptdistill.artifacts`), `cell` starts from a
table or a run (and finds it in MLflow), `show` prints; `verify` starts from everything.  What is said
there of packages and commits was recorded by `promptdistill.provenance`, of a table by `report.record`.
"""
