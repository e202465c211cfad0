/* SPDX-License-Identifier: BSD-3-Clause */
#include "store/sha256.h"

#include <stdatomic.h>
#include <string.h>

#include "base/cpu.h"

static const uint32_t round_constant[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

/* FIPS 180-4, section 6.2.2. */
static void blocks_reference(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    for (; n_blocks; n_blocks--, data += 64) {
        uint32_t w[64];
        for (int t = 0; t < 16; t++)
            w[t] = (uint32_t)data[4 * t] << 24 | (uint32_t)data[4 * t + 1] << 16 | (uint32_t)data[4 * t + 2] << 8 |
                   data[4 * t + 3];
        for (int t = 16; t < 64; t++) {
            uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ (w[t - 15] >> 3);
            uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ (w[t - 2] >> 10);
            w[t]        = w[t - 16] + s0 + w[t - 7] + s1;
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6],
                 h = state[7];
        for (int t = 0; t < 64; t++) {
            uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
                          round_constant[t] + w[t];
            uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g,
            state[7] += h;
    }
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* The SHA instructions hold the state as (a b e f) and (c d g h) and do two rounds each. */
__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_sha_ni(uint32_t state[8], const uint8_t *data,
                                                                      size_t n_blocks)
{
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
    __m128i dcba = _mm_loadu_si128((const __m128i *)state), hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; n_blocks; n_blocks--, data += 64) {
        __m128i abef_0 = abef, cdgh_0 = cdgh, w[4];
        for (int i = 0; i < 4; i++)
            w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
            __m128i now = w[i % 4];
            __m128i sum = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)(round_constant + 4 * i)));
            cdgh        = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef        = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
            if (i < 12) { /* words of four rounds, sixteen rounds on */
                __m128i mid  = _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4);
                __m128i sum0 = _mm_add_epi32(_mm_sha256msg1_epu32(now, w[(i + 1) % 4]), mid);
                w[i % 4]     = _mm_sha256msg2_epu32(sum0, w[(i + 3) % 4]);
            }
        }
        abef = _mm_add_epi32(abef, abef_0);
        cdgh = _mm_add_epi32(cdgh, cdgh_0);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* -1: not asked yet (cpuid traps in virtual machines, so it is asked once). */
static atomic_int cpu_has_sha = -1;

static int use_sha_ni(void)
{
    int has = atomic_load_explicit(&cpu_has_sha, memory_order_relaxed);
    if (has < 0) {
        unsigned a, b, c, d;
        has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1) && __builtin_cpu_supports("sse4.1");
        atomic_store_explicit(&cpu_has_sha, has, memory_order_relaxed);
    }
    return has && sg_cpu_isa() != SG_ISA_PORTABLE;
}
#endif

static void blocks(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
#if defined(__x86_64__)
    if (use_sha_ni()) {
        blocks_sha_ni(state, data, n_blocks);
        return;
    }
#endif
    blocks_reference(state, data, n_blocks);
}

void sg_sha256_init(sg_sha256 *hash)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(hash->state, start, sizeof start);
    hash->n_bytes = 0;
}

void sg_sha256_update(sg_sha256 *hash, const void *data, size_t n_bytes)
{
    const uint8_t *p    = data;
    size_t         have = hash->n_bytes % 64;
    hash->n_bytes += n_bytes;
    if (have) {
        size_t take = n_bytes < 64 - have ? n_bytes : 64 - have;
        memcpy(hash->block + have, p, take);
        p += take, n_bytes -= take, have += take;
        if (have < 64)
            return;
        blocks(hash->state, hash->block, 1);
    }
    if (n_bytes / 64)
        blocks(hash->state, p, n_bytes / 64);
    if (n_bytes % 64)
        memcpy(hash->block, p + n_bytes / 64 * 64, n_bytes % 64);
}

void sg_sha256_final(sg_sha256 *hash, uint8_t digest[SG_SHA256_BYTES])
{
    uint64_t n_bits   = 8 * hash->n_bytes;
    uint8_t  tail[72] = {0x80};
    size_t   zeros    = (hash->n_bytes % 64 < 56 ? 55 : 119) - hash->n_bytes % 64;
    for (int i = 0; i < 8; i++)
        tail[1 + zeros + i] = (uint8_t)(n_bits >> (56 - 8 * i));
    sg_sha256_update(hash, tail, 1 + zeros + 8);
    for (int i = 0; i < 32; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void sg_sha256_hex(const uint8_t digest[SG_SHA256_BYTES], char text[2 * SG_SHA256_BYTES + 1])
{
    for (int i = 0; i < SG_SHA256_BYTES; i++) {
        text[2 * i]     = "0123456789abcdef"[digest[i] >> 4];
        text[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    text[2 * SG_SHA256_BYTES] = 0;
}
