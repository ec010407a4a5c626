"""The gallery: exact search, a file that keeps what it acknowledged whatever happens, and `hub gallery`."""

import dataclasses
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import threading
import types

import numpy as np
import pytest

from applications.cli import dispatch
from applications.cli import gallery as verb
from hub import gallery_file
from hub.gallery import Gallery, verify

ROOT = pathlib.Path(__file__).parents[1]
HEADER = gallery_file.HEADER


def rng(seed=0):
    return np.random.default_rng(seed)


def made(folder, people=4, each=3, width=6, seed=0, name="people.gallery"):
    """A gallery of `people` times `each` random embeddings, in two records."""
    gallery = Gallery.create(folder / name, model="model-one-of-tests", width=width)
    vectors = rng(seed).normal(size=(people * each, width)).astype("float32")
    names = [f"p{i % people}" for i in range(len(vectors))]
    sources = [f"{i}.mp4" for i in range(len(vectors))]
    half = len(vectors) // 2
    gallery.add(names[:half], vectors[:half], sources[:half])
    gallery.add(names[half:], vectors[half:], sources[half:])
    return gallery, names, vectors, sources


def slow_search(names, vectors, sources, query, count):
    """(name, distance, source) of the nearest `count` people, one row at a time."""
    best = {}
    for name, vector, source in zip(names, vectors, sources, strict=True):
        distance = float(np.sqrt(((vector.astype(float) - query.astype(np.float32)) ** 2).sum()))
        if name not in best or distance < best[name][0]:
            best[name] = (distance, source)
    ranked = sorted(best.items(), key=lambda item: item[1][0])  # stable: ties in order of enrolment
    return [(name, distance, source) for name, (distance, source) in ranked[:count]]


def agrees(matches, names, vectors, sources, queries, count):
    for line, query in enumerate(queries):
        expected = slow_search(names, vectors, sources, query, count)
        assert list(zip(matches.names[line], matches.sources[line], strict=True)) == [(n, s) for n, _, s in expected]
        np.testing.assert_allclose(matches.distances[line], [d for _, d, _ in expected], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "people, each, width, offset, scale",
    [
        (40, 3, 16, 0, 1),
        (3, 200, 8, 0, 1),  # more embeddings of one person than the first candidates
        (200, 2, 64, 1000, 1e-2),  # float32's |x|² + |y|² - 2xy ranks these wrongly
        (30, 2, 16, 0, 1e-25),  # and here its squares are all zero
        (20, 2, 16, 0, 1e15),
    ],
)
def test_search_equals_brute_force(tmp_path, people, each, width, offset, scale):
    gallery = Gallery.create(tmp_path / "g", model="m", width=width)
    random = rng(people)
    vectors = (offset + scale * random.normal(size=(people * each, width))).astype("float32")
    names = [f"p{i}" for i in random.integers(0, people, len(vectors))]
    sources = [f"s{i}" for i in range(len(vectors))]
    for start in range(0, len(vectors), 50):
        part = slice(start, start + 50)
        gallery.add(names[part], vectors[part], sources[part])
    queries = np.concatenate([vectors[:25], (vectors[:15] + scale * random.normal(size=(15, width)) / 9)])
    for opened in (gallery, Gallery.open(tmp_path / "g", "m")):
        assert len(opened) == len(vectors) and opened.names() == list(dict.fromkeys(names))
        for count in (1, 5, 10_000):
            agrees(opened.search(queries, count), names, vectors, sources, queries, count)


def test_equal_embeddings_and_thresholds(tmp_path):
    gallery = Gallery.create(tmp_path / "g", model="m", width=2)
    point, far = np.float32([[3, 4]]), np.float32([[0, 0]])
    for number in range(40):
        gallery.add([f"twin{number}"], point, ["same.mp4"])
    gallery.add(["other"], far, ["other.mp4"])
    matches = gallery.search(point, 3, threshold=0)
    assert matches.names == [["twin0", "twin1", "twin2"]] and (matches.distances == 0).all() and matches.known.all()
    matches = gallery.search(far, 2, threshold=4.99)
    assert matches.names == [["other", "twin0"]] and matches.known.tolist() == [[True, False]]
    assert gallery.search(far, 2, threshold=5).known.all() and gallery.search(far, 2).known.all()


