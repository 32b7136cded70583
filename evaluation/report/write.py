"""``report.json`` for programs, ``report.md`` for reviews, ``index.html`` for everyone."""

from __future__ import annotations

from pathlib import Path

import msgspec

from evaluation.report.html import to_html
from evaluation.report.markdown import to_markdown
from evaluation.report.model import SCHEMA_VERSION, Report
from foundation.atomic import make_folders, write_file
from foundation.errors import InvalidInput

JSON, MARKDOWN, HTML = "report.json", "report.md", "index.html"


def write_report(report: Report, folder: Path) -> None:
    """Write the three files into ``folder``, each whole or not at all; equal reports give equal bytes.

    Args:
        report: what to write.
        folder: made where it is missing.
    """
    make_folders(folder)
    encoded = msgspec.json.format(msgspec.json.encode(report), indent=2)
    for name, data in ((JSON, encoded), (MARKDOWN, to_markdown(report).encode()), (HTML, to_html(report).encode())):
        write_file(folder / name, data)


def read_report(folder: Path) -> Report:
    """What ``write_report`` wrote.

    Raises:
        InvalidInput: there is no report, or it was written by a newer schema.
    """
    path = folder / JSON
    if not path.exists():
        raise InvalidInput(f"{folder} holds no {JSON}; run the evaluation first", "/report")
    try:
        report = msgspec.json.decode(path.read_bytes(), type=Report)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{path} is no evaluation report: {error}", "/report") from error
    if report.schema_version > SCHEMA_VERSION:
        raise InvalidInput(f"{path} has schema {report.schema_version}, this code reads {SCHEMA_VERSION}", "/report")
    return report
