"""Groups of features, for contributions: which columns belong together, and their neutral values.

A column of a side or a difference belongs to the group of its name without `red_`, `blue_` or `diff_`. A feature matrix
of another source declares the group in the name: `diff_striking_power` belongs to `striking`. Columns of a side without
a known name or such a prefix are `other`. Context columns that are not those of a fight log have no neutral value, so
they belong to no group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.feature_matrix import MirrorPlan

OTHER = "other"
CONTEXT = "context"
_SIDES = ("red_", "blue_", "diff_")
_SKILLS = {
    "striking": ("strikes", "strikes_attempted", "strike_accuracy", "knockdowns"),
    "wrestling": ("takedowns", "takedowns_attempted", "takedown_accuracy", "submissions", "control"),
}


def _skills(group: str) -> Iterator[str]:
    for skill in _SKILLS[group]:
        yield f"{skill}_offence"
        if skill != "knockdowns":  # suffered knockdowns say how durable a fighter is
            yield f"{skill}_vulnerability"


FEATURE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "age_and_size": ("age", "height_cm", "reach_cm", "southpaw", "debut_age"),
    "record": (
        *("ufc_fights", "ufc_wins", "ufc_losses", "win_streak", "loss_streak", "cage_min", "title_bouts"),
        *("ko_wins", "sub_wins", "last3_win", "debut", "log_fights", "win_share", "ko_win_share", "sub_win_share"),
        *("decision_win_share", "streak"),
    ),
    "activity": ("days_since",),
    "results_ratings": ("elo", "opp_elo", "results_rating"),
    "price_ratings": ("rating",),
    "striking": ("slpm", "sapm", "str_acc", "str_def", "kd15", "last3_strdiff", *_skills("striking")),
    "wrestling": (
        *("td15", "td_acc", "td_def", "td_abs15", "sub15", "ctrl_share", "ctrl_abs_share"),
        *_skills("wrestling"),
    ),
    "durability": ("ko_losses", "kd_abs15", "knockdowns_vulnerability"),
    CONTEXT: ("women", "title_bout", "scheduled_rounds", "weight_limit_lbs"),
    OTHER: (),
}
"""The features of each group, in the order of every report: without the prefix of a side, or names of context."""

NEUTRAL_CONTEXT = {"women": 0.0, "title_bout": 0.0, "scheduled_rounds": 3.0, "weight_limit_lbs": 170.0}
"""Values of the context with which fights are compared: three rounds of men at welterweight."""

_GROUP_OF = {feature: group for group, features in FEATURE_GROUPS.items() for feature in features}


def group_of(column: str) -> str | None:
    """Return the group of a column; None for context without a neutral value."""
    feature = next((column.removeprefix(side) for side in _SIDES if column.startswith(side)), None)
    if feature is None:
        return CONTEXT if column in NEUTRAL_CONTEXT else None
    declared = (group for group in FEATURE_GROUPS if feature.startswith(f"{group}_"))
    return _GROUP_OF.get(feature) or next(declared, OTHER)


@dataclass(frozen=True, slots=True, eq=False)
class GroupedColumns:
    """The columns of a model by group, and the swap of its sides.

    Attributes
    ----------
    names : tuple of str
        The groups that have a column, in the order of `FEATURE_GROUPS`.
    group : intp (columns,)
        Position of each column's group in `names`, -1 without a group.
    plan : MirrorPlan
        The swap of a row's two sides.
    context : float64 (columns,)
        The neutral value of context columns, NaN for all others.
    """

    names: tuple[str, ...]
    group: NDArray[np.intp]
    plan: MirrorPlan
    context: Floats

    @classmethod
    def from_columns(cls, columns: Sequence[str]) -> GroupedColumns:
        """Group the columns of a model. Raises ValidationError as `MirrorPlan.from_columns` does."""
        groups = [group_of(column) for column in columns]
        names = tuple(group for group in FEATURE_GROUPS if group in groups)
        return cls(
            names=names,
            group=np.array([-1 if group is None else names.index(group) for group in groups], dtype=np.intp),
            plan=MirrorPlan.from_columns(columns),
            context=np.array([NEUTRAL_CONTEXT.get(column, np.nan) for column in columns]),
        )

    def neutral_rows(self, values: Floats) -> Floats:
        """Return the rows that favour neither side, float64 (n, columns); a swap of the sides leaves them unchanged.

        A difference is 0, a side's own value is the mean of both sides (NaN unless both are known), a context column
        has its neutral value, or its own one without any.

        Parameters
        ----------
        values
            Rows, float64 (n, columns).
        """
        mean = (values + self.plan(values)) / 2.0
        mean[:, self.plan.sign < 0.0] = 0.0
        return np.where(np.isnan(self.context), mean, self.context)
