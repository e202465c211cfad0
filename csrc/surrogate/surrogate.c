/* SPDX-License-Identifier: BSD-3-Clause */
#include "surrogate/surrogate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "surrogate/guard.h"

#define ROWS SG_GUARD_ROWS

#define MAX_LAYERS 64
#define MAX_WIDTH ((size_t)1 << 20) /* columns of inputs, outputs and layers */

struct sg_surrogate {
    size_t         n_in, n_out, n_encoded, n_raw; /* columns: physical in and out, network in and out */
    size_t         rank;                          /* of the whitening matrix; 0: density not checked   */
    size_t         n_parameters;
    int            bits;                  /* of the network */
    int            folded;                /* the decoder's leading affine step is in the last layer */
    int            direct_in, direct_out; /* nothing to encode, nothing (left) to decode */
    sg_program    *encoder, *decoder;
    sg_dense_plan *network, *whitening;
    sg_domain     *domain; /* NULL: none */
    char          *name, *version, *description;
    char          *text;                   /* the strings that in_ and out_ point to */
    sg_surrogate_variable       *in, *out; /* (n_in), (n_out) */
    const sg_encode_kernels_f32 *encode_f32;
    const sg_encode_kernels_f64 *encode_f64;
    const sg_guard_kernels_f32  *guard_f32;
    const sg_guard_kernels_f64  *guard_f64;
};

/* ----------------------------------------------------------------------------------------------- building */

void sg_surrogate_close(sg_surrogate *s)
{
    if (!s)
        return;
    sg_program_free(s->encoder);
    sg_program_free(s->decoder);
    sg_dense_plan_free(s->network);
    sg_dense_plan_free(s->whitening);
    sg_domain_free(s->domain);
    sg_free(s->name);
    sg_free(s->version);
    sg_free(s->description);
    sg_free(s->text);
    sg_free(s->in);
    sg_free(s->out);
    sg_free(s);
}

static sg_status bad_entry(const sg_container *file, const char *entry, const char *what, sg_error *error)
{
    const char *path = sg_container_path(file);
    return sg_fail(error, SG_ERR_FORMAT, entry, "%s%s%s", what, *path ? " in " : "", path);
}

static sg_status copy_text(const sg_container *file, const char *entry, char **copy, sg_error *error)
{
    const char *text;
    SG_TRY(sg_container_get_text(file, entry, &text, error));
    size_t size = strlen(text) + 1;
    SG_TRY(sg_alloc_array(copy, size, 1, entry, error));
    memcpy(*copy, text, size);
    return SG_OK;
}

/* Number of lines of a text; each line, the last one too, ends with a newline. */
static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

/* Copies a text to at and cuts its lines into the names (or units) of n variables; returns where the copy
 * ends. */
static char *cut_lines(char *at, const char *text, sg_surrogate_variable *variable, size_t n, int unit)
{
    strcpy(at, text);
    for (size_t i = 0; i < n; i++) {
        if (unit)
            variable[i].unit = at;
        else
            variable[i].name = at;
        at += strcspn(at, "\n");
        *at++ = 0;
    }
    return at;
}

static sg_status read_variables(sg_surrogate *s, const sg_container *file, sg_error *error)
{
    static const char *const entry[4] = {"input/name", "input/unit", "output/name", "output/unit"};
    const char              *text[4];
    size_t                   total = 0;
    for (int k = 0; k < 4; k++) {
        SG_TRY(sg_container_get_text(file, entry[k], &text[k], error));
        total += strlen(text[k]) + 1;
    }
    s->n_in  = count_lines(text[0]);
    s->n_out = count_lines(text[2]);
    if (s->n_in < 1 || s->n_in > MAX_WIDTH)
        return bad_entry(file, entry[0], "expected 1 to 1048576 lines", error);
    if (s->n_out < 1 || s->n_out > MAX_WIDTH)
        return bad_entry(file, entry[2], "expected 1 to 1048576 lines", error);
    if (count_lines(text[1]) != s->n_in)
        return bad_entry(file, entry[1], "expected as many lines as input/name has", error);
    if (count_lines(text[3]) != s->n_out)
        return bad_entry(file, entry[3], "expected as many lines as output/name has", error);
    SG_TRY(sg_alloc_array(&s->in, s->n_in, sizeof *s->in, "input", error));
    SG_TRY(sg_alloc_array(&s->out, s->n_out, sizeof *s->out, "output", error));
    SG_TRY(sg_alloc_array(&s->text, total, 1, "names", error));
    char *at = cut_lines(s->text, text[0], s->in, s->n_in, 0);
    at       = cut_lines(at, text[1], s->in, s->n_in, 1);
    at       = cut_lines(at, text[2], s->out, s->n_out, 0);
    cut_lines(at, text[3], s->out, s->n_out, 1);

    static const char *const limit[4] = {"input/low", "input/high", "output/low", "output/high"};
    for (int k = 0; k < 4; k++) {
        sg_surrogate_variable *variable = k < 2 ? s->in : s->out;
        size_t                 n        = k < 2 ? s->n_in : s->n_out;
        const void            *data;
        SG_TRY(sg_container_get(file, limit[k], SG_F64, 1, &n, &data, error));
        for (size_t i = 0; i < n; i++) {
            double x = ((const double *)data)[i];
            if (k % 2)
                variable[i].high = x;
            else
                variable[i].low = x;
        }
    }
    return SG_OK;
}

