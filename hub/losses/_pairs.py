"""What losses over the pairs of a batch share: labels compared, vectors compared, and means that stay per example."""

from keras import ops

DISTANCES = ("L2", "squared-L2", "angular")  # as in tensorflow-addons


def same_label(y_true):
    """[N, N]: whether two examples of labels [N] or [N, 1] have the same one."""
    labels = ops.reshape(y_true, (-1,))
    return ops.equal(labels[:, None], labels[None, :])


def but_self(pairs):
    """`pairs` [N, N] without the diagonal."""
    return ops.logical_and(pairs, ops.eye(ops.shape(pairs)[0], dtype="float32") < 0.5)


def unit(x):
    """Rows of [N, d] at length 1; shorter ones than 1e-6, of no direction, stay short."""
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=-1, keepdims=True), 1e-12))


def pairwise_distances(x, metric: str):
    """[N, N] distances between the rows of [N, d]: `DISTANCES` names them, "angular" is 1 - cosine in 0..2."""
    if metric == "angular":
        x = unit(x)
        return ops.relu(1 - ops.matmul(x, ops.transpose(x)))
    squares = ops.sum(ops.square(x), axis=-1)
    squared = squares[:, None] + squares[None, :] - 2 * ops.matmul(x, ops.transpose(x))
    apart = but_self(squared > 0)  # rounding may leave the diagonal a little above zero, other pairs below
    if metric == "squared-L2":
        return ops.where(apart, squared, 0.0)
    return ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)  # no infinite slope at distance 0


def check_metric(distance_metric: str) -> None:
    """Raises ValueError: `distance_metric` is none of `DISTANCES`."""
    if distance_metric not in DISTANCES:
        raise ValueError(
            f"`distance_metric` is one of {', '.join(DISTANCES)}. Received: distance_metric={distance_metric!r}."
        )


def mean_over(pairs, values):
    """One number per example [N] whose mean is that of the `values` [N, M] where `pairs` [N, M]; 0 if nowhere."""
    weight = ops.cast(pairs, values.dtype)
    share = ops.divide_no_nan(ops.cast(ops.shape(values)[0], values.dtype), ops.sum(weight))
    return share * ops.sum(ops.where(pairs, values, 0.0), axis=-1)
