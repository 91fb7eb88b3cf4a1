"""Draw a dependency tree in plain text, one word a line, arcs to the right."""

from collections.abc import Sequence


def draw_tree(words: Sequence[str], heads: Sequence[int], relations: Sequence[str]) -> str:
    """Draw a projective tree; `heads` are 1-based, 0 for the root.

    An arrow points at each dependent; the arc's other end is its head.
    """
    size = len(words)
    arcs = sorted(
        (min(head - 1, child), max(head - 1, child), child)
        for child, head in enumerate(heads)
        if head
    )
    arcs.sort(key=lambda arc: arc[1] - arc[0])
    level: dict[tuple[int, int, int], int] = {}
    for low, high, child in arcs:
        # Outside of every arc drawn so far that it spans, or that ends where it starts: only arcs
        # of one head may share a column there.
        inner = [
            level[other]
            for other in level
            if (low <= other[0] and other[1] <= high)
            or ((low in other[:2] or high in other[:2]) and heads[child] != heads[other[2]])
        ]
        level[low, high, child] = max(inner, default=-1) + 1
    width = max(level.values(), default=-1) + 1
    grid = [[" "] * (2 * width) for _ in range(size)]
    for (low, high, child), column in level.items():
        for row in range(low + 1, high):
            if grid[row][2 * column + 1] == " ":
                grid[row][2 * column + 1] = "│"
        for row, corner in ((low, "┐"), (high, "┘")):
            for place in range(2 * column + 1):
                grid[row][place] = _crossed(grid[row][place])
            taken = grid[row][2 * column + 1]
            grid[row][2 * column + 1] = corner if taken == " " else _joined(taken, corner)
            if row == child:
                grid[row][2 * column] = "◄"
    longest = max(len(word) for word in words)
    return "\n".join(
        f"{word:<{longest}} {''.join(cells)} {relation}".rstrip()
        for word, cells, relation in zip(words, grid, relations, strict=True)
    )


def _crossed(cell: str) -> str:
    return {" ": "─", "┐": "┬", "┘": "┴", "┤": "┼"}.get(cell, cell)


def _joined(cell: str, corner: str) -> str:
    if cell in "┐┘" and cell != corner:
        return "┤"
    return {"─": "┬" if corner == "┐" else "┴"}.get(cell, cell)
