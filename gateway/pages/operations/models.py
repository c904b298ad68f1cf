"""Pages of models: what each alias points to and on what evidence, with forms that promote and roll back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from litestar import Request, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Response
from msgspec import Struct

from gateway.pages.forms import form_route
from gateway.pages.operations.fields import Fields, optional, reason_of, required
from gateway.pages.rendering import redirect, render
from gateway.problems import ProblemError
from gateway.security.caller import Caller, Role
from ledger.contracts.failures import JobRefusedError, LedgerError
from ledger.contracts.job_reports.judgement_report import JudgementReport
from ledger.contracts.job_state import JobState
from ledger.jobs.job_index import JobQuery
from ledger.ledger import Ledger
from ledger.models.aliases import CHAMPION, MAX_MOVES, alias_stack
from ledger.operations.control_store import ControlChange
from producer.operations.evaluations import stored_evaluation
from producer.output.model_tables import SHOWN_IN_LIST, flatten, how_moved
from producer.output.table_parts import NOTHING

PATH = "/operations/models"
SHOWN_MOVES = 10
SHOWN_EVALUATIONS = 20


class ShownMove(Struct, frozen=True):
    """A move of an alias, how it came about, and what its evidence says."""

    change: ControlChange
    how: str
    judgement: str | None
    findings: Sequence[str]


class ShownAlias(Struct, frozen=True):
    """An alias, the models that it can go back to (the previous one first), and its last moves."""

    name: str
    digest: str
    earlier: Sequence[str]
    moves: Sequence[ShownMove]


class ShownEvaluation(Struct, frozen=True):
    """An evaluation that has ended with a report."""

    job_id: str
    challenger: str
    champion: str | None
    promote: bool
    tries: int
    findings: Sequence[str]


@get(PATH, opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_models(request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger]) -> Response[bytes]:
    """Return the page of the aliases and the models."""
    models = ledger.models.all()
    targets = {alias: model["digest"] for model in models for alias in model["aliases"]}
    return render(
        request,
        "operations/models.html",
        section="operations",
        page="models",
        aliases=[_alias(ledger, name, digest) for name, digest in sorted(targets.items(), key=_champion_first)],
        models=models,
        facts=list(SHOWN_IN_LIST.values()),
        figures={model["digest"]: _figures(model["summary"]) for model in models},
        evaluations=_evaluations(ledger),
        alarms=ledger.drift_alarms.active(),
    )


@get(f"{PATH}/{{name:str}}", opt={"role": Role.OPERATOR}, sync_to_thread=True, include_in_schema=False)
def get_model(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: FromPath[str]
) -> Response[bytes]:
    """Return the page of one model. Raises ProblemError (404)."""
    try:
        model = ledger.models.find(name)
    except JobRefusedError as error:
        raise ProblemError(404, error.failure.message) from None
    digest = model["digest"]
    moves = [change for change in ledger.aliases.all_histories(MAX_MOVES) if digest in (change.before, change.after)]
    return render(
        request,
        "operations/model.html",
        section="operations",
        page="models",
        model=model,
        facts=flatten(model["summary"]),
        moves=[_move(change) for change in moves],
    )


@post(f"{PATH}/{{alias:str}}/promote", sync_to_thread=True, **form_route(Role.OPERATOR))
def promote_model(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], alias: FromPath[str], data: Fields
) -> Redirect:
    """Point an alias to a model if the chosen evaluation allows it, or by force."""
    judgement = optional(data, "judgement")
    evaluation = None if judgement is None else stored_evaluation(ledger, judgement)
    model = optional(data, "model")
    if model is None and evaluation is None:
        raise ProblemError(422, "choose an evaluation, or name a model and force it: nothing was changed")
    ledger.promotions.promote(
        alias,
        ledger.models.find(model)["digest"] if model else evaluation[0].challenger if evaluation else "",
        evaluation,
        force=optional(data, "force") is not None,
        expected=optional(data, "expected"),
        verify=ledger.verification.verify_model,
        user=request.user.name,
        reason=reason_of(data),
    )
    return redirect(PATH)


@post(f"{PATH}/{{alias:str}}/rollback", sync_to_thread=True, **form_route(Role.OPERATOR))
def roll_back_model(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], alias: FromPath[str], data: Fields
) -> Redirect:
    """Point an alias to one of its earlier models."""
    ledger.aliases.roll_back(
        alias,
        verify=ledger.verification.verify_model,
        to=optional(data, "to"),
        expected=required(data, "expected"),
        user=request.user.name,
        reason=reason_of(data),
    )
    return redirect(PATH)


@post(f"{PATH}/{{name:str}}/clear-alarm", sync_to_thread=True, **form_route(Role.OPERATOR))
def clear_alarm(
    request: Request[Caller, Any, Any], ledger: NamedDependency[Ledger], name: FromPath[str], data: Fields
) -> Redirect:
    """Clear the drift alarm of a model."""
    digest = ledger.models.origin(ledger.models.find(name)["digest"])
    ledger.drift_alarms.clear(digest, user=request.user.name, reason=reason_of(data))
    return redirect(PATH)


def _alias(ledger: Ledger, name: str, digest: str) -> ShownAlias:
    moves = ledger.aliases.history(name, MAX_MOVES)
    earlier = alias_stack(reversed(moves))[:-1]
    return ShownAlias(
        name, digest, list(dict.fromkeys(reversed(earlier))), [_move(change) for change in moves[:SHOWN_MOVES]]
    )


def _champion_first(entry: tuple[str, str]) -> tuple[bool, str]:
    return entry[0] != CHAMPION, entry[0]


def _move(change: ControlChange) -> ShownMove:
    evidence = change.evidence or {}
    judgement = evidence.get("judgement")
    report = evidence.get("report")
    findings = _findings(report) if isinstance(report, dict) and "paired" in report else []
    return ShownMove(change, how_moved(change), str(judgement) if judgement else None, findings)


def _evaluations(ledger: Ledger) -> list[ShownEvaluation]:
    """Return the last evaluations with a report."""
    query = JobQuery(states=(JobState.SUCCEEDED,), kinds=("judge_models",))
    found = []
    for job in ledger.job_index.page(query, limit=SHOWN_EVALUATIONS).jobs:
        try:
            report = stored_evaluation(ledger, job.job_id)[1].report
        except LedgerError:  # its retention has just ended, or a newer version wrote it
            continue
        if isinstance(report, JudgementReport):
            reasons = [reason.message for reason in report.verdict.reasons]
            differences: dict[str, tuple[float, float | None, float | None]] = {
                each.against: (each.log_loss.value, each.log_loss.lower, each.log_loss.upper) for each in report.paired
            }
            found.append(
                ShownEvaluation(
                    job.job_id,
                    report.challenger,
                    report.champion,
                    report.verdict.promote,
                    report.tries,
                    [*_differences(differences), f"{report.fights:,} fights of {report.events:,} events", *reasons],
                )
            )
    return found


def _findings(report: Mapping[str, Any]) -> list[str]:
    """Return what the report of an evaluation says, from the evidence of a move."""
    paired = {each["against"]: each["log_loss"] for each in report["paired"]}
    differences = {name: (each["value"], each.get("lower"), each.get("upper")) for name, each in paired.items()}
    reasons = [reason["message"] for reason in report.get("verdict", {}).get("reasons", ())]
    return [*_differences(differences), f"{report['fights']:,} fights of {report['events']:,} events", *reasons]


def _differences(found: Mapping[str, tuple[float, float | None, float | None]]) -> list[str]:
    """Return a sentence for each paired difference of the log loss; lower is better for the challenger."""
    return [
        f"log loss {value:+.4f} against the {against.replace('_', ' ')}"
        + ("" if lower is None or upper is None else f" (95% interval {lower:+.4f} to {upper:+.4f})")
        for against, (value, lower, upper) in found.items()
    ]


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    facts = flatten(summary)
    return {title: facts.get(name, NOTHING) for name, title in SHOWN_IN_LIST.items()}


ROUTES = (get_models, get_model, promote_model, roll_back_model, clear_alarm)
