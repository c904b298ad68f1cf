"""The gate of a state update: may the updated model replace its base? A pure function of the report's figures.

The members of both models are the same, so there is nothing to test with statistics. What can go wrong is the log. An
update is not promoted in each of these cases:

- Fewer than MIN_KNOWN_PAIRS pairs of known fighters could be compared.
- The log gives another past: one known pair's answer from the state on the base's last day differs from the base's by
  more than PAST_TOLERANCE.
- The new fights move the answers further than results do: by more than MAX_MEAN_CHANGE on average.
- The model was re-anchored: its intervals are new, and the gate for challengers decides.

docs/decisions.md has the measurements behind the tolerances.
"""

from __future__ import annotations

from collections.abc import Iterator

from ledger.contracts.job_reports.update_report import StateDifference, UpdateReason, UpdateVerdict

MIN_KNOWN_PAIRS = 20
PAST_TOLERANCE = 0.02
MAX_MEAN_CHANGE = 0.1


def decide_update(past: StateDifference, change: StateDifference, *, reanchored: bool = False) -> UpdateVerdict:
    """Return the verdict on an update; `past` and `change` are those fields of its report."""
    reasons = tuple(_reasons(past, change, reanchored))
    return UpdateVerdict(promote=not reasons, reasons=reasons)


def _reasons(past: StateDifference, change: StateDifference, reanchored: bool) -> Iterator[UpdateReason]:
    if past.pairs < MIN_KNOWN_PAIRS:
        yield UpdateReason(
            code="too_few_known_pairs",
            message=f"only {past.pairs} pairs of known fighters could be compared, {MIN_KNOWN_PAIRS} are needed: check "
            "the names in the log",
        )
    if past.largest > PAST_TOLERANCE:
        yield UpdateReason(
            code="past_answers_differ",
            message=f"the log gives another past: an answer to a known pair differs by {past.largest:.4f}, and at most "
            f"{PAST_TOLERANCE:g} may come from corrections; compare the log with the one before",
        )
    if change.mean > MAX_MEAN_CHANGE:
        yield UpdateReason(
            code="answers_moved_far",
            message=f"the new fights move the answers to known pairs by {change.mean:.4f} on average, and at most "
            f"{MAX_MEAN_CHANGE:g} is plausible; check the new fights, or train a new model",
        )
    if reanchored:
        yield UpdateReason(
            code="intervals_renewed",
            message="the model was re-anchored, so its intervals and its slope are new: it is judged like any "
            "challenger, with `cornerman models promote`",
        )
