"""History of an alias for the promotion gate: the anchor, and the count of tries for a champion's place.

Each promotion may lose a little (`ledger.models.promotion_gate.LOG_LOSS_TOLERANCE`), and many of them a lot. So a
challenger is compared with the *anchor* as well: the last model of the sequence that was shown to be better than the
anchor before it. The first anchor is the model that the sequence began with, by a training, by hand or by force. A
promotion records the anchor in its evidence; after a rollback the anchor is that of the restored model.

Many tries would get a poor challenger past any test, so the error that a test may make is spread over the tries
(`ledger.models.promotion_gate.error_for_try`). A try is a comparison with a report; comparing the same models on the
same data again is the same try. Tries are counted for each alias and the model that it points to.

    <ns>:tries:<name>:<digest>    zset    comparisons of challengers with that model (digest of the job) by time
"""

from __future__ import annotations

import msgspec

from ledger.contracts import codec
from ledger.contracts.jobs import JudgeModels
from ledger.contracts.judgement_report import JudgementReport
from ledger.models.aliases import Aliases
from ledger.models.promotion_gate import INCUMBENTS
from ledger.server.server import Server

ANCHOR_KEY = "anchor"
"""Key of a promotion's evidence for the anchor of the next one."""
_MOST_CHANGES = 10_000


class Promotions:
    """History of an alias as far as the promotion gate needs it."""

    def __init__(self, server: Server, aliases: Aliases) -> None:
        self._server = server
        self._aliases = aliases

    def anchor(self, name: str, standing: str | None) -> str | None:
        """Return the anchor of an alias that points to the model `standing`; None if it points to none."""
        for change in self._aliases.history(name, _MOST_CHANGES):
            if change.after == standing and not change.rollback:
                return str((change.evidence or {}).get(ANCHOR_KEY, standing))
        return standing

    def count_try(self, name: str, job: JudgeModels) -> JudgeModels:
        """Count a comparison for the place of `job.champion`, and return the job with its number."""
        key, member = self._tries(name, job)
        *_, members = self._server.transaction(
            ("ZADD", key, "NX", self._server.time(), member),
            ("ZREVRANGE", key, 0, -1),
        )
        return msgspec.structs.replace(job, tries=len(members) - members.index(member.encode()))

    def uncount_try(self, name: str, job: JudgeModels) -> None:
        """Remove a comparison without a report from the count."""
        self._server.execute("ZREM", *self._tries(name, job))

    def _tries(self, name: str, job: JudgeModels) -> tuple[str, str]:
        content = codec.encode(msgspec.structs.replace(job, tries=1))
        return self._server.key("tries", name, job.champion or ""), codec.content_digest(content)


def next_anchor(report: JudgementReport) -> str:
    """Return the anchor after the promotion of a report's challenger: the challenger if it is shown to be better."""
    differences = {each.against: each for each in report.paired if each.against in INCUMBENTS}
    standing = report.anchor or report.champion
    held = differences.get("anchor") or differences.get("champion")
    if standing is None or held is None or (held.most is not None and held.most < 0.0):
        return report.challenger
    return standing
