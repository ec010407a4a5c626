"""What the gallery knows of gait: people in videos and folders of silhouettes, one embedding per walk."""

import argparse
import pathlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from applications.gait_recognition.config import FEWEST
from applications.runs import read_json


@dataclass(frozen=True, eq=False)
class Embedded:
    """One walk of a source, or why there is none."""

    source: str
    vector: Any = None  # float32 [D]
    error: str | None = None
    words: str = ""  # what was found
    clip: Any = None  # uint8 [T, 64, 44]
    track: int | None = None  # number within its video
    span: tuple[float, float] | None = None  # seconds within its video
    video: Any = None  # hub.data.person_tracks.Found: everybody in its video


def configure(parser: argparse.ArgumentParser) -> None:
    """Flags of every command that embeds walks."""
    parser.add_argument("--track", type=int, metavar="N", help="of a video with several people, the one to take")
    parser.add_argument(
        "--method",
        choices=("median", "network"),
        default="median",
        help="how people are cut out of a video: by the still background, or refined by a network (slower; needs the "
        "files of mediapipe 0.10.21)",
    )


def open_embedder(folder: pathlib.Path, args: argparse.Namespace) -> "Embedder":
    """The network of the run in `folder`."""
    return Embedder(folder, args.track, args.method)


class Embedder:
    """Turns sources into embeddings; `model` is the network's fingerprint, `width` the numbers of an embedding."""

    def __init__(self, folder: pathlib.Path, track: int | None = None, method: str = "median") -> None:
        import hub
        from hub.export import fingerprint

        self.network = hub.load(str(folder / "model.keras"))
        self.model = fingerprint(self.network)
        _, strips, units = self.network.output["embedding"].shape
        self.width = strips * units
        about = read_json(folder / "run.json")
        self.threshold, self.search_threshold = about["threshold"], about["search_threshold"]
        self.track = track
        self.method = method

    def embed(self, sources: list[str]) -> list[Embedded]:
        """Every walk of every source, embedded, and a sentence where there is none."""
        found = [one for source in sources for one in self.walks(source)]
        return self._embedded(found)

    def embed_union(self, sources: list[str]) -> Embedded:
        """All sources as one set: several cameras, or several passes of one person."""
        import numpy as np

        found = [one for source in sources for one in self.walks(source)]
        name = " + ".join(sources)
        if errors := [one.error for one in found if one.error]:
            return Embedded(name, error=errors[0])
        for source in sources:
            if (seen := sum(one.source.partition("#")[0] == source for one in found)) > 1:
                return Embedded(name, error=f"{source} shows {seen} people; --track N chooses one of them.")
        clip = np.concatenate([one.clip for one in found])
        return self._embedded([Embedded(name, clip=clip, words=f"{len(clip)} frames of {len(sources)} sources")])[0]

    def walks(self, source: str) -> Iterator[Embedded]:
        """The walks of a source, not embedded yet: a video's tracks, or a folder or array of silhouettes."""
        try:
            yield from self._video(source) if _is_video(source) else self._clip(source)
        except (ValueError, OSError) as error:
            yield Embedded(source, error=f"{error}" if source in str(error) else f"{source}: {error}")

    def _video(self, source: str) -> Iterator[Embedded]:
        from hub.data.person_tracks import tracks
        from hub.data.silhouettes import narrow

        found = tracks(source, self.method)
        chosen = [track for track in found.tracks if self.track in (None, track.number)]
        if not chosen:
            numbers = ", ".join(str(track.number) for track in found.tracks) or "none"
            wanted = "" if self.track is None else f" as track {self.track} (there are: {numbers})"
            refused = f" {found.refused[0]}" if found.refused else ""
            yield Embedded(source, error=f"{source} shows nobody who walks{wanted}.{refused}")
        for track in chosen:
            clip = narrow(track.clip)
            span = (float(track.frames[0] / found.fps), float(track.frames[-1] / found.fps))
            words = f"track {track.number}, {len(clip)} frames, {span[0]:.1f} to {span[1]:.1f} s"
            name = f"{source}#{track.number}"
            yield Embedded(name, words=words, clip=clip, track=track.number, span=span, video=found)

    def _clip(self, source: str) -> Iterator[Embedded]:
        from hub.data.gait_clips import Clip, read
        from hub.data.silhouettes import narrow

        path = pathlib.Path(source)
        if not path.exists():
            raise ValueError(f"{source} is not there; a video, a folder of silhouettes or an .npy file is needed.")
        clip = narrow(read(Clip("", "", 0, path)))
        if len(clip) < FEWEST:
            raise ValueError(f"{source} has {len(clip)} frames with a person; at least {FEWEST} are needed.")
        yield Embedded(source, words=f"{len(clip)} frames", clip=clip)

    def _embedded(self, found: list[Embedded]) -> list[Embedded]:
        import dataclasses

        from applications.gait_recognition.evaluate import embed

        whole = [one for one in found if one.clip is not None]
        vectors = iter(embed(self.network, [one.clip for one in whole]).reshape(len(whole), -1) if whole else ())
        return [dataclasses.replace(one, vector=next(vectors)) if one.clip is not None else one for one in found]


def _is_video(source: str) -> bool:
    path = pathlib.Path(source)
    return path.is_file() and path.suffix.lower() not in (".npy", ".npz", ".pkl", ".pickle", ".png")
