"""A Python that a lab talks to, as a reader would at the prompt: one for each lab.

It reads requests and writes answers, one JSON object per line. It runs as a script in the reader's
folder and knows nothing about docs_tools.
"""

import ast
import contextlib
import io
import json
import os
import sys
import traceback


def run(source: str, namespace: dict[str, object], echo: bool) -> tuple[str, str]:
    """Run statements; return what was shown and the name of the exception that ended them, or "".

    With `echo`, it looks as at the prompt: each statement after ">>> ", and the values of
    expressions.
    """
    lines = source.splitlines()
    shown = io.StringIO()
    before = 0
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        for statement in ast.parse(source).body:
            first = min([statement.lineno, *(d.lineno for d in _decorators(statement))]) - 1
            assert statement.end_lineno is not None
            if echo:
                typed = [line for line in lines[before:first] if line.strip()]  # comments
                typed += lines[first : statement.end_lineno]
                for number, line in enumerate(typed):
                    print((">>> " if number == 0 else "... ") + line.rstrip())
                if hasattr(statement, "body"):  # the empty line that ends it at the prompt
                    print("...")
            before = statement.end_lineno
            kind = "single" if echo else "exec"
            tree = ast.Interactive([statement]) if echo else ast.Module([statement], [])
            try:
                exec(compile(tree, "<stdin>", kind), namespace)
            except Exception as error:
                print("Traceback (most recent call last):\n  ...")
                print("".join(traceback.format_exception_only(error)).rstrip())
                return shown.getvalue(), type(error).__name__
    return shown.getvalue(), ""


def _decorators(statement: ast.stmt) -> list[ast.expr]:
    return getattr(statement, "decorator_list", [])


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    sys.path[0] = ""  # as at the prompt: modules are found where the reader is
    namespace: dict[str, object] = {"__name__": "__main__"}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "expression" in request:
                text = format(eval(request["expression"], namespace), request["format"])
                answer = {"shown": text, "error": ""}
            else:
                shown, error = run(request["source"], namespace, request["echo"])
                answer = {"shown": shown, "error": error}
        except Exception as error:
            answer = {"shown": f"{type(error).__name__}: {error}", "error": type(error).__name__}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
