/* Norms over the channels of each pixel: LN2d, RMS2d without centring, and LRN over a few.
 *
 * TILE pixels of all channels are copied next to each other, as channels that lie a power of two
 * apart would throw each other out of the caches. WIDE vectors of pixels then go over the channels
 * once for the mean, once for the squares around it, once to write.
 */

enum { WIDE = 2, TILE = 256, PITCH = TILE + LANES, TILES = 3, UNIT = 1024, AHEAD = 4 };

/* Copies a tile: x, (C, pixels), to (C, TILE). Every channel is in another page of memory, where
 * processors do not look ahead by themselves. */
static float *tile_of(const struct plan *p, const float *x, integer count, float *tile)
{
    for (integer c = 0; c < p->channels; c++) {
        for (integer i = 0; c + AHEAD < p->channels && i < count; i += LANES)
            __builtin_prefetch(x + (c + AHEAD) * p->pixels + i);
        memcpy(tile + c * PITCH, x + c * p->pixels, 4 * (size_t)count);
    }
    return tile;
}

/* And back. */
static void tile_to(const struct plan *p, float *out, integer count, const float *tile)
{
    for (integer c = 0; c < p->channels; c++) {
        for (integer i = 0; c + AHEAD < p->channels && i < count; i += LANES)
            __builtin_prefetch(out + (c + AHEAD) * p->pixels + i, 1);
        memcpy(out + c * p->pixels, tile + c * PITCH, 4 * (size_t)count);
    }
}

/* Mean and 1/sqrt(variance + eps) of each pixel, over its channels. */
ALWAYS_INLINE void pixel_moments(const struct plan *p, const float *x, int wide, integer count,
                                 lanes *mean, lanes *root)
{
    float channels = (float)p->channels;
    for (int j = 0; j < wide; j++)
        mean[j] = root[j] = (lanes){0};
    for (integer c = 0; c < p->channels && p->by != SQUARES; c++)
        for (int j = 0; j < wide; j++)
            mean[j] += load(x + c * PITCH + j * LANES, count - j * LANES);
    for (int j = 0; j < wide; j++)
        mean[j] /= channels;
    for (integer c = 0; c < p->channels; c++)
        for (int j = 0; j < wide; j++) {
            lanes away = load(x + c * PITCH + j * LANES, count - j * LANES) - mean[j];
            root[j] += away * away;
        }
    for (int j = 0; j < wide; j++) {
        float values[LANES];
        lanes variance = root[j] / channels + (float)p->eps;
        memcpy(values, &variance, sizeof values);
        for (int i = 0; i < LANES; i++)
            values[i] = 1 / sqrtf(values[i]);
        memcpy(root + j, values, sizeof values);
    }
}

ALWAYS_INLINE void pixels_step(const struct pass *pass, float *x, int wide, integer count)
{
    const struct plan *p = pass->plan;
    lanes mean[WIDE], root[WIDE];
    pixel_moments(p, x, wide, count, mean, root);
    for (integer c = 0; c < p->channels; c++) {
        for (int j = 0; j < wide; j++) {
            integer left = count - j * LANES;
            lanes normal = (load(x + c * PITCH + j * LANES, left) - mean[j]) * root[j];
            store(x + c * PITCH + j * LANES,
                  normal * pass->given->weight[c] + pass->given->bias[c], left);
        }
    }
}

