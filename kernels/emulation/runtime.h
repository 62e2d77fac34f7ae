/* SPDX-License-Identifier: Apache-2.0
 *
 * The host side of CUDA that launchers and back ends use, under its own names but with C++ linkage,
 * so that the real runtime can stand in the same program. Work is queued and runs when somebody
 * waits or asks for it, or, with a seed, at random moments before: who reads results too early,
 * or changes what is still to be copied, gets wrong ones here as well.
 *
 * Stricter than CUDA: asynchronous copies want pinned host memory (allocated or registered here);
 * device memory can be touched by the host in no other way than by copies (it faults). A fault in
 * a kernel is returned by every later call until cudaDeviceReset(). All calls may come from any
 * thread; one at a time gets on.
 */
#ifndef MR_EMULATION_RUNTIME_H
#define MR_EMULATION_RUNTIME_H

#include "kernels/emulation/grid.h"

#include <cstddef>
#include <cstdint>

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorNotReady = 600,
    cudaErrorLaunchFailure = 719,
    cudaErrorStreamCaptureInvalidated = 901
};

enum cudaMemcpyKind {
    cudaMemcpyHostToHost = 0,
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost = 2,
    cudaMemcpyDeviceToDevice = 3
};

enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal = 0,
    cudaStreamCaptureModeThreadLocal = 1,
    cudaStreamCaptureModeRelaxed = 2
};

enum cudaDeviceAttr {
    cudaDevAttrMultiProcessorCount = 16,
    cudaDevAttrMaxSharedMemoryPerBlockOptin = 97
};

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
struct cudaFuncAttributes {
    int maxDynamicSharedSizeBytes;
};

static const unsigned cudaHostAllocDefault = 0, cudaHostAllocMapped = 2;
static const unsigned cudaHostRegisterDefault = 0, cudaHostRegisterMapped = 2;
static const unsigned cudaStreamDefault = 0, cudaStreamNonBlocking = 1;
static const unsigned cudaEventDefault = 0, cudaEventDisableTiming = 2;
static const unsigned cudaEventRecordDefault = 0, cudaEventRecordExternal = 1;

typedef struct mr_emu_stream *cudaStream_t; /* NULL: the default stream, after all others' work */
typedef struct mr_emu_event *cudaEvent_t;
typedef struct mr_emu_graph *cudaGraph_t;
typedef struct mr_emu_graph *cudaGraphExec_t;

cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);

cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaDeviceReset(void); /* frees all memory; streams, events and graphs stay usable */

cudaError_t cudaMalloc(void **at, size_t bytes);
cudaError_t cudaFree(void *at);
cudaError_t cudaHostAlloc(void **at, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *at);
cudaError_t cudaHostRegister(void *at, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void *at);
cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned flags);

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemset(void *at, int value, size_t bytes);
cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream);

cudaError_t cudaStreamCreate(cudaStream_t *stream);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream); /* runs one piece of work */
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

cudaError_t cudaEventCreate(cudaEvent_t *event);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream = nullptr);
/* cudaEventRecordExternal: in a capture, where each launch of the graph is to record it. */
cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags);
cudaError_t cudaEventQuery(cudaEvent_t event); /* runs one piece of work */
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end);

/* One stream is captured, without others that join it by events. */
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec);

cudaError_t mr_emu_func_attribute(const void *kernel, cudaFuncAttribute attribute, int value);
template <typename... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute attribute, int value)
{
    return mr_emu_func_attribute(reinterpret_cast<const void *>(kernel), attribute, value);
}

/* Loads the kernel, as the driver otherwise does at its first launch. */
cudaError_t mr_emu_func_load(cudaFuncAttributes *attributes, const void *kernel);
template <typename... P>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, void (*kernel)(P...))
{
    return mr_emu_func_load(attributes, reinterpret_cast<const void *>(kernel));
}

/* What MR_LAUNCH() becomes: copies the arguments; an error is found by cudaGetLastError(). */
void mr_emu_enqueue_kernel(const struct emu_grid &grid, const void *kernel, const void *arguments,
                           size_t bytes, cudaStream_t stream);

#endif
