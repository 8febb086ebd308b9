"""The command line, ``vidgen``. Speaks to the server through ``vidgen.client``; only ``serve``, ``weights``, ``doctor``
and ``recipe`` work on this machine itself.

Results go to standard output, everything else to standard error. Exit codes: 0; 1 where a job failed, was cancelled or
did not come out equal; 2 for bad input, named in one line; 3 where the server cannot be reached, or cannot do it now;
130 after Ctrl-C.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    :param arguments: without the program's name; None takes the process's own.
    """
    from vidgen.cli.outcome import STOPPED

    try:
        from vidgen.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:               # while all this is being imported, too
        return STOPPED
