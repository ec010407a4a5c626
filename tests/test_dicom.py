"""DICOM films: windows against naive formulas, twins, compressed files, damaged files, and one real film."""

import importlib.util
import io
import pathlib
import sys

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from hub.data import dicom
from hub.data.chest_film import FilmError, read_film
from hub.data.dicom import read_dicom

ONE_SENTENCE = r"^[^\n]+\.$"


def stored(height=70, width=90, bits=12, seed=0) -> np.ndarray:
    """A smooth ramp with noise that spans `bits`."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 1, height)[:, None] * 0.6 + np.linspace(0, 1, width) * 0.35
    return np.clip((ramp + rng.normal(0, 0.02, ramp.shape)) * 2**bits, 0, 2**bits - 1).astype(np.uint16)


def write(pixels, bits=12, syntax=ExplicitVRLittleEndian, encapsulated=None, **elements) -> bytes:
    """A DICOM file of `pixels`; `elements` replace or, where None, remove what the header says."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", "1.2.3.4"
    ds.Modality, ds.BodyPartExamined, ds.ViewPosition = "CR", "CHEST", "PA"
    ds.PatientID, ds.PatientSex, ds.PatientAge = "P 1", "F", "026Y"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = 8 * pixels.dtype.itemsize
    ds.BitsStored, ds.HighBit, ds.PixelRepresentation = bits, bits - 1, int(pixels.dtype.kind == "i")
    big = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == ExplicitVRBigEndian else "<"))
    ds.PixelData = encapsulate([encapsulated]) if encapsulated else big.tobytes()
    ds["PixelData"].VR = "OW"
    for word, value in elements.items():
        if value is None:
            delattr(ds, word)
        else:
            setattr(ds, word, value)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, ds, enforce_file_format=True)
    return stream.getvalue()


def test_a_full_window_is_the_stored_values():
    """Center 2048, width 4096 of 12 bits: PS3.3's LINEAR maps 0 to 0 and 4095 to 255."""
    pixels = stored()
    film = read_dicom(write(pixels, WindowCenter=2048, WindowWidth=4096))
    assert film.pixels.dtype == np.float32 and film.pixels.shape == pixels.shape
    np.testing.assert_allclose(film.pixels, pixels / 4095 * 255, atol=2e-3)
    assert film.facts == dicom.Facts("CR", "CHEST", "PA", 26, "F", "P 1")


def naive(value: float, function: str, center: float, width: float) -> float:
    """PS3.3, C.11.2.1.2 and C.11.2.1.3, with an output of 0..255."""
    if function == "SIGMOID":
        return 255 / (1 + np.exp(min(-4 * (value - center) / width, 700)))
    if function == "LINEAR_EXACT":
        low, high = center - width / 2, center + width / 2
        if value <= low:
            return 0.0
        return 255.0 if value > high else ((value - center) / width + 0.5) * 255
    if value <= center - 0.5 - (width - 1) / 2:
        return 0.0
    if value > center - 0.5 + (width - 1) / 2:
        return 255.0
    return ((value - (center - 0.5)) / (width - 1) + 0.5) * 255


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("slope, intercept", [(1, 0), (0.5, -300), (-2, 5000)])
@pytest.mark.parametrize("center, width", [(700, 900), (300.5, 1), (1200, 2)])
def test_windows_against_the_standard(function, slope, intercept, center, width):
    pixels = stored(9, 11)
    pixels[0, :5] = (np.array([299, 300, 301, 700, 1200]) - intercept) / slope
    film = read_dicom(
        write(pixels, WindowCenter=center, WindowWidth=width, VOILUTFunction=function, RescaleSlope=slope,
              RescaleIntercept=intercept)
    )  # fmt: skip
    expected = [[naive(v * slope + intercept, function, center, width) for v in row] for row in pixels.tolist()]
    np.testing.assert_allclose(film.pixels, expected, atol=2e-3)


def test_fractional_width_is_exact_only():
    """A width below 1 is a step where the function is LINEAR_EXACT, and no window where it is LINEAR."""
    pixels = stored()
    step = read_dicom(write(pixels, WindowCenter=2000.5, WindowWidth=0.5, VOILUTFunction="LINEAR_EXACT")).pixels
    np.testing.assert_array_equal(step, np.where(pixels > 2000, 255, 0))
    full = read_dicom(write(pixels)).pixels
    np.testing.assert_array_equal(read_dicom(write(pixels, WindowCenter=2000, WindowWidth=0.5)).pixels, full)


