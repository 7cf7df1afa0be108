"""`inklings.compare` and what belongs to it: a share of a comparison, bringing parts together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from inklings.config import RunConfig
from inklings.errors import ConfigError
from inklings.events import OnEvent, note, silent
from inklings.interface.arguments import ArmLike, TextLike, arms_of, with_settings
from inklings.interface.comparison_folder import ComparisonFolder
from inklings.interface.watching import watched
from inklings.interop.trackers.tracking import tracked
from inklings.lab.comparison.compare import compare as compare_arms
from inklings.lab.comparison.merge import merge
from inklings.lab.comparison.result import FILE_NAME
from inklings.lab.comparison.settings import SEEDS, USUAL, Method
from inklings.lab.shards.division import missing_shards, read_shards, refuse_incomplete
from inklings.lab.shards.shard import WHOLE, parse_shard
from inklings.runs.free_folder import free_folder


def compare(
    arms: Sequence[ArmLike] | Mapping[str, ArmLike],
    *,
    data: TextLike | None = None,
    budget: str | None = None,
    seeds: int | Sequence[int] = SEEDS,
    out: Path | str | None = None,
    method: Method | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    shard: str | None = None,
    command: str | None = None,
    trust_code: bool = False,
    show: bool = True,
    log_to: Sequence[str] = (),
    on_event: OnEvent = silent,
    **settings: Any,
) -> ComparisonFolder:
    """Train several arms with several seeds under one budget, and say which is better.

    What an arm says of its own training wins over the keywords; text and budget are the same for
    all.

    Args:
        arms: at least two contestants: ARMs as `inklings compare` takes them, runs, or settings; a
            mapping says what each is called, as in `{"mine": "my_model.py:MyModel", "gpt": "gpt"}`.
        data: the text; None takes that of the first arm that has one.
        budget: for every trained arm; None takes that of the first.
        seeds: how many each arm is trained with, or which; a number counts from the keyword `seed`
            on.
        out: where all of it is kept: a new folder, or one with this comparison begun, which then
            goes on. None takes a fresh folder below `comparisons`, and says which.
        method: how the arms are made comparable; None does as `inklings compare`: four points of
            the budget, five learning rates, counted n-grams as a baseline.
        workers: how many runs at a time, each in its own process; None takes one a core.
        cluster: address of a Ray cluster that does the runs instead.
        shard: "I/N", to do the I-th of N shares of the runs alone. The same call with the others,
            at any time and on any machine, does the rest; in one `out`, the last one judges the
            whole. Folders that are not shared are brought together by `merge_comparisons`.
        command: what repeats this, for the report.
        trust_code: whether the Python code of runs among the arms may be run although another user
            or machine made it.
        show: whether bars or a live view show how far it is.
        log_to: trackers that are told of every figure, as in `train`.
        on_event: called with every event of every run, which carries `run`, `arm` and `seed`.
        settings: fields of `DataConfig` and `TrainingConfig`, for all arms.

    Returns:
        The comparison. Where Ctrl-C came its `status` is "interrupted", and the same call with its
        `out` goes on. Of a shard, its own runs without a verdict, while others are not done.

    Raises:
        InputError: an arm, the budget or the text cannot be used, or `out` holds something else.
            Nothing was trained.
        MissingExtraError: Ray is not installed, for a cluster.
    """
    base, rates = with_settings(
        RunConfig(), frozenset(), data=data, budget=budget, settings=settings
    )
    part = parse_shard(shard) if shard else WHOLE
    if out is None and not part.is_whole:
        raise ConfigError(
            f"shard={shard!r} needs an out: the folder in which the other shards are found too, or"
            " one of its own for merge_comparisons."
        )
    found = arms_of(arms, base, rates)
    trained = [arm.config for arm in found if arm.config is not None]
    text = base.data if data is not None or settings.keys() & vars(base.data).keys() else None
    source = (text or (trained[0].data if trained else base.data)).source
    names = [config.architecture for config in trained] or [arm.label for arm in found]
    place = Path(out or free_folder("comparisons", names, source))
    first = base.training.seed
    with (
        watched(on_event, show=show, many=True) as shown,
        tracked(shown, log_to, out=part.home(place)) as listener,
    ):
        if out is None:
            listener(note(f"The comparison is kept in {place}."))
        comparison = compare_arms(
            found,
            out=place,
            seeds=range(first, first + seeds) if isinstance(seeds, int) else seeds,
            data=text,
            budget=budget,
            method=method or USUAL,
            workers=workers,
            cluster=cluster,
            shard=part,
            command=command,
            trust_code=trust_code,
            on_event=listener,
        )
        missing = () if part.is_whole else tuple(missing_shards(read_shards(place)))
        if missing:
            others = ", ".join(map(str, missing))
            listener(note(f"Not done yet: {others}. The last one makes the verdict."))
    if not part.is_whole and not missing:
        comparison = merge((place,), place)
    return ComparisonFolder.of(comparison, place, missing=missing)


def merge_comparisons(parts: Sequence[Path | str], out: Path | str) -> ComparisonFolder:
    """Bring together what several folders hold of one comparison; they stay as they are.

    Args:
        parts: folders of comparisons that differ in arms and seeds alone, or of shards, which have
            to be all of one comparison's.
        out: a new folder, or one of such a comparison, to which the others are added.

    Returns:
        The whole; its `status` is "interrupted" if an arm lacks a seed that another has.

    Raises:
        InputError: a folder holds no comparison, they do not fit together, or a shard is missing.
    """
    place = Path(out)
    return ComparisonFolder.of(merge([Path(part) for part in parts], place), place)


def load_comparison(out: Path | str) -> ComparisonFolder:
    """Open a comparison on disk.

    Raises:
        RunError: there is none in this folder, it is damaged, or some of its shards are not done.
    """
    if not (Path(out) / FILE_NAME).is_file():
        refuse_incomplete(read_shards(Path(out)))
    return ComparisonFolder.open(Path(out))
