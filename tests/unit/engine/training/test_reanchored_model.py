"""A trained model with intervals and slope that newer closes moved."""

from __future__ import annotations

from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from engine.data.fight_log import FightLog
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import ValidationError
from engine.evaluation.challenger import first_unseen_day
from engine.intervals.half_widths import TRACKED_LEVELS
from engine.model.bundle import Bundle
from engine.model.derived_bundle import derive_bundle, origin_of
from engine.model.trained_ensemble import Ensemble, load_ensemble
from engine.training.reanchored_model import reanchor_model
from tests.support.small_models import NEWER, past_log, small_league, trained_on_the_past

pytestmark = pytest.mark.slow  # they share a training


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained_on_the_past(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def log() -> FightLog:
    return small_league().log


def reanchored(base: Bundle, log: FightLog, folder: Path) -> Bundle:
    ensemble = reanchor_model(load_ensemble(base), log).ensemble
    return derive_bundle(folder, base, ensemble, log.digest(), reanchored=True)


def checked(bundle: Bundle) -> Ensemble:
    """The loaded model, after it has given its reference predictions."""
    ensemble = load_ensemble(bundle)
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    assert manager.check_reference_predictions() == 0.0
    return ensemble


def test_intervals_slope_and_reference_predictions_move_and_the_members_stay(
    base: Bundle, log: FightLog, tmp_path: Path
) -> None:
    old, derived = load_ensemble(base), reanchored(base, log, tmp_path)
    new = checked(derived)
    for name in base.array_names:
        same = derived.array(name).tobytes() == base.array(name).tobytes()
        assert same == (name != "canary/probability"), name
    factor = derived.manifest["anchoring"]["slope_factor"]
    assert asdict(new.calibration) == {name: factor * value for name, value in asdict(old.calibration).items()}
    assert new.half_widths.moved_levels != (TRACKED_LEVELS, TRACKED_LEVELS) == old.half_widths.moved_levels
    assert origin_of(derived.digest, derived.manifest) == derived.digest  # its answers are not those of its base
    assert first_unseen_day(old) < first_unseen_day(new) == log.data_cutoff + timedelta(days=1)


def test_in_two_steps_or_in_one_it_is_the_same_model(base: Bundle, log: FightLog, tmp_path: Path) -> None:
    at_once = checked(reanchored(base, log, tmp_path))
    first = reanchored(base, log.before(NEWER + timedelta(days=30)), tmp_path)
    second = checked(reanchored(first, log, tmp_path))
    assert second.calibration == at_once.calibration
    assert second.half_widths.moved_levels == at_once.half_widths.moved_levels
    assert second.manifest["anchoring"] == at_once.manifest["anchoring"]
    assert np.array_equal(second.reference_predictions[1], at_once.reference_predictions[1])


def test_the_figures_are_about_the_newer_fights(base: Bundle, log: FightLog) -> None:
    found = reanchor_model(load_ensemble(base), log)
    decided = log.fights["winner"].isin(["red", "blue"]) & (log.fights["date"] >= str(NEWER))
    assert found.fights == int((decided & log.fights["red_decimal_odds"].notna()).sum())
    assert [level.level for level in found.levels] == list(TRACKED_LEVELS)
    for level in found.levels:
        assert 0.5 < level.inside <= 1.0
        assert 0.0 < level.width_before < 1.0 > level.width_after > 0.0


def test_the_day_of_a_fight_does_not_see_its_own_odds(base: Bundle, log: FightLog) -> None:
    """The share inside is of intervals of before the event: other odds on the last day move only that day's part."""
    fights = log.fights.copy()
    last = fights["date"] == fights["date"].max()
    fights.loc[last, ["red_decimal_odds", "blue_decimal_odds"]] = np.nan
    without = reanchor_model(load_ensemble(base), FightLog(fights, log.stat_lines, log.fighters))
    before = reanchor_model(load_ensemble(base), log.before(log.data_cutoff))
    assert (without.fights, without.slope_factor) == (before.fights, before.slope_factor)
    assert without.ensemble.half_widths.moved_levels == before.ensemble.half_widths.moved_levels


def test_what_cannot_be_reanchored_is_refused(base: Bundle, log: FightLog) -> None:
    ensemble = load_ensemble(base)
    with pytest.raises(ValidationError, match="no decided fight after 2025-10-"):
        reanchor_model(ensemble, past_log())
    unpriced = log.fights.assign(red_decimal_odds=np.nan, blue_decimal_odds=np.nan)
    with pytest.raises(ValidationError, match="no newer fight has closing odds"):
        reanchor_model(ensemble, FightLog(unpriced, log.stat_lines, log.fighters))
    earlier = replace(ensemble, half_widths=replace(ensemble.half_widths, market_slope=None))
    with pytest.raises(ValidationError, match="not measured on closing odds"):
        reanchor_model(earlier, log)