def test_verify():
    assert verify([0, 0], [3, 4], 5) == (True, 5.0) and verify([0, 0], [3, 4], 4.999) == (False, 5.0)
    for a, b in (([0, 1], [0, 1, 2]), ([], []), ([[1]], [[1]])):
        with pytest.raises(ValueError, match="of one length"):
            verify(a, b, 1)
    with pytest.raises(ValueError, match="not finite"):
        verify([np.nan], [0], 1)


def test_what_cannot_be_enrolled_or_asked(tmp_path):
    gallery, *_, vectors, _ = made(tmp_path)
    before = (tmp_path / "people.gallery").read_bytes()
    row, big = vectors[:1] + 1, np.full((1, 6), 1e30)
    for names, rows, sources, words in [
        (["a"], np.full((1, 6), np.nan), ["s"], "Embedding 0 of 1 is not finite"),
        (["a", "b"], np.stack([row[0], np.inf * row[0]]), ["s", "t"], "Embedding 1 of 2 is not finite"),
        (["a"], big, ["s"], "too large"),
        ([], np.zeros((0, 6)), [], r"shape \[N, 6\] with N of at least 1. Received shape: \(0, 6\)"),
        (["a"], row[:, :5], ["s"], r"Received shape: \(1, 5\)"),
        (["a"], row[0], ["s"], r"Received shape: \(6,\)"),
        ([""], row, ["s"], "name must be a text that is not empty. Received: ''"),
        ([" \t"], row, ["s"], "name must be"),
        ([7], row, ["s"], "name must be a text"),
        (["a"], row, [""], "source must be"),
        (["a", "b"], row, ["s"], "1 embeddings, 2 names, 1 sources"),
        (["p0"], vectors[:1], ["new.mp4"], "new.mp4 gives an embedding that is enrolled as 'p0' already"),
        (["p0"], row, ["0.mp4"], "0.mp4 is enrolled as 'p0' already"),
        (["a", "a"], np.stack([row[0], row[0]]), ["s", "t"], "t gives an embedding that is enrolled as 'a' already"),
        (["a", "a"], np.stack([row[0], row[0] + 1]), ["s", "s"], "s is enrolled as 'a' already"),
    ]:
        with pytest.raises(ValueError, match=words) as caught:
            gallery.add(names, rows, sources)
        assert "\n" not in str(caught.value)
    assert (tmp_path / "people.gallery").read_bytes() == before and len(gallery) == 12
    gallery.add(["p1"], vectors[:1], ["0.mp4"])  # somebody else may have them
    with pytest.raises(ValueError, match="count of at least 1"):
        gallery.search(row, 0)
    with pytest.raises(ValueError, match="not finite"):
        gallery.search(np.full((1, 6), np.inf))
    nobody = Gallery.create(tmp_path / "nobody", model="m", width=6)
    with pytest.raises(ValueError, match="Nobody is enrolled"):
        nobody.search(row)
    with pytest.raises(FileExistsError, match="already exists"):
        Gallery.create(tmp_path / "nobody", model="m", width=6)
    for model, width in (("", 6), ("m", 0), ("m" * 2001, 6)):
        with pytest.raises(ValueError, match="needs a model's fingerprint"):
            Gallery.create(tmp_path / "g", model=model, width=width)


def test_another_model(tmp_path):
    made(tmp_path)
    with pytest.raises(ValueError, match=r"of the model model-one-of, .* those of another;.* new gallery\.$"):
        Gallery.open(tmp_path / "people.gallery", "another")
    assert Gallery.open(tmp_path / "people.gallery", "model-one-of-tests").width == 6


