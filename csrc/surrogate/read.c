/* SPDX-License-Identifier: BSD-3-Clause */
/* From the entries of a surrogate file to a surrogate; docs/files.md tells what they mean. */
#include "surrogate/surrogate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "surrogate/parts.h"

#define MAX_LAYERS 64
#define MAX_WIDTH ((size_t)1 << 20) /* columns of inputs, outputs and layers */

/* ----------------------------------------------------------------------------------------------- building */

void sg_surrogate_close(sg_surrogate *s)
{
    if (!s)
        return;
    sg_program_free(s->encoder);
    sg_program_free(s->decoder);
    sg_net_free(s->network);
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

/* --------------------------------------------------------------------------------------------- the network */

/* A graph as the file has it: nodes, and one vector of parameters (float or double), which may be changed. */
typedef struct network {
    sg_node *node;
    size_t   n_nodes;
    void    *parameters;
} network;

static void network_free(network *net)
{
    sg_free(net->node);
    sg_free(net->parameters);
}

/* Takes the first line of *text, without its newline, and moves on behind it; a longer one is cut. */
static const char *next_line(const char **text, char *line, size_t size)
{
    size_t n = strcspn(*text, "\n");
    snprintf(line, size, "%.*s", (int)(n < size ? n : size), *text);
    *text += n + ((*text)[n] == '\n');
    return line;
}

static void set_attribute(sg_node *node, const char *name, double value)
{
    node->attribute[sg_op_attribute(sg_op_get(node->op), name)] = (sg_attribute_value){1, {value}};
}

static sg_dtype network_type(const sg_surrogate *s) { return s->bits == 64 ? SG_F64 : SG_F32; }

/* Version 1: a chain of dense layers, an array for each weight and bias. */
static sg_status read_layers(sg_surrogate *s, const sg_container *file, network *net, sg_error *error)
{
    const char *activation;
    SG_TRY(sg_container_get_text(file, "network/activation", &activation, error));
    const size_t n = count_lines(activation);
    if (n < 1 || n > MAX_LAYERS)
        return bad_entry(file, "network/activation", "expected 1 to 64 lines, one name per layer", error);
    const void *parameter;
    size_t      shape[2] = {n, 0};
    SG_TRY(sg_container_get(file, "network/parameter", SG_F64, 1, shape, &parameter, error));

    const sg_entry *first = sg_container_find(file, "network/weight_0");
    const void     *weight[MAX_LAYERS], *bias[MAX_LAYERS];
    size_t          width[MAX_LAYERS + 1], total = 0;
    s->bits      = first && first->dtype == SG_F64 ? 64 : 32;
    net->n_nodes = n + 1;
    SG_TRY(sg_alloc_array(&net->node, net->n_nodes, sizeof *net->node, "network", error));
    net->node[0].op = SG_OP_input;
    for (size_t l = 0; l < n; l++) {
        char name[64];
        int  kind = sg_activation_find(next_line(&activation, name, sizeof name));
        if (kind < 0)
            return bad_entry(file, "network/activation", "it names an activation this version does not know", error);
        snprintf(name, sizeof name, "network/weight_%zu", l);
        shape[0] = l ? width[l] : SIZE_MAX;
        shape[1] = SIZE_MAX;
        SG_TRY(sg_container_get(file, name, network_type(s), 2, shape, &weight[l], error));
        if (shape[0] < 1 || shape[1] < 1 || shape[0] > MAX_WIDTH || shape[1] > MAX_WIDTH)
            return bad_entry(file, name, "expected 1 to 1048576 rows and columns", error);
        width[l]     = shape[0];
        width[l + 1] = shape[1];
        snprintf(name, sizeof name, "network/bias_%zu", l);
        SG_TRY(sg_container_get(file, name, network_type(s), 1, shape + 1, &bias[l], error));
        total += shape[0] * shape[1] + shape[1];
        sg_node *node = &net->node[l + 1];
        *node         = (sg_node){.op = SG_OP_dense, .n_inputs = 1, .input = {(int)l}};
        set_attribute(node, "units", (double)shape[1]);
        set_attribute(node, "activation", kind);
        set_attribute(node, "parameter", ((const double *)parameter)[l]);
    }
    set_attribute(&net->node[0], "shape", (double)width[0]);

    const size_t size = (size_t)s->bits / 8;
    SG_TRY(sg_alloc_array(&net->parameters, total, size, "network", error));
    char *at = net->parameters;
    for (size_t l = 0; l < n; l++) {
        const size_t weights = width[l] * width[l + 1] * size, biases = width[l + 1] * size;
        memcpy(at, weight[l], weights);
        memcpy(at + weights, bias[l], biases);
        at += weights + biases;
    }
    return SG_OK;
}

/* An attribute of a node: "name=choice", or "name" with n numbers. */
static sg_status read_attribute(const sg_container *file, sg_node *node, const char *line, size_t n, const double *value,
                                sg_error *error)
{
    static const char *const entry = "network/attribute";
    const sg_op             *op    = sg_op_get(node->op);
    const char              *given = strchr(line, '=');
    char                     name[64];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line, "="), line);
    int which = sg_op_attribute(op, name);
    if (which < 0)
        return sg_fail(error, SG_ERR_FORMAT, entry, "this version knows no attribute %s of the operator %s, named in %s", name,
                       op->name, sg_container_path(file));
    sg_attribute_value *to = &node->attribute[which];
    if (!given != (op->attributes[which].type != SG_ATTRIBUTE_CHOICE) || n > SG_MAX_RANK || (!given && n < 1))
        return sg_fail(error, SG_ERR_FORMAT, entry, "the attribute %s of the operator %s is malformed in %s", name, op->name,
                       sg_container_path(file));
    if (!given) {
        to->n = (int)n;
        memcpy(to->v, value, n * sizeof *value);
        return SG_OK;
    }
    const char *const *choices = op->attributes[which].choices;
    for (int k = 0; choices[k]; k++)
        if (strcmp(choices[k], given + 1) == 0) {
            *to = (sg_attribute_value){1, {k}};
            return SG_OK;
        }
    return sg_fail(error, SG_ERR_FORMAT, entry, "this version knows no %s \"%s\" of the operator %s, named in %s", name, given + 1,
                   op->name, sg_container_path(file));
}

