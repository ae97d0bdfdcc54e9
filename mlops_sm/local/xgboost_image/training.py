"""The image's training program: reads its configuration below /opt/ml/input, writes ``xgboost-model``."""

from __future__ import annotations

import json
import logging
import os
import pickle
import re
import signal
import sys
import traceback
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import xgboost

from . import callbacks, cluster, data, folds, hyperparameters, metrics
from .errors import AlgorithmError, UserError

MODEL: Final = "xgboost-model"
_ML: Final = Path("/opt/ml")
_PLACE: Final = re.compile(r"^\[[0-9:]+\] \S+:\d+: ")
_CHANNELS: Final = ("train", "validation", "code")
_PICKLED_BEFORE: Final = (1, 3)
"""From this version on the image saves models in XGBoost's own format, before it pickled them (developer guide)."""


def main(version: str, meeting: str) -> int:
    """Train; the exit code. What went wrong is in /opt/ml/output/failure, in the image's words.

    Args:
        version: Of the image.
        meeting: A name that only the instances of this job know.
    """
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="[%(asctime)s:%(levelname)s] %(message)s",
        datefmt="%Y-%m-%d:%H:%M:%S",
    )
    warnings.simplefilter("ignore")
    logging.info("Running XGBoost Sagemaker in algorithm mode")
    try:
        _train(version, meeting)
    except (UserError, AlgorithmError) as error:
        _fail(f"sagemaker_algorithm_toolkit.exceptions.{type(error).__name__}: {error}")
        return 1
    except Exception as error:
        traceback.print_exc()
        _fail(f"{type(error).__name__}: {error}")
        return 1
    return 0


