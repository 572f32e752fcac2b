"""Tables, figures and pages."""

from .algorithms import algorithm_table
from .figures import device_figure, monitor_figure, run_figure, save
from .fits import fit_figure, fit_table, ranking_table
from .map_costs import map_costs_table
from .maps import improvement_table, map_figure, map_words, share_table
from .page import Code, Page, Picture, Section
from .pages import compare_page, fit_page, map_page, page_of, run_page, runs_page, study_page
from .scoreboard import cells_table, counts_table, scoreboard_page
from .studies import claims_table, compare_lines, compare_table, study_figure, study_table
from .tables import device_table, run_table, summarise, write_summary

__all__ = [
    "Code",
    "Page",
    "Picture",
    "Section",
    "algorithm_table",
    "cells_table",
    "claims_table",
    "compare_lines",
    "compare_page",
    "compare_table",
    "counts_table",
    "device_figure",
    "device_table",
    "fit_figure",
    "fit_page",
    "fit_table",
    "improvement_table",
    "map_costs_table",
    "map_figure",
    "map_page",
    "map_words",
    "monitor_figure",
    "page_of",
    "ranking_table",
    "run_figure",
    "run_page",
    "run_table",
    "runs_page",
    "save",
    "scoreboard_page",
    "share_table",
    "study_figure",
    "study_page",
    "study_table",
    "summarise",
    "write_summary",
]
