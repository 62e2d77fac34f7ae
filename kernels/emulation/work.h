/* SPDX-License-Identifier: Apache-2.0
 *
 * Pieces of work and the queues they wait in: streams, events and graphs of the emulated device.
 * Inner header of the emulation; all functions want the lock held.
 */
#ifndef MR_EMULATION_WORK_H
#define MR_EMULATION_WORK_H

#include "kernels/emulation/runtime.h"

#include <pthread.h>

struct alignas(16) emu_work {
    struct emu_work *next;
    /* Does it; false: the device is lost. NULL for records of and waits for `event`. */
    bool (*run)(const struct emu_work *work, const void *arguments);
    struct emu_grid grid; /* of a kernel */
    const void *kernel;
    cudaEvent_t event;
    uint64_t ticket; /* the record that this is, or that is waited for */
    bool waits;
    size_t arguments_bytes; /* they stand behind the struct */
};

struct emu_device {
    cudaError_t fault; /* kept until a reset */
    uint64_t random;   /* 0: in order */
    struct mr_emu_stream *streams;
    char report[2048];
};
extern struct emu_device emu_device;

extern pthread_mutex_t emu_mutex;
struct emu_locked {
    emu_locked()
    {
        pthread_mutex_lock(&emu_mutex);
    }
    ~emu_locked()
    {
        pthread_mutex_unlock(&emu_mutex);
    }
};

/* Remembers an error for cudaGetLastError(), or turns success into the device's fault. */
cudaError_t emu_error(cudaError_t error);

/* Copies work and arguments to the end of a stream, or of the graph it is captured into. */
cudaError_t emu_enqueue(cudaStream_t stream, const struct emu_work &work, const void *arguments,
                        size_t bytes);

void emu_run_all(void);
void emu_drop_all(void);

#endif
