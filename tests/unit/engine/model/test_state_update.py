"""A model with a newer state of the fighters: what is renewed, what stays to the bit, and which logs are refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from engine.data.fight_log import FightLog
from engine.data.fighter_snapshot import FighterSnapshot
from engine.data.snapshot_digest import identify_snapshot
from engine.ensemble import ProductionEnsembleManager, create_production_ensemble_config
from engine.errors import BundleCorruptError, ValidationError
from engine.model.bundle import Bundle, open_bundle
from engine.model.derived_bundle import derive_bundle, origin_of
from engine.model.state_update import renew_state
from engine.model.trained_ensemble import RENEWABLE_FOLDERS, Ensemble, load_ensemble
from ledger.contracts.job_reports.update_report import StateDifference
from ledger.models.update_gate import PAST_TOLERANCE, decide_update
from tests.support.small_models import NEWER, past_log, small_league, trained_on_the_past

pytestmark = pytest.mark.slow  # they share a training


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return trained_on_the_past(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def ensemble(base: Bundle) -> Ensemble:
    return load_ensemble(base)


@pytest.fixture(scope="module")
def log() -> FightLog:
    return small_league().log


def derive(base: Bundle, log: FightLog, folder: Path) -> Bundle:
    ensemble = load_ensemble(base)
    return derive_bundle(folder, base, replace(ensemble, snapshot=renew_state(ensemble, log).snapshot), log.digest())


def test_the_state_is_renewed_and_nothing_else(base: Bundle, log: FightLog, tmp_path: Path) -> None:
    derived = derive(base, log, tmp_path)
    kept = [name for name in base.array_names if name.partition("/")[0] != "snapshot"]
    assert [name for name in derived.array_names if name.partition("/")[0] != "snapshot"] == kept
    for name in kept:
        assert np.array_equal(derived.array(name), base.array(name), equal_nan=True), name
    ensemble = load_ensemble(derived)
    assert ensemble.state == identify_snapshot(FighterSnapshot.from_log(log))
    assert derived.manifest["state"] == {"digest": ensemble.state.digest, "cutoff": str(log.data_cutoff)}
    assert derived.manifest["data"] == base.manifest["data"]  # the members have seen nothing more
    manager = ProductionEnsembleManager.from_ensemble(ensemble, create_production_ensemble_config(bootstrap_samples=0))
    assert manager.check_reference_predictions() == 0.0


def test_an_update_of_an_update_names_its_base_and_the_trained_model(
    base: Bundle, log: FightLog, tmp_path: Path
) -> None:
    middle = log.before(NEWER + timedelta(days=30))
    first = derive(base, middle, tmp_path)
    second = derive(first, log, tmp_path)
    assert second.manifest["derived"]["base"] == first.digest
    assert origin_of(second.digest, second.manifest) == origin_of(first.digest, first.manifest) == base.digest
    assert origin_of(base.digest, base.manifest) == base.digest
    at_once = derive(base, log, tmp_path)
    assert at_once.manifest["state"] == second.manifest["state"]  # the same log, the same state, by whatever way


def test_the_same_update_is_the_same_bundle_and_old_bundles_have_a_state_too(
    base: Bundle, log: FightLog, tmp_path: Path
) -> None:
    assert derive(base, log, tmp_path / "a").digest == derive(base, log, tmp_path / "b").digest
    ensemble = load_ensemble(base)
    ensemble.manifest.pop("state")
    assert ensemble.state == identify_snapshot(FighterSnapshot.from_log(past_log()))


def test_a_derived_bundle_needs_no_base(base: Bundle, log: FightLog, tmp_path: Path) -> None:
    copy = open_bundle(Path(shutil.copytree(base.folder, tmp_path / base.digest)))
    derived = derive(copy, log, tmp_path / "derived")
    shutil.rmtree(copy.folder)  # as a garbage collection does once nothing names the base
    manager = ProductionEnsembleManager(create_production_ensemble_config(bootstrap_samples=0))
    manager.load_models(derived.folder)
    assert manager.check_reference_predictions() == 0.0


def test_a_state_that_was_changed_on_the_disk_is_found(base: Bundle, log: FightLog, tmp_path: Path) -> None:
    derived = derive(base, log, tmp_path)
    path = derived.folder / "snapshot" / "state.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleCorruptError, match=r"snapshot/state\.npy was changed"):
        open_bundle(derived.folder)


def test_the_figures_count_what_is_new(ensemble: Ensemble, log: FightLog) -> None:
    update = renew_state(ensemble, log)
    past = past_log()
    assert update.new_fights == len(log.fights) - len(past.fights)
    fought = {*log.fights["red_id"], *log.fights["blue_id"]}
    assert update.new_fighters == len(fought - set(past.fighters["fighter_id"])) > 0
    assert (update.corrected_fighters, update.past.largest) == (0, 0.0)
    assert update.past.pairs == update.change.pairs > 150
    assert 0.0 < update.change.mean < update.change.largest
    assert verdict_of(update.past, update.change) == ()


def test_a_log_without_a_later_fight_changes_nothing(ensemble: Ensemble, base: Bundle) -> None:
    update = renew_state(ensemble, past_log())
    assert update.state == update.base_state == ensemble.state
    assert (update.new_fights, update.change.largest) == (0, 0.0)


def test_a_log_that_ends_before_the_state_is_refused(ensemble: Ensemble, log: FightLog) -> None:
    with pytest.raises(ValidationError, match=r"ends on 2025-09-.*up to 2025-10-.*continues after that day"):
        renew_state(ensemble, log.before(NEWER - timedelta(days=35)))


def test_a_log_that_begins_after_the_state_is_refused(ensemble: Ensemble, log: FightLog) -> None:
    fights = log.fights[log.fights["date"] >= str(NEWER)]
    lines = log.stat_lines[log.stat_lines["fight_id"].isin(fights["fight_id"])]
    with pytest.raises(ValidationError, match=r"begins on 2025-11-.*give the complete log"):
        renew_state(ensemble, FightLog(fights, lines, log.fighters))


def test_a_log_that_lacks_a_known_fight_is_refused_and_the_fighters_named(ensemble: Ensemble, log: FightLog) -> None:
    gone = log.fights.iloc[10]
    names = dict(zip(log.fighters["fighter_id"], log.fighters["name"], strict=True))
    fights = log.fights[log.fights["fight_id"] != gone["fight_id"]]
    lines = log.stat_lines[log.stat_lines["fight_id"] != gone["fight_id"]]
    with pytest.raises(ValidationError, match=r"lacks fights up to .* of 2 fighters") as refused:
        renew_state(ensemble, FightLog(fights, lines, log.fighters))
    assert names[gone["red_id"]] in str(refused.value)
    assert names[gone["blue_id"]] in str(refused.value)


def test_a_corrected_past_is_counted_and_is_not_promoted_if_it_moves_an_answer(
    ensemble: Ensemble, log: FightLog
) -> None:
    fighters = log.fighters.copy()
    fighters.loc[fighters["fighter_id"] == log.fights["red_id"].iloc[0], "height_cm"] += 1.0
    small = renew_state(ensemble, FightLog(log.fights, log.stat_lines, fighters))
    assert small.corrected_fighters == 1
    fights = log.fights.copy()
    turned = fights.index[:300]
    fights.loc[turned, "winner"] = fights.loc[turned, "winner"].map({"red": "blue", "blue": "red"}).fillna("draw")
    fights["announced_winner"] = ""
    large = renew_state(ensemble, FightLog(fights, log.stat_lines, log.fighters))
    assert large.corrected_fighters > 100
    assert large.past.largest > PAST_TOLERANCE
    assert verdict_of(large.past, large.change)[0] == "past_answers_differ"


def test_a_model_without_a_state_is_refused(ensemble: Ensemble, log: FightLog) -> None:
    with pytest.raises(ValidationError, match=r"no fighters' state.*train on a fight log"):
        renew_state(replace(ensemble, snapshot=None), log)


def test_members_are_in_no_renewable_folder() -> None:
    assert not {"random_forest", "xgboost", "neural_network", "cuts", "market"} & set(RENEWABLE_FOLDERS)


def verdict_of(past: object, change: object) -> tuple[str, ...]:
    wire = [
        StateDifference(pairs=each.pairs, mean=each.mean, largest=each.largest)  # type: ignore[attr-defined]
        for each in (past, change)
    ]
    return tuple(reason.code for reason in decide_update(*wire).reasons)
