"""Whether this machine has what the server needs, and what to do where it has not."""

import typer

from vidgen.cli import outcome
from vidgen.cli.session import Session


def doctor(session: Session) -> None:
    """Check ffmpeg, GPU, libraries, disk, keys, weights and port; each is good, or it says what to do."""
    from dataclasses import asdict

    from vidgen.cli.checks import BAD, look_over
    from vidgen.errors import StartRefused
    from vidgen.settings import load_settings

    try:
        settings = load_settings()
    except StartRefused as e:
        raise outcome.Ended(outcome.FAILED, outcome.of(e)[1]) from None
    found = []
    for finding in look_over(settings):
        found.append(finding)
        if not session.json:
            session.line(f"{finding.state:8} {finding.what}: {finding.said}")
            if finding.advice:
                session.line(f"{'':8} {finding.advice}")
    bad = [finding for finding in found if finding.state == BAD]
    if session.json:
        session.result({"ok": not bad, "findings": [asdict(finding) for finding in found]})
    if bad:
        raise typer.Exit(outcome.FAILED)
