/* SPDX-License-Identifier: BSD-3-Clause */
#include "nn/op_entry.h"
#include "nn/op_recurrent.h"

static const sg_attribute gru_attributes[] = {SG_RECURRENT_ATTRIBUTES};

static sg_status gru_rule(sg_op_site *site, sg_error *error)
{
    SG_TRY(sg_recurrent_rule(site, 3, error));
    const size_t n_steps = site->in[0].dim[0], n_x = site->in[0].dim[1], n_h = sg_op_integer(site, "units");
    const size_t xh = sg_recurrent_xh_row(n_x, n_h), h = sg_recurrent_h_row(n_h);
    const size_t gates = sg_recurrent_gate_row(n_h);
    sg_op_add_parameter(site, "recurrent_bias", (sg_shape){1, {3 * n_h}}, SG_INIT_ZERO, n_h, n_h);
    site->saved_per_row     = sg_size_mul(n_steps, xh + gates);
    site->scratch_per_row   = xh + gates + h;
    site->infer_packed_size = sg_recurrent_panels(n_x + n_h, 2 * n_h) + sg_recurrent_panels(n_x, n_h) +
                              sg_recurrent_panels(n_h, n_h) + 4 * n_h;
    site->packed_size = site->infer_packed_size + sg_recurrent_panels(3 * n_h, n_h) +
                        sg_recurrent_panels(3 * n_h, n_x);
    return SG_OK;
}

const sg_op sg_op_entry_gru = {
    .name = "gru",
    .doc  = "Gated recurrent unit over the steps of an input (steps, channels), starting from zeros, the "
            "reset gate behind the recurrent product.\n\n"
            "r, z = sigmoid(x_t W + b + h_(t-1) U + d); n = tanh(x_t W + b + r (h_(t-1) U + d)); h_t = (1 - "
            "z) n + z h_(t-1). Columns of weight W, recurrent_weight U, bias b and recurrent_bias d in the "
            "order r, z, n, units each. PyTorch: W = weight_ih.T, U = weight_hh.T, b = bias_ih, d = bias_hh, "
            "no change of order. Keras (reset_after=True): kernel, recurrent_kernel and the two rows of "
            "bias, order z, r, n. ONNX (linear_before_reset=1): order z, r, n.",
    .min_inputs    = 1,
    .max_inputs    = 1,
    .n_attributes  = SG_OP_COUNT_OF(gru_attributes),
    .attributes    = gru_attributes,
    .flags         = SG_OP_STEPS_THROUGH_ROWS,
    .tolerance_f64 = 1e-6,
    .tolerance_f32 = 1e-3,
    .rule          = gru_rule,
    .example       = sg_recurrent_example,
};
