"""The fighter snapshot: every fighter's state after the last fight of a log, and feature rows of upcoming fights.

A snapshot is a few flat arrays, so that a bundle can memory-map it and all workers of a machine share it. Its rows come
from the functions that make the training rows (`engine.data.features`).

Missing values of a request are not invented. Women and weight limit follow from the weight class, otherwise from the
latest classes of the two fighters. On UFC fights since 2015 that is right in 98% if both agree and in 89% if only one
is known. If they differ, the lighter class is right in only 58%, so the value is NaN. Scheduled rounds and title bout
are NaN if the request does not give them: filling in 3 rounds changed the log loss of 2021 to 2024 by less than 0.0001
either way, and NaN records that the value is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.data.declared_records import RECORD_FIELDS, debut_strengths, declared_records
from engine.data.features import CONTEXT_FEATURES, feature_rows
from engine.data.fight_log import FightLog
from engine.data.fight_log_tables import WEIGHT_LIMITS_LBS
from engine.data.fighter_names import FighterIndex
from engine.data.fighter_state import FIELD_INDEX, initial_states
from engine.data.past_odds import PastOdds
from engine.data.rated_log import RATING_COLUMNS, RatedLog, rate_log
from engine.data.rating_parts import rating_parts
from engine.data.side_features import (
    BASE_FEATURES,
    BIOGRAPHY_FIELDS,
    base_features,
    biographies,
    fill_biographies,
    scaled_differences,
)
from engine.errors import AmbiguousFighterError, ValidationError
from engine.ratings.rating_filter import Ratings, forecast_logits

STALE_DAYS = 180
PAST_ODDS_MISSING = "past_odds_missing"
DECLARED_RECORD = "declared_record"
FEW_FIGHTS = 2
_FIGHTS = FIELD_INDEX["fights"]
_EPOCH = date(1970, 1, 1)
_OF_BOTH_SEXES = ("Catch Weight", "Open Weight", "Other")
_RATING_ARRAYS = ("coefficients", "corner", "strength", "strength_variance", "last_day", "forecast_variance")
_BIOGRAPHY, _BIOGRAPHY_TO_FILL = "biography", "biography_to_fill"  # two names of the biography array


@dataclass(frozen=True, slots=True, kw_only=True)
class FighterRequest:
    """A fighter as a caller names him.

    Biographical values fill in what the log lacks and never override it.

    Attributes
    ----------
    debut
        True declares that the log has no record of this fighter; otherwise an unknown name is an error.
    record
        Wins, losses and draws of a debutant elsewhere, and the day of the last of these bouts, if known.
    """

    name: str
    debut: bool = False
    date_of_birth: date | None = None
    height_cm: float | None = None
    reach_cm: float | None = None
    stance: str | None = None
    record: tuple[int, int, int, date | None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FightRequest:
    """An upcoming fight, with its fighters in any order; None means unknown."""

    first: FighterRequest
    second: FighterRequest
    date: date
    weight_class: str | None = None
    scheduled_rounds: int | None = None
    title_bout: bool | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FeatureRows:
    """Feature rows of those requests that can be predicted, k of n; `red_` columns are the first fighter's.

    Attributes
    ----------
    X
        Features, float64 (k, columns); the index holds each row's position among the requests.
    flags
        k tuples of `debutant`, `few_fights`, `features_imputed`, `declared_record`, `past_odds_missing`,
        `stale_fight_log`.
    fighter_ids
        k pairs; None for a fighter who is not in the log.
    experience
        Earlier fights of the less experienced fighter, int64 (k,).
    errors
        n entries: the error of a request, None if it has a row.
    rating_parts
        By rating column: the rating in parts by group of features, float64 (k, groups), as
        `engine.data.rating_parts.rating_parts` returns them.
    """

    X: pd.DataFrame
    flags: tuple[tuple[str, ...], ...]
    fighter_ids: tuple[tuple[str | None, str | None], ...]
    experience: NDArray[np.int64]
    errors: tuple[ValidationError | None, ...]
    rating_parts: Mapping[str, NDArray[np.float64]]


def drop_unused_flags(flags: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """Return the flags that concern a model with these columns.

    A declared record acts on ratings alone, and past odds on the rating that learns from them.
    """
    needed = {DECLARED_RECORD: set(RATING_COLUMNS), PAST_ODDS_MISSING: {RATING_COLUMNS[0]}}
    return tuple(flag for flag in flags if flag not in needed or needed[flag] & set(columns))


@dataclass(frozen=True, slots=True)
class _Side:
    position: int  # among the fighters of the log, -1 for a debutant
    fighter_id: str | None
    state: NDArray[np.float64]
    biography: NDArray[np.float64]
    record: NDArray[np.float64]

    @property
    def has_declared_record(self) -> bool:
        """True if bouts before the log decide the strength of this fighter, who has none in it."""
        return bool(self.state[_FIGHTS] == 0 and self.record[:3].sum() > 0)


@dataclass(frozen=True, eq=False)
class FighterSnapshot:
    """The state of every fighter after the last fight of a log; n fighters. Arrays may be read-only memory maps.

    Attributes
    ----------
    fighter_ids, names
        str (n,).
    ambiguous
        True for a name that several people may have, bool (n,).
    state
        States, float64 (n, fields of `engine.data.fighter_state`).
    biography
        Biographies, float64 (n, 4); see `engine.data.features.BIOGRAPHY_FIELDS`.
    ratings
        What the rating filters have learnt, one for each of `engine.data.rated_log.RATING_COLUMNS`.
    data_cutoff
        Day of the last fight.
    past_odds
        Where the log lacks recent closing odds.
    records
        Declared records, float64 (n, 4); see `engine.data.declared_records.RECORD_FIELDS`. None if there are none.
    keep_gaps
        True to leave unknown biographies NaN, for models that were not trained on rows of `fill_biographies`: those
        of earlier versions, and imported ones.
    """

    fighter_ids: NDArray[np.str_]
    names: NDArray[np.str_]
    ambiguous: NDArray[np.bool_]
    state: NDArray[np.float64]
    biography: NDArray[np.float64]
    ratings: tuple[Ratings, ...]
    data_cutoff: date
    past_odds: PastOdds
    records: NDArray[np.float64] | None = None
    keep_gaps: bool = False
    _index: FighterIndex = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check that the shapes agree, and index the names."""
        n = len(self.fighter_ids)
        shapes = {
            "names": (n,),
            "ambiguous": (n,),
            "state": (n, len(FIELD_INDEX)),
            "biography": (n, len(BIOGRAPHY_FIELDS)),
        }
        if self.records is not None:
            shapes["records"] = (n, len(RECORD_FIELDS))
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValidationError(
                    f"snapshot array {name!r} has shape {getattr(self, name).shape}, expected {shape}: "
                    "make the snapshot again with this version"
                )
        index = FighterIndex(self.fighter_ids.tolist(), self.names.tolist(), self.ambiguous.tolist())
        object.__setattr__(self, "_index", index)

    @classmethod
    def from_log(cls, log: FightLog, *, keep_gaps: bool = False, rated: RatedLog | None = None) -> FighterSnapshot:
        """Return the state after the last fight of `log`; `keep_gaps` as in the class, `rated` as in `build_matrix`."""
        fighters = log.fighters
        rated, records = rated or rate_log(log), declared_records(fighters)
        return cls(
            fighter_ids=fighters["fighter_id"].to_numpy(dtype=np.str_),
            names=fighters["name"].to_numpy(dtype=np.str_),
            ambiguous=fighters["ambiguous_name"].to_numpy(dtype=np.bool_),
            state=rated.after,
            biography=biographies(fighters),
            ratings=rated.ratings,
            data_cutoff=log.data_cutoff,
            past_odds=PastOdds.from_log(log),
            records=None if np.isnan(records[:, 0]).all() else records,
            keep_gaps=keep_gaps,
        )

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the snapshot as named arrays of plain dtypes, without pickle; those without a value are absent.

        Biographies whose gaps are filled have a name of their own, so that a version that would keep the gaps refuses
        them.
        """
        return {
            "fighter_ids": self.fighter_ids,
            "names": self.names,
            "ambiguous": self.ambiguous,
            "state": self.state,
            _BIOGRAPHY if self.keep_gaps else _BIOGRAPHY_TO_FILL: self.biography,
            **{
                f"{name}_{array}": values
                for name, ratings in zip(RATING_COLUMNS, self.ratings, strict=True)
                for array, values in _rating_arrays(ratings).items()
            },
            "data_cutoff_day": np.array([_day(self.data_cutoff)], dtype=np.int64),
            "recent_priced_share": np.array([self.past_odds.priced_share]),
            "unpriced": self.past_odds.unpriced,
            **({} if self.records is None else {"declared_records": self.records}),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> FighterSnapshot:
        """Return the snapshot of the arrays of `to_arrays`. Raises ValidationError for missing or misshapen arrays."""
        names = ("fighter_ids", "names", "ambiguous", "state")
        keep_gaps = _BIOGRAPHY_TO_FILL not in arrays
        biography = _BIOGRAPHY if keep_gaps else _BIOGRAPHY_TO_FILL
        rated = [f"{name}_{array}" for name in RATING_COLUMNS for array in _RATING_ARRAYS]
        odds = ("recent_priced_share", "unpriced")
        missing = [name for name in (*names, biography, *rated, *odds, "data_cutoff_day") if name not in arrays]
        if missing:
            raise ValidationError(f"the snapshot lacks the arrays {missing}: make it again with this version")
        return cls(
            **{name: arrays[name] for name in names},  # type: ignore[arg-type]
            biography=arrays[biography],  # type: ignore[arg-type]
            ratings=tuple(_ratings(arrays, name) for name in RATING_COLUMNS),
            data_cutoff=date.fromordinal(_EPOCH.toordinal() + int(arrays["data_cutoff_day"][0])),
            past_odds=PastOdds(float(arrays["recent_priced_share"][0]), arrays["unpriced"]),  # type: ignore[arg-type]
            records=arrays.get("declared_records"),  # type: ignore[arg-type]
            keep_gaps=keep_gaps,
        )

    def features(self, requests: Sequence[FightRequest]) -> FeatureRows:
        """Return feature rows of upcoming fights; a request that cannot be predicted gets an error instead.

        Errors are UnknownFighterError, AmbiguousFighterError, or ValidationError if the request contradicts itself or
        the log (same fighter twice, unknown weight class, a day that the log already covers).
        """
        positions: list[int] = []
        sides: list[tuple[_Side, _Side]] = []
        errors: list[ValidationError | None] = [None] * len(requests)
        for position, request in enumerate(requests):
            try:
                self._check(request)
                sides.append(self._sides(request))
                positions.append(position)
            except ValidationError as error:
                errors[position] = error
        predicted = [requests[position] for position in positions]
        day = np.array([_day(request.date) for request in predicted], dtype=np.int64)
        context = np.array([_context(*pair) for pair in zip(predicted, sides, strict=True)])
        X, experience, has_gaps, parts = self._rows(sides, day, context.reshape(len(predicted), len(CONTEXT_FEATURES)))
        return FeatureRows(
            X=X.set_axis(pd.Index(positions, dtype=np.int64), axis="index"),
            flags=tuple(
                self._flags(request, pair, imputed)
                for request, pair, imputed in zip(predicted, sides, has_gaps.tolist(), strict=True)
            ),
            fighter_ids=tuple((pair[0].fighter_id, pair[1].fighter_id) for pair in sides),
            experience=experience,
            errors=tuple(errors),
            rating_parts=parts,
        )

    def fight_rows(
        self, fighter_ids: NDArray[np.str_], day: NDArray[np.datetime64], context: NDArray[np.float64]
    ) -> tuple[pd.DataFrame, NDArray[np.int64]]:
        """Return the feature rows of later fights between fighters by id, as a request with all values would get them.

        A fighter whom the snapshot does not know is a debutant of whom nothing is declared.

        Parameters
        ----------
        fighter_ids
            Ids of both fighters, str (n, 2).
        day
            Days of the fights, datetime64 (n,).
        context
            Values of `CONTEXT_FEATURES`, float64 (n, 4).

        Returns
        -------
        DataFrame
            Features, float64 (n, columns).
        int64 array
            Earlier fights of the less experienced fighter, (n,).

        Raises
        ------
        ValidationError
            If a fight is not after the last day of the snapshot.
        """
        day = day.astype("datetime64[D]")
        if len(day) and day.min() <= np.datetime64(self.data_cutoff):
            raise ValidationError(
                f"a fight is on {day.min()}, but the snapshot already reaches {self.data_cutoff}: use an earlier one"
            )
        places = {fighter: place for place, fighter in enumerate(self.fighter_ids.tolist())}
        unknown = _Side(-1, None, initial_states(1)[0], np.full(len(BIOGRAPHY_FIELDS), np.nan), self._record(-1))

        def side(fighter: str) -> _Side:
            place = places.get(fighter)
            if place is None:
                return unknown
            return _Side(place, fighter, self.state[place], self.biography[place], self._record(place))

        sides = [(side(first), side(second)) for first, second in fighter_ids.tolist()]
        X, experience, _, _ = self._rows(sides, day.astype(np.int64), context)
        return X, experience

    def _rows(
        self, sides: Sequence[tuple[_Side, _Side]], day: NDArray[np.int64], context: NDArray[np.float64]
    ) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
        """Return features, earlier fights of the less experienced, whether a value is unknown, and ratings in parts."""
        red, blue = (_describe([pair[side] for pair in sides], day) for side in (0, 1))
        experience = np.array([min(side.state[_FIGHTS] for side in pair) for pair in sides], dtype=np.int64)
        has_gaps = np.asarray(np.isnan(np.hstack([red, blue])).any(axis=1))
        fighters = np.array([[side.position for side in pair] for pair in sides], dtype=np.intp).reshape(-1, 2)
        x = scaled_differences(*fill_biographies(red, blue))
        debuts = np.column_stack([_debut_strengths([pair[side] for pair in sides], day) for side in (0, 1)])
        logits = np.column_stack(
            [forecast_logits(ratings, fighters, day, x, debut_strength=debuts) for ratings in self.ratings]
        )
        parts = {
            column: rating_parts(ratings, column, x, logit)
            for column, ratings, logit in zip(RATING_COLUMNS, self.ratings, logits.T, strict=True)
        }
        return feature_rows(red, blue, logits, context, keep_gaps=self.keep_gaps), experience, has_gaps, parts

    def _check(self, request: FightRequest) -> None:
        if request.date <= self.data_cutoff:
            raise ValidationError(
                f"the fight is on {request.date}, but the fight log already reaches {self.data_cutoff}: "
                "predict it with a model trained on earlier fights only"
            )
        if request.weight_class is not None and request.weight_class not in WEIGHT_LIMITS_LBS:
            raise ValidationError(
                f"unknown weight class {request.weight_class!r}: "
                f"leave it out, or write one of {list(WEIGHT_LIMITS_LBS)}"
            )

    def _sides(self, request: FightRequest) -> tuple[_Side, _Side]:
        fighters = (request.first, request.second)
        found = list(zip(fighters, self._positions(fighters), strict=True))
        first, second = (self._side(fighter, position) for fighter, position in found)
        if first.fighter_id is not None and first.fighter_id == second.fighter_id:
            raise ValidationError(f"{request.first.name!r} and {request.second.name!r} are the same fighter")
        return first, second

    def _positions(self, fighters: Sequence[FighterRequest]) -> list[int | None]:
        """Return the fighters' positions in the log, None for debutants. One error names all unknown fighters."""
        positions: list[int | None] = []
        unknown: list[str] = []
        ambiguous: list[AmbiguousFighterError] = []
        for fighter in fighters:
            try:
                position = self._index.find_position(fighter.name)
            except AmbiguousFighterError as error:
                ambiguous.append(error)
                continue
            positions.append(position)
            if position is None and not fighter.debut:
                unknown.append(fighter.name)
        errors = [self._index.unknown_fighter_error(unknown)] if unknown else []
        if raised := [*errors, *ambiguous]:
            details = {name: found for error in reversed(raised) for name, found in error.details.items()}
            if len(ambiguous) > 1:
                details["ambiguous"] = [entry for error in ambiguous for entry in error.details["ambiguous"]]
            raise type(raised[0])("; ".join(map(str, raised)), details=details)
        return positions

    def _side(self, request: FighterRequest, position: int | None) -> _Side:
        """Return the fighter's state and biography; the initial state for a declared debutant without a match."""
        given, declared = _biography(request), _declared_record(request)
        if position is None:
            return _Side(-1, None, initial_states(1)[0], given, declared)
        state, known = self.state[position], self.biography[position]
        if request.debut and state[_FIGHTS] > 0:
            raise AmbiguousFighterError(
                f"{request.name!r} is declared a debutant, "
                f"but the fight log holds {state[FIELD_INDEX['fights']]:.0f} fights "
                f"of {self.names[position]!r}: drop the declaration, or send this fight's features if it is a namesake"
            )
        record = self._record(position)
        return _Side(
            position,
            str(self.fighter_ids[position]),
            state,
            np.where(np.isnan(known), given, known),
            declared if np.isnan(record[0]) else record,
        )

    def _unpriced(self, side: _Side) -> bool:
        return side.position >= 0 and bool(self.past_odds.unpriced[side.position])

    def _record(self, position: int) -> NDArray[np.float64]:
        """Return the declared record of a fighter of the log, float64 (4,); NaN without one, and for position -1."""
        if position < 0 or self.records is None:
            return np.full(len(RECORD_FIELDS), np.nan)
        return np.asarray(self.records[position])

    def _flags(self, request: FightRequest, sides: tuple[_Side, _Side], imputed: bool) -> tuple[str, ...]:
        fewest = min(side.state[_FIGHTS] for side in sides)
        raised = {
            "debutant": fewest == 0,
            "few_fights": 0 < fewest <= FEW_FIGHTS,
            "features_imputed": imputed,
            DECLARED_RECORD: any(side.has_declared_record for side in sides),
            PAST_ODDS_MISSING: self.past_odds.is_missing or any(self._unpriced(side) for side in sides),
            "stale_fight_log": (request.date - self.data_cutoff).days > STALE_DAYS,
        }
        return tuple(flag for flag, up in raised.items() if up)


