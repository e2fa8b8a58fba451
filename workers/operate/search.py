"""Finding onboardings: page by page with filters, or by any of their ids. HTTP, console and CLI use it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipelines.keys import composed
from pipelines.lifecycle import Phase
from workers.ledger import Ledger, Listed, Lists, Read
from workers.ledger.import_store import ImportStore
from workers.secrets.vault import Vault

#: Records that one page looks at, at most: some 100 ms. With filters that fit few, a page may then be short.
SCANNED = 1_000


@dataclass(frozen=True, slots=True)
class Filters:
    """Which onboardings are wanted; None and nothing are all."""

    phase: Phase | None = None
    labels: tuple[tuple[str, str], ...] = ()
    external_id: str | None = None
    import_name: str | None = None

    def composed(self) -> Filters:
        """Return the same with every text in the form in which texts are stored."""
        labels = tuple((composed(name), composed(value)) for name, value in self.labels)
        external_id = None if self.external_id is None else composed(self.external_id)
        return replace(self, labels=labels, external_id=external_id)

    def fit(self, read: Read) -> bool:
        """Return whether a record is wanted as it is now."""
        record = read.record
        return (
            (self.phase is None or record.phase is self.phase)
            and (self.external_id is None or record.external_id == self.external_id)
            and (self.import_name is None or record.import_name == self.import_name)
            and dict(self.labels).items() <= record.labels.items()
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some of what is wanted, and the place behind which the rest is; None: there is no more."""

    reads: list[Read]
    following: Listed | None = None


def page(ledger: Ledger, filters: Filters, behind: Listed | None, limit: int) -> Page:
    """List onboardings, those longest in their phase first, or those of an import in the order of its rows.

    Whoever is there all the time is listed, whatever moves between two pages; one that changes its phase meanwhile
    comes again, as it is then. A page may be short, or empty, and not the last.
    """
    filters = filters.composed()
    if filters.external_id is not None:
        holders = Lists(ledger).holders([filters.external_id])
        return Page([read for read in ledger.read_many([key for key in holders if key]) if filters.fit(read)])
    wanted: list[Read] = []
    scanned = 0
    while scanned < SCANNED:
        entries = _entries(ledger, filters, behind, limit)
        if not entries:
            return Page(wanted)
        found = {read.record.key: read for read in ledger.read_many([entry.key for entry in entries])}
        for entry in entries:
            behind, read = entry, found.get(entry.key)
            if read is not None and filters.fit(read):
                wanted.append(read)
                if len(wanted) == limit:
                    return Page(wanted, behind)
        scanned += len(entries)
    return Page(wanted, behind)


def _entries(ledger: Ledger, filters: Filters, behind: Listed | None, limit: int) -> list[Listed]:
    if filters.import_name is not None:
        return ImportStore(ledger).listed_of_import(filters.import_name, behind, limit)
    return Lists(ledger).listed(behind, limit, [filters.phase] if filters.phase else list(Phase))


def find(ledger: Ledger, vault: Vault, text: str) -> list[Read]:
    """Return the onboardings that a text names: key, external id, e-mail address, Iron's id of the customer. Each once.

    Exact except for the case of an e-mail address and of Iron's ids, and for Unicode's forms. One that was corrected is
    found by what it had before, too. Addresses are compared by their keyed digests; nothing is decrypted.
    """
    found = {read.record.key: read for read in (*by_key(ledger, text), *by_email(ledger, vault, text))}
    return list(found.values())


def by_key(ledger: Ledger, text: str) -> list[Read]:
    """Return those that a key or an id names."""
    wanted = composed(text.strip())
    keys = [wanted, *Lists(ledger).holders([wanted]), *Lists(ledger).keys_of_customers([wanted, wanted.lower()])]
    return _read(ledger, keys)


def by_email(ledger: Ledger, vault: Vault, text: str) -> list[Read]:
    """Return those that an e-mail address names."""
    wanted = composed(text.strip())
    return _read(ledger, Lists(ledger).keys_of_emails(vault.email_digests(wanted))) if "@" in wanted else []


def _read(ledger: Ledger, keys: Iterable[str | None]) -> list[Read]:
    return ledger.read_many(list(dict.fromkeys(key for key in keys if key)))
