/* Forward and backward of every composite norm, in two passes over the pixels each way.
 *
 * x is (N, C, M), contiguous float32. Between the passes stands the algebra on (N, C) numbers, in
 * double, as a `plan` tells it: moments are pooled over blocks of samples and channels, mixed,
 * and, if asked for, normalized once more by groups of channels:
 *
 *     y = weight * (scale * (x - mean of the row) + shift) + bias,   a row being one n and c.
 *
 * compiled.py compiles this file without torch's headers and without -fopenmp: the threads are
 * those of the OpenMP runtime that torch has loaded, found by name, so that no second one comes in.
 * Work is cut at places that do not depend on the number of threads, and so no result does.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t integer;

enum {
    POOLS = 3,        /* at most */
    LANES = 16,       /* floats in a vector: one AVX-512 register, or several smaller ones */
    BLOCK = 4096,     /* floats summed in float before they go to double; fits the first cache */
    CHUNK = 32768,    /* floats of one unit of work */
    ALONE = 32768     /* below so many floats one thread is quicker; torch's own limit */
};

struct plan {
    integer samples, channels, pixels, threads;
    integer pools;                   /* 1 to POOLS */
    integer block_samples[POOLS];    /* samples and channels of a block that is pooled; */
    integer block_channels[POOLS];   /* no samples: the given moments, one for so many channels */
    integer mixes_moments;           /* or else what each pool's moments would make of x */
    integer share_stride;            /* 0: one share a pool, else C: one for each channel too */
    integer group;                   /* channels of a group of the second norm; 0: there is none */
    integer tracked;                 /* channels of a running moment; 0: none is tracked */
    double eps;
    double unbias;                   /* makes the tracked variance the unbiased one */
    const float *shares;             /* (pools, stride), or of moments: (2, pools), mean, variance */
    const float *inner_bias;         /* (C), is added before the second norm; or NULL */
    const float *given_mean, *given_variance;
    const float *weight, *bias;      /* (C); the bias forward only */
};

/* ---- threads ---- */

extern void GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
extern int omp_get_thread_num(void);
extern int omp_get_num_threads(void);

struct pass {
    const struct plan *plan;
    void (*unit)(const struct pass *, integer unit);
    integer chunks;                  /* of a row */
    const float *x, *dy;
    float *out;
    const double *mean;              /* of each row */
    const double *factor, *slope, *offset;   /* out = factor*dy + slope*(x - mean) + offset */
    double *sums;                    /* two of each unit */
};

static void share_of_thread(void *given)
{
    const struct pass *pass = given;
    integer units = pass->plan->samples * pass->plan->channels * pass->chunks;
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
 * The shift is the mean so far, at first that of a few pixels here and there. A block whose mean is more than a
 * deviation away from it would lose digits to cancellation: it is read again, around its own.
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
    pass->sums[2 * unit] = mean;
    pass->sums[2 * unit + 1] = squares;
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
    pass->sums[2 * unit] = total;
    pass->sums[2 * unit + 1] = along;
}

static void affine_unit(const struct pass *pass, integer unit)
{
    integer row, count, start = locate(pass, unit, &row, &count);
    const float *restrict x = pass->x + start;
    float *restrict out = pass->out + start;
    float mean = (float)pass->mean[row], slope = (float)pass->slope[row];
    float offset = (float)(pass->offset[row] + pass->slope[row] * (mean - pass->mean[row]));
    if (!pass->dy) {
        for (integer i = 0; i < count; i++)
            out[i] = slope * (x[i] - mean) + offset;
        return;
    }
    const float *restrict dy = pass->dy + start;
    float factor = (float)pass->factor[row];
    for (integer i = 0; i < count; i++)
        out[i] = factor * dy[i] + (slope * (x[i] - mean) + offset);
}

/* ---- the algebra on rows: every array is (N, C), pooled moments repeated ---- */

struct state {
    double *mean, *variance;         /* of each row */
    double *pooled_mean[POOLS];
    double *pooled[POOLS];           /* variance if moments are mixed, else 1/sqrt(variance + eps) */
    double *scale, *shift;           /* of the mixture */
    double *group_mean, *group_root; /* of the second norm */
};