sg_status sg_program_from_container(const sg_container *file, const char *prefix, size_t n_in, size_t n_out,
                                    sg_program **program, sg_error *error)
{
    char        name[80];
    const void *column_data, *op_data, *value_data;
    size_t      column_shape[2] = {n_out, 5}, op_shape[1] = {SIZE_MAX}, value_shape[2] = {SIZE_MAX, 2};
    *program = NULL;
    snprintf(name, sizeof name, "%s/column", prefix);
    SG_TRY(sg_container_get(file, name, SG_I32, 2, column_shape, &column_data, error));
    snprintf(name, sizeof name, "%s/op", prefix);
    SG_TRY(sg_container_get(file, name, SG_I32, 1, op_shape, &op_data, error));
    value_shape[0] = op_shape[0];
    snprintf(name, sizeof name, "%s/value", prefix);
    SG_TRY(sg_container_get(file, name, SG_F64, 2, value_shape, &value_data, error));

    sg_program_column *column = NULL;
    sg_step           *step   = NULL;
    sg_status          status = sg_alloc_array(&column, n_out, sizeof *column, prefix, error);
    if (status == SG_OK)
        status = sg_alloc_array(&step, op_shape[0], sizeof *step, prefix, error);
    if (status == SG_OK) {
        const int32_t *c = column_data, *op = op_data;
        const double  *value = value_data;
        for (size_t j = 0; j < n_out; j++, c += 5)
            column[j] = (sg_program_column){c[0], c[1], c[2], c[3], c[4]};
        for (size_t k = 0; k < op_shape[0]; k++)
            step[k] = (sg_step){op[k], value[2 * k], value[2 * k + 1]};
        status = sg_program_create(n_in, n_out, column, op_shape[0], step, prefix, program, error);
    }
    sg_free(column);
    sg_free(step);
    return status;
}

/* One layer as the file has it. */
typedef struct layer {
    size_t        n_in, n_out;
    const void   *weight, *bias;
    sg_activation activation;
    double        parameter;
} layer;