/* Since version 2: any graph. */
static sg_status read_nodes(const sg_container *file, network *net, sg_error *error)
{
    const char *op, *attribute;
    SG_TRY(sg_container_get_text(file, "network/op", &op, error));
    SG_TRY(sg_container_get_text(file, "network/attribute", &attribute, error));
    const size_t n = count_lines(op), n_attributes = count_lines(attribute);
    if (n < 2 || n > SG_GRAPH_MAX_NODES)
        return bad_entry(file, "network/op", "expected 2 to 4096 lines, one operator per node", error);
    size_t      n_nodes[1] = {n}, n_edges[1] = {SIZE_MAX}, places[2] = {n_attributes, 2}, n_values[1] = {SIZE_MAX};
    const void *counts_data, *edges_data, *places_data, *values_data;
    SG_TRY(sg_container_get(file, "network/n_inputs", SG_I32, 1, n_nodes, &counts_data, error));
    SG_TRY(sg_container_get(file, "network/input", SG_I32, 1, n_edges, &edges_data, error));
    SG_TRY(sg_container_get(file, "network/attribute_at", SG_I32, 2, places, &places_data, error));
    SG_TRY(sg_container_get(file, "network/attribute_value", SG_F64, 1, n_values, &values_data, error));
    const int32_t *count = counts_data, *edge = edges_data, *place = places_data;
    const double  *value = values_data;

    net->n_nodes = n;
    SG_TRY(sg_alloc_array(&net->node, n, sizeof *net->node, "network", error));
    size_t edges = n_edges[0], values = n_values[0];
    char   line[128];
    for (size_t i = 0; i < n; i++) {
        sg_node *node = &net->node[i];
        if (!sg_op_find(next_line(&op, line, sizeof line), &node->op))
            return sg_fail(error, SG_ERR_FORMAT, "network/op", "this version knows no operator %s, named in %s", line,
                           sg_container_path(file));
        if (count[i] < 0 || count[i] > SG_OP_MAX_INPUTS || (size_t)count[i] > edges)
            return bad_entry(file, "network/n_inputs", "the numbers of inputs do not fit network/input", error);
        node->n_inputs = count[i];
        for (int k = 0; k < count[i]; k++)
            node->input[k] = *edge++;
        edges -= (size_t)count[i];
    }
    if (edges)
        return bad_entry(file, "network/n_inputs", "the numbers of inputs do not fit network/input", error);
    for (size_t k = 0; k < n_attributes; k++, place += 2) {
        if (place[0] < 0 || (size_t)place[0] >= n || place[1] < 0 || (size_t)place[1] > values)
            return bad_entry(file, "network/attribute_at", "a node or a number of values does not exist", error);
        next_line(&attribute, line, sizeof line);
        SG_TRY(read_attribute(file, &net->node[place[0]], line, (size_t)place[1], value, error));
        value += place[1];
        values -= (size_t)place[1];
    }
    return SG_OK;
}

