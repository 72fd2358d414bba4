"""The four questions: how each is asked by JSON and by a form, and what it wants to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from workbench.serve import asked
from workbench.serve.limits import Refused
from workbench.serve.reading import Item
from workbench.serve.service import Service

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Kind:
    """Its path and what is said of it; bodies of JSON, of a form (one listing, pair or query), and the answer's."""

    name: str
    told: str
    json: type[asked.Asked]
    form: type[asked.Asked]
    answer: type[BaseModel]
    items: Callable[[Any, Files], list[Item]]
    wants: Callable[[Any, Service], Any]  # raises Refused where this server has no answer


def _listings(body: asked.Listings | asked.Listing, files: Files) -> list[Item]:
    if isinstance(body, asked.Listing):
        return [Item.of(body, "", files.get("picture"))]
    return [Item.of(listing, f"listings[{n}].") for n, listing in enumerate(body.listings)]


def _pairs(body: asked.Pairs | asked.Pair, files: Files) -> list[Item]:
    if isinstance(body, asked.Pair):
        pairs = [("", body)]
    else:
        pairs = [(f"pairs[{n}].", pair) for n, pair in enumerate(body.pairs)]
    sides = ((f"{where}{side}.", getattr(pair, side)) for where, pair in pairs for side in ("left", "right"))
    return [Item.of(listing, where, files.get(f"{where}picture")) for where, listing in sides]


def _query(body: asked.Query, files: Files) -> list[Item]:
    (item,) = _listings(body, files)
    if item.picture is None and item.url is None and not any(text and text.strip() for text in item.texts.values()):
        raise Refused(422, "nothing to search for: give words, a picture or both", "texts")
    return [item]


def _tasks(body: asked.Wanted | asked.Listing, service: Service) -> Sequence[str]:
    if not service.labels:
        raise Refused(404, "this model labels nothing: it was not tuned to classify or fill")
    wanted = getattr(body, "tasks", None)
    for number, task in enumerate(wanted or ()):
        if task not in service.labels:
            raise Refused(422, f"no such task; this model has {', '.join(service.labels)}", f"tasks[{number}]")
    return service.labels if wanted is None else list(dict.fromkeys(wanted))


def _no_wants(body: object, service: Service) -> None:
    return None


def _matches(body: object, service: Service) -> None:
    if "match" not in service.answers.tasks:
        raise Refused(404, "this model was not tuned to match listings")


def _results(body: asked.Query, service: Service) -> int:
    if service.index is None:
        raise Refused(404, "this server has no index: it was started without --index")
    if not len(service.index.listings):
        raise Refused(404, "the index of this server holds no listing")
    most = service.limits.results
    if body.k > most and "k" in body.model_fields_set:
        raise Refused(422, f"at most {most}", "k")
    return min(body.k, most, len(service.index.listings))


KINDS = (
    Kind(
        "predict",
        "Labels of listings, by name, with probabilities",
        *(asked.Wanted, asked.Listing, asked.Predicted),
        *(_listings, _tasks),
    ),
    Kind(
        "match",
        "Whether two listings are the same product",
        *(asked.Pairs, asked.Pair, asked.MatchedPairs),
        *(_pairs, _matches),
    ),
    Kind(
        "embed",
        "Listings as points: the nearer, the more alike",
        *(asked.Listings, asked.Listing, asked.EmbeddedListings),
        *(_listings, _no_wants),
    ),
    Kind(
        "search",
        "The indexed listings that are nearest to words, a picture or both",
        *(asked.Query, asked.Query, asked.Results),
        *(_query, _results),
    ),
)
