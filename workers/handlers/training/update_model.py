"""Handler of `UpdateModel`: a model of the same members with the fighters' state after a newer fight log.

If the job asks for it, the closing odds of the newer fights move half-widths and slope too. The bundle is written,
registered and verified in this worker, like a trained one. No alias is moved: the caller promotes the model by
compare-and-set from its base, if the report's verdict allows it (`ledger.models.promotions`), and a re-anchored one
like any challenger.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec

from engine.data.fight_log import FightLog, read_fight_log
from engine.errors import ValidationError
from engine.model.bundle import Bundle
from engine.model.derived_bundle import derive_bundle
from engine.model.state_update import renew_state
from engine.model.trained_ensemble import load_ensemble
from engine.training.reanchored_model import ReanchoredModel, reanchor_model
from ledger.contracts.job_reports.update_report import Anchoring, MovedLevel, StateDifference, UpdateReport
from ledger.contracts.jobs import UpdateModel
from ledger.models.update_gate import decide_update
from workers.handlers.training.model_publication import register_model
from workers.handlers.training.training_data import pin_data
from workers.jobs.context import JobContext
from workers.jobs.provenance import wire_state
from workers.jobs.retry import retry_until_available
from workers.models.verification import local_verifier

STEPS = 4


def update_model(job: UpdateModel, context: JobContext) -> UpdateReport:
    """Update a model, and register and verify the new one.

    Raises BundleError if the base cannot be opened, ValidationError if the log does not continue that of the base, and
    JobRefusedError if the new model does not reproduce its reference predictions.
    """
    store = context.store
    with store.writing():
        bundle, report = derive_model(job, context, store.folder)
    if report.changed:
        store.publish(bundle)
        register_model(context, bundle)
        retry_until_available(lambda: local_verifier(context.models)(bundle.digest))
    return report


def derive_model(job: UpdateModel, context: JobContext, parent: Path) -> tuple[Bundle, UpdateReport]:
    """Write the updated model below `parent`; return the base itself if the log brings nothing new. Raises as above."""
    job = pin_data(job)
    context.progress("reading", 0, STEPS)
    log = _read_log(job)
    base = context.store.open(context.models.resolve(job.base))
    context.progress("replaying fights", 1, STEPS)
    ensemble = load_ensemble(base)
    update = renew_state(ensemble, log)
    renewed, changed = replace(ensemble, snapshot=update.snapshot), update.state != update.base_state
    found: ReanchoredModel | None = None
    context.progress("re-anchoring" if job.reanchor else "comparing", 2, STEPS)
    if job.reanchor:
        found = reanchor_model(renewed, log)
        renewed, changed = found.ensemble, True
    context.progress("writing", 3, STEPS)
    log_digest = log.digest()
    bundle = derive_bundle(parent, base, renewed, log_digest, reanchored=found is not None) if changed else base
    past, change = (
        msgspec.convert(difference, StateDifference, from_attributes=True)
        for difference in (update.past, update.change)
    )
    return bundle, UpdateReport(
        model=bundle.digest,
        base=base.digest,
        changed=changed,
        data_digest=log_digest,
        state=wire_state(update.state),
        base_state=wire_state(update.base_state),
        new_fights=update.new_fights,
        new_fighters=update.new_fighters,
        corrected_fighters=update.corrected_fighters,
        past=past,
        change=change,
        verdict=decide_update(past, change, reanchored=found is not None),
        bundle_bytes=bundle.size_bytes,
        anchoring=None if found is None else _anchoring(found),
    )


def _anchoring(found: ReanchoredModel) -> Anchoring:
    return Anchoring(
        fights=found.fights,
        until=found.ensemble.last_seen_day,
        slope_factor=found.slope_factor,
        levels=msgspec.convert(found.levels, tuple[MovedLevel, ...], from_attributes=True),
    )


def _read_log(job: UpdateModel) -> FightLog:
    if job.matrix is not None:
        raise ValidationError(
            "a model is updated from a fight log, and this job names a feature matrix: give the folder of the fight "
            "log, or train a new model on the matrix"
        )
    log = read_fight_log(Path(job.data))
    return log if job.cutoff is None else log.before(job.cutoff)
