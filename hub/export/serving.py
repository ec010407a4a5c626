"""Configuration for the real TensorFlow Serving, from the models a folder holds."""

import json
import os
import pathlib

MOUNT = "/models"  # where the official image expects models

BATCHING = """\
max_batch_size { value: 32 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
"""

COMPOSE = f"""\
services:
  serving:
    image: tensorflow/serving:latest
    ports:
      - "8500:8500"  # gRPC
      - "8501:8501"  # REST
    volumes:
      - .:{MOUNT}:ro
    command:
      - --model_config_file={MOUNT}/models.config
      - --enable_batching=true
      - --batching_parameters_file={MOUNT}/batching_parameters.txt
    restart: unless-stopped
"""


def write_serving_config(models_folder: str | os.PathLike) -> list[pathlib.Path]:
    """Write `models.config`, `batching_parameters.txt` and `docker-compose.yaml` into `models_folder`.

    Started there, `docker compose up` serves the newest version of every model in it.

    Args:
        models_folder: holds `<name>/<version>/saved_model.pb`.

    Returns:
        The three files.

    Raises:
        ValueError: there is no model in it.
    """
    folder = pathlib.Path(models_folder)
    names = sorted({path.parts[-3] for path in folder.glob("*/*/saved_model.pb") if path.parts[-2].isdigit()})
    if not names:
        raise ValueError(f"{folder} holds no <name>/<version>/saved_model.pb; export a model into it first.")
    models = "".join(
        f"  config {{\n    name: {json.dumps(name)}\n    base_path: {json.dumps(f'{MOUNT}/{name}')}\n"
        '    model_platform: "tensorflow"\n  }\n'
        for name in names
    )
    files = {
        "models.config": f"model_config_list {{\n{models}}}\n",
        "batching_parameters.txt": BATCHING,
        "docker-compose.yaml": COMPOSE,
    }
    return [_write(folder / name, text) for name, text in files.items()]


def _write(path: pathlib.Path, text: str) -> pathlib.Path:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text)
    return aside.replace(path)
