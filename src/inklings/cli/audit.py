"""`inklings audit ARM`: is it what it claims to be?

Exit code 3 if a check that applies does not hold.

`inklings audit RUN --memory`: is its memory the reason of its gain? See `cli/proof.py`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from inklings.auditing.audit import Audit, audit, audit_text
from inklings.auditing.findings import Finding
from inklings.auditing.memory.rivals import Provable
from inklings.auditing.subjects import AnySubject, NoiseSubject
from inklings.cli.arguments import Json, called
from inklings.cli.audited import Asked, run_of, subject_of, text_of
from inklings.cli.proof import show_proof
from inklings.cli.run_arguments import parse_settings
from inklings.cli.terminal import Terminal, open_terminal
from inklings.errors import ArchitectureError, ConfigError, DiskError
from inklings.runs.arms import parse_arm
from inklings.runs.audits import keep_audit
from inklings.runs.directory import RunDirectory

STYLES = {"pass": "green", "warning": "yellow", "fail": "bold red", "not applicable": "dim"}
WIDTH = 104
"""Most columns of a summary, where the terminal has as many."""
BEFORE = 33
"""Columns of the screen before a summary."""


@dataclass(frozen=True)
class AuditFlags:
    """Flags of the verb `audit` itself, beside those of a run."""

    arm: tyro.conf.Positional[Annotated[str, called("ARM")]]
    """What is audited: NAME[:field=value,...], FILE.py:CLASS, FILE.toml, a RUN, builtin:reference,
    FILE.py:NAME of a scorer or of a function that loads a model, or hf:FOLDER_OR_NAME of a causal
    model of transformers, or CLAIM.json.
    """
    split: Literal["validation", "test"] = "validation"
    """The held-out text that losses are taken on."""
    memory: bool = False
    """Instead of all that: prove what the memory of a RUN is worth, against controls and rivals;
    takes as long as scoring ten times.
    """
    targets: int | None = None
    """`--memory`: whole documents, spread over the split, until they hold so many tokens to
    predict; by default all of it.
    """
    trust_code: bool = False
    """Allow a run's own copy of an architecture file to be executed though another machine made it,
    or the code that comes with a Hugging Face model.
    """
    untrained: bool = False
    """Audit a Hugging Face model at random weights though it has some."""
    json: Json = False


def main(arguments: Sequence[str]) -> int:
    """Run the verb with these arguments; return the exit code."""
    parsed = parse_settings(
        arguments,
        AuditFlags,
        verb="audit",
        description="Check that a generator is what it claims to be.",
    )
    flags: AuditFlags = parsed.verb
    terminal = open_terminal(flags.json)
    if flags.targets is not None and not flags.memory:
        raise ConfigError(
            "--targets limits the proof of a memory only. Add --memory, or leave it out."
        )
    asked = Asked(
        name=flags.arm,
        parsed=parsed,
        split=flags.split,
        trust_code=flags.trust_code,
        untrained=flags.untrained,
        terminal=terminal,
    )
    if flags.memory:
        return _prove(flags, asked)
    terminal.say(f"auditing {flags.arm}", style="bold")

    def show(finding: Finding) -> None:
        """Print a finding as it comes."""
        width = max(30, min(WIDTH, terminal.console.width - BEFORE - 1))
        first, *rest = textwrap.wrap(finding.summary, width) or [""]
        terminal.say(
            f"  {finding.status:<15} {finding.check:<14} {first}", style=STYLES[finding.status]
        )
        for line in rest:
            terminal.say(f"{'':{BEFORE}}{line}", style=STYLES[finding.status])

    try:
        subject = subject_of(asked)
    except ArchitectureError as error:
        if ".py" not in flags.arm or not Path(flags.arm.partition(".py")[0] + ".py").is_file():
            # a name that is not known is a slip; a file that cannot be used is what the audit is
            # asked about
            raise
        finding = Finding(check="contract", status="fail", summary=str(error))
        show(finding)
        text = text_of(parsed.config.data, terminal) if parsed.says_text else None
        beside = () if text is None else audit_text(flags.arm, text, on_finding=show).findings
        result = Audit(subject=flags.arm, kind="model", trained=False, findings=(finding, *beside))
    else:
        result = audit(subject, on_finding=show)
        if isinstance(subject, AnySubject) and subject.run is not None:
            _keep(subject.run, flags, result, terminal)
    return _conclude(result, terminal)


def _keep(run: RunDirectory, flags: AuditFlags, result: Audit, terminal: Terminal) -> None:
    """Keep the audit in the run's folder, if that may be written to."""
    if flags.arm.startswith("builtin:"):
        return
    try:
        keep_audit(run, flags.split, result.plain())
    except (DiskError, OSError) as error:
        terminal.say(f"the audit is not kept: {error}", style="yellow")


def _conclude(result: Audit, terminal: Terminal) -> int:
    counts = {
        status: sum(finding.status == status for finding in result.findings) for status in STYLES
    }
    words = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    if result.failed:
        terminal.say(
            f"{result.subject} does not hold:"
            f" {', '.join(finding.check for finding in result.failed)} ({words})",
            style="bold red",
        )
    else:
        terminal.say(f"{result.subject} holds ({words})", style="bold green")
    terminal.result(result.plain())
    return 3 if result.failed else 0


def _prove(flags: AuditFlags, asked: Asked) -> int:
    """Return the proof of a run's memory.

    Raises:
        InputError: the run or its text cannot be used, or there is no memory.
    """
    parsed = asked.parsed
    if (
        flags.arm != "builtin:reference"
        and parse_arm(flags.arm, base=parsed.config, rates=parsed.rates).run is None
    ):
        raise ConfigError(
            f"{flags.arm} is not trained, so its memory gains nothing yet. Train it (`inklings"
            " train`), and give the RUN."
        )
    subject = run_of(asked)
    model = subject.trained
    assert model is not None
    if isinstance(subject, NoiseSubject) or not isinstance(model, Provable):
        raise ConfigError(
            f"{flags.arm} has no memory. Put one behind it: `inklings train varda --from"
            f" {flags.arm} --run NEW`, then audit NEW --memory."
        )
    return show_proof(subject, asked.terminal, targets=flags.targets)
