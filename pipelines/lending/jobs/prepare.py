"""Validate raw mortgage applications and split them into train, validation and test.

By hand:  python prepare.py --raw ../data/loanapp.csv --output /tmp/lending

A fault of the file (a column that is missing, text where a number belongs, no rows) stops the job: nothing downstream
could be trusted. A fault of a row drops the row, and `report.json` says which rows and why. More dropped rows than
`--max-dropped-share` stop the job too.

Plain Python 3.9 and pandas 1.1 or newer, so that it runs in AWS's scikit-learn image as it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

TARGET = "approve"

# Values the codebook allows; any other value drops the row. `gdlin` holds 666 in two rows: it is a judgement of the
# lender and no feature, but a record with an impossible code is not trusted.
FLAGS = (
    *("approve", "gdlin", "self", "pubrec", "fixadj", "inss", "gift", "cosign", "unver"),
    *("mortno", "mortlat1", "mortlat2", "chist"),
    *("black", "hispan", "white", "male", "married", "old", "min30"),
)
CODES = {
    **dict.fromkeys(FLAGS, (0, 1)),
    "action": (1, 2, 3),
    "occ": (1, 2, 3),
    "unit": (1, 2, 3, 4),
    "cons": (1, 2, 3, 4, 5, 6),
}

# Smallest and largest value that can be meant; any other value drops the row.
RANGES = {
    "loanamt": (1, 10_000),  # $1000
    "atotinc": (0, 200_000),  # $ a month
    "cototinc": (0, 200_000),
    "liq": (0, 100_000),  # $1000
    "netw": (-100_000, 100_000),  # $1000; debts may exceed what one owns
    "other": (0, 10_000),  # $1000
    "hrat": (0, 100),  # % of income
    "obrat": (0, 100),
    "loanprc": (0, 5),  # loan / price
    "apr": (1, 100_000),  # $1000
    "term": (1, 600),  # months
    "lines": (0, 200),
    "rep": (0, 50),
    "unem": (0, 100),  # %
}

# 999999.375 (lines, term) and 1000000 (liq) are the file's code for "not known".
NOT_KNOWN_FROM = 999_999
MAY_BE_NOT_KNOWN = ("liq", "lines", "term")

# Applications that were approved (1) or approved and not taken up (2).
APPROVING_ACTIONS = (1, 2)

# Not features. They stay with the rows so that a model can be checked for fairness.
PROTECTED = ("black", "hispan", "white", "male", "married", "old", "min30")

# How many faulty cells or reasons a message names.
MAX_SHOWN = 5

# Needed to validate the target and the record; they say or judge the outcome, so they go no further.
ONLY_VALIDATED = ("action", "gdlin")

COLUMNS = tuple(CODES) + tuple(RANGES)
KEPT = ("line", TARGET, *(c for c in COLUMNS if c not in (TARGET, *PROTECTED, *ONLY_VALIDATED)), *PROTECTED)


class DataError(Exception):
    """The input cannot be used; the message says what is wrong with it."""


def read_raw(path: Path) -> pd.DataFrame:
    """All rows of one CSV, or of every CSV in a folder, as numbers, with the line each row stands on."""
    files = [path] if path.is_file() else sorted(path.glob("*.csv"))
    if not files:
        raise DataError(f"{path}: no CSV file is there")
    return pd.concat([read_csv(file) for file in files], ignore_index=True)


def read_csv(file: Path) -> pd.DataFrame:
    """One file as numbers; every cell that is not a number is named."""
    try:
        # As text first: a number column with a word in it must be reported, not become a column of objects.
        # Blank lines are kept so that an index is a line number.
        text = pd.read_csv(file, dtype=str, skip_blank_lines=False, skipinitialspace=True)
    except pd.errors.EmptyDataError:
        raise DataError(f"{file.name}: the file is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name}: not a CSV file: {error}") from error
    missing = [c for c in COLUMNS if c not in text.columns]
    if missing:
        raise DataError(f"{file.name}: {len(missing)} column(s) missing: {', '.join(missing)}")
    if not isinstance(text.index, pd.RangeIndex):
        raise DataError(f"{file.name}: rows have more fields than the header has names")
    text = text[list(COLUMNS)]
    numbers = text.apply(pd.to_numeric, errors="coerce")
    unreadable = (text.notna() & numbers.isna()) | numbers.isin([np.inf, -np.inf])
    if unreadable.to_numpy().any():
        cells = [
            f"line {row + 2}, {column}: {text.loc[row, column]!r}"
            for column in COLUMNS
            for row in text.index[unreadable[column]]
        ]
        shown = "; ".join(cells[:MAX_SHOWN]) + ("; ..." if len(cells) > MAX_SHOWN else "")
        raise DataError(f"{file.name}: {len(cells)} value(s) are not numbers: {shown}")
    numbers.insert(0, "line", text.index + 2)
    numbers.insert(0, "file", file.name)
    return numbers


def forget_codes(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """The frame with every "not known" code turned into a missing value, and how many there were per column."""
    cleaned, counts = frame.copy(), {}
    for column in MAY_BE_NOT_KNOWN:
        coded = cleaned[column] >= NOT_KNOWN_FROM
        cleaned.loc[coded, column] = np.nan
        counts[column] = int(coded.sum())
    return cleaned, counts


def faults(frame: pd.DataFrame) -> pd.DataFrame:
    """One boolean column per reason to drop a row. Missing values are no fault, except in the target."""
    measured = frame[list(COLUMNS)]
    found = {
        "duplicate": measured.duplicated() & measured.notna().any(axis=1),
        f"{TARGET}_missing": frame[TARGET].isna(),
        f"{TARGET}_contradicts_action": frame[[TARGET, "action"]].notna().all(axis=1)
        & (frame[TARGET].eq(1) != frame["action"].isin(APPROVING_ACTIONS)),
    }
    for column, codes in CODES.items():
        found[f"{column}_out_of_range"] = frame[column].notna() & ~frame[column].isin(codes)
    for column, (low, high) in RANGES.items():
        found[f"{column}_out_of_range"] = frame[column].notna() & ~frame[column].between(low, high)
    return pd.DataFrame(found, index=frame.index)


def split(frame: pd.DataFrame, *, validation_share: float, test_share: float, seed: int) -> dict:
    """Random parts of the rows, each with the same share of approvals, in the file's order.

    The generator is numpy's frozen legacy one: the same seed gives the same rows under every numpy.
    """
    random = np.random.RandomState(seed)
    rows = {"train": [], "validation": [], "test": []}
    for outcome in (0, 1):
        shuffled = random.permutation(frame.index[frame[TARGET] == outcome])
        test_end = round(len(shuffled) * test_share)
        validation_end = test_end + round(len(shuffled) * validation_share)
        rows["test"].extend(shuffled[:test_end])
        rows["validation"].extend(shuffled[test_end:validation_end])
        rows["train"].extend(shuffled[validation_end:])
    parts = {name: frame.loc[sorted(index)] for name, index in rows.items()}
    for name, part in parts.items():
        if part[TARGET].nunique() != 2:  # noqa: PLR2004 - approved and denied
            raise DataError(
                f"the {name} part would have {len(part)} row(s) and not both outcomes; more rows of each are needed"
            )
    return parts


def prepare(arguments: argparse.Namespace) -> dict:
    """Read, validate, split and write; returns the report."""
    raw = read_raw(arguments.raw)
    blank = raw[list(COLUMNS)].isna().all(axis=1)
    rows = raw[~blank]
    if rows.empty:
        raise DataError(f"{arguments.raw}: there is a header but no row")
    known, not_known = forget_codes(rows)
    found = faults(known)
    bad = found.any(axis=1)
    if bad.mean() > arguments.max_dropped_share:
        counts = found.sum().sort_values(ascending=False)
        worst = ", ".join(f"{reason} {count}" for reason, count in counts[counts > 0].head(MAX_SHOWN).items())
        raise DataError(
            f"{int(bad.sum())} of {len(rows)} rows are faulty, more than the allowed share of "
            f"{arguments.max_dropped_share}: {worst}"
        )
    kept = known[~bad]
    parts = split(
        kept, validation_share=arguments.validation_share, test_share=arguments.test_share, seed=arguments.seed
    )
    for name, part in parts.items():
        write_csv(part[list(KEPT)], arguments.output / name / f"{name}.csv")
    return {
        "seed": arguments.seed,
        "rows": {"read": len(rows), "blank": int(blank.sum()), "dropped": int(bad.sum()), "kept": len(kept)},
        "dropped": {reason: int(count) for reason, count in found.sum().items() if count},
        "dropped_rows": [
            {
                "file": known.loc[row, "file"],
                "line": int(known.loc[row, "line"]),
                "reasons": list(found.columns[found.loc[row]]),
            }
            for row in found.index[bad]
        ],
        "not_known_codes": not_known,
        "missing_values": {c: int(n) for c, n in kept[list(COLUMNS)].isna().sum().items() if n},
        "parts": {
            name: {"rows": len(part), "approved_share": round(float(part[TARGET].mean()), 4)}
            for name, part in parts.items()
        },
    }


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write without an index; whole numbers are written as such, so that a file does not depend on pandas's version."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = [c for c in frame.columns if frame[c].notna().all() and (frame[c] % 1 == 0).all()]
    frame.astype(dict.fromkeys(whole, "int64")).to_csv(path, index=False)


def parse_arguments(given: list) -> argparse.Namespace:
    """The command line; the defaults are the paths inside a processing job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, default=Path("/opt/ml/processing/input/raw"), help="a CSV or a folder")
    parser.add_argument("--output", type=Path, default=Path("/opt/ml/processing/output"), help="folder for the parts")
    parser.add_argument("--validation-share", type=float, default=0.2)
    parser.add_argument("--test-share", type=float, default=0.2)
    parser.add_argument("--max-dropped-share", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=42)
    arguments = parser.parse_args(given)
    if not 0 < arguments.validation_share + arguments.test_share < 1:
        parser.error("--validation-share and --test-share must leave rows to train with")
    return arguments


def main(given: list) -> int:
    """Run the job; the exit code says whether it worked."""
    arguments = parse_arguments(given)
    try:
        report = prepare(arguments)
    except DataError as error:
        return refuse(str(error))
    target = arguments.output / "report" / "report.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"kept {report['rows']['kept']} of {report['rows']['read']} rows; dropped: {report['dropped'] or 'none'}")
    for name, part in report["parts"].items():
        print(f"{name}: {part['rows']} rows, {part['approved_share']:.1%} approved")
    return 0


def refuse(message: str) -> int:
    """Say why the job failed: on stderr, and where SageMaker looks for a processing job's exit message."""
    print(f"error: {message}", file=sys.stderr)
    exit_message = Path("/opt/ml/output/message")
    if exit_message.parent.is_dir():
        exit_message.write_text(message[:1024], encoding="utf-8")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
