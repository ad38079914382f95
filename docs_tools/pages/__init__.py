"""What the labs' blocks compute and draw, one module a lab: that of 03-autograd is `autograd`.

A block knows its module as `lab`, so that a page has one line where a figure is made:
`lab.slope()`. tests/test_pages.py tests what these functions return and draw.
"""
