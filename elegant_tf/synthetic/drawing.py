"""The whole image: every layer in its order, then the light."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from elegant_tf.synthetic.canvas import Canvas
from elegant_tf.synthetic.eyeglasses import draw_eyeglasses
from elegant_tf.synthetic.features import draw_brows, draw_ears, draw_eyes, draw_mouth, draw_nose, draw_skin
from elegant_tf.synthetic.hair import draw_back_hair, draw_bangs, draw_hair
from elegant_tf.synthetic.hats import draw_hat
from elegant_tf.synthetic.identity import Identity, Light
from elegant_tf.synthetic.mustache import draw_mustache
from elegant_tf.synthetic.scene import draw_backdrop, draw_body
from elegant_tf.synthetic.styles import Styles

SMALLEST_CANVAS = 144
"""The smallest side in pixels: lines, at least one pixel wide, would be too thick on a smaller canvas."""


def _supersampling(size: int) -> int:
    return max(3 if size <= 192 else 2, math.ceil(SMALLEST_CANVAS / size))


def _lit(image: np.ndarray, light: Light) -> np.ndarray:
    """Makes the image brighter and warmer towards the light, darker and cooler away from it."""
    size = len(image)
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    slope = light.strength * (axis[None, :] * math.cos(light.angle) + axis[:, None] * math.sin(light.angle))
    tint = np.array((1 + light.warmth, 1.0, 1 - light.warmth), np.float32)
    warm = np.array((1.0, 0.92, 0.80), np.float32)
    gain = tint * (0.98 + slope[..., None].astype(np.float32) * warm)
    return np.clip(image * gain + 0.5, 0, 255).astype(np.uint8)


def draw(who: Identity, styles: Styles, size: int) -> np.ndarray:
    """Draws `who` in these styles: uint8 `[size, size, 3]` RGB."""
    factor = _supersampling(size)
    image = Image.new("RGB", (size * factor, size * factor), who.backdrop.first)
    canvas = Canvas(image, size * factor, who.pose.affine())
    hat = styles.Wearing_Hat is not None
    draw_backdrop(canvas, who.backdrop)
    draw_back_hair(canvas, who, hat)
    draw_body(canvas, who)
    draw_ears(canvas, who)
    draw_skin(canvas, who)
    draw_brows(canvas, who)
    draw_eyes(canvas, who)
    draw_nose(canvas, who)
    draw_mouth(canvas, who, styles.Smiling)
    if styles.Mustache:
        draw_mustache(canvas, who, styles.Mustache)
    draw_hair(canvas, who, hat)
    if styles.Bangs:
        draw_bangs(canvas, who, styles.Bangs)
    if styles.Eyeglasses:
        draw_eyeglasses(canvas, who, styles.Eyeglasses)
    if styles.Wearing_Hat:
        draw_hat(canvas, who, styles.Wearing_Hat)
    return _lit(np.asarray(image.reduce(factor)), who.light)
