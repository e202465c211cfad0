// SPDX-License-Identifier: BSD-3-Clause
// A surrogate as a C++ object: opened in the constructor, closed in the destructor, errors as exceptions.
// Copy this file into your code and change it as you like.
#pragma once

#include <cstddef>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <simgraft/simgraft.h>

namespace graft {

class Error : public std::runtime_error {
public:
    explicit Error(sg_status status, const std::string &message) : std::runtime_error(message), status(status) {}
    sg_status status;
};

class Surrogate {
public:
    explicit Surrogate(const std::string &path)
    {
        sg_error      error;
        sg_surrogate *opened = nullptr;
        if (sg_surrogate_open(path.c_str(), &opened, &error) != SG_OK)
            throw Error(error.status, error.message);
        handle.reset(opened);
    }

    sg_surrogate_info     describe() const { return sg_surrogate_describe(handle.get()); }
    sg_surrogate_variable input(std::size_t i) const { return sg_surrogate_input(handle.get(), i); }
    sg_surrogate_variable output(std::size_t i) const { return sg_surrogate_output(handle.get(), i); }
    const sg_surrogate   *get() const { return handle.get(); }

private:
    struct Close {
        void operator()(sg_surrogate *surrogate) const { sg_surrogate_close(surrogate); }
    };
    std::unique_ptr<sg_surrogate, Close> handle;
};

// What one thread needs beside the surrogate, which all share: workspace and guard. Must not outlive the surrogate.
class Evaluator {
public:
    explicit Evaluator(const Surrogate &surrogate)
        : surrogate(surrogate.get()), workspace(sg_surrogate_workspace_bytes(surrogate.get()))
    {
        sg_guard_init(&guard);
    }

    // n cells. Input variable j of cell i is in[j * stride + i], output variable j is out[j * stride + i]: arrays over
    // the cells, one after the other, as most codes hold their state.
    void operator()(std::size_t n, const double *in, double *out, std::size_t stride)
    {
        auto      step   = static_cast<std::ptrdiff_t>(stride);
        sg_status status = sg_surrogate_eval_f64(surrogate, n, in, 1, step, out, 1, step, workspace.data(), &guard);
        if (status == SG_OK)
            return;
        sg_error error;
        if (guard.policy == SG_GUARD_STOP && sg_guard_explain(surrogate, &guard, &error) != SG_OK)
            throw Error(status, error.message);
        throw Error(status, sg_status_text(status));
    }

    sg_guard guard; // wishes and counts

private:
    const sg_surrogate    *surrogate;
    std::vector<std::byte> workspace;
};

} // namespace graft
