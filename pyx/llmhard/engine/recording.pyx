"""Recording: whether a new node keeps what it was computed from."""
from cpython.mem cimport PyMem_Realloc
from cpython.pythread cimport PyThread_get_thread_ident

from llmhard.engine.elementwise cimport LEAF
from llmhard.engine.kernels cimport lanes
from llmhard.engine.node cimport Node, clock, release
from llmhard.engine.operation cimport forward
from llmhard.engine.threads cimport READ, n_at_work, wait_for_nodes

cdef extern from *:
    """
    static _Thread_local int not_recording = 0;
    """
    int not_recording           # how many `with no_grad()` blocks this thread is in


cdef class no_grad:
    """`with no_grad():` computes without recording, so that nothing is kept for backward().

    Results are leaves: they have data but neither children nor, later, a gradient to pass on.
    It holds in the thread that enters the block and in no other. A block may be entered again,
    inside itself or later; leaving it more often than this thread has entered it does nothing.
    """
    cdef dict entered           # how often each thread is in it, by the thread's number

    def __cinit__(self):
        self.entered = {}

    def __enter__(self):
        global not_recording
        cdef object thread = PyThread_get_thread_ident()
        self.entered[thread] = self.entered.get(thread, 0) + 1
        not_recording += 1
        return self

    def __exit__(self, *exception):
        global not_recording
        cdef object thread = PyThread_get_thread_ident()
        cdef int times = self.entered.pop(thread, 0)
        if times > 1:
            self.entered[thread] = times - 1
        if times:
            not_recording -= 1


cdef Node *finish(Node *node, lanes *scratch=NULL) noexcept:
    """Compute a node whose inputs are linked, and keep the links if operations are recorded."""
    cdef int i
    if n_at_work:
        wait_for_nodes(node.inputs, node.n_inputs, READ)
    node.computed = clock.changes
    forward(node, scratch)
    if not_recording:
        for i in range(node.n_inputs):
            release(node.inputs[i])
        node.op, node.n_inputs, node.depth = LEAF, 0, 0
    return node


cdef lanes *columns = NULL      # room for the columns of a matrix, while the GIL is held
cdef Py_ssize_t n_columns = 0


cdef lanes *scratch_for(Py_ssize_t n) except NULL:
    global columns, n_columns
    cdef lanes *grown
    if n > n_columns:
        grown = <lanes *>PyMem_Realloc(columns, n * sizeof(lanes))
        if grown is NULL:
            raise MemoryError()
        columns, n_columns = grown, n
    return columns
