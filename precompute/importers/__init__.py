"""How a shop's files become a dataset: the input contract and the named adapters."""

from precompute.importers.adapters import ADAPTERS
from precompute.importers.publish import current_dataset
from precompute.importers.report import ImportReport, read_report
from precompute.importers.settings import ImportSettings
from precompute.importers.shop import Progress, import_shop

__all__ = [
    "ADAPTERS",
    "ImportReport",
    "ImportSettings",
    "Progress",
    "current_dataset",
    "import_shop",
    "read_report",
]
