"""What is said of a model that is neither a folder here nor given by the Hugging Face hub."""

from __future__ import annotations

from inklings.models.adapters.weight_files import WEIGHTS


def not_at_hand(name: str, error: Exception) -> str:
    """Say that a model is not here, why the hub did not give it, and what to do without a network.

    `error` is what a library of the hub raised.
    """
    if "use_safetensors" in str(error):  # what the library says where there is another file alone
        return (
            f"{name} has no {WEIGHTS} on the hub. A pickle (pytorch_model.bin) is never opened: it"
            " can run any code. Where you trust it, load it with transformers and call"
            f" save_pretrained, which writes {WEIGHTS}, and give that folder in place of {name}."
        )
    # the lines after the first advise what is for callers of that library
    first = str(error).strip().partition("\n")[0].strip().rstrip(".") or type(error).__name__
    return (
        f"there is no folder {name}, and the Hugging Face hub did not give a model of that name:"
        f" {first}. To do without a network, run `hf download {name} --local-dir FOLDER` where"
        f" there is one, copy the folder here and give FOLDER in place of {name}; what was loaded"
        " once is found again without."
    )
