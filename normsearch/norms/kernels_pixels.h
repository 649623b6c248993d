/* Norms over the channels of each pixel: LN2d, and RMS2d without centring.
 *
 * WIDE vectors of pixels go over their channels once for the mean, once for the squares around it,
 * once to write; all but the first time the channels come from the second cache.
 */

enum { WIDE = 4, UNIT = 1024 };   /* pixels of a unit */

/* Mean and 1/sqrt(variance + eps) of each pixel, over its channels. */
ALWAYS_INLINE void pixel_moments(const struct plan *p, const float *x, int wide, integer count,
                                 lanes *mean, lanes *root)
{
    float channels = (float)p->channels;
    for (int j = 0; j < wide; j++)
        mean[j] = root[j] = (lanes){0};
    for (integer c = 0; c < p->channels && p->by != SQUARES; c++)
        for (int j = 0; j < wide; j++)
            mean[j] += load(x + c * p->pixels + j * LANES, count - j * LANES);
    for (int j = 0; j < wide; j++)
        mean[j] /= channels;
    for (integer c = 0; c < p->channels; c++)
        for (int j = 0; j < wide; j++) {
            lanes away = load(x + c * p->pixels + j * LANES, count - j * LANES) - mean[j];
            root[j] += away * away;
        }
    for (int j = 0; j < wide; j++)
        for (int i = 0; i < LANES; i++)
            root[j][i] = 1 / sqrtf(root[j][i] / channels + (float)p->eps);
}

ALWAYS_INLINE void pixels_step(const struct pass *pass, integer at, int wide, integer count)
{
    const struct plan *p = pass->plan;
    const float *x = pass->x + at;
    lanes mean[WIDE], root[WIDE];
    pixel_moments(p, x, wide, count, mean, root);
    for (integer c = 0; c < p->channels; c++)
        for (int j = 0; j < wide; j++) {
            integer i = c * p->pixels + j * LANES;
            lanes normal = (load(x + i, count - j * LANES) - mean[j]) * root[j];
            store(pass->out + at + i, normal * pass->given->weight[c] + pass->given->bias[c],
                  count - j * LANES);
        }
}

/* dx; adds to the sums of dy*normalized x and of dy, one vector of each for each channel. */
ALWAYS_INLINE void pull_step(const struct pass *pass, integer at, int wide, integer count,
                             float *sums)
{
    const struct plan *p = pass->plan;
    const float *x = pass->x + at, *dy = pass->dy + at, *weight = pass->given->weight;
    lanes mean[WIDE], root[WIDE], level[WIDE] = {0}, tilt[WIDE] = {0};
    pixel_moments(p, x, wide, count, mean, root);
    for (integer c = 0; c < p->channels; c++) {
        unaligned_lanes *sum = (unaligned_lanes *)(sums + 2 * c * LANES);
        lanes by_normal = {0}, total = {0};
        for (int j = 0; j < wide; j++) {
            integer i = c * p->pixels + j * LANES;
            lanes d = load(dy + i, count - j * LANES);
            lanes normal = d * ((load(x + i, count - j * LANES) - mean[j]) * root[j]);
            by_normal += normal, total += d;
            level[j] += weight[c] * d, tilt[j] += weight[c] * normal;
        }
        sum[0] += by_normal, sum[1] += total;
    }
    for (int j = 0; j < wide; j++) {
        level[j] = p->by == SQUARES ? (lanes){0} : level[j] * root[j] / (float)p->channels;
        tilt[j] = tilt[j] * root[j] * root[j] / (float)p->channels;
    }
    for (integer c = 0; c < p->channels; c++)
        for (int j = 0; j < wide; j++) {
            integer i = c * p->pixels + j * LANES, left = count - j * LANES;
            lanes away = load(x + i, left) - mean[j];
            store(pass->out + at + i,
                  weight[c] * root[j] * load(dy + i, left) - level[j] - away * tilt[j], left);
        }
}

/* The first pixel of a unit, counted from x's first, and how many it has. */
static integer pixels_of(const struct pass *pass, integer unit, integer *count)
{
    const struct plan *p = pass->plan;
    integer first = unit % pass->chunks * UNIT;
    *count = p->pixels - first < UNIT ? p->pixels - first : UNIT;
    return unit / pass->chunks * p->channels * p->pixels + first;
}

static void pixels_unit(const struct pass *pass, integer unit)
{
    integer i = 0, count, start = pixels_of(pass, unit, &count);
    for (; i + WIDE * LANES <= count; i += WIDE * LANES)
        pixels_step(pass, start + i, WIDE, WIDE * LANES);
    for (; i < count; i += LANES)
        pixels_step(pass, start + i, 1, count - i);
}

static void pull_pixels_unit(const struct pass *pass, integer unit)
{
    integer i = 0, count, start = pixels_of(pass, unit, &count), C = pass->plan->channels;
    double *totals = pass->sums + unit * pass->width;
    float *sums = (float *)(totals + 2 * C);
    memset(sums, 0, 2 * C * LANES * sizeof *sums);
    for (; i + WIDE * LANES <= count; i += WIDE * LANES)
        pull_step(pass, start + i, WIDE, WIDE * LANES, sums);
    for (; i < count; i += LANES)
        pull_step(pass, start + i, 1, count - i, sums);
    for (integer k = 0; k < 2 * C; k++)
        totals[k] = sum_of(AT(sums + k * LANES));
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
