"""The Probes stage: do pictures and words inform each other on products that no training saw?

probes.json      the losses and their differences (docs/report.md, probes); only a `reason` when nothing is held out
probes.parquet   the same by listing; see crossmodal.py for the columns
samples.json     listings as the model sees them (docs/report.md, samples), their pictures in pictures/*.png
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workbench.artifacts.stage import Stage, Work
from workbench.recipe.schema import Mam, Model, Probes, Report


def stage(report: Report, probes: Probes, digests: Mapping[str, str]) -> Stage:
    """The probes of the pre-trained network; they read no file but artifacts, so `digests` is empty."""
    return Stage(
        name="probes",
        version=1,
        section={
            "report": report.model_dump(mode="json", include={"examples"}),
            "probes": probes.model_dump(mode="json"),
        },
        needs=("ingest", "images", "duplicates", "split", "tokens", "pretrain"),
        sources=dict(digests),
        run=lambda work: _run(work, report, probes),
    )


def _run(work: Work, report: Report, probes: Probes) -> Mapping[str, Any]:
    # Imported here: a plan needs the stage above, not torch.
    from workbench.report.crossmodal import Probe, sampled
    from workbench.report.gallery import choose, write_samples
    from workbench.tasks.catalog import choose_device, open_catalog
    from workbench.tasks.network import load_network

    trained = work.inputs["pretrain"].ingredients["section"]
    catalog = open_catalog(work.inputs, Model.model_validate(trained["model"]), work.runtime)
    part = "test" if len(catalog.pictured("test")) else "valid"
    rows = sampled(catalog.pictured(part))
    masking = trained["pretrain"]["masking"]
    probe = Probe(
        network=load_network(work.inputs["pretrain"].folder).eval(),
        catalog=catalog,
        masking=Mam.model_validate(masking) if masking["policy"] == "mam" else Mam(),
        background=work.inputs["images"].ingredients["section"]["images"]["background"],
        device=choose_device(work),
    )
    write_samples(work.folder, probe, choose(catalog.items, rows, report.examples))

    if catalog.items["group"].gather(rows).n_unique() < 2:
        found: dict[str, Any] = {
            "reason": "fewer than two product groups with a usable picture and a text are held out"
        }
    else:
        losses = probe.losses(rows, probes.draws, work.console)
        losses.write_parquet(work.folder / "probes.parquet")
        found = {"part": part, **probe.summary(losses, probes.draws, probes.bootstrap)}
    (work.folder / "probes.json").write_text(json.dumps(found, indent=1, allow_nan=False))
    return found
