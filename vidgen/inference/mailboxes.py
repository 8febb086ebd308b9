"""Who hears what of what a child says: a mailbox for each command, and who is charged with the child's death.

Filled by the thread that reads, emptied by whoever told the command; knows nothing of processes.
"""

import queue
import threading
from dataclasses import dataclass, field, replace
from enum import IntEnum
from typing import Any

from vidgen.inference.messages import Alive, Answer, Begun, Died, Failed, Ready, Rendered, Waits

Mailbox = queue.SimpleQueue[Any]


class Stage(IntEnum):
    """How far a command is. The further down, the sooner it is held to be the cause of a death."""

    WAITING = 0                             # told, not begun; or its frames are made, and it waits for another's file
    FINISHING = 1                           # its frames are made, its file is being written
    COMPUTING = 2


@dataclass(slots=True)
class _Told:
    stage: Stage = Stage.WAITING
    mailbox: Mailbox = field(default_factory=queue.SimpleQueue)


class Mailboxes:
    """The mailboxes of one child's commands. Any thread may call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[int, _Told] = {}
        self._ready = False
        self._verdict: Died | None = None
        self._death: Died | None = None

    @property
    def doomed(self) -> bool:
        """Whether the child is gone, or about to be."""
        return self._verdict is not None or self._death is not None

    def open(self, ticket: int) -> Mailbox:
        """A mailbox for the command with this ticket, which is told afterwards. The child's death is heard in it even
        where that was before; where it did not even start, the first to come is charged, as it was started for that.
        """
        with self._lock:
            told = self._told[ticket] = _Told()
            if self._death is not None:
                if self._death.charged is None and self._verdict is None:
                    self._death = replace(self._death, charged=self._suspect())
                told.mailbox.put(self._death)
        return told.mailbox

    def deliver(self, message: Any) -> None:
        """Put *message* where it is waited for. To those who wait for their turn, each is a sign of life."""
        with self._lock:
            if isinstance(message, Ready):
                self._ready = True
                self._tell_all(message)
                return
            for ticket, told in self._told.items():
                if told.stage is Stage.WAITING and ticket != message.ticket:
                    told.mailbox.put(Alive(ticket))
            self._deliver_to_one(message)

    def charge(self, ticket: int | None, reason: str) -> int | None:
        """The child will be ended, or ends itself, on account of this command. Who is charged: another one where this
        has not begun, as it waits for that; None where nobody is. The first word counts.
        """
        with self._lock:
            if self._verdict is None:
                self._verdict = Died(reason, self._culprit(ticket))
            return self._verdict.charged

    def close(self, reason: str) -> None:
        """The child is gone. Where nobody was charged with it before, the innermost command that was being done is, or
        where none was, the clip that was being finished.
        """
        with self._lock:
            if self._death is None:
                self._death = self._verdict or Died(reason, self._suspect())
                self._tell_all(self._death)

    def _tell_all(self, message: Any) -> None:
        for told in self._told.values():
            told.mailbox.put(message)

    def _deliver_to_one(self, message: Any) -> None:
        if (told := self._told.get(message.ticket)) is None:
            return                          # a preview that was still being made when its command was answered
        if isinstance(message, Begun):
            told.stage = Stage.COMPUTING
        elif isinstance(message, Waits):
            told.stage = Stage.WAITING
        elif isinstance(message, Rendered):
            told.stage = Stage.FINISHING
        elif isinstance(message, Answer):
            if isinstance(message, Failed) and message.fatal and self._verdict is None:
                self._verdict = Died("ended itself after a failure that nobody had foreseen", message.ticket)
            del self._told[message.ticket]
        told.mailbox.put(message)

    def _culprit(self, ticket: int | None) -> int | None:
        if ticket is None or ticket not in self._told or self._told[ticket].stage is not Stage.WAITING:
            return ticket
        return self._suspect() or ticket

    def _suspect(self) -> int | None:
        """Who is held to be the cause. A command that waits is, only where the child did not even start."""
        stage, ticket = max(((told.stage, ticket) for ticket, told in self._told.items()), default=(None, None))
        return None if stage is Stage.WAITING and self._ready else ticket
