/* What the parts of the engine share. */
#ifndef MR_ENGINE_INTERNAL_H
#define MR_ENGINE_INTERNAL_H

#include "analog/analog.h"
#include "base/buffers.h"
#include "base/pages.h"
#include "capture/source.h"
#include "engine/alarms.h"
#include "engine/live.h"
#include "engine/sift.h"
#include "metrics/top.h"
#include "millrace/actuator.h"
#include "millrace/engine.h"
#include "offload/offload.h"
#include "offload/placement.h"
#include "output/eve.h"
#include "output/writer.h"
#include "packet/clock.h"
#include "runtime/runtime.h"

#include <pthread.h>
#include <stdatomic.h>

#define MR_MAX_EVENT_TYPES 64

/* Reads the inputs one after the other. Used in the runtime's intake turn only. */
struct mr_intake {
    struct mr_engine *engine;
    struct mr_source *source;
    struct mr_ahead *ahead; /* NULL: one worker has nobody to read beside */
    struct mr_sift sift;
    struct mr_packet_clock clock;
    uint32_t next_input;
    uint64_t packets, bytes; /* received */
    uint64_t finished_bytes; /* of inputs read to their end */
    uint64_t total_bytes;    /* of all inputs; 0: not known */
    uint64_t next_progress_ns;
};

/* Where the telling at intervals stands: interval.c. */
struct mr_interval {
    bool begun;
    uint64_t last_ns;       /* packet time of the last event */
    uint64_t swept_ns;      /* packet time when the devices of live capture were last asked */
    uint64_t flushed_ns;    /* packet time when events were last handed to the kernel */
    bool told;              /* that events cannot be written */
    bool told_removed;      /* that their file was */
    uint64_t reopen_ns;     /* eve.json could not be opened again: tried then; 0: it could */
    struct mr_metrics last; /* the sums at that time */
    struct mr_histogram latency, latency_now; /* of packets: then, and scratch */
};

/* An event under construction: each worker has one. */
struct mr_event {
    struct mr_engine *engine;
    struct mr_top *top; /* this worker's table of the largest flows */
    struct mr_exec *exec;
    struct mr_eve *eve;
    const struct mr_packet *origin;
    uint32_t ordinal;
    const struct mr_transaction *transaction; /* that it tells of; NULL: none */
};

/* What --device has found. */
struct mr_engine_device {
    enum mr_device_wish wish;
    const struct mr_backend *backend; /* NULL: the CPU does it all */
    char why[MR_ERROR_TEXT_BYTES];    /* ... because; "": nobody wants a device */
    struct mr_offload_faults faults;
};

struct mr_sites;
struct mr_unloaded;
struct mr_unloaded_stage;

struct mr_engine {
    struct mr_engine_config config;
    struct mr_program *programs[MR_MAX_PROGRAMS];
    uint32_t n_programs;
    uint32_t cores; /* that this process may use */
    struct mr_plan *plan;
    struct mr_buffers *buffers;
    struct mr_pages *pages;
    struct mr_runtime *runtime;
    struct mr_engine_device device;
    struct mr_sites *sites;                  /* NULL: nothing goes to a device */
    struct mr_keeper *keeper;                /* sites_keep.c; NULL until there is a site */
    struct mr_offload_counters past_offload; /* of sites that are gone */
    struct mr_writer *writer;
    const struct mr_actuator *actuator;
    void *actuator_state;
    struct mr_extractor *extractor; /* NULL: nothing is extracted */
    struct mr_mail_settings mail;
    struct mr_mime_charsets *charsets;
    struct mr_alarms *alarms;             /* NULL: before the start, and at the end */
    struct mr_commands_tie commands;      /* of alarms */
    struct mr_anomaly_caps *anomaly_caps; /* in the output turn */
    struct mr_intake intake;
    struct mr_live *live;        /* NULL: files */
    struct mr_control *control;  /* NULL: nobody can change programs */
    pthread_mutex_t edit_lock;   /* taken first: one change at a time, from compiling to the end */
    pthread_mutex_t change_lock; /* programs and plan; a plan is installed while no worker works */
    _Atomic(const char *) change_step; /* what a change is at; NULL: there is none */
    struct mr_secret secret;           /* of tables */
    const char *event_types[MR_MAX_EVENT_TYPES];
    uint32_t n_event_types;
    bool program_events; /* what leaves the program, whatever its name, beside event_types */
    char *event_type_text;
    bool dpdk_started;
    struct mr_error input_error;
    struct mr_metrics metrics;              /* sums, after the run (and at each interval) */
    struct mr_metrics past_alarms;          /* what came of commands, at the end */
    _Atomic(struct mr_unloaded *) unloaded; /* see unloaded.h */
    uint32_t n_unloaded;
    _Atomic(struct mr_unloaded_stage *) unloaded_stages;
    uint32_t n_unloaded_stages;
    atomic_bool regrouped; /* a group goes on with other components than before */
    struct mr_interval interval;
    struct mr_top *tops; /* [workers] */
    uint64_t started_ns, ready_ns, first_burst_ns, ended_ns;
    uint64_t cpu_ready_ns, cpu_ended_ns;
    uint64_t loaded_bytes; /* of memory, at the most, until all programs were there */
    _Atomic uint32_t stop_asked, reopen_asked;
    _Atomic uint64_t unwritten; /* events that the writer has lost; written in the output turn */
};

