/* What a norm is told to do, the threads, and the four passes over the pixels. */
#include <stdint.h>
#include <string.h>

typedef int64_t integer;

enum {
    POOLS = 3,        /* at most */
    LANES = 16,       /* floats in a vector: one AVX-512 register, or several smaller ones */
    BLOCK = 4096,     /* floats summed in float before they go to double; fits the first cache */
    CHUNK = 32768,    /* floats of one unit of work */
    ALONE = 32768,    /* below so many floats one thread is quicker; torch's own limit */
    ARGUMENTS = 3,    /* of a function, at most */
    SUMS = 5          /* of a unit, at most */
};

enum gate { AS_THEY_ARE, COMPLEMENT, SOFTMAX, SPARSEST };
enum by { MOMENTS, SQUARES, RESPONSE, CENTRE, NEIGHBOURS };
enum function { NONE, TANH, ERF, SILU, RATIO, CUT };

/* All structures as compiled.py packs them: see Recipe there. */
struct plan {
    integer samples, channels, pixels, threads;
    integer pools;
    integer block_samples[POOLS], block_channels[POOLS];
    integer gate;
    integer choice[2];               /* SPARSEST: the pools chosen for good, or -1 */
    integer by_channel;              /* whether there is one share for each channel */
    integer group;
    integer tracked;                 /* channels of a running moment; 0: none is tracked */
    integer apart;                   /* track the mean of the rows' own variances */
    integer by;
    integer per_pixel;               /* over the channels of each pixel */
    integer function;                /* see kernels_functions.h */
    integer by_layer;                /* whether its arguments are one for all channels */
    double eps;
    double unbias;
    double momentum;                 /* below 0: cumulative average */
    double radius;                   /* SPARSEST: least distance from the centre */
    double rmax, dmax;               /* Batch Renormalization's limits; rmax 0: none */
};

struct parameters {                  /* or their gradients, of which any may be missing */
    float *weight, *bias, *shares, *variance_shares, *inner_bias, *argument[2];
};

struct running {                     /* moments, the given ones where none is tracked */
    float *mean, *variance;
    int64_t *batches;
};

struct tensors {                     /* of one call; `out` is y, or dx */
    const float *x, *dy;
    float *out;
    double *kept;                    /* (2, N, C) and (2, C): what the way back needs */
    struct running running;
    struct parameters given, d;
};

/* ---- threads ---- */

/* GNU's names, which other OpenMP runtimes also answer to; never linked, found when loaded. */
extern void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);

struct pass {
    const struct plan *plan;
    const struct parameters *given;
    void (*unit)(const struct pass *, integer unit);
    integer chunks;                  /* of a row */
    integer units;
    const float *x, *dy;
    float *out;
    const double *mean;              /* of each row */
    const double *factor, *slope, *offset;   /* out = factor*dy + slope*(x - mean) + offset */
    const double *argument[ARGUMENTS];       /* of the function, for each row */
    double *sums;                    /* `width` of each unit */
    integer width;
    float *tiles;                    /* see kernels_pixels.h */
};

static void share_of_thread(void *given)
{
    const struct pass *pass = given;
    integer units = pass->units;
    integer threads = omp_get_num_threads(), thread = omp_get_thread_num();
    integer start = units * thread / threads, stop = units * (thread + 1) / threads;
    /* The pass that writes goes backwards: what the one before it read last is still in cache. */
    for (integer i = start; i < stop; i++)
        pass->unit(pass, pass->out ? start + stop - 1 - i : i);
}

static void run(struct pass *pass, void (*unit)(const struct pass *, integer))
{
    const struct plan *p = pass->plan;
    integer values = p->samples * p->channels * p->pixels;
    pass->unit = unit;
    if (!p->per_pixel)
        pass->units = p->samples * p->channels * pass->chunks;
    GOMP_parallel(share_of_thread, pass, values < ALONE ? 1 : (unsigned)p->threads, 0);
}

/* The first pixel of a unit, counted from x's first; its row and how many pixels it has. */
static integer locate(const struct pass *pass, integer unit, integer *row, integer *count)
{
    integer pixels = pass->plan->pixels, first = 0;
    *row = unit;
    if (pass->chunks > 1) {
        *row = unit / pass->chunks;
        first = unit % pass->chunks * CHUNK;
    }
    *count = pixels - first < CHUNK ? pixels - first : CHUNK;
    return *row * pixels + first;
}

/* ---- passes over the pixels ---- */

/* Vectors by the compiler's extension: sums would otherwise stay scalar, short of -ffast-math. */
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef float unaligned_lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
#define AT(x) (*(const unaligned_lanes *)(x))

static inline lanes load(const float *x, integer count)
{
    lanes values = {0};
    if (count >= LANES)
        return AT(x);
    memcpy(&values, x, 4 * count);
    return values;
}

