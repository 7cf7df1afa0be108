"""What the memories of a run's rows held when its weights were saved, by document.

A checkpoint has them, for training goes on with them. Their vectors are those of the weights that
wrote them, step by step. A row knows a document by a number of its own and counts from where it
began to read it; which document that was follows from the seed and the step.
"""

from __future__ import annotations

import numpy as np

from inklings.errors import RunError
from inklings.models.remembering import Storing, Written
from inklings.runs.checkpoints import checkpoint_path, published_step, read_objective
from inklings.runs.directory import RunDirectory
from inklings.runs.memory import StoredText
from inklings.runs.own_text import own_store
from inklings.text.batches import streams
from inklings.training.optimizers.optimizers import tensors_below


def stored_by_training(run: RunDirectory, model: object) -> list[StoredText]:
    """Return what a run's rows held beside its best weights, those written last at the end.

    Args:
        run: the run.
        model: its model.

    Raises:
        RunError: nothing was stored, the checkpoint is gone or damaged, or the text is.
    """
    if not isinstance(model, Storing):
        raise RunError(
            f"{run.path} is a {run.config.architecture}, whose rows store nothing while it trains."
        )
    step, settings = published_step(run.path), run.config.training
    if not step:
        raise RunError(
            f"the weights of {run.path} are those of step 0: nothing was read, so nothing was"
            f" stored. Train it, or add a text: `inklings memory {run.path} add FILE`."
        )
    path = checkpoint_path(run.path, step)
    if not path.is_dir():
        raise RunError(
            f"{path} is missing, which held what was stored beside the run's weights. Bring the"
            f" checkpoint back, or add a text: `inklings memory {run.path} add FILE`."
        )
    carried = tensors_below("carried/", read_objective(path))
    if not carried:
        raise RunError(
            f"{run.path} was trained in the order {settings.order}, which carries no memory from"
            " step to step; a run in the order `streams` does."
        )
    assert settings.sequence_length is not None, "the length of a row has been settled"
    memories = model.row_memories(model.state_from_tensors(carried))
    split = own_store(run).split("train")
    batches = streams(split, settings.batch_size, settings.sequence_length, settings.seed)
    columns: list[np.ndarray] = []
    vectors: list[np.ndarray] = []
    for memory, read in zip(memories, batches.documents_read(step), strict=True):
        entries = memory.entries()
        document, begun = np.array(read, dtype=np.int64)[entries.documents].T
        place = np.stack([document, entries.positions + begun, entries.times, entries.values])
        columns.append(np.concatenate([place, entries.scores[None]]))
        vectors.append(memory.vectors(entries.ids))
    documents, positions, times, values, scores = np.concatenate(columns, axis=1)
    if not len(documents):
        raise RunError(
            f"the memories of {run.path} were empty at step {step}: of a document nothing is"
            " written before `segment` tokens, and of a `frozen` model nothing. Those of a"
            " `varda:clear_at=epoch` hold what an epoch read."
        )
    keys = np.concatenate(vectors)
    stored = []
    for document in np.unique(documents):
        # one row may end in the document that another began in, and may have read a little twice
        of = np.flatnonzero(documents == document)
        of = of[np.unique(positions[of], return_index=True)[1]]
        tokens = split.document(int(document))
        written = Written(
            keys[of],
            values[of].astype(np.int64),
            positions[of].astype(np.int64),
            scores[of].astype(np.float32),
        )
        line = np.concatenate([[split.boundary], tokens, [split.boundary]]).astype(np.int64)
        text = StoredText(f"training:{int(document) + 1}", line, written)
        stored.append((float(times[of].max()), text))
    return [text for _, text in sorted(stored, key=lambda pair: pair[0])]
