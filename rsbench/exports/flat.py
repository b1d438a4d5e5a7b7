"""CSV and Parquet of a run: `samples` and `steps`, two files.

In CSV a cell that a spreadsheet would run as a formula begins with an apostrophe; Parquet keeps every text as
it was. CSV is written by the standard library, Parquet by pyarrow, which comes with `datasets`.
"""

import csv
import io
from collections.abc import Iterable
from typing import Any

from rsbench.exports.source import Files, Options, Source
from rsbench.exports.tables import Kind, Table, tables

# What spreadsheets take for the start of a formula, the wide forms included.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def to_csv(source: Source, options: Options) -> Files:
    """`samples.csv` and `steps.csv`."""
    return {f"{table.name}.csv": csv_bytes(table) for table in tables(source)}


def to_parquet(source: Source, options: Options) -> Files:
    """`samples.parquet` and `steps.parquet`."""
    return {f"{table.name}.parquet": parquet_bytes(table) for table in tables(source)}


def csv_bytes(table: Table) -> bytes:
    """A table as UTF-8 CSV with a line of names; missing is an empty cell."""
    rows = ([row[name] for name in table.columns] for row in table.rows)
    return csv_text([list(table.columns), *rows]).encode("utf-8")


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Rows of values as CSV, a line each, which ends in a line feed.

    A cell with a carriage return is quoted too. Written bare, as the standard library does where lines end in
    a line feed alone, it is a new row to whoever reads the file, and what follows it may be a formula.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")  # whatever is in here makes a cell be quoted
    for row in rows:
        writer.writerow([cell(value) for value in row])
        text.seek(text.tell() - 2)
        text.write("\n")
        text.truncate()
    return text.getvalue()


def cell(value: Any) -> str:
    """One value as a cell: words never as a formula, true and false in small letters, lists with spaces."""
    if value is None:
        return ""
    if isinstance(value, str):
        risky = value.startswith(("\t", "\r", "\n")) or value.lstrip().startswith(_FORMULA)
        return f"'{value}" if risky else value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return cell(" ".join(str(part) for part in value))
    return str(value)


def parquet_bytes(table: Table) -> bytes:
    """A table as Parquet with typed columns, also where every value is missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[Kind, Any] = {
        "text": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "ints": pa.list_(pa.int64()),
        "texts": pa.list_(pa.string()),
    }
    schema = pa.schema([(name, types[kind]) for name, kind in table.columns.items()])
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(table.rows, schema=schema), sink)
    return sink.getvalue()
