"""Everything that reads what a stranger may have written."""

from of_data import DATA_PARSERS
from of_runs import RUN_PARSERS
from of_weights import WEIGHT_PARSERS

PARSERS = [*DATA_PARSERS, *RUN_PARSERS, *WEIGHT_PARSERS]
