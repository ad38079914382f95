"""Time the explorer in the browser: python tests/time_explorer.py [MODEL]

What comes first is slower: the browser has not compiled it yet.
"""

import sys
import tempfile
from pathlib import Path

from browser import chromium, opened
from test_explorer import page_of

from llmhard import explorer, model_file

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


def main(path="model.safetensors"):
    saved = model_file.load(path)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        print(f"{'the page':28}{len(explorer.html(saved).encode()):,} bytes")
        with opened(browser, page_of(saved, Path(folder))) as page:
            for name, first, median in page.evaluate(TIMES, TEXT):
                print(f"{name:28}{first:8.2f} ms first {median:8.2f} ms median of 50")


if __name__ == "__main__":
    main(*sys.argv[1:])
