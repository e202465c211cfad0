/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows over MPI ranks, or all in one process without USE_MPI. Rank 0 reads and writes. */
#ifndef RANKS_H
#define RANKS_H

#include <stddef.h>
#include <string.h>

#include <simgraft/surrogate.h>

#ifdef USE_MPI
#include <mpi.h>

static int    rank, ranks;
static size_t total;

/* First row of rank r: as even as can be, the first ranks have one more. */
static size_t first_row(int r)
{
    size_t each = total / (size_t)ranks, more = total % (size_t)ranks;
    return (size_t)r * each + ((size_t)r < more ? (size_t)r : more);
}

static void ranks_start(int *argc, char ***argv)
{
    MPI_Init(argc, argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
}

static void ranks_stop(void) { MPI_Finalize(); }
static int  ranks_first(void) { return rank == 0; }

static int ranks_any(int failed)
{
    MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, MPI_COMM_WORLD);
    return failed;
}

/* Rows of this rank out of n, which rank 0 knows. */
static size_t ranks_share(size_t n)
{
    unsigned long rows = (unsigned long)n;
    MPI_Bcast(&rows, 1, MPI_UNSIGNED_LONG, 0, MPI_COMM_WORLD);
    total = rows;
    return first_row(rank + 1) - first_row(rank);
}

/* Rows of width numbers from rank 0 to all, by one message each. */
static void ranks_scatter(const double *all, double *mine, size_t width)
{
    size_t rows = first_row(rank + 1) - first_row(rank);
    if (rank != 0)
        MPI_Recv(mine, (int)(rows * width), MPI_DOUBLE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    else
        memcpy(mine, all, rows * width * sizeof *mine);
    for (int r = 1; rank == 0 && r < ranks; r++)
        MPI_Send(all + first_row(r) * width, (int)((first_row(r + 1) - first_row(r)) * width), MPI_DOUBLE, r, 1,
                 MPI_COMM_WORLD);
}

static void ranks_gather(const double *mine, double *all, size_t width)
{
    size_t rows = first_row(rank + 1) - first_row(rank);
    if (rank != 0)
        MPI_Send(mine, (int)(rows * width), MPI_DOUBLE, 0, 2, MPI_COMM_WORLD);
    else
        memcpy(all, mine, rows * width * sizeof *mine);
    for (int r = 1; rank == 0 && r < ranks; r++)
        MPI_Recv(all + first_row(r) * width, (int)((first_row(r + 1) - first_row(r)) * width), MPI_DOUBLE, r, 2,
                 MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}

/* Counts of all ranks on rank 0, in the order of their rows. */
static void ranks_merge(sg_guard *guard)
{
    if (rank != 0)
        MPI_Send(guard, sizeof *guard, MPI_BYTE, 0, 3, MPI_COMM_WORLD);
    for (int r = 1; rank == 0 && r < ranks; r++) {
        sg_guard part;
        MPI_Recv(&part, sizeof part, MPI_BYTE, r, 3, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        sg_guard_merge(guard, &part);
    }
}

#else

static size_t total;

static void ranks_start(int *argc, char ***argv) { (void)argc, (void)argv; }
static void ranks_stop(void) {}
static int  ranks_first(void) { return 1; }
static int  ranks_any(int failed) { return failed; }

static size_t ranks_share(size_t n)
{
    total = n;
    return n;
}

static void ranks_scatter(const double *all, double *mine, size_t width) { memcpy(mine, all, total * width * sizeof *mine); }
static void ranks_gather(const double *mine, double *all, size_t width) { memcpy(all, mine, total * width * sizeof *mine); }
static void ranks_merge(sg_guard *guard) { (void)guard; }

#endif
#endif
