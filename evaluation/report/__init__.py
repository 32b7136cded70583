"""The evaluation report: one data model, written as JSON, Markdown and one self-contained page."""

from evaluation.report.assemble import Parts, assemble
from evaluation.report.examples import draw_examples
from evaluation.report.manifest import manifest
from evaluation.report.model import Report
from evaluation.report.write import read_report, write_report

__all__ = ["Parts", "Report", "assemble", "draw_examples", "manifest", "read_report", "write_report"]
