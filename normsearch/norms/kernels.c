/* Forward and backward of every norm, in at most two passes over the pixels each way.
 *
 * kernels_pixels.h has the norms over the channels of each pixel. For all others, x is (N, C, M),
 * contiguous float32. Between the passes stands the algebra on (N, C) numbers, in double, as a
 * `plan` tells it: moments are pooled over blocks of samples and channels, mixed, and, if asked
 * for, normalized once more by groups of channels:
 *
 *     y = weight * (scale * (x - mean of the row) + shift) + bias,   a row being one n and c,
 *
 * or a function of x and such numbers, see kernels_functions.h.
 *
 * compiled.py compiles this file without torch's headers and without -fopenmp: the threads are
 * those of the OpenMP runtime that torch has loaded, found by name, so that no second one comes in.
 * Work is cut at places that do not depend on the number of threads, and so no result does.
 */
#include <stdlib.h>

#include "kernels_passes.h"
#include "kernels_gates.h"
#include "kernels_algebra.h"
#include "kernels_functions.h"
#include "kernels_pixels.h"

/* ---- what Python calls; 0, or 1 where there is no memory ---- */

/* Give out, in one piece: arrays of (N, C), `count` more of them, and room for all units' sums. */
static double *open_state(const struct plan *p, struct pass *pass, struct state *s,
                          const double *kept, double **more, int count)
{
    integer C = p->channels, rows = p->samples * C;
    double **own[] = {&s->scale, &s->shift, &s->group_mean, &s->group_root};
    pass->chunks = (p->pixels + CHUNK - 1) / CHUNK;
    pass->width = p->function ? SUMS : 2;
    integer arrays = 2 * p->pools + 4 + count + pass->width * pass->chunks;
    double *memory = malloc((size_t)(rows * arrays + 2 * POOLS * C) * sizeof *memory);
    double *next = memory;
    if (!memory)
        return NULL;
    for (int k = 0; k < p->pools; k++, next += 2 * rows)
        s->pooled_mean[k] = next, s->pooled[k] = next + rows;
    for (int i = 0; i < 4; i++, next += rows)
        *own[i] = next;
    for (int i = 0; i < count; i++, next += rows)
        more[i] = next;
    next += POOLS * C;               /* the last of `more` holds as much more, for the shares */
    for (int k = 0; k < POOLS; k++, next += C)
        s->share[k] = next;
    s->mean = (double *)kept, s->variance = s->mean + rows;
    pass->plan = p, pass->mean = kept, pass->sums = next;
    return memory;
}

static void close_moments(const struct pass *pass, struct state *s)
{
    integer pixels = pass->plan->pixels, rows = pass->plan->samples * pass->plan->channels;
    for (integer row = 0; row < rows; row++) {
        const double *sums = pass->sums + pass->width * row * pass->chunks;
        double mean = sums[0], squares = sums[1];
        for (integer chunk = 1, done = CHUNK; chunk < pass->chunks; chunk++, done += CHUNK)
            merge(&mean, &squares, done, sums[pass->width * chunk], sums[pass->width * chunk + 1],
                  pixels - done < CHUNK ? pixels - done : CHUNK);
        s->mean[row] = mean, s->variance[row] = squares / pixels;
    }
}

/* The moments of the rows, where the plan has a use for them. */
static void open_moments(const struct plan *p, struct pass *pass, struct state *s)
{
    int needed = p->tracked || p->group;
    for (int k = 0; k < p->pools; k++)
        needed |= p->block_samples[k] > 0;
    if (needed) {
        run(pass, moments_unit);
        close_moments(pass, s);
        return;
    }
    /* Given ones alone: any number may stand for a row's mean, best of all the given one. */
    for (integer i = 0; i < p->samples * p->channels; i++) {
        s->mean[i] = p->pools ? s->running->mean[i % p->channels / p->block_channels[0]] : 0;
        s->variance[i] = 0;
    }
}

