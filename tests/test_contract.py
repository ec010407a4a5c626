"""Every registered name keeps the hub's contract."""

import pytest

import hub
from hub import contract

ENTRIES = hub.list()
CASES = [(entry, promise) for entry in ENTRIES for promise in contract.promises(entry)]


@pytest.mark.parametrize(("entry", "promise"), CASES, ids=lambda x: getattr(x, "name", None) or x.__name__)
def test_contract(entry, promise, request):
    if reason := entry.skip.get(promise.__name__):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    promise(entry)


def test_the_walk_saw_everything():
    """Counts the decorators in the source by plain text, so that an unindexed one is noticed."""
    import pathlib
    import re

    text = "".join(path.read_text() for path in pathlib.Path(hub.__file__).parent.glob("*/*.py"))
    assert len(ENTRIES) == len(re.findall(r"^@register\(", text, re.M)) > 40
    names = {promise.__name__ for entry in ENTRIES for promise in contract.promises(entry) if entry.name in entry.skip}
    for entry in ENTRIES:
        known = {promise.__name__ for promise in contract.promises(entry)}
        assert set(entry.skip) <= known | names, f"{entry.name} skips a promise it never made"
