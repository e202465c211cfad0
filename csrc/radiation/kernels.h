/* SPDX-License-Identifier: BSD-3-Clause */
/* What the hot files of this room export, per precision and instruction set. The front end picks; hosts use
 * radiation.h. */
#ifndef SG_RADIATION_KERNELS_H
#define SG_RADIATION_KERNELS_H

#include "base/cpu.h"
#include "radiation/radiation.h"

#define real        float
#define SG_TYPED(n) n##_f32
#include "radiation/kernels_typed.inc.h"
#undef real
#undef SG_TYPED

#define real        double
#define SG_TYPED(n) n##_f64
#include "radiation/kernels_typed.inc.h"
#undef real
#undef SG_TYPED

SG_ISA_DECLARE(sg_optics_kernels_f32, sg_radiation_optics_f32);
SG_ISA_DECLARE(sg_optics_kernels_f64, sg_radiation_optics_f64);
SG_ISA_DECLARE(sg_solver_kernels_f32, sg_radiation_solver_f32);
SG_ISA_DECLARE(sg_solver_kernels_f64, sg_radiation_solver_f64);

#endif