static sg_status read_layers(sg_surrogate *s, const sg_container *file, layer *layers, size_t *n_layers,
                             sg_error *error)
{
    const char *activation;
    SG_TRY(sg_container_get_text(file, "network/activation", &activation, error));
    size_t n = count_lines(activation);
    if (n < 1 || n > MAX_LAYERS)
        return bad_entry(file, "network/activation", "expected 1 to 64 lines, one name per layer", error);
    const void *parameter;
    size_t      shape[2] = {n, 0};
    SG_TRY(sg_container_get(file, "network/parameter", SG_F64, 1, shape, &parameter, error));

    const sg_entry *first = sg_container_find(file, "network/weight_0");
    s->bits               = first && first->dtype == SG_F64 ? 64 : 32;
    sg_dtype dtype        = s->bits == 64 ? SG_F64 : SG_F32;
    for (size_t l = 0; l < n; l++) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(activation, "\n"), activation);
        activation += strcspn(activation, "\n") + 1;
        int kind = sg_activation_find(name);
        if (kind < 0)
            return bad_entry(file, "network/activation", "it names an activation this version does not know",
                             error);
        snprintf(name, sizeof name, "network/weight_%zu", l);
        shape[0]  = l ? layers[l - 1].n_out : SIZE_MAX;
        shape[1]  = SIZE_MAX;
        layers[l] = (layer){.activation = (sg_activation)kind, .parameter = ((const double *)parameter)[l]};
        SG_TRY(sg_container_get(file, name, dtype, 2, shape, &layers[l].weight, error));
        if (shape[0] < 1 || shape[1] < 1 || shape[0] > MAX_WIDTH || shape[1] > MAX_WIDTH)
            return bad_entry(file, name, "expected 1 to 1048576 rows and columns", error);
        layers[l].n_in  = shape[0];
        layers[l].n_out = shape[1];
        snprintf(name, sizeof name, "network/bias_%zu", l);
        SG_TRY(sg_container_get(file, name, dtype, 1, shape + 1, &layers[l].bias, error));
        s->n_parameters += layers[l].n_in * layers[l].n_out + layers[l].n_out;
    }
    s->n_encoded = layers[0].n_in;
    s->n_raw     = layers[n - 1].n_out;
    *n_layers    = n;
    return SG_OK;
}

