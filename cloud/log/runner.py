"""Runs a group until it is committed: again where it met others, without a work that spoils it for all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import DBAPIError

from cloud.errors import Reason, ServiceError
from cloud.log.entry import Waiting
from cloud.log.group import BehindError, FenceError, Group, SpoiledError, Terms, run_group
from cloud.log.view import LogInconsistentError, View, advance_view
from cloud.store import log as rows
from cloud.store.database import Store
from cloud.store.faults import may_run_again
from cloud.store.retries import Retries
from cloud.telemetry.metrics import Metrics

_CAUSES = {"40001": "serialization", "40P01": "deadlock", "55P03": "busy"}


@dataclass(slots=True)
class Outcome:
    """What became of each work: ``answers``, ``failed``, or ``again`` in a later group, these in order.

    ``view`` is what may be published now; with ``fault``, nothing may be appended any more.
    """

    view: View
    answers: list[tuple[Waiting[Any], Any]] = field(default_factory=list)
    failed: list[tuple[Waiting[Any], Exception]] = field(default_factory=list)
    again: list[Waiting[Any]] = field(default_factory=list)
    leaves: int = 0
    fault: LogInconsistentError | None = None


class GroupRunner:
    """For one thread."""

    def __init__(self, store: Store, terms: Terms, retries: Retries, metrics: Metrics | None) -> None:
        self._store = store
        self._terms = terms
        self._retries = retries
        self._metrics = metrics

    def commit(self, works: list[Waiting[Any]], view: View) -> Outcome:
        """Run the works from the published ``view`` on; what has an answer is durable on return."""
        outcome = Outcome(view)
        pauses = self._retries.pauses()
        while works:
            try:
                self._try(works, outcome)
            except SpoiledError as spoiled:
                works = _set_apart(works, spoiled, outcome)
            except LogInconsistentError as fault:
                outcome.fault = fault
                _fail(works, fault, outcome)
                break
            except _MetOthersError as met:
                pause = next(pauses, None)
                if pause is None:
                    busy = ServiceError(Reason.STORE_UNAVAILABLE, "The database is too busy for this change.")
                    _fail(works, busy, outcome)
                    break
                if self._metrics:
                    self._metrics.retried(met.cause)
                self._retries.sleep(pause)
            except Exception as error:
                _fail(works, error, outcome)
                break
            else:
                break
        return outcome

    def catch_up(self, view: View) -> View:
        """The view at the head that is committed now.

        Raises:
            LogInconsistentError: the log is no more the one that ``view`` shows.
        """
        with self._store.reading() as connection:
            return advance_view(connection, view, rows.get_head(connection), self._terms.signer)

    def _try(self, works: list[Waiting[Any]], outcome: Outcome) -> None:
        committing = False
        try:
            with self._store.writing() as connection:
                group = run_group(connection, works, view=outcome.view, terms=self._terms)
                committing = True
        except BehindError:
            outcome.view = self.catch_up(outcome.view)
            self._try(works, outcome)
        except FenceError as error:
            raise _MetOthersError("fence") from error
        except DBAPIError as error:
            if not may_run_again(error, committing=committing):
                raise
            raise _MetOthersError(_CAUSES.get(getattr(error.orig, "sqlstate", None) or "", "busy")) from error
        else:
            _take(group, outcome)


class _MetOthersError(Exception):
    """The same group may succeed in a new transaction."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


def _take(group: Group, outcome: Outcome) -> None:
    outcome.view = group.view
    outcome.answers = group.answers
    outcome.failed += group.failed
    outcome.again += group.left
    outcome.leaves = group.leaves


def _set_apart(works: list[Waiting[Any]], spoiled: SpoiledError, outcome: Outcome) -> list[Waiting[Any]]:
    """The works without the one that spoiled them, which has a group of its own next, or has had it.

    Also one that was alone has: what was in its way may have come from another server.
    """
    one = spoiled.waiting
    if one.apart:
        outcome.failed.append((one, spoiled.cause))
    else:
        one.apart = True
        outcome.again.append(one)
    return [work for work in works if work is not one]


def _fail(works: list[Waiting[Any]], error: Exception, outcome: Outcome) -> None:
    outcome.failed += [(work, error) for work in works]
