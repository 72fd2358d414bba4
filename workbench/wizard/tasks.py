"""What a model of this feed can be tuned for, the likeliest wish first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.wizard.cells import Label
from workbench.wizard.sight import Sight

SENSIBLE = 300  # classes: a label of more is more likely a name than a kind
SHELVES = ("category", "categories", "department", "product_type", "class", "section", "aisle", "subcategory")
FEW = 0.5  # share of the products with a label, below which it is no first choice


@dataclass(frozen=True)
class Wish:
    """A task that the data allows."""

    said: str  # for people
    task: str
    section: dict[str, Any]
    why: str  # a comment beside it
    without: tuple[str, ...] = ()  # texts that say the answer


def wishes(sight: Sight) -> list[Wish]:
    """Classes by each label; the same product found by group or code; search; missing attributes."""
    found = [
        Wish(
            f"tell the {label.name} of a product ({label.classes} classes of 2 products and more; {label.filled:.0%})",
            "classify",
            {"label": label.name},
            f"{label.classes} classes",
            label.said_by,
        )
        for label in sorted(sight.labels, key=_unlikely)
    ]
    by = next((role for role in ("group", "code") if sight.groups[role] >= 20), None)
    if by:
        said = f"{sight.groups[by]:,} values of {by} have several listings"
        found.append(Wish(f"find listings of one product ({said})", "match", {"mine": {"by": by}}, said))
        found.append(Wish(f"search by words and pictures ({said})", "retrieve", {"by": by}, said))
    filled = [c for c in sight.columns if c.role.startswith("text ") and c.filled >= 0.2 and 1 < c.values <= SENSIBLE]
    names = [
        column.role.removeprefix("text ") for column in filled if column.values < column.filled * sight.products / 3
    ]
    if names:
        found.append(
            Wish(
                f"fill in missing attributes ({', '.join(names)})",
                "fill",
                {"attributes": names},
                "said by the model where it is sure",
            )
        )
    return found


def _unlikely(label: Label) -> tuple[bool, ...]:
    """False first: what a shop's shelves are named after, where most products have it and it isn't half a name."""
    return label.classes > SENSIBLE, label.filled < FEW, label.name not in SHELVES
