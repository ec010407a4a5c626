"""The file of a gallery: rows of a name, a source and an embedding that outlive a kill or power cut once acknowledged.

Little endian. A header of 4096 bytes: what the file is, its version, the committed length, the model's fingerprint and
the width. Then records, one per enrolment: its counts, a checksum over all of it, names and sources as JSON, embeddings
as float32. A record is on the disk before the length that includes it is; that length is kept twice, in two sectors
written one after the other, so one of them is always whole. Bytes past it are an interrupted enrolment, dropped by the
next. Removed rows are not marked but gone: the file is written anew beside the old one, which it then replaces.
One process writes at a time; a reader keeps what was committed when it opened the file or last wrote.
"""

import contextlib
import json
import os
import pathlib
import shutil
import struct
import zlib
from array import array
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import numpy as np

KIND, VERSION = b"hub gallery\n", 1
HEADER, SLOTS, ABOUT = 4096, (512, 1024), 1536  # the header's size; where it keeps the committed length, and the rest
START, SLOT, TEXT, COUNTS = (struct.Struct("<" + fields) for fields in ("12sI", "QI", "II", "QQI"))
PART = 1 << 24  # bytes of embeddings that writing anew handles at a time


class GalleryFile:
    """The rows of the gallery at `path`, with the embeddings left on the disk and mapped.

    about: `model`, `width` and `id`, which is another one after the file was written anew.
    people: name -> number, in the order of enrolment. person: such a number per row. sources: a text per row.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = pathlib.Path(path)
        self.about: dict[str, Any] = {}
        with open(self.path, "rb") as file:
            self._follow(file)

    def rows(self, names: set[str]) -> Iterator[tuple[str, str, "np.ndarray"]]:
        """Name, source and embedding [4 * width] in bytes of every row of one of `names`."""
        import numpy as np

        numbers = {self.people[name]: name for name in names & self.people.keys()}
        for row in np.flatnonzero(np.isin(np.array(self.person), list(numbers))):
            at = self._at[row]
            yield numbers[self.person[row]], self.sources[row], self._bytes[at : at + 4 * self.about["width"]]

    def embeddings(self, rows: Any) -> Iterator["np.ndarray"]:
        """The embeddings of `rows`, a slice or an array, as few arrays [., width] of the mapping as may be."""
        import numpy as np

        at, size = np.array(self._at)[rows], 4 * self.about["width"]
        ends = [*(np.flatnonzero(np.diff(at) != size) + 1).tolist(), len(at)] if len(at) else []
        for start, end in zip([0, *ends], ends, strict=False):
            yield np.frombuffer(self._bytes[at[start] : at[end - 1] + size], "<f4").reshape(-1, size // 4)

    @contextlib.contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """The file, locked against other writers (waits for them), and this object up to date with it."""
        import fcntl

        while True:
            with open(self.path, "r+b") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                try:
                    if os.path.samestat(os.fstat(file.fileno()), os.stat(self.path)):  # nobody wrote it anew meanwhile
                        self._follow(file)
                        yield file
                        return
                finally:
                    fcntl.flock(file, fcntl.LOCK_UN)  # the mapping keeps the file open, and with it the lock

    def append(self, file: BinaryIO, names: list[str], sources: list[str], vectors: "np.ndarray") -> None:
        """Add rows to `file`, as `writing` gives it; once this returns they are on the disk."""
        file.truncate(self._end)
        file.seek(self._end)
        end = self._end + _write(file, names, sources, vectors)
        _sync(file)
        for slot in SLOTS:
            file.seek(slot)
            file.write(_slot(end))
            _sync(file)
        self._follow(file)

    def keep(self, rows: "np.ndarray") -> None:
        """Write the file anew with `rows` alone, while `writing`."""
        import numpy as np

        path = os.path.realpath(self.path)
        fresh = f"{path}.unfinished"
        names, model, width = list(self.people), self.about["model"], self.about["width"]
        step = max(1, PART // (4 * width))
        try:
            with open(fresh, "wb", opener=_private) as file:
                end = file.seek(HEADER)
                for some in (rows[start : start + step] for start in range(0, len(rows), step)):
                    owners, sources = [names[self.person[i]] for i in some], [self.sources[i] for i in some]
                    end += _write(file, owners, sources, np.concatenate(list(self.embeddings(some))))
                file.seek(0)
                file.write(_header(model, width, end))
                _sync(file)
            shutil.copymode(path, fresh)
            os.replace(fresh, path)
        finally:
            pathlib.Path(fresh).unlink(missing_ok=True)
        _sync_folder(path)
        with open(path, "rb") as file:
            self._follow(file)

    def _follow(self, file: BinaryIO) -> None:
        """Take in what was committed to `file` since it was last read; all of it where it is another file."""
        import numpy as np

        file.seek(0)
        about, committed = _read_header(file.read(HEADER), self.path)
        held = os.fstat(file.fileno()).st_size
        if held < committed:
            raise ValueError(
                f"{self.path} was cut short: {held:,} of its {committed:,} bytes are left; restore it from a copy."
            )
        if about != self.about:
            if self.about and about["model"] != self.about["model"]:
                raise ValueError(f"{self.path} was replaced by a gallery of another model; open it again.")
            self.about, self._end = about, HEADER
            self.people: dict[str, int] = {}
            self.person, self._at = array("i"), array("q")  # the latter: where a row's embedding begins
            self.sources: list[str] = []
        self._bytes = np.asarray(np.memmap(file, np.uint8, "r", shape=(committed,)))
        while self._end < committed:
            self._end = self._read_record(self._end, committed)

    def _read_record(self, start: int, committed: int) -> int:
        """Take in the record that starts at byte `start`; where the next one starts."""
        words, first, end = start + COUNTS.size, committed, committed
        if words <= committed:
            rows, length, checksum = COUNTS.unpack_from(self._bytes, start)
            first, end = words + length, words + length + 4 * self.about["width"] * rows
        if (
            words > committed
            or end > committed
            or _checksum(rows, self._bytes[words:first], self._bytes[first:end]) != checksum
        ):
            raise ValueError(
                f"{self.path} is damaged: its record at byte {start:,} is not what was written; restore it from a copy."
            )
        names, sources = json.loads(self._bytes[words:first].tobytes())
        self.person.extend(self.people.setdefault(name, len(self.people)) for name in names)
        self.sources += sources
        self._at.extend(range(first, end, 4 * self.about["width"]))
        return end


def create(path: str | os.PathLike[str], model: str, width: int) -> None:
    """Write a gallery without rows.

    Raises:
        FileExistsError: there is something at `path`.
    """
    import fcntl

    with open(path, "ab", opener=_private) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_size:
            raise FileExistsError(f"{path} already exists; open it, or choose another name for a new gallery.")
        file.write(_header(model, width, HEADER))
        _sync(file)
    _sync_folder(path)


def _write(file: BinaryIO, names: list[str], sources: list[str], vectors: "np.ndarray") -> int:
    """Write a record where `file` stands; its length, a multiple of 4."""
    words, numbers = json.dumps([names, sources]).encode(), memoryview(vectors).cast("B")
    words += b" " * (-len(words) % 4)
    for part in (COUNTS.pack(len(names), len(words), _checksum(len(names), words, numbers)), words, numbers):
        file.write(part)
    return COUNTS.size + len(words) + len(numbers)


def _checksum(rows: int, words: Any, numbers: Any) -> int:
    return zlib.crc32(numbers, zlib.crc32(words, zlib.crc32(COUNTS.pack(rows, len(words), 0))))


def _slot(committed: int) -> bytes:
    return SLOT.pack(committed, zlib.crc32(committed.to_bytes(8, "little")))


def _header(model: str, width: int, committed: int) -> bytes:
    about = json.dumps({"model": model, "width": width, "id": os.urandom(8).hex()}).encode()
    header = bytearray(HEADER)
    START.pack_into(header, 0, KIND, VERSION)
    for slot in SLOTS:
        header[slot : slot + SLOT.size] = _slot(committed)
    TEXT.pack_into(header, ABOUT, len(about), zlib.crc32(about))
    header[ABOUT + TEXT.size : ABOUT + TEXT.size + len(about)] = about
    return bytes(header)


def _read_header(header: bytes, path: pathlib.Path) -> tuple[dict[str, Any], int]:
    """What the file at `path` is (`model`, `width`, `id`), and its committed length."""
    if not header:
        raise ValueError(f"{path} is empty: it is no gallery yet; enrol somebody, or restore it from a copy.")
    if not header.startswith(KIND[: len(header)]):
        raise ValueError(f"{path} is not a gallery.")
    if len(header) < HEADER:
        raise ValueError(f"{path} was cut short: not even its header is whole; restore it from a copy.")
    version = START.unpack_from(header)[1]
    if version > VERSION:
        raise ValueError(f"{path} is a gallery of version {version}; this hub reads up to {VERSION}: update the hub.")
    slots = [header[slot : slot + SLOT.size] for slot in SLOTS]
    lengths = [length for slot in slots if _slot(length := SLOT.unpack(slot)[0]) == slot]
    size, checksum = TEXT.unpack_from(header, ABOUT)
    about = header[ABOUT + TEXT.size :][:size]
    if version < VERSION or not lengths or zlib.crc32(about) != checksum:
        raise ValueError(f"{path} is damaged: its header is not what was written; restore it from a copy.")
    return json.loads(about), max(lengths)


def _private(path: str, flags: int) -> int:
    """Opens what is new for its owner alone: embeddings say who people are."""
    return os.open(path, flags, 0o600)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the disk keep the name `path`."""
    folder = os.open(pathlib.Path(path).parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
