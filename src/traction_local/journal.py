"""A service whose state is in a SQLite file that processes share and that outlives them.

Theory of operation: state machine replication. `Service` is a function of the accepted (time, request) pairs in their
order, so the file contains those, numbered, and each process has a replica that has read up to some number. A request
that may change the state is handled inside a write transaction, of which SQLite allows one at a time: read what others
wrote, apply the request, append it, commit, and only then respond. A process that is killed leaves a whole entry or
none.

The replica changes by entries only; otherwise it would diverge from the others. A call that changed nothing (a fault,
an empty poll, a read) sets the clock back. Alarms that are due are an entry of their own, a *tick*, unless a request at
that time fires them; the immediate effects of a request belong to its entry. A request is applied as decoded from its
entry, so every replica applies the same. An exception half way, in SQLite or here, makes the replica invalid, and the
next call reads the file again from the start.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, TypeVar, get_args
from urllib.parse import quote

import msgspec

from traction.errors import BackendError, SerializationException, ServiceFault
from traction.model import operations as o
from traction.model.limits import SWF, Limits
from traction_local.service.knobs import Knobs, LambdaCall, LambdaOutcome
from traction_local.service.service import CHANGING, Service
from traction_local.service.state.environment import EPOCH
from traction_local.service.state.task_list import Ready

T = TypeVar("T")

Sync: TypeAlias = Literal["normal", "full"]
"""What the effect of a response survives: with `normal` the end of any process, with `full` a power cut too."""

FORMAT = 2
"""The format of the file. A release that reads or handles entries differently increases it."""

APPLICATION = 0x54726163
"""The application id of Traction's SQLite files: `Trac`."""

BUSY_SECONDS_MAX = 10.0
"""How long to wait for another process that writes. A transaction takes much less than a millisecond."""

_PAGES_PER_CHECKPOINT = 4_000
_TICK = "tick"
_MILLISECOND = timedelta(milliseconds=1)

_TABLES = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE journal (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, operation TEXT NOT NULL, request TEXT)",
)
_NEWER = "SELECT seq, at, operation, request FROM journal WHERE seq > ? ORDER BY seq"
_APPEND = "INSERT INTO journal VALUES (?, ?, ?, ?)"

_KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(o.Operation)}
_DECODE: dict[str, Callable[[str | bytes], Any]] = {
    name: msgspec.json.Decoder(kind).decode for name, kind in _KINDS.items()
}
_encode = msgspec.json.Encoder().encode


class JournalError(BackendError):
    """The file cannot be used as it is. Nothing was written to it."""


class JournalUnavailable(BackendError):
    """The file cannot be used now: it is locked, or the disk is full or fails. The call may have taken effect."""

    retryable = True


