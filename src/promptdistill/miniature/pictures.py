"""Pictures of the miniature world: one shape, or one full-frame pattern, drawn from a random generator.

Every picture is a pure function of its description and its generator, so a data set is
reproducible from its seed.  Pictures are drawn at twice their size and reduced with Lanczos.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 48
_CANVAS = 2 * SIZE

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "orange": (244, 132, 28),
    "yellow": (245, 215, 50),
    "green": (50, 160, 60),
    "teal": (40, 170, 170),
    "blue": (45, 85, 210),
    "purple": (125, 55, 170),
    "pink": (245, 130, 185),
    "brown": (125, 75, 40),
    "white": (242, 242, 242),
    "gray": (128, 128, 128),
    "black": (28, 28, 28),
}

Loops = list[np.ndarray]  # closed outlines, each (points, 2) in [-1, 1]; the second one cuts a hole


def _polar(radius: Callable[[np.ndarray], np.ndarray], points: int = 72) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    r = radius(angle)
    return np.stack([r * np.sin(angle), -r * np.cos(angle)], axis=1)


def _regular(corners: int, inner: float = 1.0) -> np.ndarray:
    """A regular polygon; with `inner` below 1, a star with that inner radius."""
    if inner < 1:
        return _polar(lambda a: np.where(np.arange(len(a)) % 2, inner, 1.0), 2 * corners)
    return _polar(np.ones_like, corners)


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -(y + 2)], axis=1) / 16


def _moon() -> np.ndarray:
    outer = np.linspace(0.25 * np.pi, 1.75 * np.pi, 40)
    inner = np.linspace(1.70 * np.pi, 0.30 * np.pi, 30)
    x = np.concatenate([np.cos(outer), 0.45 + 0.75 * np.cos(inner)])
    return np.stack([x, np.concatenate([np.sin(outer), 0.75 * np.sin(inner)])], axis=1)


def _points(*xy: tuple[float, float]) -> np.ndarray:
    return np.array(xy, dtype=float)


SHAPES: dict[str, Loops] = {
    "circle": [_polar(lambda a: np.full_like(a, 0.92))],
    "square": [_points((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8))],
    "triangle": [_regular(3)],
    "diamond": [_points((0, -1), (0.6, 0), (0, 1), (-0.6, 0))],
    "star": [_regular(5, inner=0.4)],
    "hexagon": [_regular(6)],
    "cross": [
        _points(
            *[(-0.3, -0.95), (0.3, -0.95), (0.3, -0.3), (0.95, -0.3), (0.95, 0.3), (0.3, 0.3)],
            *[(0.3, 0.95), (-0.3, 0.95), (-0.3, 0.3), (-0.95, 0.3), (-0.95, -0.3), (-0.3, -0.3)],
        )
    ],
    "ring": [_polar(lambda a: np.full_like(a, 0.95)), _polar(lambda a: np.full_like(a, 0.5))],
    "heart": [_heart()],
    "moon": [_moon()],
    "arrow": [
        _points(*[(0, -1), (0.75, -0.1), (0.28, -0.1), (0.28, 1), (-0.28, 1), (-0.28, -0.1), (-0.75, -0.1)])
    ],
    "bolt": [_points((0.25, -1), (-0.65, 0.15), (-0.08, 0.15), (-0.25, 1), (0.65, -0.2), (0.08, -0.2))],
    "flower": [_polar(lambda a: 0.68 + 0.3 * np.cos(6 * a))],
    "house": [
        _points((0, -1), (0.85, -0.2), (0.65, -0.2), (0.65, 0.9), (-0.65, 0.9), (-0.65, -0.2), (-0.85, -0.2))
    ],
    "bow": [_points((-0.95, -0.65), (0, -0.12), (0.95, -0.65), (0.95, 0.65), (0, 0.12), (-0.95, 0.65))],
    "drop": [_polar(lambda a: 0.55 + 0.45 * np.maximum(0, np.cos(a)) ** 6)],
}


def _speckles(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    field = Image.fromarray((rng.random((_CANVAS // 4, _CANVAS // 4)) * 255).astype(np.uint8))
    return np.asarray(field.resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC)) > 190


def _bricks(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    row = np.floor(v / np.pi)
    return ((v / np.pi) % 1 < 0.22) | (((u / np.pi / 1.8 + 0.5 * (row % 2)) % 1) < 0.13)


def _cracks(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Borders of a Voronoi diagram: where the two nearest of 14 random points are about equally far."""
    sites = rng.uniform(-1, 1, (14, 2)) * np.array([np.abs(u).max(), np.abs(v).max()])
    distance = np.sort(np.hypot(u[..., None] - sites[:, 0], v[..., None] - sites[:, 1]), axis=-1)
    return distance[..., 1] - distance[..., 0] < 0.9


