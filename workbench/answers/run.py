"""All listings of a feed through a model: prepared ahead, answered in batches, written part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from workbench.answers.answers import Answers
from workbench.answers.feeds import Opened, Part, parts_of
from workbench.answers.listing import Listing
from workbench.answers.out import Counts, check, parts_to, stamp
from workbench.answers.preparation import Prepared
from workbench.batches.loader import ahead
from workbench.images.origin import place_of

BATCH = 64  # listings at once: more gain nothing on a CPU
NOTHING = "nothing to read: no text, picture "
Answer = Callable[[Prepared], pl.DataFrame]  # a line for each listing
Frames = Callable[[], Iterator[pl.DataFrame]]  # all answers, from the first on whenever it is called
Then = Callable[[Frames], Iterator[pl.DataFrame]]


@dataclass(frozen=True)
class How:
    """What is done with each listing, the same for all of a run."""

    answer: Answer
    of: Mapping[str, object]  # what makes the answers others: told to whoever goes on with a killed run
    batch: int = BATCH
    own: tuple[str, ...] = ("id", "picture")  # columns before the answers
    arrange: Callable[[Iterator[Part]], Iterator[Part]] = lambda parts: parts  # which listings are asked for, of all
    then: Then = lambda frames: frames()  # lines of `out`, of all answers
    empty: str = "null"  # a listing with nothing to read: a line of nulls ("null"), or none ("drop")


def run(
    answers: Answers,
    feeds: Sequence[Opened],
    out: Path,
    how: How,
    resume: bool = True,
    said: Callable[[int], None] = lambda listings: None,
) -> Counts:
    """Answer all listings into `out`; `said` is called with how many more are done. Raises DataError for an `out` that
    can't be written, or that is the feed."""
    check(out, [feed.feed.path for feed in feeds])
    here = {"batch": how.batch, "device": answers.device.type, "fetch": answers.preparation.fetch is not None}
    of = {"model": answers.key, **how.of, **here, "feeds": [_told(feed, out) for feed in feeds]}
    with parts_to(out, of, resume) as parts:
        count = 0
        for part in how.arrange(part for feed in feeds for part in parts_of(feed)):
            if not parts.done(count):
                parts.add(count, *answered(answers, part, how), part.joined)
            count += 1
            said(len(part.listings))
        return parts.finish(count, how.then(lambda: parts.answers(count)))


def _told(opened: Opened, out: Path) -> dict[str, object]:
    """What the feed is, and whether it has changed; `out` may lie in its folder."""
    feed = opened.feed
    files = [path for path in (feed.path, place_of(feed)) if path and (path == feed.path or path.is_file())]
    told = feed.model_dump(mode="json", exclude={"database"})
    return {
        **told,
        "like": opened.like,
        "files": [list(line) for line in stamp(files) if not line[0].startswith(str(out.absolute()))],
    }


def answered(answers: Answers, part: Part, how: How) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Answers and drops of a part of a feed."""
    found, drops = list[pl.DataFrame](), [part.drops]
    starts = range(0, len(part.listings), how.batch)
    for start, (prepared, table) in zip(starts, _each(answers, part.listings, starts, how), strict=True):
        batch, some = prepared.batch, part.listings[start : start + how.batch]
        there = pl.Series((batch.has_text_B | batch.has_image_B).numpy())
        table = _own(some, prepared).select(how.own).hstack(table.select(pl.when(there).then(pl.all()).name.keep()))
        if how.empty == "drop":
            drops.append(_drops(part, start, some, prepared, there))
            table = table.filter(there)
        found.append(table)
    if not found:
        found = [_nothing(answers, how)]
    return pl.concat(found), pl.concat(drops).sort("file", "line", maintain_order=True)


def _each(
    answers: Answers, listings: Sequence[Listing], starts: range, how: How
) -> Iterator[tuple[Prepared, pl.DataFrame]]:
    """What each batch is prepared to, and its answers; the next is prepared meanwhile."""

    def begin(start: int) -> Callable[[], Prepared]:
        prepared = answers.preparation.prepare(listings[start : start + how.batch])
        return lambda: prepared

    for prepared in ahead(begin, starts, 1):
        yield prepared, how.answer(prepared)


def _nothing(answers: Answers, how: How) -> pl.DataFrame:
    """No listing: what the columns are."""
    one = [Listing("")]
    prepared = answers.preparation.prepare(one)
    return _own(one, prepared).select(how.own).hstack(how.answer(prepared)).clear()


def _own(some: Sequence[Listing], prepared: Prepared) -> pl.DataFrame:
    titles = [listing.texts.get("title") for listing in some]
    own = {"id": [listing.id for listing in some], "title": titles, "picture": prepared.pictures}
    return pl.DataFrame(own, dict.fromkeys(own, pl.String))


def _drops(part: Part, start: int, some: Sequence[Listing], prepared: Prepared, there: pl.Series) -> pl.DataFrame:
    reasons = [f"{NOTHING}{state}" for state in prepared.pictures]
    own = _own(some, prepared).select("id", "title", reason=pl.Series(reasons, dtype=pl.String))
    return part.lines.slice(start, len(some)).hstack(own).filter(~there)
