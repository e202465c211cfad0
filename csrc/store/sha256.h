/* SPDX-License-Identifier: BSD-3-Clause */
/* SHA-256 (FIPS 180-4), streaming. Uses the SHA instructions where the CPU has
 * them (not under SIMGRAFT_ISA=portable); the plain C version is the reference. */
#ifndef SG_STORE_SHA256_H
#define SG_STORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SG_SHA256_BYTES 32

typedef struct sg_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;    /* hashed so far */
    uint8_t  block[64];  /* the part of a block that waits for more */
} sg_sha256;

void sg_sha256_init(sg_sha256 *hash);
void sg_sha256_update(sg_sha256 *hash, const void *data, size_t n_bytes);
void sg_sha256_final(sg_sha256 *hash, uint8_t digest[SG_SHA256_BYTES]);

/* 64 lower-case hexadecimal digits and a NUL. */
void sg_sha256_hex(const uint8_t digest[SG_SHA256_BYTES], char text[2 * SG_SHA256_BYTES + 1]);

#endif
