/* Norms over the channels of each pixel: LN2d, RMS2d without centring, and LRN over a few.
 *
 * LN2d and RMS2d take a UNIT of pixels channel by channel, for a channel's pixels lie together: once
 * for the sums over channels, from the first to the last, once to write, from the last to the first,
 * which are still in cache. A unit of a channel is one page of memory, and processors do not look
 * ahead to the next page by themselves.
 */

enum { UNIT = 1024, VECTORS = UNIT / LANES, ADDED = 4, WRITTEN = 2 };

/* Numbers of each pixel. At first the mean of the channels so far, and sums over them: of (x -
 * mean)^2, of weight*dy and of weight*dy*(x - mean). Then root is 1/sqrt(variance + eps), and dx is
 * weight*root*dy - level - tilt*(x - mean). */
struct pixels {
    lanes mean[VECTORS], root[VECTORS], level[VECTORS], tilt[VECTORS];
};

/* Takes `many` channels more, from the c-th on, into vector j, of `count` pixels (Chan et al. 1983).
 * They begin at `at`, those after them `next` from there. */
ALWAYS_INLINE void add_step(const struct pass *pass, struct pixels *of, integer j, integer count,
                            integer at, integer next, integer c, int many)
{
    const lanes zero = {0};
    float share = (float)many / (float)(c + many);
    lanes away[ADDED], own = zero, squares = zero, level = zero, tilt = zero;
    for (int k = 0; k < many; k++) {
        const float *x = pass->x + at + k * pass->plan->pixels;
        away[k] = load(x, count), own += away[k];
        __builtin_prefetch(x + next, 0, 2);
    }
    own = pass->plan->by == SQUARES ? zero : own / (float)many;
    for (int k = 0; k < many; k++)
        away[k] -= own, squares += away[k] * away[k];
    lanes apart = c ? own - of->mean[j] : own;
    of->mean[j] = own - (1 - share) * apart;
    of->root[j] = (c ? of->root[j] + share * (float)c * apart * apart : zero) + squares;
    if (!pass->dy)
        return;
    for (int k = 0; k < many; k++) {
        const float *dy = pass->dy + at + k * pass->plan->pixels;
        lanes d = pass->given->weight[c + k] * load(dy, count);
        level += d, tilt += d * away[k];
        __builtin_prefetch(dy + next, 0, 2);
    }
    lanes all = c ? of->level[j] + level : level;
    of->tilt[j] = (c ? of->tilt[j] : zero) + tilt + apart * (level - share * all);
    of->level[j] = all;
}

/* From the sums to what is written with. */
static void close_sums(const struct pass *pass, struct pixels *of, integer j)
{
    float C = (float)pass->plan->channels, values[LANES];
    lanes variance = of->root[j] / C + (float)pass->plan->eps, root;
    memcpy(values, &variance, sizeof values);
    for (int i = 0; i < LANES; i++)
        values[i] = 1 / sqrtf(values[i]);
    memcpy(&root, values, sizeof values);
    of->root[j] = root;
    if (pass->dy) {
        of->tilt[j] *= root * root * root / C;
        of->level[j] = pass->plan->by == SQUARES ? (lanes){0} : of->level[j] * root / C;
    }
}

/* Writes y, or dx, and adds to the sums of dy*normalized x and of dy. */
ALWAYS_INLINE void write_step(const struct pass *pass, const struct pixels *of, integer j,
                              integer count, integer at, integer next, integer c, int many,
                              lanes *sums)
{
    const float *weight = pass->given->weight + c, *bias = pass->given->bias + c;
    lanes mean = of->mean[j], root = of->root[j];
    for (int k = 0; k < many; k++) {
        integer i = at + k * pass->plan->pixels;
        lanes away = load(pass->x + i, count) - mean, out;
        __builtin_prefetch(pass->out + i + next, 1);
        if (pass->dy) {
            lanes dy = load(pass->dy + i, count), d = dy * root;
            sums[2 * k] += d * away, sums[2 * k + 1] += dy;
            out = weight[k] * d - of->level[j] - away * of->tilt[j];
        } else
            out = away * root * weight[k] + bias[k];
        store(pass->out + i, out, count);
    }
}

ALWAYS_INLINE void channels_step(const struct pass *pass, struct pixels *of, integer at,
                                 integer count, integer c, int many, int write, double *totals)
{
    integer next = write ? (c < many ? 0 : -many) : c + 2 * many > pass->plan->channels ? 0 : many;
    lanes sums[2 * WRITTEN] = {{0}};
    next *= pass->plan->pixels, at += c * pass->plan->pixels;
    integer j = 0;
    for (; count >= LANES; j++, at += LANES, count -= LANES)
        if (write)
            write_step(pass, of, j, LANES, at, next, c, many, sums);
        else
            add_step(pass, of, j, LANES, at, next, c, many);
    if (count && write)
        write_step(pass, of, j, count, at, next, c, many, sums);
    else if (count)
        add_step(pass, of, j, count, at, next, c, many);
    for (int k = 0; write && pass->dy && k < 2 * many; k++)
        totals[2 * c + k] = sum_of(sums[k]);
}

static void pixels_unit(const struct pass *pass, integer unit)
{
    integer C = pass->plan->channels, pixels = pass->plan->pixels;
    integer start = unit % pass->chunks * UNIT, at = unit / pass->chunks * C * pixels + start;
    integer count = pixels - start < UNIT ? pixels - start : UNIT, c = 0;
    double *totals = pass->sums + unit * pass->width;
    struct pixels of;
    for (; c + ADDED <= C; c += ADDED)
        channels_step(pass, &of, at, count, c, ADDED, 0, NULL);
    for (; c < C; c++)
        channels_step(pass, &of, at, count, c, 1, 0, NULL);
    for (integer j = 0; j * LANES < count; j++)
        close_sums(pass, &of, j);
    for (; c >= WRITTEN; c -= WRITTEN)
        channels_step(pass, &of, at, count, c - WRITTEN, WRITTEN, 1, totals);
    if (c)
        channels_step(pass, &of, at, count, 0, 1, 1, totals);
}

/* ---- LRN ----
 *
 * TILE pixels of all channels are copied next to each other, as channels that lie a power of two
 * apart would throw each other out of the caches.
 */

enum { TILE = 256, PITCH = TILE + LANES, TILES = 3, AHEAD = 4 };

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
    pass.width = dy ? 2 * p->channels : 0;
    size_t tiles = sizeof *pass.tiles;
    if (p->by == NEIGHBOURS)
        tiles *= (size_t)(p->threads * TILES * p->channels * PITCH);
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
