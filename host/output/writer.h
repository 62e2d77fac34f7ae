/* The writer: takes finished records in order and puts them into eve.json. One thread at a time
 * (the engine's output turn). Writes are batched: live, the engine flushes ten times a second. A
 * failing write (full disk) is counted, and does not stop the engine. */
#ifndef MR_OUTPUT_WRITER_H
#define MR_OUTPUT_WRITER_H

#include "millrace/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mr_writer;

/* Opens DIR/eve.json; an existing one is written on (`append`), or emptied when the run begins.
 * Makes DIR when only its last part is missing. `folder` NULL: records are counted and thrown away.
 * "-": records go to standard output. MR_ERR_OUTPUT with a sentence. */
enum mr_status mr_writer_open(struct mr_writer **out, const char *folder, bool append,
                              struct mr_error *error);

/* Could mr_writer_open() open it? Nothing is made, and who writes there at the moment may go on.
 * MR_ERR_OUTPUT with a sentence. */
enum mr_status mr_writer_check(const char *folder, struct mr_error *error);

/* The folder that mr_writer_open() will have made; NULL: none. */
static inline const char *mr_writer_folder(const char *folder)
{
    return folder && !(folder[0] == '-' && !folder[1]) ? folder : NULL;
}

/* The run begins: what an earlier one has left is removed, unless it is written on. Who does not
 * call it has that done by the first record. MR_ERR_OUTPUT with a sentence. */
enum mr_status mr_writer_begin(struct mr_writer *writer, struct mr_error *error);

/* The file was renamed (logrotate): what is batched goes to it still, and the rest to DIR/eve.json,
 * which is made or written on. Nothing happens where that is the same file, or none. MR_ERR_OUTPUT
 * with a sentence: the file of before is gone on with. */
enum mr_status mr_writer_reopen(struct mr_writer *writer, struct mr_error *error);

/* Was the file, or the folder it is in, removed, and is there no other one yet? The writer makes
 * one by itself before it writes; what comes while it cannot be made is lost, and counted so. */
bool mr_writer_is_removed(const struct mr_writer *writer);

/* Did it make one since this was asked? */
bool mr_writer_was_made_again(struct mr_writer *writer);

/* Appends one record of whole lines. */
void mr_writer_record(struct mr_writer *writer, const char *bytes, size_t len);

/* Hands what is batched to the kernel. */
void mr_writer_flush(struct mr_writer *writer);

/* Records written and lost so far; what stopped the last writing, in words, or NULL: it went. */
void mr_writer_state(const struct mr_writer *writer, uint64_t *written, uint64_t *lost,
                     const char **failure);

/* Flushes, syncs and closes; MR_ERR_OUTPUT when anything was lost. */
enum mr_status mr_writer_close(struct mr_writer *writer, struct mr_error *error);

#endif
