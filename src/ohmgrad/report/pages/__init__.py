"""What stands on the page of a fit, a training, a study, and of several runs."""

from .fit import fit_page
from .map import map_page
from .run import run_page
from .runs import page_of, runs_page
from .study import compare_page, study_page

__all__ = ["compare_page", "fit_page", "map_page", "page_of", "run_page", "runs_page", "study_page"]
