"""What each kernel computes, in naive float64 loops: nothing shared with the package. B · C · H · W as in it."""

import itertools

import numpy as np


def window(i: int, size: int, first: int, last: int) -> range:
    return range(max(first, i - size // 2), min(last, i + (size - 1) // 2) + 1)


def power(s: float, beta: float) -> float:
    return 0.0 if s == 0 else s**-beta


def map_norm(x: np.ndarray, k: float, alpha: float, beta: float, size: int, blocks: int) -> np.ndarray:
    out, maps = np.zeros_like(x), x.shape[1] // blocks if x.shape[1] else 0
    for b, c, h, w in itertools.product(*map(range, x.shape)):
        first = c // maps * maps
        out[b, c, h, w] = x[b, c, h, w] * power(
            k + alpha * sum(x[b, j, h, w] ** 2 for j in window(c, size, first, first + maps - 1)), beta
        )
    return out


def map_norm_gradient(x, g, k, alpha, beta, size, blocks):
    """d Σ g·y / dx, term by term from the quotient: ∂y_j/∂x_i = δ_ij s_j^−β − 2αβ x_i x_j s_j^(−β−1) [i near j]."""
    out, maps = np.zeros_like(x), x.shape[1] // blocks
    for b, j, h, w in itertools.product(*map(range, x.shape)):
        first = j // maps * maps
        near = window(j, size, first, first + maps - 1)
        s = k + alpha * sum(x[b, i, h, w] ** 2 for i in near)
        out[b, j, h, w] += g[b, j, h, w] * power(s, beta)
        for i in near:
            slope = 2 * alpha * beta * x[b, i, h, w] * x[b, j, h, w] * power(s, beta + 1)
            out[b, i, h, w] -= g[b, j, h, w] * slope
    return out


def place_norm(x: np.ndarray, k: float, alpha: float, beta: float, size: int) -> np.ndarray:
    out = np.zeros_like(x)
    _, _, height, width = x.shape
    for b, c, h, w in itertools.product(*map(range, x.shape)):
        near = itertools.product(window(h, size, 0, height - 1), window(w, size, 0, width - 1))
        out[b, c, h, w] = x[b, c, h, w] * power(k + alpha * sum(x[b, c, i, j] ** 2 for i, j in near), beta)
    return out


def place_norm_gradient(x, g, k, alpha, beta, size):
    out = np.zeros_like(x)
    _, _, height, width = x.shape
    for b, c, h, w in itertools.product(*map(range, x.shape)):
        near = list(itertools.product(window(h, size, 0, height - 1), window(w, size, 0, width - 1)))
        s = k + alpha * sum(x[b, c, i, j] ** 2 for i, j in near)
        out[b, c, h, w] += g[b, c, h, w] * power(s, beta)
        for i, j in near:
            slope = 2 * alpha * beta * x[b, c, i, j] * x[b, c, h, w] * power(s, beta + 1)
            out[b, c, i, j] -= g[b, c, h, w] * slope
    return out


def outputs(size: int, kernel: int, stride: int) -> int:
    return 1 + -(-(size - kernel) // stride)


def pool(x: np.ndarray, kernel: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """(values, flat index of the first maximum in row-major order)."""
    batch, maps, height, width = x.shape
    shape = batch, maps, outputs(height, kernel, stride), outputs(width, kernel, stride)
    values, switches = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    for b, c, h, w in itertools.product(*map(range, shape)):
        rows = range(h * stride, min(h * stride + kernel, height))
        columns = range(w * stride, min(w * stride + kernel, width))
        best = max(itertools.product(rows, columns), key=lambda place: x[b, c, place[0], place[1]])
        values[b, c, h, w], switches[b, c, h, w] = x[b, c, *best], best[0] * width + best[1]
    return values, switches


def relu_norm_pool(x, g, *, relu_first, norm, relu_last, kernel, stride, inside=None):
    """(values, gradient at x of Σ g · values); `g` is a function of the shape of the values."""
    a = np.maximum(x, 0) if relu_first else x
    across = map_norm(a, *norm) if norm else a
    b = place_norm(across, *inside) if inside else across
    c = np.maximum(b, 0) if relu_last else b
    values, switches = pool(c, kernel, stride)
    upper, gradient = g(values.shape), np.zeros(c.shape)
    for place in itertools.product(*map(range, values.shape)):
        gradient[place[0], place[1]].flat[switches[place]] += upper[place]
    if relu_last:
        gradient = gradient * (c > 0)
    if inside:
        gradient = place_norm_gradient(across, gradient, *inside)
    if norm:
        gradient = map_norm_gradient(a, gradient, *norm)
    if relu_first:
        gradient = gradient * (x > 0)
    return values, gradient


def update(w, v, g, learning_rate, momentum, decay):
    v = momentum * v - decay * learning_rate * w - learning_rate * g
    return w + v, v


def augment(pictures, offsets, mirror, mean, noise, scale, size):
    out = np.zeros((len(pictures), 3, size, size))
    for b, colour, h, w in itertools.product(*map(range, out.shape)):
        column = size - 1 - w if mirror[b] else w
        row, column = offsets[b, 0] + h, offsets[b, 1] + column
        aligned = mean.shape[1:] == pictures.shape[1:3] and mean.shape[1] != size
        m = mean[colour, row, column] if aligned else mean[colour, h % mean.shape[1], w % mean.shape[2]]
        out[b, colour, h, w] = (float(pictures[b, row, column, colour]) - m + noise[b, colour]) * scale
    return out
