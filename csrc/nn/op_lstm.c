/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"
#include "nn/op_recurrent.h"

static const sg_attribute lstm_attributes[] = {SG_RECURRENT_ATTRIBUTES};

static sg_status lstm_rule(sg_op_site *site, sg_error *error)
{
    SG_TRY(sg_recurrent_rule(site, 4, error));
    const size_t n_steps = site->in[0].dim[0], n_x = site->in[0].dim[1], n_h = sg_op_integer(site, "units");
    const size_t xh = sg_recurrent_xh_row(n_x, n_h), gates = sg_recurrent_gate_row(n_h),
                 h          = sg_recurrent_h_row(n_h);
    site->saved_per_row     = sg_size_mul(n_steps, xh + gates + 2 * h); /* gates, c, tanh(c) */
    site->scratch_per_row   = xh + gates + h;
    site->infer_packed_size = sg_recurrent_panels(n_x + n_h, 4 * n_h);
    site->packed_size       = site->infer_packed_size + sg_recurrent_panels(4 * n_h, n_h) +
                        sg_recurrent_panels(4 * n_h, n_x);
    return SG_OK;
}

const sg_op sg_op_entry_lstm = {
    .name = "lstm",
    .doc  = "Long short-term memory over the steps of an input (steps, channels), starting from zeros.\n\n"
            "i, f, o = sigmoid and g = tanh of x_t W + h_(t-1) U + b; c_t = f c_(t-1) + i g; h_t = o "
            "tanh(c_t). Columns of weight W, recurrent_weight U and bias b in the order i, f, g, o, units "
            "each. PyTorch: W = weight_ih.T, U = weight_hh.T, b = bias_ih + bias_hh, no change of order. "
            "Keras: kernel, recurrent_kernel and bias as they are (it calls g c). ONNX: order i, o, f, g.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(lstm_attributes),
    .attributes    = lstm_attributes,
    .flags         = SG_OP_STEPS_THROUGH_ROWS,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = lstm_rule,
    .example       = sg_recurrent_example,
};