def _rating_arrays(ratings: Ratings) -> dict[str, NDArray[np.generic]]:
    return {
        "coefficients": ratings.coefficients,
        "corner": np.array([ratings.corner]),
        "strength": ratings.strength,
        "strength_variance": ratings.strength_variance,
        "last_day": ratings.last_day,
        "forecast_variance": np.array([ratings.forecast_variance]),
    }


def _ratings(arrays: Mapping[str, NDArray[np.generic]], name: str) -> Ratings:
    coefficients, corner, strength, variance, last_day, mean = (arrays[f"{name}_{array}"] for array in _RATING_ARRAYS)
    return Ratings(coefficients, float(corner[0]), strength, variance, last_day, float(mean[0]))  # type: ignore[arg-type]


def _day(day: date) -> int:
    return (day - _EPOCH).days


def _biography(request: FighterRequest) -> NDArray[np.float64]:
    born, stance = request.date_of_birth, request.stance
    given = (
        None if born is None else _day(born),
        request.height_cm,
        request.reach_cm,
        None if stance is None else stance.lower() == "southpaw",
    )
    return np.array([np.nan if value is None else value for value in given], dtype=np.float64)


def _declared_record(request: FighterRequest) -> NDArray[np.float64]:
    if request.record is None:
        return np.full(len(RECORD_FIELDS), np.nan)
    *bouts, last_bout = request.record
    return np.array([*bouts, np.nan if last_bout is None else _day(last_bout)], dtype=np.float64)