def _weave(u: np.ndarray, v: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    over = (np.sin(u / 2) > 0) ^ (np.sin(v / 2) > 0)
    return np.where(over, np.cos(2 * u) > 0.2, np.cos(2 * v) > 0.2)


# Whether a point of a pattern is inked, by its coordinates (u, v), whose period is 2π.
PATTERNS: dict[str, Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray]] = {
    "striped": lambda u, v, rng: np.sin(u) > 0,
    "dotted": lambda u, v, rng: np.cos(u) + np.cos(v) > 0.65,
    "checkered": lambda u, v, rng: (np.sin(u) > 0) ^ (np.sin(v) > 0),
    "gridded": lambda u, v, rng: (np.cos(u) > 0.75) | (np.cos(v) > 0.75),
    "zigzagged": lambda u, v, rng: np.sin(u + 2.2 * np.abs((v / np.pi) % 2 - 1)) > 0,
    "wavy": lambda u, v, rng: np.sin(u + 1.6 * np.sin(v * 0.8)) > 0,
    "speckled": _speckles,
    "ringed": lambda u, v, rng: np.sin(np.hypot(u, v)) > 0,
    "rayed": lambda u, v, rng: np.sin(np.arctan2(v, u) * rng.integers(6, 10)) > 0,
    "bricked": _bricks,
    "cracked": _cracks,
    "woven": _weave,
}
FILLS = ["plain", "striped", "dotted", "checkered"]
STYLES = ["photo", "sketch", "noisy", "night", "mosaic", "blurred"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a picture shows.  A full-frame pattern has no shape; its `texture` fills the picture."""

    colour: str
    texture: str
    shape: str | None = None
    style: str = "photo"


def _jittered(colour: str, rng: np.random.Generator, amount: float = 22) -> np.ndarray:
    return np.clip(np.array(COLOURS[colour]) + rng.normal(0, amount, 3), 0, 255)


def _contrasting(ink: np.ndarray, rng: np.random.Generator, least: float = 130) -> np.ndarray:
    """A random colour at least `least` away from `ink` in RGB space."""
    while True:
        candidate = rng.uniform(0, 255, 3)
        if np.linalg.norm(candidate - ink) >= least:
            return candidate


def _field(texture: str, period: float, rng: np.random.Generator) -> np.ndarray:
    """Boolean canvas (96, 96) of a pattern at a random angle and phase; `period` in canvas pixels."""
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[0:_CANVAS, 0:_CANVAS] - _CANVAS / 2
    scale = 2 * np.pi / period
    shift = rng.uniform(-1, 1, 2) * np.pi
    u = (x * np.cos(angle) + y * np.sin(angle)) * scale + shift[0]
    v = (-x * np.sin(angle) + y * np.cos(angle)) * scale + shift[1]
    return PATTERNS[texture](u, v, rng)


def _place(shape: str, rng: np.random.Generator) -> Loops:
    """Outlines of `shape` in canvas pixels, at a random size, position, tilt and aspect."""
    radius = rng.uniform(0.24, 0.40) * _CANVAS
    centre = _CANVAS / 2 + rng.uniform(-1, 1, 2) * (_CANVAS / 2 - radius) * 0.8
    tilt = rng.normal(0, 0.22)
    rotation = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    aspect = np.exp(rng.normal(0, 0.09, 2))
    return [(loop * aspect) @ rotation.T * radius + centre for loop in SHAPES[shape]]


def _backdrop(ground: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """A background of colour `ground`: flat, graded or blotchy, with a few stray strokes."""
    y, x = np.mgrid[0:_CANVAS, 0:_CANVAS] / _CANVAS - 0.5
    kind = rng.integers(3)
    if kind == 1:
        angle = rng.uniform(0, 2 * np.pi)
        shade = 110 * (x * np.cos(angle) + y * np.sin(angle))
    elif kind == 2:
        coarse = Image.fromarray(rng.normal(0, 40, (7, 7)).astype(np.float32))
        shade = np.asarray(coarse.resize((_CANVAS, _CANVAS), Image.Resampling.BICUBIC))
    else:
        shade = np.zeros_like(x)
    canvas = Image.fromarray(np.clip(ground + shade[..., None], 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(0, 4)):
        ends = [tuple(point) for point in rng.uniform(0, _CANVAS, (2, 2))]
        draw.line(ends, fill=tuple(int(c) for c in rng.uniform(0, 255, 3)), width=int(rng.integers(2, 5)))
    return canvas


def _draw_shape(subject: Subject, rng: np.random.Generator) -> Image.Image:
    ink = _jittered(subject.colour, rng)
    canvas = _backdrop(_contrasting(ink, rng), rng)
    mask = Image.new("L", canvas.size)
    draw = ImageDraw.Draw(mask)
    for hole, loop in enumerate(_place(subject.shape, rng)):
        points = [tuple(point) for point in loop]
        if subject.style == "sketch":
            draw.line([*points, points[0]], fill=255, width=int(rng.integers(3, 6)), joint="curve")
        else:
            draw.polygon(points, fill=0 if hole else 255)
    inside = np.asarray(mask) > 127
    paint = np.broadcast_to(ink, (_CANVAS, _CANVAS, 3))
    if subject.texture != "plain" and subject.style != "sketch":
        second = _contrasting(ink, rng, least=150)
        field = _field(subject.texture, period=rng.uniform(11, 18), rng=rng)
        paint = np.where(field[..., None], ink, second)
    return Image.fromarray(np.where(inside[..., None], paint, np.asarray(canvas)).astype(np.uint8))


def _draw_pattern(subject: Subject, rng: np.random.Generator) -> Image.Image:
    ink = _jittered(subject.colour, rng)
    ground = _contrasting(ink, rng, least=110)
    field = _field(subject.texture, period=rng.uniform(14, 34), rng=rng)
    return Image.fromarray(np.where(field[..., None], ink, ground).astype(np.uint8))


def _restyle(picture: Image.Image, style: str, rng: np.random.Generator) -> Image.Image:
    """Apply a rendering style to a finished (48, 48) picture."""
    if style == "mosaic":
        blocks = int(rng.integers(11, 16))
        small = picture.resize((blocks, blocks), Image.Resampling.BOX)
        return small.resize((SIZE, SIZE), Image.Resampling.NEAREST)
    if style == "blurred":
        return picture.filter(ImageFilter.GaussianBlur(float(rng.uniform(1.6, 3.0))))
    pixels = np.asarray(picture).astype(float)
    if style == "noisy":
        pixels = 128 + 0.6 * (pixels - 128) + rng.normal(0, rng.uniform(38, 62), pixels.shape)
    elif style == "night":
        tint = np.array([0.22, 0.26, 0.42]) * rng.uniform(0.6, 1.1)
        pixels = pixels * tint + rng.normal(0, 7, pixels.shape)
    else:
        pixels = pixels * rng.uniform(0.85, 1.1) + rng.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def draw(subject: Subject, rng: np.random.Generator) -> Image.Image:
    """Draw `subject` as an RGB picture of 48 x 48 pixels."""
    canvas = _draw_pattern(subject, rng) if subject.shape is None else _draw_shape(subject, rng)
    return _restyle(canvas.resize((SIZE, SIZE), Image.Resampling.LANCZOS), subject.style, rng)
