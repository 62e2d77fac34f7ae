/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of the emulated device and pinned memory of the host: each piece ends at a guard page,
 * begins poisoned with 0xA5, and knows its bounds. The caller holds the device's lock.
 */
#ifndef MR_EMULATION_MEMORY_H
#define MR_EMULATION_MEMORY_H

#include <cstddef>

enum memory_kind { MEMORY_DEVICE, MEMORY_HOST, MEMORY_REGISTERED };

void *memory_alloc(size_t bytes, enum memory_kind kind); /* NULL: none left */
bool memory_register(void *at, size_t bytes);

/* Gives back what begins at `at`; false when nothing of that kind does. */
bool memory_free(void *at, enum memory_kind kind);
void memory_free_all(void);

/* Is [at, at + bytes) wholly inside one piece of device memory, or of pinned host memory? And is
 * any byte of it in device memory? */
bool memory_is_device(const void *at, size_t bytes);
bool memory_is_pinned(const void *at, size_t bytes);
bool memory_touches_device(const void *at, size_t bytes);

/* Opens device memory for a kernel or a copy, and closes it to everybody after. */
void memory_open(void);
void memory_close(void);

/* NULL, or the beginning of a piece somebody wrote beyond the bounds of. */
const void *memory_overwritten(void);

#endif
