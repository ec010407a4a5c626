"""Outlines of single people from a published network: the body mask of MediaPipe's pose model, run as a .tflite file.

The file ships in the wheel of mediapipe 0.10.21 (Apache-2.0; newer wheels hold no models) and is read in place; the
package's code is not used and its requirements need not be installed.
"""

import importlib.util
import pathlib

import cv2
import numpy as np

from hub.data.blobs import two_heads, upright_blobs

_FILE = "modules/pose_landmark/pose_landmark_full.tflite"
_SIZE = 256  # pixels of the square that the network sees
_ROOM = 1.3  # sides of that square, in heights of the person
_PRESENT = 0.5  # probability that there is a person
_AGREED = 0.5  # intersection over union with the blob; less, and the network saw somebody else


class PersonNetwork:
    """The network, loaded once.

    Raises:
        ValueError: the package or its file is missing; the sentence says what to install.
    """

    def __init__(self) -> None:
        from ai_edge_litert.interpreter import Interpreter

        spec = importlib.util.find_spec("mediapipe")
        places = spec.submodule_search_locations if spec is not None else None
        file = pathlib.Path(places[0], _FILE) if places else None
        if file is None or not file.is_file():
            raise ValueError(
                "The network is a file of a package that is not here: pip install --no-deps mediapipe==0.10.21."
            )
        self._network = Interpreter(str(file), num_threads=1)
        self._network.allocate_tensors()
        self._input = self._network.get_input_details()[0]["index"]
        shapes = {tuple(detail["shape"]): detail["index"] for detail in self._network.get_output_details()}
        self._mask, self._presence = shapes[1, _SIZE, _SIZE, 1], shapes[1, 1]

    def refine(self, frame: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """The mask with each upright blob replaced by the network's outline of it, where the two agree.

        Args:
            frame: uint8 [H, W, 3], blue first.
            mask: uint8 [H, W], 0 and 255.

        Returns:
            uint8 [H, W], 0 and 255.
        """
        mask = mask.copy()
        for blob in upright_blobs(mask):
            if two_heads(blob):
                continue
            x, y, w, h = blob.box
            side = round(_ROOM * h)
            left, top = x + w // 2 - side // 2, y + h // 2 - side // 2
            scale = _SIZE / side
            move = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
            crop = cv2.warpAffine(frame, move, (_SIZE, _SIZE), borderMode=cv2.BORDER_REPLICATE)
            outline = self._outline(crop)
            if outline is None:
                continue
            back = cv2.invertAffineTransform(move)
            found = cv2.warpAffine(outline, back, mask.shape[::-1], flags=cv2.INTER_LINEAR) > 0.5
            old = np.zeros_like(found)
            old[y : y + h, x : x + w] = blob.silhouette > 0
            if (found & old).sum() > _AGREED * (found | old).sum():
                mask[old] = 0
                mask[found] = 255
        return mask

    def _outline(self, crop: np.ndarray) -> np.ndarray | None:
        """0..1 [256, 256] of a crop, blue first; None where the network sees nobody."""
        self._network.set_tensor(self._input, crop[None, ..., ::-1].astype(np.float32) / 255)
        self._network.invoke()
        if self._network.get_tensor(self._presence).item() < _PRESENT:
            return None
        logits = self._network.get_tensor(self._mask)[0, ..., 0]
        return (1 / (1 + np.exp(-np.clip(logits, -30, 30)))).astype(np.float32)
