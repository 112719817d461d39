"""The chart of benches/run.py: for each load a row, for each server a mark, on a logarithmic scale.

Marks differ in shape, not only in colour; the colours hold in light and dark; the letters can be read at phone width.
"""

import math
from xml.sax.saxutils import escape

WIDTH = 400
LEFT, RIGHT = 18, 20
ROW = 38
# What is drawn last lies on top: ours.
SHAPES = {
    "floor, epoll": ("floor", "bar"),
    "ws, Node.js": ("node", "cross"),
    "websockets, Python": ("python", "plus"),
    "fastwebsockets": ("fast", "triangle"),
    "Beast": ("beast", "square"),
    "tungstenite": ("tungstenite", "diamond"),
    "wstrand, C": ("wstrand-c", "ring"),
    "wstrand": ("wstrand", "disc"),
}
TICKS = [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128]

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f }
.small { font-size: 11px; fill: #57606a }
.value { font-weight: 600 }
.grid { stroke: #d0d7de; stroke-width: 1 }
.one { stroke: #57606a; stroke-width: 1.5 }
.mark { fill: none; stroke-width: 2.5 }
.floor { stroke: #57606a } .node { stroke: #8250df } .python { stroke: #9a6700 }
.fast { stroke: #1a7f37 } .beast { stroke: #bc4c00 } .tungstenite { stroke: #cf222e }
.wstrand-c { stroke: #0969da } .wstrand { stroke: #0969da; fill: #0969da }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.small { fill: #9198a1 }
.grid { stroke: #3d444d } .one { stroke: #9198a1 }
.floor { stroke: #9198a1 } .node { stroke: #ab7df8 } .python { stroke: #d29922 }
.fast { stroke: #3fb950 } .beast { stroke: #db6d28 } .tungstenite { stroke: #f85149 }
.wstrand-c { stroke: #58a6ff } .wstrand { stroke: #58a6ff; fill: #58a6ff }
}
"""


def mark(name, x, y):
    css, shape = SHAPES[name]
    paths = {
        "bar": "M0-6V6",
        "cross": "M-4-4L4 4M-4 4L4-4",
        "plus": "M-5 0H5M0-5V5",
        "triangle": "M0-5L5 4H-5Z",
        "square": "M-4-4H4V4H-4Z",
        "diamond": "M0-6L6 0L0 6L-6 0Z",
        "ring": "M-5.5 0a5.5 5.5 0 1 0 11 0a5.5 5.5 0 1 0 -11 0",
        "disc": "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0 -6 0",
    }
    return f'<path class="mark {css}" transform="translate({x:.1f} {y:.1f})" d="{paths[shape]}"/>'


def legend(names, y):
    parts = []
    x = LEFT + 6
    for name in names:
        width = 30 + 6.6 * len(name)
        if x + width > WIDTH:
            x = LEFT + 6
            y += 20
        parts.append(mark(name, x, y - 4))
        parts.append(f'<text x="{x + 12:.0f}" y="{y}">{escape(name)}</text>')
        x += width
    return parts, y


def draw(rows):
    """The SVG of rows of (title, {server: multiple of the floor's CPU time})."""
    values = [value for _, by_name in rows for value in by_name.values() if value]
    present = {name for _, by_name in rows for name, value in by_name.items() if value}
    names = [name for name in SHAPES if name in present]
    low = max(t for t in TICKS if t <= min([1, *values]) or t == TICKS[0])
    high = min(t for t in TICKS if t >= max([2, *values]) or t == TICKS[-1])

    def at(value):
        part = (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
        return LEFT + min(1, max(0, part)) * (WIDTH - LEFT - RIGHT)

    body = [f'<text x="{LEFT}" y="18" class="value">Server CPU time a message, × the floor’s</text>']
    body.append(f'<text x="{LEFT}" y="35" class="small">the floor: C, blocking, a thread a connection. Less is better.</text>')
    marks, y = legend(list(reversed(names)), 58)
    body += marks
    top = y + 16
    bottom = top + 16 + ROW * len(rows)
    for tick in [tick for tick in TICKS if low <= tick <= high]:
        kind = "one" if tick == 1 else "grid"
        body.append(f'<line class="{kind}" x1="{at(tick):.1f}" x2="{at(tick):.1f}" y1="{top + 14}" y2="{bottom}"/>')
        for level in (top + 9, bottom + 15):
            body.append(f'<text class="small" text-anchor="middle" x="{at(tick):.1f}" y="{level}">{tick:g}</text>')
    for row, (title, by_name) in enumerate(rows):
        y = top + 16 + ROW * row
        own = by_name.get("wstrand")
        body.append(f'<text x="{LEFT + 4}" y="{y + 14}">{escape(title)}</text>')
        if own:
            body.append(f'<text class="value" text-anchor="end" x="{WIDTH - 4}" y="{y + 14}">{own:.2f}</text>')
        body.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y + 27}" y2="{y + 27}"/>')
        body += [mark(name, at(by_name[name]), y + 27) for name in names if by_name.get(name)]
    height = bottom + 24
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="100%" style="max-width: 44em" role="img">',
        "<title>Server CPU time a message as a multiple of the floor's, for each load and server</title>",
        f"<style>{STYLE}</style>",
        *body,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"
