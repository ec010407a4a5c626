"""SVHN: street view house numbers in the two layouts in which they are published.

Paper: Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning", NIPS Workshop on Deep
    Learning and Unsupervised Feature Learning 2011
Slug: svhn
Idea: 600,000 digits cut from street photographs, as whole numbers with a box per digit (format 1) and as 32x32 digits.
Differs: label 10 is read as the digit 0; every folder with a digitStruct.mat is a split; `as_dataset` crops
    whole numbers as Goodfellow et al. do (arXiv:1312.6082, section 5.1).
Checked: folders of both layouts, read back example by example (tests/test_svhn.py).
"""

import io
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from hub.data import digit_struct
from hub.data.local_builder import LocalBuilder
from hub.data.number_crop import labels_to_target, number_crop
from hub.export import image_bytes
from hub.registry import register

_HOMEPAGE = "http://ufldl.stanford.edu/housenumbers"
_OFFICIAL = ("train", "test", "extra")


@register("svhn_format1")
class SvhnFormat1(LocalBuilder):
    """Whole house numbers with a box around each digit (format 1)."""

    HOMEPAGE = _HOMEPAGE
    LAYOUT = (
        "what train.tar.gz, test.tar.gz and, if wanted, extra.tar.gz unpack to: "
        "train/digitStruct.mat, train/1.png and so on"
    )

    @classmethod
    def sources(cls, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        if (folder / digit_struct.MAT).exists():
            raise ValueError(f"{folder} is one split; name the folder around it, {folder.parent}.")
        for name in _OFFICIAL:
            if (folder / name).is_dir() and not (folder / name / digit_struct.MAT).exists():
                raise ValueError(f"{folder / name} has no {digit_struct.MAT}; {folder} must hold {cls.LAYOUT}.")
        found = sorted(path.parent.name for path in folder.glob(f"[!.]*/{digit_struct.MAT}"))
        if not found:
            what = "has no split of SVHN's format 1" if folder.is_dir() else "is no folder"
            raise ValueError(f"{folder} {what}; it must hold {cls.LAYOUT}.")
        ordered = [name for name in _OFFICIAL if name in found] + [name for name in found if name not in _OFFICIAL]
        return {name: folder / name / digit_struct.MAT for name in ordered}

    def features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
            "file_name": tfds.features.Text(),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=np.float32),  # left, top, width, height in pixels
            "labels": tfds.features.Tensor(shape=(None,), dtype=np.int64),
        }

    def _generate_examples(self, path: pathlib.Path) -> Iterator[tuple[int, dict]]:
        for key, (name, boxes) in enumerate(digit_struct.read(path)):
            yield (
                key,
                {
                    "image": io.BytesIO(_png(path.parent, name)),
                    "file_name": name,
                    "boxes": [box[:4] for box in boxes],
                    "labels": [box.label for box in boxes],
                },
            )


@register("svhn_format2")
class SvhnFormat2(LocalBuilder):
    """Single digits, 32x32, centred, with parts of their neighbours (format 2)."""

    HOMEPAGE = _HOMEPAGE
    LAYOUT = "train_32x32.mat, test_32x32.mat and, if wanted, extra_32x32.mat"

    @classmethod
    def sources(cls, folder: pathlib.Path) -> dict[str, pathlib.Path]:
        found = {name: folder / f"{name}_32x32.mat" for name in _OFFICIAL if (folder / f"{name}_32x32.mat").is_file()}
        if not found:
            what = "has no file of SVHN's format 2" if folder.is_dir() else "is no folder"
            raise ValueError(f"{folder} {what}; it must hold {cls.LAYOUT}.")
        return found

    def features(self) -> dict[str, Any]:
        return {
            "image": tfds.features.Image(shape=(32, 32, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(num_classes=10),
        }

    def _generate_examples(self, path: pathlib.Path) -> Iterator[tuple[int, dict]]:
        import scipy.io

        try:
            content = scipy.io.loadmat(path, variable_names=("X", "y"))
            images, labels = content["X"], content["y"].ravel()
        except Exception as error:  # scipy's reader raises whatever the damaged bytes lead to
            raise ValueError(
                f"{path} is cut short, damaged or has no X and y ({path.stat().st_size:,} bytes)."
            ) from error
        if images.shape != (32, 32, 3, len(labels)) or images.dtype != "uint8":
            raise ValueError(
                f"{path} must hold X, uint8 (32, 32, 3, N), and y (N, 1). "
                f"Received: X {images.dtype} {images.shape}, {len(labels)} labels."
            )
        for key, label in enumerate(labels):
            if label not in range(1, 11):
                raise ValueError(f"{path} has the label {label}; labels are 1..10, where 10 is the digit 0.")
            yield key, {"image": images[..., key], "label": int(label) % 10}


def as_dataset(
    source: SvhnFormat1 | str | os.PathLike, split: str, max_length: int = 5
) -> tf.data.Dataset:  # of (uint8 [64, 64, 3], int32 [1 + max_length])
    """Crops and targets of whole numbers, in the order of their files; none is left out.

    Args:
        source: a `svhn_format1` builder, or a folder with the layout; it is prepared where it is not yet.
        split: `train`, `test`, any other folder's name, or tfds's sums and slices (`train+extra`, `train[:80%]`).
        max_length: most digits that are told apart; see `labels_to_target`.
    """
    builder = source if isinstance(source, tfds.core.DatasetBuilder) else SvhnFormat1(manual_dir=source)
    builder.download_and_prepare()
    examples = builder.as_dataset(
        split=split,
        decoders={"image": tfds.decode.SkipDecoding()},  # training sees pixels through the decoder that serves
        read_config=tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False),
    )

    def crop(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        image = number_crop(image_bytes.decode(example["image"]), example["boxes"])
        return image, labels_to_target(example["labels"], max_length)

    return examples.map(crop, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _png(folder: pathlib.Path, name: str) -> bytes:
    """The bytes of a picture, checked for completeness."""
    path, mat = folder / name, folder / digit_struct.MAT
    if path.name != name:
        raise ValueError(f"{mat} names the picture {name!r}; a file name without a folder is needed.")
    if not path.is_file():
        raise ValueError(f"{path} does not exist, but {mat} names it.")
    data = path.read_bytes()
    try:
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is cut short or damaged ({len(data):,} bytes); unpack the archive again.") from error
    return data


def contract_example(make: Callable) -> None:
    """Pixels and labels written in either layout come back unchanged."""
    import tempfile
    from types import SimpleNamespace

    import scipy.io

    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), "uint8")
    with tempfile.TemporaryDirectory() as folder:
        scenes = [SimpleNamespace(image=image, boxes=np.array([[4, 5, 8, 20]]), labels=(0,)) for image in images]
        digit_struct.write_format1(pathlib.Path(folder, "train"), scenes)
        y = np.full((len(images), 1), 10, "uint8")  # the label of the digit 0
        scipy.io.savemat(pathlib.Path(folder, "train_32x32.mat"), {"X": images.transpose(1, 2, 3, 0), "y": y})
        builder = make(manual_dir=folder, data_dir=pathlib.Path(folder, "prepared"))
        builder.download_and_prepare()
        examples = list(builder.as_dataset(split="train").as_numpy_iterator())
    assert np.array_equal([example["image"] for example in examples], images)
    assert all(np.all(example.get("labels", example.get("label")) == 0) for example in examples)