class JournaledService(Service):
    """A service whose state is in a file, shared with every other service that has the file open."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        seed: str = "",
        sync: Sync = "normal",
        group: bool = False,
        limits: Limits | None = None,
        knobs: Knobs | None = None,
        lambdas: Callable[[LambdaCall], LambdaOutcome] | None = None,
    ) -> None:
        """Open a file, or create it.

        Args:
            path: The file. Its directory must exist.
            seed: The seed of the ids, if the file is new.
            sync: What the effect of a response survives.
            group: Whether the caller calls `commit` before it returns any response. Then several calls are one
                transaction.
            limits: The quotas. They belong to the file: open it with the same ones each time.
            knobs: The behaviour that SWF does not document. They belong to the file too.
            lambdas: Runs Lambda functions. It must return the same for equal arguments in every process.

        Raises:
            JournalError: It is not a file of Traction's, or has another format. The text has a way out.
            JournalUnavailable: It is locked, or cannot be read now.
        """
        self.path = os.path.realpath(path)
        self._arguments: dict[str, Any] = {"limits": limits or SWF, "knobs": knobs or Knobs(), "lambdas": lambdas}
        self._sync = sync
        self._group = group
        self._closed = False
        self._failure: BackendError | None = None
        self._invalid = True
        self._db: sqlite3.Connection | None = None
        self._seq = 0
        self._inode = 0
        _check_place(self.path)
        try:
            self._arguments["seed"] = self._open(seed)
            super().__init__(**self._arguments)
            self._every_call_counts = self._region.limits.throttling
            self._refresh()
            self._region.closed.clear()
        except BaseException:
            self.close()
            raise

    def call(self, request: o.Request[T], now: datetime) -> T:
        """Handle a request, and return once its effect is in the file; see `Service.call`.

        Raises:
            ServiceFault: SWF's fault; the request changed nothing.
            JournalUnavailable: The request may have taken effect.
        """
        try:
            changes = self._every_call_counts or self._may_change(request)
            if not changes:
                self._refresh()
                changes = self._may_change(request) or self._is_due(now)
            response: T = self._write(request, now) if changes else self._read_only(request, now)
            return response
        finally:
            if self._closed and not self._group:
                self._disconnect()

    def advance(self, now: datetime) -> None:
        """Read what other processes wrote, and fire the alarms that are due."""
        try:
            self._refresh()
            if self._is_due(now):
                self._write(None, now)
        finally:
            if self._closed and not self._group:
                self._disconnect()

    def commit(self) -> None:
        """Write all calls since the last commit to the file.

        Raises:
            JournalUnavailable: Either none or all of them took effect. Their responses are invalid.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        try:
            if self._db is not None and self._db.in_transaction:
                with self._guard() as db:
                    _run(db, "COMMIT")
        finally:
            self._failure = None
            if self._closed:
                self._disconnect()

    def close(self) -> None:
        """Close the file. A later call, such as the response to a running task, opens it for that call."""
        self._closed = True
        self._disconnect()

    # The replica.

    def _read_only(self, request: o.Request[T], now: datetime) -> T:
        """Handle a request that cannot change the state, and restore the clock."""
        region = self._region
        before = region.clock
        try:
            return super().call(request, now)
        finally:
            region.clock = before

    def _may_change(self, request: Any) -> bool:
        kind = type(request)
        if kind is not o.PollForActivityTask and kind is not o.PollForDecisionTask:
            return kind in CHANGING
        try:
            if kind is o.PollForActivityTask:
                return self._count_waiting(Ready("activity", request.domain, request.task_list.name)) > 0
            if request.next_page_token is not None:
                return False
            return self._count_waiting(Ready("decision", request.domain, request.task_list.name)) > 0
        except (AttributeError, TypeError):
            # It is invalid: the service returns the fault.
            return False

    def _count_waiting(self, key: Ready) -> int:
        """Return how many tasks are in a queue, including those that cannot be assigned yet."""
        domain = self._region.domains.get(key.domain)
        if domain is None:
            return 0
        find: Any = (domain.decision_queues if key.kind == "decision" else domain.activity_queues).find
        queue = find(key.task_list)
        return 0 if queue is None else queue.waiting

    def _is_due(self, now: datetime) -> bool:
        alarm = self.next_alarm()
        return alarm is not None and alarm <= now

    def _refresh(self) -> None:
        """Read the entries that are new in the journal."""
        with self._guard() as db:
            if not db.in_transaction:
                self._check_inode()
                self._read_on(db)

    def _read_on(self, db: sqlite3.Connection) -> None:
        if self._invalid:
            self._rebuild(db)
        for entry in _run(db, _NEWER, self._seq):
            self._replay(*entry)

    def _rebuild(self, db: sqlite3.Connection) -> None:
        super().__init__(**self._arguments)
        self._seq = 0
        for entry in _run(db, _NEWER, 0):
            self._replay(*entry)
        # Of the queues that ever got a task, keep those that have one now, in the order in which they got it.
        ready = self._region.ready
        seen = dict.fromkeys(ready)
        ready.clear()
        for key in seen:
            ready += [key] * self._count_waiting(key)
        self._invalid = False

    def _replay(self, seq: int, at: int, operation: str, request: str) -> None:
        """Apply an entry. It must have an effect again."""
        if seq != self._seq + 1:
            raise self._damage(f"entry {self._seq + 1} is missing")
        region = self._region
        now = EPOCH + at * _MILLISECOND
        if operation != _TICK:
            revision, refused = region.revision, None
            try:
                super().call(_read(operation, request), now)
            except ServiceFault as fault:
                refused = fault
            except (msgspec.MsgspecError, KeyError):
                raise self._damage(f"entry {seq} cannot be read") from None
            if region.revision == revision:
                why = f" ({refused.code}: {refused})" if refused else ""
                raise JournalError(
                    f"entry {seq} of {self.path}, {operation}, was accepted, but has no effect now{why}: it was "
                    "written by a release with another simulator. Open the file with that release, or begin another "
                    "file"
                )
        super().advance(now)
        self._seq = seq

    # The file.

    def _write(self, request: o.Request[Any] | None, now: datetime) -> Any:
        """Apply a request, or only the time, and append it if it had an effect."""
        operation, text = _TICK, ""
        if request is not None and type(request).__name__ in _DECODE:
            operation = type(request).__name__
            try:
                raw = _encode(request)
                request, text = _read(operation, raw), raw.decode()
            except (msgspec.MsgspecError, TypeError, UnicodeEncodeError) as error:
                # It cannot be encoded and decoded, so it has no effect. The validator may have a better message.
                self._region.validator.check(request)
                if isinstance(request, o.RespondDecisionTaskCompleted):
                    self._region.validator.check_decisions(request.decisions or ())
                raise SerializationException(str(error)) from None
        response = fault = None
        with self._guard() as db:
            if not db.in_transaction:
                self._check_inode()
                _run(db, "BEGIN IMMEDIATE")
                self._read_on(db)
            region = self._region
            before, revision, due = region.clock, region.revision, self._is_due(now)
            if request is not None:
                try:
                    response = super().call(request, now)
                except ServiceFault as refused:
                    fault = refused
            if region.revision == revision:
                operation, text = _TICK, ""
            if region.revision != revision or due:
                super().advance(max(now, region.clock))
                self._seq += 1
                db.execute(_APPEND, (self._seq, (region.clock - EPOCH) // _MILLISECOND, operation, text))
            else:
                region.clock = before
            if not self._group:
                _run(db, "COMMIT")
        if fault is not None:
            raise fault
        return response

    def _connect(self, mode: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"file:{quote(self.path)}?mode={mode}",
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
        )
        self._db = db
        # Full means that the disk itself has the data. On macOS this needs another call.
        _run(db, f"PRAGMA synchronous = {self._sync}")
        _run(db, f"PRAGMA fullfsync = {int(self._sync == 'full')}")
        _run(db, f"PRAGMA wal_autocheckpoint = {_PAGES_PER_CHECKPOINT}")
        return db

    def _check_inode(self) -> None:
        """Check that the path still leads to the open file."""
        try:
            if os.stat(self.path).st_ino == self._inode:
                return
        except FileNotFoundError:
            pass
        raise JournalError(
            f"{self.path} was moved or deleted while it was open. Put it back, or restart every process that uses it"
        )

    def _disconnect(self) -> None:
        if self._db is not None:
            self._invalid |= self._db.in_transaction
            self._db.close()
            self._db = None

    def _open(self, seed: str) -> str:
        """Open or create the file. Return the seed that it was created with."""
        new = not os.path.exists(self.path)
        settings = _encode_changed(self._arguments["limits"], self._arguments["knobs"])
        with self._guard("rwc") as db:
            if new:
                # While it is empty: SQLite creates its other files with the same permissions.
                os.chmod(self.path, 0o600)
            self._inode = os.stat(self.path).st_ino
            _run(db, "BEGIN IMMEDIATE")
            mark, format = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version"))
            if not mark and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                mark, format = APPLICATION, FORMAT
                for statement in (*_TABLES, f"PRAGMA application_id = {mark}", f"PRAGMA user_version = {format}"):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES ('seed', ?), ('settings', ?)", (seed, settings))
            if mark != APPLICATION:
                raise self._disown()
            if format != FORMAT:
                raise JournalError(
                    f"{self.path} has format {format}, and this release of Traction reads format {FORMAT}: open it "
                    f"with {'a newer' if format > FORMAT else 'an older'} release, or begin another file"
                )
            meta = dict(db.execute("SELECT name, value FROM meta"))
            if meta["settings"] != settings:
                raise JournalError(
                    f"{self.path} was made with the limits and knobs {meta['settings']}, and is opened with {settings} "
                    "(only values that differ from the defaults are shown). Open it with the same ones"
                )
            _run(db, "COMMIT")
            # Readers and a writer then do not wait for each other. The file keeps this setting.
            (mode,) = _run(db, "PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise JournalError(f"{self.path} is on a file system without shared memory: put it on a local disk")
            return str(meta["seed"])

    @contextmanager
    def _guard(self, mode: str = "rw") -> Iterator[sqlite3.Connection]:
        """Yield the connection. An exception rolls the transaction back and makes the replica invalid."""
        if self._failure is not None:
            raise self._failure
        try:
            yield self._db or self._connect(mode)
        except BaseException as error:
            self._invalid = True
            db = self._db
            if db is not None and db.in_transaction:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
            failure = self._explain(error) if isinstance(error, sqlite3.Error) else error
            if self._group:
                # The other calls of the transaction are undone too, so `commit` must raise.
                self._failure = (
                    failure if isinstance(failure, BackendError) else JournalUnavailable(f"broken off: {failure!r}")
                )
            if failure is error:
                raise
            raise failure from error

    # Errors.

    def _explain(self, error: sqlite3.Error) -> BackendError:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_NOTADB"):
            return self._disown()
        if name.startswith("SQLITE_CORRUPT") or name == "SQLITE_ERROR":
            return self._damage(str(error))
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
            return JournalError(
                f"{self.path} cannot be written ({error}): make the file and its directory writable for this user"
            )
        if name.startswith("SQLITE_CANTOPEN"):
            return JournalError(
                f"{self.path} cannot be opened ({error}): check that this user may read and write the file and its "
                "directory"
            )
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return JournalUnavailable(
                f"{self.path} was locked for more than {BUSY_SECONDS_MAX:g} s: another process writes, or was stopped "
                "while it did"
            )
        if name.startswith("SQLITE_FULL"):
            return JournalUnavailable(f"the disk of {self.path} is full. Work continues when there is room")
        return JournalUnavailable(f"{self.path} cannot be used now: {error} ({name})")

    def _disown(self) -> JournalError:
        return JournalError(f"{self.path} is not a file of Traction, and was not changed: use another path")

    def _damage(self, what: str) -> JournalError:
        return JournalError(
            f"{self.path} is damaged ({what}). Stop every process that uses it, and replace it by a backup; "
            "without a backup, `sqlite3 FILE .recover` extracts what can be read"
        )


class _Tags(msgspec.Struct, rename="camel"):
    """The tags of a request and of its decisions."""

    tag_list: tuple[str | None, ...] | None = None
    decisions: tuple[_Tags, ...] | None = None

    def put_into(self, struct: Any) -> Any:
        return struct if self.tag_list is None else msgspec.structs.replace(struct, tag_list=self.tag_list)


def _read(operation: str, text: str | bytes) -> Any:
    """Decode a request. Its tags may be null, which SWF accepts and the types do not allow."""
    try:
        return _DECODE[operation](text)
    except msgspec.ValidationError:
        tags, plain = msgspec.json.decode(text, type=_Tags), msgspec.json.decode(text)
    for part in (plain, *(plain.get("decisions") or ())):
        part.pop("tagList", None)
    request = msgspec.convert(plain, _KINDS[operation])
    if tags.decisions is not None:
        decisions = zip(tags.decisions, request.decisions, strict=True)
        request = msgspec.structs.replace(
            request, decisions=tuple(each.put_into(decision) for each, decision in decisions)
        )
    return tags.put_into(request)


def _run(db: sqlite3.Connection, statement: str, *values: object) -> sqlite3.Cursor:
    """Run a statement, and retry while other processes write, at shorter intervals than SQLite's own."""
    pause, give_up_at = 0.0001, 0.0
    while True:
        try:
            return db.execute(statement, values)
        except sqlite3.OperationalError as error:
            if not error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise
            give_up_at = give_up_at or time.monotonic() + BUSY_SECONDS_MAX
            if time.monotonic() > give_up_at:
                raise
            time.sleep(pause)
            pause = min(pause * 1.5, 0.005)


def _check_place(path: str) -> None:
    if os.path.isdir(path):
        raise JournalError(f"{path} is a directory: use the path of a file")
    directory = os.path.dirname(path)
    if not os.path.isdir(directory):
        raise JournalError(f"{path} cannot be created, because there is no directory {directory}: create it first")


def _encode_changed(limits: Limits, knobs: Knobs) -> str:
    """Encode the limits and knobs that differ from their defaults."""
    changed = {
        f"{type(settings).__name__}.{name}": getattr(settings, name)
        for settings in (limits, knobs)
        for name in settings.__struct_fields__
        if getattr(settings, name) != getattr(type(settings)(), name)
    }
    return _encode(changed).decode()
