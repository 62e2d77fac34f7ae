/* The options of `millrace run`, and what run.c knows those by that have no letter. */
#ifndef MR_CLI_RUN_OPTIONS_H
#define MR_CLI_RUN_OPTIONS_H

#include <argp.h>

enum {
    OPT_WORKERS = 256,
    OPT_TOKENS,
    OPT_LANES,
    OPT_BURST,
    OPT_ORDERED,
    OPT_SET,
    OPT_SEED,
    OPT_YIELD,
    OPT_EVENTS,
    OPT_SUMMARY,
    OPT_DUMP_TABLES,
    OPT_SYSLOG,
    OPT_ACTUATOR,
    OPT_EXTRACT,
    OPT_EXTRACT_LIMIT,
    OPT_MAX_MAIL,
    OPT_EMAIL_MD5,
    OPT_FILE_HASH,
    OPT_TOP,
    OPT_DEPTH,
    OPT_BYPASS_ENCRYPTED,
    OPT_STATS,
    OPT_STATS_INTERVAL,
    OPT_PROMETHEUS,
    OPT_DEFRAG,
    OPT_MEMORY,
    OPT_MAX_FLOWS,
    OPT_PREALLOCATE,
    OPT_CONTROL,
    OPT_AT_PACKET,
    OPT_LIST_FUNCTIONS,
    OPT_DURATION,
    OPT_QUEUES,
    OPT_NO_PROMISCUOUS,
    OPT_NO_HUGE,
    OPT_DEVICE,
    OPT_BATCH,
    OPT_DEADLINE,
    OPT_SLOTS,
    OPT_CHECK_EVERY,
    OPT_LATE,
    OPT_INJECT,
    OPT_CACHE
};

/* As --help shows them, by their groups; ends with zeros. */
extern const struct argp_option mr_run_options[];

#endif
