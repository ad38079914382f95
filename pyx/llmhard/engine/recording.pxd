"""Recording, as the modules above see it."""
from libc.stdint cimport uint64_t

from llmhard.engine.elementwise cimport is_exact, is_linear
from llmhard.engine.kernels cimport lanes
from llmhard.engine.node cimport Node, clock, locals_of
from llmhard.engine.operation cimport find_local

cdef uint64_t n_blocks       # how many `with no_grad()` blocks all threads together are in

cdef Node *finish(Node *node, lanes *scratch=*) noexcept
cdef void forget(Node *node) noexcept
cdef lanes *scratch_for(Py_ssize_t n) except NULL


cdef inline Node *finish_single(Node *node, double data, double *local) noexcept:
    """finish() for a single Value whose data, and exact local gradients, are known."""
    cdef int i
    node.changed = clock.changes
    node.home.own[0] = data
    if not is_exact(node.op):
        find_local(node)
    elif not is_linear(node.op):
        for i in range(node.n_inputs):
            locals_of(node)[i] = local[i]
    if n_blocks:
        forget(node)
    return node