def rows_of(path):
    """Everything a gallery says, in comparable form."""
    gallery = Gallery.open(path)
    return gallery.people(), [v.tolist() for part in gallery._file.embeddings(slice(None)) for v in part]


def test_no_byte_flips_unnoticed(tmp_path):
    made(tmp_path, people=2, each=2)
    path, flipped = tmp_path / "people.gallery", tmp_path / "flipped"
    whole, said = path.read_bytes(), rows_of(path)
    refused = 0
    for place in [*range(16), *range(500, 530), *range(1020, 1040), *range(1536, 1640), *range(HEADER, len(whole))]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        flipped.write_bytes(damaged)
        try:
            assert rows_of(flipped) == said  # in one of the two lengths, or where nothing is
            assert place < HEADER
        except ValueError as error:
            refused += 1
            assert str(flipped) in str(error) and "\n" not in str(error)
            assert any(words in str(error) for words in ("damaged", "not a gallery", "version"))
    assert refused > len(whole) - HEADER


def test_a_file_cut_short_is_refused_at_every_place(tmp_path):
    made(tmp_path, people=2, each=2)
    path, cut = tmp_path / "people.gallery", tmp_path / "cut"
    whole = path.read_bytes()
    for length in [1, 11, 12, 16, 600, 1040, 1600, HEADER - 1, *range(HEADER, len(whole), 3), len(whole) - 1]:
        cut.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="was cut short"):
            Gallery.open(cut)
    cut.write_bytes(b"")
    with pytest.raises(ValueError, match="is empty"):
        Gallery.open(cut)
    assert len(Gallery.create(cut, model="m", width=2)) == 0  # an interrupted beginning stands in nobody's way


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "x"
    for content in (b"PK\3\4" + bytes(9000), b"hub gallerx" + bytes(9000), bytes(9000)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a gallery"):
            Gallery.open(path)
    made(tmp_path)
    newer = bytearray((tmp_path / "people.gallery").read_bytes())
    struct.pack_into("<I", newer, 12, 2)
    path.write_bytes(newer)
    with pytest.raises(ValueError, match="version 2; this hub reads up to 1: update"):
        Gallery.open(path)


def test_what_was_not_committed_is_dropped(tmp_path):
    gallery, _, vectors, _ = made(tmp_path)
    path = tmp_path / "people.gallery"
    committed = path.read_bytes()
    said = rows_of(path)
    gallery.add(["late"], vectors[:1] + 1, ["late.mp4"])
    record = path.read_bytes()[len(committed) :]
    for rest in range(0, len(record) + 1, 7):
        path.write_bytes(committed + record[:rest] + b"\xff" * (5 if rest % 2 else 5000))
        assert rows_of(path) == said
    path.write_bytes(committed + record + b"\xff" * 5000)
    again = Gallery.open(path)
    again.add(["next"], vectors[:1] + 2, ["next.mp4"])
    assert Gallery.open(path).names() == ["p0", "p1", "p2", "p3", "next"]
    assert path.stat().st_size == len(committed) + len(record)
    # a power cut between the two copies of the length
    torn = bytearray(path.read_bytes())
    torn[512:524], torn[1024:1036] = b"torn in half", committed[1024:1036]
    path.write_bytes(torn)
    assert rows_of(path) == said


def test_a_failing_disk_changes_nothing(tmp_path, monkeypatch):
    gallery, _, vectors, _ = made(tmp_path)
    said = rows_of(tmp_path / "people.gallery")

    def full(file):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(gallery_file, "_sync", full)
        for change in (lambda: gallery.add(["a"], vectors[:1] + 1, ["a"]), lambda: gallery.remove("p0")):
            with pytest.raises(OSError, match="No space"):
                change()
    assert rows_of(tmp_path / "people.gallery") == said and len(gallery) == 12
    assert os.listdir(tmp_path) == ["people.gallery"]
    gallery.add(["a"], vectors[:1] + 1, ["a"])
    assert Gallery.open(tmp_path / "people.gallery").names()[-1] == "a"


ENROL = """
import sys, numpy as np
from hub.gallery import Gallery
gallery = Gallery.open(sys.argv[1])
random = np.random.default_rng(int(sys.argv[3]))
for number in range(int(sys.argv[4])):
    name = f"{sys.argv[2]}{number}"
    gallery.add([name] * 50, random.normal(size=(50, 64)), [f"{name}-{i}" for i in range(50)])
    print(name, flush=True)
"""


def enrolling(path, prefix, seed, count):
    command = [sys.executable, "-c", ENROL, str(path), prefix, str(seed), str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def test_killed_in_the_middle_nothing_acknowledged_is_lost(tmp_path):
    path, acknowledged = tmp_path / "g", []
    Gallery.create(path, model="m", width=64)
    for seed, lines in enumerate((1, 5, 12)):
        process = enrolling(path, f"run{seed}-", seed, 10**6)
        acknowledged += [process.stdout.readline().strip() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.read().split("\n")[:-1]  # what it had printed by then
        assert process.wait() == -signal.SIGKILL
        people = Gallery.open(path).people()
        assert set(acknowledged) <= set(people) and all(len(sources) == 50 for sources in people.values())
        assert len(people) - len(acknowledged) <= seed + 1  # at most one per kill was stored and not yet told
    gallery = Gallery.open(path)
    random = rng(2)
    first = [random.normal(size=(50, 64)) for _ in range(3)][2]
    assert gallery.search(first[:1], 1).names == [["run2-2"]]


def test_two_processes_and_two_objects_write(tmp_path):
    path = tmp_path / "g"
    here = Gallery.create(path, model="m", width=64)
    processes = [enrolling(path, prefix, seed, 25) for seed, prefix in enumerate("ab")]
    query = rng(9).normal(size=(1, 64))
    for number in range(25):
        here.add([f"here{number}"], query + number, [f"{number}"])
        assert here.search(query + number, 1).sources == [[f"{number}"]]
    assert [process.wait() for process in processes] == [0, 0]
    for process in processes:
        process.stdout.close()
    here.add(["last"], query - 1, ["last"])
    expected = {f"{prefix}{i}" for prefix in "ab" for i in range(25)} | {f"here{i}" for i in range(25)} | {"last"}
    assert set(here.names()) == expected == set(Gallery.open(path).names()) and len(here) == 2 * 25 * 50 + 26
    other = Gallery.open(path)
    other.remove("last")  # a new file: the lock, the index and the rows of `here` are of the old one
    assert here.search(query - 1, 1).names == [["last"]]
    here.add(["after"], query - 2, ["after"])
    assert here.search(query - 2, 1).names == [["after"]] and "last" not in here.names()
    assert here.search(query - 2, 1).distances == 0 and here.search(query - 1, 1).distances > 1
    with pytest.raises(ValueError, match="is enrolled as 'after' already"):
        other.add(["after"], query - 3, ["after"])


def test_writers_wait_for_one_another(tmp_path):
    gallery, _, vectors, _ = made(tmp_path)
    other = Gallery.open(gallery.path)
    thread = threading.Thread(target=other.add, args=(["late"], vectors[:1] + 1, ["late"]))
    with gallery._file.writing():
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert not thread.is_alive() and other.names()[-1] == "late"
    thread = threading.Thread(target=other.add, args=(["later"], vectors[:1] + 2, ["later"]))
    with gallery._file.writing():
        thread.start()
        thread.join(0.2)
        gallery._file.keep(np.arange(3))  # the file that the other one waits for is no longer there
    thread.join(10)
    assert Gallery.open(gallery.path).names() == other.names() == ["p0", "p1", "p2", "later"]


def test_removed_is_gone_from_the_disk(tmp_path):
    gallery, names, vectors, sources = made(tmp_path, people=5, each=4)
    gallery.path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(gallery.path)
    secret = vectors[names.index("p2")].tobytes()
    assert secret in gallery.path.read_bytes()
    with pytest.raises(ValueError, match=r"Nobody named 'p22' is enrolled in .* Did you mean 'p2'"):
        gallery.remove("p22")
    assert Gallery.open(link).remove("p2") == 4 and link.is_symlink()
    assert secret not in gallery.path.read_bytes() and b"p2" not in gallery.path.read_bytes()
    assert gallery.path.stat().st_mode & 0o777 == 0o640
    left = [i for i, name in enumerate(names) if name != "p2"]
    opened = Gallery.open(gallery.path)
    kept = ([names[i] for i in left], vectors[left], [sources[i] for i in left])
    agrees(opened.search(vectors, 3), *kept, vectors, 3)
    for name in ("p0", "p1", "p3", "p4"):
        opened.remove(name)
    assert len(Gallery.open(gallery.path)) == 0 and sorted(os.listdir(tmp_path)) == ["link", "people.gallery"]
    opened.add(["p2"], vectors[:1], ["again"])
    assert opened.search(vectors[:1]).names == [["p2"]]


def test_new_galleries_are_private_and_the_import_is_light(tmp_path):
    assert made(tmp_path)[0].path.stat().st_mode & 0o777 == 0o600
    code = (
        "import sys, hub.gallery, applications.cli.gallery; print({'numpy', 'faiss', 'tensorflow'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "set()"


# The command line, with an application that reads vectors from text files, a line per person; `!` is of no use.


@dataclasses.dataclass
class Embedded:
    source: str
    vector: np.ndarray | None
    error: str | None
    words: str


class FakeEmbedder:
    width, threshold, search_threshold = 2, 1.0, 1.0

    def __init__(self, model):
        self.model = model

    def embed(self, sources):
        return [found for source in sources for found in self._read(source)]

    def _read(self, source):
        if not os.path.exists(source):
            return [Embedded(source, None, f"{source} cannot be read.", "")]
        lines = pathlib.Path(source).read_text().splitlines()
        return [
            Embedded(source, None, f"{source} has a line that is none.", "")
            if line == "!"
            else Embedded(source, np.float32(line.split()), None, f"line {number}")
            for number, line in enumerate(lines, 1)
        ]

    def embed_union(self, sources):
        vectors = np.stack([found.vector for found in self.embed(sources)])
        return Embedded(" + ".join(sources), vectors.mean(0), None, f"{len(vectors)} lines")


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """`hub gallery ...` in an empty folder: exit status, lines of stdout, lines of stderr."""
    embed, config = types.ModuleType("embed"), types.ModuleType("config", "A fake.")
    embed.configure = lambda parser: parser.add_argument("--model", default="fingerprint-1")
    embed.open_embedder = lambda folder, args: FakeEmbedder(args.model)
    monkeypatch.setitem(sys.modules, "applications.fake.embed", embed)
    monkeypatch.setitem(sys.modules, "applications.fake", types.ModuleType("fake"))
    monkeypatch.setitem(sys.modules, "applications.fake.config", config)
    monkeypatch.setattr(verb, "embedders", lambda: ["fake"])
    monkeypatch.setattr(verb, "start_tensorflow", lambda: None)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").touch()
    texts = {"a1": "0 0", "a2": "0 1", "b1": "5 5", "near": "0.5 0", "far": "90 90", "two": "0 0\n5 5", "bad": "!"}
    for name, text in {**texts, "half": "0 0.25\n!", "nobody": ""}.items():
        (tmp_path / name).write_text(text)

    def run(line):
        action, *rest = line.split()
        line = [action, "fake", *rest, "--run", "run"] if action in ("add", "search", "verify") else [action, *rest]
        try:
            status = dispatch(["gallery", *line])
        except SystemExit as stop:
            status = stop.code
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err.splitlines()

    return run


def test_the_verb(command):
    assert command("add anna a1 a2") == (
        0, [f"a{i}: line 1; enrolled as anna in fake.gallery" for i in (1, 2)], []
    )  # fmt: skip
    assert command("add bob b1 --gallery fake.gallery")[0] == 0
    status, out, err = command("search near far two --count 2 --json")
    rows = [json.loads(line) for line in out]
    assert status == 0 and not err and [row["name"] for row in rows] == ["anna", None, "anna", "bob"]
    assert rows[0]["matches"] == [
        {"name": "anna", "distance": 0.5, "source": "a1", "known": True},
        {"name": "bob", "distance": 6.726812, "source": "b1", "known": False},
    ]
    assert rows[0]["threshold"] == 1 and rows[0]["found"] == "line 1" and "words" in rows[0]
    assert command("search near --threshold 0.4")[1] == [
        "near: line 1; nobody enrolled (nearest: anna 0.5, bob 6.727, threshold 0.4)"
    ]
    assert command("search near --count 1")[1] == ["near: line 1; anna (anna 0.5, threshold 1)"]
    assert command("verify a1 near")[1] == ["a1 and near: the same (distance 0.5, threshold 1)"]
    status, out, _ = command("verify a1 b1 --json --threshold 2")
    assert status == 0 and json.loads(out[0])["same"] is False and json.loads(out[0])["distance"] == 7.071068
    assert command("list --gallery fake.gallery") == (0, ["anna: a1, a2", "bob: b1"], [])
    assert json.loads(command("list --gallery fake.gallery --json")[1][1]) == {
        "name": "bob", "sources": ["b1"], "words": "bob: b1"
    }  # fmt: skip
    assert command("remove anna --gallery fake.gallery")[1] == ["anna: 2 embeddings erased from fake.gallery"]
    assert command("remove bob --gallery fake.gallery")[1] == ["bob: 1 embedding erased from fake.gallery"]


def test_the_verb_merges(command):
    assert command("add both a1 a2 --merge")[1] == ["a1 + a2: 2 lines; enrolled as both in fake.gallery"]
    assert command("search near --count 1")[1] == ["near: line 1; both (both 0.7071, threshold 1)"]


def test_the_verb_answers_mistakes_in_a_sentence(command, tmp_path):
    status, out, err = command("add anna bad missing nobody two a1 a1 half")
    assert status == 2 and len(out) == 2 and out[0].startswith("a1: line 1; enrolled")
    assert err == [
        "hub: bad has a line that is none.",
        "hub: missing cannot be read.",
        "hub: nobody shows nobody.",
        "hub: two shows 2 people (line 1; line 2); --track N chooses one of them.",
        "hub: a1 is enrolled as 'anna' already.",
    ]
    status, out, err = command("search bad near nobody half --json")
    rows = [json.loads(line) for line in out]
    assert status == 2 and not err and ["error" in row for row in rows] == [True, False, True, False, True]
    for line, words in {
        "add carl a2 --model fingerprint-2": "holds embeddings of the model fingerprint-, which",
        "search a2 --model other": "use the model it was enrolled with",
        "search a1 --gallery none": "There is no gallery none; `hub gallery add` makes one",
        "list --gallery none": "There is no gallery none",
        "search a1 --gallery a1": "a1 is not a gallery.",
        "add carl a1 --gallery a1": "a1 is not a gallery.",
        "search a1 --count 0": "--count must be at least 1",
        "search a1 --threshold nan": "--threshold is a distance of 0 or more. Received: nan.",
        "verify a1 two": "two shows 2 people",
        "verify a1 missing": "missing cannot be read.",
        "remove ann --gallery fake.gallery": "Nobody named 'ann' is enrolled in fake.gallery. Did you mean 'anna'?",
        "remove anna": "The following arguments are required: --gallery.",
        "add anna": "SOURCE",
    }.items():
        status, out, err = command(line)
        assert status == 2 and not out and len(err) == 1 and words in err[0], (line, out, err)
    assert dispatch(["gallery", "add", "fake", " ", "a1"]) == 2
    command("add anna bad --gallery never")
    assert not (tmp_path / "never").exists()


def test_the_verb_lists_applications_that_embed():
    for name in verb.embedders():
        assert callable(verb.embedder(name).open_embedder) and callable(verb.embedder(name).configure)