static double clip(double value, double least, double most)
{
    return value < least ? least : value > most ? most : value;
}

/* Batch Renormalization's r and d, from the batch's moments and the running ones before it. */
static void correct(const struct plan *p, const struct state *s, double *mean, double *variance)
{
    float *r = s->given->shares, *d = s->given->inner_bias;
    pool(p, p->samples, 1, JOINT, s->mean, s->variance, mean, variance);
    for (integer c = 0; c < p->channels; c++) {
        double running = sqrt(s->running->variance[c] + p->eps);
        int seen = *s->running->batches > 0;
        double ratio = sqrt(variance[c] + p->eps) / running;
        r[c] = seen ? (float)clip(ratio, 1 / p->rmax, p->rmax) : 1;
        double away = (mean[c] - s->running->mean[c]) / running;
        d[c] = seen ? (float)clip(away, -p->dmax, p->dmax) : 0;
    }
}

/* Take the batch's moments into the running ones, as torch's BatchNorm does. */
static void track(const struct plan *p, const struct state *s, double *mean, double *variance)
{
    double step = p->momentum;
    enum around around = p->apart ? OWN : JOINT;
    *s->running->batches += 1;
    if (step < 0)
        step = 1.0 / *s->running->batches;
    pool(p, p->samples, p->tracked, around, s->mean, s->variance, mean, variance);
    for (integer j = 0, c = 0; c < p->channels; j++, c += p->tracked) {
        float *at = s->running->mean + j, *spread = s->running->variance + j;
        *at += (float)(step * (mean[c] - *at));
        *spread += (float)(step * (variance[c] * p->unbias - *spread));
    }
}

/* Factor and offset of the affine map, or of the function with its arguments. */
static void open_map(const struct plan *p, const struct state *s, const double *scale,
                     const double *shift, double *factor, double *offset,
                     double *argument[ARGUMENTS])
{
    for (integer i = 0, c = 0; i < p->samples * p->channels; i++, c = NEXT(c, p->channels)) {
        factor[i] = scale[i] * s->given->weight[c];
        offset[i] = shift[i] * s->given->weight[c] + s->given->bias[c];
        if (p->by == RESPONSE)
            factor[i] += 1, offset[i] += s->mean[i];
    }
    if (p->function)
        open_function(p, s, factor, offset, argument);
}

/* y, and what is kept. */
int normalize(const struct plan *p, const struct tensors *t)
{
    integer C = p->channels, rows = p->samples * C;
    struct state s = {.given = &t->given, .running = &t->running};
    struct pass pass = {.x = t->x};
    double *more[7], *running = t->kept + 2 * rows, *memory;
    if (p->per_pixel)
        return run_pixels(p, t);
    if (!(memory = open_state(p, &pass, &s, t->kept, more, 7)))
        return 1;
    open_moments(p, &pass, &s);
    if (p->rmax)
        correct(p, &s, more[0], more[1]);
    if (p->tracked)
        track(p, &s, more[0], more[1]);
    for (integer k = 0; k < p->pools; k++)
        for (integer c = 0; !p->block_samples[k] && c < C; c++) {
            running[c] = s.running->mean[c / p->block_channels[k]];
            running[C + c] = s.running->variance[c / p->block_channels[k]];
        }
    mix(p, running, &s);
    regroup(p, &s, more[0], more[1]);
    open_map(p, &s, more[0], more[1], more[2], more[3], more + 4);
    pass.factor = pass.slope = more[2], pass.offset = more[3], pass.out = t->out;
    memcpy(pass.argument, more + 4, sizeof pass.argument);
    run(&pass, p->function ? function_unit : affine_unit);
    free(memory);
    return 0;
}

/* From the sums over dy to the gradients of weight and bias, and of scale and shift before them.
 * The mean's own, in x - mean, begins d_mean; scale is multiplied by the weight on the way. */
