"""How large the page is and how soon it can be used, in headless Chromium: for 200 and 10,000 rows by default.

    python scripts/page_speed.py [COUNT …]

Rows are made by hand and no two have a figure in common, which is the largest that so many rows can be. Times are of
this machine, whatever else runs on it: rendering (Python), from the start of loading until the controls and the table
answer (`performance.mark("interactive")` in the page), until every chart is drawn, and one move of a control until
the table shows other dollars.
"""

import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench.page import document  # noqa: E402
from tests.browser import Seen, context, executable  # noqa: E402
from tests.test_page import different  # noqa: E402

COUNTS = (200, 10_000)
MOVE = """async () => {
    const cell = () => document.querySelector("#body td[data-column=usd_per_mtok] .value").textContent;
    const [before, began, field] = [cell(), performance.now(), document.querySelector("#price")];
    field.value = "3.5";
    field.dispatchEvent(new Event("input"));
    while (cell() === before) await new Promise(requestAnimationFrame);
    return performance.now() - began;
}"""
UNDRAWN = "() => document.querySelectorAll('.drawing:not(.drawn)').length"


def measured(chromium: Browser, count: int, folder: Path) -> str:
    """One line for so many rows."""
    report = different(count)
    began = time.perf_counter()
    path = folder / f"{count}.html"
    document.write(report, path)
    rendered_s = time.perf_counter() - began
    window = context(chromium)
    window.set_default_timeout(60_000)
    seen = Seen(window.new_page())
    page = seen.open(path)
    ready_ms = float(page.evaluate("performance.getEntriesByName('interactive')[0].startTime"))
    moved_ms = float(page.evaluate(MOVE))
    while page.evaluate(UNDRAWN):
        page.wait_for_timeout(100)
    drawn_ms = float(page.evaluate("performance.now()"))
    window.close()
    size = path.stat().st_size / 1e6
    complaints = f"  {len(seen.complaints)} complaints, {len(seen.requests)} requests" if seen.complaints else ""
    return (
        f"{count:>7,} {size:>8.2f} {rendered_s:>10.2f} {ready_ms / 1e3:>14.2f} {moved_ms / 1e3:>9.2f}"
        f" {drawn_ms / 1e3:>9.2f}{complaints}"
    )


def main() -> None:
    counts = [int(one) for one in sys.argv[1:]] or COUNTS
    print("   rows       MB   render s  interactive s    move s   drawn s")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        for count in counts:
            print(measured(chromium, count, Path(folder)), flush=True)
        chromium.close()


if __name__ == "__main__":
    main()