static inline void store(float *out, lanes values, integer count)
{
    if (count >= LANES)
        *(unaligned_lanes *)out = values;
    else
        memcpy(out, &values, 4 * count);
}

static double sum_of(lanes a)
{
    double sums[LANES];
    for (int i = 0; i < LANES; i++)
        sums[i] = a[i];
    for (int half = LANES / 2; half; half /= 2)
        for (int i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

/* Sums of x - shift and of its square; at most BLOCK of them, for they are floats. */
static void sums_around(const float *x, integer count, float shift, double *first, double *second)
{
    lanes a = {0}, b = {0}, aa = {0}, bb = {0}, all = shift - (lanes){0};
    double rest = 0, rest2 = 0;
    integer i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        lanes u = AT(x + i) - all, v = AT(x + i + LANES) - all;
        a += u, aa += u * u;
        b += v, bb += v * v;
    }
    *first = i ? sum_of(a + b) : 0;
    *second = i ? sum_of(aa + bb) : 0;
    for (; i < count; i++) {
        double u = x[i] - shift;
        rest += u, rest2 += u * u;
    }
    *first += rest;
    *second += rest2;
}

/* Take `count` values of a mean and a sum of squares around it into others (Chan et al. 1983). */
static void merge(double *mean, double *squares, integer before, double m, double s, integer count)
{
    double away = m - *mean, share = (double)count / (before + count);
    *mean += share * away;
    *squares += s + away * away * share * before;
}

/* Mean and sum of squares around it, block by block, in float around a shift near the mean.
 *
 * The shift is the mean so far, at first that of a few pixels here and there. A block whose mean
 * is more than a deviation away from it would lose digits to cancellation: it is read again, around
 * its own.
 */
static void moments_unit(const struct pass *pass, integer unit)
{
    integer row, count, start = locate(pass, unit, &row, &count);
    integer apart = (count + 7) / 8;
    double mean = 0, squares = 0, first, second;
    for (integer i = 0; i < count; i += apart)
        mean += pass->x[start + i];
    mean /= (count + apart - 1) / apart;
    for (integer i = 0; i < count; i += BLOCK) {
        integer length = count - i < BLOCK ? count - i : BLOCK;
        const float *x = pass->x + start + i;
        float shift = (float)mean;
        sums_around(x, length, shift, &first, &second);
        if (first * first > 0.5 * second * length) {
            shift = (float)(shift + first / length);
            sums_around(x, length, shift, &first, &second);
        }
        second -= first * first / length;
        merge(&mean, &squares, i, shift + first / length, second > 0 ? second : 0, length);
    }
    pass->sums[pass->width * unit] = mean;
    pass->sums[pass->width * unit + 1] = squares;
}

/* Sums of dy and of dy*(x - mean); the mean as a float, what it lacks is made up for later. */
static void gradient_unit(const struct pass *pass, integer unit)
{
    integer row, count, start = locate(pass, unit, &row, &count);
    const float *x = pass->x + start, *dy = pass->dy + start, mean = (float)pass->mean[row];
    lanes all = mean - (lanes){0};
    double total = 0, along = 0;
    for (integer block = 0; block < count; block += BLOCK) {
        integer i = block, stop = count - block < BLOCK ? count : block + BLOCK;
        lanes a = {0}, b = {0}, ax = {0}, bx = {0};
        for (; i + 2 * LANES <= stop; i += 2 * LANES) {
            lanes u = AT(dy + i), v = AT(dy + i + LANES);
            a += u, ax += u * (AT(x + i) - all);
            b += v, bx += v * (AT(x + i + LANES) - all);
        }
        if (i > block) {
            total += sum_of(a + b);
            along += sum_of(ax + bx);
        }
        for (; i < stop; i++) {
            total += dy[i];
            along += (double)dy[i] * (x[i] - mean);
        }
    }
    pass->sums[pass->width * unit] = total;
    pass->sums[pass->width * unit + 1] = along;
}

static void affine_unit(const struct pass *pass, integer unit)
{
    integer row, count, start = locate(pass, unit, &row, &count);
    const float *x = pass->x + start;
    float *out = pass->out + start;
    float mean = (float)pass->mean[row], slope = (float)pass->slope[row];
    float offset = (float)(pass->offset[row] + pass->slope[row] * (mean - pass->mean[row]));
    if (!pass->dy) {
#pragma GCC ivdep
        for (integer i = 0; i < count; i++)
            out[i] = slope * (x[i] - mean) + offset;
        return;
    }
    const float *dy = pass->dy + start;   /* may be `out` */
    float factor = (float)pass->factor[row];
#pragma GCC ivdep
    for (integer i = 0; i < count; i++)
        out[i] = factor * dy[i] + (slope * (x[i] - mean) + offset);
}
