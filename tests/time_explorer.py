"""Time the explorer in the browser: python tests/time_explorer.py [MODEL]

What comes first is slower: the browser has not compiled it yet. A keystroke in a view is measured
from a fresh page on, until the page is laid out, by the processor time of the page's thread: a
busy machine does not change it. The view of the film needs MODEL.film.
"""

import sys
import tempfile
from pathlib import Path

from browser import chromium, opened
from test_explorer import page_of

from llmhard import explorer, model_file
from llmhard.film import film_beside, film_path

TEXT = "seven ducks swim in the lake and sam runs to the big dog by his"
TIMES = """(text) => {
    const all = [0, ...llm.tokenizer.encode(text).ids];
    let turn = 0;
    const pair = () => llm.data.pairs[turn++ % llm.data.pairs.length];
    const words = () => pair().good.split(" ");
    const work = {"nextWords, a new beginning": () => llm.grammar.nextWords(words().slice(0, -1))};
    work["derivation of a sentence"] = () => llm.grammar.derivation(words());
    for (const n of [4, 16]) {
        const trace = llm.read(llm.model, all.slice(0, n));
        const loss = llm.lossOf(trace, all.slice(1, n + 1));
        work[`read, ${n} tokens`] = () => llm.read(llm.model, all.slice(0, n));
        work[`backward, ${n} tokens`] = () => trace.graph.backward(loss);
    }
    work["a minimal pair"] = () => llm.prefersGood(llm.model, llm.tokenizer, pair());
    const timed = (run) => {
        const start = performance.now();
        run();
        return performance.now() - start;
    };
    return Object.entries(work).map(([name, run]) => {
        const times = Array.from({length: 50}, () => timed(run));
        const [first] = times;
        return [name, first, times.sort((a, b) => a - b)[25]];
    });
}"""


TYPED = "the dogs by the pond bark at the big cat on monday"
TYPE = """(text) => {
    const input = document.getElementById("text");
    input.value = text;
    input.dispatchEvent(new Event("input"));
    return document.querySelector("main").offsetHeight;
}"""
VIEWS = ("next", "truth", "attention", "map", "backward", "lens", "change", "film")


def spent(session):
    """The processor time of the page's thread until now, in milliseconds."""
    metrics = session.send("Performance.getMetrics")["metrics"]
    return 1000 * next(each["value"] for each in metrics if each["name"] == "TaskDuration")


def keystrokes(page):
    """What each keystroke of a text takes, in milliseconds."""
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    times = []
    for end in range(1, len(TYPED) + 1):
        start = spent(session)
        page.evaluate(TYPE, TYPED[:end])
        times.append(spent(session) - start)
    return times


def main(path="model.safetensors"):
    saved = model_file.load(path)
    film = film_beside(film_path(Path(path)), saved, print)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        print(f"{'the page':28}{len(explorer.html(saved).encode()):,} bytes")
        whole = Path(folder) / "whole.html"
        explorer.write(whole, saved, film=film)
        for view in VIEWS if film else VIEWS[:-1]:
            with opened(browser, whole, fragment=f"#view={view}") as page:
                page.wait_for_timeout(500)
                times = sorted(keystrokes(page))
            name, half = f"a keystroke in {view}", times[len(times) // 2]
            print(f"{name:28}{half:8.2f} ms median {times[-1]:7.2f} ms the slowest of {len(times)}")
        with opened(browser, page_of(saved, Path(folder))) as page:
            for name, first, median in page.evaluate(TIMES, TEXT):
                print(f"{name:28}{first:8.2f} ms first {median:8.2f} ms median of 50")


if __name__ == "__main__":
    main(*sys.argv[1:])
