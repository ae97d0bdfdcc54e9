"""Turn applications into the table a model learns from: what is known about the application, and nothing else.

By hand:  python features.py --input /tmp/lending --output /tmp/lending/features

Each output row is the target, the features, and, named `protected_*`, what a model must not see but must be checked
against. Values stay in natural units and may be missing: imputation and scaling belong to the model, which learns them
from the training rows only.

Plain Python 3.9 and pandas 1.1 or newer, so that it runs in AWS's scikit-learn image as it is.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

TARGET = "approve"
PARTS = ("train", "validation", "test")

# Features are facts about the application that are known before anybody decides on it. Why each of the other columns is
# left out stands in ../data/README.md; the short form:
#   action, reject               are the target in other words
#   typur, review, gdlin, inson  are recorded after the decision, or judge the application like the decision does
#   black, hispan, white, male, married, old, dep      protected by law, or stand for it
#   min30, mi, bd, vr, suffolk   describe the neighbourhood: the classic proxy for race
AS_THEY_ARE = {
    "loanamt": "amount of the loan, $1000",
    "loanprc": "loan / price",
    "term": "term, months",
    "fixadj": "1 if the rate is adjustable",
    "hrat": "housing expense, % of income",
    "obrat": "all obligations, % of income",
    "liq": "liquid assets, $1000",
    "netw": "net worth, $1000; negative when debts exceed possessions",
    "other": "other financing, $1000",
    "gift": "1 if a gift is part of the down payment",
    "cosign": "1 if somebody cosigns",
    "inss": "1 if private mortgage insurance was asked for",
    "self": "1 if self-employed",
    "unem": "unemployment in the applicant's industry, %",
    "unver": "1 if information could not be verified; found when documents are checked, before the decision",
    "rep": "number of credit reports",
    "lines": "number of credit lines on the reports",
    "cons": "consumer credit history, 1 (clean) to 6 (90 days overdue)",
    "chist": "0 if accounts are 60 days or more overdue",
    "pubrec": "1 if filed for bankruptcy",
    "mortno": "1 if there is no mortgage history",
    "mortlat1": "1 if one or two late mortgage payments",
    "mortlat2": "1 if more than two late mortgage payments",
}
DERIVED = {
    "income": "monthly income of all applicants together, $: a lender may not weigh whose income it is",
    "loan_to_appraisal": "loan / appraised value",
    "owner_occupied": "1 if the borrower will live there",
    "several_units": "1 if the property has two units or more",
}
PROTECTED = ("black", "hispan", "white", "male", "married", "old", "min30")
SOURCES = (*AS_THEY_ARE, "atotinc", "cototinc", "apr", "occ", "unit")


class DataError(Exception):
    """The input cannot be used; the message says what is wrong with it."""


def read_part(folder: Path, name: str) -> pd.DataFrame:
    """One part of the applications, with every column that is needed."""
    file = folder / name / f"{name}.csv"
    try:
        frame = pd.read_csv(file)
    except FileNotFoundError:
        raise DataError(f"{file}: there is no such file") from None
    except pd.errors.EmptyDataError:
        raise DataError(f"{file}: the file is empty") from None
    missing = [c for c in (TARGET, *SOURCES, *PROTECTED) if c not in frame.columns]
    if missing:
        raise DataError(f"{file}: {len(missing)} column(s) missing: {', '.join(missing)}")
    text = [c for c in (TARGET, *SOURCES, *PROTECTED) if not pd.api.types.is_numeric_dtype(frame[c])]
    if text:
        raise DataError(f"{file}: not all values are numbers in: {', '.join(text)}")
    if frame.empty:
        raise DataError(f"{file}: there is a header but no row")
    return frame


def features(applications: pd.DataFrame) -> pd.DataFrame:
    """The target, the features and the protected columns of each application, in this order."""
    table = applications[[TARGET, *AS_THEY_ARE]].copy()
    table["income"] = applications["atotinc"] + applications["cototinc"]
    table["loan_to_appraisal"] = applications["loanamt"] / applications["apr"]
    table["owner_occupied"] = applications["occ"].eq(1).astype(int)
    table["several_units"] = applications["unit"].gt(1).astype(float).where(applications["unit"].notna())
    for column in PROTECTED:
        table[f"protected_{column}"] = applications[column]
    return table


def parse_arguments(given: list) -> argparse.Namespace:
    """The command line; the defaults are the paths inside a processing job."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, default=Path("/opt/ml/processing/input"), help="holds PART/PART.csv")
    parser.add_argument("--output", type=Path, default=Path("/opt/ml/processing/output"), help="receives PART/PART.csv")
    return parser.parse_args(given)


def main(given: list) -> int:
    """Run the job; the exit code says whether it worked."""
    arguments = parse_arguments(given)
    try:
        tables = {name: features(read_part(arguments.input, name)) for name in PARTS}
    except DataError as error:
        return refuse(str(error))
    for name, table in tables.items():
        target = arguments.output / name / f"{name}.csv"
        target.parent.mkdir(parents=True, exist_ok=True)
        table.to_csv(target, index=False)
        print(f"{name}: {len(table)} rows, {len(AS_THEY_ARE) + len(DERIVED)} features")
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
