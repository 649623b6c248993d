/* Norms over the channels of each pixel: LN2d, and RMS2d without centring.
 *
 * A unit is SPAN pixels of one sample. It goes over its channels once for the mean, once for the
 * squares around it, once to write; all but the first time they come from the second cache.
 */

enum { SPAN = 256, UNIT = 4 * SPAN };   /* pixels at a time, and of a unit */

/* Mean and 1/sqrt(variance + eps) of each pixel, over its channels. */
static void pixel_moments(const struct plan *p, const float *x, int count, float *mean,
                          float *root)
{
    memset(mean, 0, SPAN * sizeof *mean);
    memset(root, 0, SPAN * sizeof *root);
    for (integer c = 0; c < p->channels && p->by != SQUARES; c++)
        for (int i = 0; i < count; i++)
            mean[i] += x[c * p->pixels + i];
    for (int i = 0; i < count; i++)
        mean[i] /= p->channels;
    for (integer c = 0; c < p->channels; c++)
        for (int i = 0; i < count; i++) {
            float away = x[c * p->pixels + i] - mean[i];
            root[i] += away * away;
        }
    for (int i = 0; i < count; i++)
        root[i] = 1 / sqrtf(root[i] / p->channels + (float)p->eps);
}

static void pixels_unit(const struct pass *pass, integer unit)
{
    const struct plan *p = pass->plan;
    const float *weight = pass->given->weight, *bias = pass->given->bias;
    integer start = unit % pass->chunks * UNIT, first = unit / pass->chunks * p->channels;
    float mean[SPAN], root[SPAN];
    for (integer at = start; at < start + UNIT && at < p->pixels; at += SPAN) {
        int count = p->pixels - at < SPAN ? (int)(p->pixels - at) : SPAN;
        const float *restrict x = pass->x + first * p->pixels + at;
        float *restrict y = pass->out + first * p->pixels + at;
        pixel_moments(p, x, count, mean, root);
        for (integer c = 0; c < p->channels; c++, x += p->pixels, y += p->pixels)
            for (int i = 0; i < count; i++)
                y[i] = (x[i] - mean[i]) * root[i] * weight[c] + bias[c];
    }
}

/* dx of SPAN pixels; adds to the sums of dy*normalized x and of dy, LANES of each channel. */
static void pull_span(const struct pass *pass, const float *x, const float *dy, float *dx,
                      int count, float *sums)
{
    const struct plan *p = pass->plan;
    float mean[SPAN], root[SPAN], level[SPAN] = {0}, tilt[SPAN] = {0};
    float normal[SPAN] = {0}, slopes[SPAN] = {0};   /* 0 beyond `count` */
    pixel_moments(p, x, count, mean, root);
    for (integer c = 0; c < p->channels; c++) {
        const float *at = x + c * p->pixels, *d = dy + c * p->pixels;
        float weight = pass->given->weight[c];
        lanes by_normal = AT(sums + 2 * c * LANES), total = AT(sums + (2 * c + 1) * LANES);
        for (int i = 0; i < count; i++) {
            slopes[i] = d[i];
            normal[i] = d[i] * ((at[i] - mean[i]) * root[i]);
            level[i] += weight * slopes[i];
            tilt[i] += weight * normal[i];
        }
        for (int i = 0; i < SPAN; i += LANES)
            by_normal += AT(normal + i), total += AT(slopes + i);
        *(unaligned_lanes *)(sums + 2 * c * LANES) = by_normal;
        *(unaligned_lanes *)(sums + (2 * c + 1) * LANES) = total;
    }
    for (int i = 0; i < count; i++) {
        level[i] = p->by == SQUARES ? 0 : level[i] / p->channels;
        tilt[i] = tilt[i] / p->channels * root[i];
    }
    for (integer c = 0; c < p->channels; c++) {
        const float *at = x + c * p->pixels, *d = dy + c * p->pixels;
        float *restrict out = dx + c * p->pixels, weight = pass->given->weight[c];
        for (int i = 0; i < count; i++)
            out[i] = root[i] * (weight * d[i] - level[i] - (at[i] - mean[i]) * tilt[i]);
    }
}

static void pull_pixels_unit(const struct pass *pass, integer unit)
{
    const struct plan *p = pass->plan;
    integer start = unit % pass->chunks * UNIT;
    integer first = unit / pass->chunks * p->channels * p->pixels;
    double *totals = pass->sums + unit * pass->width;
    float *sums = (float *)(totals + 2 * p->channels);
    memset(sums, 0, 2 * p->channels * LANES * sizeof *sums);
    for (integer at = start; at < start + UNIT && at < p->pixels; at += SPAN)
        pull_span(pass, pass->x + first + at, pass->dy + first + at, pass->out + first + at,
                  p->pixels - at < SPAN ? (int)(p->pixels - at) : SPAN, sums);
    for (integer i = 0; i < 2 * p->channels; i++)
        totals[i] = sum_of(AT(sums + i * LANES));
}

static int normalize_pixels(const struct plan *p, const float *x, float *y,
                            const struct parameters *given)
{
    struct pass pass = {.plan = p, .x = x, .out = y, .given = given};
    pass.chunks = (p->pixels + UNIT - 1) / UNIT;
    pass.units = p->samples * pass.chunks;
    run(&pass, pixels_unit);
    return 0;
}

static int pull_back_pixels(const struct plan *p, const float *x, const float *dy, float *dx,
                            const struct parameters *given, const struct parameters *d)
{
    struct pass pass = {.plan = p, .x = x, .dy = dy, .out = dx, .given = given};
    pass.chunks = (p->pixels + UNIT - 1) / UNIT;
    pass.units = p->samples * pass.chunks;
    pass.width = (2 + LANES) * p->channels;   /* 2·C totals, and floats for as many vectors */
    pass.sums = malloc((size_t)(pass.units * pass.width) * sizeof *pass.sums);
    if (!pass.sums)
        return 1;
    run(&pass, pull_pixels_unit);
    for (integer c = 0; c < p->channels; c++) {
        double of_weight = 0, of_bias = 0;
        for (integer unit = 0; unit < pass.units; unit++) {
            of_weight += pass.sums[unit * pass.width + 2 * c];
            of_bias += pass.sums[unit * pass.width + 2 * c + 1];
        }
        d->weight[c] = (float)of_weight, d->bias[c] = (float)of_bias;
    }
    free(pass.sums);
    return 0;
}