/* Elements of all values of a row and of scratch, a bound of the workspace that a damaged or malicious file could ask for. */
#define MAX_ROW_ELEMENTS ((size_t)1 << 28)

/* Parameters of the nodes, held against what the operators of this version have. */
static sg_status read_parameters(sg_surrogate *s, const sg_container *file, const sg_graph *graph, network *net, sg_error *error)
{
    const sg_entry *all = sg_container_find(file, "network/parameters");
    const void     *sizes_data, *data;
    size_t          n_nodes[1] = {net->n_nodes}, total[1] = {sg_graph_n_parameters(graph)}, elements = 0;
    s->bits = all && all->dtype == SG_F64 ? 64 : 32;
    SG_TRY(sg_container_get(file, "network/n_parameters", SG_I64, 1, n_nodes, &sizes_data, error));
    for (size_t i = 0; i < net->n_nodes; i++) {
        const sg_op_site *site = sg_graph_site(graph, (int)i);
        if (((const int64_t *)sizes_data)[i] != (int64_t)site->parameter_size)
            return sg_fail(error, SG_ERR_FORMAT, "network/n_parameters", "node %zu (%s) has %lld parameters in %s, expected %zu", i,
                           site->op->name, (long long)((const int64_t *)sizes_data)[i], sg_container_path(file),
                           site->parameter_size);
        const size_t parts[] = {site->out_size, site->saved_per_row, site->scratch_per_row, site->scratch_fixed};
        for (int k = 0; k < 4; k++) {
            if (parts[k] > MAX_ROW_ELEMENTS - elements)
                return bad_entry(file, "network/op", "the values of one row are too large", error);
            elements += parts[k];
        }
    }
    SG_TRY(sg_container_get(file, "network/parameters", network_type(s), 1, total, &data, error));
    SG_TRY(sg_alloc_array(&net->parameters, total[0], (size_t)s->bits / 8, "network", error));
    memcpy(net->parameters, data, total[0] * (size_t)s->bits / 8);
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
static void fold(const sg_graph *graph, int node, int bits, const double *scale, const double *shift, void *parameters)
{
    const sg_op_site *site   = sg_graph_site(graph, node);
    const size_t      weight = sg_graph_offset(graph, node) + site->parameter[0].offset;
    const size_t      bias   = sg_graph_offset(graph, node) + site->parameter[1].offset;
    for (size_t k = 0; k < site->in_size[0]; k++)
        for (size_t j = 0; j < site->out_size; j++) {
            size_t at = weight + k * site->out_size + j;
            real_put(parameters, at, bits, real_at(parameters, at, bits) * scale[j]);
        }
    for (size_t j = 0; j < site->out_size; j++)
        real_put(parameters, bias + j, bits, fma(real_at(parameters, bias + j, bits), scale[j], shift[j]));
}

/* The bias is where the sum of a network output starts. A shift that is large against the scale would make
 * every addition round at the size of the shift, so such an output keeps its affine step. */
#define MAX_FOLDED_SHIFT 8.0

/* Puts the decoder's leading affine step into the last layer where that is one: a linear dense layer on a vector. */
static sg_status fold_decoder(sg_surrogate *s, const sg_graph *graph, network *net, sg_error *error)
{
    const int         last = (int)net->n_nodes - 1;
    const sg_op_site *site = sg_graph_site(graph, last);
    if (net->node[last].op != SG_OP_dense || site->out.rank != 1 ||
        site->attribute[sg_op_attribute(site->op, "activation")].v[0] != SG_ACTIVATION_linear ||
        !sg_program_starts_affine(s->decoder))
        return SG_OK;
    double     *scale = NULL, *shift = NULL;
    sg_program *rest   = NULL;
    sg_status   status = sg_alloc_array(&scale, s->n_out, sizeof(double), "decoder", error);
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
        fold(graph, last, s->bits, scale, shift, net->parameters);
        sg_program *whole = s->decoder;
        s->decoder        = rest;
        rest              = whole;
    }
    sg_program_free(rest);
    sg_free(scale);
    sg_free(shift);
    return status;
}