/* Bursts that a source that can wait fills: a device wants some batches under way. */
static inline uint32_t mr_engine_window(const struct mr_engine *engine)
{
    uint32_t tokens = engine->config.tokens;
    uint32_t window = mr_runtime_window(engine->config.workers, tokens), least = 64;

    if (!engine->device.backend || window >= least)
        return window;
    return tokens < least ? tokens : least;
}

/* Packets of files that may be held at a time; ports have pools of their own. */
static inline uint32_t mr_engine_held(const struct mr_engine *engine)
{
    uint32_t burst = engine->config.burst;

    if (engine->config.n_ports)
        return MR_BURST_USUAL;
    return (mr_engine_window(engine) + 1) * (burst > MR_BURST_USUAL ? burst : MR_BURST_USUAL);
}

/* ---- intake.c ---- */
enum mr_status mr_intake_open(struct mr_engine *engine, struct mr_error *error);
void mr_intake_close(struct mr_engine *engine);
enum mr_status mr_intake_read(void *user, struct mr_metrics *metrics, struct mr_token *token);
/* The runtime's hook `ahead`. */
bool mr_intake_ahead(void *user, uint32_t worker, bool help);

/* ---- events.c ---- */
enum mr_status mr_events_worker_open(void *user, uint32_t worker, void **state);
void mr_events_worker_close(void *user, void *state);
void mr_events_leave(void *user, struct mr_exec *exec, const struct mr_tuples *tuples);
void mr_events_watch(void *user, struct mr_exec *exec, const struct mr_tuples *tuples,
                     const char *change);
void mr_events_flow_closed(void *user, struct mr_exec *exec, const struct mr_packet *origin,
                           uint32_t ordinal, const struct mr_flow *flow, bool left);
void mr_events_flow_grown(void *user, struct mr_exec *exec, const struct mr_flow *flow);
void mr_events_retire(void *user, struct mr_metrics *metrics, struct mr_token *token,
                      const struct mr_record *records);
void mr_events_release(void *user, struct mr_token *token);
bool mr_events_wanted(const struct mr_engine *engine, const char *type);

/* ---- extract.c ---- */
/* Reads what is wanted of mails into engine->mail, and opens the folder of --extract. */
enum mr_status mr_extractor_open(struct mr_engine *engine, struct mr_error *error);
/* In the output turn. */
void mr_extractor_write(struct mr_engine *engine, const struct mr_extraction *extraction,
                        struct mr_metrics *metrics);
/* MR_ERR_OUTPUT when something was not written. */
enum mr_status mr_extractor_close(struct mr_engine *engine, struct mr_error *error);

/* ---- interval.c ---- */
/* engine->metrics: the sums of the moment. */
void mr_metrics_refresh(struct mr_engine *engine);
/* In the output turn: what is batched goes out, and what could not be written is counted. The first
 * failure in words, or NULL. */
const char *mr_interval_write(struct mr_engine *engine);
enum mr_status mr_interval_open(struct mr_engine *engine, struct mr_error *error);
/* In the output turn: packet time is `time_ns`. Where the interval of --stats-interval is over, the
 * stats event and the Prometheus file are written. Who has no packets may call it all the same. */
void mr_interval_pass(struct mr_engine *engine, uint64_t time_ns);
/* Live, after a token's records: what readers of eve.json wait for goes out, ten times a second at
 * the most; a full disk is told when it is met. */
