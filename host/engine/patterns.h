/* What a file of patterns compiles to for devices: for `millrace patterns`. */
#ifndef MR_ENGINE_PATTERNS_H
#define MR_ENGINE_PATTERNS_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct mr_patterns_options {
    const char *file;   /* lines "id:/regex/flags" */
    const char *device; /* "cpu", "gpu", "auto", "emulated" */
    uint32_t samples;   /* texts drawn from each pattern and compared with Hyperscan; 0: none */
    uint32_t threads;   /* that compile; 0: one for each core */
    bool list;          /* a line for each pattern */
    bool skip_refused;  /* go on without those that Hyperscan refuses, and name them */
};

/* Prints to `out`. MR_ERR_PROGRAM: the patterns are wrong, or one differs from Hyperscan. */
enum mr_status mr_patterns_report(const struct mr_patterns_options *options, FILE *out,
                                  struct mr_error *error);

#endif
