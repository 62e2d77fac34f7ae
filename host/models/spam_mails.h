/* Mails on disk: files with one mail, mailboxes (mbox), folders of both. */
#ifndef MR_MODELS_SPAM_MAILS_H
#define MR_MODELS_SPAM_MAILS_H

#include "millrace/status.h"

#include <stddef.h>
#include <stdint.h>

/* Called for each mail; `name` is the file, with #N behind it for the Nth mail (from 1) of a
 * mailbox of several. The bytes are borrowed during the call. An error ends the walk. */
typedef enum mr_status mr_spam_each(void *user, const char *name, const uint8_t *mail, size_t len,
                                    struct mr_error *error);

/* Every mail of a file, or of all files under a folder in the order of their names. A file that
 * begins with "From " is a mailbox: mails begin at lines "From ADDRESS DATE" behind an empty line,
 * which are no part of them. Files named ".*" are passed over. MR_ERR_INPUT: something cannot be
 * read. */
enum mr_status mr_spam_mails(const char *path, mr_spam_each *each, void *user,
                             struct mr_error *error);

#endif
