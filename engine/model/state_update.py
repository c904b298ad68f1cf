"""Renewal of the fighters' state from a newer fight log, which must continue the one that the model knows.

The log is replayed twice: up to the last day of the model's state, and to its end. The first replay has to give what
the model knows. Fighters or fights that are missing there are refused, because the new state would have forgotten them.
Corrections of the past, such as a reach that was filled in, are counted, and their effect on the answers is measured on
known pairs of fighters.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from engine.arrays import Floats
from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterRequest, FighterSnapshot, FightRequest
from engine.data.fighter_state import FIELD_INDEX
from engine.data.snapshot_digest import StateIdentity, identify_snapshot
from engine.errors import ValidationError
from engine.model.inference import point_logits
from engine.model.trained_ensemble import Ensemble
from engine.statistics.complements import logit_to_probability

KNOWN_PAIRS = 200
"""How many of the latest known fights are answered by both states, to compare them."""
_FIGHTS = FIELD_INDEX["fights"]
_NAMED = 3  # fighters in a message


@dataclass(frozen=True, slots=True)
class StateComparison:
    """Differences between the probabilities that one model gives from two states, for pairs of known fighters.

    Attributes
    ----------
    pairs : int
        Number of pairs that both states could answer.
    mean, largest : float
        Absolute difference of the probabilities, corner unknown; 0 without a pair.
    """

    pairs: int
    mean: float
    largest: float


@dataclass(frozen=True, slots=True, eq=False)
class StateUpdate:
    """A newer state of a model's fighters.

    Attributes
    ----------
    snapshot : FighterSnapshot
        The state after the last fight of the log.
    state, base_state : StateIdentity
        The identities of the new and of the old state; equal if the log brings nothing new.
    new_fights, new_fighters : int
        Fights after the old state's last day, and fighters without an earlier fight in it.
    corrected_fighters : int
        Known fighters whose state or biography on the old state's last day is another one in this log.
    past : StateComparison
        The old state against this log's state on the same day: the effect of corrections.
    change : StateComparison
        The old state against the new one: the effect of the new fights.
    """

    snapshot: FighterSnapshot
    state: StateIdentity
    base_state: StateIdentity
    new_fights: int
    new_fighters: int
    corrected_fighters: int
    past: StateComparison
    change: StateComparison


def renew_state(base: Ensemble, log: FightLog) -> StateUpdate:
    """Return the state of the fighters after the last fight of `log`.

    Raises
    ------
    ValidationError
        If the model has no state, or the log is no continuation of the log that its state comes from.
    """
    old = base.snapshot
    if old is None:
        raise ValidationError(
            "the model has no fighters' state, because it was trained on a feature matrix or imported without a fight "
            "log: there is nothing to update; train on a fight log, or import with --log FOLDER"
        )
    past_log = _known_past(old, log)
    past = FighterSnapshot.from_log(past_log, keep_gaps=old.keep_gaps)
    positions = _matched_positions(old, past)
    new = past if log is past_log else FighterSnapshot.from_log(log, keep_gaps=old.keep_gaps)
    pairs = _known_pairs(past_log)
    first_day = log.data_cutoff + timedelta(days=1)
    experienced = old.state[:, _FIGHTS] > 0
    known = set(old.fighter_ids[experienced].tolist())
    fought = set(new.fighter_ids[new.state[:, _FIGHTS] > 0].tolist())
    return StateUpdate(
        snapshot=new,
        state=identify_snapshot(new),
        base_state=identify_snapshot(old),
        new_fights=len(log.fights) - len(past_log.fights),
        new_fighters=len(fought - known),
        corrected_fighters=_corrected(old, past, positions),
        past=_compare(base, old, past, pairs, first_day),
        change=_compare(base, old, new, pairs, first_day),
    )


def _known_past(old: FighterSnapshot, log: FightLog) -> FightLog:
    """Return the log up to the last day of the old state; the log itself if it has no later fight."""
    if log.data_cutoff < old.data_cutoff:
        raise ValidationError(
            f"the fight log ends on {log.data_cutoff}, but the model's state already contains fights up to "
            f"{old.data_cutoff}: give a log that continues after that day"
        )
    begins = log.fights["date"].iloc[0].date()
    if begins > old.data_cutoff:
        raise ValidationError(
            f"the fight log begins on {begins}, after the last fight of the model's state on {old.data_cutoff}: give "
            "the complete log, with all earlier fights, and the new ones after them"
        )
    return log if log.data_cutoff == old.data_cutoff else log.before(old.data_cutoff + timedelta(days=1))


def _matched_positions(old: FighterSnapshot, past: FighterSnapshot) -> NDArray[np.intp]:
    """Return the position in `past` of each fighter who has fought in `old`, -1 for the others.

    Raises ValidationError for fighters or fights that the log lacks.
    """
    found = {fighter: position for position, fighter in enumerate(past.fighter_ids.tolist())}
    experienced = old.state[:, _FIGHTS] > 0
    positions = np.array(
        [
            found.get(fighter, -1) if has_fought else -1
            for fighter, has_fought in zip(old.fighter_ids.tolist(), experienced.tolist(), strict=True)
        ],
        dtype=np.intp,
    )
    now = np.where(positions >= 0, past.state[positions, _FIGHTS], 0.0)
    lacking = np.flatnonzero(experienced & (now < old.state[:, _FIGHTS]))
    if len(lacking):
        named = ", ".join(
            f"{old.names[fighter]} ({now[fighter]:.0f} of {old.state[fighter, _FIGHTS]:.0f})"
            for fighter in lacking[:_NAMED].tolist()
        )
        raise ValidationError(
            f"the fight log lacks fights up to {old.data_cutoff} that the model's state contains, of {len(lacking)} "
            f"fighters: {named}: give the complete log under the same fighter ids; if these fights were removed on "
            "purpose, train a new model"
        )
    return positions


def _corrected(old: FighterSnapshot, past: FighterSnapshot, positions: NDArray[np.intp]) -> int:
    rows = np.flatnonzero(positions >= 0)
    differs = [
        ~_same(before[rows], after[positions[rows]]).all(axis=1)
        for before, after in ((old.state, past.state), (old.biography, past.biography))
    ]
    return int((differs[0] | differs[1]).sum())


def _same(one: Floats, other: Floats) -> NDArray[np.bool_]:
    return np.asarray((one == other) | (np.isnan(one) & np.isnan(other)))


def _known_pairs(log: FightLog) -> list[tuple[str, str]]:
    """Return the names of the fighters of the latest fights that are predicted."""
    names = dict(zip(log.fighters["fighter_id"], log.fighters["name"], strict=True))
    latest = log.fights[~log.fights["history_only"]].tail(KNOWN_PAIRS)
    return [(names[red], names[blue]) for red, blue in zip(latest["red_id"], latest["blue_id"], strict=True)]


def _compare(
    ensemble: Ensemble, one: FighterSnapshot, other: FighterSnapshot, pairs: list[tuple[str, str]], day: date
) -> StateComparison:
    """Compare the answers from two states for pairs that meet on `day`; a pair that one cannot answer is left out."""
    answers = [_answers(ensemble, snapshot, pairs, day) for snapshot in (one, other)]
    difference = np.abs(answers[0] - answers[1])
    difference = difference[np.isfinite(difference)]
    if not len(difference):
        return StateComparison(0, 0.0, 0.0)
    return StateComparison(len(difference), float(difference.mean()), float(difference.max()))


def _answers(ensemble: Ensemble, snapshot: FighterSnapshot, pairs: list[tuple[str, str]], day: date) -> Floats:
    """Return P(first fighter wins) of each pair, float64 (n,), NaN without an answer."""
    requests = [
        FightRequest(first=FighterRequest(name=first), second=FighterRequest(name=second), date=day)
        for first, second in pairs
    ]
    rows = snapshot.features(requests)
    values = rows.X[list(ensemble.columns)].to_numpy(np.float64)
    usable = np.ones(len(values), dtype=np.bool_) if ensemble.accepts_missing else ~np.isnan(values).any(axis=1)
    answers = np.full(len(pairs), np.nan)
    if usable.any():
        logit, _ = point_logits(ensemble, values[usable], np.zeros(int(usable.sum()), dtype=np.int8))
        answers[rows.X.index.to_numpy()[usable]] = logit_to_probability(logit)
    return answers
