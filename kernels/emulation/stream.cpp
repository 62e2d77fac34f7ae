/* SPDX-License-Identifier: Apache-2.0
 *
 * Streams, events and graphs: queues of work, tickets, and lists to be queued again.
 */
#include "kernels/emulation/work.h"

#include <cstdlib>
#include <cstring>
#include <ctime>

pthread_mutex_t emu_mutex = PTHREAD_MUTEX_INITIALIZER;

struct list {
    struct emu_work *first;
    struct emu_work *last;
};

struct mr_emu_stream {
    struct mr_emu_stream *next;
    struct list queue;
    struct mr_emu_graph *capture; /* where its work goes while it is captured */
};

struct mr_emu_event {
    uint64_t recorded, done; /* tickets */
    double time_ms;
};

struct mr_emu_graph {
    struct list works;
};

/* ---- lists of work ---- */

static struct emu_work *copy_of(const struct emu_work *work, const void *arguments, size_t bytes)
{
    struct emu_work *copy = static_cast<struct emu_work *>(
        aligned_alloc(alignof(struct emu_work), (sizeof(*work) + bytes + 15) & ~size_t{15}));

    if (copy == nullptr)
        return nullptr;
    *copy = *work;
    copy->next = nullptr;
    copy->arguments_bytes = bytes;
    if (bytes != 0)
        memcpy(static_cast<void *>(copy + 1), arguments, bytes);
    return copy;
}

static void append(struct list *list, struct emu_work *work)
{
    if (list->first == nullptr)
        list->first = work;
    else
        list->last->next = work;
    list->last = work;
}

static struct emu_work *take(struct list *list)
{
    struct emu_work *work = list->first;

    list->first = work->next;
    return work;
}

static void drop(struct list *list)
{
    while (list->first != nullptr)
        free(take(list));
}

/* ---- running ---- */

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

/* Runs the next work of a stream; false when there is none or it waits for an event. */
static bool run_next(struct mr_emu_stream *stream)
{
    struct emu_work *work = stream->queue.first;

    if (work == nullptr || emu_device.fault != cudaSuccess)
        return false;
    if (work->waits && work->event->done < work->ticket)
        return false;
    take(&stream->queue);
    if (work->run != nullptr) {
        if (!work->run(work, work + 1))
            emu_device.fault = cudaErrorLaunchFailure;
    } else if (!work->waits) {
        work->event->done = work->ticket;
        work->event->time_ms = now_ms();
    }
    free(work);
    return true;
}

/* One piece of `stream`, or of any other that it may be waiting for. */
static bool advance(struct mr_emu_stream *stream)
{
    if (stream->queue.first == nullptr)
        return false;
    if (run_next(stream))
        return true;
    for (struct mr_emu_stream *s = emu_device.streams; s != nullptr; s = s->next) {
        if (run_next(s))
            return true;
    }
    return false;
}

void emu_run_all(void)
{
    bool more = true;

    while (more) {
        more = false;
        for (struct mr_emu_stream *s = emu_device.streams; s != nullptr; s = s->next)
            more |= run_next(s);
    }
}

void emu_drop_all(void)
{
    for (struct mr_emu_stream *s = emu_device.streams; s != nullptr; s = s->next)
        drop(&s->queue);
}

cudaError_t emu_enqueue(cudaStream_t stream, const struct emu_work &work, const void *arguments,
                        size_t bytes)
{
    struct emu_work *copy;

    if (emu_device.fault != cudaSuccess)
        return emu_device.fault;
    if (stream == nullptr) { /* the default stream: after everything, and before everything later */
        emu_run_all();
        if (emu_device.fault == cudaSuccess) {
            struct mr_emu_stream now = {};
            copy = copy_of(&work, arguments, bytes);
            if (copy == nullptr)
                return cudaErrorMemoryAllocation;
            append(&now.queue, copy);
            run_next(&now);
            drop(&now.queue);
        }
        return cudaSuccess;
    }
    copy = copy_of(&work, arguments, bytes);
    if (copy == nullptr)
        return cudaErrorMemoryAllocation;
    if (stream->capture != nullptr) {
        append(&stream->capture->works, copy);
        return cudaSuccess;
    }
    if (copy->event != nullptr && !copy->waits)
        copy->ticket = ++copy->event->recorded;
    append(&stream->queue, copy);
    while (emu_device.random != 0 && (emu_random(&emu_device.random) & 1) != 0) {
        if (!advance(stream))
            break;
    }
    return cudaSuccess;
}