def _fail(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    failure = _ML / "output" / "failure"
    failure.parent.mkdir(exist_ok=True)
    failure.write_text(f"framework error: \n{what}")


def _config(name: str) -> Any:  # noqa: ANN401 - JSON
    path = _ML / "input" / "config" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {}


@dataclass
class Run:
    """One training job.

    Attributes:
        version: Of the image.
        values: Its validated hyperparameters.
        train: The training data; None on an instance that has none.
        validation: The validation data, if there is such a channel.
        checkpoints: Where its checkpoints are.
        parameters: What XGBoost is given.
    """

    version: tuple[int, int]
    values: dict[str, Any]
    train: data.Table
    validation: data.Table | None
    checkpoints: Path | None
    parameters: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.parameters = hyperparameters.parameters_of(
            self.values, self.version, self.train.rows, distributed=xgboost.collective.is_distributed()
        )
        self.objective: str = self.values.get("objective", "reg:squarederror")
        names = metrics.wanted(self.values.get("_tuning_objective_metric"), self.values.get("eval_metric"))
        self.decisive = names[-1] if names else None
        theirs, self.evaluate = metrics.added(names, self.objective)
        self.parameters.pop("eval_metric", None)
        if theirs:
            self.parameters["eval_metric"] = theirs

    def boost(self, train: Any, validation: Any, suffix: str = "", log: Any = None) -> Any:  # noqa: ANN401 - XGBoost's
        """Train a model.

        Args:
            train: What it learns from.
            validation: What it is judged by; None without.
            suffix: Tells the models of one job apart.
            log: Takes the scores of every round.

        Raises:
            UserError: The data or a hyperparameter is not for XGBoost.
            AlgorithmError: XGBoost failed otherwise.
        """
        checkpoints = self.checkpoints / f"model{suffix}" if self.checkpoints and suffix else self.checkpoints
        if checkpoints is not None:
            checkpoints.mkdir(parents=True, exist_ok=True)
        before, seen = callbacks.newest(checkpoints)
        if before is not None:
            logging.info("Checkpoint loaded from %s", before)
            logging.info("Resuming from iteration %s", seen)
        first = xgboost.collective.get_rank() == 0
        left = _ML / "model" / f"{MODEL}{suffix}"
        keep = self.values.get("save_model_on_termination") == "true" and first
        after: list[xgboost.callback.TrainingCallback] = [
            callbacks.AfterRound(seen=seen, checkpoints=checkpoints if first else None, left=left if keep else None)
        ]
        rounds = self.values.get("early_stopping_rounds")
        if rounds is not None and validation is not None:
            after.append(
                xgboost.callback.EarlyStopping(
                    rounds=rounds,
                    data_name="validation",
                    metric_name=self.decisive,
                    maximize=None if self.decisive is None else metrics.base_name(self.decisive) in metrics.MAXIMIZED,
                    # A linear model has no rounds that could be taken away again.
                    save_best=self.values.get("booster") != "gblinear",
                )
            )
        elif rounds is not None:
            logging.warning("early_stopping_rounds has no effect without a validation channel")
        watched = [(train, "train")] + ([(validation, "validation")] if validation is not None else [])
        try:
            return xgboost.train(
                self.parameters,
                train,
                num_boost_round=max(0, self.values["num_round"] - seen),
                evals=watched,
                evals_result=log,
                custom_metric=self.evaluate,
                callbacks=after,
                xgb_model=None if before is None else str(before),
                verbose_eval=False,
            )
        except (xgboost.core.XGBoostError, ValueError) as error:
            # The library adds where in its own source it noticed.
            what = _PLACE.sub("", str(error).partition("\nStack trace:")[0])
            if _is_the_users(what):
                raise UserError(what) from error
            raise AlgorithmError(f"XGB train call failed with exception:\n {what}") from error


def _is_the_users(what: str) -> bool:
    """Whether data or hyperparameters are to blame."""
    return any(
        words in what
        for words in (
            *("label must be in", "label must be nonnegative", "must be in (0,1)", "feature_names mismatch"),
            *("multiclass but average='binary'", "only pos or neg samples", "labels must", "Invalid classes"),
            *("should be greater equal to", "Label set", "Target is multiclass", "base_score must be"),
        )
    )


def _train(version: str, meeting: str) -> None:
    values, problems = hyperparameters.validate(_config("hyperparameters"))
    if problems:
        raise UserError("\n".join(problems))
    channels = _config("inputdataconfig")
    if "train" not in channels:
        raise UserError("Missing required channel: train")
    unknown = sorted(channels.keys() - set(_CHANNELS))
    if unknown:
        raise UserError("\n".join(f"Extraneous channel found: {name}" for name in unknown))
    resources = _config("resourceconfig")
    hosts: list[str] = resources.get("hosts", ["algo-1"])
    kind = data.kind_of(channels["train"].get("ContentType"))
    weighted = values.get("csv_weights") == 1
    tables = {}
    for name in ("train", "validation"):
        if name in channels:
            piped = channels[name]["TrainingInputMode"] == "Pipe"
            tables[name] = data.load(_ML / "input/data" / name, kind, weighted=weighted, piped=piped)
    for name, table in tables.items():
        if table is None:
            where = f"in {name} channel path /opt/ml/input/data/{name}"
            several = " of this instance; give every instance some of it" if len(hosts) > 1 else ""
            raise UserError(f"No data {where}{several}")
    if values.get("use_dask_gpu_training") == "true" or values.get("tree_method") == "gpu_hist":
        logging.info("No GPUs detected (normal if no gpus installed)")
    together: AbstractContextManager[None] = nullcontext()
    if len(hosts) > 1:
        logging.info("Distributed node training with %d hosts: %s", len(hosts), hosts)
        together = cluster.joined(hosts, resources["current_host"], meeting)
    else:
        logging.info("Single node training.")
    signal.signal(signal.SIGTERM, _leave if values.get("save_model_on_termination") == "true" else signal.SIG_DFL)
    with together:
        major, _, minor = version.partition(".")
        _train_on((int(major), int(minor)), values, tables)


def _leave(signal_number: int, frame: object) -> None:
    """End well: the model of the last whole round is where models go."""
    del signal_number, frame
    sys.stdout.flush()
    os._exit(0)


def _train_on(version: tuple[int, int], values: dict[str, Any], tables: dict[str, Any]) -> None:
    # Files of one data set need not name its last features, and instances agree on how many there are.
    width = cluster.largest(max(table.features.shape[1] for table in tables.values()))
    tables = {name: table.widened(width) for name, table in tables.items()}
    train, validation = tables["train"], tables.get("validation")
    logging.info("Train matrix has %d rows and %d columns", train.rows, train.features.shape[1])
    if validation is not None:
        logging.info("Validation matrix has %d rows", validation.rows)
    saved = _config("checkpointconfig").get("LocalPath")
    run = Run(version, values, train, validation, None if saved is None else Path(saved))
    first = xgboost.collective.get_rank() == 0
    watched = None if validation is None else validation.matrix()
    if "_kfold" not in values:
        model = run.boost(train.matrix(), watched)
        if first:
            _store(model, _ML / "model" / MODEL, version)
        return
    for number, model in enumerate(folds.train(run, _ML / "output/data")):
        _store(model, _ML / "model" / f"{MODEL}-{number}", version)


def _store(model: Any, path: Path, version: tuple[int, int]) -> None:  # noqa: ANN401 - a Booster
    path.parent.mkdir(exist_ok=True)
    if version < _PICKLED_BEFORE:
        path.write_bytes(pickle.dumps(model))
    else:
        callbacks.save(model, path)
