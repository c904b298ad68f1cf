"""Cards by the day of their event, and the answers that each has had: all jobs of one card, newest first.

Of two jobs of one millisecond the one that superseded the other is the newer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from msgspec import Struct

from ledger.archive.records import with_archived
from ledger.contracts.job_state import JobState, Outcome
from ledger.jobs.outcome_reader import OutcomeReader
from ledger.jobs.outcome_records import UnreadableOutcomeError
from ledger.server.base_server import to_datetime
from ledger.server.server import Server

MAX_CARDS = 200
MAX_ANSWERS = 1_000
_NEWEST = 5
"""How many of a card's newest jobs a list of cards looks at to find one with a report."""
_FIELDS = ("state", "submitted", "superseded_by")


class ListedCard(Struct, frozen=True, kw_only=True):
    """A card, the start of its event as its newest job has it, and the number of its jobs."""

    card_id: str
    event_start: datetime
    jobs: int


class CardAnswer(Struct, frozen=True, kw_only=True):
    """One job of a card, and its outcome if it has one.

    `unreadable` is why this version cannot read an outcome that a newer one wrote. `superseded_by` is the newer job
    that replaced this one.
    """

    job_id: str
    state: JobState
    submitted_at: datetime
    outcome: Outcome | None = None
    unreadable: str | None = None
    superseded_by: str | None = None

    @property
    def has_report(self) -> bool:
        """True if the job was answered."""
        return self.outcome is not None and self.outcome.report is not None


class CardAnswers:
    """Cards and their answers, read from the index that submitting keeps. A card is listed while it has a job."""

    def __init__(self, server: Server, outcomes: OutcomeReader) -> None:
        self._server = server
        self._outcomes = outcomes

    def upcoming(self, since: datetime, *, limit: int = 50, offset: int = 0) -> list[ListedCard]:
        """Return the cards whose event starts at `since` or later, the earliest first."""
        score = _milliseconds(since)
        return self._listed("ZRANGEBYSCORE", score, "+inf", limit, offset)

    def past(self, until: datetime, *, limit: int = 50, offset: int = 0) -> list[ListedCard]:
        """Return the cards whose event started before `until`, the latest first."""
        return self._listed("ZREVRANGEBYSCORE", f"({_milliseconds(until)}", "-inf", limit, offset)

    def newest(self, card_ids: Sequence[str]) -> list[list[CardAnswer]]:
        """Return for each card its newest job, and the newest with a report if that is another and not far back."""
        ids = self._newest_ids(card_ids)
        flat = [job_id for each in ids for job_id in each]
        records = dict(zip(flat, self._records(flat), strict=True))
        wanted = [_wanted(each, records) for each in ids]
        answers = {answer.job_id: answer for answer in self._read([job_id for each in wanted for job_id in each])}
        return [[answers[job_id] for job_id in each if job_id in answers] for each in wanted]

    def of_card(self, card_id: str, *, limit: int = 100) -> list[CardAnswer]:
        """Return the jobs of a card, newest first, at most `limit` and MAX_ANSWERS."""
        last = min(limit, MAX_ANSWERS) - 1
        ids = self._server.execute("ZREVRANGE", self._index(card_id), 0, last)
        answers = self._read([job_id.decode() for job_id in ids])
        return sorted(answers, key=lambda answer: (answer.submitted_at, answer.superseded_by is None), reverse=True)

    def count(self, card_id: str) -> int:
        """Return the number of the jobs of a card."""
        return int(self._server.execute("ZCARD", self._index(card_id)))

    def event_start(self, card_id: str) -> datetime | None:
        """Return when the event of a card starts, None if the card is not listed."""
        score = self._server.execute("ZSCORE", self._server.key("index", "cards"), card_id)
        return None if score is None else to_datetime(float(score))

    def _listed(self, command: str, first: object, last: object, limit: int, offset: int) -> list[ListedCard]:
        found = self._server.execute(
            command,
            self._server.key("index", "cards"),
            first,
            last,
            "WITHSCORES",
            "LIMIT",
            offset,
            min(limit, MAX_CARDS),
        )
        pairs = [(name.decode(), float(score)) for name, score in zip(found[::2], found[1::2], strict=True)]
        counts = self._server.transaction(*(("ZCARD", self._index(name)) for name, _ in pairs)) if pairs else []
        return [
            ListedCard(card_id=name, event_start=to_datetime(score), jobs=int(count))
            for (name, score), count in zip(pairs, counts, strict=True)
        ]

    def _newest_ids(self, card_ids: Sequence[str]) -> list[list[str]]:
        if not card_ids:
            return []
        replies = self._server.transaction(*(("ZREVRANGE", self._index(name), 0, _NEWEST - 1) for name in card_ids))
        return [[job_id.decode() for job_id in reply] for reply in replies]

    def _records(self, job_ids: Sequence[str]) -> list[list[bytes | None]]:
        if not job_ids:
            return []
        records = self._server.transaction(
            *(("HMGET", self._server.key("job", job_id), *_FIELDS) for job_id in job_ids)
        )
        return self._server.run(with_archived(self._server, job_ids, _FIELDS, records, leave=True))

    def _read(self, job_ids: Sequence[str]) -> list[CardAnswer]:
        """Read jobs; those whose record has expired are left out, and those in an archive that cannot be read."""
        if not job_ids:
            return []
        records = self._records(job_ids)
        answers = []
        outcomes = self._outcomes.outcomes(job_ids)
        for job_id, outcome, (state, submitted, superseded_by) in zip(job_ids, outcomes, records, strict=True):
            if state is None or submitted is None:
                continue
            unreadable = outcome.reason if isinstance(outcome, UnreadableOutcomeError) else None
            answers.append(
                CardAnswer(
                    job_id=job_id,
                    state=JobState(state.decode()),
                    submitted_at=to_datetime(submitted),
                    outcome=None if isinstance(outcome, UnreadableOutcomeError) else outcome,
                    unreadable=unreadable,
                    superseded_by=superseded_by.decode() if superseded_by else None,
                )
            )
        return answers

    def _index(self, card_id: str) -> str:
        return self._server.key("index", "card", card_id)


def _wanted(job_ids: Sequence[str], records: Mapping[str, Sequence[bytes | None]]) -> list[str]:
    """Return the newest job of a card, and the newest that succeeded."""

    def age(job_id: str) -> tuple[int, bool]:
        _, submitted, superseded_by = records[job_id]
        return int(submitted or 0), not superseded_by

    known = sorted((job_id for job_id in job_ids if records[job_id][0] is not None), key=age, reverse=True)
    succeeded = [job_id for job_id in known if records[job_id][0] == b"succeeded"]
    return list(dict.fromkeys([*known[:1], *succeeded[:1]]))


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
