"""What a batch of requests asks -> listings as the model reads them -> answers: the two steps of the line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from workbench.answers.listing import Listing
from workbench.answers.pairs import threshold
from workbench.serve.limits import Limits, Refused
from workbench.serve.line import Job
from workbench.serve.reading import Item

if TYPE_CHECKING:
    from workbench.answers.answers import Answers
    from workbench.answers.index import Index
    from workbench.answers.preparation import Prepared

NO_LABELS = ("match", "retrieve", "cross")  # tasks that say nothing of a listing by itself


@dataclass(frozen=True)
class Read:
    """The listings of some requests side by side; `starts` are the places of each request's first."""

    jobs: Sequence[Job]
    starts: Sequence[int]
    prepared: Prepared
    there: Sequence[bool]  # whether there is anything to read of a listing

    def of(self, kind: str) -> Iterator[tuple[Job, slice]]:
        for job, start in zip(self.jobs, self.starts, strict=True):
            if job.kind == kind:
                yield job, slice(start, start + len(job.items))


class Service:
    """A model and, perhaps, an index, asked by requests of four kinds: predict, match, embed, search."""

    def __init__(self, answers: Answers, index: Index | None, limits: Limits) -> None:
        self.answers, self.index, self.limits = answers, index, limits
        preparation = answers.preparation
        most = min(preparation.images.max_pixels, limits.pixels)
        preparation.images = preparation.images.model_copy(update={"max_pixels": most, "too_large": "refuse"})
        self.fields: Sequence[str] = preparation.fields
        self.labels = [task for task in answers.tasks if task not in NO_LABELS]
        self._threshold = threshold(answers.of_pairs) if "match" in answers.tasks else 1.0

    def prepare(self, jobs: Sequence[Job]) -> Read | None:
        """Decode and encode all; a request with a picture that can't be read has its answer then."""
        listings = [Listing(item.id, item.texts, item.picture) for job in jobs for item in job.items]
        prepared = self.answers.preparation.prepare(listings)
        starts = [0, *accumulate(len(job.items) for job in jobs)][:-1]
        there = _there(prepared)
        for job, start in zip(jobs, starts, strict=True):
            job.outcome = _broken(job.items, prepared.pictures[start:])
            if job.kind == "search" and not job.outcome and not there[start]:
                reason = f"nothing is left to look for: no word that is read, picture {prepared.pictures[start]}"
                job.outcome = Refused(422, reason, "texts")
        left = [place for place, job in enumerate(jobs) if job.outcome is None]
        return Read([jobs[n] for n in left], [starts[n] for n in left], prepared, there) if left else None

    def answer(self, read: Read) -> None:
        """Each kind's requests at once; the network reads the batch when the first of them needs it."""
        for answer in (self._predict, self._match, self._embed, self._search):
            kind = answer.__name__.strip("_")
            if asked := [*read.of(kind)]:
                answer(read, asked)

    def _predict(self, read: Read, asked: Sequence[tuple[Job, slice]]) -> None:
        wanted = {task for job, _ in asked for task in job.wants}
        tables = {task: self.answers.table(task, read.prepared.batch).to_dicts() for task in wanted}
        for job, span in asked:
            told = _told(job.items, read.prepared.pictures[span])
            labels = [
                {task: tables[task][place] if read.there[place] else None for task in job.wants}
                for place in range(span.start, span.stop)
            ]
            job.outcome = {"answers": [{**each, "tasks": tasks} for each, tasks in zip(told, labels, strict=True)]}

    def _match(self, read: Read, asked: Sequence[tuple[Job, slice]]) -> None:
        sides = np.concatenate([np.arange(span.start, span.stop) for _, span in asked]).reshape(-1, 2)
        found = self.answers.match_read(read.prepared.batch, sides[:, 0], sides[:, 1]).tolist()
        told = iter(
            {
                "probability": probability if (there := read.there[left] and read.there[right]) else None,
                "match": probability >= self._threshold if there else None,
                "pictures": _states([read.prepared.pictures[left], read.prepared.pictures[right]]),
            }
            for (left, right), probability in zip(sides.tolist(), found, strict=True)
        )
        for job, _ in asked:
            job.outcome = {"answers": [*islice(told, len(job.items) // 2)]}

    def _embed(self, read: Read, asked: Sequence[tuple[Job, slice]]) -> None:
        points = self.answers.points(read.prepared.batch).tolist()
        for job, span in asked:
            told = _told(job.items, read.prepared.pictures[span])
            own = [point if there else None for point, there in zip(points[span], read.there[span], strict=True)]
            job.outcome = {"answers": [{**each, "embedding": p} for each, p in zip(told, own, strict=True)]}

    def _search(self, read: Read, asked: Sequence[tuple[Job, slice]]) -> None:
        assert self.index
        points = self.answers.points(read.prepared.batch)[[span.start for _, span in asked]]
        places, scores = self.index.nearest(points, max(job.wants for job, _ in asked))
        for (job, span), found, alike in zip(asked, places, scores, strict=True):
            results = [self._found(p, s) for p, s in zip(found[: job.wants].tolist(), alike.tolist(), strict=False)]
            job.outcome = {"results": results, "picture": _states(read.prepared.pictures[span])[0]}

    def _found(self, place: int, score: float) -> dict[str, Any]:
        assert self.index
        id, title, picture = self._shown[place]
        return {"id": id, "title": title, "score": round(score, 6), "picture": picture}

    def thumbnail(self, id: str) -> bytes | None:
        place = self._places.get(id) if self.index else None
        return None if place is None or self.index is None else self.index.thumbnails[place]

    @cached_property
    def _shown(self) -> list[tuple[str, str | None, str | None]]:
        """id, title and the address of the small picture of every listing, made once: each is found again and again."""
        if self.index is None:
            return []
        has, rows = self.index.thumbnails.has, enumerate(self.index.listings.select("id", "title").rows())
        return [(id, title, f"picture/{quote(id, safe='')}" if has(place) else None) for place, (id, title) in rows]

    @cached_property
    def _places(self) -> dict[str, int]:
        """Of an id that several feeds have, the first listing's."""
        return {id: place for place, (id, *_) in reversed([*enumerate(self._shown)])}


def _there(prepared: Prepared) -> list[bool]:
    there: list[bool] = (prepared.batch.has_text_B | prepared.batch.has_image_B).tolist()
    return there


def _states(pictures: Sequence[str]) -> list[str]:
    """Without the reasons why there is none."""
    return [picture.partition(":")[0] for picture in pictures]


def _told(items: Sequence[Item], pictures: Sequence[str]) -> list[dict[str, Any]]:
    return [{"id": item.id, "picture": state} for item, state in zip(items, _states(pictures), strict=True)]


def _broken(items: Sequence[Item], pictures: Sequence[str]) -> Refused | None:
    for item, picture in zip(items, pictures, strict=False):
        if picture.startswith("broken"):
            reason = picture.partition(": ")[2].replace("images.max_pixels", "this server")
            return Refused(422, reason, f"{item.where}picture")
    return None
