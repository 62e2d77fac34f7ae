/* SPDX-License-Identifier: Apache-2.0
 *
 * Embed the engine: load a program, run it over inputs, read what it counted.
 *
 * One engine a process (DPDK's environment is process-wide). All functions are called from one
 * thread, but mr_engine_stop() and mr_engine_reopen(), which any thread or signal handler may call,
 * and those that change programs, which any thread may call while mr_engine_run() runs.
 */
#ifndef MILLRACE_ENGINE_H
#define MILLRACE_ENGINE_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct mr_engine;

enum mr_engine_checksum {
    MR_ENGINE_CHECKSUM_AUTO,
    MR_ENGINE_CHECKSUM_ALL,
    MR_ENGINE_CHECKSUM_NONE
};

/* Programs that run over one capture. A file is "FILE" ("-": standard input), and the program then
 * goes by the file's name without folder and suffix; or "NAME=FILE". Names must differ. */
struct mr_engine_programs {
    const char *const *files;
    uint32_t n_files; /* 1 to 64 */
    /* "NAME=VALUE": for every program that has such a param; "PROGRAM:NAME=VALUE": for one. */
    const char *const *settings;
    uint32_t n_settings;
    bool bypass_encrypted; /* flows pass uninspected once they are encrypted */
};

/* Strings are borrowed until mr_engine_free(). Zero means the default. */
struct mr_engine_config {
    struct mr_engine_programs programs;
    const char *const *inputs; /* capture files, read one after the other; "-" standard input */
    uint32_t n_inputs;
    const char *const *ports; /* live capture instead: interfaces, PCI addresses, DPDK's virtual
                                 devices; all at the same time, until mr_engine_stop() */
    uint32_t n_ports;
    uint32_t queues;         /* capture threads of each port; 0: 1 */
    bool no_promiscuous;     /* only what the interface would get anyway */
    bool no_huge;            /* no hugepages, not for network cards either */
    uint64_t duration_ns;    /* ends by itself after so long; 0: does not */
    const char *log_folder;  /* eve.json goes here, of ports behind what it holds already, of files
                                in its place; NULL: events are counted only; "-": standard output */
    const char *event_types; /* "alert,flow,..."; "program": the tuples that leave the
                                program; NULL: all */
    bool ordered;            /* leave out what differs from run to run (stats events) */
    uint32_t top;            /* how many of the largest flows are reported; 0: none; 256 at most */
    uint32_t stats_interval_s; /* a stats event each so many seconds of packet time; 0: only at the
                                  end */
    const char *prometheus;    /* file for Prometheus' text format, replaced at each interval and at
                                  the end; "-": standard output, at the end; NULL: none */
    enum mr_engine_checksum checksum;
    const char *defrag_policy; /* "first", "linux", ...; NULL: bsd */
    uint32_t workers;          /* 0: one for each core that capture threads leave, at least half */
    uint32_t tokens;           /* 0: 1,000 */
    uint32_t lanes;            /* 0: 1 for one worker, else 2 or 8 each */
    uint32_t burst;            /* packets a token; 0: 256, or 1024 of files for several workers */
    uint64_t max_flows;        /* 0: 1,048,576 */
    bool preallocate;          /* memory of all flows is taken at the start, and at a change of
                                  programs, refused where there is not so much, of those whose
                                  context is laid out anew; else as they come */
    uint64_t depth;            /* bytes inspected of each direction of a stream; 0: all */
    uint64_t memory_bytes;     /* cap of all buffers (mails, held segments, results); 0: 2 GiB */
    uint64_t seed;             /* of the hash secret; 0: drawn from the kernel */
    uint64_t yield_seed;       /* tests: random scheduling; 0: none */
    /* Where patterns are searched: "cpu"; "gpu", where there is one; "auto": a GPU where there is
     * one and the CPU is behind; "emulated": a GPU's kernels on the CPU, for tests. NULL: auto */
    const char *device;
    uint32_t offload_bytes, offload_messages; /* of a batch for the device; 0: 2 MiB, 8192 */
    uint32_t offload_slots;                   /* batches there are; 0: 6 */
    bool offload_deadline_set;                /* else: 2 ms */
    /* ns: a batch goes when its oldest message would be later than this; and is given up so long
     * after that (0: 250 ms, emulated 30 s) */
    uint64_t offload_deadline_ns, offload_late_ns;
    /* 1 message in so many is searched twice; 0: 4096, and each where the device is wrong on
     * purpose */
    uint32_t offload_check_every;
    /* folder for what was compiled for the device; "none"; NULL: ~/.cache/millrace */
    const char *cache;
    /* Faults of the device on purpose: "device:KIND:every N" (README.md). */
    const char *const *injections;
    uint32_t n_injections;
    /* where alarms with `syslog` go: HOST:PORT (UDP) or a socket; NULL: /dev/log */
    const char *syslog;
    /* carries out what programs want done to flows, NAME or NAME:ARGUMENT; NULL: log */
    const char *actuator;
    const char *extract;     /* mails and attachments go into this folder; NULL: nowhere */
    uint64_t extract_bytes;  /* at most so much, in blocks of 4 KiB; 0: 1 GiB */
    uint64_t max_mail;       /* kept of a mail in memory, 64 KiB to 64 MiB; 0: 32 MiB */
    const char *email_md5;   /* "subject,body": MD5 of these in `email`; NULL: none */
    const char *file_hashes; /* "md5,sha1,sha256" of attachments, or "none"; NULL: sha256 */
    /* A UNIX socket for `millrace ctl`, made with mode 0600; NULL: none. A line of JSON is asked,
     * a line of JSON is answered: see host/engine/README.md. */
    const char *control;
    /* Tests: "N:COMMAND" runs a command of `millrace ctl` before packet N (of files, from 1). */
    const char *const *at_packets;
    uint32_t n_at_packets;
    bool plan_only; /* for mr_engine_print_plan(): all is checked, nothing of results opened, made
                       or locked; it cannot run */
    bool verbose;   /* let DPDK speak */
    /* (optional) called about ten times a second while files are read */
    void (*progress)(void *user, uint64_t bytes_done, uint64_t bytes_total, uint64_t packets);
    void *progress_user;
    FILE *diagnostics; /* where the program's errors go; NULL: stderr */
};

