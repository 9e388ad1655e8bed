"""The command line: one subcommand a step of the pipeline, each usable by hand.

A command takes a key and the configuration, and calls one function of the library; torch and open_clip are
imported only by the commands that compute.
"""

from . import data, dvc_sync, evaluation, features, miniature, planning, tables, tracing, tracking, training
from .group import main

__all__ = [
    "data",
    "dvc_sync",
    "evaluation",
    "features",
    "main",
    "miniature",
    "planning",
    "tables",
    "tracing",
    "tracking",
    "training",
]
