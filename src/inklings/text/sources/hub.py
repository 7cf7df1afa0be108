"""Data sets of the Hugging Face hub, streamed.

`hf:OWNER/NAME?split=train&field=text&take=250000`.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from inklings.errors import DownloadError, SourceError, import_extra, unknown_name
from inklings.text.documents import Source, Text
from inklings.text.formats.records import Wanted, record_texts
from inklings.text.sources.reading import choose_layout, make_source
from inklings.text.sources.scheme import SourceRequest, SourceScheme

PARQUET = "refs/convert/parquet"
"""The branch in which the hub keeps the records of a data set that is a script of Python."""
ALIASES = {
    "openwebtext": "hf:Skylion007/openwebtext?take=250000",
    "billion-words": f"hf:billion-word-benchmark/lm1b?revision={PARQUET}&take=250000",
}
_HUB = "the Hugging Face hub"
OPTIONS = ("split", "field", "take", "config", "revision")


@dataclass(frozen=True, kw_only=True)
class HubAddress:
    """A part of a data set on the hub."""

    name: str
    """OWNER/NAME."""
    split: str = "train"
    """Which of its own splits is read; it has nothing to do with the splits that Inklings makes of
    it.
    """
    field: str = "text"
    take: int | None = None
    """How many records, from the first; None: all."""
    config: str | None = None
    """Which of its configurations, where it has several."""
    revision: str | None = None
    """Commit, branch or tag; None: the newest commit."""

    def __str__(self) -> str:
        options = {option: getattr(self, option) for option in OPTIONS}
        return f"hf:{self.name}?" + urlencode(
            {option: value for option, value in options.items() if value is not None}
        )


def parse_address(given: str, *, field: str) -> HubAddress:
    """Read `hf:OWNER/NAME?option=value&...`.

    `field` is the one to read where the address names none.

    Raises:
        SourceError: it has another form, or an unknown option.
    """
    name, _, query = given.removeprefix("hf:").partition("?")
    form = "hf:OWNER/NAME?split=train&field=text&take=250000"
    if not all(name.split("/")) or name.count("/") > 1:
        raise SourceError(
            f"{given} does not name a data set of the Hugging Face hub. The form is {form}."
        )
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option, value in options.items():
        if option not in OPTIONS:
            raise SourceError(f"{given}: {unknown_name('option', option, OPTIONS)}")
        if not value:
            raise SourceError(f"{given}: the option {option} has no value. The form is {form}.")
    taken = options.pop("take", None)
    if taken is not None and not (taken.isascii() and taken.isdigit() and int(taken) > 0):
        raise SourceError(
            f"{given}: take is {taken!r}; it must be a number of records, at least 1."
        )
    return HubAddress(name=name, take=int(taken) if taken else None, **{"field": field, **options})


def commit(address: HubAddress) -> str:
    """Return the commit that an address means now: of its branch or tag, or the newest.

    Raises:
        SourceError: there is no such data set.
        DownloadError: the hub cannot be reached.
        MissingExtraError: the extra `hub` is not installed.
    """
    if address.revision is not None and re.fullmatch("[0-9a-f]{40}", address.revision):
        return address.revision
    hub = import_extra("huggingface_hub", f"reading {address.name} from {_HUB}", "hub")
    try:
        revision = hub.HfApi().dataset_info(address.name, revision=address.revision).sha
    except hub.errors.RepositoryNotFoundError as error:
        raise SourceError(
            f"the Hugging Face hub has no public data set {address.name!r}. The form is OWNER/NAME."
        ) from error
    except (
        Exception
    ) as error:  # the library raises those of several HTTP clients, without a common root
        raise DownloadError(_unreachable(address, error)) from error
    assert revision is not None
    return str(revision)


def read_hub(address: HubAddress, wanted: Wanted | None = None) -> Iterator[Text]:
    """Iterate over the records of a data set, one at a time over the network.

    `wanted` says what becomes of bad ones.

    Raises:
        DownloadError: the data set cannot be read.
        SourceError: a record has no such field.
        MissingExtraError: the extra `hub` is not installed.
    """
    datasets = import_extra("datasets", f"reading {address.name} from {_HUB}", "hub")
    wanted = wanted or Wanted(address.field)
    records = _records(datasets.load_dataset, address)
    for number, record in enumerate(itertools.islice(records, address.take), start=1):
        yield from record_texts(record, wanted, f"record {number} of {address.name}")


def _records(load: Any, address: HubAddress) -> Iterator[dict[str, Any]]:
    try:
        yield from load(
            address.name,
            address.config,
            split=address.split,
            revision=address.revision,
            streaming=True,
        )
    except Exception as error:  # see `commit`
        raise DownloadError(_unreachable(address, error)) from error


def _unreachable(address: HubAddress, error: Exception) -> str:
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    if "scripts are no longer supported" in reason:
        return (
            f"{address} is made by a script, which `datasets` runs no more. The hub keeps most such"
            f" sets as files too: name them with revision={PARQUET}."
        )
    return (
        f"{address} cannot be read from the Hugging Face hub: {reason}. Check the name, the"
        " options, and the connection to the network."
    )


def _open(request: SourceRequest) -> Source:
    data = request.data
    address = parse_address(ALIASES.get(data.source, data.source), field=data.field)
    address = dataclasses.replace(address, revision=commit(address))
    layout = choose_layout(data, "documents")
    field = address.field

    def read(wanted: Wanted) -> Iterator[Text]:
        return read_hub(address, dataclasses.replace(wanted, field=field))

    source = make_source(data, str(address), layout, read, [str(address)])
    return dataclasses.replace(source, remote=True)


SCHEME = SourceScheme(
    name="hub",
    form="hf:OWNER/NAME",
    takes=lambda name: name.startswith("hf:") or name in ALIASES,
    open=_open,
    known=lambda: {
        name: (f"short for {address}", "see its page on the hub")
        for name, address in ALIASES.items()
    },
)
