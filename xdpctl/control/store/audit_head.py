# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log's signed head: stored in a separate file and, hourly, in the system's log.

The hash chain alone cannot show that records at the end were removed, or that the whole log was
rewritten. The head can: it names the newest record, and is signed with the host's key.
"""

import json
import logging
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from xdpctl.base.periodic import PeriodicTask
from xdpctl.base.system.owned_folder import read_file, replace_file
from xdpctl.base.system.sign_in_child import sign_in_child
from xdpctl.control.store import audit
from xdpctl.control.store.port import Store
from xdpctl.errors import EvidenceError

_SECONDS = 60.0
_LOG_SECONDS = 3600.0
_BYTES_MAX = 4096
_PAGE = 5000
log = logging.getLogger("xdpctl.audit")


class AuditHead:
    """Signs the newest record once a minute, if there is a new one.

    `path` is the file of the head, `key` that of the host's signing key.
    """

    def __init__(self, store: Store, path: Path, key: Path) -> None:
        self._store, self._path, self._key = store, path, key
        self._signed = 0
        self._logged_at = -_LOG_SECONDS
        self._task = PeriodicTask(
            "audit head", _SECONDS, self.step, "the audit log's head was not signed"
        )

    def start(self) -> None:
        """Sign now, and then each minute."""
        self._task.start()

    def stop(self) -> None:
        """Sign the last record, and stop."""
        self._task.stop()
        try:
            self.step(time.monotonic())
        except (OSError, EvidenceError) as error:
            log.error("the audit log's last head was not signed: %s", error)

    def step(self, now: float) -> None:
        """Sign and keep the head if the log has grown."""
        last = self._store.last_audit()
        if last is None or json.loads(last)["sequence"] <= self._signed:
            return
        head = audit.head(last, time.time(), partial(sign_in_child, self._key))
        replace_file(self._path, head, 0o640)
        record = json.loads(head)
        self._signed = record["sequence"]
        if now - self._logged_at >= _LOG_SECONDS:
            self._logged_at = now
            log.info("audit log: record %d has the hash %s", self._signed, record["hash"])

    def verify(self, checkpoint: bytes | None) -> tuple[audit.Verdict, int | None]:
        """Check the whole log; return the verdict, and the number of the newest signed record.

        EvidenceError and OSError are reported as the problem of the verdict.
        """
        problem, known = None, {}
        try:
            if checkpoint:
                self._check("checkpoint", checkpoint)
            known = self._known()
        except (ValueError, OSError, EvidenceError) as error:
            problem = str(error)
        verdict = audit.verify(_records(self._store), checkpoint, known)
        if not verdict.problem:
            verdict = audit.Verdict(verdict.records, problem, verdict.last_hash)
        return verdict, max(known, default=None)

    def _known(self) -> dict[int, str]:
        try:
            head = read_file(self._path, _BYTES_MAX)
        except FileNotFoundError:
            if self._store.last_audit() is None:
                return {}
            raise EvidenceError(
                f"there is no signed head at {self._path}: the end of the log may be missing"
            ) from None
        return self._check("head", head)

    def _check(self, kind: str, raw: bytes) -> dict[int, str]:
        from xdpctl.base.system.signing_key import check_signature  # late: it is large

        try:
            statement, signed = audit.signed_part(raw, kind)
            check_signature(self._key, signed, statement)
        except (ValueError, EvidenceError) as error:
            raise EvidenceError(f"the {kind} was not signed by this box: {error}") from error
        return {statement["sequence"]: statement["hash"]}


def _records(store: Store) -> Iterator[bytes]:
    after = 0  # if the oldest records were pruned, the first page begins after them
    while page := store.audit(after, _PAGE):
        yield from page
        after = json.loads(page[-1])["sequence"]
