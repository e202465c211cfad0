/* SPDX-License-Identifier: BSD-3-Clause */
/* The typed part of network_slot.c, included once per precision with real, SG_TYPED and PICK (kernel table of the
 * instruction set in use). */

/* What one call works with. */
typedef struct SG_TYPED(network_space) {
    uint32_t *row;         /* (CHUNK): rows of the chunk, sorted by class, in the order of the block within one */
    real     *x;           /* (max_in, CHUNK): inputs of the sorted rows                                        */
    real     *y;           /* (STEP, n_g): outputs of a network                                                 */
    size_t   *outside;     /* (max_in): values of an input outside the domain                                   */
    void     *workspace;   /* of a surrogate                                                                    */
} SG_TYPED(network_space);

static size_t SG_TYPED(network_lay_out)(const sg_network_slot *slot, char *base, SG_TYPED(network_space) *w)
{
    size_t       used = 0;
    const size_t bytes[5] = {CHUNK * sizeof *w->row, slot->max_in * CHUNK * sizeof *w->x,
                             STEP * slot->kdist->n_g * sizeof *w->y, slot->max_in * sizeof *w->outside,
                             slot->workspace_bytes};
    void        *at[5];
    for (int i = 0; i < 5; i++) {
        at[i] = base ? base + used : NULL;
        used += sg_round_up(bytes[i], SG_ALIGNMENT);
    }
    *w = (SG_TYPED(network_space)){at[0], at[1], at[2], at[3], at[4]};
    return used;
}

/* Sorts the rows first .. first+n-1 of a block by class; those of class i end up at start[i] .. start[i+1]-1. */
static void SG_TYPED(sort_rows)(const sg_network_slot *slot, const real *p, size_t first, size_t n, uint32_t *row,
                                size_t *start /* (n_edge+2) */)
{
    uint8_t class[CHUNK];
    size_t  next[CLASSES + 1] = {0};
    for (size_t i = 0; i < n; i++) {
        uint8_t c = 0;
        for (size_t k = 0; k < slot->n_edge; k++)
            c += p[first + i] > (real)slot->edge[k];
        class[i] = c;
        next[c]++;
    }
    start[0] = 0;
    for (size_t c = 0; c <= slot->n_edge; c++) {
        start[c + 1] = start[c] + next[c];
        next[c]      = start[c];
    }
    for (size_t i = 0; i < n; i++)
        row[next[class[i]]++] = (uint32_t)(first + i);
}

static void SG_TYPED(gather_inputs)(const network *net, const SG_TYPED(sg_optics_block) *block, const uint32_t *row,
                                    size_t n, real *x)
{
    for (size_t k = 0; k < net->n_in; k++, x += CHUNK) {
        int         source = net->source[k];
        const real *from   = source == TEMPERATURE ? block->t_lay
                             : source == PRESSURE  ? block->p_lay
                             : source == ABSENT    ? NULL
                                                   : block->vmr + (size_t)source * block->n_row;
        if (!from)
            memset(x, 0, n * sizeof *x);
        else
            for (size_t i = 0; i < n; i++)
                x[i] = from[row[i]];
    }
}

/* Outputs of n rows of one network become optical properties in their places. */
static void SG_TYPED(place_outputs)(const sg_network_slot *slot, int output, const SG_TYPED(sg_optics_block) *block,
                                    const uint32_t *row, size_t n, const real *y)
{
    const SG_TYPED(sg_network_kernels) *kernels = PICK(sg_radiation_network);
    size_t                              n_g     = slot->kdist->n_g;
    for (size_t i = 0; i < n; i++, y += n_g) {
        real *tau = block->tau + row[i] * block->g_stride, *second = block->second + row[i] * block->g_stride;
        real  col_dry = block->col_dry[row[i]];
        if (output == 0 && slot->outputs == SG_NETWORK_ALBEDO)
            memcpy(tau, y, n_g * sizeof *y); /* the second output completes it */
        else if (output == 0)
            kernels->scale(n_g, y, col_dry, tau);
        else if (slot->outputs == SG_NETWORK_ALBEDO)
            kernels->part_albedo(n_g, y, col_dry, tau, second);
        else if (slot->outputs == SG_NETWORK_RAYLEIGH)
            kernels->scale(n_g, y, col_dry, second);
        else if (slot->renormalise)
            kernels->normalise(slot->kdist, y, second);
        else
            memcpy(second, y, n_g * sizeof *y);
    }
}

/* Rows at .. end-1 of the sorted chunk through one network. */
static sg_status SG_TYPED(run_network)(const sg_network_slot *slot, network *net,
                                       const SG_TYPED(sg_optics_block) *block, const SG_TYPED(network_space) *w, size_t at,
                                       size_t end, sg_error *error)
{
    size_t   n_g = slot->kdist->n_g;
    sg_guard guard;
    for (; at < end; at += STEP) {
        size_t n = end - at < STEP ? end - at : STEP;
        sg_guard_init(&guard);
        guard.policy           = net->guard == SG_NETWORK_STOP ? SG_GUARD_STOP : SG_GUARD_COUNT;
        guard.outside_of_input = memset(w->outside, 0, net->n_in * sizeof *w->outside);
        sg_status status = SG_TYPED(sg_surrogate_eval)(net->surrogate, n, w->x + at, 1, CHUNK, w->y, (ptrdiff_t)n_g, 1,
                                                       w->workspace,
                                                       net->guard == SG_NETWORK_UNCHECKED ? NULL : &guard);
        note_counts(net, &guard);
        if (status != SG_OK)
            return guard.first_flags
                       ? explain(slot, net, &guard, w->row[at + guard.first_row] / block->n_col, error)
                       : sg_fail(error, status, output_name[slot->outputs][net->output], "the surrogate failed");
        SG_TYPED(place_outputs)(slot, net->output, block, w->row + at, n, w->y);
    }
    return SG_OK;
}

static sg_status SG_TYPED(network_optics)(void *context, const SG_TYPED(sg_optics_block) *block, void *scratch,
                                          sg_error *error)
{
    const sg_network_slot  *slot = context;
    SG_TYPED(network_space) w;
    SG_TYPED(network_lay_out)(slot, scratch, &w);
    for (size_t first = 0; first < block->n_row; first += CHUNK) {
        size_t n = block->n_row - first < CHUNK ? block->n_row - first : CHUNK, start[CLASSES + 1];
        size_t gathered = SIZE_MAX;
        SG_TYPED(sort_rows)(slot, block->p_lay, first, n, w.row, start);
        for (network *net = slot->network; net < slot->network + slot->n_network; net++) {
            size_t at = start[net->first_class], end = start[net->end_class];
            if (at < end && net->layout != gathered)
                SG_TYPED(gather_inputs)(net, block, w.row, n, w.x);
            if (at < end)
                gathered = net->layout;
            SG_TRY(SG_TYPED(run_network)(slot, net, block, &w, at, end, error));
        }
    }
    return SG_OK;
}

SG_TYPED(sg_optics_slot) SG_TYPED(sg_radiation_network_slot)(sg_network_slot *slot)
{
    SG_TYPED(network_space) w;
    return (SG_TYPED(sg_optics_slot)){SG_TYPED(network_optics), slot, SG_TYPED(network_lay_out)(slot, NULL, &w)};
}