def _debut_strengths(sides: Sequence[_Side], day: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean strengths of fighters without a fight, float64 (n,)."""
    if not sides:
        return np.empty(0)
    return debut_strengths(np.stack([side.record for side in sides]), day.astype(np.float64))[0]


def _describe(sides: Sequence[_Side], day: NDArray[np.int64]) -> NDArray[np.float64]:
    if not sides:
        return np.empty((0, len(BASE_FEATURES)))
    return base_features(np.stack([side.state for side in sides]), np.stack([side.biography for side in sides]), day)


def _context(request: FightRequest, sides: tuple[_Side, _Side]) -> tuple[float, ...]:
    """Return the values of `CONTEXT_FEATURES`; the module's docstring explains the values used for unknown ones."""
    recent = [{side.state[FIELD_INDEX[name]] for side in sides} for name in ("women", "weight_limit_lbs")]
    women, limit = (_agreed(values) for values in recent)
    if request.weight_class is not None:
        limit = WEIGHT_LIMITS_LBS[request.weight_class]
        if request.weight_class.startswith("Women's"):
            women = 1.0
        elif np.isnan(women) and request.weight_class not in _OF_BOTH_SEXES:
            women = 0.0
    title = np.nan if request.title_bout is None else float(request.title_bout)
    rounds = np.nan if request.scheduled_rounds is None else float(request.scheduled_rounds)
    return float(women), title, rounds, limit


def _agreed(values: set[np.float64]) -> float:
    """Return the only known value; NaN if there is none or more than one."""
    known = {float(value) for value in values if not np.isnan(value)}
    return known.pop() if len(known) == 1 else np.nan
