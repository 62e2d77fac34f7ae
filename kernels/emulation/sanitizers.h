/* SPDX-License-Identifier: Apache-2.0
 *
 * What the emulation tells the sanitizers: nothing when there are none.
 */
#ifndef MR_EMULATION_SANITIZERS_H
#define MR_EMULATION_SANITIZERS_H

#include <stddef.h>

#if defined(__has_feature)
#define EMU_FEATURE(x) __has_feature(x)
#else
#define EMU_FEATURE(x) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || EMU_FEATURE(address_sanitizer)
#define EMU_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define EMU_ASAN 0
#endif

static inline void sanitizer_forbid(const void *at, size_t bytes)
{
#if EMU_ASAN
    __asan_poison_memory_region(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}

static inline void sanitizer_allow(const void *at, size_t bytes)
{
#if EMU_ASAN
    __asan_unpoison_memory_region(at, bytes);
#else
    (void)at;
    (void)bytes;
#endif
}

#endif
