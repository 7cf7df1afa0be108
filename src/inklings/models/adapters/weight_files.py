"""The files in which `transformers` keeps weights: safetensors, in one piece or in parts.

A pickle (`pytorch_model.bin`) is never opened, whoever asks.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from inklings.durable import read_json
from inklings.errors import RunError

WEIGHTS = "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
"""Says which part holds which tensor, where there are several."""
PICKLES = (".bin", ".pt", ".pth", ".ckpt")


def weights_of(folder: Path) -> Path:
    """Return the file of a folder's weights, or the index of its parts.

    Raises:
        RunError: there is none, or only a pickle.
    """
    for name in (WEIGHTS, INDEX):
        if (folder / name).is_file():
            return folder / name
    pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
    if not pickles:
        raise RunError(
            f"{folder / WEIGHTS} is missing, and so is {INDEX}. A pickle (pytorch_model.bin) is"
            " never opened in their place."
        )
    raise RunError(
        f"{folder} has its weights only as a pickle ({', '.join(pickles)}), which is never opened:"
        " it can run any code. Where you trust it, load it with transformers and call"
        f" save_pretrained, which writes {WEIGHTS}."
    )


def has_weights(folder: Path) -> bool:
    """Return whether a folder holds more than a configuration, be it a pickle."""
    return any(path.suffix in (".safetensors", *PICKLES) for path in folder.glob("*")) or any(
        folder.glob("*.index.json")
    )


def read_index(path: Path) -> dict[str, str]:
    """Return which file holds which tensor, beside the index.

    Raises:
        RunError: the index cannot be read, or names what is no file of safetensors beside it.
    """
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places:
        raise RunError(f"{path} is damaged: it does not say which file holds which tensor.")
    for part in places.values():
        if not isinstance(part, str) or not _is_plain(part):
            raise RunError(
                f"{path} names {part!r} as a part of the weights. A part is the name of a"
                " .safetensors file in the same folder; nothing else is opened."
            )
    return places


def _is_plain(name: str) -> bool:
    """Whether a name is that of a file of safetensors and no path, on any system."""
    plain = all(kind(name).name == name for kind in (PurePosixPath, PureWindowsPath))
    return plain and name.endswith(".safetensors")
