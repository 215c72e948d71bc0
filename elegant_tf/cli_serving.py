"""`elegant-tf serve-client`: edits on a server."""

from __future__ import annotations

import io
import json
from argparse import Namespace

import numpy as np
from PIL import Image

from elegant_tf import launch
from elegant_tf.errors import UserError
from elegant_tf.images import check_output, write_image
from elegant_tf.serving.client import Client, connect, picture_bytes
from elegant_tf.serving.endpoint import Endpoint


def run(options: Namespace) -> None:
    """Runs the action of a command line; raises UserError on a user's mistake and on what the server refuses."""
    fields = ("server", "model", "version", "label", "tls", "ca_file", "cert_file", "key_file")
    endpoint = Endpoint(**{name: getattr(options, name) for name in fields})
    launch.prepare_tensorflow()
    client = Client(connect(endpoint, options.protocol), options.timeout, options.retries)
    try:
        if options.action == "metadata":
            print(json.dumps(client.metadata, indent=2))
        else:
            _edit(client, options)
    finally:
        client.close()


def _edit(client: Client, options: Namespace) -> None:
    check_output(options.out, options.overwrite)
    images, exemplars = ([picture_bytes(path) for path in paths] for paths in (options.input, options.exemplar))
    (edited,) = client.edit(images, exemplars, options.attributes, options.strength)
    try:
        with Image.open(io.BytesIO(edited)) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise UserError(f"{options.server}: answered with what is no picture: {error}") from error
    write_image(options.out, pixels, options.overwrite)
    print(options.out)
