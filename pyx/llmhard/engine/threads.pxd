"""Passes beside which other threads run, as the modules above see them."""
from llmhard.engine.node cimport Node
from llmhard.engine.traversal cimport NodeList, Seen

cdef enum Access:
    READ        # read data
    WRITE       # write data
    GRAD        # read or write grad


cdef class Pass:
    cdef NodeList nodes         # what forward() computes: inputs before what depends on them
    cdef Seen touched           # these, and the leaves and earlier results that they are made of
    cdef bint at_work           # in the list of passes: begin() was called, and not yet end()
    cdef bint backward          # which way it goes, while at work
    cdef bint moves             # it moves leaves, too: a step of Adam
    cdef int awaited            # how many threads wait for its end

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
    """Wait until no other thread works on these numbers. The caller then keeps the GIL."""
    if n_at_work:
        wait_for_nodes(&node, 1, what)
