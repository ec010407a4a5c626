"""Convolution by way of frequencies, whose cost hardly grows with the kernel."""

from keras import ops


def fft_conv(x, kernel, causal: bool = False):
    """Correlate [N, L, C] or [N, H, W, C] with `kernel` by way of its frequencies; float32, sizes stay.

    Args:
        kernel: [L', C, F] or [H', W', C, F]; with F = 1 each channel has a kernel of its own and C are left.
        causal: the kernel's last point is at the output's place; otherwise its centre, and the sizes are odd.
    """
    rank = len(x.shape) - 2
    sides, spans = ops.shape(x)[1:-1], kernel.shape[:rank]
    padded = [side + span - 1 for side, span in zip(sides, spans, strict=True)]
    kernel = ops.cast(kernel, "float32")
    for axis in range(rank):
        kernel = ops.flip(kernel, axis)

    def frequencies(t, first):  # of the `rank` axes from `first` on, moved to the end
        t = ops.moveaxis(t, tuple(range(first, first + rank)), tuple(range(-rank, 0)))
        widths = [(0, full - now) for full, now in zip(padded, ops.shape(t)[-rank:], strict=True)]
        t = ops.pad(t, [(0, 0)] * (len(t.shape) - rank) + widths)
        return ops.rfft(t) if rank == 1 else ops.fft2((t, ops.zeros_like(t)))

    (a, b), (c, d) = frequencies(ops.cast(x, "float32"), 1), frequencies(kernel, 0)
    if kernel.shape[-1] == 1:  # [C, 1, ...] beside [N, C, ...]
        c, d = c[:, 0], d[:, 0]
        y = a * c - b * d, a * d + b * c
    else:
        a, b = a[:, :, None], b[:, :, None]
        y = ops.sum(a * c - b * d, axis=1), ops.sum(a * d + b * c, axis=1)
    y = ops.irfft(y, padded[0]) if rank == 1 else ops.ifft2(y)[0]
    y = ops.moveaxis(y, 1, -1)
    starts = [0 if causal else span // 2 for span in spans]
    return y[(slice(None), *[slice(start, start + side) for start, side in zip(starts, sides, strict=True)])]