/* ---- streams ---- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
    struct emu_locked locked;
    struct mr_emu_stream *s = static_cast<struct mr_emu_stream *>(calloc(1, sizeof(*s)));

    *stream = s;
    if (s == nullptr)
        return emu_error(cudaErrorMemoryAllocation);
    s->next = emu_device.streams;
    emu_device.streams = s;
    return emu_error(cudaSuccess);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    struct emu_locked locked;

    if (stream == nullptr)
        return emu_error(cudaErrorInvalidValue);
    while (advance(stream)) {
    }
    for (struct mr_emu_stream **link = &emu_device.streams; *link != nullptr;
         link = &(*link)->next) {
        if (*link == stream) {
            *link = stream->next;
            break;
        }
    }
    drop(&stream->queue);
    free(stream);
    return emu_error(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void)
{
    struct emu_locked locked;
    emu_run_all();
    return emu_error(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    struct emu_locked locked;

    if (stream == nullptr)
        emu_run_all();
    else if (stream->capture != nullptr)
        return emu_error(cudaErrorStreamCaptureInvalidated);
    else
        while (advance(stream)) {
        }
    return emu_error(cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    struct emu_locked locked;

    if (stream == nullptr) {
        emu_run_all();
        return emu_error(cudaSuccess);
    }
    advance(stream);
    if (emu_device.fault == cudaSuccess && stream->queue.first != nullptr)
        return cudaErrorNotReady;
    return emu_error(cudaSuccess);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    struct emu_locked locked;
    struct emu_work work = {};

    if (stream != nullptr && stream->capture != nullptr)
        return emu_error(cudaErrorStreamCaptureInvalidated);
    work.event = event;
    work.waits = true;
    work.ticket = event->recorded;
    return emu_error(emu_enqueue(stream, work, nullptr, 0));
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    *event = static_cast<cudaEvent_t>(calloc(1, sizeof(**event)));
    cudaError_t code = emu_error(*event == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);

    if (code != cudaSuccess) { /* the device failed before: nothing is made there any more */
        free(*event);
        *event = nullptr;
    }
    return code;
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    struct emu_locked locked;

    emu_run_all(); /* queued work may name it */
    free(event);
    return emu_error(cudaSuccess);
}

static cudaError_t record(cudaEvent_t event, cudaStream_t stream, bool in_graph)
{
    struct emu_locked locked;
    struct emu_work work = {};

    /* Without the flag a capture only notes where it stands, and nothing is ever recorded. */
    if (in_graph != (stream != nullptr && stream->capture != nullptr))
        return emu_error(cudaErrorInvalidValue);
    work.event = event;
    if (stream == nullptr)
        work.ticket = ++event->recorded;
    return emu_error(emu_enqueue(stream, work, nullptr, 0));
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    return record(event, stream, false);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags)
{
    return record(event, stream, flags == cudaEventRecordExternal);
}

/* Lets somebody run who may come to the event's record. */
static bool advance_any(void)
{
    for (struct mr_emu_stream *s = emu_device.streams; s != nullptr; s = s->next) {
        if (run_next(s))
            return true;
    }
    return false;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    struct emu_locked locked;

    if (event->done < event->recorded)
        advance_any();
    if (emu_device.fault == cudaSuccess && event->done < event->recorded)
        return cudaErrorNotReady;
    return emu_error(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    struct emu_locked locked;

    while (event->done < event->recorded && advance_any()) {
    }
    return emu_error(cudaSuccess);
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    struct emu_locked locked;

    if (start->done == 0 || end->done == 0)
        return emu_error(cudaErrorInvalidValue);
    if (start->done < start->recorded || end->done < end->recorded)
        return cudaErrorNotReady;
    *ms = static_cast<float>(end->time_ms - start->time_ms);
    return emu_error(cudaSuccess);
}

/* ---- graphs ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode)
{
    struct emu_locked locked;

    if (stream == nullptr || stream->capture != nullptr)
        return emu_error(cudaErrorInvalidValue);
    stream->capture = static_cast<struct mr_emu_graph *>(calloc(1, sizeof(*stream->capture)));
    return emu_error(stream->capture == nullptr ? cudaErrorMemoryAllocation : cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    struct emu_locked locked;

    *graph = stream != nullptr ? stream->capture : nullptr;
    if (*graph == nullptr)
        return emu_error(cudaErrorInvalidValue);
    stream->capture = nullptr;
    return emu_error(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
    struct emu_locked locked;

    *exec = static_cast<cudaGraphExec_t>(calloc(1, sizeof(**exec)));
    if (*exec == nullptr)
        return emu_error(cudaErrorMemoryAllocation);
    for (const struct emu_work *w = graph->works.first; w != nullptr; w = w->next) {
        struct emu_work *copy = copy_of(w, w + 1, w->arguments_bytes);
        if (copy == nullptr) {
            drop(&(*exec)->works);
            free(*exec);
            *exec = nullptr;
            return emu_error(cudaErrorMemoryAllocation);
        }
        append(&(*exec)->works, copy);
    }
    return emu_error(cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream)
{
    struct emu_locked locked;
    cudaError_t error = cudaSuccess;

    if (stream == nullptr) /* kept apart from the captured case: tickets are drawn per launch */
        return emu_error(cudaErrorInvalidValue);
    for (const struct emu_work *w = exec->works.first; w != nullptr && error == cudaSuccess;
         w = w->next)
        error = emu_enqueue(stream, *w, w + 1, w->arguments_bytes);
    return emu_error(error);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    drop(&graph->works);
    free(graph);
    return emu_error(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec)
{
    return cudaGraphDestroy(exec);
}
