"""Derived bundles: a model with a newer state of the fighters, without a training.

A derived bundle is complete. The arrays that a training learnt are copied from its base; the fighter snapshot is new,
and after a re-anchoring the half-widths, the calibration and the reference predictions are new too. So one digest still
names all that decides an answer. The manifest's entry `derived` names the base, and what was renewed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.errors import BundleCorruptError
from engine.model.bundle import Bundle, write_bundle
from engine.model.trained_ensemble import (
    RENEWABLE_FOLDERS,
    Ensemble,
    load_ensemble,
    renewable_arrays,
    renewable_entries,
)


def derive_bundle(
    parent: Path, base: Bundle, renewed: Ensemble, log_digest: str, *, reanchored: bool = False
) -> Bundle:
    """Write a bundle of the members of `base` with the renewable parts of `renewed`, and prove it.

    Parameters
    ----------
    parent
        Folder for the bundle.
    base
        The bundle that the members come from.
    renewed
        The base's ensemble with a newer snapshot, and after a re-anchoring with new half-widths, calibration and
        reference predictions.
    log_digest
        Digest of the fight log that the new parts come from.
    reanchored
        Whether more than the snapshot is new.

    Raises
    ------
    BundleCorruptError
        If the new bundle, read again, is not `renewed`.
    """
    kept = {name: base.array(name) for name in base.array_names if name.partition("/")[0] not in RENEWABLE_FOLDERS}
    derived: dict[str, Any] = {
        "base": base.digest,
        "log": log_digest,
        "renewed": ["state", "anchoring"] if reanchored else ["state"],
    }
    if not reanchored:
        derived["origin"] = origin_of(base.digest, base.manifest)
    manifest = base.manifest | renewed.manifest | renewable_entries(renewed)
    bundle = write_bundle(parent, kept | renewable_arrays(renewed), manifest | {"derived": derived})
    if load_ensemble(bundle).state != renewed.state:
        raise BundleCorruptError(f"{bundle.folder} does not hold the state that was written: check the disk")
    return bundle


def origin_of(digest: str, manifest: dict[str, Any]) -> str:
    """Return the model that was trained or re-anchored last: the one whose members and anchoring this model has.

    It is the model itself unless its state alone was renewed.
    """
    return str(manifest.get("derived", {}).get("origin", digest))
