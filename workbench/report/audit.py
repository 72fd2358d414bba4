"""The Audit stage: the trained network turned on the catalog, for wrong pictures and wrong texts (docs/audit.md).

audit.csv    every listing: those with a text and a picture ranked, the least fitting first; the others with a reason
audit.html   the first of them: picture, title, the words that the network says from the picture, its redrawn picture
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.artifacts.stage import Stage, Work
from workbench.errors import DataError
from workbench.recipe.schema import Audit, Pretrain
from workbench.report.asked import asked

if TYPE_CHECKING:
    import polars as pl

    from workbench.report.crossmodal import Rows
    from workbench.report.misfit import Misfit
    from workbench.report.trained import Trained


WORDS = ("id", "title", "picture", "part", "best_stranger", "reason")  # columns of audit.csv that hold no number


def stage(name: str, audit: Audit, pretrain: Pretrain, digests: Mapping[str, str]) -> Stage:
    """The audit of the recipe called `name`, by its network or that of `audit.checkpoint`, digested in `digests`."""
    believed, needs = asked(audit.checkpoint, pretrain)
    section: dict[str, Any] = {"name": name, "audit": audit.model_dump(mode="json", exclude={"checkpoint"})}
    return Stage(
        name="audit",
        version=1,
        section={**section, **believed},
        needs=needs,
        sources=dict(digests),
        run=lambda work: _run(work, name, audit, pretrain),
    )


def _run(work: Work, name: str, audit: Audit, pretrain: Pretrain) -> Mapping[str, Any]:
    # Imported here: a plan needs the stage above, not torch.
    import numpy as np

    from workbench.report.audit_page import render, shown
    from workbench.report.misfit import misfit
    from workbench.report.trained import open_trained

    trained = open_trained(work, audit.checkpoint, pretrain)
    catalog = trained.catalog
    rows = np.flatnonzero(catalog.shards.usable & (catalog.listings.tokens.lengths > 0))
    check(trained, rows)
    found = misfit(trained, rows, audit.strangers, work.console)
    lines = table(trained, rows, found)
    lines.write_csv(work.folder / "audit.csv")
    listings, pictures = shown(trained, lines.head(min(audit.shown, len(rows))))
    (work.folder / "audit.html").write_text(render(name, listings, pictures, len(rows)), "utf-8")
    left_out = lines["reason"].drop_nulls().value_counts().sort("reason")
    return {
        "listings": lines.height,
        "audited": len(rows),
        "left_out": dict(left_out.iter_rows()),
        "gain": {loss: float(fit_n.mean()) for loss, fit_n in found.fits.items()},
        "above_0": int((found.score_n > 0).sum()),
        "asked": ", ".join(found.fits),
    }


def check(trained: Trained, rows: Rows) -> None:
    """Raises DataError where these rows, all that have a text and a picture, can't be audited."""
    if not len(rows):
        raise DataError(
            "audit: no listing has both a usable picture and a text; name the pictures' column and place in "
            "catalog.feeds (columns.picture, pictures)"
        )
    if trained.catalog.items["group"].gather(rows).n_unique() < 2:
        raise DataError(
            "audit: all listings with a picture and a text are of one product group; strangers are of another"
        )


def table(trained: Trained, rows: Rows, found: Misfit) -> pl.DataFrame:
    """The lines of audit.csv: each listing of the catalog once, ranked or with the reason why not."""
    import polars as pl

    from workbench.report.shelf import title_of

    items = trained.catalog.items
    ids = [*items["id"].gather(rows), None]  # the last for -1
    columns: dict[str, Any] = {"row": rows, "score": found.score_n}
    for loss, loss_Sn in found.losses.items():
        columns |= {f"{loss}_own": loss_Sn[0], f"{loss}_strangers": loss_Sn[1:].mean(0)}
        columns |= {f"{loss}_fit": found.fits[loss]}
    columns |= {"beaten": found.beaten_n, "best_stranger": [ids[place] for place in found.best_n]}
    ranked = (
        pl.DataFrame(columns, schema_overrides={"best_stranger": pl.String, "row": items.schema["row"]})
        .sort("score", "row", descending=[True, False])
        .with_row_index("rank", 1)
        .with_columns(pl.selectors.float().round_sig_figs(6))
    )
    states, lengths = trained.catalog.shards.states, trained.catalog.listings.tokens.lengths
    titles = [title_of(line) for line in items.iter_rows(named=True)]
    reason = ["no text" if not n else f"picture {state}" for n, state in zip(lengths, states, strict=True)]
    every = items.select("id", "row", "picture", "part").with_columns(
        title=pl.Series(titles, dtype=pl.String), reason=pl.Series(reason, dtype=pl.String)
    )
    joined = every.join(ranked, on="row", how="left").sort("rank", "row", nulls_last=True)
    reason_why = pl.when(pl.col("rank").is_null()).then("reason").alias("reason")
    return joined.select("rank", "id", "row", "title", "picture", "part", *ranked.columns[2:], reason_why)


def told(lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Lines for the terminal: rank, id, title, score, share of strangers that fit better."""
    return [
        (str(line["rank"]), line["id"], line["title"], f"{float(line['score']):+.2f}", f"{float(line['beaten']):.0%}")
        for line in lines
        if line["rank"]
    ]