/* Mean and variance of blocks, each repeated at all rows of its block. */
static void pool(const struct plan *p, integer samples, integer channels, const double *mean,
                 const double *variance, double *pooled_mean, double *pooled_variance)
{
    integer C = p->channels;
    for (integer top = 0; top < p->samples; top += samples) {
        integer end = top + samples < p->samples ? top + samples : p->samples;
        for (integer left = 0; left < C; left += channels) {
            double sum = 0, squares = 0, size = (double)((end - top) * channels);
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++)
                    sum += mean[i];
            sum /= size;
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++)
                    squares += variance[i] + (mean[i] - sum) * (mean[i] - sum);
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++)
                    pooled_mean[i] = sum, pooled_variance[i] = squares / size;
        }
    }
}

/* The gradient of `pool`: d_pooled_mean and d_pooled_variance hold what came to each row. */
static void pull_pool(const struct plan *p, integer samples, integer channels, const double *mean,
                      const double *pooled_mean, const double *d_pooled_mean,
                      const double *d_pooled_variance, double *d_mean, double *d_variance)
{
    integer C = p->channels;
    for (integer top = 0; top < p->samples; top += samples) {
        integer end = top + samples < p->samples ? top + samples : p->samples;
        for (integer left = 0; left < C; left += channels) {
            double of_mean = 0, of_variance = 0, size = (double)((end - top) * channels);
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++)
                    of_mean += d_pooled_mean[i], of_variance += d_pooled_variance[i];
            of_mean /= size, of_variance /= size;
            for (integer n = top; n < end; n++)
                for (integer i = n * C + left; i < n * C + left + channels; i++) {
                    d_mean[i] += of_mean + 2 * (mean[i] - pooled_mean[i]) * of_variance;
                    d_variance[i] += of_variance;
                }
        }
    }
}

static void roots(const struct plan *p, double *values)
{
    for (integer i = 0; i < p->samples * p->channels; i++)
        values[i] = 1 / sqrt(values[i] + p->eps);
}

static float share(const struct plan *p, integer k, integer c)
{
    return p->share_stride ? p->shares[k * p->share_stride + c] : p->shares[k];
}

/* From the moments of the rows, and the given ones, to scale and shift of the mixture. */
static void mix(const struct plan *p, const double *given, struct state *s)
{
    integer C = p->channels, rows = p->samples * C;
    for (integer k = 0; k < p->pools; k++) {
        if (p->block_samples[k])
            pool(p, p->block_samples[k], p->block_channels[k], s->mean, s->variance,
                 s->pooled_mean[k], s->pooled[k]);
        else
            for (integer i = 0; i < rows; i++) {
                s->pooled_mean[k][i] = given[i % C];
                s->pooled[k][i] = given[C + i % C];
            }
        if (!p->mixes_moments)
            roots(p, s->pooled[k]);
    }
    for (integer n = 0; n < p->samples; n++)
        for (integer c = 0; c < C; c++) {
            integer i = n * C + c;
            double scale = 0, shift = 0;
            for (integer k = 0; k < p->pools; k++) {
                double away = s->mean[i] - s->pooled_mean[k][i];
                double part = p->mixes_moments ? 1 : s->pooled[k][i];
                shift += share(p, k, c) * away * part;
                scale += p->mixes_moments ? p->shares[p->pools + k] * s->pooled[k][i]
                                          : share(p, k, c) * part;
            }
            if (p->mixes_moments)
                scale = 1 / sqrt(scale + p->eps), shift *= scale;
            s->scale[i] = scale;
            s->shift[i] = shift + (p->inner_bias ? p->inner_bias[c] : 0);
        }
}

/* The second norm: a row of the mixture has the mean `shift` and the variance scale²·variance. */
static void regroup(const struct plan *p, struct state *s, double *scale, double *shift)
{
    integer rows = p->samples * p->channels;
    if (!p->group) {
        memcpy(scale, s->scale, rows * sizeof *scale);
        memcpy(shift, s->shift, rows * sizeof *shift);
        return;
    }
    for (integer i = 0; i < rows; i++)
        scale[i] = s->scale[i] * s->scale[i] * s->variance[i];
    pool(p, 1, p->group, s->shift, scale, s->group_mean, s->group_root);
    roots(p, s->group_root);
    for (integer i = 0; i < rows; i++) {
        scale[i] = s->scale[i] * s->group_root[i];
        shift[i] = (s->shift[i] - s->group_mean[i]) * s->group_root[i];
    }
}