@pytest.mark.parametrize("center, width", [("", ""), (2000, 0), (2000, -5)])
def test_without_a_usable_window_percentiles(center, width):
    pixels = stored()
    low, high = np.percentile(pixels, (0.5, 99.5))
    film = read_dicom(write(pixels, WindowCenter=center, WindowWidth=width))
    np.testing.assert_allclose(film.pixels, np.clip((pixels - low) / (high - low), 0, 1) * 255, atol=1e-3)


def test_the_first_of_several_windows():
    pixels = stored()
    one = read_dicom(write(pixels, WindowCenter=1000, WindowWidth=500)).pixels
    two = read_dicom(write(pixels, WindowCenter=[1000, 3000], WindowWidth=[500, 10])).pixels
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("window", [{}, {"WindowCenter": 1500, "WindowWidth": 1800}])
def test_monochrome1_equals_its_twin(window):
    """Stored values turned over in the file, window turned with them: the same film."""
    pixels = stored()
    turned = {"WindowCenter": 4096 - window["WindowCenter"], "WindowWidth": window["WindowWidth"]} if window else {}
    two = read_dicom(write(pixels, **window)).pixels
    one = read_dicom(write((4095 - pixels).astype(np.uint16), PhotometricInterpretation="MONOCHROME1", **turned)).pixels
    np.testing.assert_allclose(one, two, atol=2e-3)
    assert np.ptp(one) > 200


def lut(table, first, depth, vr="US") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(table) % 65536, first, depth])
    item.add_new("LUTData", vr, np.asarray(table, "<u2").tobytes() if vr == "OW" else [int(v) for v in table])
    return item


@pytest.mark.parametrize("depth", [8, 12, 16])
@pytest.mark.parametrize("vr", ["US", "OW"])
def test_a_voi_lut_goes_before_a_window(depth, vr):
    """8-bit tables of thousands of entries too, whose index must not wrap around at 256."""
    pixels, top = stored(), 2**depth - 1
    table = np.rint(np.linspace(0, 1, 2000) ** 0.5 * top)
    film = read_dicom(write(pixels, VOILUTSequence=[lut(table, 500, depth, vr)], WindowCenter=5, WindowWidth=5))
    expected = [[table[min(max(v - 500, 0), 1999)] / top * 255 for v in row] for row in pixels.astype(int).tolist()]
    np.testing.assert_allclose(film.pixels, expected, atol=1e-3)


def test_a_modality_lut_goes_before_the_window():
    pixels = stored()
    table = np.rint(np.linspace(1, 0, 4096) ** 2 * 1000)
    film = read_dicom(write(pixels, ModalityLUTSequence=[lut(table, 0, 12)], WindowCenter=500.5, WindowWidth=1001))
    np.testing.assert_allclose(film.pixels, table[pixels] / 1000 * 255, atol=2e-3)


def test_bits_above_those_stored_do_not_count():
    """Old files keep overlays in the unused bits."""
    pixels = stored(bits=10)
    dirty = pixels | (np.random.default_rng(0).integers(0, 64, pixels.shape, np.uint16) << 10)
    clean = read_dicom(write(pixels, bits=10)).pixels
    np.testing.assert_array_equal(read_dicom(write(dirty, bits=10)).pixels, clean)


@pytest.mark.parametrize("kind, bits", [("u1", 8), ("u2", 16), ("i2", 16), ("i2", 12), ("u4", 32)])
def test_depths_and_signs_show_the_same(kind, bits):
    base = stored(bits=8 if kind == "u1" else 11).astype(kind)
    pixels = base - (1000 if kind[0] == "i" else 0)
    film = read_dicom(write(pixels.astype(kind), bits=bits))
    low, high = np.percentile(base, (0.5, 99.5))
    np.testing.assert_allclose(film.pixels, np.clip((base - low) / (high - low), 0, 1) * 255, atol=1e-3)


def test_wide_values_are_not_tabulated_densely():
    """32 bits with a span of billions."""
    pixels = stored(bits=12).astype(np.uint32) << 20
    thin = read_dicom(write(pixels, bits=32)).pixels
    np.testing.assert_allclose(thin, read_dicom(write(stored(bits=12))).pixels, atol=1e-3)


