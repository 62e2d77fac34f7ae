/* SPDX-License-Identifier: Apache-2.0
 *
 * Errors, memory calls and the pieces of work of the emulated device: copies, fills, kernels.
 */
#include "kernels/emulation/runtime.h"

#include "kernels/emulation/control.h"
#include "kernels/emulation/memory.h"
#include "kernels/emulation/watch.h"
#include "kernels/emulation/work.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

/* The one device of the process. */
struct emu_device emu_device = {};

#define SHARED_BYTES_DEFAULT (48u * 1024) /* beyond it a kernel must be allowed to */
#define KERNELS_MAX          64

static struct kernel {
    const void *at;
    size_t shared_bytes; /* 0: as any */
    bool loaded;
} kernels[KERNELS_MAX];
static uint32_t n_kernels, n_unloaded;
static uint32_t shared_bytes_max = EMU_SHARED_BYTES_MAX;

static thread_local cudaError_t last_error;

cudaError_t emu_error(cudaError_t error)
{
    if (error == cudaSuccess)
        error = emu_device.fault;
    if (error != cudaSuccess && error != cudaErrorNotReady)
        last_error = error;
    return error;
}

cudaError_t cudaGetLastError(void)
{
    struct emu_locked locked;
    cudaError_t error = emu_device.fault != cudaSuccess ? emu_device.fault : last_error;

    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void)
{
    struct emu_locked locked;
    return emu_device.fault != cudaSuccess ? emu_device.fault : last_error;
}

#define ERRORS(X)                                                                                  \
    X(cudaSuccess, "no error")                                                                     \
    X(cudaErrorInvalidValue, "invalid argument")                                                   \
    X(cudaErrorMemoryAllocation, "out of memory")                                                  \
    X(cudaErrorInvalidConfiguration, "invalid configuration argument")                             \
    X(cudaErrorNotReady, "device not ready")                                                       \
    X(cudaErrorLaunchFailure, "unspecified launch failure")                                        \
    X(cudaErrorStreamCaptureInvalidated, "operation not permitted while a stream is captured")

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define X(name, text)                                                                              \
    case name:                                                                                     \
        return #name;
        ERRORS(X)
#undef X
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
#define X(name, text)                                                                              \
    case name:                                                                                     \
        return text;
        ERRORS(X)
#undef X
    }
    return "unrecognized error code";
}

extern "C" void mr_emulation_seed(uint64_t seed)
{
    struct emu_locked locked;
    emu_device.random = seed;
}

extern "C" size_t mr_emulation_report(char *text, size_t bytes)
{
    struct emu_locked locked;
    if (bytes != 0)
        snprintf(text, bytes, "%s", emu_device.report);
    return strlen(emu_device.report);
}

extern "C" void mr_emulation_watch(uint32_t one_grid_in)
{
    struct emu_locked locked;
    watch_one_in(one_grid_in);
}

extern "C" void mr_emulation_fail(void)
{
    struct emu_locked locked;
    emu_device.fault = cudaErrorLaunchFailure;
}

extern "C" void mr_emulation_shared(uint32_t bytes)
{
    struct emu_locked locked;
    shared_bytes_max = bytes != 0 ? bytes : EMU_SHARED_BYTES_MAX;
}