/* The gradients of scale and shift, from after `regroup` to before it; they are overwritten. */
static void pull_regroup(const struct plan *p, const struct state *s, double *d_scale,
                         double *d_shift, double *d_variance, double *spare[3])
{
    integer rows = p->samples * p->channels;
    if (!p->group)
        return;
    memset(spare[2], 0, rows * sizeof **spare);
    for (integer i = 0; i < rows; i++) {
        double root = s->group_root[i], away = s->shift[i] - s->group_mean[i];
        double d_root = d_scale[i] * s->scale[i] + d_shift[i] * away;
        d_scale[i] *= root;
        d_shift[i] *= root;
        spare[0][i] = -d_shift[i];
        spare[1][i] = -0.5 * root * root * root * d_root;
    }
    pull_pool(p, 1, p->group, s->shift, s->group_mean, spare[0], spare[1], d_shift, spare[2]);
    for (integer i = 0; i < rows; i++) {
        d_scale[i] += 2 * s->scale[i] * s->variance[i] * spare[2][i];
        d_variance[i] += s->scale[i] * s->scale[i] * spare[2][i];
    }
}

/* The gradient of `mix`: is added to the moments' and the shares'. */
static void pull_mix(const struct plan *p, const struct state *s, const double *d_scale,
                     const double *d_shift, double *d_mean, double *d_variance, float *d_shares,
                     double *spare[3])
{
    integer C = p->channels;
    for (integer k = 0; k < p->pools; k++) {
        double of_mean = 0, of_variance = 0;
        memset(spare[2], 0, C * sizeof **spare);
        for (integer n = 0; n < p->samples; n++)
            for (integer c = 0; c < C; c++) {
                integer i = n * C + c;
                double part = share(p, k, c), away = s->mean[i] - s->pooled_mean[k][i];
                double root = p->mixes_moments ? s->scale[i] : s->pooled[k][i];
                double mixed_away = p->mixes_moments ? s->shift[i] / root : away;
                double d_root = d_scale[i] + d_shift[i] * mixed_away;
                double d_spread = -0.5 * root * root * root * d_root;
                double d_away = root * d_shift[i];
                if (p->mixes_moments) {
                    of_mean += d_away * away;
                    of_variance += d_spread * s->pooled[k][i];
                } else
                    spare[2][c] += root * (d_scale[i] + d_shift[i] * away);
                d_mean[i] += part * d_away;
                spare[0][i] = -part * d_away;
                spare[1][i] = d_spread * (p->mixes_moments ? p->shares[p->pools + k] : part);
            }
        if (p->block_samples[k])
            pull_pool(p, p->block_samples[k], p->block_channels[k], s->mean, s->pooled_mean[k],
                      spare[0], spare[1], d_mean, d_variance);
        for (integer c = 0; c < C; c++) {
            of_mean += p->share_stride ? 0 : spare[2][c];
            if (p->share_stride)
                d_shares[k * C + c] = (float)spare[2][c];
        }
        if (!p->share_stride)
            d_shares[k] = (float)of_mean;
        if (p->mixes_moments)
            d_shares[p->pools + k] = (float)of_variance;
    }
}

/* ---- what Python calls; 0, or 1 where there is no memory ---- */

/* `count` arrays of (N, C) in one piece, given out in turn, and room for the sums of all units. */
static double *open_state(const struct plan *p, struct pass *pass, struct state *s,
                          const double *kept, double **more, int count)
{
    integer rows = p->samples * p->channels;
    pass->chunks = (p->pixels + CHUNK - 1) / CHUNK;
    double *memory = malloc((size_t)rows * (2 * p->pools + 4 + count + 2 * pass->chunks) * 8);
    if (!memory)
        return NULL;
    double *next = memory, **own[] = {&s->scale, &s->shift, &s->group_mean, &s->group_root};
    for (int k = 0; k < p->pools; k++, next += 2 * rows)
        s->pooled_mean[k] = next, s->pooled[k] = next + rows;
    for (int i = 0; i < 4; i++, next += rows)
        *own[i] = next;
    for (int i = 0; i < count; i++, next += rows)
        more[i] = next;
    s->mean = (double *)kept, s->variance = s->mean + rows;
    pass->plan = p, pass->mean = kept, pass->sums = next;
    return memory;
}

