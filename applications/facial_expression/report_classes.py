"""The sections of the report that count expressions: what was taken for what, and how well each class is told."""

from collections.abc import Sequence

import numpy as np

from applications.facial_expression.result import Method, Result
from applications.report import Html, interval, paragraph, percent, text
from hub.data.face_images import EXPRESSIONS

DEEPEST = 55  # percent of colour in a cell of share 1
# A matrix is a table: its cells can be read aloud, copied, and say their share in figures. Narrow ones turn the heads.
STYLE = """
.matrices{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));gap:1.2rem 1.6rem;
margin:.6rem 0 1rem}
.matrices.odd{grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}
.matrices>figure{container-type:inline-size;margin:0;max-width:36rem}
.matrices h3{margin:.2rem 0 .4rem}
.matrices table{width:100%;table-layout:fixed;border-collapse:collapse;font-size:.85rem}
.matrices th,.matrices td{padding:.2rem 0;text-align:center;vertical-align:middle;line-height:1.2;border:0;
overflow-wrap:normal}
.matrices thead th{font-weight:500;vertical-align:bottom;font-size:.8rem}
.matrices th:first-child{width:4.6rem;text-align:right;padding-right:.5rem}
.matrices td{height:2.35rem;border:1px solid var(--line);white-space:nowrap;
background:color-mix(in srgb,var(--orange) var(--p,0%),transparent)}
.matrices td.own{background:color-mix(in srgb,var(--blue) var(--p,0%),transparent);
box-shadow:inset 0 0 0 2px var(--text)}
.matrices small{display:block;font-size:.7rem;opacity:.8}
@container (max-width:29rem){.matrices thead span{display:inline-block;writing-mode:vertical-rl;
transform:rotate(180deg)}
.matrices table{font-size:.78rem}}
.row .figures th{white-space:normal;overflow-wrap:normal}
.row .figures th,.row .figures td{padding-right:.8rem}
.classes td{white-space:nowrap}
.classes th,.classes td{padding-right:.7rem}
.classes td:nth-child(3n),.classes thead th:nth-child(3n){padding-left:.7rem;border-left:1px solid var(--line)}
.classes thead tr:first-child th{border-bottom:0;color:var(--text);text-align:left!important;
padding-left:.7rem;white-space:normal}
.classes thead tr:first-child th:nth-child(n+3){border-left:1px solid var(--line)}
.classes tbody tr:last-child>*{border-top:2px solid var(--line)}
.classes td.bar{background:linear-gradient(var(--blue),var(--blue)) no-repeat left bottom/var(--p) 3px}
@media (max-width:30rem){.classes td:nth-child(3n),.classes thead th:nth-child(3n){padding-left:.6rem}}
@media print{.classes table{font-size:7pt}.classes th,.classes td,.classes thead tr:first-child th,
.classes td:nth-child(3n),.classes thead th:nth-child(3n){padding-right:.3rem;padding-left:.3rem}
.matrices,.matrices.odd{grid-template-columns:1fr 1fr}.matrices>figure{break-inside:avoid}
.matrices td,.bar{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""


def figure_cell(figure: dict[str, float] | None) -> Html:
    """A share over its 95 % interval; a dash where it was not measured."""
    if not figure or not np.isfinite(figure["value"]):
        return Html("–")
    low, high = figure["low"], figure["high"]
    ends = "alike in every redraw" if low == high else interval(low, high)
    return Html(f'{text(percent(figure["value"]))}<br><small class="muted">{text(ends)}</small>')


def whole_percent(share: float) -> str:
    """A share without decimals; less than half a percent is said to be little, not nothing."""
    return "<1\u00a0%" if 0 < share < 0.005 else f"{100 * share:.0f}\u00a0%"


def matrices(drawn: Sequence[str]) -> Html:
    """Those that `matrix` drew, beside one another; three stand in a line, four in a square."""
    return Html(f'<div class="matrices{" odd" if len(drawn) % 2 else ""}">{"".join(drawn)}</div>')


def matrix(name: str, shares: np.ndarray, counts: np.ndarray | None, corner: tuple[str, str], caption: str) -> str:
    """Shares of rows as a table of seven expressions by seven; the diagonal is framed.

    Args:
        name: its heading.
        shares: [7, 7], rows sum to 1; NaN where there is nothing to share.
        counts: int [7, 7], printed small below the shares.
        corner: what rows and what columns are.
        caption: printed below.
    """
    rows, columns = corner
    heads = "".join(f'<th scope="col"><span>{expression}</span></th>' for expression in EXPRESSIONS)
    body = ""
    for i, expression in enumerate(EXPRESSIONS):
        size = "" if counts is None else f"<small>{counts[i].sum():,}</small>"
        cells = "".join(_cell(shares[i, j], None if counts is None else counts[i, j], i == j) for j in range(7))
        body += f'<tr><th scope="row">{expression}{size}</th>{cells}</tr>'
    return (
        f'<figure><h3>{text(name)}</h3><table><thead><tr><th scope="col"><small>{text(rows)} ↓</small>'
        f"<small>{text(columns)} →</small></th>{heads}</tr></thead><tbody>{body}</tbody></table>"
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def _cell(share: float, count: int | None, own: bool) -> str:
    kind = ' class="own"' if own else ""
    if not np.isfinite(share) or (share < 0.005 and not count):
        return f"<td{kind}></td>"
    below = "" if count is None else f"<small>{count:,}</small>"
    depth = f' style="--p:{DEEPEST * np.sqrt(share):.0f}%"'  # by the root, so that rare mistakes are seen too
    return f"<td{kind}{depth}>{text(whole_percent(share))}{below}</td>"


def worst(shares: np.ndarray) -> tuple[int, int] | None:
    """The row and column of the largest share off the diagonal."""
    off = np.where(np.eye(len(shares), dtype=bool) | ~np.isfinite(shares), 0, shares)
    return tuple(int(i) for i in np.unravel_index(off.argmax(), off.shape)) if off.any() else None


def confusions(result: Result) -> list[Html]:
    """A matrix of each method, beside one another."""
    return [matrices([_confusion(method) for method in result.methods])]


def _confusion(method: Method) -> str:
    counts = np.asarray(method.confusion)
    with np.errstate(invalid="ignore"):
        shares = counts / counts.sum(axis=1, keepdims=True)
    said = f"{np.trace(counts):,} of {counts.sum():,} right."
    if found := worst(shares):
        i, j = found
        said += (
            f" Most often wrong: {EXPRESSIONS[i]} taken for {EXPRESSIONS[j]}, {counts[i, j]:,} of {counts[i].sum():,}."
        )
    return matrix(method.name, shares, counts, ("is", "taken for"), said)


def per_class(result: Result) -> list[Html]:
    """Precision, recall and F1 of every class by every method, in one table."""
    methods = result.methods
    sizes = np.asarray(methods[0].confusion).sum(axis=1)
    best = np.nan_to_num([method.f1 for method in methods], nan=-1).max(axis=0)
    groups = "".join(f'<th scope="colgroup" colspan="3">{text(method.name)}</th>' for method in methods)
    heads = '<th scope="col">precision</th><th scope="col">recall</th><th scope="col">F1</th>' * len(methods)
    rows = []
    for k, expression in enumerate(EXPRESSIONS):
        cells = "".join(
            f"<td>{percent(method.precision[k])}</td><td>{percent(method.recall[k])}</td>"
            + _barred(method.f1[k], len(methods) > 1 and method.f1[k] == best[k])
            for method in methods
        )
        rows.append(f'<tr><th scope="row">{expression}</th><td>{sizes[k]:,}</td>{cells}</tr>')
    means = "".join(
        f"<td></td><td>{percent(value(method, 'mean_class_accuracy'))}</td><td>{percent(value(method, 'macro_f1'))}"
        "</td>"
        for method in methods
    )
    rows.append(f'<tr><th scope="row">mean of classes</th><td>{sizes.sum():,}</td>{means}</tr>')
    table = (
        f'<div class="figures classes"><div class="scroll"><table><thead><tr><th></th><th></th>{groups}</tr>'
        f'<tr><th scope="col">expression</th><th scope="col">faces</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></div>"
    )
    bold = " Bold: the best F1 of a class." if len(methods) > 1 else ""
    said = "The mean recall is the mean class accuracy. A dash: never given as an answer, or no such face."
    return [Html(table), paragraph(f"{said}{bold}", "muted")]


def value(method: Method, key: str) -> float:
    """Of one of its metrics, NaN where it was not measured."""
    return method.metrics.get(key, {}).get("value", np.nan)


def _barred(share: float, best: bool) -> str:
    if not np.isfinite(share):
        return "<td>–</td>"
    words = f"<b>{percent(share)}</b>" if best else percent(share)
    return f'<td class="bar" style="--p:{100 * share:.0f}%">{words}</td>'
