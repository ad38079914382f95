/* The irregular graph of scalars, in plain C: a tape of operations, interpreted forward and back.
 *
 *   cc -O3 -march=native -ffast-math baseline_irregular.c -o baseline_irregular -lm
 *   baseline_irregular OPERATIONS ITERATIONS
 *
 * The tape is made once, as in the article; every iteration computes all nodes and all gradients
 * anew. Operation i appends, by i modulo 4, the softplus of the node 10 back; the sum of the nodes
 * 30, 25, 20 and 15 back; the product of the nodes 20 and 10 back; or the softmax of the last four
 * nodes, which is four nodes.
 * It prints the seconds, the last node, and the sum of the gradients of the last 100 nodes.
 */
#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LEAVES = 100 };
enum Kind { SOFTPLUS, SUM, PRODUCT, SOFTMAX, KINDS };

typedef struct {
    enum Kind kind;
    int argument[4], result;
} Operation;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* exp(x) for x <= 0: 2^k e^r with |r| <= log(2)/2, e^r by its Taylor series (error below 1e-16).
 * Inline, four of them become vector instructions. */
static inline double exponential(double x) {
    double k = rint(fmax(x, -700) * 0x1.71547652b82fep0);
    double r = fmax(x, -700) - k * 0x1.62e42fefa39efp-1 - k * 0x1.abc9e3b39803fp-56;
    double r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
    double low = (1 + r) + r2 * (1.0 / 2 + r * (1.0 / 6));
    double middle = (1.0 / 24 + r * (1.0 / 120)) + r2 * (1.0 / 720 + r * (1.0 / 5040));
    double high = (1.0 / 40320 + r * (1.0 / 362880)) + r2 * (1.0 / 3628800 + r * (1.0 / 39916800));
    int64_t bits = ((int64_t)k + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return (low + r4 * middle + r8 * (high + r4 * (1.0 / 479001600))) * power;
}

/* log(u) for 1 <= u <= 2: 2 artanh((u - 1) / (u + 1)), with u halved where it is above sqrt(2). */
static inline double logarithm(double u) {
    double half = u > 0x1.6a09e667f3bcdp0 ? 0.5 : 1, added = u > 0x1.6a09e667f3bcdp0 ? M_LN2 : 0;
    double s = (u * half - 1) / (u * half + 1), z = s * s, z2 = z * z, z4 = z2 * z2;
    double low = (1 + z * (1.0 / 3)) + z2 * (1.0 / 5 + z * (1.0 / 7));
    double high = (1.0 / 9 + z * (1.0 / 11)) + z2 * (1.0 / 13 + z * (1.0 / 15));
    return added + 2 * s * (low + z4 * high + z4 * z4 * (1.0 / 17 + z * (1.0 / 19)));
}

static void forward(const Operation *tape, int n, double *x, double *slope) {
    for (int i = 0; i < n; i++) {
        const int *a = tape[i].argument;
        double *y = x + tape[i].result;
        switch (tape[i].kind) {
        case SOFTPLUS: {
            /* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|); its slope is 1 / (1 + e^-x). */
            double e = exponential(-fabs(x[a[0]])), s = 1 / (1 + e);
            *y = fmax(x[a[0]], 0) + logarithm(1 + e);
            slope[i] = x[a[0]] > 0 ? s : e * s;
            break;
        }
        case SUM:
            *y = x[a[0]] + x[a[1]] + x[a[2]] + x[a[3]];
            break;
        case PRODUCT:
            *y = x[a[0]] * x[a[1]];
            break;
        default: {
            double largest = fmax(fmax(x[a[0]], x[a[1]]), fmax(x[a[2]], x[a[3]])), e[4];
            for (int k = 0; k < 4; k++) e[k] = exponential(x[a[k]] - largest);
            double inverse = 1 / ((e[0] + e[1]) + (e[2] + e[3]));
            for (int k = 0; k < 4; k++) y[k] = e[k] * inverse;
        }
        }
    }
}

static void backward(const Operation *tape, int n, const double *x, const double *slope, double *g) {
    for (int i = n - 1; i >= 0; i--) {
        const int *a = tape[i].argument, r = tape[i].result;
        switch (tape[i].kind) {
        case SOFTPLUS:
            g[a[0]] += g[r] * slope[i];
            break;
        case SUM:
            for (int k = 0; k < 4; k++) g[a[k]] += g[r];
            break;
        case PRODUCT:
            g[a[0]] += g[r] * x[a[1]];
            g[a[1]] += g[r] * x[a[0]];
            break;
        default: {
            double dot = 0;
            for (int k = 0; k < 4; k++) dot += g[r + k] * x[r + k];
            for (int k = 0; k < 4; k++) g[a[k]] += x[r + k] * (g[r + k] - dot);
        }
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: baseline_irregular OPERATIONS ITERATIONS\n");
        return 2;
    }
    int n = atoi(argv[1]), iterations = atoi(argv[2]), nodes = LEAVES;
    Operation *tape = calloc((size_t)n, sizeof(Operation));
    double *slope = calloc((size_t)n, sizeof(double));
    double *x = calloc(LEAVES + 4 * (size_t)n, sizeof(double));
    double *g = calloc(LEAVES + 4 * (size_t)n, sizeof(double));
    if (!tape || !slope || !x || !g) return 1;
    static const int back[KINDS][4] = {{10}, {30, 25, 20, 15}, {20, 10}, {4, 3, 2, 1}};
    for (int i = 0; i < n; i++) {
        tape[i].kind = i % KINDS;
        tape[i].result = nodes;
        for (int k = 0; k < 4; k++) tape[i].argument[k] = nodes - back[i % KINDS][k];
        nodes += tape[i].kind == SOFTMAX ? 4 : 1;
    }
    for (int i = 0; i < LEAVES; i++) x[i] = i;

    double start = now();
    for (int iteration = 0; iteration < iterations; iteration++) {
        forward(tape, n, x, slope);
        memset(g, 0, sizeof(double) * (size_t)nodes);
        g[nodes - 1] = 1;
        backward(tape, n, x, slope, g);
    }
    double seconds = now() - start, gradients = 0;
    for (int i = nodes - 100; i < nodes; i++) gradients += g[i];
    printf("%.9f %.17g %.17g\n", seconds, x[nodes - 1], gradients);
    return 0;
}
