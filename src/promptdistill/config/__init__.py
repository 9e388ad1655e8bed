"""The configuration: what is trained on what, and where it goes.

Three kinds of YAML file, each checked against a schema that rejects unknown keys:
`config/config.yaml` (the experiment), `config/datasets/NAME.yaml` and `config/methods/NAME.yaml`.
This package imports neither torch nor open_clip, so a workflow reads it in no time.
"""
