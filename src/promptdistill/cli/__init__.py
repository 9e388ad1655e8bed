"""The command line: one subcommand a step of the pipeline, each usable by hand.

A command takes a key and the configuration, and calls one function of the library; torch and open_clip are
imported only by the commands that compute.
"""

from . import data, features, planning, results, runs
from .options import main

__all__ = ["data", "features", "main", "planning", "results", "runs"]
