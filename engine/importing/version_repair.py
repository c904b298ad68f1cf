"""Upgrade of estimators that other versions of their library have saved to the installed versions.

A pickle holds the attributes of its version: newer parameters are absent, and some arrays have another meaning. The
known differences are corrected here, before the estimator is used; `benchmarks/foreign_versions.py` shows that this
gives the probabilities of the version that saved it. Structures that no fit produces are refused, because the compiled
libraries follow them unchecked: an invalid index ends the process, a cycle never ends.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import xgboost as xgb
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.tree._tree import Tree

from engine.arrays import Array
from engine.errors import ValidationError

_LEAF = -1  # in place of a child, in both libraries
_ROUNDING = 1e-6  # largest deviation of the sum of a leaf's shares from 1


@contextmanager
def explain_errors(name: str, saved_by: Mapping[str, str]) -> Iterator[None]:
    """Turn every error of an external object into a ValidationError with its name and the versions."""
    try:
        yield
    except (ValidationError, MemoryError):
        raise
    except Exception as error:
        text = str(error).strip().partition("\n")[0][:200]
        raise ValidationError(
            f"{name} cannot be read here ({type(error).__name__}: {text}); {version_advice(saved_by)}"
        ) from error


def version_advice(saved_by: Mapping[str, str]) -> str:
    """Return the end of a message: the versions that saved a file, the installed ones, and the remedy."""
    saved = " and ".join(f"{library} {saved_by[library]}" for library in sorted(saved_by)) or "an unknown version"
    installed = " and ".join(
        f"{library} {_installed_version(library)}" for library in sorted(saved_by or ("scikit-learn", "xgboost"))
    )
    return f"it was saved by {saved}, installed is {installed}: fit and save it again with the installed versions"


def upgrade_estimator(estimator: Any) -> None:
    """Upgrade an estimator, or the steps of a Pipeline, in place. Raises ValidationError for an invalid one."""
    parts = [step for _, step in estimator.steps] if isinstance(estimator, Pipeline) else [estimator]
    for part in parts:
        if isinstance(part, xgb.Booster):
            _check_booster(part)
            continue
        _complete(part)
        if isinstance(part, RandomForestClassifier):
            for tree in part.estimators_:
                _complete(tree)
                _check_tree(tree.tree_, int(part.n_features_in_))
                _use_shares(tree.tree_)
        elif isinstance(part, SimpleImputer) and not hasattr(part, "_fill_dtype"):  # before scikit-learn 1.8
            part._fill_dtype = np.asarray(part.statistics_).dtype
        elif isinstance(part, xgb.XGBModel):
            _check_booster(part.get_booster())


def _installed_version(library: str) -> str:
    for distribution in (library, f"{library}-cpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return "none"


def _complete(part: Any) -> None:
    """Set each parameter that the estimator's version did not have to the constructor's default."""
    for kind in type(part).__mro__:
        for name, parameter in inspect.signature(kind.__init__).parameters.items():  # type: ignore[misc]
            if parameter.default is not parameter.empty and not hasattr(part, name):
                setattr(part, name, parameter.default)


def _use_shares(tree: Tree) -> None:
    """Convert the counts that scikit-learn before 1.4 stored in leaves into the shares that it predicts with."""
    values = tree.value[:, 0, :]
    totals = values.sum(axis=1)
    if not (np.isfinite(values).all() and (values >= 0.0).all()):
        raise ValidationError(
            "random_forest has a leaf whose counts are negative or not finite: no fit produces such a leaf"
        )
    if (np.abs(totals - 1.0) > _ROUNDING).any():
        values /= np.where(totals == 0.0, 1.0, totals)[:, None]


def _check_tree(tree: Tree, n_features: int) -> None:
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    if tree.value.shape[1:] != (1, 2) or tree.n_features != n_features:
        raise ValidationError(
            f"random_forest has a tree for {tree.n_features} columns with values of shape {tree.value.shape[1:]}: "
            f"one for {n_features} columns and two classes is needed"
        )
    _check_nodes("random_forest", left, right, np.asarray(tree.feature), n_features)


def _check_booster(booster: xgb.Booster) -> None:
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    for tree in learner["gradient_booster"].get("model", {}).get("trees", []):
        left, right = (np.array(tree[f"{side}_children"], dtype=np.int64) for side in ("left", "right"))
        _check_nodes("xgboost", left, right, np.array(tree["split_indices"]), booster.num_features())


def _check_nodes(member: str, left: Array, right: Array, column: Array, n_features: int) -> None:
    """Raise ValidationError unless every node but the root has one parent and is reachable from the root."""
    n_nodes = len(left)
    inner = left != _LEAF
    children = np.concatenate([left[inner], right[inner]])
    sound = (
        n_nodes > 0
        and len(right) == len(column) == n_nodes
        and np.array_equal(inner, right != _LEAF)
        and bool(((children > 0) & (children < n_nodes)).all())
        and len(np.unique(children)) == len(children)
        and bool(((column[inner] >= 0) & (column[inner] < n_features)).all())
    )
    if sound:  # as every node has at most one parent and the root none, only a separate cycle could remain
        reached, level = 1, np.zeros(1, dtype=np.int64)
        while (level := level[inner[level]]).size:
            level = np.concatenate([left[level], right[level]])
            reached += level.size
        sound = reached == n_nodes or member == "xgboost"  # which leaves pruned nodes in place
    if not sound:
        raise ValidationError(f"{member} has nodes that do not form a tree: the file is damaged, save it again")
