/* SPDX-License-Identifier: Apache-2.0
 *
 * The runtime's calls under C names; no kernels.
 */
#include "kernels/device.cuh"
#include "kernels/device.h"

static int code(cudaError_t error)
{
    if (error != cudaSuccess)
        (void)cudaGetLastError(); /* it is told here and not again at somebody else's call */
    return static_cast<int>(error);
}

static int count(int *n)
{
    return code(cudaGetDeviceCount(n));
}

static int use(int which)
{
    (void)cudaGetLastError(); /* what was told already is not the next launch's */
    return code(cudaSetDevice(which));
}

static int processors(int which, int *n)
{
    return code(cudaDeviceGetAttribute(n, cudaDevAttrMultiProcessorCount, which));
}

#define TEXT_OF(number) #number
#define TEXT(number)    TEXT_OF(number)

static const char *error_text(int error)
{
#ifdef __CUDACC__
    int driver = 0;

    if (error == cudaErrorInsufficientDriver) /* so it says also where there is none */
        return cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0
                   ? "there is no NVIDIA driver"
                   : "the NVIDIA driver is too old: this build wants one for CUDA " TEXT(
                         __CUDACC_VER_MAJOR__) " or newer";
    if (error == cudaErrorNoKernelImageForDevice)
        return "this build has no code for such a GPU: it wants one of compute capability 8.0 or "
               "newer";
#endif
    return cudaGetErrorString(static_cast<cudaError_t>(error));
}

static int reset(void)
{
    return code(cudaDeviceReset());
}

static int alloc(void **at, size_t bytes)
{
    return code(cudaMalloc(at, bytes != 0 ? bytes : 16));
}

static int free_memory(void *at)
{
    return code(cudaFree(at));
}

static int host_alloc(void **at, size_t bytes)
{
    return code(cudaHostAlloc(at, bytes != 0 ? bytes : 16, cudaHostAllocDefault));
}

static int host_free(void *at)
{
    return code(cudaFreeHost(at));
}

static int stream_new(void **stream)
{
    cudaStream_t made = nullptr;
    cudaError_t error = cudaStreamCreateWithFlags(&made, cudaStreamNonBlocking);

    *stream = made;
    return code(error);
}

static int stream_free(void *stream)
{
    return code(cudaStreamDestroy(static_cast<cudaStream_t>(stream)));
}

static int copy_in(void *device, const void *pinned, size_t bytes, void *stream)
{
    if (bytes == 0)
        return 0;
    return code(cudaMemcpyAsync(device, pinned, bytes, cudaMemcpyHostToDevice,
                                static_cast<cudaStream_t>(stream)));
}

static int copy_out(void *pinned, const void *device, size_t bytes, void *stream)
{
    if (bytes == 0)
        return 0;
    return code(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost,
                                static_cast<cudaStream_t>(stream)));
}

static int clear(void *device, size_t bytes, void *stream)
{
    if (bytes == 0)
        return 0;
    return code(cudaMemsetAsync(device, 0, bytes, static_cast<cudaStream_t>(stream)));
}

static int event_new(void **event)
{
    cudaEvent_t made = nullptr;
    cudaError_t error = cudaEventCreateWithFlags(&made, cudaEventDefault);

    *event = made;
    return code(error);
}

static int event_free(void *event)
{
    return code(cudaEventDestroy(static_cast<cudaEvent_t>(event)));
}

static int record(void *event, void *stream)
{
    return code(
        cudaEventRecord(static_cast<cudaEvent_t>(event), static_cast<cudaStream_t>(stream)));
}

static int query(void *event)
{
    return code(cudaEventQuery(static_cast<cudaEvent_t>(event)));
}

static int wait(void *event)
{
    return code(cudaEventSynchronize(static_cast<cudaEvent_t>(event)));
}

static int elapsed_ns(uint64_t *ns, void *from, void *to)
{
    float ms = 0;
    int error = code(
        cudaEventElapsedTime(&ms, static_cast<cudaEvent_t>(from), static_cast<cudaEvent_t>(to)));

    *ns = ms > 0 ? static_cast<uint64_t>(double{ms} * 1e6) : 0;
    return error;
}

/* ---- graphs ---- */

static int capture_begin(void *stream)
{
    return code(cudaStreamBeginCapture(static_cast<cudaStream_t>(stream),
                                       cudaStreamCaptureModeThreadLocal));
}

static int record_captured(void *event, void *stream)
{
    return code(cudaEventRecordWithFlags(static_cast<cudaEvent_t>(event),
                                         static_cast<cudaStream_t>(stream),
                                         cudaEventRecordExternal));
}

static int capture_end(void **graph, void *stream)
{
    cudaGraph_t captured = nullptr;
    cudaGraphExec_t made = nullptr;
    cudaError_t error = cudaStreamEndCapture(static_cast<cudaStream_t>(stream), &captured);

    if (error == cudaSuccess)
        error = cudaGraphInstantiate(&made, captured, 0);
    if (captured != nullptr)
        (void)cudaGraphDestroy(captured);
    *graph = error == cudaSuccess ? made : nullptr;
    return code(error);
}

static int graph_launch(void *graph, void *stream)
{
    return code(
        cudaGraphLaunch(static_cast<cudaGraphExec_t>(graph), static_cast<cudaStream_t>(stream)));
}

static int graph_free(void *graph)
{
    return code(cudaGraphExecDestroy(static_cast<cudaGraphExec_t>(graph)));
}

extern "C" const struct mr_device MR_BACKEND(mr_device) = {
#ifdef __CUDACC__
    "cuda",
#else
    "emulated",
#endif
    count,           use,         processors,   error_text,  reset,   alloc,      free_memory,
    host_alloc,      host_free,   stream_new,   stream_free, copy_in, copy_out,   clear,
    event_new,       event_free,  record,       query,       wait,    elapsed_ns, capture_begin,
    record_captured, capture_end, graph_launch, graph_free,
};
