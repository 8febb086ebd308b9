"""The inference process as the server sees it: started, spoken to, listened to, ended.

A thread of its own reads what the child says, and notices its death; both go into mailboxes. So whoever told the child
something never waits for one that is stopped or gone. Knows nothing of what the child is told to do.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from vidgen.backend import BackendConfig, Held
from vidgen.inference.death import describe, oom_kills
from vidgen.inference.mailboxes import Mailbox, Mailboxes
from vidgen.inference.messages import Begin, Holds, Stop
from vidgen.leash import leash

EXIT_WAIT_S = 5.0
"""How long a child that has closed its connection, or was told to stop, has to end."""

STOPPED = "was stopped"

SECRETS = ("API_KEYS", "ANTHROPIC_API_KEY", "REPLICATE_API_TOKEN", "OPENAI_API_KEY", "HF_TOKEN")
"""What a child that runs models has no business to know."""

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**31), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""For rendering on the CPU: glibc keeps what was freed, as a GPU's allocator does. By default it hands every large
tensor back to the system and takes it anew, page by page, which was measured to cost a third of the time.
"""

ALLOCATOR = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
"""Where torch reads how its allocator works: since 2.9, and before."""

EXPANDABLE = "expandable_segments:True"
"""Segments that grow: what one render left in pieces serves the next one, whatever its size."""

log = logging.getLogger(__name__)


class Child:
    """One inference process, just started. Lives until it dies or :meth:`end`. Any thread may speak to it.

    :param config: what its backends are handed; tokens of services stay here.
    """

    def __init__(self, config: BackendConfig, log_level: str, log_format: str):
        ours, theirs = socket.socketpair()
        self._oom_kills = oom_kills()
        self.held = Held()
        self._mailboxes = Mailboxes()
        with theirs:
            self.process = subprocess.Popen(
                [*leash(), sys.executable, "-m", "vidgen.inference.child", str(theirs.fileno())],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=2, process_group=0,
                env=_environment(config.device),
            )
        self._connection = Connection(ours.detach())
        self._telling = threading.Lock()
        self.tell(Begin(config, log_level, log_format))
        threading.Thread(target=self._read, name="inference-reader", daemon=True).start()
        log.info("inference process started", extra={"pid": self.process.pid})

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def gone(self) -> bool:
        """Whether it takes no more commands."""
        return self._mailboxes.doomed or self.process.poll() is not None

    def open(self, ticket: int) -> Mailbox:
        """A mailbox for what the child says of this ticket; see :class:`Mailboxes`."""
        return self._mailboxes.open(ticket)

    def tell(self, message: object) -> None:
        """Send *message*; where the child has died meanwhile, the mailboxes say so."""
        with self._telling, suppress(OSError, TypeError):   # closed meanwhile by the thread that reads
            self._connection.send(message)

    def end(self, reason: str, ticket: int | None = None) -> bool:
        """Kill it, whatever it does, and wait until it is gone; not for ever, since one that is stuck in a driver does
        not die even then.

        :param ticket: on whose account; see :meth:`Mailboxes.charge`.
        :returns: whether that command is charged with it.
        """
        charged = self._mailboxes.charge(ticket, reason)
        self.process.kill()
        try:
            self.process.wait(EXIT_WAIT_S)
        except subprocess.TimeoutExpired:
            log.error("the inference process does not die", extra={"pid": self.pid})
        self._mailboxes.close(reason)
        return charged == ticket

    def stop(self) -> None:
        """Let it end in order; kill it where it does not. Nobody is charged."""
        self._mailboxes.charge(None, STOPPED)
        self.tell(Stop())
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_WAIT_S)
        self.end(STOPPED)

    def _read(self) -> None:
        with self._connection, suppress(EOFError, OSError):
            while True:
                self._take(self._connection.recv())
        self._mailboxes.close(self._reason())

    def _take(self, message: object) -> None:
        if isinstance(message, Holds):
            self.held = message.held
        else:
            self._mailboxes.deliver(message)

    def _reason(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(EXIT_WAIT_S)
        if self.process.returncode is None:
            self.process.kill()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(EXIT_WAIT_S)
        if self.process.returncode is None:
            return "closed its line and does not die"
        reason = describe(self.process.returncode, out_of_memory=oom_kills() > self._oom_kills)
        log.info("inference process %s", reason, extra={"pid": self.process.pid})
        return reason


def _environment(device: str) -> dict[str, str]:
    """The server's, without its secrets; one GPU is visible, and nothing is fetched from anywhere.

    :param device: the setting GPU_DEVICE, or the GPU's UUID.
    """
    env = {name: value for name, value in os.environ.items() if name.upper() not in SECRETS}
    env |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    if device == "cpu":
        env |= KEEP_MEMORY
    elif not any(name in env for name in ALLOCATOR):
        env[ALLOCATOR[0]] = EXPANDABLE
    if device != "auto":
        # Numbers as nvidia-smi and NVML count; CUDA's own order is by speed.
        env |= {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "" if device == "cpu" else device}
    return env
