/* SPDX-License-Identifier: BSD-3-Clause */
/* Which elements are dropped is drawn again in backward: ten rounds of Philox for four elements cost less
 * than their memory. */
#include "nn/op_linear.h"
#include "nn/op_random.h"

#include "base/simd.h"

enum { BLOCKS = 64, WORDS = 4 * BLOCKS }; /* Philox blocks of one round: their words stay in L1 */

/* to = from / (1 - rate) where the word of an element is not below rate 2^32, else 0; added if add. */
static void drop(const sg_op_call *call, const real *from, real *to, int add)
{
    const size_t   n_row = call->site->out_size, n = call->n_rows * n_row;
    const double   rate   = call->site->attribute[0].v[0];
    const real     scale  = (real)(1 / (1 - rate));
    const uint32_t least  = (uint32_t)(rate * 0x1p32);
    const uint64_t stream = sg_op_random_stream(&call->random);
    const uint64_t first  = sg_op_random_first(&call->random, n_row);
    uint32_t       word[WORDS];
    for (size_t done = 0; done < n;) {
        const uint64_t block = (first + done) / 4;
        for (size_t j = 0; j < BLOCKS; j++) {
            const sg_philox_block b = sg_philox(call->random.seed, stream, block + j);
            for (size_t k = 0; k < 4; k++)
                word[4 * j + k] = b.word[k];
        }
        const uint32_t *w    = word + (first + done) % 4;
        const size_t    left = n - done, ready = WORDS - (first + done) % 4, m = left < ready ? left : ready;
        for (size_t i = 0; i < m; i++) {
            const real kept = w[i] >= least ? from[done + i] * scale : 0;
            to[done + i]    = add ? to[done + i] + kept : kept;
        }
        done += m;
    }
}

static void pass_on(const sg_op_call *call, const real *from, real *to, int add)
{
    const size_t n = call->n_rows * call->site->out_size;
    if (!add) {
        memcpy(to, from, n * sizeof *to);
        return;
    }
    for (size_t i = 0; i < n; i++)
        to[i] += from[i];
}

static void forward(const sg_op_call *call)
{
    (call->training ? drop : pass_on)(call, call->in[0], call->out, 0);
}

static void backward(const sg_op_call *call)
{
    if (call->d_in[0])
        (call->training ? drop : pass_on)(call, call->d_out, call->d_in[0], call->add_in[0]);
}

static void tangent(const sg_op_call *call) { sg_op_linear_tangent(forward, call); }

const sg_op_kernel SG_HOT(sg_op_kernel_dropout) = {NULL, forward, backward, tangent};
