"""The views of a picture that are averaged for an answer: the ten of [A] §4.1, and fewer."""

View = tuple[int, int, bool]
"""Row and column of a crop's upper left corner, and whether it is mirrored."""
VIEW_NUMBERS = {1: (2,), 5: (0, 1, 2, 3, 4), 9: (0, 10, 1, 11, 2, 12, 3, 13, 4), 10: tuple(range(10))}
"""Which of `all_views` make up a test with 1, 5, 9 or 10."""


def all_views(side: int, size: int) -> tuple[View, ...]:
    """The ten views, followed by those four of the nine that are neither corners nor centre."""
    return views_of(side, size, 10) + views_of(side, size, 9)[1::2]


def views_of(side: int, size: int, count: int) -> tuple[View, ...]:
    """The views of a record that a test looks at: 1, the centre; 5, corners and centre; 10, these and their mirrors,
    in the 2012 code's order (top left, top right, centre, bottom left, bottom right) ([A] §4.1); 9, a grid of 3 × 3
    without mirrors, as the 2012 code tested its CIFAR nets."""
    edge, middle = side - size, (side - size) // 2
    corners = ((0, 0), (0, edge), (middle, middle), (edge, 0), (edge, edge))
    if count == 1:
        return ((middle, middle, False),)
    if count == 9:
        return tuple((row, column, False) for row in (0, middle, edge) for column in (0, middle, edge))
    mirrors = (False,) if count == 5 else (False, True)
    return tuple((row, column, mirrored) for mirrored in mirrors for row, column in corners)
