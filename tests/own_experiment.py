"""An experiment on a data set of a user's own, with the shipped models: what tests build theirs on."""

OWN = {
    "results": "results",
    "data_root": "data",
    "backbones": {
        "student": {"model": "miniature-student", "pretrained": "miniature"},
        "teacher": {"model": "miniature-teacher", "pretrained": "miniature"},
    },
    "datasets": ["own"],
}
