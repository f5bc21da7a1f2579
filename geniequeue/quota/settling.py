"""Bring the records in line with the units in Redis, in the background: no request and no job waits for that.

A unit whose job ended is written or deleted at once. One that is still reserved after a minute is kept where its run
was accepted; where there is none, the request died or was refused, and the unit is given back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from geniequeue.errors import (
    MalformedSource,
    RecordForbidden,
    RecordNotUnique,
    RecordsError,
    RecordsUnavailable,
    ServiceTokenRefused,
)
from geniequeue.log import get_logger
from geniequeue.quota.billing import Cycle
from geniequeue.quota.budget import unhurried
from geniequeue.quota.source import AT_ONCE, Source
from geniequeue.quota.units import Noted, Units
from geniequeue.quota.verdict import Unit

log = get_logger(__name__)


@dataclass(frozen=True)
class Decided:
    """A unit whose row is to be made to fit.

    Attributes:
        noted: as it was read.
        unit: `used` or `returned`.
        cycle: the billing cycle it counts in.
    """

    noted: Noted
    unit: Unit
    cycle: Cycle


class Settler:
    """Writes and deletes rows.

    Args:
        units: in Redis.
        source: the records.
    """

    def __init__(self, units: Units, source: Source) -> None:
        self._units = units
        self._source = source

    def settle(self) -> int:
        """Settle every unit that is due; return how many rows fit now.

        Raises:
            RecordForbidden, ServiceTokenRefused: the service is not let in; `is_rejected` says so until it is.
            RecordsUnavailable: the records do not answer. What is not settled stays due.
        """
        settled = 0
        try:
            self._look_whether_let_in()
            while noted := self._units.due(AT_ONCE):
                settled += self._settle(noted)
                if len(noted) < AT_ONCE:
                    break
        except (RecordForbidden, ServiceTokenRefused):
            self._units.set_rejected(True)
            raise
        return settled

    def _look_whether_let_in(self) -> None:
        """Lower the flag of a refused service where it is let in again."""
        if self._units.is_rejected():
            self._source.check()
            self._units.set_rejected(False)

    def _settle(self, batch: Sequence[Noted]) -> int:
        accepted = self._source.accepted([each.unit.id for each in batch if each.unit.state == "reserved"])
        decided = list(self._decided(batch, accepted))
        written = self._written([each for each in decided if each.unit.counts])
        erased = self._erased([each for each in decided if not each.unit.counts])
        # each is told as soon as its row was touched, so that none is left untold where the next one fails
        return sum(self._units.settled(each.noted, each.unit, each.cycle) for each in chain(written, erased))

    def _decided(self, batch: Sequence[Noted], accepted: Collection[str]) -> Iterator[Decided]:
        """Say what becomes of each unit, and in which cycle."""
        for noted in batch:
            unit = noted.unit
            if unit.state == "reserved":
                unit = replace(unit, state="used" if unit.id in accepted else "returned")
                if not unit.counts:
                    log.info("unit of a job that was not accepted given back", unit_id=unit.id, user_id=unit.user_id)
            try:
                yield Decided(noted, unit, unit.cycle or self._source.plan(unit, unhurried).cycle)
            except MalformedSource as error:
                self._put_off(unit, error)

    def _written(self, used: Sequence[Decided]) -> Iterator[Decided]:
        """Write rows at once, or one by one where some are there already or cannot be."""
        if not used:
            return
        try:
            self._source.write([(each.unit, each.cycle) for each in used])
        except (RecordsUnavailable, RecordForbidden):
            raise
        except RecordsError:
            yield from (each for each in used if self._is_written(each))
        else:
            yield from used

    def _is_written(self, used: Decided) -> bool:
        try:
            self._source.write([(used.unit, used.cycle)])
        except RecordNotUnique:
            return True
        except (RecordsUnavailable, RecordForbidden):
            raise
        except RecordsError as error:
            self._put_off(used.unit, error)
            return False
        return True

    def _erased(self, returned: Sequence[Decided]) -> Iterator[Decided]:
        """Delete the rows that are there."""
        counted = self._source.counted([each.unit.id for each in returned])
        for each in returned:
            if each.unit.id in counted:
                self._source.erase(each.unit.id)
            yield each

    def _put_off(self, unit: Unit, error: RecordsError) -> None:
        log.warning("unit cannot be counted", unit_id=unit.id, user_id=unit.user_id, error=str(error))
        self._units.put_off(unit)
