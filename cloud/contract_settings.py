"""Settings of contracts."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from cloud.settings import Told


class ContractSettings(BaseModel):
    """How people come to a contract."""

    contract_links: Annotated[
        str,
        Field(max_length=150, pattern=r"^[a-z][a-z0-9+.-]*:[A-Za-z0-9._~:/?#=&%-]*$"),
        Told(
            "What the links in invitations to contracts begin with; a token of 32 characters follows.",
            "The page or application at which people sign is not a part of this service.",
        ),
    ] = "verifield://contracts/"
