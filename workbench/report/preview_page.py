"""A preview as one HTML file that needs nothing else."""

from __future__ import annotations

from PIL import Image

from workbench.report.gallery import MOST_PIXELS, covered
from workbench.report.page import environment
from workbench.report.preview import Preview
from workbench.report.preview_text import measured_lines, summary
from workbench.report.shelf import png


def render(name: str, preview: Preview) -> str:
    """The page; its pictures are named after the listing, the epoch and whether something is hidden."""
    pictures = {}
    for i, listing in enumerate(preview.listings):
        for view in listing.views:
            if view.pixels_CHW is not None:
                for role, seen_CHW in (("whole", view.pixels_CHW), ("read", covered(view.pixels_CHW, view.hidden_P))):
                    image = Image.fromarray(seen_CHW.transpose(1, 2, 0))
                    pictures[f"{i}-{view.epoch}-{role}"] = png(image, MOST_PIXELS)
    table, said = list(measured_lines(preview.measured)), list(summary(preview))
    return environment(pictures).get_template("preview.html").render(name=name, p=preview, table=table, said=said)