static double real_at(const void *data, size_t i, int bits)
{
    return bits == 64 ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void real_put(void *data, size_t i, int bits, double x)
{
    if (bits == 64)
        ((double *)data)[i] = x;
    else
        ((float *)data)[i] = (float)x;
}

/* weight and bias of the last layer become scale * weight and scale * bias + shift, computed in double and
 * rounded once. */
static void fold(layer *last, int bits, const double *scale, const double *shift, void *weight, void *bias)
{
    for (size_t k = 0; k < last->n_in; k++)
        for (size_t j = 0; j < last->n_out; j++) {
            size_t at = k * last->n_out + j;
            real_put(weight, at, bits, real_at(last->weight, at, bits) * scale[j]);
        }
    for (size_t j = 0; j < last->n_out; j++)
        real_put(bias, j, bits, fma(real_at(last->bias, j, bits), scale[j], shift[j]));
    last->weight = weight;
    last->bias   = bias;
}

static sg_status create_plan(const layer *layers, size_t n, int bits, sg_dense_plan **plan, sg_error *error)
{
    if (bits == 64) {
        sg_dense_layer_f64 chain[MAX_LAYERS];
        for (size_t l = 0; l < n; l++)
            chain[l] = (sg_dense_layer_f64){layers[l].n_in, layers[l].n_out,      layers[l].weight,
                                            layers[l].bias, layers[l].activation, layers[l].parameter};
        return sg_dense_plan_create_f64(n, chain, plan, error);
    }
    sg_dense_layer_f32 chain[MAX_LAYERS];
    for (size_t l = 0; l < n; l++)
        chain[l] = (sg_dense_layer_f32){layers[l].n_in, layers[l].n_out,      layers[l].weight,
                                        layers[l].bias, layers[l].activation, layers[l].parameter};
    return sg_dense_plan_create_f32(n, chain, plan, error);
}

/* The bias is where the sum of a network output starts. A shift that is large against the scale would make
 * every addition round at the size of the shift, so such an output keeps its affine step. */
#define MAX_FOLDED_SHIFT 8.0

static sg_status read_network(sg_surrogate *s, const sg_container *file, sg_error *error)
{
    layer  layers[MAX_LAYERS];
    size_t n = 0;
    SG_TRY(read_layers(s, file, layers, &n, error));
    SG_TRY(sg_program_from_container(file, "encoder", s->n_in, s->n_encoded, &s->encoder, error));
    SG_TRY(sg_program_from_container(file, "decoder", s->n_raw, s->n_out, &s->decoder, error));

    layer      *last  = layers + n - 1;
    double     *scale = NULL, *shift = NULL;
    void       *weight = NULL, *bias = NULL;
    size_t      bytes  = (size_t)s->bits / 8;
    sg_program *rest   = NULL;
    sg_status   status = SG_OK;
    if (last->activation == SG_ACTIVATION_linear && sg_program_starts_affine(s->decoder)) {
        status = sg_alloc_array(&scale, s->n_out, sizeof(double), "decoder", error);
        if (status == SG_OK)
            status = sg_alloc_array(&shift, s->n_out, sizeof(double), "decoder", error);
        if (status == SG_OK)
            status = sg_program_drop_affine(s->decoder, scale, shift, &rest, error);
        if (status == SG_OK) {
            s->folded = 1;
            for (size_t j = 0; j < s->n_out; j++)
                s->folded &= fabs(shift[j]) <= MAX_FOLDED_SHIFT * fabs(scale[j]);
        }
        if (status == SG_OK && s->folded) {
            status = sg_alloc_array(&weight, last->n_in * last->n_out, bytes, "network", error);
            if (status == SG_OK)
                status = sg_alloc_array(&bias, last->n_out, bytes, "network", error);
            if (status == SG_OK) {
                fold(last, s->bits, scale, shift, weight, bias);
                sg_program *whole = s->decoder;
                s->decoder        = rest;
                rest              = whole;
            }
        }
    }
    if (status == SG_OK)
        status = create_plan(layers, n, s->bits, &s->network, error);
    sg_program_free(rest);
    sg_free(scale);
    sg_free(shift);
    sg_free(weight);
    sg_free(bias);
    s->direct_in  = sg_program_is_identity(s->encoder);
    s->direct_out = s->decoder && sg_program_is_identity(s->decoder);
    return status;
}

/* The whitening matrix becomes one linear layer: z = W' e - W' m. */
static sg_status read_whitening(sg_surrogate *s, const sg_container *file, sg_error *error)
{
    const void *mean_data, *matrix_data;
    size_t      mean_shape[1] = {s->n_encoded}, matrix_shape[2] = {s->n_encoded, SIZE_MAX};
    SG_TRY(sg_container_get(file, "domain/mean", SG_F64, 1, mean_shape, &mean_data, error));
    SG_TRY(sg_container_get(file, "domain/whitening", SG_F64, 2, matrix_shape, &matrix_data, error));
    size_t rank = matrix_shape[1];
    if (rank < 1 || rank > s->n_encoded)
        return bad_entry(file, "domain/whitening", "expected one to as many columns as rows", error);
    const double *mean = mean_data, *matrix = matrix_data;
    size_t        bytes  = (size_t)s->bits / 8;
    void         *weight = NULL, *bias = NULL;
    sg_status     status = sg_alloc_array(&weight, s->n_encoded * rank, bytes, "domain", error);
    if (status == SG_OK)
        status = sg_alloc_array(&bias, rank, bytes, "domain", error);
    if (status == SG_OK) {
        for (size_t k = 0; k < s->n_encoded * rank; k++)
            real_put(weight, k, s->bits, matrix[k]);
        for (size_t j = 0; j < rank; j++) {
            double sum = 0;
            for (size_t k = 0; k < s->n_encoded; k++)
                sum = fma(matrix[k * rank + j], mean[k], sum);
            real_put(bias, j, s->bits, -sum);
        }
        layer whiten = {s->n_encoded, rank, weight, bias, SG_ACTIVATION_linear, 0};
        status       = create_plan(&whiten, 1, s->bits, &s->whitening, error);
    }
    sg_free(weight);
    sg_free(bias);
    s->rank = rank;
    return status;
}

static sg_status read_domain(sg_surrogate *s, const sg_container *file, sg_error *error)
{
    if (!sg_container_find(file, "domain/flags"))
        return SG_OK;
    const void *missing, *flags, *max_distance;
    size_t      shape[1] = {s->n_in};
    SG_TRY(sg_container_get(file, "domain/flags", SG_U8, 1, shape, &flags, error));
    SG_TRY(sg_container_get(file, "domain/missing", SG_F64, 1, shape, &missing, error));
    SG_TRY(sg_container_get(file, "domain/max_distance", SG_F64, 0, shape, &max_distance, error));
    double limit = *(const double *)max_distance;
    SG_TRY(sg_domain_create(s->n_in, sg_container_find(file, "input/low")->data,
                            sg_container_find(file, "input/high")->data, missing, flags, limit, &s->domain,
                            error));
    return isinf(limit) ? SG_OK : read_whitening(s, file, error);
}

sg_status sg_surrogate_from_container(const sg_container *file, sg_surrogate **surrogate, sg_error *error)
{
    *surrogate = NULL;
    sg_surrogate *s;
    SG_TRY(sg_alloc_array(&s, 1, sizeof *s, "surrogate", error));
    sg_isa isa    = sg_cpu_isa();
    s->encode_f32 = sg_encode_kernels_f32_pick(isa);
    s->encode_f64 = sg_encode_kernels_f64_pick(isa);
    s->guard_f32  = sg_guard_kernels_f32_pick(isa);
    s->guard_f64  = sg_guard_kernels_f64_pick(isa);

    sg_status status = copy_text(file, "kernel/name", &s->name, error);
    if (status == SG_OK)
        status = copy_text(file, "kernel/version", &s->version, error);
    if (status == SG_OK)
        status = copy_text(file, "description", &s->description, error);
    if (status == SG_OK)
        status = read_variables(s, file, error);
    if (status == SG_OK)
        status = read_network(s, file, error);
    if (status == SG_OK)
        status = read_domain(s, file, error);
    if (status != SG_OK) {
        sg_surrogate_close(s);
        /* What the parts call a wrong value or shape is a wrong file here. */
        if (status == SG_ERR_VALUE || status == SG_ERR_SHAPE) {
            status = SG_ERR_FORMAT;
            if (error)
                error->status = status;
        }
        return status;
    }
    *surrogate = s;
    return SG_OK;
}

sg_status sg_surrogate_open(const char *path, sg_surrogate **surrogate, sg_error *error)
{
    if (!surrogate)
        return sg_fail(error, SG_ERR_VALUE, "surrogate", "expected a pointer, got NULL");
    *surrogate = NULL;
    if (!path)
        return sg_fail(error, SG_ERR_VALUE, "path", "expected a file name, got NULL");
    sg_container *file;
    SG_TRY(sg_container_open(path, SG_SURROGATE_KIND, SG_SURROGATE_VERSION, &file, error));
    sg_status status = sg_surrogate_from_container(file, surrogate, error);
    sg_container_free(file);
    return status;
}

/* --------------------------------------------------------------------------------------------- describing */

sg_surrogate_info sg_surrogate_describe(const sg_surrogate *s)
{
    return (sg_surrogate_info){
        .name          = s->name,
        .version       = s->version,
        .description   = s->description,
        .n_in          = s->n_in,
        .n_out         = s->n_out,
        .n_parameters  = s->n_parameters,
        .flops_per_row = sg_dense_flops(s->network),
        .network_bits  = s->bits,
        .has_domain    = s->domain != NULL,
        .max_distance  = s->domain ? s->domain->max_distance : INFINITY,
    };
}

static const sg_surrogate_variable no_variable = {"", "", 0, 0};

sg_surrogate_variable sg_surrogate_input(const sg_surrogate *s, size_t i)
{
    return i < s->n_in ? s->in[i] : no_variable;
}
sg_surrogate_variable sg_surrogate_output(const sg_surrogate *s, size_t i)
{
    return i < s->n_out ? s->out[i] : no_variable;
}

const char *sg_surrogate_isa(const sg_surrogate *s) { return sg_dense_isa(s->network); }
int         sg_surrogate_is_folded(const sg_surrogate *s) { return s->folded; }

/* --------------------------------------------------------------------------------------------- evaluation */

/* Parts of the workspace of one thread. Encoded rows and whitened rows lie column by column (ROWS apart),
 * network outputs row by row. */
typedef struct space {
    char   *encoded, *raw, *whitened, *square, *network;
    double *kernel_in, *kernel_out;
} space;

static size_t take(size_t *used, size_t count, size_t size)
{
    size_t at = *used;
    *used     = sg_round_up(at + count * size, SG_ALIGNMENT);
    return at;
}

static size_t lay_out(const sg_surrogate *s, char *base, space *w)
{
    size_t used = 0, real = (size_t)s->bits / 8;
    size_t network = sg_dense_workspace_bytes(s->network);
    size_t whiten  = s->whitening ? sg_dense_workspace_bytes(s->whitening) : 0;
    w->encoded     = base + take(&used, ROWS * s->n_encoded, real);
    w->raw         = base + take(&used, ROWS * s->n_raw, real);
    w->whitened    = base + take(&used, ROWS * s->rank, real);
    w->square      = base + take(&used, ROWS, real);
    w->network     = base + take(&used, network > whiten ? network : whiten, 1);
    w->kernel_in   = (double *)(base + take(&used, s->n_in, sizeof(double)));
    w->kernel_out  = (double *)(base + take(&used, s->n_out, sizeof(double)));
    return used;
}

size_t sg_surrogate_workspace_bytes(const sg_surrogate *s)
{
    /* The offsets alone: no address is formed from a null pointer. */
    space w;
    char  base[1];
    return lay_out(s, base, &w) + SG_ALIGNMENT;
}

/* A table of the host: floats (single) or doubles. */
typedef struct table {
    char     *data;
    ptrdiff_t row, col;
    int       single;
} table;

static char *table_row(table t, size_t row)
{
    return t.data + (ptrdiff_t)row * t.row * (ptrdiff_t)(t.single ? sizeof(float) : sizeof(double));
}

static double table_at(table t, size_t row, size_t col)
{
    ptrdiff_t at = (ptrdiff_t)row * t.row + (ptrdiff_t)col * t.col;
    return t.single ? (double)((const float *)t.data)[at] : ((const double *)t.data)[at];
}

static void table_put(table t, size_t row, size_t col, double x)
{
    ptrdiff_t at = (ptrdiff_t)row * t.row + (ptrdiff_t)col * t.col;
    if (t.single)
        ((float *)t.data)[at] = (float)x;
    else
        ((double *)t.data)[at] = x;
}

/* A program from one table to another; computes in double unless both are float. */
static void convert(const sg_surrogate *s, const sg_program *program, size_t n, table in, table out)
{
    if (in.single && out.single)
        s->encode_f32->sss(program, n, (const float *)in.data, in.row, in.col, (float *)out.data, out.row,
                           out.col);
    else if (in.single)
        s->encode_f64->sdd(program, n, (const float *)in.data, in.row, in.col, (double *)out.data, out.row,
                           out.col);
    else if (out.single)
        s->encode_f64->dds(program, n, (const double *)in.data, in.row, in.col, (float *)out.data, out.row,
                           out.col);
    else
        s->encode_f64->ddd(program, n, (const double *)in.data, in.row, in.col, (double *)out.data, out.row,
                           out.col);
}

/* Both tables have the precision of the plan. */
static void run_plan(const sg_dense_plan *plan, size_t n, table in, table out, void *workspace)
{
    if (in.single) {
        sg_dense_input_f32 x = {
            .data = (const float *)in.data, .row_stride = in.row, .column_stride = in.col};
        sg_dense_output_f32 y = {.data = (float *)out.data, .row_stride = out.row, .column_stride = out.col};
        sg_dense_eval_f32(plan, n, &x, &y, workspace);
    } else {
        sg_dense_input_f64 x = {
            .data = (const double *)in.data, .row_stride = in.row, .column_stride = in.col};
        sg_dense_output_f64 y = {.data = (double *)out.data, .row_stride = out.row, .column_stride = out.col};
        sg_dense_eval_f64(plan, n, &x, &y, workspace);
    }
}

/* flags[i] = SG_OUTSIDE_BOX and SG_OUTSIDE_NOT_FINITE of each row. */
static void check_box(const sg_surrogate *s, size_t n, table in, uint8_t *flags, sg_guard *guard)
{
    const sg_domain *d = s->domain;
    if (in.single)
        s->guard_f32->box(n, s->n_in, (const float *)in.data, in.row, in.col, d->low_f32, d->high_f32, flags);
    else
        s->guard_f64->box(n, s->n_in, (const double *)in.data, in.row, in.col, d->low, d->high, flags);
    for (size_t i = 0; i < n; i++) {
        if (!flags[i] && !d->has_category)
            continue;
        flags[i] = 0;
        for (size_t j = 0; j < s->n_in; j++) {
            int outside = sg_domain_flags(d, j, table_at(in, i, j), in.single);
            flags[i] |= (uint8_t)outside;
            if (outside && guard->outside_of_input)
                guard->outside_of_input[j]++;
        }
    }
}

/* Squares of the distances of encoded rows, as double. */
static void distances(const sg_surrogate *s, size_t n, table encoded, const space *w, double *square)
{
    table z = {w->whitened, 1, ROWS, encoded.single};
    run_plan(s->whitening, n, encoded, z, w->network);
    if (encoded.single) {
        float *sum = (float *)w->square;
        s->guard_f32->square(n, s->rank, (const float *)z.data, sum);
        for (size_t i = 0; i < n; i++)
            square[i] = (double)sum[i];
    } else {
        s->guard_f64->square(n, s->rank, (const double *)z.data, square);
    }
}

/* Counts the rows outside; returns how many there are in this block. */
static size_t note_rows(const sg_surrogate *s, size_t n, table in, const uint8_t *flags, const double *square,
                        sg_guard *guard)
{
    size_t n_outside = 0;
    for (size_t i = 0; i < n; i++) {
        if (!flags[i])
            continue;
        n_outside++;
        ptrdiff_t input = -1;
        double    value = 0;
        if (!guard->first_flags) {
            for (size_t j = 0; j < s->n_in && input < 0; j++)
                if (sg_domain_flags(s->domain, j, table_at(in, i, j), in.single))
                    input = (ptrdiff_t)j;
            value = input < 0 ? sqrt(square[i]) : table_at(in, i, (size_t)input);
        }
        sg_guard_note(guard, i, flags[i], input, value);
    }
    return n_outside;
}

static sg_status fall_back(const sg_surrogate *s, size_t n, table in, table out, const uint8_t *flags,
                           const space *w, sg_guard *guard)
{
    for (size_t i = 0; i < n; i++) {
        if (!flags[i])
            continue;
        for (size_t j = 0; j < s->n_in; j++)
            w->kernel_in[j] = table_at(in, i, j);
        if (guard->fallback(1, w->kernel_in, w->kernel_out, guard->fallback_context))
            return SG_ERR_DIVERGED;
        for (size_t j = 0; j < s->n_out; j++)
            table_put(out, i, j, w->kernel_out[j]);
        guard->n_fallback++;
    }
    return SG_OK;
}

/* At most ROWS rows. */
static sg_status eval_block(const sg_surrogate *s, size_t n, table in, table out, const space *w,
                            sg_guard *guard, uint8_t *row_flags)
{
    int    single    = s->bits == 32;
    size_t n_outside = 0;
    table  encoded   = {w->encoded, 1, ROWS, single};
    /* An input block of the network's precision that needs no encoding is read where it is. */
    if (s->direct_in && in.single == single)
        encoded = in;
    else
        convert(s, s->encoder, n, in, encoded);

    uint8_t flags[ROWS];
    if (guard) {
        double square[ROWS];
        check_box(s, n, in, flags, guard);
        if (s->rank) {
            distances(s, n, encoded, w, square);
            double limit = s->domain->max_distance * s->domain->max_distance;
            for (size_t i = 0; i < n; i++)
                if (!(flags[i] & SG_OUTSIDE_NOT_FINITE) && !(square[i] <= limit))
                    flags[i] |= SG_OUTSIDE_DENSITY;
        }
        n_outside = note_rows(s, n, in, flags, square, guard);
        guard->n_rows += n;
        if (row_flags)
            memcpy(row_flags, flags, n);
        if (n_outside && guard->policy == SG_GUARD_STOP)
            return sg_guard_explain(s, guard, NULL);
    }

    if (s->direct_out && out.single == single) {
        run_plan(s->network, n, encoded, out, w->network);
    } else {
        table raw = {w->raw, (ptrdiff_t)s->n_raw, 1, single};
        run_plan(s->network, n, encoded, raw, w->network);
        convert(s, s->decoder, n, raw, out);
    }
    if (n_outside && guard->policy == SG_GUARD_FALLBACK)
        return fall_back(s, n, in, out, flags, w, guard);
    return SG_OK;
}

static sg_status eval(const sg_surrogate *s, size_t n, table in, table out, void *workspace, sg_guard *guard)
{
    if (!s || !workspace || (n && (!in.data || !out.data)))
        return SG_ERR_VALUE;
    if (guard && guard->policy == SG_GUARD_FALLBACK && !guard->fallback)
        return SG_ERR_VALUE;
    if (!s->domain) {
        if (guard && guard->row_flags)
            memset(guard->row_flags, 0, n);
        if (guard)
            guard->n_rows += n;
        guard = NULL;
    }
    space w;
    char *base = (char *)sg_round_up((uintptr_t)workspace, SG_ALIGNMENT);
    lay_out(s, base, &w);
    if (!guard && s->direct_in && s->direct_out && in.single == out.single && in.single == (s->bits == 32)) {
        run_plan(s->network, n, in, out, w.network);
        return SG_OK;
    }
    for (size_t row = 0; row < n; row += ROWS) {
        size_t rows      = n - row < ROWS ? n - row : ROWS;
        table  block_in  = {table_row(in, row), in.row, in.col, in.single};
        table  block_out = {table_row(out, row), out.row, out.col, out.single};
        SG_TRY(eval_block(s, rows, block_in, block_out, &w, guard,
                          guard && guard->row_flags ? guard->row_flags + row : NULL));
    }
    return SG_OK;
}

sg_status sg_surrogate_eval_f64(const sg_surrogate *surrogate, size_t n, const double *in, ptrdiff_t in_row,
                                ptrdiff_t in_col, double *out, ptrdiff_t out_row, ptrdiff_t out_col,
                                void *workspace, sg_guard *guard)
{
    return eval(surrogate, n, (table){(char *)in, in_row, in_col, 0},
                (table){(char *)out, out_row, out_col, 0}, workspace, guard);
}

sg_status sg_surrogate_eval_f32(const sg_surrogate *surrogate, size_t n, const float *in, ptrdiff_t in_row,
                                ptrdiff_t in_col, float *out, ptrdiff_t out_row, ptrdiff_t out_col,
                                void *workspace, sg_guard *guard)
{
    return eval(surrogate, n, (table){(char *)in, in_row, in_col, 1},
                (table){(char *)out, out_row, out_col, 1}, workspace, guard);
}

sg_status sg_surrogate_eval(const sg_surrogate *surrogate, size_t n, const double *in, ptrdiff_t in_stride,
                            double *out, ptrdiff_t out_stride, void *workspace, sg_guard *guard)
{
    return sg_surrogate_eval_f64(surrogate, n, in, in_stride, 1, out, out_stride, 1, workspace, guard);
}

sg_status sg_surrogate_distance_f64(const sg_surrogate *s, size_t n, const double *in, ptrdiff_t in_row,
                                    ptrdiff_t in_col, double *distance, void *workspace, sg_error *error)
{
    if (!s->rank)
        return sg_fail(error, SG_ERR_VALUE, "surrogate",
                       "it has no training density to measure distances to");
    space w;
    char *base = (char *)sg_round_up((uintptr_t)workspace, SG_ALIGNMENT);
    lay_out(s, base, &w);
    table all = {(char *)in, in_row, in_col, 0}, encoded = {w.encoded, 1, ROWS, s->bits == 32};
    for (size_t row = 0; row < n; row += ROWS) {
        size_t rows = n - row < ROWS ? n - row : ROWS;
        double square[ROWS];
        convert(s, s->encoder, rows, (table){table_row(all, row), in_row, in_col, 0}, encoded);
        distances(s, rows, encoded, &w, square);
        for (size_t i = 0; i < rows; i++)
            distance[row + i] = sqrt(square[i]);
    }
    return SG_OK;
}

sg_status sg_guard_explain(const sg_surrogate *s, const sg_guard *guard, sg_error *error)
{
    if (!guard->first_flags)
        return SG_OK;
    if (guard->first_input < 0)
        return sg_fail(error, SG_ERR_DOMAIN, "inputs",
                       "row %zu is far from the training data: distance %.4g, at most %.4g allowed",
                       guard->first_row, guard->first_value, s->domain ? s->domain->max_distance : INFINITY);
    sg_surrogate_variable v = sg_surrogate_input(s, (size_t)guard->first_input);
    double                x = guard->first_value;
    if (isnan(x) || isinf(x))
        return sg_fail(error, SG_ERR_NOT_FINITE, v.name, "row %zu is %s", guard->first_row,
                       isnan(x) ? "NaN" : "infinite");
    if (x >= v.low && x <= v.high)
        return sg_fail(error, SG_ERR_DOMAIN, v.name, "value %.9g in row %zu is no category (a whole number)",
                       x, guard->first_row);
    return sg_fail(error, SG_ERR_DOMAIN, v.name,
                   "value %.9g %s in row %zu lies outside the domain (%.9g to %.9g %s)", x, v.unit,
                   guard->first_row, v.low, v.high, v.unit);
}
