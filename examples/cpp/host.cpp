// SPDX-License-Identifier: BSD-3-Clause
// A host in C++ whose state is a structure of arrays: cells read from standard input, one row of inputs each, outputs
// written the same way. Threads share the surrogate; with MPI, each rank has a share of the cells.
//
//     OMP_NUM_THREADS=2 build/host rates.sg < inputs.txt > outputs.txt
//     mpirun -n 2 build/host_mpi rates.sg < inputs.txt > outputs.txt
#include <algorithm>
#include <cstdio>
#include <exception>
#include <iomanip>
#include <iostream>
#include <vector>

#include <omp.h>
#ifdef USE_MPI
#include <mpi.h>
#endif

#include "surrogate.hpp"

namespace {

struct Ranks {
    int rank = 0, count = 1;
#ifdef USE_MPI
    Ranks(int *argc, char ***argv)
    {
        MPI_Init(argc, argv);
        MPI_Comm_rank(MPI_COMM_WORLD, &rank);
        MPI_Comm_size(MPI_COMM_WORLD, &count);
    }
    ~Ranks() { MPI_Finalize(); }
    void broadcast(std::vector<double> &values) const
    {
        unsigned long size = values.size();
        MPI_Bcast(&size, 1, MPI_UNSIGNED_LONG, 0, MPI_COMM_WORLD);
        values.resize(size);
        MPI_Bcast(values.data(), static_cast<int>(size), MPI_DOUBLE, 0, MPI_COMM_WORLD);
    }
    // Every cell was computed by one rank and has no bit set elsewhere: the bits of all ranks together are the values.
    void join(std::vector<double> &values, unsigned long &outside) const
    {
        MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size() * sizeof(double)), MPI_BYTE, MPI_BOR,
                      MPI_COMM_WORLD);
        MPI_Allreduce(MPI_IN_PLACE, &outside, 1, MPI_UNSIGNED_LONG, MPI_SUM, MPI_COMM_WORLD);
    }
#else
    Ranks(int *, char ***) {}
    void broadcast(std::vector<double> &) const {}
    void join(std::vector<double> &, unsigned long &) const {}
#endif
};

// Cells first ... last - 1 of all n, by all threads; returns the number of cells outside the domain.
unsigned long evaluate(const graft::Surrogate &surrogate, std::size_t n, std::size_t first, std::size_t last,
                       const double *in, double *out)
{
    constexpr std::size_t block   = 256;
    unsigned long         outside = 0;
    std::exception_ptr    failure; // an exception must not leave the parallel region
#pragma omp parallel reduction(+ : outside)
    {
        try {
            graft::Evaluator evaluator(surrogate);
            std::size_t      thread = omp_get_thread_num(), threads = omp_get_num_threads();
            for (std::size_t cell = first + block * thread; cell < last; cell += block * threads)
                evaluator(std::min(block, last - cell), in + cell, out + cell, n);
            outside += evaluator.guard.n_outside;
        } catch (...) {
#pragma omp critical
            failure = std::current_exception();
        }
    }
    if (failure)
        std::rethrow_exception(failure);
    return outside;
}

std::vector<double> read_numbers(std::istream &stream)
{
    std::vector<double> numbers;
    for (double number; stream >> number;)
        numbers.push_back(number);
    return numbers;
}

void run(const Ranks &ranks, const char *path)
{
    graft::Surrogate  surrogate(path);
    sg_surrogate_info info = surrogate.describe();
    if (ranks.rank == 0)
        std::cerr << "surrogate of " << info.name << ' ' << info.version << ": " << info.n_in << " inputs, " << info.n_out
                  << " outputs\n";

    std::vector<double> rows;
    if (ranks.rank == 0)
        rows = read_numbers(std::cin);
    ranks.broadcast(rows);
    std::size_t         n = rows.size() / info.n_in;
    std::vector<double> in(n * info.n_in), out(n * info.n_out, 0.0); // variable after variable
    for (std::size_t i = 0; i < n; i++)
        for (std::size_t j = 0; j < info.n_in; j++)
            in[j * n + i] = rows[i * info.n_in + j];

    std::size_t   first = n * ranks.rank / ranks.count, last = n * (ranks.rank + 1) / ranks.count;
    unsigned long outside = evaluate(surrogate, n, first, last, in.data(), out.data());
    ranks.join(out, outside);
    if (ranks.rank != 0)
        return;
    std::cout << std::setprecision(17);
    for (std::size_t i = 0; i < n; i++)
        for (std::size_t j = 0; j < info.n_out; j++)
            std::cout << out[j * n + i] << (j + 1 < info.n_out ? ' ' : '\n');
    std::cerr << n << " rows, " << outside << " outside the domain\n";
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 2) {
        std::cerr << "usage: " << argv[0] << " FILE.sg < inputs > outputs\n";
        return 2;
    }
    Ranks ranks(&argc, &argv);
    try {
        run(ranks, argv[1]);
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
