"""The model card: what a model learned from, how good it is, and how it was checked."""

from __future__ import annotations

from pathlib import Path

from inklings.interop.exports.exported import Export, in_words, named
from inklings.interop.exports.form import Form
from inklings.interop.exports.target import Target
from inklings.interop.exports.verdict_lines import verdict_lines
from inklings.models.backbone import written_out
from inklings.models.contract import SequenceModel, parameter_count
from inklings.runs.audits import kept_audits
from inklings.runs.directory import RunDirectory
from inklings.runs.metrics import best_evaluation
from inklings.text.sources.scheme import known_sources

HEAD = """\
---
library_name: {library}
pipeline_tag: text-generation
tags: [inklings]
---
"""


def format_card(
    made: Export, run: RunDirectory, model: SequenceModel, form: Form, target: Target
) -> str:
    """Return the card as Markdown.

    Args:
        made: the export.
        run: what was exported.
        model: its model.
        form: what it became.
        target: where it was exported to.
    """
    assert target.use is not None
    name = made.path.name
    parts = [
        HEAD.format(library=target.name),
        f"# {name}\n",
        f"A `{run.config.architecture}` of Inklings, {parameter_count(model):,} parameters,"
        f" {model.config.vocab_size:,} tokens: the run `{made.run}`, exported as"
        f" `{made.class_name}` of {target.name}. {form.loading}\n",
        target.use(form, name, made.without_tokenizer is None),
        *_section("Training", _training(run)),
        *_section("How good it is", _figures(made, run)),
        *_section("What it was compared with", verdict_lines(run.path)),
        *_section("What is other here than in the run", _others(made, run, model)),
        "## Commands\n",
        "```sh\n" + "\n".join(_commands(made, run)) + "\n```\n",
    ]
    return "\n".join(parts)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}\n", *(f"- {line}" for line in lines), ""] if lines else []


def _training(run: RunDirectory) -> list[str]:
    config, initial = run.config, run.record.initial
    if initial is not None and Path(initial).exists():  # a folder, and no name on the hub
        initial = Path(initial).name
    if not run.record.data:
        return [
            f"Its weights were imported from `{initial}` and not trained further; what they"
            " learned from, and under which licence, is said there."
        ]
    known = known_sources().get(config.data.source)
    lines = [
        f"Text: the training part of `{named(config.data.source)}`. Licence of the text:"
        f" {'not known to Inklings' if known is None else known[1]}.",
        f"Budget: {config.training.budget}, with {config.training.optimizer} and seed"
        f" {config.training.seed}.",
    ]
    best = best_evaluation(run.metrics())
    if best is not None:
        lines.append(f"The weights are of step {best['step']:,}, {best['tokens']:,} tokens read.")
    if initial is not None:
        lines.append(f"It began with the weights of `{initial}`.")
    return lines


def _figures(made: Export, run: RunDirectory) -> list[str]:
    likelihood, compared, interval = made.likelihood, made.agreement, made.interval
    assert likelihood is not None, "whoever writes a card has scored the run"
    sure = ", for an interval there is too little text"
    if interval is not None:
        units = "documents" if likelihood.blocks is None else "blocks of 2 KiB"
        sure = (
            f", 95% interval over its {interval.n:,} {units} {interval.low:.4f} to"
            f" {interval.high:.4f}"
        )
    lines = [
        f"Loss on the whole {compared.split} part of `{compared.source}` ({likelihood.targets:,}"
        f" tokens): {likelihood.loss:.4f} nats per token{sure}. That is how sure this one model's"
        " figure is; trained with another seed it would have another."
    ]
    if likelihood.bits_per_byte is not None:
        lines.append(f"Bits per byte of that text: {likelihood.bits_per_byte:.4f}.")
    audits = [f"Inklings {audit}." for audit in kept_audits(run)]
    lines += audits or ["It was not audited; `inklings audit RUN` does that."]
    lines.append(
        f"When it was exported, {in_words(made.versions)} and the run read the same text:"
        f" {compared}."
    )
    return lines


def _others(made: Export, run: RunDirectory, model: SequenceModel) -> list[str]:
    lines = list(made.notes)
    if made.without_tokenizer is not None:
        return [
            *lines,
            f"There is no tokenizer here: {made.without_tokenizer}. The tokenizer of the run turns"
            " text into the tokens that this model reads.",
        ]
    tokenizer = run.tokenizer()
    first, last = (
        tokenizer.backend.id_to_token(token)
        for token in (model.config.opening, model.config.boundary_token)
    )
    ends = "the same token" if first == last else f"`{last}`"
    lines.append(
        f"The tokenizer puts `{first}` in front of every text, as it stood in front of every"
        f" document that the model learned from; {ends} ends a text."
    )
    if tokenizer.kind == "char" and tokenizer.unknown == "error":
        lines.append(
            "The run refuses characters that its vocabulary lacks; here they are dropped without a"
            " word."
        )
    return lines


def _commands(made: Export, run: RunDirectory) -> list[str]:
    exported = f"inklings export {made.run} --to {made.target} {made.path.name}"
    if not run.record.data:
        return [exported]
    given = run.record.given
    arm = written_out(given.architecture, given.model)
    return [
        f"inklings train {arm} --data {named(given.data.source)} --budget {given.training.budget}"
        f" --training.seed {given.training.seed} --run {made.run}",
        exported,
    ]
