"""Facts about the text for a report: its source, its cutting, its held-out part."""

from __future__ import annotations

import re
from typing import Any

from inklings.generation.sampling import READ_AT
from inklings.runs.own_text import data_hash
from inklings.text.rules import dropped_documents, left_out_texts
from inklings.text.store import TokenStore


def describe_text(store: TokenStore) -> dict[str, Any]:
    """Return what a report says about the text."""
    manifest = store.manifest
    source, tokenizer, overlap = (
        manifest["source"],
        manifest["tokenizer"],
        manifest["split"]["overlap"],
    )
    how = {
        "documents": f"by document, shuffled with seed {manifest['split']['seed']}",
        "parts": "each document cut into contiguous parts",
        "fixed": "as the source has them",
        "hash": "by the hash of each document",
    }
    loses = (
        ""
        if tokenizer["lossless"]
        else "; it loses what it does not know: no bits per byte for such a split"
    )
    counted = manifest["source"].get("left_out", {})
    dropped = "; ".join((*left_out_texts(counted), *dropped_documents(manifest)))
    shares = ", ".join(f"{share:.1%} of {name}" for name, share in (overlap or {}).items())
    return {
        "name": re.sub(r"^builtin:", "", source["name"]),
        "source": source["name"],
        "layout": source["layout"],
        "hash": data_hash(store),
        "splits": {
            name: {
                "documents": part["documents"],
                "tokens": part["tokens"],
                "bytes": store.n_bytes(name),
            }
            for name, part in manifest["splits"].items()
        },
        "facts": {
            "Layout": (
                "a document is a line"
                if source["layout"] == "lines"
                else "a document is a file or record"
            ),
            "Tokenizer": f"{tokenizer['kind']}, {tokenizer['vocab_size']:,} tokens{loses}",
            "Splits": how[manifest["split"]["method"]],
            "Overlap": (
                f"{shares} also stands in train"
                if shares
                else "not measured: parts of one document"
            ),
            **({"Left out": dropped} if dropped else {}),
        },
        "sampling": f"temperature {READ_AT}",
    }