static void pull_weight(const struct pass *pass, const struct state *s, double *scale,
                        const double *shift, double *d_scale, double *d_shift, double *d_mean,
                        const struct parameters *d)
{
    const struct plan *p = pass->plan;
    integer C = p->channels, rows = p->samples * C;
    int affine = !p->function || p->function == CUT;   /* of x - mean; else of a function of x */
    for (integer c = 0; c < C; c++) {
        double of_weight = 0, of_bias = 0;
        for (integer i = c; i < rows; i += C) {
            const double *sums = pass->sums + pass->width * i * pass->chunks;
            double total = 0, along = 0, weight = s->given->weight[c];
            for (integer chunk = 0; chunk < pass->chunks; chunk++, sums += pass->width)
                total += sums[0], along += sums[1];
            if (affine)
                along -= (s->mean[i] - (float)s->mean[i]) * total;
            of_weight += scale[i] * along + shift[i] * total;
            of_bias += total;
            scale[i] *= weight;
            d_mean[i] = affine ? -scale[i] * total : 0;
            d_scale[i] = weight * along, d_shift[i] = affine ? weight * total : 0;
        }
        give(d->weight, c, of_weight);
        give(d->bias, c, of_bias);
    }
}

/* From the gradients of scale and shift to those of all that they come from. */
static void pull_numbers(const struct pass *pass, const struct state *s, double *d_scale,
                         double *d_shift, double *d_mean, double *d_variance,
                         const struct parameters *d, double *spare[])
{
    const struct plan *p = pass->plan;
    integer C = p->channels;
    pull_regroup(p, s, d_scale, d_shift, d_variance, spare);
    for (integer c = 0; d->inner_bias && c < C; c++) {
        double sum = 0;
        for (integer i = c; i < p->samples * C; i += C)
            sum += d_shift[i];
        d->inner_bias[c] = (float)sum;
    }
    if (p->function)
        pull_function(pass, s, d_mean, d_variance, d, spare);
    if (p->function != RATIO)
        pull_mix(p, s, d_scale, d_shift, d_mean, d_variance, d, spare);
}

/* The gradients of x, and of the parameters that have a `d`. */
int pull_back(const struct plan *p, const struct tensors *t)
{
    integer C = p->channels, rows = p->samples * C;
    struct state s = {.given = &t->given};
    struct pass pass = {.x = t->x, .dy = t->dy};
    double *more[14], *memory;
    if (p->per_pixel)
        return run_pixels(p, t);
    if (!(memory = open_state(p, &pass, &s, t->kept, more, 14)))
        return 1;
    double *scale = more[0], *shift = more[1], *d_scale = more[2], *d_shift = more[3];
    double *d_mean = more[4], *d_variance = more[5], **spare = more + 11;
    if (!p->function)
        run(&pass, gradient_unit);
    mix(p, t->kept + 2 * rows, &s);
    regroup(p, &s, scale, shift);
    if (p->function) {
        open_map(p, &s, scale, shift, more[6], more[7], more + 8);
        pass.factor = more[6], pass.out = t->out;
        memcpy(pass.argument, more + 8, sizeof pass.argument);
        run(&pass, function_gradient_unit);
    }
    memset(d_variance, 0, rows * sizeof *d_variance);
    pull_weight(&pass, &s, scale, shift, d_scale, d_shift, d_mean, &t->d);
    pull_numbers(&pass, &s, d_scale, d_shift, d_mean, d_variance, &t->d, spare);
    for (integer i = 0; i < rows; i++) {
        d_mean[i] /= p->pixels;
        d_variance[i] *= 2.0 / p->pixels;
        scale[i] += p->by == RESPONSE;   /* the input's own part */
        if (p->function)
            scale[i] = 1;
    }
    if (p->function)
        pass.dy = t->out;            /* which holds the function's part */
    pass.factor = scale, pass.slope = d_variance, pass.offset = d_mean, pass.out = t->out;
    if (!p->function || p->pools)
        run(&pass, affine_unit);
    free(memory);
    return 0;
}