/* dx; adds to the sums of dy*normalized x and of dy, one vector of each for each channel. */
ALWAYS_INLINE void pull_step(const struct pass *pass, float *x, const float *dy, int wide,
                             integer count, float *sums)
{
    const struct plan *p = pass->plan;
    const float *weight = pass->given->weight;
    lanes mean[WIDE], root[WIDE], level[WIDE] = {0}, tilt[WIDE] = {0};
    pixel_moments(p, x, wide, count, mean, root);
    for (integer c = 0; c < p->channels; c++) {
        unaligned_lanes *sum = (unaligned_lanes *)(sums + 2 * c * LANES);
        lanes by_normal = {0}, total = {0};
        for (int j = 0; j < wide; j++) {
            integer i = c * PITCH + j * LANES;
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
    for (integer c = 0; c < p->channels; c++) {
        for (int j = 0; j < wide; j++) {
            integer i = c * PITCH + j * LANES, left = count - j * LANES;
            lanes away = load(x + i, left) - mean[j];
            store(x + i,
                  weight[c] * root[j] * load(dy + i, left) - level[j] - away * tilt[j], left);
        }
    }
}

/* A unit, tile by tile; `tiles` is this thread's room for them. */
static void pixels_unit(const struct pass *pass, integer unit)
{
    const struct plan *p = pass->plan;
    integer C = p->channels, start = unit % pass->chunks * UNIT;
    integer stop = start + UNIT < p->pixels ? start + UNIT : p->pixels;
    integer first = unit / pass->chunks * C * p->pixels;
    float *tiles = pass->tiles + omp_get_thread_num() * TILES * C * PITCH;
    double *totals = pass->sums + unit * pass->width;
    float *sums = (float *)(totals + 2 * C);
    for (integer k = 0; pass->dy && k < 2 * C * LANES; k++)
        sums[k] = 0;
    for (integer at = start; at < stop; at += TILE) {
        integer i = 0, count = stop - at < TILE ? stop - at : TILE, from = first + at;
        float *x = tile_of(p, pass->x + from, count, tiles), *dy = NULL;
        if (pass->dy)
            dy = tile_of(p, pass->dy + from, count, tiles + C * PITCH);
        for (; i + WIDE * LANES <= count; i += WIDE * LANES)
            if (dy)
                pull_step(pass, x + i, dy + i, WIDE, WIDE * LANES, sums);
            else
                pixels_step(pass, x + i, WIDE, WIDE * LANES);
        for (; i < count; i += LANES)
            if (dy)
                pull_step(pass, x + i, dy + i, 1, count - i, sums);
            else
                pixels_step(pass, x + i, 1, count - i);
        tile_to(p, pass->out + from, count, x);
    }
    for (integer k = 0; pass->dy && k < 2 * C; k++)
        totals[k] = sum_of(AT(sums + k * LANES));
}

/* The mean of `group` channels around c, or of their squares; outside, they are 0. */
ALWAYS_INLINE lanes around(const struct plan *p, const float *x, integer c, integer count, int power)
{
    integer half = p->group / 2, first = c < half ? 0 : c - half;
    integer last = c + half < p->channels ? c + half : p->channels - 1;
    lanes sum = {0};
    for (integer k = first; k <= last; k++) {
        lanes value = load(x + k * PITCH, count);
        sum += power == 2 ? value * value : value;
    }
    return sum / (float)p->group;
}

/* weight * x / s^(3/4), s = eps + the mean of x^2 around. `out` is a tile; on the way back it holds
 * dy at first, and `t` takes dy * y / s. */
static void neighbours_step(const struct pass *pass, const float *x, float *out, float *t,
                            integer count)
{
    const struct plan *p = pass->plan;
    for (integer c = 0, i = 0; c < p->channels; c++, i += PITCH) {
        lanes s = around(p, x, c, count, 2) + (float)p->eps, value = load(x + i, count), root;
        float values[LANES];
        memcpy(values, &s, sizeof values);
        for (int j = 0; j < LANES; j++)
            values[j] = 1 / sqrtf(values[j] * sqrtf(values[j]));
        memcpy(&root, values, sizeof values);
        root *= pass->given->weight[c] * (pass->dy ? load(out + i, count) : value);
        store(out + i, root, count);
        if (pass->dy)
            store(t + i, root * value / s, count);
    }
    for (integer c = 0, i = 0; pass->dy && c < p->channels; c++, i += PITCH)
        store(out + i, load(out + i, count) - 1.5f * load(x + i, count) * around(p, t, c, count, 1),
              count);
}

static void neighbours_unit(const struct pass *pass, integer unit)
{
    const struct plan *p = pass->plan;
    integer C = p->channels, start = unit % pass->chunks * UNIT;
    integer stop = start + UNIT < p->pixels ? start + UNIT : p->pixels;
    integer first = unit / pass->chunks * C * p->pixels;
    float *tiles = pass->tiles + omp_get_thread_num() * TILES * C * PITCH;
    for (integer at = start; at < stop; at += TILE) {
        integer count = stop - at < TILE ? stop - at : TILE, from = first + at;
        float *x = tile_of(p, pass->x + from, count, tiles), *out = tiles + C * PITCH;
        if (pass->dy)
            tile_of(p, pass->dy + from, count, out);
        for (integer i = 0; i < count; i += LANES)
            neighbours_step(pass, x + i, out + i, out + C * PITCH + i, count - i);
        tile_to(p, pass->out + from, count, out);
    }
}

/* y, or with dy dx and the gradients of weight and bias. */
static int run_pixels(const struct plan *p, const struct tensors *t)
{
    const float *dy = t->dy;
    struct pass pass = {.plan = p, .x = t->x, .dy = dy, .out = t->out, .given = &t->given};
    pass.chunks = (p->pixels + UNIT - 1) / UNIT;
    pass.units = p->samples * pass.chunks;
    pass.width = dy ? (2 + LANES) * p->channels : 0;   /* 2·C totals, and a vector for each */
    size_t tiles = (size_t)(p->threads * TILES * p->channels * PITCH) * sizeof *pass.tiles;
    pass.sums = malloc((size_t)(pass.units * pass.width) * sizeof *pass.sums + tiles);
    if (!pass.sums)
        return 1;
    pass.tiles = (float *)(pass.sums + pass.units * pass.width);
    run(&pass, p->by == NEIGHBOURS ? neighbours_unit : pixels_unit);
    for (integer c = 0; dy && p->by != NEIGHBOURS && c < p->channels; c++) {
        double of_weight = 0, of_bias = 0;
        for (integer unit = 0; unit < pass.units; unit++) {
            of_weight += pass.sums[unit * pass.width + 2 * c];
            of_bias += pass.sums[unit * pass.width + 2 * c + 1];
        }
        give(t->d.weight, c, of_weight);
        give(t->d.bias, c, of_bias);
    }
    free(pass.sums);
    return 0;
}