static sg_status build_network(sg_surrogate *s, const sg_container *file, network *net, sg_error *error)
{
    const int any_graph = sg_container_find(file, "network/op") != NULL;
    SG_TRY(any_graph ? read_nodes(file, net, error) : read_layers(s, file, net, error));
    sg_graph *graph;
    SG_TRY(sg_graph_create((int)net->n_nodes, net->node, &graph, error));
    sg_status status = any_graph ? read_parameters(s, file, graph, net, error) : SG_OK;
    s->n_encoded     = sg_graph_n_in(graph);
    s->n_raw         = sg_graph_n_out(graph);
    s->n_parameters  = sg_graph_n_parameters(graph);
    if (status == SG_OK && (s->n_encoded > MAX_WIDTH || s->n_raw > MAX_WIDTH))
        status = bad_entry(file, "network/op", "expected at most 1048576 inputs and outputs", error);
    if (status == SG_OK)
        status = sg_program_from_container(file, "encoder", s->n_in, s->n_encoded, &s->encoder, error);
    if (status == SG_OK)
        status = sg_program_from_container(file, "decoder", s->n_raw, s->n_out, &s->decoder, error);
    if (status == SG_OK)
        status = fold_decoder(s, graph, net, error);
    if (status == SG_OK)
        status = sg_net_create(graph, s->bits, net->parameters, 1, &s->network, error);
    sg_graph_free(graph);
    return status;
}

static sg_status read_network(sg_surrogate *s, const sg_container *file, sg_error *error)
{
    network   net    = {0};
    sg_status status = build_network(s, file, &net, error);
    network_free(&net);
    if (status == SG_OK) {
        s->direct_in  = sg_program_is_identity(s->encoder);
        s->direct_out = sg_program_is_identity(s->decoder);
    }
    return status;
}

static sg_status linear_layer(size_t n_in, size_t n_out, const void *weight, const void *bias, int bits, sg_dense_plan **plan,
                              sg_error *error)
{
    if (bits == 64)
        return sg_dense_plan_create_f64(1, &(sg_dense_layer_f64){n_in, n_out, weight, bias, SG_ACTIVATION_linear, 0}, plan, error);
    return sg_dense_plan_create_f32(1, &(sg_dense_layer_f32){n_in, n_out, weight, bias, SG_ACTIVATION_linear, 0}, plan, error);
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
        status = linear_layer(s->n_encoded, rank, weight, bias, s->bits, &s->whitening, error);
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
