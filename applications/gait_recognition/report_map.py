"""The section of the report that shows walks: a map of their embeddings, and silhouettes."""

import numpy as np

from applications.gait_recognition.result import Result
from applications.report import Card, Html, gallery, paragraph
from applications.report_parts import embedding_map

CASIA_B = ("nm", "bg", "cl")


def walks(result: Result) -> list[Html]:
    """Each walk a point; people by colour and name, conditions by shape."""
    kinds = np.array([condition.rpartition("-")[0] or condition for condition in result.place_condition.tolist()])
    shapes = {kind: kinds == kind for kind in sorted(set(kinds.tolist()), key=_order)}
    remark = "Shapes: what was worn or carried."
    return [embedding_map(result.place, result.place_subject, shapes, ("walks", "people"), remark)]


def strips(result: Result) -> list[Html]:
    """Some walks, frame by frame."""
    if not result.examples:
        return [paragraph("None shown.", "muted")]
    cards = [Card((strip,), (f"silhouettes of a walk: {words}",), words) for words, strip in result.examples]
    return [Html(f'<div class="strips">{gallery(cards)}</div>')]


def _order(kind: str) -> tuple[int, str]:
    """CASIA-B's three as the papers name them, then others."""
    return CASIA_B.index(kind) if kind in CASIA_B else len(CASIA_B), kind
