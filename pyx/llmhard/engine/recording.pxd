"""Recording, as the modules above see it."""
from llmhard.engine.kernels cimport lanes
from llmhard.engine.node cimport Node

cdef Node *finish(Node *node, lanes *scratch=*) noexcept
cdef lanes *scratch_for(Py_ssize_t n) except NULL
