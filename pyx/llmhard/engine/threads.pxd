"""Passes that run while other threads do, as the modules above see them."""
from llmhard.engine.node cimport Node
from llmhard.engine.traversal cimport NodeList, Seen

cdef enum Access:
    READ        # read data
    WRITE       # write data
    GRAD        # read or write grad


cdef class Pass:
    cdef NodeList nodes         # what forward() computes: inputs before what depends on them
    cdef Seen touched           # these, and the leaves and earlier results that they depend on
    cdef bint at_work           # in the list of passes: begin() was called, but not yet end()
    cdef bint backward          # its direction, while at work
    cdef bint moves             # it moves leaves, too: a step of Adam
    cdef int awaited            # how many threads are waiting for it to end

    cdef int wait_for_others(self, bint backward) except -1
    cdef int begin(self, bint backward) except -1
    cdef void end(self) noexcept
    cdef Pass hindrance(self, bint backward)
    cdef bint computes_for(self, Pass other) noexcept
    cdef bint hinders(self, Node *node, Access what) noexcept


cdef int n_at_work              # how many passes are at work, in threads without the GIL

cdef void wait_for_nodes(Node **nodes, Py_ssize_t count, Access what) noexcept
cdef bint wait_once(Node *node, Access what) noexcept


cdef inline void reach(Node *node, Access what) noexcept:
    """Wait until no other thread is using these numbers. The caller then keeps the GIL."""
    if n_at_work:
        wait_for_nodes(&node, 1, what)