extern "C" uint32_t mr_emulation_unloaded(void)
{
    struct emu_locked locked;
    return n_unloaded;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    *n = 1;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    return emu_error(device == 0 ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    if (device != 0)
        return emu_error(cudaErrorInvalidValue);
    /* few processors, so that grids made for the device stay small here */
    *value = attribute == cudaDevAttrMultiProcessorCount ? 2 : static_cast<int>(shared_bytes_max);
    return cudaSuccess;
}

cudaError_t cudaDeviceReset(void)
{
    struct emu_locked locked;

    emu_drop_all();
    memory_free_all();
    memset(kernels, 0, sizeof(kernels)); /* what they were allowed is forgotten */
    n_kernels = 0;
    emu_device.fault = cudaSuccess;
    emu_device.report[0] = '\0';
    last_error = cudaSuccess;
    return cudaSuccess;
}

/* ---- memory ---- */

static cudaError_t alloc(void **at, size_t bytes, enum memory_kind kind)
{
    struct emu_locked locked;

    *at = bytes != 0 ? memory_alloc(bytes, kind) : nullptr;
    return emu_error(*at == nullptr && bytes != 0 ? cudaErrorMemoryAllocation : cudaSuccess);
}

/* What is freed may still be in use by queued work, which is done first. */
static cudaError_t release(void *at, enum memory_kind kind)
{
    struct emu_locked locked;

    if (at == nullptr)
        return emu_error(cudaSuccess);
    emu_run_all();
    return emu_error(memory_free(at, kind) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMalloc(void **at, size_t bytes)
{
    return alloc(at, bytes, MEMORY_DEVICE);
}

cudaError_t cudaFree(void *at)
{
    return release(at, MEMORY_DEVICE);
}

cudaError_t cudaHostAlloc(void **at, size_t bytes, unsigned)
{
    return alloc(at, bytes, MEMORY_HOST);
}

cudaError_t cudaFreeHost(void *at)
{
    return release(at, MEMORY_HOST);
}

cudaError_t cudaHostRegister(void *at, size_t bytes, unsigned)
{
    struct emu_locked locked;

    if (at == nullptr || bytes == 0)
        return emu_error(cudaErrorInvalidValue);
    return emu_error(memory_register(at, bytes) ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaHostUnregister(void *at)
{
    return release(at, MEMORY_REGISTERED);
}

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned)
{
    struct emu_locked locked;

    *device = host;
    return emu_error(memory_is_pinned(host, 1) ? cudaSuccess : cudaErrorInvalidValue);
}

/* Are both ends of a copy where its kind says? Says in the report which is not. */
static bool copy_is_sound(const void *to, const void *from, size_t bytes, int kind, bool async)
{
    const struct {
        const void *at;
        bool device;
        const char *name;
    } ends[2] = {{to, (kind & 1) != 0, "destination"}, {from, (kind & 2) != 0, "source"}};

    if (kind < 0 || kind > 3)
        return false;
    for (int i = 0; i < 2; i++) {
        const char *wrong = nullptr;
        if (ends[i].device && !memory_is_device(ends[i].at, bytes))
            wrong = "is not within one piece of device memory";
        else if (!ends[i].device && memory_touches_device(ends[i].at, bytes))
            wrong = "is device memory";
        else if (!ends[i].device && async && !memory_is_pinned(ends[i].at, bytes))
            wrong = "is not pinned";
        if (wrong == nullptr)
            continue;
        snprintf(emu_device.report, sizeof(emu_device.report), "copy of %zu bytes: the %s %s",
                 bytes, ends[i].name, wrong);
        return false;
    }
    return true;
}

struct copy {
    void *to;
    const void *from;
    size_t bytes;
    int value; /* of a fill */
};

static bool run_copy(const struct emu_work *, const void *arguments)
{
    const struct copy *c = static_cast<const struct copy *>(arguments);
    memory_open();
    memmove(c->to, c->from, c->bytes);
    memory_close();
    return true;
}

static bool run_fill(const struct emu_work *, const void *arguments)
{
    const struct copy *c = static_cast<const struct copy *>(arguments);
    memory_open();
    memset(c->to, c->value, c->bytes);
    memory_close();
    return true;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    struct emu_locked locked;
    const struct copy c = {to, from, bytes, 0};
    struct emu_work work = {};

    if (bytes == 0)
        return emu_error(cudaSuccess);
    if (!copy_is_sound(to, from, bytes, kind, true))
        return emu_error(cudaErrorInvalidValue);
    work.run = run_copy;
    return emu_error(emu_enqueue(stream, work, &c, sizeof(c)));
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    struct emu_locked locked;
    const struct copy c = {to, from, bytes, 0};

    if (bytes != 0 && !copy_is_sound(to, from, bytes, kind, false))
        return emu_error(cudaErrorInvalidValue);
    emu_run_all();
    if (bytes != 0 && emu_device.fault == cudaSuccess)
        run_copy(nullptr, &c);
    return emu_error(cudaSuccess);
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream)
{
    struct emu_locked locked;
    const struct copy c = {at, nullptr, bytes, value};
    struct emu_work work = {};

    if (bytes == 0)
        return emu_error(cudaSuccess);
    if (!memory_is_device(at, bytes))
        return emu_error(cudaErrorInvalidValue);
    work.run = run_fill;
    return emu_error(emu_enqueue(stream, work, &c, sizeof(c)));
}

cudaError_t cudaMemset(void *at, int value, size_t bytes)
{
    cudaError_t error = cudaMemsetAsync(at, value, bytes, nullptr);
    return error != cudaSuccess ? error : cudaDeviceSynchronize();
}

/* ---- kernels ---- */

/* What is known of it; NULL: there are too many. */
static struct kernel *kernel_of(const void *at)
{
    uint32_t i = 0;

    while (i < n_kernels && kernels[i].at != at)
        i++;
    if (i == KERNELS_MAX)
        return nullptr;
    kernels[i].at = at;
    n_kernels += i == n_kernels;
    return &kernels[i];
}

static size_t shared_limit(const void *at)
{
    const struct kernel *kernel = kernel_of(at);
    return kernel != nullptr && kernel->shared_bytes != 0 ? kernel->shared_bytes
                                                          : SHARED_BYTES_DEFAULT;
}

cudaError_t mr_emu_func_attribute(const void *at, cudaFuncAttribute attribute, int value)
{
    struct emu_locked locked;
    struct kernel *kernel = kernel_of(at);

    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        static_cast<uint32_t>(value) > shared_bytes_max || kernel == nullptr)
        return emu_error(cudaErrorInvalidValue);
    kernel->shared_bytes = static_cast<size_t>(value);
    return emu_error(cudaSuccess);
}

cudaError_t mr_emu_func_load(cudaFuncAttributes *attributes, const void *at)
{
    struct emu_locked locked;
    struct kernel *kernel = kernel_of(at);

    if (kernel == nullptr)
        return emu_error(cudaErrorInvalidValue);
    kernel->loaded = true;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(shared_limit(at));
    return emu_error(cudaSuccess);
}

static bool run_kernel(const struct emu_work *work, const void *arguments)
{
    struct emu_grid grid = work->grid;
    const void *overwritten;
    uint64_t seed = emu_device.random != 0 ? emu_random(&emu_device.random) | 1 : 0;
    bool good;

    if (grid.shared_bytes > shared_limit(work->kernel)) {
        snprintf(emu_device.report, sizeof(emu_device.report),
                 "kernel %s: what shared memory it may have was lowered after its launch",
                 grid.kernel);
        return false;
    }
    grid.arguments = arguments;
    memory_open();
    good = grid_run(&grid, seed, emu_device.report, sizeof(emu_device.report));
    overwritten = memory_overwritten();
    memory_close();
    if (good && overwritten != nullptr) {
        snprintf(emu_device.report, sizeof(emu_device.report),
                 "kernel %s wrote beyond the bounds of the memory at %p", grid.kernel, overwritten);
        good = false;
    }
    return good;
}

void mr_emu_enqueue_kernel(const struct emu_grid &grid, const void *kernel, const void *arguments,
                           size_t bytes, cudaStream_t stream)
{
    struct emu_locked locked;
    struct emu_work work = {};

    if (grid.n_blocks == 0 || grid.n_blocks > INT32_MAX || grid.n_threads == 0 ||
        grid.n_threads > EMU_THREADS_MAX || grid.n_threads % 32 != 0) {
        emu_error(cudaErrorInvalidConfiguration);
        return;
    }
    if (grid.shared_bytes > shared_limit(kernel)) {
        emu_error(cudaErrorInvalidValue);
        return;
    }
    struct kernel *known = kernel_of(kernel);
    if (known != nullptr && !known->loaded) {
        known->loaded = true;
        n_unloaded++;
    }
    work.run = run_kernel;
    work.grid = grid;
    work.kernel = kernel;
    emu_error(emu_enqueue(stream, work, arguments, bytes));
}
