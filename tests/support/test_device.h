/* The device that tests of offloading run on: the emulated one, or with MR_TEST_DEVICE=cuda in the
 * environment the GPU (scripts/run-gpu-checks does that). */
#ifndef MR_TEST_DEVICE_H
#define MR_TEST_DEVICE_H

#include "kernels/device.h"
#include "offload/backend.h"

#include <stdlib.h>
#include <string.h>

static inline bool test_on_gpu(void)
{
    const char *name = getenv("MR_TEST_DEVICE");
    return name && !strcmp(name, "cuda") && mr_backend_cuda();
}

/* NULL: this build has none. */
static inline const struct mr_backend *test_backend(void)
{
    return test_on_gpu() ? mr_backend_cuda() : mr_backend_emulated();
}

static inline struct mr_device_backend test_parts(void)
{
#ifdef MR_HAVE_CUDA
    if (test_on_gpu())
        return (struct mr_device_backend){.device = &mr_device_cuda,
                                          .filter = &mr_factor_filter_cuda,
                                          .kernels = &mr_regex_kernels_cuda,
                                          .bayes = &mr_bayes_cuda};
#endif
    return (struct mr_device_backend){.device = &mr_device_emulated,
                                      .filter = &mr_factor_filter_emulated,
                                      .kernels = &mr_regex_kernels_emulated,
                                      .bayes = &mr_bayes_emulated};
}

#endif
