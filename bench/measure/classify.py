"""How well a threshold on the time tells two causes apart."""


def best_threshold(one, other):
    """Returns how many are told right by the best threshold, the threshold, and whether `one` is below it."""
    marked = sorted([(t, 1) for t in one] + [(t, 0) for t in other])
    right, best = len(other), (0, 0, True)  # everything above the threshold is `other`
    for t, is_one in [(0, None), *marked]:
        right += 0 if is_one is None else (1 if is_one else -1)
        best = max(best, (right, t, True), (len(marked) - right, t, False))
    return best


def accuracy(threshold, below_is_one, one, other):
    """The share in percent that the threshold tells right."""
    right = sum((t <= threshold) == below_is_one for t in one) + sum((t <= threshold) != below_is_one for t in other)
    return 100 * right / (len(one) + len(other))


def told_apart(one, other):
    """The percentages told right: of the half that did not choose the threshold, and of the half that did.

    Alternate attempts belong to the other half, so that a drift of the hardware is in both."""
    right, threshold, below = best_threshold(one[::2], other[::2])
    fresh = accuracy(threshold, below, one[1::2], other[1::2])
    return fresh, 100 * right / len(one[::2] + other[::2])
