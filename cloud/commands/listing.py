"""What commands that list have in common: a filter, one page at a time, a document that is kept as a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cloud.client import OperatorClient
from cloud.commands.common import err, print_json
from cloud.commands.files import write_new
from cloud.paging import MAX_PAGE_SIZE

FIRST_PAGE = "first"

FilterOption = Annotated[
    str, typer.Option("--filter", metavar="FILTER", help="Only those for which it is true; see docs/api.md.")
]
PageOption = Annotated[
    str | None,
    typer.Option(
        "--page", metavar="TOKEN", help="One page only: 'first', or the token that the last one ended with."
    ),
]


def fetch(
    client: OperatorClient, method: Callable[..., Any], request: Any, *, items: str, page: str | None
) -> tuple[list[Any], str]:
    """What a method lists (the field ``items`` of its answers), and the token of the next page.

    Without ``page`` all pages are fetched. A page may be short, or empty, and yet have a next one.

    Raises:
        ClientError: the service does not answer, or refused.
    """
    request.page_size = MAX_PAGE_SIZE
    if page is None:
        answers = list(client.pages(method, request))
        return [one for answer in answers for one in getattr(answer, items)], ""
    request.page_token = "" if page == FIRST_PAGE else page
    answer = client.call(method, request)
    return list(getattr(answer, items)), answer.next_page_token


def with_next(shown: dict[str, Any], page: str | None, next_page: str) -> dict[str, Any]:
    """What is printed as JSON, with the next page's token where one page was asked for."""
    return shown if page is None else shown | {"next_page": next_page}


def tell_next(next_page: str) -> None:
    """Say how to go on, beside the table."""
    if next_page:
        err().print(f"More: --page {next_page}", markup=False)


def keep_document(out: Path, answers: Sequence[Any], *, as_json: bool) -> None:
    """Write a document for its reader alone; its parts have ``content``, the first one its ``document`` too.

    Raises:
        SetupError: OUTPUT_EXISTS, OUTPUT_UNWRITABLE.
    """
    write_new(out, b"".join(answer.content for answer in answers))
    found = answers[0].document
    if as_json:
        told = {"media_type": found.media_type, "sha256": found.sha256.hex()}
        print_json({"file": str(out), "size_bytes": found.size_bytes} | told)
    else:
        err().print(f"Wrote {out}: {found.media_type}, {found.size_bytes} bytes.", markup=False)
