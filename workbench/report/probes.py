"""The Probes stage: do pictures and words inform each other on products that no training saw (docs/probes.md)?

probes.json      the losses and their gaps (docs/report.md, probes); only a `reason` when nothing can be probed
probes.parquet   the losses by listing; see crossmodal.py for the columns
samples.json     listings as the model sees them (docs/report.md, samples), their pictures in pictures/*.png
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.artifacts.stage import Stage, Work
from workbench.errors import RecipeError
from workbench.recipe.schema import Pretrain, Probes, Report
from workbench.report.asked import asked

if TYPE_CHECKING:
    from workbench.report.crossmodal import Probe, Rows


def stage(report: Report, probes: Probes, pretrain: Pretrain, digests: Mapping[str, str]) -> Stage:
    """The probes of the pre-trained network, or of `probes.checkpoint`, whose digest is then in `digests`."""
    believed, needs = asked(probes.checkpoint, pretrain)
    section: dict[str, Any] = {
        "report": report.model_dump(mode="json", include={"examples"}),
        "probes": probes.model_dump(mode="json", exclude={"checkpoint"}),
    }
    return Stage(
        name="probes",
        version=2,
        section={**section, **believed},
        needs=needs,
        sources=dict(digests),
        run=lambda work: _run(work, report, probes, pretrain),
    )


def _run(work: Work, report: Report, probes: Probes, pretrain: Pretrain) -> Mapping[str, Any]:
    # Imported here: a plan needs the stage above, not torch.
    from workbench.report.crossmodal import Probe, sampled
    from workbench.report.gallery import choose, write_samples
    from workbench.report.trained import open_trained

    trained = open_trained(work, probes.checkpoint, pretrain)
    catalog, probe = trained.catalog, Probe(trained)
    if probes.by and f"label.{probes.by}" not in catalog.items.columns:
        known = [name[6:] for name in catalog.items.columns if name.startswith("label.")]
        raise RecipeError(f"probes.by: no label {probes.by!r}; labels in catalog.feeds.columns: {', '.join(known)}")
    part = "test" if len(catalog.pictured("test")) else "valid"
    rows = sampled(catalog.pictured(part), probes.listings)
    write_samples(work.folder, probe, choose(catalog.items, rows, report.examples))
    found = _found(work, probe, rows, probes)
    if "listings" in found:
        named = {"checkpoint": probes.checkpoint.name} if probes.checkpoint else {}
        found = {"part": part, **named, **found}
    (work.folder / "probes.json").write_text(json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False), "utf-8")
    return found


def _found(work: Work, probe: Probe, rows: Rows, probes: Probes) -> dict[str, Any]:
    from workbench.report.gaps import gaps

    trained = probe.trained
    items = trained.catalog.items[rows.tolist()]
    if not trained.objectives:
        return {"reason": "the network was trained neither to say hidden words nor to redraw pictures"}
    if items["group"].n_unique() < 2:
        return {"reason": "fewer than two product groups with a usable picture and a text are held out"}
    losses = probe.losses(rows, probes.draws, work.console)
    losses.write_parquet(work.folder / "probes.parquet")
    by = {"by": probes.by} if probes.by else {}
    found = gaps(losses, probes.bootstrap, items[f"label.{probes.by}"].to_list() if by else None)
    left_out = dict(trained.untrained)
    if "mlm" in trained.objectives and "mlm" not in found:
        left_out["mlm"] = "no word was hidden: the texts are too short, or pretrain.masking.heavy_text is too low"
    told = {"draws": probes.draws, "bootstrap": probes.bootstrap, "blank": trained.background}
    return {"listings": len(rows), **told, **by, **({"left_out": left_out} if left_out else {}), **found}
