"""The elementwise operations as Python sees them, for the modules above."""
from llmhard.engine.node cimport Handle


cdef class Functions(Handle):
    cdef object apply1(self, int op)
    cdef object apply2(self, int op, object x, object y)


cdef int check_domain1(int op, double a) except -1
cdef int check_domain2(int op, double a, double b) except -1