void mr_interval_flush(struct mr_engine *engine, uint64_t time_ns);
/* In the output turn, when mr_engine_reopen() has asked for it, and while interval.reopen_ns says
 * so: eve.json is opened again. */
void mr_interval_reopen(struct mr_engine *engine, struct mr_metrics *metrics);
/* After the run, with engine->metrics filled. */
enum mr_status mr_interval_end(struct mr_engine *engine, struct mr_error *error);

/* ---- prometheus.c ---- */
enum mr_status mr_prometheus_write(const struct mr_engine *engine, const char *path,
                                   struct mr_error *error);

/* ---- actuators.c ---- */
enum mr_status mr_actuator_open(struct mr_engine *engine, struct mr_error *error);
void mr_actuator_close(struct mr_engine *engine);
void mr_actuator_apply(struct mr_engine *engine, const struct mr_actuation *actuation,
                       struct mr_metrics *metrics);
/* Ships a tuple, which the record of its event holds. */
void mr_actuator_ship(struct mr_engine *engine, const struct mr_shipment *shipment,
                      struct mr_metrics *metrics);

/* ---- attributes.c ---- */

/* The key under which an attribute stands in events: its name in lower case. */
const char *mr_eve_key(const char *name, char *scratch, size_t size);
/* A value under the name of its attribute; nothing for the location. */
void mr_eve_attribute(struct mr_eve *eve, const struct mr_plan_attribute *attribute,
                      union mr_value value);

/* ---- programs.c ---- */
#define MR_MAX_COMPONENTS 64

/* All functions that programs can call; returns how many. */
uint32_t mr_all_components(const struct mr_component *list[MR_MAX_COMPONENTS]);

/* ---- load.c ---- */
#define MR_PROGRAM_NAME_BYTES 64

/* Takes "NAME=FILE" apart; gives the file, and the name or "". */
const char *mr_load_spec(const char *spec, char name[MR_PROGRAM_NAME_BYTES]);

/* Compiles one program, as `programs` says of all. `used` marks the settings that it has a
 * parameter for; NULL: a setting for which it has none is an error. Messages are printed to
 * `diagnostics`. */
enum mr_status mr_load_program(const char *spec, const struct mr_engine_programs *programs,
                               bool *used, FILE *diagnostics, struct mr_program **program);

/* Compiles all programs into list[n_files], which are the caller's also on failure. With
 * MR_ERR_PROGRAM the messages were printed and *error has no text. */
enum mr_status mr_load_programs(const struct mr_engine_programs *programs, FILE *diagnostics,
                                struct mr_program **list, struct mr_error *error);

/* Releases all of a list of MR_MAX_PROGRAMS; NULL among them is allowed. */
void mr_load_release(struct mr_program *const *list);

/* mr_analog_plan(), messages printed. `check`: the plan will not run; of one program then, those
 * that it ships to may be missing. */
enum mr_status mr_load_plan(struct mr_program *const *list, uint32_t n,
                            const struct mr_plan *before, bool check, FILE *diagnostics,
                            struct mr_plan **plan);

/* ---- control.c ---- */
/* The control socket, and the thread that serves it and runs the commands of --at-packet. */
enum mr_status mr_control_open(struct mr_engine *engine, struct mr_error *error);
void mr_control_close(struct mr_engine *engine);
/* In the intake turn, files: how many packets may be read before the next command is due. 0: it is
 * running; read nothing. */
uint32_t mr_control_burst(struct mr_engine *engine, uint64_t packets, uint32_t burst);
/* The input is over: the first command of --at-packet that failed. */
enum mr_status mr_control_result(struct mr_engine *engine, struct mr_error *error);

/* ---- request.c ---- */
#define MR_MAX_WORDS 4

/* Does the request (a line without its end) change programs? That may take long. *progress: who
 * sends it wants to hear of it meanwhile: lines {"progress": "compiling", "seconds": 3} before the
 * answer. */
bool mr_command_takes_time(const char *line, size_t len, bool *progress);

/* Runs a command of `millrace ctl`: the answer is one line of JSON, the caller's to free; NULL: no
 * memory. `status` says what came of it. */
char *mr_command_run(struct mr_engine *engine, const char *const *words, uint32_t n_words,
                     enum mr_status *status);
/* The same for a request {"command": ["load", "a.analog"]}. */
char *mr_command_request(struct mr_engine *engine, const char *line, size_t len);

#endif
