"""What was said, and what waits for a person's word: the log and the drafts."""

from __future__ import annotations

from runner.errors import NotFound
from runner.snapshot.opened import Opened
from runner.store import addresses, alerts, drafts, events
from runner.store.addresses import Address
from runner.store.alerts import Alert
from runner.store.drafts import Draft, DraftState
from runner.store.events import Event


class WrittenReads(Opened):
    """Rows written for a person."""

    def events(
        self,
        *,
        after: int | None = None,
        before: int | None = None,
        limit: int = 200,
        levels: tuple[str, ...] = (),
        job: str | None = None,
        text: str | None = None,
    ) -> tuple[Event, ...]:
        """The oldest events after an id, or else the newest, of those before an id when one is given; oldest first.

        `text`: only those with it in what is shown of them.
        """
        chosen = levels or (events.INFO, events.WARN, events.ERROR)
        with self.glance() as db:
            if after is not None:
                return tuple(events.after(db, after, limit=limit, levels=chosen, job=job, text=text))
            return tuple(events.newest(db, limit=limit, levels=chosen, job=job, before=before, text=text))

    def alerts(self, *, everything: bool = False, limit: int = 200) -> tuple[Alert, ...]:
        """Alerts that hold, and those not everybody was told of, the newest first; `everything`: all that are kept."""
        with self.reading() as db:
            return tuple(alerts.newest(db, limit=limit, everything=everything))

    def addresses(self) -> tuple[Address, ...]:
        """Where alerts go, by name, as far as any was tried."""
        with self.reading() as db:
            return tuple(addresses.all_of(db))

    def drafts(self, *, state: DraftState | None = None, limit: int = 200) -> tuple[Draft, ...]:
        """Actions written down for a person, those that wait first and the newest first."""
        with self.reading() as db:
            return tuple(drafts.newest(db, limit=limit, state=state))

    def draft(self, id: int) -> Draft:
        """One draft. Raises NotFound."""
        with self.reading() as db:
            found = drafts.get(db, id)
        if found is None:
            raise NotFound(f"there is no draft {id}; `afk-runner drafts --all` lists them")
        return found
