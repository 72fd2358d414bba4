"""What was pushed of a recipe: it stands in for feeds and pictures that are not on this machine.

Keys hold digests of the files a recipe names. A machine that only trains has none of those files, so a push leaves
their digests, and how each feed was read, beside the artifacts. A file that is here is always read itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from workbench.artifacts.remote import Remote, Sent
from workbench.artifacts.store import Artifact
from workbench.errors import ArtifactError, RecipeError
from workbench.recipe.schema import Catalog, Feed
from workbench.recipe.secrets import without_password

DATA = ("ingest", "fetch", "images", "duplicates", "split", "tokens")  # stages that a push copies

Sources = Mapping[str, Mapping[str, str]]  # recipe key -> name of the file, sha256 of its content


@dataclass(frozen=True)
class Pushed:
    """The record of one recipe, by recipe keys such as catalog.feeds.0.path."""

    when: str  # day and time, UTC
    sources: Sources
    feeds: Sequence[Mapping[str, Any]]  # of each feed: what the recipe asks of it, and how it was read
    keys: Mapping[str, str]  # stage -> key of the artifact

    @classmethod
    def of(
        cls, catalog: Catalog, sources: Mapping[str, Mapping[str, str]], artifacts: Mapping[str, Artifact]
    ) -> Pushed:
        """The record of now; `artifacts` by stage, ingest among them."""
        when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
        read = artifacts["ingest"].ingredients["section"]["catalog"]["feeds"]
        feeds = [{"asked": _asked(feed, catalog), "read": how} for feed, how in zip(catalog.feeds, read, strict=True)]
        return cls(when, sources, feeds, {name: artifact.key for name, artifact in artifacts.items()})

    @classmethod
    def load(cls, remote: Remote, name: str) -> Pushed | None:
        """The record of the recipe of this name, or None."""
        content = remote.json(_file(name))
        try:
            return None if content is None else cls(**content)
        except TypeError:
            raise ArtifactError(f"{remote.shown}/{_file(name)}: of another version of mlim; push again") from None

    def save(self, remote: Remote, name: str) -> None:
        remote.put_json(_file(name), asdict(self))

    def digest(self, key: str, name: str) -> str | None:
        """Of the source of this key, if it had this name."""
        source = self.sources.get(key)
        return source["sha256"] if source and source["name"] == name else None

    def read(self, number: int, catalog: Catalog) -> Mapping[str, Any]:
        """How feed `number` was read. Raises RecipeError where the recipe asks something else of it now."""
        key = f"catalog.feeds.{number}"
        asks = _asked(catalog.feeds[number], catalog)
        asked = self.feeds[number]["asked"] if number < len(self.feeds) else {}
        if differing := sorted(name for name in asks.keys() | asked.keys() if asks.get(name) != asked.get(name)):
            raise RecipeError(
                f"{key}: is not (wholly) on this machine, and was pushed on {self.when} from a recipe that differs "
                f"in its {', '.join(differing)}; push this recipe from where the feed is, or take back the change"
            )
        read: Mapping[str, Any] = self.feeds[number]["read"]
        return read


def push(
    remote: Remote,
    name: str,
    catalog: Catalog,
    sources: Sources,
    artifacts: Mapping[str, Artifact],
    tell: Callable[[str], None],
) -> dict[str, Sent]:
    """Copy a recipe's artifacts, by stage, to an object store, its record last; `tell` hears of each file."""
    sent = {stage: remote.push(artifact, tell) for stage, artifact in artifacts.items()}
    Pushed.of(catalog, sources, artifacts).save(remote, name)
    return sent


def _file(name: str) -> str:
    return f"recipes/{name}.json"


def _asked(feed: Feed, catalog: Catalog) -> dict[str, Any]:
    """What decides how a feed is read, beside its content: no paths, no passwords."""
    asked = feed.model_dump(mode="json", exclude={"path", "pictures"}, exclude_none=True)
    if feed.database:
        asked["database"] = without_password(feed.database)
    return asked | {"file": feed.path.name if feed.path else None, "language": catalog.language}
