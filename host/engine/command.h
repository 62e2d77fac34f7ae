/* Commands of alarms: one thread that runs them one after the other, with the alarm on standard
 * input. A bounded queue: what does not fit is refused. */
#ifndef MR_ENGINE_COMMAND_H
#define MR_ENGINE_COMMAND_H

#include "millrace/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct mr_commands;
struct mr_command;

/* What an engine and its commands know of each other, also while programs change. */
struct mr_commands_tie {
    _Atomic uint32_t hurry; /* the end was asked for: who waits for commands does not wait long */
    _Atomic int32_t group;  /* of processes: the command under way; 0: none; -1: it begins */
    _Atomic uint32_t over;  /* nobody may begin */
};

struct mr_commands_usage {
    uint64_t run;
    uint64_t
        failed;    /* of these: not started, ended with another status than 0, by a signal, late */
    uint64_t lost; /* not run: the run was over, and there was no time any more */
};

/* A file and its n arguments, copied; how long it may take. Shared by all who hold it: each of them
 * releases it. NULL: out of memory. */
struct mr_command *mr_command_new(const char *const *words, uint32_t n, uint32_t timeout_s);
void mr_command_release(struct mr_command *command); /* NULL is allowed */

/* `diagnostics` is told of a command that cannot be started, once of each, and at the end of those
 * that there was no time for. The tie is borrowed, by all of an engine: of these one runs commands.
 */
enum mr_status mr_commands_new(struct mr_commands **out, struct mr_commands_tie *tie,
                               FILE *diagnostics);

/* Puts a command into the queue, which holds it then; the input is copied. False: the queue is
 * full, or the input too long. Never waits. */
bool mr_commands_push(struct mr_commands *commands, struct mr_command *command, const void *input,
                      size_t len);

/* What came of them so far. Any thread. */
struct mr_commands_usage mr_commands_used(const struct mr_commands *commands);

/* The process ends: what runs is killed, nothing more begins. Async-signal-safe. */
void mr_commands_abandon(struct mr_commands_tie *tie);

/* Runs what is queued and ends the thread: within 30 s in all, and within 2 s from when the end was
 * asked for (tie->hurry); what still runs then is killed. NULL is allowed. */
void mr_commands_free(struct mr_commands *commands, struct mr_commands_usage *usage);

#endif
