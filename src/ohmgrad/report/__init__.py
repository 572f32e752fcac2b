"""Tables and figures."""

from .algorithms import algorithm_table
from .figures import device_figure, monitor_figure, run_figure, save
from .fits import fit_figure, fit_table, ranking_table
from .maps import improvement_table, map_figure, map_words, share_table
from .scoreboard import cells_table, counts_table, scoreboard_page
from .studies import claims_table, compare_table, study_figure, study_table
from .tables import device_table, run_table, summarise, write_summary

__all__ = [
    "algorithm_table",
    "cells_table",
    "claims_table",
    "compare_table",
    "counts_table",
    "device_figure",
    "device_table",
    "fit_figure",
    "fit_table",
    "improvement_table",
    "map_figure",
    "map_words",
    "monitor_figure",
    "ranking_table",
    "run_figure",
    "run_table",
    "save",
    "scoreboard_page",
    "share_table",
    "study_figure",
    "study_table",
    "summarise",
    "write_summary",
]