/* Loads the program and starts what it needs. MR_ERR_PROGRAM: the reasons were printed to
 * config->diagnostics. */
enum mr_status mr_engine_new(struct mr_engine **out, const struct mr_engine_config *config,
                             struct mr_error *error);
void mr_engine_free(struct mr_engine *engine);

/* Runs until the inputs end or mr_engine_stop(). A damaged input does not stop the others: what was
 * read is processed and written, and the first such error is returned at the end. */
enum mr_status mr_engine_run(struct mr_engine *engine, struct mr_error *error);

/* Async-signal-safe. */
void mr_engine_stop(struct mr_engine *engine);

/* On the way out of a process that ends without mr_engine_free(), since something holds that up:
 * commands of alarms under way are killed, and interfaces are left as they were. NULL: there is no
 * engine, or not yet. Async-signal-safe; the engine is not to be used any more. */
void mr_engine_abandon(struct mr_engine *engine);

/* eve.json was renamed (logrotate): from the next burst on, live within a second, records go to a
 * new one. What cannot be opened is told to config->diagnostics, and the old one is gone on with;
 * it is tried again each second. Async-signal-safe. */
void mr_engine_reopen(struct mr_engine *engine);

/* ---- changing programs while the engine runs ----
 *
 * The new plan is compiled beside the running one; then intake pauses between two bursts, what is
 * in flight is finished, and the engine goes on with the new plan. Components that are the same,
 * behind components that are the same, keep the state of every flow; those that are gone are told
 * that it is over, as at the end of the input. On any error nothing has changed; MR_ERR_PROGRAM:
 * the reasons were printed to `diagnostics`; MR_EOF: the run is at its end. */

/* One more program: "FILE" or "NAME=FILE". */
enum mr_status mr_engine_load(struct mr_engine *engine, const char *program, FILE *diagnostics,
                              struct mr_error *error);
/* A program's place is taken by what the file holds. */
enum mr_status mr_engine_replace(struct mr_engine *engine, const char *name, const char *file,
                                 FILE *diagnostics, struct mr_error *error);
/* Never the last one. */
enum mr_status mr_engine_unload(struct mr_engine *engine, const char *name, FILE *diagnostics,
                                struct mr_error *error);
/* All programs again, from their files and the files of patterns they name. */
enum mr_status mr_engine_reload(struct mr_engine *engine, FILE *diagnostics,
                                struct mr_error *error);

/* Whether the capture inputs[input] is there and is one, as far as its beginning tells;
 * MR_ERR_INPUT says why not. Of pipes nothing is read. */
enum mr_status mr_engine_check_input(const struct mr_engine *engine, uint32_t input,
                                     struct mr_error *error);

/* The memory and thread plan of -T. */
void mr_engine_print_plan(const struct mr_engine *engine, FILE *to);

/* Packets received so far; after mr_engine_run(). */
uint64_t mr_engine_packets(const struct mr_engine *engine);

/* What happened, for people (in short; the table of --stats) and as one JSON object in a file ("-":
 * standard output). After mr_engine_run(). */
void mr_engine_print_summary(const struct mr_engine *engine, FILE *to);
void mr_engine_print_stats(const struct mr_engine *engine, FILE *to);
enum mr_status mr_engine_write_summary_json(const struct mr_engine *engine, const char *path,
                                            struct mr_error *error);

/* What all tables hold at this moment, one JSON record for each row, tables in the order of the
 * programs, rows in the order in which they were put in. Between mr_engine_new() and
 * mr_engine_free(), also while the engine runs, from another thread (not while programs change).
 * `program`: only this one's; NULL: all. MR_ERR_LIMIT: they have more than `most_bytes` of text. */
enum mr_status mr_tables_dump(struct mr_engine *engine, const char *program, uint64_t most_bytes,
                              FILE *to);

/* All of them into a file ("-": standard output), after the run: in memory that does not grow with
 * what they hold. */
enum mr_status mr_engine_dump_tables(struct mr_engine *engine, const char *path,
                                     struct mr_error *error);

/* ---- the machine ---- */

/* What it has for inspecting captures (MR_OK, or MR_ERR_START) and for capturing live (*live:
 * from at least one interface), and the command that mends what is missing. Not beside an engine.
 */
enum mr_status mr_doctor_print(FILE *to, bool *live);

/* ---- programs without an engine ---- */

enum mr_explain_format { MR_EXPLAIN_TEXT, MR_EXPLAIN_DOT, MR_EXPLAIN_SVG };

/* Compiles and binds; errors go to `diagnostics`. */
enum mr_status mr_program_check(const struct mr_engine_programs *programs, FILE *diagnostics);
enum mr_status mr_program_explain(const struct mr_engine_programs *programs,
                                  enum mr_explain_format format, FILE *to, FILE *diagnostics);

/* Every function with its signature, order class and back ends. */
void mr_components_print(FILE *to);

#endif