/* y, and in `kept` (2NC + 2C) what the way back needs; in `tracked` the batch's moments. */
int normalize(const struct plan *p, const float *x, float *y, double *kept, float *tracked)
{
    integer C = p->channels, rows = p->samples * C;
    struct state s;
    struct pass pass = {.x = x};
    double *more[2], *memory = open_state(p, &pass, &s, kept, more, 2), *given = kept + 2 * rows;
    if (!memory)
        return 1;
    run(&pass, moments_unit);
    for (integer row = 0; row < rows; row++) {
        const double *sums = pass.sums + 2 * row * pass.chunks;
        double mean = sums[0], squares = sums[1];
        for (integer chunk = 1, done = CHUNK; chunk < pass.chunks; chunk++, done += CHUNK)
            merge(&mean, &squares, done, sums[2 * chunk], sums[2 * chunk + 1],
                  p->pixels - done < CHUNK ? p->pixels - done : CHUNK);
        s.mean[row] = mean, s.variance[row] = squares / p->pixels;
    }
    for (integer c = 0; p->given_mean && c < C; c++)
        given[c] = p->given_mean[c], given[C + c] = p->given_variance[c];
    if (p->tracked) {
        pool(p, p->samples, p->tracked, s.mean, s.variance, more[0], more[1]);
        for (integer j = 0; j < C / p->tracked; j++) {
            tracked[j] = (float)more[0][j * p->tracked];
            tracked[C / p->tracked + j] = (float)(more[1][j * p->tracked] * p->unbias);
        }
    }
    mix(p, given, &s);
    regroup(p, &s, more[0], more[1]);
    for (integer i = 0; i < rows; i++) {
        more[0][i] *= p->weight[i % C];
        more[1][i] = more[1][i] * p->weight[i % C] + p->bias[i % C];
    }
    pass.slope = more[0], pass.offset = more[1], pass.out = y;
    run(&pass, affine_unit);
    free(memory);
    return 0;
}

/* The gradients of x, weight, bias, shares and inner bias (the last may be NULL). */
int pull_back(const struct plan *p, const float *x, const float *dy, const double *kept, float *dx,
              float *d_weight, float *d_bias, float *d_shares, float *d_inner_bias)
{
    integer C = p->channels, rows = p->samples * C;
    struct state s;
    struct pass pass = {.x = x, .dy = dy};
    double *more[9], *memory = open_state(p, &pass, &s, kept, more, 9);
    if (!memory)
        return 1;
    double *scale = more[0], *shift = more[1], *d_scale = more[2], *d_shift = more[3];
    double *d_mean = more[4], *d_variance = more[5], **spare = more + 6;
    run(&pass, gradient_unit);
    mix(p, kept + 2 * rows, &s);
    regroup(p, &s, scale, shift);
    memset(d_variance, 0, rows * 8);
    for (integer c = 0; c < C; c++) {
        double of_weight = 0, of_bias = 0;
        for (integer i = c; i < rows; i += C) {
            double total = 0, along = 0, *sums = pass.sums + 2 * i * pass.chunks;
            for (integer chunk = 0; chunk < pass.chunks; chunk++)
                total += sums[2 * chunk], along += sums[2 * chunk + 1];
            along -= (s.mean[i] - (float)s.mean[i]) * total;
            of_weight += scale[i] * along + shift[i] * total;
            of_bias += total;
            scale[i] *= p->weight[c];
            d_mean[i] = -scale[i] * total;
            d_scale[i] = p->weight[c] * along, d_shift[i] = p->weight[c] * total;
        }
        d_weight[c] = (float)of_weight, d_bias[c] = (float)of_bias;
    }
    pull_regroup(p, &s, d_scale, d_shift, d_variance, spare);
    for (integer c = 0; d_inner_bias && c < C; c++) {
        double sum = 0;
        for (integer i = c; i < rows; i += C)
            sum += d_shift[i];
        d_inner_bias[c] = (float)sum;
    }
    pull_mix(p, &s, d_scale, d_shift, d_mean, d_variance, d_shares, spare);
    for (integer i = 0; i < rows; i++) {
        d_mean[i] /= p->pixels;
        d_variance[i] *= 2.0 / p->pixels;
    }
    pass.factor = scale, pass.slope = d_variance, pass.offset = d_mean, pass.out = dx;
    run(&pass, affine_unit);
    free(memory);
    return 0;
}
