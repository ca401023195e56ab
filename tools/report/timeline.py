# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Draws the plan of a page written by `ciuicc --report` as a still picture (SVG): a panel per entry with time from left to
right, the lanes of compute and copies on top, and below them the arena by address.

    ciuicc MODEL … --report plan.html && python3 tools/report/timeline.py plan.html picture.svg
"""
import argparse
import json
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, LEFT, LANE, MAP, PANEL = 960, 74, 14, 190, 300
INK, DIM, PAPER, WASH = "#1d2430", "#6a7483", "#ffffff", "#f0f3f7"
COLORS = {"compute": "#4a7dbd", "copies": "#d9822b", "stall": "#d23f4b", "states": "#9a8fbf", "resident": "#7fa98a",
          "loading": "#f0c592"}
MIB = 1 << 20


def read_plan(page):
    """The data of a report page: the one line behind `const data =`."""
    text = page.read_text()
    start = text.index("const data = ") + len("const data = ")
    return json.JSONDecoder().raw_decode(text[start:].lstrip())[0]


def milliseconds(us):
    return f"{us / 1e3:.1f} ms" if us < 1e5 else f"{us / 1e3:.0f} ms"


class Panel:
    """One entry; `top` is where it begins in the picture."""

    def __init__(self, data, entry, top):
        self.data, self.entry, self.top, self.parts = data, entry, top, []
        self.scale = (WIDTH - LEFT - 8) / max(entry["pass"], 1e-9)
        self.map_top = top + 30 + 2 * (LANE + 4)

    def rect(self, begin, end, y, height, fill):
        begin, end = max(begin, 0), min(end, self.entry["pass"])
        if end > begin and height >= 0.4:
            self.parts.append(f'<rect x="{LEFT + begin * self.scale:.1f}" y="{y:.1f}" '
                              f'width="{max((end - begin) * self.scale, 0.4):.1f}" height="{height:.1f}" fill="{fill}"/>')

    def text(self, x, y, words, anchor="start", color=DIM):
        self.parts.append(f'<text x="{x}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(words)}</text>')

    def area(self, begin, end, offset, size, fill):
        high = MAP / self.data["arena"]
        self.rect(begin, end, self.map_top + MAP - (offset + size) * high, size * high, fill)

    def lanes(self):
        entry, y = self.entry, self.top + 26
        self.text(4, y + 11, "compute")
        self.text(4, y + LANE + 15, "copies")
        done = 0.0
        # Launches that follow each other without a pause are one bar.
        bars = []
        for _, begin, end in entry["launches"]:
            if bars and begin - bars[-1][1] < entry["pass"] * 1e-6:
                bars[-1][1] = end
            else:
                bars.append([begin, end])
        for begin, end in bars:
            self.rect(done, begin, y, LANE, COLORS["stall"])
            self.rect(begin, end, y, LANE, COLORS["compute"])
            done = end
        for _, _, _, begin, end in entry["copies"]:
            self.rect(begin, end, y + LANE + 4, LANE, COLORS["copies"])

    def arena(self):
        data, entry = self.data, self.entry
        whole = (0, entry["pass"])
        self.rect(*whole, self.map_top, MAP, WASH)
        self.area(*whole, *data["persistent"], COLORS["states"])
        for _, size, at in data["units"]:
            if at >= 0:
                self.area(*whole, at, size, COLORS["resident"])
        for at, unit, loading, ready, until in entry["slots"]:
            size = data["units"][unit][1]
            self.area(loading, ready, at, size, COLORS["loading"])
            self.area(ready, until, at, size, f"hsl({unit * 137 % 360} 42% 62%)")
        for i, (_, offset, size, begin, end) in enumerate(entry["segments"]):
            self.area(begin, end, offset, size, f"hsl({i * 137 % 360} 42% 62%)")
        self.text(LEFT - 6, self.map_top + 9, f"{data['arena'] / MIB:.0f} MiB", "end")
        self.text(LEFT - 6, self.map_top + MAP, "0", "end")

    def draw(self):
        entry = self.entry
        self.text(LEFT, self.top + 16, f"{entry['name']}: predicted {milliseconds(entry['pass'])}, no schedule beats "
                  f"{milliseconds(entry['bound'])}; {entry['h2d'] / MIB:.0f} MiB copied a pass", color=INK)
        self.lanes()
        self.arena()
        self.text(LEFT, self.map_top + MAP + 14, "0")
        self.text(WIDTH - 8, self.map_top + MAP + 14, milliseconds(entry["pass"]), "end")
        return self.parts


def draw(data):
    parts = []
    for i, entry in enumerate(data["entries"]):
        parts += Panel(data, entry, i * PANEL).draw()
    height = len(data["entries"]) * PANEL + 22
    x = LEFT
    for name, words in (("compute", "kernels"), ("copies", "copies to the device"), ("stall", "kernels wait"),
                        ("states", "session state"), ("resident", "resident weights"), ("loading", "slot being filled")):
        parts.append(f'<rect x="{x}" y="{height - 16}" width="10" height="10" fill="{COLORS[name]}"/>')
        parts.append(f'<text x="{x + 14}" y="{height - 7}" fill="{DIM}">{words}</text>')
        x += 34 + 6.2 * len(words)
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
                      f'<rect width="{WIDTH}" height="{height}" fill="{PAPER}"/>', *parts, "</svg>", ""])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("page", type=Path, help="written by ciuicc --report")
    p.add_argument("picture", type=Path, help="the SVG to write")
    a = p.parse_args()
    a.picture.write_text(draw(read_plan(a.page)))


if __name__ == "__main__":
    main()
