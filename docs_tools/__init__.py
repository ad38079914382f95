"""What keeps the labs true: excerpts, outputs and figures are written and checked by machine.

`python -m docs_tools update` writes them into docs/, `python -m docs_tools check` compares. The
labs call the functions of `blocks.py` in cog blocks. Not part of the installed package.
"""
