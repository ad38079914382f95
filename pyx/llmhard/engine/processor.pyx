"""What this processor can do, and this system lets programs do."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <cpuid.h>
    /* Parts of v3 that have no registers, and that not every compiler knows by name. */
    static int has_small_parts(void) {
        const unsigned int MOVBE = 1u << 22, F16C = 1u << 29, LZCNT = 1u << 5;
        unsigned int a, b, c = 0, d, extended = 0;
        __get_cpuid(1, &a, &b, &c, &d);
        __get_cpuid(0x80000001u, &a, &b, &extended, &d);
        return (c & MOVBE) && (c & F16C) && (extended & LZCNT);
    }
    /* The builtin also asks if the system saves the wide registers when it switches programs. */
    static int is_v3(void) {
        __builtin_cpu_init();
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
            && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")
            && has_small_parts();
    }
    static int is_v4(void) {
        return is_v3()
            && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
            && __builtin_cpu_supports("avx512vl");
    }
    #else
    static int is_v3(void) { return 0; }
    static int is_v4(void) { return 0; }
    #endif
    """
    bint is_v3()
    bint is_v4()


def highest_level():
    """Return the highest level of x86-64 that runs here; "baseline" on every other processor."""
    if is_v4():
        return "v4"
    return "v3" if is_v3() else "baseline"
