"""What clients ask and what they are told: the models that requests are read with, and the OpenAPI page shows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

MOST = 1024  # of anything in one request, whatever the limits: more is not even read


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Listing(Asked):
    """A listing of which nothing must be known: no field is required."""

    id: str = Field("", max_length=200, description="comes back with the answer")
    texts: dict[str, str | None] = Field(
        {}, max_length=100, description="by field; a missing or blank one counts as none"
    )
    picture: str | None = Field(None, description="the bytes of a picture's file in base64, or a data: URL")
    picture_url: str | None = Field(None, max_length=2000, description="instead, where the server allows it")


class Listings(Asked):
    listings: list[Listing] = Field(min_length=1, max_length=MOST)


class Wanted(Listings):
    tasks: list[str] | None = Field(None, max_length=10, description="absent: all that label a listing")


class Pair(Asked):
    left: Listing
    right: Listing


class Pairs(Asked):
    pairs: list[Pair] = Field(min_length=1, max_length=MOST)


class Query(Listing):
    """Words, a picture or both."""

    k: int = Field(20, ge=1, description="listings wanted")


class Error(BaseModel):
    field: str | None = Field(description="of the request, as listings[0].picture")
    reason: str


class Errors(BaseModel):
    errors: list[Error]


class Told(BaseModel):
    """What every answer about a listing says."""

    id: str
    picture: str = Field(description="present, absent, or placeholder, which counts as none")


class Labelled(Told):
    tasks: dict[str, dict[str, Any] | None] = Field(
        description="by task: labels by name, and their probabilities; null where there was nothing to read"
    )


class Predicted(BaseModel):
    answers: list[Labelled]


class Matched(BaseModel):
    probability: float | None = Field(
        description="that both are the same product, calibrated; null if there was nothing to read of one"
    )
    match: bool | None = Field(description="whether that reaches the model's threshold; null where that is")
    pictures: list[str] = Field(description="of left and right, as in other answers")


class MatchedPairs(BaseModel):
    answers: list[Matched]


class Embedded(Told):
    embedding: list[float] | None = Field(description="of length 1; null where there was nothing to read")


class EmbeddedListings(BaseModel):
    answers: list[Embedded]


class Found(BaseModel):
    id: str
    title: str | None
    score: float = Field(description="cosine, 1 at most")
    picture: str | None = Field(description="where its small picture is, on this server")


class Results(BaseModel):
    results: list[Found]
    picture: str = Field(description="of the query, as in other answers")


class Health(BaseModel):
    status: str
    tasks: list[str]
    fields: list[str] = Field(description="texts that a listing may have")
    indexed: int = Field(description="listings to search; 0 without an index")
    picture_urls: bool = Field(description="whether pictures may be given by web address")
