/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/attention_rows.h"
#include "nn/ops.h"

enum { KEY, VALUE, MASK }; /* inputs     */
enum { HEADS, QUERIES };   /* attributes */

static sg_attention sizes_of(const sg_op_call *call)
{
    const sg_op_site *site = call->site;
    return (sg_attention){(size_t)site->attribute[QUERIES].v[0], site->in[KEY].dim[0],
                          (size_t)site->attribute[HEADS].v[0], site->in[KEY].dim[1], site->in[VALUE].dim[1]};
}

static sg_attention_row row_of(const sg_op_call *call, const sg_attention *s, size_t row)
{
    return sg_attention_row_of(call, s, row, call->parameters, KEY);
}

static void forward(const sg_op_call *call)
{
    const sg_attention s = sizes_of(call);
    for (size_t row = 0; row < call->n_rows; row++) {
        const sg_attention_row r = row_of(call, &s, row);
        sg_attention_forward(&s, &r, (real *)call->out + row * call->site->out_size);
    }
}

static void backward(const sg_op_call *call)
{
    const sg_attention s = sizes_of(call);
    sg_attention_clear(call);
    for (size_t row = 0; row < call->n_rows; row++) {
        const sg_attention_row r = row_of(call, &s, row);
        real                  *d[2];
        for (int i = KEY; i <= VALUE; i++)
            d[i] = call->d_in[i] ? (real *)call->d_in[i] + row * call->site->in_size[i] : NULL;
        sg_attention_backward(&s, &r, (const real *)call->d_out + row * call->site->out_size,
                              call->d_parameters, d[KEY], d[VALUE]);
    }
}

static void tangent(const sg_op_call *call)
{
    const sg_attention s = sizes_of(call);
    for (size_t row = 0; row < call->n_rows; row++) {
        const sg_attention_row r = row_of(call, &s, row);
        sg_attention_tangent(&s, &r, NULL, (const real *)call->t_in[KEY] + row * call->site->in_size[KEY],
                             (const real *)call->t_in[VALUE] + row * call->site->in_size[VALUE],
                             (real *)call->t_out + row * call->site->out_size);
    }
}

const sg_op_kernel SG_HOT(sg_op_kernel_attention_pool) = {NULL, forward, backward, tangent};
