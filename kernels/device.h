/* SPDX-License-Identifier: Apache-2.0
 *
 * The host side of a device, for C: what the back ends of host/offload need of the CUDA runtime.
 * One const struct for each runtime, the real one and the emulated one, made from the same file.
 *
 * Every call returns the device's error code, 0 for success; after a kernel has failed, all do
 * until reset(). Calls may come from any thread; what is queued on a stream is done in order.
 */
#ifndef MR_DEVICE_H
#define MR_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MR_DEVICE_BUSY      600 /* of query(): not there yet */
#define MR_DEVICE_NO_MEMORY 2   /* of what makes something: there is no room for it */

struct mr_device {
    const char *name; /* of the back end */
    int (*count)(int *n);
    int (*use)(int which); /* by the calling thread, from now on */
    int (*processors)(int which, int *n);
    const char *(*error_text)(int error);
    int (*reset)(void); /* all memory, streams and events of the device are gone */

    int (*alloc)(void **at, size_t bytes); /* the device's; free_memory() takes NULL as well */
    int (*free_memory)(void *at);
    int (*host_alloc)(void **at, size_t bytes); /* pinned: only such memory is copied in the
                                                   background */
    int (*host_free)(void *at);

    int (*stream_new)(void **stream);
    int (*stream_free)(void *stream);
    int (*copy_in)(void *device, const void *pinned, size_t bytes, void *stream);
    int (*copy_out)(void *pinned, const void *device, size_t bytes, void *stream);
    int (*clear)(void *device, size_t bytes, void *stream); /* to zero */

    int (*event_new)(void **event);
    int (*event_free)(void *event);
    int (*record)(void *event, void *stream);
    int (*query)(void *event); /* MR_DEVICE_BUSY: not reached */
    int (*wait)(void *event);
    int (*elapsed_ns)(uint64_t *ns, void *from, void *to); /* both reached */

    /* What is queued on the stream between these two calls is not done but kept, with all
     * arguments; graph_launch() queues all of it at once, any number of times. capture_end() comes
     * in any case, from the same thread, and leaves *graph NULL when it fails. */
    int (*capture_begin)(void *stream);
    int (*record_captured)(void *event, void *stream); /* record(), between the two */
    int (*capture_end)(void **graph, void *stream);
    int (*graph_launch)(void *graph, void *stream);
    int (*graph_free)(void *graph);
};

extern const struct mr_device mr_device_cuda; /* where the build has nvcc */
extern const struct mr_device mr_device_emulated;

#ifdef __cplusplus
}
#endif

#endif