@pytest.mark.parametrize("interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_does_not_stretch(interpretation):
    pixels = stored()
    padded = np.pad(pixels, 20, constant_values=4095)
    data = {"PhotometricInterpretation": interpretation}
    pixels[pixels >= 4090] = padded[padded >= 4090] = 4090
    padded[:20] = padded[-20:] = 4095
    padded[:, :20] = padded[:, -20:] = 4093
    film = read_dicom(write(padded, PixelPaddingValue=4095, PixelPaddingRangeLimit=4093, **data)).pixels
    np.testing.assert_array_equal(film[20:-20, 20:-20], read_dicom(write(pixels, **data)).pixels)
    film[20:-20, 20:-20] = 0
    assert not film.any()


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_uncompressed_syntaxes_agree(syntax):
    np.testing.assert_array_equal(read_dicom(write(stored(), syntax=syntax)).pixels, read_dicom(write(stored())).pixels)


@pytest.mark.parametrize("cut", [132, None])
def test_old_files_without_a_preamble(cut):
    """ACR-NEMA style: with group 2 but no magic, or the data set alone."""
    data = write(stored(), syntax=ImplicitVRLittleEndian)
    start = cut or data.index(b"\x08\x00\x16\x00", 140)
    np.testing.assert_array_equal(read_dicom(data[start:]).pixels, read_dicom(data).pixels)


def compressed(pixels, syntax) -> bytes:
    ds = pydicom.dcmread(io.BytesIO(write(pixels)))
    ds.compress(syntax)
    stream = io.BytesIO()
    ds.save_as(stream)
    return stream.getvalue()


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_lossless_compression_changes_nothing(syntax):
    np.testing.assert_array_equal(read_dicom(compressed(stored(), syntax)).pixels, read_dicom(write(stored())).pixels)


@pytest.mark.filterwarnings("ignore:Invalid value for VR AS")
def test_ages():
    for said, years in (("026Y", 26), ("018M", 1), ("012M", 1), ("051W", 0), ("053W", 1), ("010D", 0), ("", -1),
                        ("45", 45), ("old", -1)):  # fmt: skip
        assert read_dicom(write(stored(), PatientAge=said)).facts.age == years, said


# refusals


def test_a_file_cut_anywhere_is_one_sentence(tmp_path):
    """The last four bytes of a compressed file are zeros after its last marker: without them it is whole."""
    path = tmp_path / "cut.dcm"
    for data in (write(stored()), write(stored(), syntax=ImplicitVRLittleEndian), compressed(stored(), RLELossless),
                 compressed(stored(), JPEG2000Lossless)):  # fmt: skip
        lengths = {*range(0, 700, 9), *np.linspace(700, len(data) - 5, 60).astype(int).tolist(), len(data) - 9}
        for length in sorted(lengths):
            path.write_bytes(data[:length])
            with pytest.raises(FilmError, match=ONE_SENTENCE) as raised:
                read_film(path)
            assert raised.value.code == -2 and str(path) in str(raised.value), (length, str(raised.value))


def test_damaged_bytes_are_one_sentence_or_a_film():
    rng = np.random.default_rng(0)
    for data in (write(stored()), compressed(stored(), RLELossless), compressed(stored(), JPEG2000Lossless)):
        for _ in range(60):
            spoilt = bytearray(data)
            for at in rng.integers(132, len(data) if rng.random() < 0.5 else 700, 8):
                spoilt[at] = rng.integers(256)
            try:
                film = read_dicom(bytes(spoilt))
            except ValueError as error:
                assert "\n" not in str(error) and str(error).endswith("."), error
            else:
                assert np.isfinite(film.pixels).all() and 0 <= film.pixels.min() <= film.pixels.max() <= 255


RGB = np.zeros((70, 90, 3), np.uint8)
REFUSED = {
    "colour": (
        lambda: write(RGB, bits=8, SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0),
        r"is coloured \(RGB\); a gray picture",
    ),
    "palette": (lambda: write(stored(), PhotometricInterpretation="PALETTE COLOR"), r"is coloured \(PALETTE COLOR\)"),
    "no interpretation": (lambda: write(stored(), PhotometricInterpretation=None), r"is coloured \(None\)"),
    "frames": (lambda: write(np.zeros((70, 180), np.uint16), NumberOfFrames=2, Columns=90), r"has 2 frames; a single"),
    "no pixels": (lambda: write(stored(), PixelData=None), r"has no pixels; a DICOM file of one gray picture"),
    "no rows": (lambda: write(stored(), Rows=None), r"is cut short, damaged"),
    "huge": (lambda: write(stored(), Rows=60000, Columns=60000), r"has more than 100 megapixels"),
    "more rows than bytes": (lambda: write(stored(), Rows=700), r"is cut short, damaged"),
    "deflated": (lambda: write(stored(), syntax=DeflatedExplicitVRLittleEndian), r"deflated as a whole, .* save it"),
    "JPEG-LS": (
        lambda: write(stored(), syntax=JPEGLSLossless, encapsulated=b"\xff\xd8" + bytes(90)),
        r"JPEG-LS .*, which nothing installed decodes; pip install pylibjpeg-libjpeg",
    ),
    "video": (
        lambda: write(stored(), syntax=pydicom.uid.UID("1.2.840.10008.1.2.4.102"), encapsulated=bytes(90)),
        r"MPEG-4 .*, which nothing installed decodes; save it uncompressed",
    ),
    "text": (lambda: b"These are words, not pixels.\n" * 9, r"is cut short, damaged or no DICOM file \(261 bytes"),
    "nothing": (lambda: b"", r"is cut short, damaged or no DICOM file \(0 bytes"),
    "noise": (lambda: np.random.default_rng(0).bytes(5000), r"is cut short, damaged or no DICOM file"),
    "PNG": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(500), r"is cut short, damaged or no DICOM file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name, tmp_path):
    make, words = REFUSED[name]
    (tmp_path / "film.dcm").write_bytes(make())
    with pytest.raises(FilmError, match=ONE_SENTENCE) as raised:
        read_film(tmp_path / "film.dcm")
    assert raised.match(words)
    assert raised.value.code == -2


@pytest.mark.parametrize("scale", [100, 300])
def test_a_codestream_of_another_size_is_not_decoded(scale):
    """A header of 70 x 90 over a codestream of many gigabytes."""
    data = compressed(stored(), JPEG2000Lossless)
    at = data.index(b"\xff\x4f\xff\x51") + 8
    spoilt = data[:at] + (90 * scale).to_bytes(4) + (70 * scale).to_bytes(4) + data[at + 8 :]
    with pytest.raises(ValueError, match=r"damaged JPEG 2000 .* pixels"):
        read_dicom(spoilt)


def test_without_pydicom_one_sentence(monkeypatch):
    data = write(stored())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ValueError, match=r"needs pydicom: pip install 'keras-application-hub\[dicom\]'\.$"):
        read_dicom(data)


def test_a_missing_file_names_itself(tmp_path):
    with pytest.raises(ValueError, match=r"none\.dcm cannot be read: No such file"):
        read_dicom(tmp_path / "none.dcm")


# a real film


@pytest.fixture(scope="module")
def real():
    """The folder of pydicom-data's files; the package's module is called data_store."""
    spec = importlib.util.find_spec("data_store")
    assert spec is not None, "pip install --no-deps pydicom-data==1.0.0"
    return pathlib.Path(spec.submodule_search_locations[0], "data")


@pytest.mark.real
def test_a_real_film(real):
    """RG1: a CR of a chest, MONOCHROME1, 15 bits, window 15000/30000; its twins in JPEG 2000 show the same."""
    film = read_dicom(real / "RG1_UNCI.dcm")
    assert film.facts == dicom.Facts("CR", "CHEST", "PA", -1, "F", "9RG1")
    values = pydicom.dcmread(real / "RG1_UNCI.dcm").pixel_array
    np.testing.assert_allclose(film.pixels, 255 - values / 29999 * 255, atol=2e-3)
    height, width = film.pixels.shape
    assert (height, width) == (1955, 1841)
    spine, lung = film.pixels[:, width // 2 - 50 : width // 2 + 50], film.pixels[500:700, 400:700]
    assert spine.mean() > lung.mean() + 40  # bones are bright, air is dark
    np.testing.assert_array_equal(read_dicom(real / "RG1_J2KI.dcm").pixels, film.pixels)
    gray = read_film(real / "RG1_UNCI.dcm", 256)
    assert gray.shape == (256, 256) and np.array_equal(gray, np.rint(gray))


@pytest.mark.real
@pytest.mark.parametrize(
    "name, code, words",
    [
        ("RG3_UNCI", -1, "shows EXTREMITY"),
        ("MR2_UNCR", -1, "is of modality MR"),
        ("US1_UNCR", -2, "is coloured"),
        ("SC_rgb", -2, "is coloured"),
    ],
)
def test_real_pictures_of_something_else(real, name, code, words):
    with pytest.raises(FilmError, match=words) as raised:
        read_film(real / f"{name}.dcm")
    assert raised.value.code == code
