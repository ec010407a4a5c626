"""What scripts may rely on: the JSON of `hub list`, `hub papers`, `hub info`, `hub bench`; exit statuses."""

import json

import pytest

from applications.cli import VERBS, dispatch


def answer(capsys, *line):
    assert dispatch(list(line)) == 0
    return json.loads(capsys.readouterr().out)


def test_list(capsys):
    rows = answer(capsys, "list", "--json")
    assert len(rows) > 40
    for row in rows:
        assert {"name", "room", "module", "title", "paper", "slug", "params", "gmacs"} <= set(row)
    by_name = {row["name"]: row for row in rows}
    assert by_name["resnet50"]["params"] == 25_557_032 and by_name["resnet50"]["room"] == "models"
    assert {row["room"] for row in answer(capsys, "list", "--room", "losses", "--json")} == {"losses"}
    assert [row["name"] for row in answer(capsys, "list", "ResNet-50", "--json")] == ["resnet50"]


def test_info_forgives_case_and_separators(capsys):
    facts = answer(capsys, "info", "Wide-ResNet50_2", "--json")
    assert facts["params"] == 68_883_240 and facts["memory"] == 4 * 68_883_240


def test_papers(capsys):
    rows = {row["slug"]: row for row in answer(capsys, "papers", "--json")}
    assert len(rows) > 200
    for row in rows.values():
        assert {"slug", "title", "entries", "application", "checked"} <= set(row)
    assert rows["multi_digit_recognition"]["application"] == "street_number"
    assert "resnet18" in rows["resnet"]["entries"] and rows["resnet"]["checked"]
    assert rows["resnet18"]["entries"] == rows["resnet"]["entries"]  # the catalogue has that paper twice
    missing = {row["slug"] for row in answer(capsys, "papers", "--missing", "--json")}
    assert "accelerated_imp" in missing and not missing & {"resnet", "wrn", "multi_digit_recognition"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        dispatch([verb, "--help"])
    page = capsys.readouterr().out
    assert stop.value.code == 0 and "examples:" in page and f"hub {verb}" in page


def test_overview_and_check(capsys):
    assert dispatch([]) == 0
    page = capsys.readouterr().out
    assert all(f"  {verb} " in page for verb in VERBS)
    assert dispatch(["check", "maxout"]) == 0
    assert "0 promises broken" in capsys.readouterr().out


@pytest.mark.slow
def test_bench_and_what_info_remembers_of_it(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("HUB_CACHE", str(tmp_path))
    assert "hub bench resnet_tiny" in answer(capsys, "info", "resnet_tiny", "--json")["latency"]
    found = answer(capsys, "bench", "wrn_tiny", "ResNet-tiny", "--batch-size", "2", "--json")
    assert [row["name"] for row in found] == ["wrn_tiny"] * 6 + ["resnet_tiny"] * 6
    rows = {row["runtime"]: row for row in found[6:]}
    assert {"keras predict", "tf.function", "saved_model", "tflite float32", "tflite float16", "tflite int8"} == set(
        rows
    )
    assert rows["keras predict"]["ratio"] == 1 and all(row["ms_per_image"] > 0 for row in rows.values())
    assert rows["saved_model"]["max_difference"] < 1e-2
    known = answer(capsys, "info", "resnet_tiny", "--json")["latency"]
    assert known["batch_size"] == 2
    assert known["ms_per_image"] == {runtime: row["ms_per_image"] for runtime, row in rows.items()}
