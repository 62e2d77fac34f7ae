/* Commands of alarms: one thread that runs them one after the other, with the alarm on standard
 * input. A bounded queue: what does not fit is refused. */
#ifndef MR_ENGINE_COMMAND_H
#define MR_ENGINE_COMMAND_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mr_commands;

struct mr_commands_usage {
    uint64_t run,
        failed;    /* could not be started, ended with another status than 0, or by a signal */
    uint64_t late; /* of these: were killed, since their time was over */
};

enum mr_status mr_commands_new(struct mr_commands **out);

/* Puts a command into the queue; argv is borrowed until mr_commands_free(), the input is copied.
 * False: the queue is full, or the input too long. Never waits. */
bool mr_commands_push(struct mr_commands *commands, const char *const *argv, uint32_t timeout_s,
                      const void *input, size_t len);

/* Runs what is queued, at most some seconds in all, and ends the thread. NULL is allowed. */
void mr_commands_free(struct mr_commands *commands, struct mr_commands_usage *usage);

#endif
