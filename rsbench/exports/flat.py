"""CSV and Parquet of a run: `samples` and `steps`, two files.

In CSV a cell that a spreadsheet would run as a formula begins with an apostrophe; Parquet keeps every text as
it was. CSV is written by the standard library, Parquet by pyarrow, which comes with `datasets`.
"""

import csv
import io
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
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    for row in table.rows:
        writer.writerow([cell(row[name]) for name in table.columns])
    return text.getvalue().encode("utf-8")


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
        return " ".join(str(part) for part in value)
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
